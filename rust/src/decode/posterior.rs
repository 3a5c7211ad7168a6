//! Posterior probabilities of genes: the share of all annotations, weighted by the exponential of their score, that have
//! the gene exactly so. Sums over all annotations come from the same program, with sums in the place of maxima, once from
//! the left and once, on the reverse complement, from the right.

use std::sync::Arc;

use super::engine::{Engine, PAD, ROW, Stretch, Taken, log_add};
use super::gene_model::GeneModel;
use super::parameters::{GeneParameters, LengthPrior};
use crate::dna::GeneticCode;
use crate::gene::Strand;

/// Log odds are cut to plus or minus this: beyond it the sums' rounding decides.
const LARGEST: f64 = 30.0;

/// The log odds of a probability given by its logarithm.
pub fn log_odds(log_p: f64) -> f64 {
    let log_p = log_p.min(-1e-14);
    // ln(1 - p) without loss for p near 0 and near 1.
    let rest = if log_p > -0.7 { (-log_p.exp_m1()).ln() } else { (-log_p.exp()).ln_1p() };
    (log_p - rest).clamp(-LARGEST, LARGEST)
}

/// Puts the log odds of their posteriors into the scores of genes that the first pass found in a stretch. `evidence` is
/// classes and signals of the stretch; `codes` are the padded base codes of the whole sequence.
pub fn spliced(
    parameters: &Arc<GeneParameters>,
    code: &GeneticCode,
    codes: &Arc<[u8]>,
    stretch: Stretch,
    evidence: (&[f32], &[f32]),
    genes: &mut [GeneModel],
) {
    let bases = stretch.end - stretch.start;
    let strand_of = |gene: &GeneModel| usize::from(gene.strand == Strand::Reverse);
    let bounds = |gene: &GeneModel| {
        let span = gene.span();
        (span.start as usize, span.end as usize)
    };
    let cut = |gene: &GeneModel| match gene.strand {
        Strand::Reverse => (gene.partial_3, gene.partial_5),
        _ => (gene.partial_5, gene.partial_3),
    };

    let mut forward = Engine::new(parameters.clone(), code, codes.clone(), stretch, Taken::default(), 0.0);
    forward.sum_paths(genes.iter().map(|gene| (bounds(gene).0, strand_of(gene))).collect());
    forward.push(evidence.0, evidence.1);
    forward.finish();

    // The reverse complement of the stretch alone: a sequence of its own, from 0.
    let mirrored: Vec<u8> = codes[stretch.start..stretch.end + 2 * PAD]
        .iter()
        .rev()
        .map(|&base| if base < 4 { 3 - base } else { base })
        .collect();
    let opposite = Stretch { start: 0, end: bases, open_start: stretch.open_end, open_end: stretch.open_start };
    let mut backward = Engine::new(parameters.clone(), code, mirrored.into(), opposite, Taken::default(), 0.0);
    backward.sum_paths(genes.iter().map(|gene| (stretch.end - bounds(gene).1, 1 - strand_of(gene))).collect());
    const CHUNK: usize = 4096;
    let (mut classes, mut signals) = (vec![0f32; CHUNK * ROW], vec![0f32; CHUNK * ROW]);
    let mut right = bases;
    while right > 0 {
        let left = right.saturating_sub(CHUNK);
        let count = right - left;
        for (i, base) in (left..right).rev().enumerate() {
            let (from, to) = (base * ROW, i * ROW);
            mirror(&evidence.0[from..from + ROW], stretch.end, true, &mut classes[to..to + ROW]);
            mirror(&evidence.1[from..from + ROW], stretch.end, false, &mut signals[to..to + ROW]);
        }
        backward.push(&classes[..count * ROW], &signals[..count * ROW]);
        right = left;
    }
    backward.finish();

    for gene in genes {
        let (start, end) = bounds(gene);
        let (left_cut, right_cut) = cut(gene);
        let strand = strand_of(gene);
        let before = if left_cut { Some(0.0) } else { forward.openings().get(&(start, strand)).copied() };
        let after =
            if right_cut { Some(0.0) } else { backward.openings().get(&(stretch.end - end, 1 - strand)).copied() };
        let (Some(before), Some(after)) = (before, after) else { continue };
        let log_p = before + gene.score + lengths_summed(parameters, gene) + after - forward.score;
        gene.score = log_odds(log_p);
    }
}

/// Evidence of a base as the other strand sees it, in the reverse complement of a stretch that ends at `end`.
fn mirror(row: &[f32], end: usize, classes: bool, out: &mut [f32]) {
    for strand in 0..2 {
        let (from, to) = (&row[(1 - strand) * 6..][..6], &mut out[strand * 6..][..6]);
        to.copy_from_slice(from);
        if classes {
            for frame in 0..3 {
                to[1 + (end + 3 - frame) % 3] = from[1 + frame];
            }
        }
    }
}

/// Where the best path takes the largest piece of a length prior, the sum takes all: the difference for one gene.
fn lengths_summed(parameters: &GeneParameters, gene: &GeneModel) -> f64 {
    let (priors, weights) = (&parameters.priors, &parameters.weights);
    if gene.partial_5 || gene.partial_3 {
        return 0.0;
    }
    let last = gene.cds.len() - 1;
    let exons = gene.cds.iter().enumerate().map(|(i, part)| {
        let first_here = if gene.strand == Strand::Reverse { i == last } else { i == 0 };
        let last_here = if gene.strand == Strand::Reverse { i == 0 } else { i == last };
        if (i == 0 || i == last) && last > 0 && part.len() < 3 {
            return 0.0;
        }
        let (prior, shortest) = match (first_here, last_here) {
            (true, true) => (&priors.single_exon, weights.minimum_cds.max(6)),
            (true, false) => (&priors.initial_exon, 1),
            (false, true) => (&priors.terminal_exon, 1),
            (false, false) => (&priors.internal_exon, 1),
        };
        sum_less_maximum(prior, weights.length, shortest, part.len())
    });
    let introns = gene.cds.windows(2).map(|pair| {
        let length = pair[1].start - pair[0].end;
        sum_less_maximum(&priors.intron, weights.length, weights.minimum_intron, length)
    });
    exons.chain(introns).sum()
}

fn sum_less_maximum(prior: &LengthPrior, weight: f64, shortest: u32, length: u64) -> f64 {
    let values: Vec<f64> = prior
        .iter()
        .filter(|piece| u64::from(piece.from.max(shortest)) <= length)
        .map(|piece| weight * (piece.log_p + piece.slope * (length - u64::from(piece.from)) as f64))
        .collect();
    let maximum = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    values.iter().copied().fold(f64::NEG_INFINITY, log_add) - maximum
}
