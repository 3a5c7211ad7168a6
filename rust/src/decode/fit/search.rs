//! The prokaryotes' weights: the share of exactly right genes is what counts, and it has no gradient, so each weight in
//! turn is moved up and down by a step that grows where it helps and shrinks where it does not.
//!
//! The search starts from several points, among them ones that trust open reading frames alone: with weak evidence that
//! is the safe choice, and the result is never worse than it on the validation sequences.

use super::{Example, Point, Progress, Told, stopped, values};
use crate::decode::parameters::{GeneParameters, SignalWeight, Weights};
use crate::error::Result;

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

fn dials() -> Vec<Dial> {
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
    vec![
        dial!(gene, false, 2.0, -60.0, 20.0),
        dial!(cds_scale, true, 1.0, 0.0005, 0.3),
        dial!(cds_base, false, 0.004, -0.05, 0.05),
        dial!(start.weight, true, 1.0, 0.05, 3.0),
        dial!(rank, true, 1.0, 0.1, 6.0),
        dial!(stop.weight, true, 1.0, 0.05, 3.0),
        dial!(length, true, 1.0, 0.05, 2.0),
        dial!(space, true, 1.0, 0.05, 2.0),
        dial!(switch, false, 0.5, -10.0, 3.0),
        dial!(overlap, false, 0.02, -1.0, 0.0),
    ]
}

/// Points to choose the beginnings from: as given; a grid of loud and quiet evidence and dear and cheap genes; open reading
/// frames with hardly any evidence.
fn beginnings(initial: &GeneParameters) -> Vec<GeneParameters> {
    let mut points = vec![initial.clone()];
    let mut add = |change: &dyn Fn(&mut Weights)| {
        let mut point = initial.clone();
        change(&mut point.weights);
        points.push(point);
    };
    for scale in [0.003, 0.01, 0.03] {
        for gene in [-6.0, -14.0] {
            for signal in [0.5, 1.0] {
                add(&|w| {
                    (w.cds_scale, w.gene, w.start.weight, w.stop.weight) = (scale, gene, signal, signal);
                });
            }
        }
    }
    points.extend(reading_frames(initial));
    points
}

/// Parameters that trust open reading frames, and the evidence hardly at all.
pub fn reading_frames(initial: &GeneParameters) -> Vec<GeneParameters> {
    let mut points = Vec::new();
    for scale in [0.0, 0.002, 0.005] {
        for minimum in [150, 300] {
            for signal in [0.0, 0.25] {
                let mut point = initial.clone();
                let w = &mut point.weights;
                // 0.0153 nats a base: a chance reading frame goes on past a codon with 61/64, a gene with 449/450.
                w.cds_base = 0.0153;
                (w.cds_scale, w.intron_scale) = (scale, scale);
                w.minimum_cds = w.minimum_cds.max(minimum);
                (w.gene, w.intron) = (-3.0, -30.0);
                (w.length, w.space, w.switch) = (0.0, 0.0, 0.0);
                w.rank = 1.0;
                (w.start, w.stop) =
                    (SignalWeight { weight: signal, bias: 0.0 }, SignalWeight { weight: 0.0, bias: 0.0 });
                points.push(point);
            }
        }
    }
    points
}

/// Passes over all weights, at most, where the caller does not say.
const ROUNDS: usize = 8;

/// How many of the beginnings the search follows.
const PATHS: usize = 3;

/// Joint moves a round.
const JOINT: usize = 12;

/// Shortest coding sequences to try, bp.
const MINIMA: [u32; 6] = [60, 90, 150, 210, 300, 360];

/// A smaller gain is taken for chance.
const GAIN: f64 = 0.03;

/// The weights with the best [`super::objective`] that the search finds from `initial` on.
pub fn fit(examples: &[Example], initial: &GeneParameters, rounds: usize, told: Told<'_>) -> Result<GeneParameters> {
    let rounds = if rounds == 0 { ROUNDS } else { rounds };
    let mut evaluations = 0;
    let mut values = |candidates: Vec<GeneParameters>| {
        evaluations += candidates.len();
        values(examples, candidates).map(|points| (points, evaluations))
    };
    let (mut points, _) = values(beginnings(initial))?;
    // A stable sort: the first of equals stays first.
    points.sort_by(|a, b| b.objective.total_cmp(&a.objective));
    points.truncate(PATHS);
    let dials = dials();
    let mut steps: Vec<Vec<f64>> = vec![dials.iter().map(|dial| dial.step).collect(); points.len()];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..rounds {
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
                let (found, evaluations) = values(moved)?;
                *step *= if improve(point, found) { 1.3 } else { 0.6 };
                let (objective, gene_f1) = (point.objective, point.gene_f1);
                if !told(Progress { round, evaluations, objective, gene_f1 }) {
                    return Err(stopped());
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
            improve(point, values(together)?.0);
            let minima = MINIMA.iter().map(|&minimum| {
                let mut next = point.parameters.clone();
                next.weights.minimum_cds = minimum;
                next
            });
            improve(point, values(minima.collect())?.0);
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
    let best = points.swap_remove(0);
    let (objective, gene_f1) = (best.objective, best.gene_f1);
    if !told(Progress { round: rounds, evaluations, objective, gene_f1 }) {
        return Err(stopped());
    }
    Ok(best.parameters)
}

/// Replaces the point by the best candidate if that is better.
pub fn improve(point: &mut Point, candidates: Vec<Point>) -> bool {
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
