//! Genes without introns: the best chain of open reading frames.
//!
//! Every open reading frame with each of its best few starts is a node. A chain runs from left to right; neighbours may
//! overlap a little, nothing is contained, and the distance of neighbours counts by their strands. A circular sequence is
//! decoded twice in a row, and one period of the chain is taken.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::adaptation::{Adaptation, Candidate, gene_sum, window};
use super::alternatives::{Alternative, Waiting, search};
use super::engine::{GAP, ROW, log_add};
use super::gene_model::GeneModel;
use super::parameters::{GeneParameters, log_prior};
use super::posterior::log_odds;
use super::priors::ranked_starts;
use super::strand_tables::{NO_CODON, codon};
use crate::dna::{self, GeneticCode};
use crate::error::{Error, Result};
use crate::gene::{Interval, Strand};

/// Starts kept of each open reading frame.
const STARTS: usize = 6;
/// Largest overlap of neighbours, bp: on one strand, tail to tail, head to head.
pub const SAME_STRAND_OVERLAP: i64 = 60;
pub const CONVERGENT_OVERLAP: i64 = 200;
pub const DIVERGENT_OVERLAP: i64 = 60;

/// An open reading frame from one of its starts.
#[derive(Debug, Clone, Copy)]
struct Node {
    left: i64,
    right: i64,
    /// 0 forward, 1 reverse.
    strand: u8,
    phase: u8,
    partial_5: bool,
    partial_3: bool,
    score: f64,
}

pub struct ProkaryoteDecoder {
    parameters: Arc<GeneParameters>,
    code: &'static GeneticCode,
    codes: Vec<u8>,
    circular: bool,
    /// Running sums of coding evidence by strand and frame, one row a boundary.
    sums: Vec<[f64; 6]>,
    /// + start, + stop, - start, - stop of each base.
    signals: Vec<[f32; 4]>,
    posteriors: bool,
    adapted: Option<Adapted>,
}

/// What the genome's own genes say, and its sums along the codons of both strands, each in its reading direction.
struct Adapted {
    adaptation: Arc<Adaptation>,
    sums: [Vec<f64>; 2],
}

impl ProkaryoteDecoder {
    pub fn new(
        parameters: Arc<GeneParameters>,
        code: &'static GeneticCode,
        sequence: &[u8],
        circular: bool,
    ) -> ProkaryoteDecoder {
        let codes = dna::base_codes(sequence);
        let mut sums = Vec::with_capacity(sequence.len() + 1);
        sums.push([0.0; 6]);
        let signals = Vec::with_capacity(sequence.len());
        ProkaryoteDecoder { parameters, code, codes, circular, sums, signals, posteriors: false, adapted: None }
    }

    /// Scores the genes by the log odds of their posterior probabilities.
    pub fn with_posteriors(mut self) -> ProkaryoteDecoder {
        self.posteriors = true;
        self
    }

    /// Evidence of the next bases: `classes` and `signals` are `[bases, 2, 6]`.
    pub fn push(&mut self, classes: &[f32], signals: &[f32]) -> Result<()> {
        if classes.len() != signals.len() || classes.len() % ROW != 0 {
            return Err(Error::input(format!(
                "classes and signals hold {} and {} values; both need 12 a base",
                classes.len(),
                signals.len()
            )));
        }
        let pushed = self.signals.len() + classes.len() / ROW;
        if pushed > self.codes.len() {
            return Err(Error::input(format!(
                "evidence for {pushed} bases was given, the sequence has {}",
                self.codes.len()
            )));
        }
        let weights = &self.parameters.weights;
        let limit = weights.logit_limit as f32;
        let cut = |x: f32| if x.is_nan() { 0.0 } else { x.clamp(-limit, limit) };
        for (class, signal) in classes.chunks_exact(ROW).zip(signals.chunks_exact(ROW)) {
            let mut sum = *self.sums.last().expect("begins with one row");
            if self.codes[self.signals.len()] < 4 {
                for strand in 0..2 {
                    for frame in 0..3 {
                        let logit = f64::from(cut(class[strand * 6 + 1 + frame]));
                        sum[strand * 3 + frame] += weights.cds_scale * logit + weights.cds_base;
                    }
                }
            }
            self.sums.push(sum);
            self.signals.push([cut(signal[1]), cut(signal[4]), cut(signal[7]), cut(signal[10])]);
        }
        Ok(())
    }

    /// Takes the genome's own genes into account from now on, and parameters that differ from those before in priors and
    /// start codons alone.
    pub fn adapt(&mut self, parameters: Arc<GeneParameters>, adaptation: Arc<Adaptation>) {
        let sums = [0, 1].map(|strand| adaptation.hexamers.sums(&self.oriented(strand, 1)));
        self.parameters = parameters;
        self.adapted = Some(Adapted { adaptation, sums });
    }

    /// Forgets the evidence; what was adapted stays.
    pub fn forget_evidence(&mut self) {
        self.sums.truncate(1);
        self.signals.clear();
    }

    /// Base codes of the sequence.
    pub fn codes(&self) -> &[u8] {
        &self.codes
    }

    /// Start codons in use, by codon index.
    pub fn start_codons(&self) -> [Option<f64>; 64] {
        self.parameters.start_table(self.code)
    }

    /// All genes of the sequence, sorted by position. On a circular one an end may pass the length.
    pub fn finish(self) -> Result<Vec<GeneModel>> {
        self.genes()
    }

    /// Nodes of the sequence, sorted by their right ends; of two turns of it where it is circular.
    fn nodes(&self) -> Result<(Vec<Node>, usize)> {
        let length = self.codes.len();
        if self.signals.len() != length {
            return Err(Error::input(format!(
                "evidence for {} bases was given, the sequence has {length}",
                self.signals.len()
            )));
        }
        let turns = if self.circular && length >= 3 { 2 } else { 1 };
        let mut nodes = self.open_frames(0, turns);
        nodes.extend(self.open_frames(1, turns));
        nodes.sort_by_key(|node| (node.right, node.left, node.strand));
        Ok((nodes, turns))
    }

    /// All genes that have a chance, with their posterior probabilities.
    pub fn candidates(&self) -> Result<Vec<Candidate>> {
        let (nodes, turns) = self.nodes()?;
        let length = self.codes.len() as i64;
        let log_p = self.log_probabilities(&nodes);
        let mut found = Vec::new();
        for (node, log_p) in nodes.iter().zip(log_p) {
            // Of two turns the copy that is farther from the ends, which are not really there.
            let central = turns == 1 || (length / 2..length / 2 + length).contains(&node.left);
            let turn = if turns == 1 { 0 } else { node.left / length * length };
            let probability = log_p.exp().min(1.0);
            if central && log_p > -80.0 {
                found.push(Candidate {
                    left: node.left - turn,
                    right: node.right - turn,
                    strand: if node.strand == 0 { Strand::Forward } else { Strand::Reverse },
                    phase: node.phase,
                    partial_5: node.partial_5,
                    partial_3: node.partial_3,
                    probability,
                    log_probability: log_p,
                });
            }
        }
        Ok(found)
    }

    /// As [`ProkaryoteDecoder::finish`], with the evidence kept.
    pub fn genes(&self) -> Result<Vec<GeneModel>> {
        let length = self.codes.len();
        let (nodes, turns) = self.nodes()?;
        let chain = self.best_chain(&nodes);
        let scores = if self.posteriors { Some(self.posteriors_of(&nodes, &chain)) } else { None };
        let genes: Vec<Node> = chain
            .into_iter()
            .enumerate()
            .map(|(at, i)| Node { score: scores.as_ref().map_or(nodes[i].score, |scores| scores[at]), ..nodes[i] })
            .collect();
        let genes = if turns == 2 { one_period(&genes, length as i64) } else { genes };
        let mut models: Vec<GeneModel> = genes.into_iter().map(model).collect();
        models.sort_by_key(|gene| (gene.span(), gene.strand));
        Ok(models)
    }

    /// Sum of coding evidence of `[left, right)` in the frame of a codon that begins at `left + frame_offset`.
    fn evidence(&self, strand: usize, left: usize, right: usize, codon_start: usize) -> f64 {
        let length = self.codes.len();
        let turn = |from: usize, to: usize, shift: usize| {
            // Frames count from the sequence's first base in each turn.
            let frame = (codon_start + 3 * length - shift) % 3;
            let column = strand * 3 + frame;
            self.sums[to][column] - self.sums[from][column]
        };
        if right <= length {
            turn(left, right, 0)
        } else if left >= length {
            turn(left - length, right - length, length)
        } else {
            turn(left, length, 0) + turn(0, right - length, length)
        }
    }

    /// Base codes of a strand in its reading direction, `turns` times in a row.
    fn oriented(&self, strand: usize, turns: usize) -> Vec<u8> {
        let length = self.codes.len();
        let total = turns * length;
        match strand {
            0 => (0..total).map(|i| self.codes[i % length]).collect(),
            _ => (0..total)
                .map(|i| match self.codes[(total - 1 - i) % length] {
                    code @ 0..=3 => 3 - code,
                    code => code,
                })
                .collect(),
        }
    }

    /// Nodes of one strand. `turns` 2 reads a circular sequence twice in a row.
    fn open_frames(&self, strand: usize, turns: usize) -> Vec<Node> {
        let length = self.codes.len();
        let total = turns * length;
        let starts = self.parameters.start_table(self.code);
        let ranked = ranked_starts(self.code);
        let oriented = self.oriented(strand, turns);
        // End of the last gap of unknown bases that began before each position: frames do not cross it.
        let mut gaps = vec![false; total];
        let mut run = 0;
        for i in 0..total {
            run = if oriented[i] > 3 { run + 1 } else { 0 };
            gaps[i] = run >= GAP;
        }
        let mut nodes = Vec::new();
        for offset in 0..3.min(total) {
            // Starts since the last stop: position, rank, codon's score. `edge`: the frame is open from the first base.
            let mut open: Vec<(usize, usize, f64)> = Vec::new();
            let mut rank = 0;
            let mut edge = turns == 1;
            let mut at = offset;
            while at + 3 <= total {
                let index = codon(&oriented[at..]);
                if gaps[at] || gaps[at + 1] || gaps[at + 2] {
                    open.clear();
                    rank = 0;
                    edge = false;
                } else if index != NO_CODON && self.code.is_stop_index(index as u8) {
                    self.make_nodes(strand, &oriented, &open, edge.then_some(offset), at + 3, false, &mut nodes);
                    open.clear();
                    rank = 0;
                    edge = false;
                } else if index != NO_CODON {
                    if let Some(score) = starts[index] {
                        open.push((at, rank, score));
                    }
                    rank += usize::from(ranked[index]);
                }
                at += 3;
            }
            if turns == 1 {
                self.make_nodes(strand, &oriented, &open, edge.then_some(offset), total, true, &mut nodes);
            }
        }
        nodes
    }

    /// Nodes of one open reading frame that ends at `end`, in transcript coordinates.
    #[allow(clippy::too_many_arguments)]
    fn make_nodes(
        &self,
        strand: usize,
        oriented: &[u8],
        open: &[(usize, usize, f64)],
        edge: Option<usize>,
        end: usize,
        partial_3: bool,
        nodes: &mut Vec<Node>,
    ) {
        let weights = &self.parameters.weights;
        let length = self.codes.len();
        let total = oriented.len();
        let minimum = weights.minimum_cds.max(6) as usize;
        let signal = |position: usize, kind: usize| {
            let forward = if strand == 0 { position } else { total - 1 - position };
            f64::from(self.signals[forward % length][strand * 2 + kind])
        };
        let stop = match partial_3 {
            true => weights.partial,
            false => weights.stop.weight * signal(end - 1, 1) + weights.stop.bias,
        };
        let mut found: Vec<Node> = Vec::new();
        let mut consider = |begin: usize, codon_start: usize, partial_5: bool, start: f64| {
            let bases = end - begin;
            if bases < minimum || bases > length {
                return;
            }
            let (left, right, codon_at) = match strand {
                0 => (begin, end, codon_start),
                _ => (total - end, total - begin, total - codon_start),
            };
            let prior = match partial_5 || partial_3 {
                // A cut gene is at least this long: the prior of its length says little.
                true => 0.0,
                false => weights.length * log_prior(&self.parameters.priors.single_exon, bases as u64),
            };
            let evidence = self.evidence(strand, left, right, codon_at);
            let codons = self.adapted.as_ref().map_or(0.0, |adapted| {
                adapted.adaptation.hexamer_score(gene_sum(&adapted.sums[strand], codon_start, end))
            });
            let score = evidence + codons + start + stop + weights.gene + prior;
            if score > f64::NEG_INFINITY {
                found.push(Node {
                    left: left as i64,
                    right: right as i64,
                    strand: strand as u8,
                    phase: (codon_start - begin) as u8,
                    partial_5,
                    partial_3,
                    score,
                });
            }
        };
        if let Some(offset) = edge {
            consider(0, offset, true, weights.partial);
        }
        let open: Vec<&(usize, usize, f64)> = open.iter().filter(|start| end - start.0 >= minimum).collect();
        let around = self.around_starts(oriented, &open);
        for (i, &&(begin, rank, codon_score)) in open.iter().enumerate() {
            let start = weights.start.weight * signal(begin, 0) + weights.start.bias + around.get(i).unwrap_or(&0.0);
            consider(begin, begin, false, start + codon_score + self.parameters.rank_score(rank));
        }
        found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.left.cmp(&b.left)).then(a.right.cmp(&b.right)));
        found.truncate(STARTS);
        nodes.extend(found);
    }

    /// What the genome's own starts say of the starts of one open reading frame: which of them it is, not whether there is a
    /// gene. The best of a chance frame's many start codons would else speak for it. Empty before adaptation.
    fn around_starts(&self, oriented: &[u8], open: &[&(usize, usize, f64)]) -> Vec<f64> {
        let Some(Adapted { adaptation, .. }) = &self.adapted else { return Vec::new() };
        let mut scores: Vec<f64> = open
            .iter()
            .map(|start| {
                adaptation.start_weight * adaptation.starts.log_odds(&window(oriented, start.0, self.circular))
            })
            .collect();
        let (mut prior, mut all) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        for (score, start) in scores.iter().zip(open) {
            let rank = self.parameters.rank_score(start.1);
            prior = log_add(prior, rank);
            all = log_add(all, rank + score);
        }
        scores.iter_mut().for_each(|score| *score -= all - prior);
        scores
    }

    /// Score of `right` directly after `left`; `None` where they may not be neighbours.
    fn link(&self, left: &Node, right: &Node) -> Option<f64> {
        if left.left >= right.left || left.right >= right.right {
            return None;
        }
        let weights = &self.parameters.weights;
        let priors = &self.parameters.priors;
        let distance = right.left - left.right;
        let (limit, prior, switch) = match (left.strand, right.strand) {
            (0, 1) => (CONVERGENT_OVERLAP, &priors.convergent_distance, weights.switch),
            (1, 0) => (DIVERGENT_OVERLAP, &priors.divergent_distance, weights.switch),
            _ => (SAME_STRAND_OVERLAP, &priors.same_strand_distance, 0.0),
        };
        let overlap = (-distance).max(0);
        (overlap <= limit).then(|| switch + weights.space * prior.at(distance) + weights.overlap * overlap as f64)
    }

    /// Several good chains of the sequence taken as a linear one, best first; see [`super::alternatives`]. Genes are cut by
    /// its start (end) only where that is open.
    pub fn alternatives(&self, wanted: usize, open_start: bool, open_end: bool) -> Vec<Alternative> {
        let length = self.codes.len() as i64;
        let mut nodes = self.open_frames(0, 1);
        nodes.extend(self.open_frames(1, 1));
        nodes.retain(|node| {
            let cut = node.partial_5 || node.partial_3;
            !cut || (node.left > 0 || open_start) && (node.right < length || open_end)
        });
        nodes.sort_by_key(|node| (node.right, node.left, node.strand));
        search(wanted, |banned: FxHashSet<(i64, i64, u8)>| {
            let place = |node: &Node| (node.left, node.right, node.strand);
            let left: Vec<Node> = nodes.iter().filter(|node| !banned.contains(&place(node))).copied().collect();
            let chain: Vec<Node> = self.best_chain(&left).into_iter().map(|i| left[i]).collect();
            let links: f64 = chain.windows(2).filter_map(|pair| self.link(&pair[0], &pair[1])).sum();
            let score = links + chain.iter().map(|node| node.score).sum::<f64>();
            let features = chain.iter().map(place).collect();
            let mut genes: Vec<GeneModel> = chain.into_iter().map(model).collect();
            genes.sort_by_key(|gene| (gene.span(), gene.strand));
            Waiting { alternative: Alternative { score, genes }, banned, features }
        })
    }

    /// Distance from which a link depends on the strands alone: past the tables of distances.
    fn far(&self) -> i64 {
        let priors = &self.parameters.priors;
        [&priors.same_strand_distance, &priors.convergent_distance, &priors.divergent_distance]
            .iter()
            .filter_map(|prior| prior.edges.last().copied())
            .max()
            .unwrap_or(0)
            .max(1)
    }

    /// Log odds of the posteriors of a chain's nodes.
    fn posteriors_of(&self, nodes: &[Node], chain: &[usize]) -> Vec<f64> {
        let log_p = self.log_probabilities(nodes);
        chain.iter().map(|&i| log_odds(log_p[i])).collect()
    }

    /// Logs of the posterior probabilities of nodes.
    fn log_probabilities(&self, nodes: &[Node]) -> Vec<f64> {
        let (forward, total) = self.chain_sums(nodes);
        let mut mirrored: Vec<(usize, Node)> = nodes
            .iter()
            .enumerate()
            .map(|(i, node)| (i, Node { left: -node.right, right: -node.left, strand: 1 - node.strand, ..*node }))
            .collect();
        mirrored.sort_by_key(|(_, node)| (node.right, node.left, node.strand));
        let (sums, _) = self.chain_sums(&mirrored.iter().map(|(_, node)| *node).collect::<Vec<_>>());
        let mut backward = vec![0.0; nodes.len()];
        for ((i, _), sum) in mirrored.iter().zip(sums) {
            backward[*i] = sum;
        }
        (0..nodes.len()).map(|i| forward[i] + backward[i] - nodes[i].score - total).collect()
    }

    /// Log of the summed weight of all chains that end in each node, and of all chains. `nodes` are sorted by their right
    /// ends.
    fn chain_sums(&self, nodes: &[Node]) -> (Vec<f64>, f64) {
        let (far, switch) = (self.far(), self.parameters.weights.switch);
        let mut sums: Vec<f64> = Vec::with_capacity(nodes.len());
        let mut prefix: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
        let mut total = 0.0;
        for (j, node) in nodes.iter().enumerate() {
            let mut sum = 0.0;
            let distant = nodes.partition_point(|other| other.right + far <= node.left);
            if distant > 0 {
                for (strand, prefix) in prefix.iter().enumerate() {
                    let switch = if strand as u8 == node.strand { 0.0 } else { switch };
                    sum = log_add(sum, prefix[distant - 1] + switch);
                }
            }
            for i in distant..j {
                if nodes[i].right > node.left + CONVERGENT_OVERLAP {
                    break;
                }
                if let Some(link) = self.link(&nodes[i], node) {
                    sum = log_add(sum, sums[i] + link);
                }
            }
            let value = sum + node.score;
            sums.push(value);
            total = log_add(total, value);
            for (strand, prefix) in prefix.iter_mut().enumerate() {
                let before = prefix.last().copied().unwrap_or(f64::NEG_INFINITY);
                prefix.push(if strand as u8 == node.strand { log_add(before, value) } else { before });
            }
        }
        (sums, total)
    }

    /// Indices of the best chain's nodes, left to right. `nodes` are sorted by their right ends.
    fn best_chain(&self, nodes: &[Node]) -> Vec<usize> {
        let (far, switch) = (self.far(), self.parameters.weights.switch);
        let mut best: Vec<(f64, u32)> = Vec::with_capacity(nodes.len());
        // Best chain that ends in one of the nodes up to here, by strand.
        let mut prefix: [Vec<(f64, u32)>; 2] = [Vec::new(), Vec::new()];
        const NONE: u32 = u32::MAX;
        for (j, node) in nodes.iter().enumerate() {
            let mut top = (0.0, NONE);
            let distant = nodes.partition_point(|other| other.right + far <= node.left);
            if distant > 0 {
                for (strand, prefix) in prefix.iter().enumerate() {
                    let (value, i) = prefix[distant - 1];
                    let value = value + if strand as u8 == node.strand { 0.0 } else { switch };
                    if value > top.0 {
                        top = (value, i);
                    }
                }
            }
            for i in distant..j {
                if nodes[i].right > node.left + CONVERGENT_OVERLAP {
                    break;
                }
                if let Some(link) = self.link(&nodes[i], node)
                    && best[i].0 + link > top.0
                {
                    top = (best[i].0 + link, i as u32);
                }
            }
            let value = top.0 + node.score;
            best.push((value, top.1));
            for (strand, prefix) in prefix.iter_mut().enumerate() {
                let before = prefix.last().copied().unwrap_or((f64::NEG_INFINITY, NONE));
                let own = strand as u8 == node.strand && value > before.0;
                prefix.push(if own { (value, j as u32) } else { before });
            }
        }
        let mut chain = Vec::new();
        let end = (0..nodes.len()).max_by(|&a, &b| best[a].0.total_cmp(&best[b].0).then(b.cmp(&a)));
        let mut at = match end {
            Some(end) if best[end].0 > 0.0 => end as u32,
            _ => NONE,
        };
        while at != NONE {
            chain.push(at as usize);
            at = best[at as usize].1;
        }
        chain.reverse();
        chain
    }
}

/// One turn of a chain that was found on two: from a gene of the first turn up to the same gene in the second.
fn one_period(genes: &[Node], length: i64) -> Vec<Node> {
    let same = |a: &Node, b: &Node| a.left + length == b.left && a.right + length == b.right && a.strand == b.strand;
    // Far from the two ends of the doubled sequence, which are not really there.
    let mut order: Vec<usize> = (0..genes.len()).collect();
    order.sort_by_key(|&i| (genes[i].left - length / 2).abs());
    let period = order.into_iter().find_map(|i| {
        let j = genes.iter().position(|gene| same(&genes[i], gene))?;
        Some((i, j))
    });
    let kept: Vec<Node> = match period {
        Some((i, j)) => genes[i..j].to_vec(),
        // The two turns differ everywhere, as happens with no or one gene: what begins in the first turn.
        None => {
            let mut kept: Vec<Node> = Vec::new();
            for gene in genes.iter().filter(|gene| gene.left < length) {
                if kept.first().is_none_or(|first| gene.right - length <= first.left) {
                    kept.push(*gene);
                }
            }
            kept
        }
    };
    kept.into_iter()
        .map(|mut gene| {
            let turn = gene.left / length * length;
            gene.left -= turn;
            gene.right -= turn;
            gene
        })
        .collect()
}

fn model(node: Node) -> GeneModel {
    GeneModel {
        strand: if node.strand == 0 { Strand::Forward } else { Strand::Reverse },
        cds: vec![Interval::new(node.left as u64, node.right as u64)],
        phase: node.phase,
        partial_5: node.partial_5,
        partial_3: node.partial_3,
        score: node.score,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn chains_against_all_subsets(
            drawn in prop::collection::vec((0i64..900, 90i64..500, 0u8..2, -6.0f64..6.0), 0..10),
        ) {
            let parameters = GeneParameters::default_for("prokaryotes").unwrap();
            let code = GeneticCode::by_number(11).unwrap();
            let decoder = ProkaryoteDecoder::new(Arc::new(parameters), code, b"", false);
            let mut nodes: Vec<Node> = drawn
                .into_iter()
                .map(|(left, length, strand, score)| Node {
                    left, right: left + length, strand, phase: 0, partial_5: false, partial_3: false, score,
                })
                .collect();
            nodes.sort_by_key(|node| (node.right, node.left, node.strand));
            let (mut best, mut total) = (0.0f64, f64::NEG_INFINITY);
            let mut with = vec![f64::NEG_INFINITY; nodes.len()];
            for subset in 0u32..1 << nodes.len() {
                let chain: Vec<usize> = (0..nodes.len()).filter(|i| subset >> i & 1 == 1).collect();
                let links: Option<f64> = chain.windows(2).map(|p| decoder.link(&nodes[p[0]], &nodes[p[1]])).sum();
                let Some(links) = links else { continue };
                let score = links + chain.iter().map(|&i| nodes[i].score).sum::<f64>();
                best = best.max(score);
                total = log_add(total, score);
                for i in chain {
                    with[i] = log_add(with[i], score);
                }
            }
            let chain = decoder.best_chain(&nodes);
            let links: f64 = chain.windows(2).map(|p| decoder.link(&nodes[p[0]], &nodes[p[1]]).unwrap()).sum();
            let score = links + chain.iter().map(|&i| nodes[i].score).sum::<f64>();
            prop_assert!((score - best).abs() < 1e-9);
            for (&i, odds) in chain.iter().zip(decoder.posteriors_of(&nodes, &chain)) {
                prop_assert!((odds - log_odds(with[i] - total)).abs() < 1e-6);
            }
        }
    }
}
