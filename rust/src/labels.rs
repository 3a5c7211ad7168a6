//! Labels of every base, made from a window's sentence.
