//! The states of a pass, the ways into them, and those in which a stretch may begin.

use super::{Engine, Entry, Event, FIRST, LAST, MIDDLE, Node, Pending, SINGLE};
use crate::decode::parameters::LengthPrior;
use crate::decode::strand_tables::IMPOSSIBLE;

impl Engine {
    fn slot(&mut self, sum: usize, slope: f64) -> u16 {
        self.base.push(IMPOSSIBLE);
        self.node.push(0);
        self.slope.push(slope);
        self.sum_of.push(sum as u8);
        (self.base.len() - 1) as u16
    }

    /// One state a piece of the length prior; returns the ways in.
    fn states(&mut self, prior: &LengthPrior, weight: f64, shortest: u32, sum: usize) -> Vec<Entry> {
        prior
            .iter()
            .map(|piece| {
                let slope = weight * piece.slope;
                let from = piece.from.max(shortest);
                let log_p = weight * (piece.log_p + piece.slope * f64::from(from - piece.from));
                Entry { slot: self.slot(sum, slope), from, log_p }
            })
            .collect()
    }

    pub(super) fn make_states(&mut self) {
        let parameters = self.parameters.clone();
        let (priors, weights) = (&parameters.priors, &parameters.weights);
        for strand in 0..2 {
            for frame in 0..3 {
                let sum = strand * 4 + frame;
                for kind in [SINGLE, FIRST, MIDDLE, LAST] {
                    let prior = match (kind, strand) {
                        (SINGLE, _) => &priors.single_exon,
                        (MIDDLE, _) => &priors.internal_exon,
                        (FIRST, 0) | (LAST, 1) => &priors.initial_exon,
                        _ => &priors.terminal_exon,
                    };
                    let shortest = if kind == SINGLE { weights.minimum_cds.max(6) } else { 1 };
                    let entries = self.states(prior, weights.length, shortest, sum);
                    let slots = entries.iter().map(|entry| entry.slot);
                    self.exon_slots[strand][frame].extend(slots.clone());
                    if matches!(kind, SINGLE | LAST) {
                        self.close_slots[strand][frame].extend(slots);
                    } else {
                        self.left_slots[strand][frame].extend(slots);
                    }
                    if matches!(kind, SINGLE | FIRST) {
                        self.open_entries[strand][frame].extend(entries);
                    } else {
                        self.right_entries[strand][frame].extend(entries);
                    }
                }
                self.split_close_slots[strand][frame] = self.slot(sum, 0.0);
            }
            for _ in 0..self.tables[strand].memories.len() {
                let entries = self.states(&priors.intron, weights.length, weights.minimum_intron, strand * 4 + 3);
                self.intron_slots[strand].push(entries.iter().map(|entry| entry.slot).collect());
                self.intron_entries[strand].push(entries);
            }
        }
        for previous in 0..3 {
            let entries = self.states(&priors.space, weights.space, 0, 8);
            self.space_slots[previous] = entries.iter().map(|entry| entry.slot).collect();
            self.space_entries[previous] = entries;
        }
        let longest = [&self.open_entries, &self.right_entries]
            .into_iter()
            .flatten()
            .flatten()
            .chain(self.intron_entries.iter().flatten())
            .chain(&self.space_entries)
            .flatten()
            .map(|entry| entry.from)
            .max()
            .unwrap_or(0);
        self.ring = vec![Vec::new(); (longest as usize + 8).next_power_of_two()];
    }

    /// States in which the stretch may begin. Length priors do not judge what lies partly outside.
    pub(super) fn begin(&mut self) {
        let start = self.stretch.start;
        for slot in self.space_slots[0].clone() {
            self.base[slot as usize] = -self.slope[slot as usize] * start as f64;
        }
        if !self.stretch.open_start {
            return;
        }
        let cost = self.parameters.weights.partial + self.gene_cost;
        for strand in 0..2u8 {
            for frame in 0..3u8 {
                let node = self.add(Node {
                    previous: 0,
                    position: start as u32,
                    event: Event::BeginExon,
                    strand,
                    frame,
                    value: 0.0,
                });
                for entry in self.right_entries[strand as usize][frame as usize].clone() {
                    let slope = self.slope[entry.slot as usize];
                    let (exon, boundary) = (start as u32, start as u32);
                    let base = cost - slope * start as f64;
                    // From the first base on, so that no exon is empty.
                    self.wait(start + 1, Pending { base, node, slot: entry.slot, exon, boundary });
                }
            }
            for (left, memory) in self.tables[strand as usize].begun.into_iter().enumerate() {
                let node = self.add(Node {
                    previous: 0,
                    position: start as u32,
                    event: Event::BeginIntron,
                    strand,
                    frame: left as u8,
                    value: 0.0,
                });
                for slot in self.intron_slots[strand as usize][memory].clone() {
                    let slot = slot as usize;
                    self.base[slot] = cost - self.slope[slot] * start as f64;
                    self.node[slot] = node;
                }
            }
        }
    }
}
