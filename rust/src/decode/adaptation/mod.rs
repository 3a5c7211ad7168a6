//! Adaptation to a genome: what its own confident genes say of its codons, its starts and its priors.
//!
//! The model's evidence gives each gene of a sequence a posterior probability. From the genes that are likely, a model of
//! the codons (hexamers in frame), one of the bases around starts, and the priors of starts and distances are
//! learned; with them the posteriors are computed again, a few times. Starts count by their probability, as in
//! expectation maximisation. Nothing but the sequence and the evidence is read.

mod hexamers;
mod labels;
mod starts;

use std::sync::Arc;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::engine::log_add;
use super::gene_model::{self, GeneModel};
use super::parameters::{GeneParameters, Program};
use super::priors::PriorCounts;
use super::prokaryotes::ProkaryoteDecoder;
use crate::annotation::Annotation;
use crate::dna::GeneticCode;
use crate::error::{Error, Result};
use crate::gene::Strand;
pub use hexamers::gene_sum;
use hexamers::{HexamerCounts, Hexamers};
use starts::Example;
pub use starts::{MotifSummary, StartModel, window};

/// Genes of at least this probability, whatever their start, are learned from.
const CONFIDENT: f64 = 0.95;
/// Fewer genes than this say too little.
const FEWEST: usize = 100;

/// Factor of the log odds of hexamers and of starts, in units of calibrated log odds: the model's evidence knows a part of
/// both already.
const SHARE: f64 = 0.4;
/// Log of the share of genes whose hexamers are not the genome's own, as those that came from elsewhere: what their
/// hexamers cost them at most.
const UNUSUAL: f64 = -3.0;

/// A gene that the program considers, with its posterior probability. Positions as in [`GeneModel`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    pub left: i64,
    pub right: i64,
    pub strand: Strand,
    pub phase: u8,
    pub partial_5: bool,
    pub partial_3: bool,
    pub probability: f64,
    pub log_probability: f64,
}

/// What was learned from a genome's own genes.
#[derive(Debug, Clone, PartialEq)]
pub struct Adaptation {
    pub hexamers: Hexamers,
    pub starts: StartModel,
    /// Factors of the two models' log odds in the score of a gene.
    pub hexamer_weight: f64,
    pub start_weight: f64,
}

impl Adaptation {
    /// What the sum of the log odds of a gene's hexamers adds to its score, nats.
    pub fn hexamer_score(&self, sum: f64) -> f64 {
        log_add(self.hexamer_weight * sum, UNUSUAL)
    }
}

/// What a round of learning found.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// Genes that were learned from.
    pub genes: usize,
    pub motifs: Vec<MotifSummary>,
}

/// How much is made of what is learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factors {
    /// Of the log odds of hexamers and of starts, in the score of a gene.
    pub hexamers: f64,
    pub starts: f64,
    /// Of the log odds between the starts of one gene, before its starts are learned from: the program's scores tell them
    /// apart more sharply than is right.
    pub sharpness: f64,
}

/// A genome's sequences with their evidence, decoded as one.
pub struct GenomeDecoder {
    pub factors: Factors,
    parameters: Arc<GeneParameters>,
    sequences: Vec<Sequence>,
}

struct Sequence {
    seqid: String,
    bases: Vec<u8>,
    code: &'static GeneticCode,
    circular: bool,
    decoder: ProkaryoteDecoder,
}

/// A confident gene: the probabilities of its starts, by position of the start codon's first base in reading direction.
struct Confident {
    probability: f64,
    starts: Vec<(usize, f64)>,
    /// End of the stop codon in reading direction.
    stop: usize,
}

impl GenomeDecoder {
    /// # Errors
    /// Parameters of the program for spliced genes.
    pub fn new(parameters: GeneParameters) -> Result<GenomeDecoder> {
        if parameters.program != Program::Prokaryotes {
            return Err(Error::input(format!(
                "adaptation to a genome is made for prokaryotes; the gene parameters are those of '{}', a taxon with introns",
                parameters.taxon
            )));
        }
        let sharpness = parameters.calibration.scale.clamp(0.1, 1.0);
        let factors = Factors { hexamers: SHARE / sharpness, starts: SHARE / sharpness, sharpness };
        Ok(GenomeDecoder { factors, parameters: Arc::new(parameters), sequences: Vec::new() })
    }

    /// The next sequence, and its number; its evidence follows with [`GenomeDecoder::push`].
    pub fn add(&mut self, seqid: String, bases: &[u8], code: &'static GeneticCode, circular: bool) -> usize {
        let decoder = ProkaryoteDecoder::new(self.parameters.clone(), code, bases, circular).with_posteriors();
        self.sequences.push(Sequence { seqid, bases: bases.to_vec(), code, circular, decoder });
        self.sequences.len() - 1
    }

    /// Evidence of the next bases of a sequence, by its number in the order of [`GenomeDecoder::add`].
    pub fn push(&mut self, number: usize, classes: &[f32], signals: &[f32]) -> Result<()> {
        match self.sequences.get_mut(number) {
            Some(sequence) => sequence.decoder.push(classes, signals),
            None => Err(Error::input(format!("there are {} sequences, none of number {number}", self.sequences.len()))),
        }
    }

    /// Forgets the evidence of all sequences, so that it can be given anew.
    pub fn forget_evidence(&mut self) {
        self.sequences.iter_mut().for_each(|sequence| sequence.decoder.forget_evidence());
    }

    /// Learns from the genes that are likely now, and puts what was learned to use. `None` where they are too few; then
    /// nothing changes.
    pub fn refit(&mut self) -> Result<Option<Learned>> {
        let found: Vec<(Vec<Candidate>, Vec<GeneModel>)> = self
            .sequences
            .par_iter()
            .map(|sequence| Ok((sequence.candidates(self.factors.sharpness)?, sequence.decoder.genes()?)))
            .collect::<Result<_>>()?;
        let mut everywhere = HexamerCounts::default();
        let mut genes = HexamerCounts::default();
        let mut examples: Vec<Example> = Vec::new();
        let mut counts = PriorCounts::default();
        let mut number = 0;
        for (sequence, (candidates, models)) in self.sequences.iter().zip(found) {
            let codes = sequence.decoder.codes();
            everywhere.add_everywhere(codes);
            for strand in [Strand::Forward, Strand::Reverse] {
                let oriented = oriented(codes, strand);
                for gene in confident(&candidates, strand, oriented.len()) {
                    number += 1;
                    sequence.learn_from(&gene, &oriented, &mut genes, &mut examples);
                }
            }
            let likely = models.into_iter().filter(|model| model.score > 0.0).collect();
            let annotation =
                gene_model::annotation("", codes.len() as u64, false, sequence.code.number, likely, |_| None);
            counts.collect(&annotation.genes, &sequence.bases, sequence.code);
        }
        if number < FEWEST {
            return Ok(None);
        }
        let longest = self.sequences.iter().max_by_key(|sequence| sequence.bases.len());
        let Some(code) = longest.map(|sequence| sequence.code) else { return Ok(None) };
        let adaptation = Adaptation {
            hexamers: Hexamers::learn(&genes, &everywhere, code),
            starts: StartModel::learn(&examples),
            hexamer_weight: self.factors.hexamers,
            start_weight: self.factors.starts,
        };
        let motifs = adaptation.starts.motifs();
        let adaptation = Arc::new(adaptation);
        self.parameters = Arc::new(self.adapted(&counts));
        let parameters = &self.parameters;
        self.sequences
            .par_iter_mut()
            .for_each(|sequence| sequence.decoder.adapt(parameters.clone(), adaptation.clone()));
        Ok(Some(Learned { genes: number, motifs }))
    }

    /// The parameters with priors of the genome's own genes. Those of lengths stay: short genes are seldom confident.
    fn adapted(&self, counts: &PriorCounts) -> GeneParameters {
        let mut parameters = (*self.parameters).clone();
        let filled = parameters.clone().with_priors(counts);
        parameters.priors.start_rank = filled.priors.start_rank;
        parameters.priors.same_strand_distance = filled.priors.same_strand_distance;
        parameters.priors.convergent_distance = filled.priors.convergent_distance;
        parameters.priors.divergent_distance = filled.priors.divergent_distance;
        // The start model knows the codons.
        parameters.weights.start_codons = filled.weights.start_codons.into_keys().map(|codon| (codon, 0.0)).collect();
        parameters
    }

    /// Labels for training on the genes as they are likely now: `[bases, 2]` and `[bases, 2, 6]` of a sequence.
    pub fn labels(&self, number: usize) -> Result<(Vec<i8>, Vec<i8>)> {
        match self.sequences.get(number) {
            Some(sequence) => {
                Ok(labels::labels(&sequence.candidates(self.factors.sharpness)?, sequence.bases.len(), CONFIDENT))
            }
            None => Err(Error::input(format!("there are {} sequences, none of number {number}", self.sequences.len()))),
        }
    }

    /// The genes of all sequences of at least the probability `min_score`.
    pub fn annotation(&self, min_score: f32) -> Result<Annotation> {
        let calibration = self.parameters.calibration;
        let parts: Vec<Annotation> = self
            .sequences
            .par_iter()
            .map(|sequence| {
                let mut models = sequence.decoder.genes()?;
                models.retain(|model| calibration.probability(model.score) >= min_score);
                let length = sequence.bases.len() as u64;
                let number = sequence.code.number;
                Ok(gene_model::annotation(&sequence.seqid, length, sequence.circular, number, models, |model| {
                    Some(calibration.probability(model.score))
                }))
            })
            .collect::<Result<_>>()?;
        Ok(gene_model::concat(parts))
    }
}

impl Sequence {
    /// All genes that have a chance. The probability of a gene whatever its start is the program's; among its starts it is
    /// spread with `sharpness`.
    fn candidates(&self, sharpness: f64) -> Result<Vec<Candidate>> {
        let mut found = self.decoder.candidates()?;
        let length = self.bases.len() as i64;
        let stop = |candidate: &Candidate| match (candidate.partial_3, candidate.strand) {
            (true, _) => None,
            (false, Strand::Reverse) => Some((candidate.left.rem_euclid(length), candidate.strand)),
            (false, _) => Some((candidate.right.rem_euclid(length), candidate.strand)),
        };
        let mut sums: FxHashMap<(i64, Strand), (f64, f64, f64)> = FxHashMap::default();
        for candidate in &found {
            if let Some(stop) = stop(candidate) {
                let sum = sums.entry(stop).or_insert((0.0, f64::NEG_INFINITY, 0.0));
                sum.0 += candidate.probability;
                sum.1 = sum.1.max(candidate.log_probability);
            }
        }
        let spread = |candidate: &Candidate, top: f64| (sharpness * (candidate.log_probability - top)).exp();
        for candidate in &found {
            if let Some(sum) = stop(candidate).and_then(|stop| sums.get_mut(&stop)) {
                sum.2 += spread(candidate, sum.1);
            }
        }
        for candidate in &mut found {
            if let Some(&(all, top, total)) = stop(candidate).and_then(|stop| sums.get(&stop)) {
                candidate.probability = all.min(1.0) * spread(candidate, top) / total;
            }
        }
        found.retain(|candidate| candidate.probability > 1e-4);
        Ok(found)
    }

    /// Adds a gene's codons, and all start codons of its reading frame.
    fn learn_from(&self, gene: &Confident, oriented: &[u8], codons: &mut HexamerCounts, examples: &mut Vec<Example>) {
        let length = oriented.len();
        let begin = gene.starts.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(gene.stop, |start| start.0);
        // A gene over the origin ends in the next turn.
        let end = if begin < gene.stop { gene.stop } else { gene.stop + length };
        let stretch: Vec<u8> = (begin..end).map(|at| oriented[at % length]).collect();
        codons.add_codons(&stretch, gene.probability);
        let starts = self.decoder.start_codons();
        let known: FxHashMap<usize, f64> = gene.starts.iter().copied().collect();
        let mut at = end as i64 - 6;
        loop {
            let place = match (self.circular, at < 0) {
                (true, _) => at.rem_euclid(length as i64) as usize,
                (false, true) => break,
                (false, false) => at as usize,
            };
            let codon: [u8; 3] = std::array::from_fn(|i| oriented.get((place + i) % length).copied().unwrap_or(4));
            let index = super::strand_tables::codon(&codon);
            let too_long = end as i64 - at > length as i64;
            if index == super::strand_tables::NO_CODON || self.code.is_stop_index(index as u8) || too_long {
                break;
            }
            if starts[index].is_some() {
                let probability = known.get(&place).copied().unwrap_or(0.0) / gene.probability;
                examples.push(Example {
                    window: window(oriented, place, self.circular),
                    probability: probability.min(1.0),
                });
            }
            at -= 3;
        }
    }
}

fn oriented(codes: &[u8], strand: Strand) -> Vec<u8> {
    match strand {
        Strand::Reverse => codes.iter().rev().map(|&code| if code < 4 { 3 - code } else { code }).collect(),
        _ => codes.to_vec(),
    }
}

/// Genes of a strand that are likely whatever their start, complete ones alone.
fn confident(candidates: &[Candidate], strand: Strand, length: usize) -> Vec<Confident> {
    let mut by_stop: FxHashMap<usize, Confident> = FxHashMap::default();
    for candidate in candidates.iter().filter(|candidate| candidate.strand == strand && !candidate.partial_3) {
        let (begin, end) = match strand {
            Strand::Reverse => {
                let end = length as i64 - candidate.left;
                (end - (candidate.right - candidate.left), end)
            }
            _ => (candidate.left, candidate.right),
        };
        // On a circular sequence both in the first turn.
        let begin = begin.rem_euclid(length as i64) as usize;
        let stop = (end - 1).rem_euclid(length as i64) as usize + 1;
        let gene = by_stop.entry(stop).or_insert(Confident { probability: 0.0, starts: Vec::new(), stop });
        gene.probability += candidate.probability;
        if !candidate.partial_5 {
            gene.starts.push((begin, candidate.probability));
        }
    }
    let mut genes: Vec<Confident> = by_stop.into_values().collect();
    genes.retain(|gene| gene.probability >= CONFIDENT && !gene.starts.is_empty());
    genes.sort_by_key(|gene| gene.stop);
    genes
}

#[cfg(test)]
mod tests;
