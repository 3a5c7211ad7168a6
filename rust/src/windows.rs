//! Cuts a sequence into windows.
