//! Counts for the gene decoder's priors, from the genes that training may learn from.

use super::load::Loaded;
use crate::decode::priors::PriorCounts;
use crate::gene::{Gene, Interval};
use crate::language::{END_TOLERANCE, PreparedGene, Telling};
use crate::windows::Role;

/// Adds the genes of one sequence that lie outside the held-out regions. Genes on both sides of a region are no
/// neighbours.
pub fn count(
    counts: &mut PriorCounts,
    species: &Loaded,
    number: usize,
    prepared: &[PreparedGene],
    held_out: &[Interval],
    bases: &[u8],
) {
    let facts = &species.sequences[number];
    if facts.role != Role::Training {
        return;
    }
    // Regions before a gene tell which stretch it is in.
    let mut stretches: Vec<Vec<Gene>> = vec![vec![]; held_out.len() + 1];
    for (gene, prepared) in species.genes(number).iter().zip(prepared) {
        let Telling::Said(told) = &prepared.telling else { continue };
        let span = prepared.span;
        let at_end = span.start <= END_TOLERANCE || span.end + END_TOLERANCE >= facts.length;
        if at_end || held_out.iter().any(|region| region.overlaps(span)) {
            continue;
        }
        let stretch = held_out.iter().filter(|region| region.end <= span.start).count();
        // What is told is whole, whatever its source calls it: NCBI calls a transcript partial where its UTR is unknown.
        let mut transcript = gene.transcripts[told[0].index].clone();
        (transcript.partial_5, transcript.partial_3) = (false, false);
        stretches[stretch].push(Gene { transcripts: vec![transcript], ..gene.clone() });
    }
    for genes in &stretches {
        counts.collect(genes, bases, facts.code);
    }
}
