//! The spliced program's pass over a sequence: the best path through intergenic, coding and intron states, in time
//! linear in the sequence.
//!
//! A state's score changes base by base only by amounts that all paths in it share, so states keep their score less the
//! running sum of those amounts, and are touched only at candidates (start and stop codons, splice sites). A coding
//! exon's entry takes effect at its first whole codon, an entry with a length prior or a minimum at the length where it
//! begins to hold; until then it waits in a ring of the coming positions. Each entry adds a node to a tree of back
//! pointers, from which branches that no state needs any more are removed from time to time; what all survivors share is
//! settled and leaves the tree.

mod back_pointers;
mod states;

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::parameters::GeneParameters;
use super::strand_tables::{IMPOSSIBLE, StrandTables, codon, pair};
use crate::dna::GeneticCode;

/// Values of evidence a base: two strands of six classes or signals.
pub const ROW: usize = 12;
/// A run of this many bases other than A, C, G, T ends every coding exon: nothing is known of what it hides.
pub const GAP: usize = 20;
/// Base codes are padded on both sides, so that codons can be read at the sequence's ends.
pub const PAD: usize = 4;

/// What a node of the tree stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Before the first base.
    Root,
    /// Gene opens (left end), with a start codon or on the reverse strand with a stop codon.
    Open,
    /// The exon left of an intron ends.
    IntronLeft,
    /// The exon right of an intron begins.
    IntronRight,
    /// Gene closes (right end).
    Close,
    /// The sequence begins inside a coding exon.
    BeginExon,
    /// The sequence begins inside an intron.
    BeginIntron,
    /// The sequence ends inside a coding exon.
    EndExon,
    /// The sequence ends inside an intron.
    EndIntron,
}

#[derive(Debug, Clone, Copy)]
pub struct Node {
    pub previous: u32,
    pub position: u32,
    pub event: Event,
    /// 0 forward, 1 reverse.
    pub strand: u8,
    /// Frame of the exon (that ends or begins here); for `BeginIntron` the bases of the split codon left of it.
    pub frame: u8,
    /// Score of the best path up to here; for `Open`, `BeginExon` and `BeginIntron` before the gene's own costs.
    pub value: f64,
}

/// An entry into a state that takes effect later.
#[derive(Debug, Clone, Copy)]
struct Pending {
    base: f64,
    node: u32,
    slot: u16,
    /// First base of the exon, and its first codon boundary.
    exon: u32,
    boundary: u32,
}

/// How to enter a state: the state, the length from which on it is open, and the log prior there.
#[derive(Debug, Clone, Copy)]
struct Entry {
    slot: u16,
    from: u32,
    log_p: f64,
}

/// Genes that another pass found and this one has to respect.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// For each strand, sorted disjoint intervals that no exon may touch.
    pub forbidden: [Vec<(usize, usize)>; 2],
    /// For each strand, sorted disjoint intervals whose bases cost `overlap` in an exon.
    pub costly: [Vec<(usize, usize)>; 2],
}

/// Being between genes one or two bases back.
#[derive(Debug, Clone, Copy)]
struct SplitOpening {
    value: f64,
    /// Running sum of the frame that would open there.
    sum: f64,
    node: u32,
}

const NO_OPENING: SplitOpening = SplitOpening { value: IMPOSSIBLE, sum: 0.0, node: 0 };

/// What the pass may do at the two ends of its stretch of the sequence.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    pub start: usize,
    pub end: usize,
    /// Genes may be cut by the stretch's start (end): only at the sequence's own.
    pub open_start: bool,
    pub open_end: bool,
}

/// Order of exons left to right.
const SINGLE: usize = 0;
const FIRST: usize = 1;
const MIDDLE: usize = 2;
const LAST: usize = 3;

pub struct Engine {
    parameters: Arc<GeneParameters>,
    codes: Arc<[u8]>,
    tables: [StrandTables; 2],
    stretch: Stretch,
    taken: Taken,
    taken_at: [[usize; 2]; 2],
    gene_cost: f64,
    /// The boundary that comes next: rows before it were read.
    at: usize,
    /// Running sums: by strand the three frames and the intron, then one that stays 0.
    sums: [f64; 9],
    base: Vec<f64>,
    node: Vec<u32>,
    slope: Vec<f64>,
    sum_of: Vec<u8>,
    open_entries: [[Vec<Entry>; 3]; 2],
    right_entries: [[Vec<Entry>; 3]; 2],
    intron_entries: [Vec<Vec<Entry>>; 2],
    space_entries: [Vec<Entry>; 3],
    exon_slots: [[Vec<u16>; 3]; 2],
    close_slots: [[Vec<u16>; 3]; 2],
    left_slots: [[Vec<u16>; 3]; 2],
    intron_slots: [Vec<Vec<u16>>; 2],
    space_slots: [Vec<u16>; 3],
    split_close_slots: [[u16; 3]; 2],
    ring: Vec<Vec<Pending>>,
    /// End of the last forbidden codon by strand and frame, and of the last base that no exon may hold by strand.
    last_forbidden: [[u32; 3]; 2],
    last_barred: [u32; 2],
    /// Forward strand: in-frame ranked starts since the last stop.
    ranks: [u16; 3],
    unknown_run: usize,
    /// Signals of the previous base that belong to boundaries right of it: + acceptor, + stop, - donor, - start.
    right_signals: [f64; 4],
    /// Value and origin of opening a gene one and two bases back, where an intron may split its first codon.
    split_open: [[SplitOpening; 3]; 2],
    nodes: Vec<Node>,
    collect_at: usize,
    settled: Vec<Node>,
    /// Score of the best path, after [`Engine::finish`]; the log of the sum over all paths where paths are summed.
    pub score: f64,
    /// Sum over all paths instead of finding the best one; no nodes are kept.
    sums_paths: bool,
    /// Boundaries and strands whose openings are wanted, last first, and the values found.
    wanted: Vec<(usize, usize)>,
    openings: FxHashMap<(usize, usize), f64>,
    /// Events (boundary, strand, kind) that no path may have.
    banned: FxHashSet<(u32, u8, Event)>,
    /// The only events that paths may have, where they are given.
    only: Option<FxHashSet<(u32, u8, Event)>>,
}

/// `ln(exp(a) + exp(b))`.
pub fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    // Below this the smaller one is lost in the larger one's last digits.
    if low < high - 36.0 || low == IMPOSSIBLE { high } else { high + (low - high).exp().ln_1p() }
}

/// Base codes of a sequence, padded for [`Engine`].
pub fn padded_codes(sequence: &[u8]) -> Arc<[u8]> {
    let mut codes = vec![4u8; sequence.len() + 2 * PAD];
    for (code, &base) in codes[PAD..].iter_mut().zip(sequence) {
        *code = crate::dna::base_code(base);
    }
    codes.into()
}

impl Engine {
    pub fn new(
        parameters: Arc<GeneParameters>,
        code: &GeneticCode,
        codes: Arc<[u8]>,
        stretch: Stretch,
        taken: Taken,
        extra_gene_cost: f64,
    ) -> Engine {
        let tables = [StrandTables::new(&parameters, code, false), StrandTables::new(&parameters, code, true)];
        let gene_cost = parameters.weights.gene + extra_gene_cost;
        let mut engine = Engine {
            codes,
            stretch,
            taken,
            taken_at: [[0; 2]; 2],
            gene_cost,
            at: stretch.start,
            sums: [0.0; 9],
            base: Vec::new(),
            node: Vec::new(),
            slope: Vec::new(),
            sum_of: Vec::new(),
            open_entries: Default::default(),
            right_entries: Default::default(),
            intron_entries: Default::default(),
            space_entries: Default::default(),
            exon_slots: Default::default(),
            close_slots: Default::default(),
            left_slots: Default::default(),
            intron_slots: Default::default(),
            space_slots: Default::default(),
            split_close_slots: Default::default(),
            ring: Vec::new(),
            last_forbidden: [[0; 3]; 2],
            last_barred: [0; 2],
            ranks: [0; 3],
            unknown_run: 0,
            right_signals: [0.0; 4],
            split_open: [[NO_OPENING; 3]; 2],
            nodes: vec![Node {
                previous: 0,
                position: stretch.start as u32,
                event: Event::Root,
                strand: 0,
                frame: 0,
                value: 0.0,
            }],
            collect_at: 1 << 18,
            settled: Vec::new(),
            score: IMPOSSIBLE,
            sums_paths: false,
            wanted: Vec::new(),
            openings: FxHashMap::default(),
            banned: FxHashSet::default(),
            only: None,
            tables,
            parameters,
        };
        engine.make_states();
        engine.begin();
        engine
    }

    /// Makes the pass sum over all paths, and note the value of being between genes, about to open one on the strand, at
    /// each of the wanted boundaries. Before anything is pushed.
    pub fn sum_paths(&mut self, mut wanted: Vec<(usize, usize)>) {
        wanted.sort_unstable_by(|a, b| b.cmp(a));
        wanted.dedup();
        self.wanted = wanted;
        self.sums_paths = true;
    }

    /// Leaves out all paths with one of these events: boundary, strand, kind. Before anything is pushed.
    pub fn ban(&mut self, banned: FxHashSet<(u32, u8, Event)>) {
        self.banned = banned;
    }

    /// Leaves out all paths with any other events than these: boundary, strand, kind. Before anything is pushed.
    pub fn allow_only(&mut self, events: FxHashSet<(u32, u8, Event)>) {
        self.only = Some(events);
    }

    fn is_banned(&self, position: usize, strand: usize, event: Event) -> bool {
        let event = (position as u32, strand as u8, event);
        !self.banned.is_empty() && self.banned.contains(&event)
            || self.only.as_ref().is_some_and(|only| !only.contains(&event))
    }

    /// The values noted, by boundary and strand; complete after [`Engine::finish`].
    pub fn openings(&self) -> &FxHashMap<(usize, usize), f64> {
        &self.openings
    }

    fn add(&mut self, node: Node) -> u32 {
        if self.sums_paths {
            return 0;
        }
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    fn value(&self, slot: u16, position: f64) -> f64 {
        let slot = slot as usize;
        self.base[slot] + self.sums[self.sum_of[slot] as usize] + self.slope[slot] * position
    }

    /// The best of some states at a position, and where it came from.
    fn best(&self, slots: &[u16], position: f64) -> (f64, u32) {
        let mut best = (IMPOSSIBLE, 0);
        if self.sums_paths {
            for &slot in slots {
                best.0 = log_add(best.0, self.value(slot, position));
            }
            return best;
        }
        for &slot in slots {
            let value = self.value(slot, position);
            if value > best.0 {
                best = (value, self.node[slot as usize]);
            }
        }
        best
    }

    /// The better of two ways to be somewhere, or both.
    fn either(&self, a: (f64, u32), b: (f64, u32)) -> (f64, u32) {
        match self.sums_paths {
            true => (log_add(a.0, b.0), 0),
            false if b.0 > a.0 => b,
            false => a,
        }
    }

    fn improve(&mut self, slot: u16, base: f64, node: u32) {
        let slot = slot as usize;
        if self.sums_paths {
            self.base[slot] = log_add(self.base[slot], base);
        } else if base > self.base[slot] {
            self.base[slot] = base;
            self.node[slot] = node;
        }
    }

    /// A state's score less its running sums, for an entry of `value` at `position`.
    fn entry_base(&self, entry: Entry, value: f64, position: usize) -> f64 {
        let slot = entry.slot as usize;
        value + entry.log_p
            - self.sums[self.sum_of[slot] as usize]
            - self.slope[slot] * (position + entry.from as usize) as f64
    }

    fn wait(&mut self, ready: usize, pending: Pending) {
        let mask = self.ring.len() - 1;
        self.ring[ready & mask].push(pending);
    }

    /// Reads evidence of the next bases. `classes` and `signals` hold `ROW` values a base.
    pub fn push(&mut self, classes: &[f32], signals: &[f32]) {
        debug_assert_eq!(classes.len(), signals.len());
        for (class, signal) in classes.chunks_exact(ROW).zip(signals.chunks_exact(ROW)) {
            let limit = self.parameters.weights.logit_limit as f32;
            let cut = |x: f32| f64::from(if x.is_nan() { 0.0 } else { x.clamp(-limit, limit) });
            self.boundary([cut(signal[1]), cut(signal[2]), cut(signal[6 + 3]), cut(signal[6 + 4])]);
            self.right_signals = [cut(signal[3]), cut(signal[4]), cut(signal[6 + 2]), cut(signal[6 + 1])];
            self.read_classes(class);
            self.at += 1;
            if self.nodes.len() >= self.collect_at {
                self.collect();
            }
        }
    }

    fn read_classes(&mut self, class: &[f32]) {
        let weights = &self.parameters.weights;
        let limit = weights.logit_limit as f32;
        let unknown = self.codes[PAD + self.at] > 3;
        self.unknown_run = if unknown { self.unknown_run + 1 } else { 0 };
        for strand in 0..2 {
            let row = &class[strand * 6..strand * 6 + 6];
            let background = if weights.utr_is_background { row[5].max(0.0) } else { 0.0 };
            let cut = |x: f32| {
                let x = x - background;
                f64::from(if x.is_nan() { 0.0 } else { x.clamp(-limit, limit) })
            };
            if !unknown {
                for frame in 0..3 {
                    self.sums[strand * 4 + frame] += weights.cds_scale * cut(row[1 + frame]) + weights.cds_base;
                }
            }
            let within = |list: &[(usize, usize)], cursor: &mut usize, at: usize| {
                while *cursor < list.len() && list[*cursor].1 <= at {
                    *cursor += 1;
                }
                *cursor < list.len() && list[*cursor].0 <= at
            };
            if within(&self.taken.costly[strand], &mut self.taken_at[strand][1], self.at) {
                for frame in 0..3 {
                    self.sums[strand * 4 + frame] += weights.overlap;
                }
            }
            let barred = within(&self.taken.forbidden[strand], &mut self.taken_at[strand][0], self.at);
            // Where another gene of the strand has an exon, neither class is meant for an intron of this one.
            self.sums[strand * 4 + 3] +=
                if barred { weights.overlap } else { weights.intron_scale * cut(row[4]) + weights.intron_base };
            if barred || self.unknown_run >= GAP {
                self.last_barred[strand] = self.at as u32 + 1;
                for frame in 0..3 {
                    for &slot in &self.exon_slots[strand][frame] {
                        self.base[slot as usize] = IMPOSSIBLE;
                    }
                }
            }
        }
        if self.unknown_run >= GAP {
            self.ranks = [0; 3];
        }
    }

    /// Everything that may happen at the boundary `self.at`: genes close, waiting entries take effect, introns begin and
    /// end, genes open, in this order. `left` holds the signals of the base right of it: + start, + donor, - acceptor,
    /// - stop.
    fn boundary(&mut self, left: [f64; 4]) {
        let at = self.at;
        // around[PAD] is the base right of the boundary.
        let around: [u8; 2 * PAD] = self.codes[at..at + 2 * PAD].try_into().expect("as many as asked for");
        let mask = self.ring.len() - 1;
        let mut waiting = Vec::new();
        if !self.ring[at & mask].is_empty() {
            waiting = std::mem::take(&mut self.ring[at & mask]);
            for &pending in &waiting {
                if (pending.boundary as usize) < at {
                    self.arrive(pending);
                }
            }
        }
        // Codons left of the boundary. Closing reads them before they end what they must not stand in.
        let inside = at >= self.stretch.start + 3;
        let before = if inside { codon(&around[PAD - 3..PAD]) } else { super::strand_tables::NO_CODON };
        let frame = at % 3;
        for strand in 0..2 {
            let score = self.tables[strand].closes[before];
            if score > IMPOSSIBLE {
                let (value, origin) = self.best(&self.close_slots[strand][frame], at as f64);
                if value > IMPOSSIBLE {
                    let value = value + score + self.close_score(strand, at);
                    self.close(strand, frame, value, origin);
                }
            }
            if self.tables[strand].forbidden[before] {
                self.last_forbidden[strand][frame] = at as u32;
                for &slot in &self.exon_slots[strand][frame] {
                    self.base[slot as usize] = IMPOSSIBLE;
                }
            }
        }
        if !waiting.is_empty() {
            for &pending in &waiting {
                if pending.boundary as usize >= at {
                    self.arrive(pending);
                }
            }
            waiting.clear();
            self.ring[at & mask] = waiting;
        }

        let after_pair = pair(&around[PAD..]);
        let before_pair = if at >= self.stretch.start + 2 { pair(&around[PAD - 2..]) } else { 16 };
        for strand in 0..2 {
            let score = self.tables[strand].intron_left[after_pair];
            if score > IMPOSSIBLE && !self.is_banned(at, strand, Event::IntronLeft) {
                self.intron_left(strand, score, left[1 + strand], &around[..PAD]);
            }
        }
        for strand in 0..2 {
            let score = self.tables[strand].intron_right[before_pair];
            if score > IMPOSSIBLE && !self.is_banned(at, strand, Event::IntronRight) {
                let signal = self.right_signals[strand * 2];
                self.intron_right(strand, score, signal, &around[PAD..]);
            }
        }
        while self.wanted.last().is_some_and(|&(position, _)| position == at) {
            let (_, strand) = self.wanted.pop().expect("there is a last one");
            let value = self.opening(strand).0;
            self.openings.insert((at, strand), value);
        }
        let after = codon(&around[PAD..]);
        for strand in 0..2 {
            let score = self.tables[strand].opens[after];
            if score > IMPOSSIBLE && at + 3 <= self.stretch.end {
                self.open(strand, score, if strand == 0 { left[0] } else { left[3] });
            }
            self.remember_opening(strand, &around[PAD..]);
        }
        if self.tables[0].forbidden[after] {
            self.ranks[frame] = 0;
        } else if self.tables[0].ranked[after] {
            self.ranks[frame] += 1;
        }
    }

    fn arrive(&mut self, pending: Pending) {
        let slot = pending.slot as usize;
        let sum = self.sum_of[slot] as usize;
        if sum < 8 && sum % 4 < 3 {
            let (strand, frame) = (sum / 4, sum % 4);
            if self.last_forbidden[strand][frame] > pending.boundary || self.last_barred[strand] > pending.exon {
                return;
            }
            if pending.slot == self.split_close_slots[strand][frame] {
                let value = pending.base + self.sums[sum];
                self.close(strand, frame, value, pending.node);
                return;
            }
        }
        self.improve(pending.slot, pending.base, pending.node);
    }

    /// Signal, codon and rank scores of a gene's right end at a boundary, its codon's own score apart.
    fn close_score(&self, strand: usize, at: usize) -> f64 {
        let weights = &self.parameters.weights;
        if strand == 0 {
            return weights.stop.weight * self.right_signals[1] + weights.stop.bias;
        }
        let tables = &self.tables[1];
        let (mut rank, mut next) = (0, at);
        let last_rank = self.parameters.priors.start_rank.len();
        while next + 3 <= self.codes.len() - 2 * PAD && rank < last_rank {
            let index = codon(&self.codes[PAD + next..]);
            if index == super::strand_tables::NO_CODON || tables.forbidden[index] {
                break;
            }
            rank += usize::from(tables.ranked[index]);
            next += 3;
        }
        weights.start.weight * self.right_signals[3] + weights.start.bias + self.parameters.rank_score(rank)
    }

    fn close(&mut self, strand: usize, frame: usize, value: f64, origin: u32) {
        let at = self.at;
        if self.is_banned(at, strand, Event::Close) {
            return;
        }
        let node = self.add(Node {
            previous: origin,
            position: at as u32,
            event: Event::Close,
            strand: strand as u8,
            frame: frame as u8,
            value,
        });
        for i in 0..self.space_entries[1 + strand].len() {
            let entry = self.space_entries[1 + strand][i];
            let base = self.entry_base(entry, value, at);
            if entry.from == 0 {
                self.improve(entry.slot, base, node);
            } else {
                let pending = Pending { base, node, slot: entry.slot, exon: at as u32, boundary: at as u32 };
                self.wait(at + entry.from as usize, pending);
            }
        }
    }

    /// The best way to be between genes here, for a gene on `strand` to open.
    fn opening(&self, strand: usize) -> (f64, u32) {
        let mut best = (IMPOSSIBLE, 0);
        for previous in 0..3 {
            let (value, node) = self.best(&self.space_slots[previous], self.at as f64);
            let switch = if previous == 0 || previous == 1 + strand { 0.0 } else { self.parameters.weights.switch };
            best = self.either(best, (value + switch, node));
        }
        best
    }

    fn open(&mut self, strand: usize, score: f64, signal: f64) {
        let (value, origin) = self.opening(strand);
        if value == IMPOSSIBLE || self.is_banned(self.at, strand, Event::Open) {
            return;
        }
        let weights = &self.parameters.weights;
        let at = self.at;
        let frame = at % 3;
        let signal = if strand == 0 {
            weights.start.weight * signal + weights.start.bias + self.parameters.rank_score(self.ranks[frame] as usize)
        } else {
            weights.stop.weight * signal + weights.stop.bias
        };
        let entered = value + self.gene_cost + score + signal;
        let node = self.add(Node {
            previous: origin,
            position: at as u32,
            event: Event::Open,
            strand: strand as u8,
            frame: frame as u8,
            value,
        });
        for i in 0..self.open_entries[strand][frame].len() {
            let entry = self.open_entries[strand][frame][i];
            self.enter_exon(entry, entered, node, at + 3);
        }
    }

    /// An exon that begins here and whose first whole codon begins at `boundary`.
    fn enter_exon(&mut self, entry: Entry, value: f64, node: u32, boundary: usize) {
        let at = self.at;
        let ready = (at + entry.from.max(1) as usize).max(boundary);
        let base = self.entry_base(entry, value, at);
        let pending = Pending { base, node, slot: entry.slot, exon: at as u32, boundary: boundary as u32 };
        if ready == at { self.arrive(pending) } else { self.wait(ready, pending) }
    }

    /// Where an intron may split a gene's first codon, being between genes is remembered for one or two bases.
    fn remember_opening(&mut self, strand: usize, right: &[u8]) {
        let tables = &self.tables[strand];
        let one =
            tables.opening_1[right[0].min(4) as usize].is_some() && tables.intron_left[pair(&right[1..])] > IMPOSSIBLE;
        let two = tables.opening_2[pair(right)].is_some() && tables.intron_left[pair(&right[2..])] > IMPOSSIBLE;
        let now = if one || two {
            let (value, node) = self.opening(strand);
            SplitOpening { value, sum: self.sums[strand * 4 + self.at % 3], node }
        } else {
            NO_OPENING
        };
        let kept = &mut self.split_open[strand];
        kept[2] = kept[1];
        kept[1] = now;
    }

    fn intron_left(&mut self, strand: usize, score: f64, signal: f64, left: &[u8]) {
        let weights = &self.parameters.weights;
        let site = if strand == 0 { weights.donor } else { weights.acceptor };
        let cost = score + weights.intron + site.weight * signal + site.bias;
        let (split, gene) = (weights.split_codon, self.gene_cost);
        let at = self.at;
        for frame in 0..3 {
            let (value, origin) = self.best(&self.left_slots[strand][frame], at as f64);
            if value == IMPOSSIBLE {
                continue;
            }
            let tables = &self.tables[strand];
            let memory = match (at + 3 - frame) % 3 {
                0 => tables.memory_0,
                1 => tables.memory_1[left[PAD - 1] as usize],
                _ => tables.memory_2[pair(&left[PAD - 2..])],
            };
            self.enter_intron(strand, memory, frame, value + cost, origin);
        }
        for bases in [1, 2] {
            let SplitOpening { value, sum, node: origin } = self.split_open[strand][bases];
            if value == IMPOSSIBLE
                || self.last_barred[strand] as usize > at - bases
                || self.is_banned(at - bases, strand, Event::Open)
            {
                continue;
            }
            let tables = &self.tables[strand];
            let memory = match bases {
                1 => tables.opening_1[left[PAD - 1] as usize],
                _ => tables.opening_2[pair(&left[PAD - 2..])],
            };
            let Some(memory) = memory else { continue };
            let frame = (at - bases) % 3;
            let node = self.add(Node {
                previous: origin,
                position: (at - bases) as u32,
                event: Event::Open,
                strand: strand as u8,
                frame: frame as u8,
                value,
            });
            let exon = self.sums[strand * 4 + frame] - sum;
            self.enter_intron(strand, memory, frame, value + gene + split + exon + cost, node);
        }
    }

    fn enter_intron(&mut self, strand: usize, memory: usize, frame: usize, value: f64, origin: u32) {
        let at = self.at;
        let mut node = None;
        for i in 0..self.intron_entries[strand][memory].len() {
            let entry = self.intron_entries[strand][memory][i];
            let base = self.entry_base(entry, value, at);
            // Nothing ends an intron's state, so what is no better now never will be.
            if base <= self.base[entry.slot as usize] && !self.sums_paths {
                continue;
            }
            let node = *node.get_or_insert_with(|| {
                if self.sums_paths {
                    return 0;
                }
                self.nodes.push(Node {
                    previous: origin,
                    position: at as u32,
                    event: Event::IntronLeft,
                    strand: strand as u8,
                    frame: frame as u8,
                    value,
                });
                (self.nodes.len() - 1) as u32
            });
            let pending = Pending { base, node, slot: entry.slot, exon: at as u32, boundary: at as u32 };
            self.wait(at + entry.from as usize, pending);
        }
    }

    fn intron_right(&mut self, strand: usize, score: f64, signal: f64, right: &[u8]) {
        let weights = &self.parameters.weights;
        let site = if strand == 0 { weights.acceptor } else { weights.donor };
        let cost = score + site.weight * signal + site.bias;
        let split = weights.split_codon;
        let at = self.at;
        // States whose codon has the same number of bases left of the intron lead to the same frame.
        let mut by_left = [(IMPOSSIBLE, 0u32); 3];
        for memory in 0..self.tables[strand].memories.len() {
            let (value, origin) = self.best(&self.intron_slots[strand][memory], at as f64);
            if value == IMPOSSIBLE {
                continue;
            }
            let known = &self.tables[strand].memories[memory];
            let (left, closes) = (known.left, known.closes(right));
            if known.goes_on(right) {
                by_left[left] = self.either(by_left[left], (value, origin));
            }
            if closes {
                let frame = (at + 3 - left) % 3;
                let node = self.add_right(strand, frame, value + cost + split, origin);
                let slot = self.split_close_slots[strand][frame];
                let entry = Entry { slot, from: 0, log_p: 0.0 };
                self.enter_exon(entry, value + cost + split, node, at + 3 - left);
            }
        }
        for (left, (value, origin)) in by_left.into_iter().enumerate() {
            if value == IMPOSSIBLE {
                continue;
            }
            let frame = (at + 3 - left) % 3;
            let node = self.add_right(strand, frame, value + cost, origin);
            for i in 0..self.right_entries[strand][frame].len() {
                let entry = self.right_entries[strand][frame][i];
                self.enter_exon(entry, value + cost, node, at + (3 - left) % 3);
            }
        }
    }

    fn add_right(&mut self, strand: usize, frame: usize, value: f64, origin: u32) -> u32 {
        let position = self.at as u32;
        let (strand, frame) = (strand as u8, frame as u8);
        self.add(Node { previous: origin, position, event: Event::IntronRight, strand, frame, value })
    }

    /// Ends the pass: the nodes of the best path that were not yet settled.
    pub fn finish(&mut self) -> Vec<Node> {
        debug_assert_eq!(self.at, self.stretch.end);
        self.boundary([0.0; 4]);
        let at = self.at;
        let mut best = (IMPOSSIBLE, 0u32);
        for previous in 0..3 {
            best = self.either(best, self.best(&self.space_slots[previous], at as f64));
        }
        if self.stretch.open_end {
            let cost = self.parameters.weights.partial;
            for strand in 0..2usize {
                for frame in 0..3usize {
                    let (value, origin) = self.best(&self.exon_slots[strand][frame], at as f64);
                    if value > IMPOSSIBLE {
                        let node = self.add_end(Event::EndExon, strand, frame, value + cost, origin);
                        best = self.either(best, (value + cost, node));
                    }
                }
                for memory in 0..self.tables[strand].memories.len() {
                    if self.tables[strand].memories[memory].bare {
                        continue;
                    }
                    let (value, origin) = self.best(&self.intron_slots[strand][memory], at as f64);
                    if value > IMPOSSIBLE {
                        let node = self.add_end(Event::EndIntron, strand, 0, value + cost, origin);
                        best = self.either(best, (value + cost, node));
                    }
                }
            }
        }
        self.score = best.0;
        let mut path = Vec::new();
        let mut at = best.1;
        while at != 0 {
            path.push(self.nodes[at as usize]);
            at = self.nodes[at as usize].previous;
        }
        path.reverse();
        let mut all = std::mem::take(&mut self.settled);
        all.extend(path);
        all
    }

    fn add_end(&mut self, event: Event, strand: usize, frame: usize, value: f64, origin: u32) -> u32 {
        let position = self.at as u32;
        let (strand, frame) = (strand as u8, frame as u8);
        self.add(Node { previous: origin, position, event, strand, frame, value })
    }
}
