//! Opens plain, gzip and BGZF files as bytes.
