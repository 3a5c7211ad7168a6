//! Gene models from evidence: exact dynamic programs over both strands of a sequence.
//!
//! The score of an annotation is the sum of the evidence of its bases (class minus intergenic logits, scaled), the
//! logits of its signals (weighted), and priors; `parameters` holds all weights. `spliced` finds the best set of genes
//! with introns, `prokaryotes` the best chain of open reading frames.

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
use crate::error::Result;
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

#[cfg(test)]
mod tests;
