//! A species' genome and annotation into packed windows.
