//! The windows of a species: tiled, held out, sampled.

use std::collections::BTreeSet;

use serde::Serialize;

use super::regions::{Candidate, Region, Stratum, draw_regions};
use super::tile::{Stretch, stretches, tile_sequence};
use super::{Sizes, SpanIndex, draw};
use crate::gene::{Interval, Strand};

/// A gene as windows see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locus {
    pub span: Interval,
    pub strand: Strand,
    pub introns: u32,
    /// Whether a sentence can mention it; what cannot be said keeps boundaries away, and is no reason to show a window.
    pub sayable: bool,
}

/// What a sequence is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Training, but for the validation regions drawn from it.
    Training,
    /// Validation as a whole.
    Validation,
    /// Neither: kept for testing, or left out.
    Neither,
}

#[derive(Debug, Clone)]
pub struct Sequence {
    pub name: String,
    pub length: u64,
    pub circular: bool,
    /// Runs of N, sorted and disjoint.
    pub n_runs: Vec<Interval>,
    /// Any order.
    pub loci: Vec<Locus>,
    pub role: Role,
}

#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub sizes: Sizes,
    pub seed: u64,
    /// Windows with a larger share of N are left out.
    pub max_n_ratio: f64,
    /// Gene-free windows kept, as a share of the windows with genes.
    pub intergenic_fraction: f64,
    /// Share of the bases held out in regions, where no sequence is held out as a whole.
    pub validation_fraction: f64,
    /// Genes whose windows are kept, at most.
    pub gene_limit: u64,
    pub reverse_complement: bool,
}

/// A window in its place. On a circular sequence `start + length` may pass the sequence's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Placed {
    /// Index into the species' sequences.
    pub sequence: usize,
    pub start: u64,
    pub length: u64,
    pub reverse: bool,
}

impl Placed {
    pub fn span(self) -> Interval {
        Interval::new(self.start, self.start + self.length)
    }
}

/// What became of the bases, genes and windows of one half of the data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Bases of the stretches that were tiled.
    pub bases: u64,
    /// Bases in runs of N too long for any window.
    pub bases_in_n_runs: u64,
    /// Genes that can be said and lie in these stretches, whole or in part.
    pub genes: u64,
    /// Genes left out by the limit (their neighbours' windows may show them all the same).
    pub genes_beyond_limit: u64,
    pub windows: u64,
    pub windows_gene_free: u64,
    pub windows_reverse_complement: u64,
    pub windows_too_many_n: u64,
    pub windows_gene_free_not_sampled: u64,
    pub windows_beyond_gene_limit: u64,
}

#[derive(Debug, Default)]
pub struct Plan {
    /// In order of sequence and start; a reverse complement follows its window.
    pub training: Vec<Placed>,
    pub validation: Vec<Placed>,
    pub regions: Vec<Region>,
    pub training_counts: Counts,
    pub validation_counts: Counts,
    /// Bases of sequences in neither half.
    pub bases_in_neither: u64,
}

impl Plan {
    /// The validation regions of a sequence, sorted.
    pub fn held_out(&self, sequence: usize) -> Vec<Interval> {
        self.regions.iter().filter(|region| region.sequence == sequence).map(|region| region.span).collect()
    }

    /// The stratum of the validation region that a window lies in; `None` elsewhere.
    pub fn stratum(&self, window: Placed) -> Option<Stratum> {
        let region = self
            .regions
            .iter()
            .find(|region| region.sequence == window.sequence && region.span.contains(window.span()));
        region.map(|region| region.stratum)
    }
}

/// Places the windows of a species.
pub fn plan(sequences: &[Sequence], options: &Options) -> Plan {
    let mut plan = Plan {
        regions: validation_regions(sequences, options),
        bases_in_neither: sequences.iter().filter(|s| s.role == Role::Neither).map(|s| s.length).sum(),
        ..Plan::default()
    };

    let mut training = Half::default();
    let mut validation = Half::default();
    for (i, sequence) in sequences.iter().enumerate() {
        let held_out = plan.held_out(i);
        match sequence.role {
            Role::Training => {
                training.add(
                    i,
                    sequence,
                    &stretches(sequence.length, sequence.circular, &held_out),
                    options.sizes,
                    options,
                );
                for &region in &held_out {
                    validation.add(i, sequence, &[Stretch::Line(region)], options.sizes.side_by_side(), options);
                }
            }
            Role::Validation => {
                let whole = stretches(sequence.length, sequence.circular, &[]);
                validation.add(i, sequence, &whole, options.sizes.side_by_side(), options);
            }
            Role::Neither => {}
        }
    }
    plan.training = training.choose(sequences, options);
    plan.training_counts = training.counts;
    // Validation shows everything there is: its regions are whole, so that gene models can be decoded from them.
    plan.validation = validation.all();
    plan.validation_counts = validation.counts;
    plan
}

fn validation_regions(sequences: &[Sequence], options: &Options) -> Vec<Region> {
    if options.validation_fraction <= 0.0 || sequences.iter().any(|sequence| sequence.role == Role::Validation) {
        return vec![];
    }
    let genes: Vec<Vec<(Interval, u32)>> = sequences
        .iter()
        .map(|sequence| {
            let mut genes: Vec<_> = sequence.loci.iter().map(|locus| (locus.span, locus.introns)).collect();
            genes.sort();
            genes
        })
        .collect();
    let candidates: Vec<Candidate<'_>> = sequences
        .iter()
        .enumerate()
        .filter(|(_, sequence)| sequence.role == Role::Training)
        .map(|(i, sequence)| Candidate {
            sequence: i,
            name: &sequence.name,
            length: sequence.length,
            circular: sequence.circular,
            genes: &genes[i],
            n_runs: &sequence.n_runs,
        })
        .collect();
    let sizes = options.sizes;
    // Where genes are rare, a few regions hold their share of them; the limit of genes is for both halves.
    let all: usize = candidates.iter().map(|candidate| candidate.genes.len()).sum();
    let share = |genes: f64| (genes * options.validation_fraction).ceil() as u64;
    let most_genes = share(options.gene_limit as f64).min(2 * share(all as f64)).max(1);
    draw_regions(
        &candidates,
        sizes.window,
        sizes.margin,
        options.validation_fraction,
        most_genes,
        options.max_n_ratio,
        options.seed,
    )
}

/// Windows of the training or the validation half before any is chosen.
#[derive(Default)]
struct Half {
    windows: Vec<Placed>,
    /// Of each window: the genes in it that can be said, as (gene, whole, distance from the nearer edge).
    genes: Vec<Vec<(usize, bool, i64)>>,
    /// Sequence and place in its loci of each gene met.
    loci: Vec<(usize, usize)>,
    counts: Counts,
}

impl Half {
    fn add(&mut self, index: usize, sequence: &Sequence, stretches: &[Stretch], sizes: Sizes, options: &Options) {
        let spans: Vec<Interval> = sequence.loci.iter().map(|locus| locus.span).collect();
        let found = SpanIndex::new(spans.iter().copied(), sequence.length, sequence.circular);
        let longest_run = (options.max_n_ratio * sizes.window as f64) as u64;
        let long_runs: Vec<Interval> = sequence.n_runs.iter().copied().filter(|run| run.len() > longest_run).collect();
        let mut numbers: Vec<Option<usize>> = vec![None; sequence.loci.len()];
        for &stretch in stretches {
            let (bases, parts) = without_runs(sequence, stretch, &long_runs);
            self.counts.bases += bases;
            self.counts.bases_in_n_runs +=
                bases - parts.iter().map(|&part| covered(part, sequence.length)).sum::<u64>();
            for part in parts {
                for window in tile_sequence(sequence.length, sequence.circular, part, &spans, sizes) {
                    if n_bases(sequence, window) as f64 > options.max_n_ratio * window.len() as f64 {
                        self.counts.windows_too_many_n += 1;
                        continue;
                    }
                    let mut genes = Vec::new();
                    for hit in found.overlapping(window) {
                        let locus = hit.index;
                        if !sequence.loci[locus].sayable {
                            continue;
                        }
                        let number = *numbers[locus].get_or_insert_with(|| {
                            self.loci.push((index, locus));
                            self.loci.len() - 1
                        });
                        let whole = hit.is_whole(window.len());
                        let room = if whole { hit.start.min(window.len() as i64 - hit.end) } else { 0 };
                        genes.push((number, whole, room));
                    }
                    self.windows.push(Placed {
                        sequence: index,
                        start: window.start,
                        length: window.len(),
                        reverse: false,
                    });
                    self.genes.push(genes);
                }
            }
        }
        self.counts.genes = self.loci.len() as u64;
    }

    fn all(&mut self) -> Vec<Placed> {
        self.counts.windows = self.windows.len() as u64;
        self.counts.windows_gene_free = self.genes.iter().filter(|genes| genes.is_empty()).count() as u64;
        std::mem::take(&mut self.windows)
    }

    /// The windows of the chosen genes, a share of those without genes, and their reverse complements.
    fn choose(&mut self, sequences: &[Sequence], options: &Options) -> Vec<Placed> {
        let mut kept: BTreeSet<usize> = (0..self.windows.len()).filter(|&i| !self.genes[i].is_empty()).collect();
        if self.loci.len() as u64 > options.gene_limit {
            let chosen = self.sample_genes(sequences, options);
            let limited = self.windows_of(&chosen);
            self.counts.genes_beyond_limit = (self.loci.len() - chosen.iter().filter(|&&c| c).count()) as u64;
            self.counts.windows_beyond_gene_limit = (kept.len() - limited.len()) as u64;
            kept = limited;
        }
        let mut gene_free: Vec<(u64, usize)> = (0..self.windows.len())
            .filter(|&i| self.genes[i].is_empty())
            .map(|i| {
                let window = &self.windows[i];
                (draw(options.seed, "gene-free window", &sequences[window.sequence].name, window.start), i)
            })
            .collect();
        gene_free.sort_unstable();
        // Where a species has no gene that can be said at all, there is nothing to take a share of.
        let wanted = (kept.len() as f64 * options.intergenic_fraction).round() as usize;
        self.counts.windows_gene_free = wanted.min(gene_free.len()) as u64;
        self.counts.windows_gene_free_not_sampled = gene_free.len().saturating_sub(wanted) as u64;
        kept.extend(gene_free.into_iter().take(wanted).map(|(_, i)| i));

        let mut windows: Vec<Placed> = Vec::with_capacity(kept.len() * 2);
        for i in kept {
            windows.push(self.windows[i]);
            if options.reverse_complement {
                windows.push(Placed { reverse: true, ..self.windows[i] });
                self.counts.windows_reverse_complement += 1;
            }
        }
        windows.sort();
        self.counts.windows = windows.len() as u64;
        windows
    }

    /// Draws `gene_limit` genes: each strand and each fifth of the lengths in proportion.
    fn sample_genes(&self, sequences: &[Sequence], options: &Options) -> Vec<bool> {
        let locus = |&(sequence, locus): &(usize, usize)| &sequences[sequence].loci[locus];
        let mut lengths: Vec<u64> = self.loci.iter().map(|at| locus(at).span.len()).collect();
        lengths.sort_unstable();
        let mut strata: Vec<Vec<(u64, usize)>> = vec![vec![]; 2 * LENGTH_CLASSES];
        for (number, at) in self.loci.iter().enumerate() {
            let gene = locus(at);
            let rank = lengths.partition_point(|&length| length < gene.span.len());
            let class = rank * LENGTH_CLASSES / lengths.len();
            let stratum = class * 2 + usize::from(gene.strand == Strand::Reverse);
            let order = draw(options.seed, "gene", &sequences[at.0].name, gene.span.start);
            strata[stratum].push((order, number));
        }
        let mut chosen = vec![false; self.loci.len()];
        let quotas = shares(options.gene_limit, &strata.iter().map(|stratum| stratum.len() as u64).collect::<Vec<_>>());
        for (stratum, quota) in strata.iter_mut().zip(quotas) {
            stratum.sort_unstable();
            for &(_, number) in stratum.iter().take(quota as usize) {
                chosen[number] = true;
            }
        }
        chosen
    }

    /// Of each chosen gene the window that holds it best; of one that no window holds whole, all windows it is in.
    fn windows_of(&self, chosen: &[bool]) -> BTreeSet<usize> {
        let mut best: Vec<Option<(i64, usize)>> = vec![None; chosen.len()];
        for (window, genes) in self.genes.iter().enumerate() {
            for &(number, whole, room) in genes {
                if whole && best[number].is_none_or(|(most, _)| room > most) {
                    best[number] = Some((room, window));
                }
            }
        }
        let mut kept: BTreeSet<usize> = best
            .iter()
            .zip(chosen)
            .filter(|(_, chosen)| **chosen)
            .filter_map(|(best, _)| *best)
            .map(|best| best.1)
            .collect();
        for (window, genes) in self.genes.iter().enumerate() {
            if genes.iter().any(|&(number, ..)| chosen[number] && best[number].is_none()) {
                kept.insert(window);
            }
        }
        kept
    }
}

const LENGTH_CLASSES: usize = 5;

/// Splits `total` in proportion to `weights` (largest remainders), at most each weight.
fn shares(total: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u64 = weights.iter().sum();
    if sum <= total {
        return weights.to_vec();
    }
    let exact = |weight: u64| u128::from(weight) * u128::from(total);
    let mut shares: Vec<u64> = weights.iter().map(|&weight| (exact(weight) / u128::from(sum)) as u64).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(exact(weights[i]) % u128::from(sum)), i));
    let missing = total - shares.iter().sum::<u64>();
    for &i in order.iter().take(missing as usize) {
        shares[i] += 1;
    }
    shares
}

/// Bases of a stretch, and what is left of it without long runs of N.
fn without_runs(sequence: &Sequence, stretch: Stretch, runs: &[Interval]) -> (u64, Vec<Stretch>) {
    let bases = covered(stretch, sequence.length);
    let parts = match stretch {
        Stretch::Circle => stretches(sequence.length, true, runs),
        Stretch::Line(line) => {
            // A line past the origin meets the runs a second time, one turn later.
            let mut cut: Vec<Interval> = Vec::new();
            for turn in [0, sequence.length] {
                for run in runs {
                    let run = Interval::new(run.start + turn, run.end + turn);
                    if run.overlaps(line) {
                        cut.push(Interval::new(
                            run.start.max(line.start) - line.start,
                            run.end.min(line.end) - line.start,
                        ));
                    }
                }
            }
            stretches(line.len(), false, &cut)
                .into_iter()
                .map(|part| match part {
                    Stretch::Line(part) => Stretch::Line(Interval::new(part.start + line.start, part.end + line.start)),
                    Stretch::Circle => Stretch::Line(line),
                })
                .collect()
        }
    };
    (bases, parts)
}

fn covered(stretch: Stretch, length: u64) -> u64 {
    match stretch {
        Stretch::Circle => length,
        Stretch::Line(line) => line.len(),
    }
}

fn n_bases(sequence: &Sequence, window: Interval) -> u64 {
    let count = |part: Interval| -> u64 {
        let from = sequence.n_runs.partition_point(|run| run.end <= part.start);
        sequence.n_runs[from..]
            .iter()
            .take_while(|run| run.start < part.end)
            .map(|run| run.end.min(part.end) - run.start.max(part.start))
            .sum()
    };
    if window.end <= sequence.length {
        count(window)
    } else {
        count(Interval::new(window.start, sequence.length)) + count(Interval::new(0, window.end - sequence.length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sequence(length: u64, circular: bool, genes: &[(u64, u64)], n_runs: &[(u64, u64)]) -> Sequence {
        let strand = |i: usize| if i % 3 == 0 { Strand::Reverse } else { Strand::Forward };
        Sequence {
            name: "I".into(),
            length,
            circular,
            n_runs: n_runs.iter().map(|&(start, end)| Interval::new(start, end)).collect(),
            loci: genes
                .iter()
                .enumerate()
                .map(|(i, &(start, end))| Locus {
                    span: Interval::new(start, end),
                    strand: strand(i),
                    introns: i as u32 % 3,
                    sayable: i % 7 != 3,
                })
                .collect(),
            role: Role::Training,
        }
    }

    fn options(window: u64) -> Options {
        Options {
            sizes: Sizes::new(window, 50, None).expect("sizes"),
            seed: 1,
            max_n_ratio: 0.1,
            intergenic_fraction: 0.15,
            validation_fraction: 0.05,
            gene_limit: 10_000,
            reverse_complement: false,
        }
    }

    #[test]
    fn largest_remainders() {
        assert_eq!(shares(10, &[3, 3, 3]), [3, 3, 3]);
        assert_eq!(shares(10, &[10, 10, 10]), [4, 3, 3]);
        assert_eq!(shares(5, &[100, 0, 1]), [5, 0, 0]);
    }

    #[test]
    fn roles() {
        let genes: Vec<_> = (0..50).map(|i| (i * 2_000 + 200, i * 2_000 + 1_500)).collect();
        let mut sequences = vec![sequence(100_000, false, &genes, &[]); 3];
        sequences[1].role = Role::Validation;
        sequences[2].role = Role::Neither;
        let plan = plan(&sequences, &options(10_000));
        assert!(plan.regions.is_empty());
        assert!(plan.training.iter().all(|window| window.sequence == 0));
        assert!(plan.validation.iter().all(|window| window.sequence == 1));
        assert_eq!(plan.bases_in_neither, 100_000);
        // Validation windows stand side by side: every base once.
        assert_eq!(plan.validation.iter().map(|window| window.length).sum::<u64>(), 100_000);
    }

    proptest! {
        #[test]
        fn held_out_bases_and_whole_genes(
            length in 60_000_u64..300_000, circular: bool, seed: u64, reverse_complement: bool,
            starts in proptest::collection::vec((0_u64..300_000, 200_u64..6_000), 1..80),
            runs in proptest::collection::vec((0_u64..300_000, 1_u64..4_000), 0..4),
        ) {
            let genes: Vec<_> = starts.into_iter().map(|(start, size)| {
                let start = start % length;
                (start, if circular { start + size } else { (start + size).min(length) })
            }).collect();
            let mut runs: Vec<_> = runs.into_iter().map(|(start, size)| (start % length, (start % length + size).min(length))).collect();
            runs.sort_unstable();
            runs.dedup_by(|next, kept| next.0 <= kept.1 && { kept.1 = kept.1.max(next.1); true });
            let sequence = sequence(length, circular, &genes, &runs);
            let options = Options { seed, reverse_complement, intergenic_fraction: 10.0, ..options(8_000) };
            let plan = plan(std::slice::from_ref(&sequence), &options);
            prop_assert_eq!(plan.training_counts.windows as usize, plan.training.len());
            let mut owner = vec![0_u8; length as usize];
            for (bit, windows) in [(1, &plan.training), (2, &plan.validation)] {
                for window in windows {
                    prop_assert!(n_bases(&sequence, window.span()) as f64 <= 0.1 * window.length as f64);
                    for base in window.start..window.start + window.length {
                        owner[(base % length) as usize] |= bit;
                    }
                }
            }
            prop_assert!(owner.iter().all(|&bits| bits != 3));
            for region in &plan.regions {
                for base in region.span.start..region.span.end {
                    prop_assert!(owner[(base % length) as usize] & 1 == 0);
                }
            }
            // Without runs of N every gene that can be said and no region's end cuts is whole in a window.
            if runs.is_empty() {
                for (i, locus) in sequence.loci.iter().enumerate().filter(|(_, locus)| locus.sayable) {
                    let whole = plan.training.iter().chain(&plan.validation).any(|window| {
                        [0, length].iter().any(|turn| {
                            let span = Interval::new(window.start + turn, window.start + window.length + turn);
                            span.contains(locus.span) || circular && span.contains(Interval::new(locus.span.start + length, locus.span.end + length))
                        })
                    });
                    prop_assert!(whole, "gene {} {:?}", i, locus);
                }
            }
            if reverse_complement {
                prop_assert!(plan.training.chunks(2).all(|pair| pair[0].span() == pair[1].span() && !pair[0].reverse && pair[1].reverse));
            }
        }

        #[test]
        fn gene_limit_keeps_strands_and_lengths(limit in 20_u64..300, seed: u64) {
            let genes: Vec<_> = (0..400_u64).map(|i| (i * 3_000 + 100, i * 3_000 + 300 + (i * 37) % 2_000)).collect();
            let sequence = sequence(1_200_000, false, &genes, &[]);
            let options = Options { gene_limit: limit, seed, validation_fraction: 0.0, ..options(4_000) };
            let plan = plan(std::slice::from_ref(&sequence), &options);
            let sayable = sequence.loci.iter().filter(|locus| locus.sayable).count() as u64;
            prop_assert_eq!(plan.training_counts.genes, sayable);
            prop_assert_eq!(plan.training_counts.genes_beyond_limit, sayable.saturating_sub(limit));
            let gene_windows = plan.training_counts.windows - plan.training_counts.windows_gene_free;
            prop_assert!(gene_windows <= limit.max(sayable) && plan.training_counts.windows_gene_free <= (gene_windows as f64 * 0.15).round() as u64);
        }
    }
}
