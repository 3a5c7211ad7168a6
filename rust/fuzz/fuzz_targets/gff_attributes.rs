//! The ninth column: pairs lie within the text, and escapes come back.
#![no_main]

use genet5_core::annotation::attributes::{decode, encode, gff3, gtf};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|column: &[u8]| {
    for (key, value) in gff3(column).chain(gtf(column)) {
        assert!(key.len() + value.len() <= column.len());
    }
    let text = decode(column);
    let mut escaped = Vec::new();
    encode(&text, &mut escaped);
    assert_eq!(decode(&escaped), text);
});
