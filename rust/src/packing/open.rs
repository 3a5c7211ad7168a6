//! Packs that still have room, found by what fits best.

use std::collections::BinaryHeap;

use super::{Budget, Size};

/// Packs while they are filled.
pub(super) struct Filling<'a> {
    windows: &'a [Size],
    budget: Budget,
    open: OpenPacks,
    packs: Vec<Pack>,
    /// The pack of each window.
    pub(super) assigned: Vec<u32>,
}

#[derive(Clone, Copy, Default)]
struct Pack {
    tokens: u64,
    labels: u64,
    /// Tokens of its longest window.
    longest: u32,
}

impl Pack {
    fn with(self, size: Size) -> Self {
        Pack {
            tokens: self.tokens + u64::from(size.tokens),
            labels: self.labels + u64::from(size.labels),
            longest: self.longest.max(size.tokens),
        }
    }

    /// DNA tokens that the pack may hold: without its longest window it is below the target.
    fn limit(self, budget: &Budget) -> u64 {
        (u64::from(budget.target) - 1 + u64::from(self.longest)).min(u64::from(budget.hard_limit))
    }
}

impl<'a> Filling<'a> {
    pub(super) fn new(windows: &'a [Size], budget: Budget) -> Self {
        let open = OpenPacks::new(budget.hard_limit);
        Filling { windows, budget, open, packs: Vec::new(), assigned: vec![0; windows.len()] }
    }

    pub(super) fn count(&self) -> usize {
        self.packs.len()
    }

    /// Puts a window into the pack that it fills best, or into a new one.
    pub(super) fn place(&mut self, window: u32) {
        let size = self.windows[window as usize];
        let id = match self.open.take(size.tokens, size.labels) {
            Some(id) => id,
            None => {
                self.packs.push(Pack::default());
                self.packs.len() as u32 - 1
            }
        };
        let pack = &mut self.packs[id as usize];
        *pack = pack.with(size);
        self.assigned[window as usize] = id;
        self.open(id);
    }

    /// Makes a pack of these windows, if that is allowed.
    pub(super) fn add(&mut self, windows: &[u32]) -> bool {
        let sizes = windows.iter().map(|&window| self.windows[window as usize]);
        let pack = sizes.fold(Pack::default(), Pack::with);
        if pack.tokens > pack.limit(&self.budget) || pack.labels > u64::from(self.budget.labels) {
            return false;
        }
        let id = self.packs.len() as u32;
        self.packs.push(pack);
        windows.iter().for_each(|&window| self.assigned[window as usize] = id);
        self.open(id);
        true
    }

    /// Lets a pack take more windows, where it has room for a token.
    fn open(&mut self, id: u32) {
        let pack = self.packs[id as usize];
        let limit = pack.limit(&self.budget);
        if limit > pack.tokens {
            let labels = u64::from(self.budget.labels) - pack.labels;
            self.open.put((limit - pack.tokens) as usize, labels, id);
        }
    }
}

/// Open packs by the tokens that still fit: a tree of maxima of the labels that still fit, over heaps of packs.
struct OpenPacks {
    /// Node i has children 2i and 2i+1; leaves begin at `leaves`. One more than the labels left, 0 where none is open.
    most_labels: Vec<u64>,
    leaves: usize,
    /// By tokens left, packs as (labels left, id).
    packs: Vec<BinaryHeap<(u64, u32)>>,
}

impl OpenPacks {
    fn new(most_tokens: u32) -> Self {
        let count = most_tokens as usize + 1;
        let leaves = count.next_power_of_two();
        OpenPacks { most_labels: vec![0; 2 * leaves], leaves, packs: vec![BinaryHeap::new(); count] }
    }

    fn put(&mut self, tokens: usize, labels: u64, id: u32) {
        self.packs[tokens].push((labels, id));
        self.update(tokens);
    }

    /// Takes out the pack with the fewest tokens left, and of those the one with the most labels left, that has room for
    /// so many.
    fn take(&mut self, tokens: u32, labels: u32) -> Option<u32> {
        let tokens = self.first_leaf(tokens as usize, u64::from(labels) + 1)?;
        let (_, id) = self.packs[tokens].pop()?;
        self.update(tokens);
        Some(id)
    }

    fn update(&mut self, tokens: usize) {
        let mut node = self.leaves + tokens;
        self.most_labels[node] = self.packs[tokens].peek().map_or(0, |&(labels, _)| labels + 1);
        while node > 1 {
            node /= 2;
            let most = self.most_labels[2 * node].max(self.most_labels[2 * node + 1]);
            if self.most_labels[node] == most {
                break;
            }
            self.most_labels[node] = most;
        }
    }

    /// The first leaf at or after `from` whose value is at least `need`.
    fn first_leaf(&self, from: usize, need: u64) -> Option<usize> {
        let mut node = self.leaves + from;
        while self.most_labels[node] < need {
            // To the next subtree on the right.
            while node % 2 == 1 {
                node /= 2;
                if node <= 1 {
                    return None;
                }
            }
            node += 1;
        }
        while node < self.leaves {
            node *= 2;
            if self.most_labels[node] < need {
                node += 1;
            }
        }
        Some(node - self.leaves)
    }
}
