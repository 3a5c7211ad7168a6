//! The dynamic programs against brute force, and against the rules that every gene has to keep.

use std::sync::Arc;

use proptest::prelude::*;

use super::engine::{Engine, ROW, Stretch, Taken, padded_codes};
use super::gene_model::GeneModel;
use super::parameters::{GeneParameters, LengthPiece, LengthPrior, log_prior};
use super::priors::ranked_starts;
use super::spliced::models;
use super::*;
use crate::dna::{self, GeneticCode};
use crate::gene::{Interval, Strand};

/// A small generator, so that evidence can be long without proptest shrinking each value.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let x = (self.0 ^ self.0 >> 31).wrapping_mul(0x9e3779b97f4a7c15);
        x ^ x >> 29
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    fn evidence(&mut self, bases: usize, size: f64) -> Vec<f32> {
        (0..bases * ROW).map(|_| self.range(-size, size) as f32).collect()
    }

    /// Bases with many starts, stops and splice sites on both strands.
    fn sequence(&mut self, length: usize) -> Vec<u8> {
        let words: [&[u8]; 14] =
            [b"ATG", b"CAT", b"TAA", b"TTA", b"GT", b"AG", b"AC", b"CT", b"A", b"C", b"G", b"T", b"GC", b"N"];
        let mut bases = Vec::new();
        while bases.len() < length {
            bases.extend_from_slice(words[(self.next() % 14) as usize]);
        }
        bases.truncate(length);
        bases
    }

    fn parameters(&mut self) -> GeneParameters {
        let mut p = GeneParameters::default_for("unicellular").unwrap();
        let w = &mut p.weights;
        w.cds_scale = self.range(0.0, 1.0);
        w.intron_scale = self.range(0.0, 1.0);
        w.cds_base = self.range(-0.2, 0.4);
        w.intron_base = self.range(-0.2, 0.3);
        w.utr_is_background = self.next() % 2 == 0;
        for site in [&mut w.start, &mut w.stop, &mut w.donor, &mut w.acceptor] {
            site.weight = self.range(0.0, 1.0);
            site.bias = self.range(-0.5, 1.5);
        }
        w.gene = self.range(-2.0, 1.0);
        w.intron = self.range(-2.0, 1.0);
        w.gc_donor = self.range(-1.0, 0.0);
        w.split_codon = self.range(-2.0, 2.0);
        w.partial = self.range(-3.0, 0.5);
        w.switch = self.range(-1.0, 0.5);
        w.nested = self.range(-1.0, 0.0);
        w.minimum_intron = 4 + (self.next() % 3) as u32;
        w.minimum_cds = 6 + 3 * (self.next() % 2) as u32;
        w.start_codons = [("ATG".to_owned(), 0.0), ("CTG".to_owned(), self.range(-1.0, 0.0))].into();
        let mut prior = |least: u32| -> LengthPrior {
            (0..2)
                .map(|i| LengthPiece {
                    from: least + i * (self.next() % 6) as u32,
                    log_p: self.range(-1.5, 0.0),
                    slope: self.range(-0.2, 0.0),
                })
                .collect()
        };
        p.priors.single_exon = prior(3);
        p.priors.initial_exon = prior(1);
        p.priors.internal_exon = prior(1);
        p.priors.terminal_exon = prior(1);
        p.priors.intron = prior(4);
        p.priors.space = prior(0);
        p
    }
}

/// The spliced program's score by its definition: every term added up from the genes and the arrays.
struct Scorer<'a> {
    parameters: &'a GeneParameters,
    code: &'static GeneticCode,
    bases: &'a [u8],
    classes: &'a [f32],
    signals: &'a [f32],
}

/// A gene left to right: parts in genomic order, and whether an end is cut (inside an exon or an intron).
#[derive(Debug, Clone, PartialEq)]
struct Candidate {
    reverse: bool,
    /// Boundaries: exon start, exon end, exon start, ...
    parts: Vec<(usize, usize)>,
    /// Codon position of the first base of the first part, left to right; 0 for a whole gene.
    offset: usize,
    cut: [bool; 2],
    /// The gene begins (ends) in an intron.
    in_intron: [bool; 2],
}

impl Scorer<'_> {
    fn signal(&self, index: usize, strand: usize, kind: usize) -> f64 {
        f64::from(self.signals[index * ROW + strand * 6 + kind])
    }

    fn class(&self, index: usize, strand: usize, kind: usize) -> f64 {
        let row = &self.classes[index * ROW + strand * 6..][..6];
        let background = if self.parameters.weights.utr_is_background { row[5].max(0.0) } else { 0.0 };
        f64::from(row[kind] - background).clamp(-10.0, 10.0)
    }

    /// A codon in transcript direction from three bases left to right.
    fn own(&self, codon: &[u8], reverse: bool) -> Vec<u8> {
        if reverse { dna::reverse_complement(codon) } else { codon.to_vec() }
    }

    fn start_bias(&self, codon: &[u8]) -> f64 {
        let text = String::from_utf8(codon.to_vec()).unwrap();
        self.parameters.weights.start_codons.get(&text).copied().unwrap_or(f64::NEG_INFINITY)
    }

    fn rank(&self, gene: &Candidate) -> usize {
        let ranked = ranked_starts(self.code);
        let n = self.bases.len() as i64;
        let (mut at, step) =
            if gene.reverse { (gene.parts.last().unwrap().1 as i64, 3) } else { (gene.parts[0].0 as i64 - 3, -3) };
        let mut rank = 0;
        while at >= 0 && at + 3 <= n {
            let codon = self.own(&self.bases[at as usize..at as usize + 3], gene.reverse);
            if self.code.is_stop(&codon) || (gene.reverse && dna::codon_index(&codon).is_none()) {
                break;
            }
            rank += usize::from(dna::codon_index(&codon).is_some_and(|i| ranked[i as usize]));
            at += step;
        }
        rank
    }

    /// `None` for what is no gene by the rules.
    fn gene(&self, gene: &Candidate) -> Option<f64> {
        let w = &self.parameters.weights;
        let p = &self.parameters.priors;
        let strand = usize::from(gene.reverse);
        let n = self.bases.len();
        let mut score = w.gene;
        let pieces = |prior: &LengthPrior, least: u32| -> LengthPrior {
            prior
                .iter()
                .map(|x| {
                    let from = x.from.max(least);
                    LengthPiece { from, log_p: x.log_p + x.slope * f64::from(from - x.from), slope: x.slope }
                })
                .collect()
        };
        let begun = |prior: &LengthPrior, length: usize| {
            prior.iter().map(|x| x.slope * length as f64).fold(f64::NEG_INFINITY, f64::max)
        };
        let (initial, terminal) =
            if gene.reverse { (&p.terminal_exon, &p.initial_exon) } else { (&p.initial_exon, &p.terminal_exon) };
        let count = gene.parts.len();
        let mut spliced: Vec<u8> = Vec::new();
        let mut offset = gene.offset;
        let mut bounds = vec![];
        for (i, &(start, end)) in gene.parts.iter().enumerate() {
            if start >= end {
                return None;
            }
            // The frame: position less the index within the codon.
            let frame = (start + 3 - offset) % 3;
            for at in start..end {
                if dna::base_code(self.bases[at]) < 4 {
                    score += w.cds_scale * self.class(at, strand, 1 + frame) + w.cds_base;
                }
            }
            let boundary = start + (3 - offset) % 3;
            let begins = i == 0 && gene.cut[0] && !gene.in_intron[0];
            let ends = i + 1 == count && gene.cut[1] && !gene.in_intron[1];
            let opened = i == 0 && !gene.cut[0];
            let closes = i + 1 == count && !gene.cut[1];
            let length = (end - start) as u64;
            let first = if opened { 3 } else { 0 };
            let split_open = opened && length < 3;
            let split_close = closes && length < 3;
            if !split_open && !split_close {
                if !begins && boundary + first > end {
                    return None;
                }
                let single = pieces(&p.single_exon, w.minimum_cds.max(6));
                let options: Vec<LengthPrior> = match (opened, closes, ends) {
                    (true, true, _) => vec![single],
                    (true, false, false) => vec![pieces(initial, 1)],
                    (true, false, true) => vec![single, pieces(initial, 1)],
                    (false, true, _) => vec![pieces(terminal, 1)],
                    (false, false, false) => vec![pieces(&p.internal_exon, 1)],
                    (false, false, true) => vec![pieces(terminal, 1), pieces(&p.internal_exon, 1)],
                };
                let prior = options
                    .iter()
                    .map(|prior| if begins { begun(prior, length as usize) } else { log_prior(prior, length) })
                    .fold(f64::NEG_INFINITY, f64::max);
                score += w.length * prior;
            } else {
                score += w.split_codon;
                // A codon that lies on three exons, or a gene of one codon, is beyond the program.
                if count == 1 || (split_close && offset == 0) || (split_open && split_close) {
                    return None;
                }
                if split_close && length as usize != 3 - offset {
                    return None;
                }
            }
            spliced.extend_from_slice(&self.bases[start..end]);
            bounds.push((split_open, split_close));
            offset = (offset + (end - start)) % 3;
        }
        let last_offset = offset;
        if !gene.cut[1] && last_offset != 0 {
            return None;
        }
        // Introns.
        let mut introns: Vec<(usize, usize, bool, bool)> =
            gene.parts.windows(2).map(|pair| (pair[0].1, pair[1].0, false, false)).collect();
        if gene.in_intron[0] {
            introns.push((0, gene.parts[0].0, true, false));
        }
        if gene.in_intron[1] {
            introns.push((gene.parts[count - 1].1, n, false, true));
        }
        for (start, end, begun_here, cut) in introns {
            if start > end || (!begun_here && end < start + w.minimum_intron as usize) {
                return None;
            }
            for at in start..end {
                score += w.intron_scale * self.class(at, strand, 4) + w.intron_base;
            }
            let length = end - start;
            score += w.length
                * if begun_here {
                    begun(&p.intron, length)
                } else {
                    log_prior(&pieces(&p.intron, w.minimum_intron), length as u64)
                };
            let donor_bias = |pair: &[u8]| match pair {
                b"GT" => Some(0.0),
                b"GC" => Some(w.gc_donor),
                _ => None,
            };
            if !begun_here {
                let two = self.bases.get(start..start + 2)?;
                let (site, kind) = if gene.reverse { (w.acceptor, 3) } else { (w.donor, 2) };
                score += if gene.reverse { (two == b"CT").then_some(0.0)? } else { donor_bias(two)? };
                score += w.intron + site.weight * self.signal(start, strand, kind) + site.bias;
            }
            if !cut {
                let two = self.bases.get(end.checked_sub(2)?..end)?;
                let (site, kind) = if gene.reverse { (w.donor, 2) } else { (w.acceptor, 3) };
                score += if gene.reverse {
                    donor_bias(&dna::reverse_complement(two))?
                } else {
                    (two == b"AG").then_some(0.0)?
                };
                score += site.weight * self.signal(end - 1, strand, kind) + site.bias;
            }
        }
        // Codons, left to right.
        let skip = (3 - gene.offset) % 3;
        let whole: Vec<Vec<u8>> =
            spliced.get(skip..).unwrap_or(&[]).chunks_exact(3).map(|codon| self.own(codon, gene.reverse)).collect();
        let total = whole.len();
        for (i, codon) in whole.iter().enumerate() {
            let opening = i == 0 && !gene.cut[0];
            let closing = i + 1 == total && !gene.cut[1];
            let stop_here = if gene.reverse { opening } else { closing };
            let start_here = if gene.reverse { closing } else { opening };
            if stop_here != self.code.is_stop(codon) {
                return None;
            }
            if start_here {
                let bias = self.start_bias(codon);
                if bias == f64::NEG_INFINITY {
                    return None;
                }
                if !(opening && bounds[0].0 || closing && bounds[count - 1].1) {
                    score += bias;
                }
            }
        }
        if (!gene.cut[0] || !gene.cut[1]) && total == 0 {
            return None;
        }
        let (left, right) = (gene.parts[0].0, gene.parts[count - 1].1);
        for (side, (at, split)) in [(left, bounds[0].0), (right, bounds[count - 1].1)].into_iter().enumerate() {
            if gene.cut[side] {
                score += w.partial;
            } else if !split {
                let index = if side == 0 { at } else { at - 1 };
                if (side == 0) != gene.reverse {
                    score += w.start.weight * self.signal(index, strand, 1) + w.start.bias;
                    score += self.parameters.rank_score(self.rank(gene));
                } else {
                    score += w.stop.weight * self.signal(index, strand, 4) + w.stop.bias;
                }
            }
        }
        Some(score)
    }

    fn space(&self, before: Option<&Candidate>, after: Option<&Candidate>) -> f64 {
        let w = &self.parameters.weights;
        let start =
            before.map_or(0, |gene| if gene.in_intron[1] { self.bases.len() } else { gene.parts.last().unwrap().1 });
        let end = after.map_or(self.bases.len(), |gene| if gene.in_intron[0] { 0 } else { gene.parts[0].0 });
        if end < start {
            return f64::NEG_INFINITY;
        }
        let (cut_before, cut_after) = (before.is_some_and(|g| g.cut[1]), after.is_some_and(|g| g.cut[0]));
        if cut_before || cut_after {
            return if (cut_before && after.is_some()) || (cut_after && before.is_some()) {
                f64::NEG_INFINITY
            } else {
                0.0
            };
        }
        let prior = &self.parameters.priors.space;
        let length = end - start;
        let switch = match (before, after) {
            (Some(a), Some(b)) if a.reverse != b.reverse => w.switch,
            _ => 0.0,
        };
        let log_p = match before {
            None => prior.iter().map(|x| x.slope * length as f64).fold(f64::NEG_INFINITY, f64::max),
            Some(_) => log_prior(prior, length as u64),
        };
        w.space * log_p + switch
    }

    /// Score of genes in their order.
    fn annotation(&self, genes: &[Candidate]) -> f64 {
        let mut score = 0.0;
        for i in 0..=genes.len() {
            let before = i.checked_sub(1).map(|i| &genes[i]);
            score += self.space(before, genes.get(i));
            if let Some(gene) = genes.get(i) {
                score += self.gene(gene).unwrap_or(f64::NEG_INFINITY);
            }
        }
        score
    }

    /// Every gene that the rules allow, with at most two introns.
    fn all_genes(&self) -> Vec<(Candidate, f64)> {
        let n = self.bases.len();
        let mut found = Vec::new();
        for reverse in [false, true] {
            let mut boundaries: Vec<Vec<usize>> = (0..=n).map(|b| vec![b]).collect();
            let mut lists: Vec<Vec<usize>> = Vec::new();
            // Boundaries where introns may begin and end.
            let left: Vec<usize> = (0..n.saturating_sub(1))
                .filter(|&b| matches!((reverse, &self.bases[b..b + 2]), (false, b"GT" | b"GC") | (true, b"CT")))
                .collect();
            let right: Vec<usize> = (2..=n)
                .filter(|&b| matches!((reverse, &self.bases[b - 2..b]), (false, b"AG") | (true, b"AC" | b"GC")))
                .collect();
            for _ in 0..=2 {
                let mut longer = Vec::new();
                for list in &boundaries {
                    let last = *list.last().unwrap();
                    for end in last..=n {
                        lists.push([list.as_slice(), &[end]].concat());
                    }
                    for &a in left.iter().filter(|&&a| a >= last) {
                        for &b in right.iter().filter(|&&b| b >= a + 4) {
                            longer.push([list.as_slice(), &[a, b]].concat());
                        }
                    }
                }
                boundaries = longer;
            }
            for list in lists {
                let parts: Vec<(usize, usize)> = list.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
                let (start, end) = (parts[0].0, parts[parts.len() - 1].1);
                for cut_left in [false, true] {
                    for cut_right in [false, true] {
                        for intron_left in [false, true] {
                            for intron_right in [false, true] {
                                if intron_left && !cut_left || intron_right && !cut_right {
                                    continue;
                                }
                                if cut_left && !intron_left && start != 0 || cut_right && !intron_right && end != n {
                                    continue;
                                }
                                for offset in 0..if cut_left { 3 } else { 1 } {
                                    let gene = Candidate {
                                        reverse,
                                        parts: parts.clone(),
                                        offset,
                                        cut: [cut_left, cut_right],
                                        in_intron: [intron_left, intron_right],
                                    };
                                    if let Some(score) = self.gene(&gene)
                                        && score > f64::NEG_INFINITY
                                    {
                                        found.push((gene, score));
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        found
    }

    /// The best annotation and its score.
    fn optimum(&self) -> (f64, Vec<Candidate>) {
        let mut genes = self.all_genes();
        genes.sort_by_key(|(gene, _)| (gene.parts.last().unwrap().1, gene.parts[0].0));
        let mut best = (self.annotation(&[]), None);
        let mut to: Vec<(f64, Option<usize>)> = Vec::new();
        for j in 0..genes.len() {
            let (gene, score) = &genes[j];
            let mut value = (self.space(None, Some(gene)), None);
            for i in 0..j {
                let other = to[i].0 + self.space(Some(&genes[i].0), Some(gene));
                if other > value.0 {
                    value = (other, Some(i));
                }
            }
            let value = (value.0 + score, value.1);
            to.push(value);
            let end = value.0 + self.space(Some(gene), None);
            if end > best.0 {
                best = (end, Some(j));
            }
        }
        let mut chosen = Vec::new();
        let mut at = best.1;
        while let Some(j) = at {
            chosen.push(genes[j].0.clone());
            at = to[j].1;
        }
        chosen.reverse();
        (best.0, chosen)
    }
}

fn candidate(gene: &GeneModel, length: usize) -> Candidate {
    let reverse = gene.strand == Strand::Reverse;
    let parts: Vec<(usize, usize)> = gene.cds.iter().map(|part| (part.start as usize, part.end as usize)).collect();
    let cut = if reverse { [gene.partial_3, gene.partial_5] } else { [gene.partial_5, gene.partial_3] };
    let total: usize = parts.iter().map(|part| part.1 - part.0).sum();
    let phase = gene.phase as usize;
    // Left to right, the first base's position in its codon.
    let offset = match (cut[0], reverse) {
        (false, _) => 0,
        (true, false) => (3 - phase) % 3,
        (true, true) => (2 * total + phase) % 3,
    };
    let in_intron = [cut[0] && parts[0].0 > 0, cut[1] && parts[parts.len() - 1].1 < length];
    Candidate { reverse, parts, offset, cut, in_intron }
}

fn first_pass(
    parameters: &GeneParameters,
    code: &'static GeneticCode,
    bases: &[u8],
    classes: &[f32],
    signals: &[f32],
) -> (Vec<GeneModel>, f64) {
    let stretch = Stretch { start: 0, end: bases.len(), open_start: true, open_end: true };
    let mut engine =
        Engine::new(Arc::new(parameters.clone()), code, padded_codes(bases), stretch, Taken::default(), 0.0);
    engine.push(classes, signals);
    let path = engine.finish();
    (models(&path, bases.len()), engine.score)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_spliced_program_finds_the_optimum(seed: u64, length in 0usize..34) {
        let mut random = Random(seed);
        let parameters = random.parameters();
        let bases = random.sequence(length);
        let classes = random.evidence(length, 1.5);
        let signals = random.evidence(length, 3.0);
        let code = GeneticCode::by_number(1).unwrap();
        let scorer = Scorer { parameters: &parameters, code, bases: &bases, classes: &classes, signals: &signals };
        let (genes, score) = first_pass(&parameters, code, &bases, &classes, &signals);
        let (optimum, best) = scorer.optimum();
        // The genes that the program returns have the score that it claims.
        let returned: Vec<Candidate> = genes.iter().map(|gene| candidate(gene, length)).collect();
        let stated = scorer.annotation(&returned);
        prop_assert!((score - stated).abs() < 1e-6, "program {score}, its genes {stated}, {} {genes:?}", String::from_utf8_lossy(&bases));
        let text = String::from_utf8_lossy(&bases);
        // Brute force stops at two introns a gene.
        let within = genes.iter().all(|gene| gene.cds.len() <= 3);
        let equal = score > optimum - 1e-6 && (score < optimum + 1e-6 || !within);
        prop_assert!(equal, "program {score}, brute force {optimum}, {text} {genes:?} {best:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn posteriors_are_shares_of_all_annotations(seed: u64, length in 6usize..24) {
        let mut random = Random(seed);
        let mut parameters = random.parameters();
        // One piece a prior and no cut genes: each annotation is one path then.
        let p = &mut parameters.priors;
        for prior in [&mut p.single_exon, &mut p.initial_exon, &mut p.internal_exon, &mut p.terminal_exon, &mut p.intron] {
            prior.truncate(1);
        }
        p.space = vec![LengthPiece { from: 0, log_p: 0.0, slope: random.range(-0.2, 0.0) }];
        parameters.weights.partial = -1000.0;
        let bases = random.sequence(length);
        let (classes, signals) = (random.evidence(length, 1.0), random.evidence(length, 2.0));
        let code = GeneticCode::by_number(1).unwrap();
        let scorer = Scorer { parameters: &parameters, code, bases: &bases, classes: &classes, signals: &signals };
        let (mut found, _) = first_pass(&parameters, code, &bases, &classes, &signals);
        let stretch = Stretch { start: 0, end: length, open_start: true, open_end: true };
        let codes = padded_codes(&bases);
        let shared = Arc::new(parameters.clone());
        posterior::spliced(&shared, code, &codes, stretch, (&classes, &signals), &mut found);

        let mut genes: Vec<(Candidate, f64)> =
            scorer.all_genes().into_iter().filter(|(gene, _)| gene.cut == [false, false]).collect();
        genes.sort_by_key(|(gene, _)| (gene.parts.last().unwrap().1, gene.parts[0].0));
        // Sums of the weights of all annotations that end, or begin, with each gene.
        let add = super::engine::log_add;
        let n = genes.len();
        let mut left = vec![0.0; n];
        for j in 0..n {
            let mut sum = scorer.space(None, Some(&genes[j].0));
            for i in 0..j {
                sum = add(sum, left[i] + scorer.space(Some(&genes[i].0), Some(&genes[j].0)));
            }
            left[j] = sum + genes[j].1;
        }
        let mut right = vec![0.0; n];
        for i in (0..n).rev() {
            let mut sum = scorer.space(Some(&genes[i].0), None);
            for j in i + 1..n {
                sum = add(sum, right[j] + scorer.space(Some(&genes[i].0), Some(&genes[j].0)));
            }
            right[i] = sum + genes[i].1;
        }
        let total = (0..n).fold(scorer.annotation(&[]), |sum, i| add(sum, left[i] + scorer.space(Some(&genes[i].0), None)));
        if !found.is_empty() && found.iter().all(|gene| !gene.partial_5 && !gene.partial_3) {
            // The likelihood of the best annotation, were it the truth.
            let truth = found.iter().map(|gene| (gene.strand, vec![gene.cds.clone()])).collect();
            let reference = fit::reference(truth);
            let example =
                fit::Example { sequence: &bases, classes: &classes, signals: &signals, code, reference };
            let likelihood = fit::likelihood::Truth::new(&example, &shared).log_likelihood(&example, &shared);
            let returned: Vec<Candidate> = found.iter().map(|gene| candidate(gene, length)).collect();
            let expected = scorer.annotation(&returned) - total;
            prop_assert!((likelihood - expected).abs() < 1e-5, "{likelihood} {expected} {found:?}");
        }
        for gene in &found {
            let wanted = candidate(gene, length);
            let i = genes.iter().position(|(other, _)| *other == wanted);
            let i = i.expect("a gene of the best annotation is one of all genes");
            let expected = posterior::log_odds(left[i] + right[i] - genes[i].1 - total);
            prop_assert!((gene.score - expected).abs() < 1e-5, "{} {expected} {gene:?}", gene.score);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn alternatives_are_valid_different_and_in_order(seed: u64, length in 0usize..300, prokaryotes: bool) {
        let mut random = Random(seed);
        let mut parameters = random.parameters();
        if prokaryotes {
            parameters.program = Program::Prokaryotes;
        }
        let bases = random.sequence(length);
        let (classes, signals) = (random.evidence(length, 1.0), random.evidence(length, 2.0));
        let code = GeneticCode::by_number(1).unwrap();
        let shared = Arc::new(parameters.clone());
        let found = alternatives_of(&shared, code, &bases, 0, &classes, &signals, 5).unwrap();
        prop_assert!(!found.is_empty() && found.len() <= 5);
        prop_assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
        for (i, one) in found.iter().enumerate() {
            prop_assert!(found[..i].iter().all(|other| other.genes != one.genes));
        }
        if !prokaryotes {
            let (best, score) = first_pass(&parameters, code, &bases, &classes, &signals);
            prop_assert_eq!(&found[0].genes, &best);
            prop_assert_eq!(found[0].score, score);
        }
        // A stretch of the sequence, its ends between genes.
        let (from, to) = (length / 3, length - length / 4);
        let rows = from * ROW..to * ROW;
        let inner = alternatives_of(&shared, code, &bases, from, &classes[rows.clone()], &signals[rows], 3).unwrap();
        let genes = found.iter().flat_map(|one| &one.genes);
        for gene in genes.chain(inner.iter().flat_map(|one| &one.genes)) {
            let total: u64 = gene.cds.iter().map(|part| part.len()).sum();
            if total >= 3 + u64::from(gene.phase) {
                check_gene(gene, &bases, code, &parameters, false);
            }
        }
        for gene in inner.iter().flat_map(|one| &one.genes) {
            let span = gene.span();
            prop_assert!(span.start >= from as u64 && span.end <= to as u64);
            prop_assert!(!gene.partial_5 && !gene.partial_3 || from == 0 || to == length);
        }
    }
}

/// What every predicted gene has to keep. `overlap` tells whether genes may share bases.
pub fn check_gene(gene: &GeneModel, bases: &[u8], code: &GeneticCode, parameters: &GeneParameters, circular: bool) {
    let n = bases.len() as u64;
    assert!(!gene.cds.is_empty());
    assert!(gene.cds.iter().all(|part| part.start < part.end), "{gene:?}");
    assert!(
        gene.cds.windows(2).all(|pair| pair[0].end + u64::from(parameters.weights.minimum_intron) <= pair[1].start)
    );
    let end = gene.cds[gene.cds.len() - 1].end;
    assert!(end <= if circular { 2 * n } else { n } && gene.cds[0].start < n, "{gene:?}");
    let mut spliced: Vec<u8> = Vec::new();
    for part in &gene.cds {
        spliced.extend((part.start..part.end).map(|i| bases[(i % n) as usize].to_ascii_uppercase()));
    }
    let introns: Vec<Interval> = gene.cds.windows(2).map(|pair| Interval::new(pair[0].end, pair[1].start)).collect();
    let reverse = gene.strand == Strand::Reverse;
    for intron in introns {
        let intron = &bases[intron.start as usize..intron.end as usize].to_ascii_uppercase();
        let intron = if reverse { dna::reverse_complement(intron) } else { intron.clone() };
        assert!(intron.starts_with(b"GT") || intron.starts_with(b"GC"), "{gene:?}");
        assert!(intron.ends_with(b"AG"), "{gene:?}");
    }
    if reverse {
        spliced = dna::reverse_complement(&spliced);
    }
    if !gene.partial_5 {
        assert_eq!(gene.phase, 0);
        let start = String::from_utf8(spliced[..3].to_vec()).unwrap();
        assert!(parameters.weights.start_codons.contains_key(&start), "{gene:?} starts with {start}");
    }
    let framed = &spliced[gene.phase as usize..];
    if !gene.partial_3 {
        assert_eq!(framed.len() % 3, 0, "{gene:?}");
        assert!(code.is_stop(&framed[framed.len() - 3..]), "{gene:?}");
    }
    let codons: Vec<&[u8]> = framed.chunks_exact(3).collect();
    let inner = if gene.partial_3 { &codons[..] } else { &codons[..codons.len() - 1] };
    assert!(!inner.iter().any(|codon| code.is_stop(codon)), "{gene:?} has an inner stop");
    assert!(gene.score.is_finite());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_evidence_gives_valid_genes(
        seed: u64,
        length in 0usize..1500,
        code in prop::sample::select(vec![1u32, 2, 4, 6, 11, 12, 22, 23, 27]),
        circular: bool,
        prokaryotes: bool,
        letters in 0u8..3,
    ) {
        let mut random = Random(seed);
        let mut parameters = random.parameters();
        if prokaryotes {
            parameters.program = Program::Prokaryotes;
        }
        let mut bases = random.sequence(length);
        match letters {
            1 => bases.make_ascii_lowercase(),
            2 => for base in bases.iter_mut().skip(length / 3).take(30) { *base = b'N' },
            _ => {}
        }
        let classes = random.evidence(length, 3.0);
        let signals = random.evidence(length, 6.0);
        let code = GeneticCode::by_number(code).unwrap();
        let mut decoder = Decoder::new(Arc::new(parameters.clone()), code, &bases, circular).unwrap();
        let cut = (random.next() as usize % (length + 1)) * ROW;
        decoder.push(&classes[..cut], &signals[..cut]).unwrap();
        decoder.push(&classes[cut..], &signals[cut..]).unwrap();
        let genes = decoder.finish().unwrap();
        for gene in &genes {
            check_gene(gene, &bases, code, &parameters, circular);
        }
        prop_assert!(genes.windows(2).all(|pair| pair[0].span() <= pair[1].span()));
        for (i, gene) in genes.iter().enumerate() {
            for other in &genes[i + 1..] {
                let shared: u64 = gene.cds.iter().flat_map(|a| other.cds.iter().map(move |b| (a, b)))
                    .map(|(a, b)| a.end.min(b.end).saturating_sub(a.start.max(b.start))).sum();
                if gene.strand == other.strand && !prokaryotes {
                    prop_assert_eq!(shared, 0, "{:?} {:?}", gene, other);
                }
            }
        }
        // Chunks and their sizes do not matter.
        let mut again = Decoder::new(Arc::new(parameters), code, &bases, circular).unwrap();
        for (class, signal) in classes.chunks(ROW * 97).zip(signals.chunks(ROW * 97)) {
            again.push(class, signal).unwrap();
        }
        prop_assert_eq!(genes, again.finish().unwrap());
    }
}
