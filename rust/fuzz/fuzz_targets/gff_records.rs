//! GFF3 and GTF: any bytes are gene models or an error; models hold their promises and can be written and read again.
#![no_main]

use std::path::Path;

use genet5_core::annotation::{Options, from_bytes, writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for lenient in [false, true] {
        let options = Options { lenient };
        let Ok(found) = from_bytes(Path::new("x.gff"), bytes, options) else { continue };
        for transcript in found.genes.iter().flat_map(|gene| &gene.transcripts) {
            assert!(!transcript.exons.is_empty());
            assert!(transcript.exons.windows(2).all(|pair| pair[0].end < pair[1].start));
            assert!(transcript.cds.iter().all(|part| transcript.exons.iter().any(|exon| exon.contains(*part))));
        }
        let mut written = Vec::new();
        writer::gff3(&found, &mut written, "x").expect("writing to memory");
        from_bytes(Path::new("x.gff3"), &written, Options { lenient: true }).expect("what was written is read");
    }
});
