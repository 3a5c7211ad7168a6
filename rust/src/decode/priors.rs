//! Counts behind the priors: collected from genes and their sequence, merged by addition, stored in packed files.

use serde::{Deserialize, Serialize};

use super::parameters::{DistancePrior, GeneParameters, LengthPiece, LengthPrior};
use crate::dna::{self, GeneticCode};
use crate::error::{Error, Result};
use crate::gene::{Gene, Interval, Strand};

/// In-frame starts beyond this many are counted as one.
const RANKS: usize = 8;

/// Lengths are counted in bins of equal ratio: `BINS_PER_DOUBLING` up to each power of two.
const BINS_PER_DOUBLING: f64 = 8.0;

/// Distances of neighbouring genes are counted in these bins, and outside them not at all.
const DISTANCE_EDGES: [i64; 18] = [-200, -100, -60, -40, -20, -8, -4, -3, -1, 0, 10, 20, 40, 60, 100, 150, 200, 300];

/// A histogram of lengths in bins of equal ratio; bins are as many as needed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LengthCounts(Vec<u64>);

impl LengthCounts {
    pub fn add(&mut self, length: u64) {
        let bin = (((length + 1) as f64).log2() * BINS_PER_DOUBLING) as usize;
        if self.0.len() <= bin {
            self.0.resize(bin + 1, 0);
        }
        self.0[bin] += 1;
    }

    fn merge(&mut self, other: &LengthCounts) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine += theirs;
        }
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// First and one past the last length of a bin.
    fn bounds(bin: usize) -> (f64, f64) {
        let low = |i: usize| (2f64.powf(i as f64 / BINS_PER_DOUBLING) - 1.0).ceil().max(0.0);
        (low(bin), low(bin + 1).max(low(bin) + 1.0))
    }

    /// Tails from several quantiles on, each as the geometric distribution of its mean: together they follow the rise,
    /// the peak and the long tail of a histogram. Nothing below `shortest`.
    fn prior(&self, shortest: u32) -> Option<LengthPrior> {
        let total = self.total();
        if total < 20 {
            return None;
        }
        let mut prior = LengthPrior::new();
        for quantile in [0.0, 0.1, 0.5, 0.9] {
            let mut below = 0;
            let mut from = None;
            for (bin, &count) in self.0.iter().enumerate() {
                if count > 0 && (below + count) as f64 > quantile * total as f64 {
                    from = Some((bin, Self::bounds(bin).0));
                    break;
                }
                below += count;
            }
            let Some((bin, from)) = from else { continue };
            let (mut sum, mut tail) = (0.0, 0.0);
            for (i, &count) in self.0.iter().enumerate().skip(bin) {
                let (low, high) = Self::bounds(i);
                sum += count as f64 * ((low + high) / 2.0 - from);
                tail += count as f64;
            }
            let mean = (sum / tail).max(1.0);
            // The rare exception below all observations stays possible.
            let start = if quantile == 0.0 { shortest } else { (from as u32).clamp(shortest, 1 << 16) };
            let log_p = (tail / total as f64 / mean).ln();
            if !prior.iter().any(|p: &LengthPiece| p.from == start && p.log_p >= log_p) {
                prior.push(LengthPiece { from: start, log_p, slope: -1.0 / mean });
            }
        }
        Some(prior)
    }
}

/// What the priors are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorCounts {
    /// How often the true start was the in-frame start number 0, 1, ... of its open reading frame (from its 5' end), and
    /// how often there was such a start at or before the true one.
    pub rank_taken: Vec<u64>,
    pub rank_offered: Vec<u64>,
    pub start_codons: Vec<u64>,
    pub single_exon: LengthCounts,
    pub initial_exon: LengthCounts,
    pub internal_exon: LengthCounts,
    pub terminal_exon: LengthCounts,
    pub intron: LengthCounts,
    /// Lengths of coding sequences, bp.
    pub cds: LengthCounts,
    pub space: LengthCounts,
    pub same_strand_distance: Vec<u64>,
    pub convergent_distance: Vec<u64>,
    pub divergent_distance: Vec<u64>,
    pub genes: u64,
    pub introns: u64,
    pub gc_donors: u64,
    pub switches: u64,
    pub neighbours: u64,
}

impl Default for PriorCounts {
    fn default() -> Self {
        let bins = DISTANCE_EDGES.len() - 1;
        PriorCounts {
            rank_taken: vec![0; RANKS],
            rank_offered: vec![0; RANKS],
            start_codons: vec![0; 64],
            single_exon: LengthCounts::default(),
            initial_exon: LengthCounts::default(),
            internal_exon: LengthCounts::default(),
            terminal_exon: LengthCounts::default(),
            intron: LengthCounts::default(),
            cds: LengthCounts::default(),
            space: LengthCounts::default(),
            same_strand_distance: vec![0; bins],
            convergent_distance: vec![0; bins],
            divergent_distance: vec![0; bins],
            genes: 0,
            introns: 0,
            gc_donors: 0,
            switches: 0,
            neighbours: 0,
        }
    }
}

impl PriorCounts {
    /// Counts the canonical transcripts (the first of each gene) of complete coding genes of one sequence. Genes that
    /// are flagged, partial or have no valid reading frame are left out.
    pub fn collect<'a>(&mut self, genes: impl IntoIterator<Item = &'a Gene>, bases: &[u8], code: &GeneticCode) {
        let mut spans: Vec<(Interval, Strand)> = Vec::new();
        for gene in genes {
            let Some(transcript) = gene.transcripts.first() else { continue };
            let flags = [gene.flags, transcript.flags];
            let odd = flags.iter().any(|f| f.pseudogene || f.mobile_element || f.slippage || f.trans_splicing);
            let (Some(first), Some(last)) = (transcript.cds.first(), transcript.cds.last()) else { continue };
            if odd || transcript.partial_5 || transcript.partial_3 || gene.strand == Strand::Unknown {
                continue;
            }
            if last.end > bases.len() as u64 {
                continue;
            }
            let span = Interval::new(first.start, last.end);
            if self.count_gene(&transcript.cds, gene.strand, bases, code) {
                spans.push((span, gene.strand));
            }
        }
        spans.sort();
        for pair in spans.windows(2) {
            let (left, right) = (pair[0], pair[1]);
            let distance = right.0.start as i64 - left.0.end as i64;
            if right.0.end <= left.0.end {
                continue;
            }
            self.neighbours += 1;
            let table = match (left.1, right.1) {
                (Strand::Forward, Strand::Reverse) => &mut self.convergent_distance,
                (Strand::Reverse, Strand::Forward) => &mut self.divergent_distance,
                _ => &mut self.same_strand_distance,
            };
            let above = DISTANCE_EDGES.partition_point(|&edge| edge <= distance);
            if (1..DISTANCE_EDGES.len()).contains(&above) {
                table[above - 1] += 1;
            }
            self.switches += u64::from(left.1 != right.1);
            self.space.add(distance.max(0) as u64);
        }
    }

    fn count_gene(&mut self, cds: &[Interval], strand: Strand, bases: &[u8], code: &GeneticCode) -> bool {
        let mut spliced: Vec<u8> = Vec::new();
        for part in cds {
            spliced.extend_from_slice(&bases[part.start as usize..part.end as usize]);
        }
        let parts: Vec<u64> = match strand {
            Strand::Reverse => cds.iter().rev().map(|part| part.len()).collect(),
            _ => cds.iter().map(|part| part.len()).collect(),
        };
        if strand == Strand::Reverse {
            spliced = dna::reverse_complement(&spliced);
        }
        if spliced.len() < 6 || spliced.len() % 3 != 0 || !code.is_stop(&spliced[spliced.len() - 3..]) {
            return false;
        }
        let inner = &spliced[..spliced.len() - 3];
        if inner.chunks_exact(3).any(|codon| code.is_stop(codon)) {
            return false;
        }
        let Some(start) = dna::codon_index(&spliced[..3]) else { return false };
        self.genes += 1;
        self.start_codons[start as usize] += 1;
        self.cds.add(spliced.len() as u64);
        match parts.as_slice() {
            [only] => self.single_exon.add(*only),
            [first, middle @ .., last] => {
                self.initial_exon.add(*first);
                middle.iter().for_each(|&length| self.internal_exon.add(length));
                self.terminal_exon.add(*last);
            }
            [] => {}
        }
        for pair in cds.windows(2) {
            self.introns += 1;
            self.intron.add(pair[1].start - pair[0].end);
            let (a, b) = (pair[0].end as usize, pair[1].start as usize);
            let donor = match strand {
                Strand::Reverse => [dna::complement(bases[b - 1]), dna::complement(bases[b - 2])],
                _ => [bases[a], bases[a + 1]],
            };
            self.gc_donors += u64::from(donor.eq_ignore_ascii_case(b"GC"));
        }
        let ranked = ranked_starts(code);
        if ranked[start as usize] {
            let rank = rank_of(cds, strand, bases, code, &ranked);
            for r in 0..=rank.min(RANKS - 1) {
                self.rank_offered[r] += 1;
            }
            self.rank_taken[rank.min(RANKS - 1)] += 1;
        }
        true
    }

    /// Adds what another part of the data counted.
    pub fn merge(&mut self, other: &PriorCounts) {
        for (mine, theirs) in [
            (&mut self.rank_taken, &other.rank_taken),
            (&mut self.rank_offered, &other.rank_offered),
            (&mut self.start_codons, &other.start_codons),
            (&mut self.same_strand_distance, &other.same_strand_distance),
            (&mut self.convergent_distance, &other.convergent_distance),
            (&mut self.divergent_distance, &other.divergent_distance),
        ] {
            for (a, b) in mine.iter_mut().zip(theirs) {
                *a += b;
            }
        }
        for (mine, theirs) in [
            (&mut self.single_exon, &other.single_exon),
            (&mut self.initial_exon, &other.initial_exon),
            (&mut self.internal_exon, &other.internal_exon),
            (&mut self.terminal_exon, &other.terminal_exon),
            (&mut self.intron, &other.intron),
            (&mut self.cds, &other.cds),
            (&mut self.space, &other.space),
        ] {
            mine.merge(theirs);
        }
        self.genes += other.genes;
        self.introns += other.introns;
        self.gc_donors += other.gc_donors;
        self.switches += other.switches;
        self.neighbours += other.neighbours;
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers always have a JSON form")
    }

    pub fn from_json(text: &str) -> Result<PriorCounts> {
        let counts: PriorCounts =
            serde_json::from_str(text).map_err(|e| Error::input(format!("prior counts, line {}: {e}", e.line())))?;
        let bins = DISTANCE_EDGES.len() - 1;
        let distances = [&counts.same_strand_distance, &counts.convergent_distance, &counts.divergent_distance];
        if counts.rank_taken.len() != RANKS
            || counts.rank_offered.len() != RANKS
            || counts.start_codons.len() != 64
            || distances.iter().any(|d| d.len() != bins)
        {
            return Err(Error::input("prior counts have tables of another release's size: bake the data again"));
        }
        Ok(counts)
    }

    /// Puts the priors into `parameters`; those with too few observations stay.
    pub(super) fn fill(&self, parameters: &mut GeneParameters) {
        let shortest_intron = parameters.weights.minimum_intron;
        let priors = &mut parameters.priors;
        if self.rank_offered[0] >= 50 {
            // Hazards: among starts that were reached, how many were taken. One imagined gene keeps them from 0 and 1.
            let mut passed = 0.0;
            priors.start_rank = (0..RANKS)
                .map(|r| {
                    let taken = (self.rank_taken[r] as f64 + 0.6) / (self.rank_offered[r] as f64 + 1.0);
                    let taken = taken.clamp(0.02, 0.98);
                    let log_p = passed + taken.ln();
                    passed += (1.0 - taken).ln();
                    log_p
                })
                .collect();
        }
        for (prior, counts, shortest) in [
            (&mut priors.single_exon, &self.single_exon, 30),
            (&mut priors.initial_exon, &self.initial_exon, 1),
            (&mut priors.internal_exon, &self.internal_exon, 1),
            (&mut priors.terminal_exon, &self.terminal_exon, 1),
            (&mut priors.intron, &self.intron, shortest_intron),
            (&mut priors.space, &self.space, 0),
        ] {
            if let Some(fitted) = counts.prior(shortest) {
                *prior = fitted;
            }
        }
        let mean_space = self.space.total() as f64;
        if mean_space >= 200.0 {
            for (prior, counts) in [
                (&mut priors.same_strand_distance, &self.same_strand_distance),
                (&mut priors.convergent_distance, &self.convergent_distance),
                (&mut priors.divergent_distance, &self.divergent_distance),
            ] {
                if let Some(fitted) = distance_prior(counts) {
                    *prior = fitted;
                }
            }
        }
        if self.genes >= 50 {
            // Start codons in use: those of at least one gene in 200, by their share among the genes.
            let total = self.start_codons.iter().sum::<u64>() as f64;
            let best = self.start_codons.iter().copied().max().unwrap_or(1) as f64;
            let used: Vec<(usize, f64)> = (0..64)
                .filter(|&i| self.start_codons[i] as f64 >= total / 200.0)
                .map(|i| (i, (self.start_codons[i] as f64 / best).ln()))
                .collect();
            parameters.weights.start_codons = used
                .into_iter()
                .map(|(i, bias)| {
                    let letter = |shift: usize| b"ACGT"[i >> shift & 3] as char;
                    ([letter(4), letter(2), letter(0)].iter().collect(), bias)
                })
                .collect();
        }
    }
}

/// The codons (by index) among which the rank of a start is counted: ATG, in the codes of prokaryotes GTG and TTG too.
pub fn ranked_starts(code: &GeneticCode) -> [bool; 64] {
    let codons: &[&[u8]] = if matches!(code.number, 4 | 11 | 25) { &[b"ATG", b"GTG", b"TTG"] } else { &[b"ATG"] };
    let mut ranked = [false; 64];
    for codon in codons {
        let index = dna::codon_index(codon).expect("made of A, C, G, T");
        ranked[index as usize] = !code.is_stop_index(index);
    }
    ranked
}

/// Number of ranked starts that lie in frame upstream of the coding sequence's first base, before any stop.
fn rank_of(cds: &[Interval], strand: Strand, bases: &[u8], code: &GeneticCode, ranked: &[bool; 64]) -> usize {
    let mut rank = 0;
    let (mut at, step) = match strand {
        Strand::Reverse => (cds[cds.len() - 1].end as i64, 3),
        _ => (cds[0].start as i64 - 3, -3),
    };
    while at >= 0 && at + 3 <= bases.len() as i64 {
        let at_here = at as usize;
        let mut codon = [bases[at_here], bases[at_here + 1], bases[at_here + 2]];
        if strand == Strand::Reverse {
            codon.reverse();
            codon = codon.map(dna::complement);
        }
        match dna::codon_index(&codon) {
            Some(index) if code.is_stop_index(index) => break,
            Some(index) => rank += usize::from(ranked[index as usize]),
            None => break,
        }
        at += step;
    }
    rank
}

/// Log density of each bin relative to the density of all distances from the table's start to its end.
fn distance_prior(counts: &[u64]) -> Option<DistancePrior> {
    let total: u64 = counts.iter().sum();
    if total < 50 {
        return None;
    }
    // The last bins, far from any operon, say what distance means where nothing acts on it.
    let tail = counts.len() - 3;
    let width = |i: usize| (DISTANCE_EDGES[i + 1] - DISTANCE_EDGES[i]) as f64;
    let far: f64 = (tail..counts.len()).map(|i| counts[i] as f64).sum::<f64>() + 1.0;
    let base = far / (tail..counts.len()).map(width).sum::<f64>();
    let values =
        counts.iter().enumerate().map(|(i, &n)| (((n as f64 + 0.1) / width(i)) / base).ln().clamp(-5.0, 5.0)).collect();
    Some(DistancePrior { edges: DISTANCE_EDGES.to_vec(), values })
}
