//! The spliced program's weights by maximum likelihood: how probable do they make the true genes of the regions? The log of
//! it is the score of the truth less the log of the sum over all annotations, as of a conditional random field (Lafferty,
//! McCallum and Pereira 2001). Unlike a count of right genes it changes smoothly with every weight, and every gene and
//! every gap between genes speaks in it.

use std::sync::Arc;

use rayon::prelude::*;
use rustc_hash::FxHashSet;

use super::ascent::climb;
use super::search::{improve, reading_frames};
use super::{Example, Point, Progress, Told, stopped, values};
use crate::decode::engine::{Engine, Event, Stretch, Taken, padded_codes};
use crate::decode::parameters::GeneParameters;
use crate::decode::spliced::{NO_SECOND_PASS, models};
use crate::error::{Error, Result};
use crate::gene::{Interval, Strand};

/// One weight that is fitted, in units in which 1 is a usual change: a weight that cannot be negative by its logarithm, of
/// others the value by `unit`.
struct Dial {
    place: fn(&mut GeneParameters) -> &mut f64,
    unit: Option<f64>,
}

impl Dial {
    fn get(&self, parameters: &mut GeneParameters) -> f64 {
        let value = *(self.place)(parameters);
        match self.unit {
            Some(unit) => value / unit,
            // A weight of 0 begins small, or it could never grow.
            None => value.max(1e-4).ln(),
        }
    }

    fn set(&self, parameters: &mut GeneParameters, at: f64) {
        *(self.place)(parameters) = match self.unit {
            Some(unit) => at * unit,
            None => at.exp(),
        };
    }
}

fn dials() -> Vec<Dial> {
    macro_rules! dial {
        ($($field:ident).+, $unit:expr) => {
            Dial { place: |p: &mut GeneParameters| &mut p.weights.$($field).+, unit: $unit }
        };
    }
    vec![
        dial!(gene, Some(2.0)),
        dial!(cds_scale, None),
        dial!(cds_base, Some(0.01)),
        dial!(start.weight, None),
        dial!(rank, None),
        dial!(stop.weight, None),
        dial!(length, None),
        dial!(space, None),
        dial!(switch, Some(1.0)),
        dial!(intron, Some(2.0)),
        dial!(donor.weight, None),
        dial!(acceptor.weight, None),
        dial!(intron_scale, None),
        dial!(intron_base, Some(0.01)),
        dial!(gc_donor, Some(1.0)),
        dial!(split_codon, Some(2.0)),
    ]
}

/// What a weight's distance of 1 from where it began costs, in nats: a normal prior, which few genes do not overcome.
const PRIOR: f64 = 0.5;

/// Rounds, at most, on a part of the regions, and then on all.
const ROUNDS: (usize, usize) = (20, 6);
/// Regions of the first part: a quarter, but not less than so many bp.
const FIRST_BASES: usize = 300_000;
/// A round that gains less than so many nats a gene is the last.
const GAIN: f64 = 1e-3;

/// What is added to the cost of a gene, to choose from: the likeliest annotation of weak evidence has too few genes.
const GENE: [f64; 8] = [0.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0, 6.0];

/// Points that trust reading frames alone have to be better by so much: with weak evidence they can be.
const MARGIN: f64 = 1.0;

/// Costs of nested genes to choose from. They are few, and the likelihood does not know them: the second pass is no part of
/// the sum over all annotations.
const NESTED: [f64; 5] = [NO_SECOND_PASS, -20.0, -12.0, -7.0, -4.0];

/// The likeliest weights. `rounds` limits the rounds on all regions; 0 leaves it to [`ROUNDS`].
pub fn fit(examples: &[Example], initial: &GeneParameters, rounds: usize, told: Told<'_>) -> Result<GeneParameters> {
    let shared = Arc::new(initial.clone());
    let truths: Vec<Truth> = examples.par_iter().map(|example| Truth::new(example, &shared)).collect();
    if truths.iter().all(|truth| truth.genes == 0) {
        return Err(Error::input("the program can say none of the genes of the validation regions"));
    }
    let mut first = 0;
    let mut bases = 0;
    while first < examples.len() && (bases < FIRST_BASES || 4 * first < examples.len()) {
        bases += examples[first].sequence.len();
        first += 1;
    }
    let dials = dials();
    let begun: Vec<f64> = dials.iter().map(|dial| dial.get(&mut initial.clone())).collect();
    let at = |point: &[f64]| {
        let mut parameters = initial.clone();
        for (dial, &x) in dials.iter().zip(point) {
            dial.set(&mut parameters, x);
        }
        parameters
    };
    let rounds = if rounds == 0 { ROUNDS.1 } else { rounds };
    let (mut round, evaluations) = (0, std::sync::atomic::AtomicUsize::new(0));
    let mut point = begun.clone();
    for (regions, rounds) in [(first, ROUNDS.0), (examples.len(), rounds)] {
        // Fewer regions say less, so the prior has to speak lower too.
        let prior = PRIOR * regions as f64 / examples.len() as f64;
        let (examples, truths) = (&examples[..regions], &truths[..regions]);
        let genes: usize = truths.iter().map(|truth| truth.genes).sum();
        let likelihoods = |points: Vec<Vec<f64>>| -> Result<Vec<f64>> {
            evaluations.fetch_add(points.len(), std::sync::atomic::Ordering::Relaxed);
            Ok(points
                .into_par_iter()
                .map(|point| {
                    let parameters = Arc::new(at(&point));
                    let pairs = examples.par_iter().zip(truths);
                    // Collected first: the order of a parallel sum is not always the same.
                    let parts: Vec<f64> = pairs.map(|(e, truth)| truth.log_likelihood(e, &parameters)).collect();
                    let away: f64 = point.iter().zip(&begun).map(|(a, b)| (a - b) * (a - b)).sum();
                    parts.iter().sum::<f64>() - prior * away
                })
                .collect())
        };
        point = climb(point, rounds, GAIN * genes as f64, &likelihoods, &mut |objective| {
            round += 1;
            let evaluations = evaluations.load(std::sync::atomic::Ordering::Relaxed);
            match told(Progress { round, evaluations, objective, gene_f1: f64::NAN }) {
                true => Ok(()),
                false => Err(stopped()),
            }
        })?;
    }
    let (best, tried) = chosen(examples, at(&point))?;
    let evaluations = evaluations.into_inner() + tried;
    if !told(Progress { round, evaluations, objective: best.objective, gene_f1: best.gene_f1 }) {
        return Err(stopped());
    }
    Ok(best.parameters)
}

/// Added to each true gene and intron while only those are summed, so that annotations with fewer of them weigh nothing.
const REWARD: f64 = 10_000.0;

type Events = FxHashSet<(u32, u8, Event)>;

/// What the likelihood cannot tell, by the best [`super::objective`]: a single number at a time, so that chance has little
/// to choose from. Returns the best point and how many were tried.
fn chosen(examples: &[Example], likeliest: GeneParameters) -> Result<(Point, usize)> {
    let vary = |from: &GeneParameters, numbers: &[f64], set: fn(&mut GeneParameters, f64)| {
        let varied = numbers.iter().map(|&number| {
            let mut next = from.clone();
            set(&mut next, number);
            next
        });
        varied.collect::<Vec<_>>()
    };
    let mut start = likeliest;
    start.weights.nested = NO_SECOND_PASS;
    let mut found = values(examples, vary(&start, &GENE, |p, more| p.weights.gene += more))?;
    let mut best = found.remove(0);
    improve(&mut best, found);
    let frames = reading_frames(&start);
    let tried = GENE.len() + frames.len() + NESTED.len();
    for point in values(examples, frames)? {
        if point.objective > best.objective + MARGIN {
            best = point;
        }
    }
    let mut found = values(examples, vary(&best.parameters, &NESTED, |p, nested| p.weights.nested = nested))?;
    best = found.remove(0);
    improve(&mut best, found);
    Ok((best, tried))
}

/// The true genes of a region that one pass of the spliced program can say: no two of them overlap.
pub(in crate::decode) struct Truth {
    codes: Arc<[u8]>,
    events: Events,
    genes: usize,
    introns: usize,
}

fn events(strand: u8, cds: &[Interval]) -> impl Iterator<Item = (u32, u8, Event)> {
    let ends = [(cds[0].start, Event::Open), (cds[cds.len() - 1].end, Event::Close)];
    let introns =
        cds.windows(2).flat_map(|pair| [(pair[0].end, Event::IntronLeft), (pair[1].start, Event::IntronRight)]);
    ends.into_iter().chain(introns).map(move |(at, event)| (at as u32, strand, event))
}

impl Truth {
    /// The first isoform of each gene of the example, as far as the program can say it with these parameters.
    pub(in crate::decode) fn new(example: &Example<'_>, parameters: &Arc<GeneParameters>) -> Truth {
        let mut truth =
            Truth { codes: padded_codes(example.sequence), events: Events::default(), genes: 0, introns: 0 };
        let mut apart: Vec<(u8, &[Interval])> = Vec::new();
        let mut taken = 0;
        for gene in &example.reference.genes {
            let cds = gene.transcripts[0].cds.as_slice();
            if cds[0].start >= taken {
                taken = cds[cds.len() - 1].end;
                apart.push((u8::from(gene.strand == Strand::Reverse), cds));
            }
        }
        truth.events = apart.iter().flat_map(|&(strand, cds)| events(strand, cds)).collect();
        let mut engine = truth.engine(example, parameters);
        engine.push(example.classes, example.signals);
        let said = models(&engine.finish(), example.sequence.len());
        apart.retain(|&(strand, cds)| {
            said.iter().any(|gene| u8::from(gene.strand == Strand::Reverse) == strand && gene.cds == cds)
        });
        truth.events = apart.iter().flat_map(|&(strand, cds)| events(strand, cds)).collect();
        truth.genes = apart.len();
        truth.introns = apart.iter().map(|(_, cds)| cds.len() - 1).sum();
        truth
    }

    /// Finds nothing but the true genes, for a reward.
    fn engine(&self, example: &Example<'_>, parameters: &GeneParameters) -> Engine {
        let mut parameters = parameters.clone();
        parameters.weights.gene += REWARD;
        parameters.weights.intron += REWARD;
        let closed = Stretch { start: 0, end: example.sequence.len(), open_start: false, open_end: false };
        let none = Taken::default();
        let mut engine = Engine::new(Arc::new(parameters), example.code, self.codes.clone(), closed, none, 0.0);
        engine.allow_only(self.events.clone());
        engine
    }

    fn score(&self, example: &Example<'_>, parameters: &Arc<GeneParameters>) -> f64 {
        sum(&mut self.engine(example, parameters), example) - REWARD * (self.genes + self.introns) as f64
    }

    /// The log of the probability of these genes, and no others, in the region.
    pub(in crate::decode) fn log_likelihood(&self, example: &Example<'_>, parameters: &Arc<GeneParameters>) -> f64 {
        let stretch = Stretch { start: 0, end: example.sequence.len(), open_start: true, open_end: true };
        let mut all = Engine::new(parameters.clone(), example.code, self.codes.clone(), stretch, Taken::default(), 0.0);
        self.score(example, parameters) - sum(&mut all, example)
    }
}

fn sum(engine: &mut Engine, example: &Example<'_>) -> f64 {
    engine.sum_paths(Vec::new());
    engine.push(example.classes, example.signals);
    engine.finish();
    engine.score
}
