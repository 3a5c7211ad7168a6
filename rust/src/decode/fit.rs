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
use super::spliced::NO_SECOND_PASS;
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

/// One weight that the search moves: its place, its first step, its bounds, and whether steps multiply.
struct Dial {
    place: fn(&mut GeneParameters) -> &mut f64,
    step: f64,
    low: f64,
    high: f64,
    factor: bool,
}

impl Dial {
    /// The weight `steps` steps further, within its bounds. Weights that steps multiply reach 0 below their bound.
    fn moved(&self, value: f64, steps: f64) -> f64 {
        if !self.factor {
            return (value + steps).clamp(self.low, self.high);
        }
        let target = if value == 0.0 && steps > 0.0 { 2.0 * self.low } else { value * steps.exp2() };
        if target < self.low { 0.0 } else { target.min(self.high) }
    }
}

fn dials(program: Program) -> Vec<Dial> {
    macro_rules! dial {
        ($($field:ident).+, $factor:expr, $step:expr, $low:expr, $high:expr) => {
            Dial {
                place: |p: &mut GeneParameters| &mut p.weights.$($field).+,
                step: $step,
                low: $low,
                high: $high,
                factor: $factor,
            }
        };
    }
    let mut dials = vec![
        dial!(gene, false, 2.0, -60.0, 20.0),
        dial!(cds_scale, true, 1.0, 0.0005, 0.3),
        dial!(cds_base, false, 0.004, -0.05, 0.05),
        dial!(start.weight, true, 1.0, 0.05, 3.0),
        dial!(rank, true, 1.0, 0.1, 6.0),
        dial!(stop.weight, true, 1.0, 0.05, 3.0),
        dial!(length, true, 1.0, 0.05, 2.0),
        dial!(space, true, 1.0, 0.05, 2.0),
        dial!(switch, false, 0.5, -10.0, 3.0),
    ];
    match program {
        Program::Spliced => dials.extend([
            dial!(intron, false, 2.0, -40.0, 10.0),
            dial!(donor.weight, true, 1.0, 0.05, 3.0),
            dial!(acceptor.weight, true, 1.0, 0.05, 3.0),
            dial!(intron_scale, true, 1.0, 0.0005, 0.3),
            dial!(intron_base, false, 0.004, -0.05, 0.05),
            dial!(gc_donor, false, 1.0, -10.0, 1.0),
            dial!(split_codon, false, 2.0, -20.0, 3.0),
        ]),
        Program::Prokaryotes => dials.push(dial!(overlap, false, 0.02, -1.0, 0.0)),
    }
    dials
}

/// Points to choose the beginnings from: as given; a grid of loud and quiet evidence and dear and cheap genes and introns;
/// open reading frames with hardly any evidence.
fn beginnings(initial: &GeneParameters) -> Vec<GeneParameters> {
    let mut points = vec![initial.clone()];
    let mut add = |change: &dyn Fn(&mut super::parameters::Weights)| {
        let mut point = initial.clone();
        change(&mut point.weights);
        points.push(point);
    };
    let introns: &[f64] = if initial.program == Program::Spliced { &[-3.0, -9.0] } else { &[0.0] };
    for scale in [0.003, 0.01, 0.03] {
        for gene in [-6.0, -14.0] {
            for signal in [0.5, 1.0] {
                for &intron in introns {
                    add(&|w| {
                        (w.cds_scale, w.intron_scale, w.gene, w.intron) = (scale, scale, gene, intron);
                        for site in [&mut w.start, &mut w.stop, &mut w.donor, &mut w.acceptor] {
                            site.weight = signal;
                        }
                    });
                }
            }
        }
    }
    for scale in [0.0, 0.002, 0.005] {
        for minimum in [150, 300] {
            for signal in [0.0, 0.25] {
                add(&|w| {
                    // 0.0153 nats a base: a chance reading frame goes on past a codon with 61/64, a gene with 449/450.
                    w.cds_base = 0.0153;
                    (w.cds_scale, w.intron_scale) = (scale, scale);
                    w.minimum_cds = w.minimum_cds.max(minimum);
                    w.gene = -3.0;
                    (w.length, w.space, w.switch) = (0.0, 0.0, 0.0);
                    w.rank = 1.0;
                    w.intron = -30.0;
                    (w.start, w.stop) =
                        (SignalWeight { weight: signal, bias: 0.0 }, SignalWeight { weight: 0.0, bias: 0.0 });
                });
            }
        }
    }
    points
}

/// How many of the beginnings the search follows.
const PATHS: usize = 3;

/// Shortest coding sequences to try, bp.
const MINIMA: [u32; 6] = [60, 90, 150, 210, 300, 360];

/// A smaller gain is taken for chance.
const GAIN: f64 = 0.03;

/// A point of the search with its value.
#[derive(Clone)]
struct Point {
    parameters: GeneParameters,
    objective: f64,
    gene_f1: f64,
}

/// The initial parameters with weights and calibration fitted to the examples. Deterministic, whatever the threads.
/// `progress` is called after each weight; the search ends with an error when it returns `false`.
pub fn fit(
    examples: &[Example],
    initial: &GeneParameters,
    search: Search,
    mut progress: impl FnMut(Progress) -> bool + Send,
) -> Result<GeneParameters> {
    if examples.iter().all(|example| example.reference.genes.is_empty()) {
        return Err(Error::input("the validation regions have no gene to fit weights to"));
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(search.threads)
        .build()
        .map_err(|e| Error::input(format!("threads for fitting could not be started: {e}")))?;
    pool.install(|| {
        let evaluations = Cell::new(0);
        let values = |candidates: Vec<GeneParameters>| -> Result<Vec<Point>> {
            evaluations.set(evaluations.get() + candidates.len());
            candidates
                .into_par_iter()
                .map(|parameters| {
                    let found = score(examples, &decode(examples, &parameters, false)?);
                    let gene_f1 = found.level("gene").map_or(0.0, |level| level.f1());
                    Ok(Point { parameters, objective: objective(&found), gene_f1 })
                })
                .collect()
        };
        let mut start = initial.clone();
        // Genes inside others are few; the search for them doubles the time and comes last.
        start.weights.nested = NO_SECOND_PASS;
        let mut points = values(beginnings(&start))?;
        // A stable sort: the first of equals stays first.
        points.sort_by(|a, b| b.objective.total_cmp(&a.objective));
        points.truncate(PATHS);
        let dials = dials(initial.program);
        let mut steps: Vec<Vec<f64>> = vec![dials.iter().map(|dial| dial.step).collect(); points.len()];
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for round in 0..search.rounds {
            let before = points[0].objective;
            for (point, steps) in points.iter_mut().zip(&mut steps) {
                for (dial, step) in dials.iter().zip(steps.iter_mut()) {
                    let mut moved = Vec::new();
                    for direction in [1.0, -1.0] {
                        let mut next = point.parameters.clone();
                        let place = (dial.place)(&mut next);
                        let target = dial.moved(*place, direction * *step);
                        if target != *place {
                            *place = target;
                            moved.push(next);
                        }
                    }
                    *step *= if improve(point, values(moved)?) { 1.3 } else { 0.6 };
                    let (objective, gene_f1) = (point.objective, point.gene_f1);
                    if !progress(Progress { round, evaluations: evaluations.get(), objective, gene_f1 }) {
                        return Err(Error::input("fitting was stopped"));
                    }
                }
                // Several weights at once, where one alone does not help.
                let together = (0..JOINT)
                    .map(|_| {
                        let mut next = point.parameters.clone();
                        for (dial, step) in dials.iter().zip(steps.iter()) {
                            let place = (dial.place)(&mut next);
                            *place = dial.moved(*place, 2.0 * step * random.normal());
                        }
                        next
                    })
                    .collect();
                improve(point, values(together)?);
                let minima = MINIMA.iter().map(|&minimum| {
                    let mut next = point.parameters.clone();
                    next.weights.minimum_cds = minimum;
                    next
                });
                improve(point, values(minima.collect())?);
            }
            let mut order: Vec<usize> = (0..points.len()).collect();
            order.sort_by(|&a, &b| points[b].objective.total_cmp(&points[a].objective));
            // The best goes on; a rival only while it keeps near.
            let top = points[order[0]].objective;
            order.retain(|&i| points[i].objective > top - 2.0);
            order.truncate(if round == 0 { PATHS } else { PATHS.saturating_sub(round).max(1) });
            points = order.iter().map(|&i| points[i].clone()).collect();
            steps = order.iter().map(|&i| steps[i].clone()).collect();
            if round > 1 && points[0].objective - before < GAIN {
                break;
            }
        }
        let mut best = points.swap_remove(0);
        let (objective, gene_f1) = (best.objective, best.gene_f1);
        if !progress(Progress { round: search.rounds, evaluations: evaluations.get(), objective, gene_f1 }) {
            return Err(Error::input("fitting was stopped"));
        }
        if initial.program == Program::Spliced {
            let nested = [-20.0, -12.0, -7.0, -4.0].map(|nested| {
                let mut next = best.parameters.clone();
                next.weights.nested = nested;
                next
            });
            improve(&mut best, values(nested.to_vec())?);
        }
        let mut fitted = best.parameters;
        fitted.calibration = calibrate(examples, &decode(examples, &fitted, true)?);
        fitted.fitted = true;
        Ok(fitted)
    })
}

/// Joint moves a round.
const JOINT: usize = 12;

/// Replaces the point by the best candidate if that is better.
fn improve(point: &mut Point, candidates: Vec<Point>) -> bool {
    let mut better = false;
    for candidate in candidates {
        if candidate.objective > point.objective + GAIN {
            *point = candidate;
            better = true;
        }
    }
    better
}

/// A small generator (splitmix64), so that the search is the same everywhere.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ x >> 31) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Nearly normal: the sum of twelve uniform numbers.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
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
