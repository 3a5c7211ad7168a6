//! Fits the weights on validation sequences: those of the spliced program by maximum likelihood (`likelihood`), those of
//! the prokaryotes' by a search for the best gene F1 (`search`); then the calibration of the genes' scores.
//!
//! A search for F1 alone chases the chance of a few hundred genes: of yeast's spliced genes it found weights that were
//! worse on other chromosomes than those it began with, where the likeliest ones were better (benchmarks/RESULTS.md).

mod ascent;
mod calibration;
pub(super) mod likelihood;
mod search;

use std::sync::Arc;

use rayon::prelude::*;

use super::Decoder;
use super::gene_model::{self, GeneModel};
use super::parameters::{GeneParameters, Program};
use crate::annotation::Annotation;
use crate::compare::{self, Comparison};
use crate::dna::GeneticCode;
use crate::error::{Error, Result};
use crate::gene::{Interval, Strand, Transcript};

/// A validation region with its evidence (`[bases, 2, 6]` each) and its true genes.
pub struct Example<'a> {
    pub sequence: &'a [u8],
    pub classes: &'a [f32],
    pub signals: &'a [f32],
    pub code: &'static GeneticCode,
    /// From [`reference`]: the whole genes of this region, which is its only sequence.
    pub reference: Annotation,
}

/// True genes as an annotation of one sequence: strand, and the coding sequence of each isoform.
pub fn reference(genes: Vec<(Strand, Vec<Vec<Interval>>)>) -> Annotation {
    let models = genes.into_iter().filter(|(_, isoforms)| !isoforms.is_empty()).map(|(strand, isoforms)| {
        let first =
            GeneModel { strand, cds: isoforms[0].clone(), phase: 0, partial_5: false, partial_3: false, score: 0.0 };
        (first, isoforms)
    });
    let mut annotation = gene_model::annotation("", 0, false, 1, Vec::new(), |_| None);
    for (model, isoforms) in models {
        let mut gene = gene_model::annotation("", 0, false, 1, vec![model], |_| None).genes.remove(0);
        let first = gene.transcripts.remove(0);
        gene.transcripts =
            isoforms.into_iter().map(|cds| Transcript { exons: cds.clone(), cds, ..first.clone() }).collect();
        annotation.genes.push(gene);
    }
    annotation
}

/// How hard to try.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Passes over all weights, at most; 0 leaves it to the program.
    pub rounds: usize,
    /// Threads; 0 takes one a core.
    pub threads: usize,
}

/// What one step found; for progress reports.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    pub round: usize,
    pub evaluations: usize,
    /// What is maximised: of the spliced program the log-likelihood, of the prokaryotes' [`objective`].
    pub objective: f64,
    /// Percent; not a number where it is not known yet.
    pub gene_f1: f64,
}

/// Told after each step; the fit ends with an error when it returns `false`.
type Told<'a> = &'a mut (dyn FnMut(Progress) -> bool + Send);

/// What is maximised: gene F1 in percent, and a share of the F1 of its parts, which change where genes do not and are
/// less a matter of chance.
pub fn objective(found: &Comparison) -> f64 {
    let f1 = |name| found.level(name).map_or(0.0, |level| level.f1());
    f1("gene") + 0.2 * (f1("start") + f1("stop")) + 0.1 * (f1("cds_exon") + f1("cds_base"))
}

/// Genes of all examples by the parameters.
fn decode(examples: &[Example], parameters: &GeneParameters, posteriors: bool) -> Result<Vec<Vec<GeneModel>>> {
    let shared = Arc::new(parameters.clone());
    examples
        .par_iter()
        .map(|example| {
            let mut decoder = Decoder::new(shared.clone(), example.code, example.sequence, false)?;
            if posteriors {
                decoder = decoder.with_posteriors();
            }
            decoder.push(example.classes, example.signals)?;
            decoder.finish()
        })
        .collect()
}

/// Compares the genes of all examples with the truth. Genes that a region's end cuts are in neither.
fn score(examples: &[Example], models: &[Vec<GeneModel>]) -> Comparison {
    let mut total = Comparison::default();
    for (example, models) in examples.iter().zip(models) {
        let whole = models.iter().filter(|model| !model.partial_5 && !model.partial_3).cloned().collect();
        let predicted = gene_model::annotation("", 0, false, 1, whole, |_| None);
        total.merge(&compare::compare(&predicted, &example.reference, &compare::Options::default()));
    }
    total
}

/// A point with its value.
#[derive(Clone)]
struct Point {
    parameters: GeneParameters,
    objective: f64,
    gene_f1: f64,
}

/// The values of several points.
fn values(examples: &[Example], candidates: Vec<GeneParameters>) -> Result<Vec<Point>> {
    candidates
        .into_par_iter()
        .map(|parameters| {
            let found = score(examples, &decode(examples, &parameters, false)?);
            let gene_f1 = found.level("gene").map_or(0.0, |level| level.f1());
            Ok(Point { parameters, objective: objective(&found), gene_f1 })
        })
        .collect()
}

fn stopped() -> Error {
    Error::input("fitting was stopped")
}

/// The initial parameters with weights and calibration fitted to the examples. Deterministic, whatever the threads.
pub fn fit(
    examples: &[Example],
    initial: &GeneParameters,
    effort: Effort,
    mut progress: impl FnMut(Progress) -> bool + Send,
) -> Result<GeneParameters> {
    if examples.iter().all(|example| example.reference.genes.is_empty()) {
        return Err(Error::input("the validation regions have no gene to fit weights to"));
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(effort.threads)
        .build()
        .map_err(|e| Error::input(format!("threads for fitting could not be started: {e}")))?;
    pool.install(|| {
        let mut fitted = match initial.program {
            Program::Spliced => likelihood::fit(examples, initial, effort.rounds, &mut progress)?,
            Program::Prokaryotes => search::fit(examples, initial, effort.rounds, &mut progress)?,
        };
        fitted.calibration = calibration::calibrate(examples, &decode(examples, &fitted, true)?);
        fitted.fitted = true;
        Ok(fitted)
    })
}
