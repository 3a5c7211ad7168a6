//! GenBank flat files: any text is sequences and gene models, or an error.
#![no_main]

use std::path::Path;

use genet5_core::annotation::{Options, genbank};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = genbank::genome(Path::new("x.gb"), bytes);
    let _ = genbank::annotation(Path::new("x.gb"), bytes, Options::default());
});
