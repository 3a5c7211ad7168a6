//! Fits the weights on validation sequences: the share of exactly right genes is what counts, and it has no gradient, so
//! each weight in turn is moved up and down by a step that grows where it helps and shrinks where it does not.
//!
//! The search starts from several points, among them one that trusts open reading frames alone: with weak evidence that
//! is the safe choice, and the result is never worse than it on the validation sequences.

use std::cell::Cell;
use std::sync::Arc;

use rayon::prelude::*;

use super::Decoder;
use super::gene_model::{self, GeneModel};
use super::parameters::{Calibration, GeneParameters, Program, SignalWeight};
use crate::annotation::Annotation;
use crate::compare::{self, Comparison};
use crate::dna::GeneticCode;
use crate::error::{Error, Result};

/// A validation sequence with its evidence (`[bases, 2, 6]` each) and its true genes.
pub struct Example<'a> {
    pub sequence: &'a [u8],
    pub classes: &'a [f32],
    pub signals: &'a [f32],
    pub code: &'static GeneticCode,
    pub circular: bool,
    /// The genes of this sequence, which is its only one.
    pub reference: Annotation,
}

/// How to search.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    /// Passes over all weights, at most.
    pub rounds: usize,
    /// Threads; 0 takes one a core.
    pub threads: usize,
}

impl Default for Search {
    fn default() -> Self {
        Search { rounds: 8, threads: 0 }
    }
}

/// What one step of the search found; for progress reports.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    pub round: usize,
    pub evaluations: usize,
    /// See [`objective`].
    pub objective: f64,
    /// Percent.
    pub gene_f1: f64,
}

/// What is maximised: gene F1 in percent, and a little of exons' and bases' F1, which change where genes do not.
pub fn objective(found: &Comparison) -> f64 {
    let f1 = |name| found.level(name).map_or(0.0, |level| level.f1());
    f1("gene") + 0.1 * f1("cds_exon") + 0.05 * f1("cds_base")
}

/// Genes of all examples by the parameters.
fn decode(examples: &[Example], parameters: &GeneParameters) -> Result<Vec<Vec<GeneModel>>> {
    let shared = Arc::new(parameters.clone());
    examples
        .par_iter()
        .map(|example| {
            let mut decoder = Decoder::new(shared.clone(), example.code, example.sequence, example.circular)?;
            decoder.push(example.classes, example.signals)?;
            decoder.finish()
        })
        .collect()
}

/// Compares the genes of all examples with the truth; sequences are numbered, for their ids may repeat.
fn score(examples: &[Example], models: &[Vec<GeneModel>]) -> Comparison {
    let mut total = Comparison::default();
    for (example, models) in examples.iter().zip(models) {
        let seqid = &example.reference.seqids[0];
        let length = example.sequence.len() as u64;
        let predicted =
            gene_model::annotation(seqid, length, example.circular, example.code.number, models.clone(), |_| None);
        total.merge(&compare::compare(&predicted, &example.reference, &compare::Options::default()));
    }
    total
}

/// One weight that the search moves: its place, its first step, and its bounds.
struct Dial {
    place: fn(&mut GeneParameters) -> &mut f64,
    step: f64,
    low: f64,
    high: f64,
}

fn dials(program: Program) -> Vec<Dial> {
    macro_rules! dial {
        ($($field:ident).+, $step:expr, $low:expr, $high:expr) => {
            Dial { place: |p: &mut GeneParameters| &mut p.weights.$($field).+, step: $step, low: $low, high: $high }
        };
    }
    let mut dials = vec![
        dial!(cds_scale, 0.01, 0.0, 0.3),
        dial!(gene, 2.0, -60.0, 20.0),
        dial!(cds_base, 0.005, -0.05, 0.05),
        dial!(start.weight, 0.25, 0.0, 3.0),
        dial!(rank, 0.5, 0.0, 4.0),
        dial!(stop.weight, 0.25, 0.0, 3.0),
        dial!(length, 0.25, 0.0, 2.0),
        dial!(space, 0.25, 0.0, 2.0),
        dial!(switch, 0.5, -10.0, 3.0),
        dial!(overlap, 0.02, -1.0, 0.0),
        dial!(partial, 2.0, -30.0, 5.0),
    ];
    if program == Program::Spliced {
        dials.extend([
            dial!(intron, 2.0, -40.0, 10.0),
            dial!(donor.weight, 0.25, 0.0, 3.0),
            dial!(acceptor.weight, 0.25, 0.0, 3.0),
            dial!(intron_scale, 0.01, 0.0, 0.3),
            dial!(intron_base, 0.005, -0.05, 0.05),
            dial!(gc_donor, 1.0, -10.0, 1.0),
            dial!(split_codon, 2.0, -20.0, 3.0),
            dial!(nested, 2.0, -40.0, 0.0),
        ]);
    }
    dials
}

/// Starting points: as given; louder and quieter evidence; open reading frames with hardly any evidence.
fn beginnings(initial: &GeneParameters) -> Vec<GeneParameters> {
    let mut points = vec![initial.clone()];
    for factor in [0.4, 2.0] {
        let mut point = initial.clone();
        point.weights.cds_scale *= factor;
        point.weights.intron_scale *= factor;
        points.push(point);
    }
    for (scale, minimum) in [(0.0, 300), (0.01, 150)] {
        let mut point = initial.clone();
        let w = &mut point.weights;
        // 0.0153 nats a base: a chance reading frame goes on past a codon with 61/64, a gene with about 449/450.
        w.cds_base = 0.0153;
        w.cds_scale = scale;
        w.intron_scale = scale;
        w.minimum_cds = w.minimum_cds.max(minimum);
        w.gene = -3.0;
        w.length = 0.0;
        w.space = 0.0;
        w.switch = 0.0;
        w.rank = 1.0;
        w.intron = -30.0;
        w.nested = -30.0;
        let quiet = SignalWeight { weight: 0.0, bias: 0.0 };
        (w.start, w.stop) = (quiet, quiet);
        points.push(point);
    }
    points
}

/// Shortest coding sequences to try, bp.
const MINIMA: [u32; 6] = [60, 90, 150, 210, 300, 360];

/// The initial parameters with weights and calibration fitted to the examples. Deterministic, whatever the threads.
/// `progress` is called after every improvement round and may stop the search by returning `false`.
pub fn fit(
    examples: &[Example],
    initial: &GeneParameters,
    search: Search,
    mut progress: impl FnMut(Progress) -> bool + Send,
) -> Result<GeneParameters> {
    if examples.iter().all(|example| example.reference.genes.is_empty()) {
        return Err(Error::input("the validation sequences have no gene to fit weights to"));
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(search.threads)
        .build()
        .map_err(|e| Error::input(format!("threads for fitting could not be started: {e}")))?;
    pool.install(|| {
        let evaluations = Cell::new(0);
        // Candidates side by side; the first of the best wins.
        let best_of = |points: Vec<GeneParameters>| -> Result<(GeneParameters, f64, f64)> {
            evaluations.set(evaluations.get() + points.len());
            let scored: Vec<(f64, f64)> = points
                .par_iter()
                .map(|point| {
                    let found = score(examples, &decode(examples, point)?);
                    Ok((objective(&found), found.level("gene").map_or(0.0, |level| level.f1())))
                })
                .collect::<Result<_>>()?;
            let top = (0..points.len()).fold(0, |top, i| if scored[i].0 > scored[top].0 { i } else { top });
            let point = points.into_iter().nth(top).expect("there is at least one");
            Ok((point, scored[top].0, scored[top].1))
        };
        let (mut best, mut value, mut gene_f1) = best_of(beginnings(initial))?;
        let dials = dials(initial.program);
        let mut steps: Vec<f64> = dials.iter().map(|dial| dial.step).collect();
        for round in 0..search.rounds {
            let before = value;
            for (dial, step) in dials.iter().zip(&mut steps) {
                let moved: Vec<GeneParameters> = [1.0, -1.0]
                    .into_iter()
                    .filter_map(|direction| {
                        let mut point = best.clone();
                        let place = (dial.place)(&mut point);
                        let target = (*place + direction * *step).clamp(dial.low, dial.high);
                        let changed = target != *place;
                        *place = target;
                        changed.then_some(point)
                    })
                    .collect();
                if moved.is_empty() {
                    continue;
                }
                let (point, found, f1) = best_of(moved)?;
                // A gain below this is noise of a single exon.
                if found > value + 1e-3 {
                    (best, value, gene_f1) = (point, found, f1);
                    *step *= 1.5;
                } else {
                    *step *= 0.5;
                }
            }
            let minima: Vec<GeneParameters> = MINIMA
                .iter()
                .filter(|&&minimum| minimum != best.weights.minimum_cds)
                .map(|&minimum| {
                    let mut point = best.clone();
                    point.weights.minimum_cds = minimum;
                    point
                })
                .collect();
            let (point, found, f1) = best_of(minima)?;
            if found > value + 1e-3 {
                (best, value, gene_f1) = (point, found, f1);
            }
            let go_on = progress(Progress { round, evaluations: evaluations.get(), objective: value, gene_f1 });
            if !go_on || (value - before < 0.02 && round > 1) {
                break;
            }
        }
        let models = decode(examples, &best)?;
        best.calibration = calibrate(examples, &models);
        best.fitted = true;
        Ok(best)
    })
}

/// Logistic regression of "the gene is exactly right" on its score.
fn calibrate(examples: &[Example], models: &[Vec<GeneModel>]) -> Calibration {
    let mut data: Vec<(f64, bool)> = Vec::new();
    for (example, models) in examples.iter().zip(models) {
        let truth: std::collections::HashSet<_> = example
            .reference
            .genes
            .iter()
            .flat_map(|gene| gene.transcripts.iter().map(move |t| (gene.strand, t.cds.as_slice())))
            .collect();
        data.extend(models.iter().map(|m| (m.score, truth.contains(&(m.strand, m.cds.as_slice())))));
    }
    fit_logistic(&data)
}

/// Newton's method with a weak prior, so that a perfect split stays finite. Scores are cut at plus or minus 100.
fn fit_logistic(data: &[(f64, bool)]) -> Calibration {
    let (mut scale, mut bias) = (0.1f64, 0.0f64);
    for _ in 0..50 {
        let (mut g0, mut g1) = (-0.01 * bias, -(scale - 0.1));
        let (mut h00, mut h01, mut h11) = (0.01, 0.0, 1.0);
        for &(score, right) in data {
            let x = score.clamp(-100.0, 100.0);
            let p = 1.0 / (1.0 + (-(scale * x + bias)).exp());
            let rest = f64::from(u8::from(right)) - p;
            let w = (p * (1.0 - p)).max(1e-9);
            g0 += rest;
            g1 += rest * x;
            h00 += w;
            h01 += w * x;
            h11 += w * x * x;
        }
        let determinant = h00 * h11 - h01 * h01;
        let (d0, d1) = ((h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant);
        // Short steps far out, where the curve is flat.
        bias += d0.clamp(-2.0, 2.0);
        scale = (scale + d1.clamp(-0.2, 0.2)).max(1e-3);
        if d0.abs() < 1e-9 && d1.abs() < 1e-9 {
            break;
        }
    }
    Calibration { scale, bias }
}
