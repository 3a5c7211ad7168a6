//! Gene models from evidence: exact dynamic programs over both strands of a sequence.
//!
//! The score of an annotation is the sum of the evidence of its bases (class minus intergenic logits, scaled), the
//! logits of its signals (weighted), and priors; `parameters` holds all weights. `spliced` finds the best set of genes
//! with introns, `prokaryotes` the best chain of open reading frames.

pub mod adaptation;
pub mod alternatives;
pub mod engine;
pub mod fit;
pub mod gene_model;
pub mod parameters;
pub mod posterior;
pub mod priors;
pub mod prokaryotes;
pub mod spliced;
pub mod strand_tables;

use std::sync::Arc;

use crate::dna::GeneticCode;
use crate::error::{Error, Result};
use alternatives::Alternative;
use engine::Stretch;
use gene_model::GeneModel;
use parameters::{GeneParameters, Program};
use prokaryotes::ProkaryoteDecoder;
use spliced::SplicedDecoder;

/// The decoder of one sequence that the parameters ask for.
pub enum Decoder {
    Spliced(Box<SplicedDecoder>),
    Prokaryotes(ProkaryoteDecoder),
}

impl Decoder {
    /// `sequence` is the whole sequence; evidence follows with [`Decoder::push`]. The spliced program takes a circular
    /// sequence as a linear one.
    pub fn new(
        parameters: Arc<GeneParameters>,
        code: &'static GeneticCode,
        sequence: &[u8],
        circular: bool,
    ) -> Result<Decoder> {
        Ok(match parameters.program {
            Program::Spliced => Decoder::Spliced(Box::new(SplicedDecoder::new(parameters, code, sequence)?)),
            Program::Prokaryotes => Decoder::Prokaryotes(ProkaryoteDecoder::new(parameters, code, sequence, circular)),
        })
    }

    /// Makes the genes' scores the log odds of their posterior probabilities; before anything is pushed.
    pub fn with_posteriors(self) -> Decoder {
        match self {
            Decoder::Spliced(decoder) => Decoder::Spliced(Box::new(decoder.with_posteriors())),
            Decoder::Prokaryotes(decoder) => Decoder::Prokaryotes(decoder.with_posteriors()),
        }
    }

    /// Evidence of the next bases: `classes` (class minus intergenic) and `signals`, each `[bases, 2, 6]`.
    pub fn push(&mut self, classes: &[f32], signals: &[f32]) -> Result<()> {
        match self {
            Decoder::Spliced(decoder) => decoder.push(classes, signals),
            Decoder::Prokaryotes(decoder) => decoder.push(classes, signals),
        }
    }

    /// All genes, sorted by position; an error unless every base had evidence.
    pub fn finish(self) -> Result<Vec<GeneModel>> {
        match self {
            Decoder::Spliced(decoder) => decoder.finish(),
            Decoder::Prokaryotes(decoder) => decoder.finish(),
        }
    }
}

/// Up to `wanted` annotations of the stretch of `sequence` that begins at `start`, for which `classes` and `signals` are
/// given, best first. Its ends are taken as lying between genes, but for those of the sequence.
pub fn alternatives_of(
    parameters: &Arc<GeneParameters>,
    code: &'static GeneticCode,
    sequence: &[u8],
    start: usize,
    classes: &[f32],
    signals: &[f32],
    wanted: usize,
) -> Result<Vec<Alternative>> {
    let bases = classes.len() / engine::ROW;
    if classes.len() != signals.len() || classes.len() % engine::ROW != 0 || start + bases > sequence.len() {
        return Err(Error::input(format!(
            "classes and signals hold {} and {} values for a stretch from {start} on of a sequence of {} bp; 12 a base are \
             needed, within the sequence",
            classes.len(),
            signals.len(),
            sequence.len()
        )));
    }
    let end = start + bases;
    if parameters.program == Program::Spliced {
        // Context for codons and ranks, and no more, so that a locus of a chromosome costs what the locus does.
        const CONTEXT: usize = 3 << 10;
        let (from, to) = (start.saturating_sub(CONTEXT) / 3 * 3, (end + CONTEXT).min(sequence.len()));
        let stretch =
            Stretch { start: start - from, end: end - from, open_start: start == 0, open_end: end == sequence.len() };
        let codes = engine::padded_codes(&sequence[from..to]);
        let mut found = alternatives::spliced(parameters, code, &codes, stretch, (classes, signals), wanted);
        shift(&mut found, from);
        return Ok(found);
    }
    // Frames count from the stretch's start there.
    let mut turned = classes.to_vec();
    for (row, class) in turned.chunks_exact_mut(6).zip(classes.chunks_exact(6)) {
        for frame in 0..3 {
            row[1 + (frame + 3 - start % 3) % 3] = class[1 + frame];
        }
    }
    let mut decoder = ProkaryoteDecoder::new(parameters.clone(), code, &sequence[start..end], false);
    decoder.push(&turned, signals)?;
    let mut found = decoder.alternatives(wanted, start == 0, end == sequence.len());
    shift(&mut found, start);
    Ok(found)
}

fn shift(found: &mut [Alternative], by: usize) {
    for part in found.iter_mut().flat_map(|one| &mut one.genes).flat_map(|gene| &mut gene.cds) {
        part.start += by as u64;
        part.end += by as u64;
    }
}

#[cfg(test)]
mod tests;
