//! FASTA: any bytes are sequences or an error; what was read is nucleotides under unique ids.
#![no_main]

use std::path::Path;

use genet5_core::fasta::Genome;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(genome) = Genome::from_bytes(Path::new("x.fa"), bytes) {
        assert!(!genome.sequences.is_empty());
        assert_eq!(genome.indices().len(), genome.sequences.len());
        for sequence in &genome.sequences {
            assert!(!sequence.bases.is_empty() && sequence.bases.iter().all(u8::is_ascii_alphabetic));
        }
    }
});
