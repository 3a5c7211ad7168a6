//! The longest-ORF baseline: what a rule without learning finds. Every score of the program stands beside it.

use std::collections::BTreeMap;

use crate::annotation::Annotation;
use crate::decode::gene_model::{self, GeneModel};
use crate::dna::{self, GeneticCode};
use crate::fasta::Genome;
use crate::gene::{Interval, Strand};

/// The open reading frames of a sequence from their first ATG to their stop, of at least `minimum` bp with the stop,
/// longest first, each taken if no base of it was taken before (on either strand). Sorted by position. The score is the
/// length in bp.
pub fn longest_orfs(sequence: &[u8], minimum: u64, code: &GeneticCode) -> Vec<GeneModel> {
    let n = sequence.len();
    let mut orfs: Vec<(Interval, Strand)> = Vec::new();
    for strand in [Strand::Forward, Strand::Reverse] {
        let codes = match strand {
            Strand::Reverse => dna::base_codes(&dna::reverse_complement(sequence)),
            _ => dna::base_codes(sequence),
        };
        for frame in 0..3 {
            let mut start = None;
            let mut at = frame;
            while at + 3 <= n {
                let (a, b, c) = (codes[at], codes[at + 1], codes[at + 2]);
                let unknown = (a | b | c) > 3;
                let codon = if unknown { 0 } else { a << 4 | b << 2 | c };
                if unknown {
                    // Nothing is known of what it hides.
                    start = None;
                } else if code.is_stop_index(codon) {
                    if let Some(start) = start.take() {
                        let (start, end) = (start as u64, (at + 3) as u64);
                        let length = n as u64;
                        let (start, end) =
                            if strand == Strand::Reverse { (length - end, length - start) } else { (start, end) };
                        if end - start >= minimum {
                            orfs.push((Interval::new(start, end), strand));
                        }
                    }
                } else if (a, b, c) == (0, 3, 2) && start.is_none() {
                    start = Some(at);
                }
                at += 3;
            }
        }
    }
    orfs.sort_by_key(|(orf, strand)| (std::cmp::Reverse(orf.len()), orf.start, *strand));
    // Accepted ones do not overlap, so that the nearest one before tells.
    let mut accepted: BTreeMap<u64, (u64, Strand)> = BTreeMap::new();
    for (orf, strand) in orfs {
        let before = accepted.range(..orf.end).next_back();
        if before.is_none_or(|(_, (end, _))| *end <= orf.start) {
            accepted.insert(orf.start, (orf.end, strand));
        }
    }
    accepted
        .into_iter()
        .map(|(start, (end, strand))| GeneModel {
            strand,
            cds: vec![Interval::new(start, end)],
            phase: 0,
            partial_5: false,
            partial_3: false,
            score: (end - start) as f64,
        })
        .collect()
}

/// The baseline's annotation of a genome; `code` gives the genetic code of each sequence.
pub fn annotate(genome: &Genome, minimum: u64, code: impl Fn(&str) -> &'static GeneticCode) -> Annotation {
    gene_model::concat(genome.sequences.iter().map(|sequence| {
        let code = code(&sequence.id);
        let models = longest_orfs(&sequence.bases, minimum, code);
        let length = sequence.bases.len() as u64;
        gene_model::annotation(&sequence.id, length, sequence.circular, code.number, models, |_| None)
    }))
}
