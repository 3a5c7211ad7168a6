//! Draws the validation regions of a species.

use serde::Serialize;

use super::cuts::Cuts;
use super::draw;
use crate::gene::Interval;

/// How hard a region is, from the genes, introns and overlaps it has for its length, relative to the species' others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stratum {
    Easy,
    Typical,
    Complex,
}

/// A stretch of a sequence that is held out for validation. On a circular sequence the end may pass the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Region {
    /// Index into the species' sequences.
    pub sequence: usize,
    pub span: Interval,
    pub stratum: Stratum,
}

/// A sequence that regions may be drawn from.
pub struct Candidate<'a> {
    pub sequence: usize,
    pub name: &'a str,
    pub length: u64,
    pub circular: bool,
    /// Spans of all genes and the number of introns of each, sorted by span.
    pub genes: &'a [(Interval, u32)],
    pub n_runs: &'a [Interval],
}

/// Regions have at most this many windows' length, so that a share of a small genome is still several regions.
const LONGEST_IN_WINDOWS: u64 = 8;
/// Regions wanted at least: two a stratum.
const FEWEST: u64 = 6;

struct Block {
    sequence: usize,
    span: Interval,
    genes: u64,
    complexity: f64,
    order: u64,
}

/// Draws regions until they hold `fraction` of the bases, or `most_genes` genes, an equal number from each stratum.
/// They begin and end between genes, and are one to eight windows long. A species that is too small to spare one, and
/// one whose genes leave no place to cut, gives none.
pub fn draw_regions(
    candidates: &[Candidate<'_>],
    window: u64,
    margin: u64,
    fraction: f64,
    most_genes: u64,
    max_n_ratio: f64,
    seed: u64,
) -> Vec<Region> {
    let total: u64 = candidates
        .iter()
        .map(|candidate| candidate.length - candidate.n_runs.iter().map(|run| run.len()).sum::<u64>())
        .sum();
    let target = (total as f64 * fraction).round() as u64;
    if target == 0 {
        return vec![];
    }
    let size = (target / FEWEST).clamp(window, window * LONGEST_IN_WINDOWS);
    let mut blocks: Vec<Block> = Vec::new();
    for candidate in candidates {
        blocks.extend(blocks_of(candidate, size, margin, max_n_ratio, seed));
    }
    // Half of what there is stays with training, whatever the fraction says.
    let most = blocks.len() / 2;
    blocks.sort_by(|a, b| a.complexity.total_cmp(&b.complexity).then(a.order.cmp(&b.order)));
    let third = blocks.len().div_ceil(3).max(1);
    let mut strata: Vec<(Stratum, Vec<Block>)> =
        [Stratum::Easy, Stratum::Typical, Stratum::Complex].into_iter().map(|stratum| (stratum, vec![])).collect();
    for (i, block) in blocks.into_iter().enumerate() {
        strata[i / third].1.push(block);
    }
    for (_, blocks) in &mut strata {
        // The last is drawn first.
        blocks.sort_by_key(|block| std::cmp::Reverse(block.order));
    }

    let mut regions = Vec::new();
    let (mut bases, mut genes) = (0, 0);
    // Typical first: where there is room for one region only, it should be a typical one.
    for stratum in [1, 2, 0].into_iter().cycle() {
        if regions.len() >= most || bases >= target || (regions.len() >= strata.len() && genes >= most_genes) {
            break;
        }
        let (name, blocks) = &mut strata[stratum];
        if let Some(block) = blocks.pop() {
            bases += block.span.len();
            genes += block.genes;
            regions.push(Region { sequence: block.sequence, span: block.span, stratum: *name });
        }
    }
    regions.sort_by_key(|region| (region.sequence, region.span));
    regions
}

/// Cuts a sequence into blocks of about `size` whose ends lie between genes; what has too many N is no block.
fn blocks_of(candidate: &Candidate<'_>, size: u64, margin: u64, max_n_ratio: f64, seed: u64) -> Vec<Block> {
    let length = candidate.length;
    // On a circle one turn later, so that what lies across the origin is seen from both sides.
    let origin = if candidate.circular { length } else { 0 };
    let mut spans: Vec<Interval> = candidate.genes.iter().map(|&(span, _)| span).collect();
    if candidate.circular {
        spans.extend(candidate.genes.iter().map(|(span, _)| Interval::new(span.start + length, span.end + length)));
        spans.sort();
    }
    let cuts = Cuts::new(Interval::new(origin, origin + length), &spans, margin);
    // Positions between genes about `size` apart; a place without any ends the block before it.
    let mut ends: Vec<u64> = Vec::new();
    let count = (length / size).max(1);
    for i in 0..=count {
        let nominal = (u128::from(length) * u128::from(i) / u128::from(count)) as u64;
        let reach = size / 3;
        let (low, high) = (nominal.saturating_sub(reach), (nominal + reach).min(length));
        let cut = cuts.nearest(origin + nominal, origin + low, origin + high).map(|cut| cut - origin);
        ends.extend(cut.filter(|&cut| ends.last().is_none_or(|&last| cut > last)));
    }
    let mut blocks = Vec::new();
    for pair in ends.windows(2) {
        let span = Interval::new(pair[0], pair[1]);
        // Where cuts are missing the block has grown past what a region should be.
        if span.len() > 2 * size || span.len() * 3 < size {
            continue;
        }
        let n: u64 = candidate
            .n_runs
            .iter()
            .filter(|run| run.overlaps(span))
            .map(|run| run.end.min(span.end) - run.start.max(span.start))
            .sum();
        if n as f64 > max_n_ratio * span.len() as f64 {
            continue;
        }
        let from = candidate.genes.partition_point(|(gene, _)| gene.start < span.start);
        let inside = candidate.genes[from..].iter().take_while(|(gene, _)| gene.start < span.end).collect::<Vec<_>>();
        let introns: u64 = inside.iter().map(|(_, introns)| u64::from(*introns)).sum();
        let overlaps = inside.windows(2).filter(|pair| pair[0].0.overlaps(pair[1].0)).count() as u64;
        let genes = inside.len() as u64;
        blocks.push(Block {
            sequence: candidate.sequence,
            span,
            genes,
            complexity: (genes + 2 * introns + 2 * overlaps) as f64 / span.len() as f64,
            order: draw(seed, "validation region", candidate.name, span.start),
        });
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn regions_end_between_genes_and_hold_the_share(
            length in 50_000_u64..2_000_000, circular: bool, seed: u64, spacing in 500_u64..3_000, share in 20_u64..95,
        ) {
            let genes: Vec<(Interval, u32)> = (0..length / spacing)
                .map(|i| (Interval::new(i * spacing, i * spacing + (spacing * share / 100).max(1)), (i % 4) as u32))
                .collect();
            let candidate = [Candidate { sequence: 0, name: "I", length, circular, genes: &genes, n_runs: &[] }];
            let regions = draw_regions(&candidate, 5_000, 50, 0.05, u64::MAX, 0.1, seed);
            for region in &regions {
                prop_assert!(region.span.len() <= 2 * 5_000 * LONGEST_IN_WINDOWS && region.span.end <= length);
                for (gene, _) in &genes {
                    for end in [region.span.start, region.span.end] {
                        prop_assert!(!(gene.start < end && end < gene.end));
                    }
                }
            }
            for pair in regions.windows(2) {
                prop_assert!(!pair[0].span.overlaps(pair[1].span));
            }
            let bases: u64 = regions.iter().map(|region| region.span.len()).sum();
            prop_assert!(bases >= (0.05 * length as f64).round() as u64 && bases < length * 2 / 3, "{bases} of {length}");
            prop_assert_eq!(regions, draw_regions(&candidate, 5_000, 50, 0.05, u64::MAX, 0.1, seed));
        }
    }

    #[test]
    fn all_strata_and_limits() {
        let genes: Vec<(Interval, u32)> =
            (0..500).map(|i| (Interval::new(i * 2_000 + 300, i * 2_000 + 1_700), (i / 170) as u32 * 5)).collect();
        let candidate = [Candidate {
            sequence: 3,
            name: "I",
            length: 1_000_000,
            circular: false,
            genes: &genes,
            n_runs: &[Interval::new(0, 200_000)],
        }];
        let regions = draw_regions(&candidate, 5_000, 50, 0.1, u64::MAX, 0.1, 7);
        for stratum in [Stratum::Easy, Stratum::Typical, Stratum::Complex] {
            assert!(regions.iter().any(|region| region.stratum == stratum), "{regions:?}");
        }
        assert!(regions.iter().all(|region| region.sequence == 3 && region.span.start >= 180_000));
        assert_eq!(draw_regions(&candidate, 5_000, 50, 0.1, 1, 0.1, 7).len(), 3);
        assert!(draw_regions(&candidate, 5_000, 50, 0.0, u64::MAX, 0.1, 7).is_empty());
        assert!(draw_regions(&candidate, 600_000, 50, 0.1, u64::MAX, 0.1, 7).is_empty());
    }
}
