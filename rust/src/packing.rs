//! Windows into packs on two budgets: DNA tokens and label tokens.
//!
//! Best-fit decreasing. A window goes into the pack that it fills best without passing the target; where there is none,
//! into one that it takes past the target but not past the hard limit, so that two windows of slightly more than half a
//! target share a pack; else it opens a pack. A pack that has reached the target takes no more. Several orders are
//! planned and the one with the fewest packs is kept: none is best on all distributions of lengths.

use std::collections::BinaryHeap;

use crate::error::{Error, Result};

/// The plan's tables grow with the hard limit.
const MOST_TOKENS: u32 = 1 << 20;

/// Length of a window in DNA tokens and in label tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub tokens: u32,
    pub labels: u32,
}

/// What a pack may hold. Limits follow the window: one that is larger by itself has a pack of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// DNA tokens that a pack aims at.
    pub target: u32,
    /// DNA tokens that a pack of several windows never passes.
    pub hard_limit: u32,
    /// Label tokens that a pack of several windows never passes.
    pub labels: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { target: 4550, hard_limit: 5005, labels: 8000 }
    }
}

impl Budget {
    /// Refuses what cannot be planned with.
    pub fn check(&self) -> Result<()> {
        if self.target == 0 || self.labels == 0 || self.hard_limit < self.target || self.hard_limit > MOST_TOKENS {
            return Err(Error::input(format!(
                "budgets of {} tokens (target), {} tokens (hard limit) and {} labels: they must be positive, the hard limit \
                 at least the target and at most {MOST_TOKENS}",
                self.target, self.hard_limit, self.labels
            )));
        }
        Ok(())
    }
}

/// Packs as indices of windows, in rising order within a pack, packs by their first window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub packs: Vec<Vec<u32>>,
    /// No plan within the hard limits has fewer packs than this.
    pub lower_bound: usize,
    /// Windows larger than a hard limit, each alone in its pack.
    pub oversize: usize,
    /// The order of windows that gave this plan.
    pub strategy: &'static str,
}

/// Plans packs within a budget that `Budget::check` accepts; the same windows give the same plan.
pub fn pack(windows: &[Size], budget: &Budget) -> Plan {
    let hard_limit = budget.hard_limit.max(budget.target).clamp(1, MOST_TOKENS);
    let fits = |size: &Size| size.tokens <= hard_limit && size.labels <= budget.labels;
    let (regular, oversize): (Vec<u32>, Vec<u32>) =
        (0..windows.len() as u32).partition(|&window| fits(&windows[window as usize]));
    let bound = lower_bound(windows, &regular, hard_limit, budget.labels);

    let share = |size: &Size| {
        let (tokens, labels) =
            (f64::from(size.tokens) / f64::from(hard_limit), f64::from(size.labels) / f64::from(budget.labels.max(1)));
        (tokens, labels)
    };
    // Orders by a key of a window, largest first.
    type Key<'a> = (&'static str, Box<dyn Fn(&Size) -> u64 + Sync + 'a>);
    let scaled = |value: f64| (value * f64::from(1u32 << 30)) as u64;
    let orders: [Key; 3] = [
        ("by tokens", Box::new(|size| u64::from(size.tokens) << 32 | u64::from(size.labels))),
        ("by the larger share of a budget", Box::new(move |size| scaled(share(size).0.max(share(size).1)))),
        ("by the sum of shares", Box::new(move |size| scaled(share(size).0 + share(size).1))),
    ];
    let plan_by = |(name, key): &Key| {
        let mut order: Vec<(u64, u32)> = regular.iter().map(|&w| (key(&windows[w as usize]), w)).collect();
        order.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let (count, assigned) = best_fit(windows, &order, budget.target.min(hard_limit), hard_limit, budget.labels);
        (count, assigned, *name)
    };
    // Each order is planned in a thread of its own where that is worth one.
    let plans: Vec<_> = if regular.len() < 20_000 {
        orders.iter().map(plan_by).collect()
    } else {
        std::thread::scope(|scope| {
            let plan_by = &plan_by;
            let threads: Vec<_> = orders.iter().map(|order| scope.spawn(move || plan_by(order))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    };
    // The first of equals.
    let best = plans.into_iter().min_by_key(|(count, ..)| *count);
    let (count, assigned, strategy) = best.expect("at least one order was planned");
    let mut packs = vec![Vec::new(); count];
    for &window in &regular {
        packs[assigned[window as usize] as usize].push(window);
    }
    packs.extend(oversize.iter().map(|&window| vec![window]));
    packs.sort_unstable_by_key(|pack| pack[0]);
    Plan { packs, lower_bound: bound + oversize.len(), oversize: oversize.len(), strategy }
}

/// The number of packs, and the pack of each window.
fn best_fit(windows: &[Size], order: &[(u64, u32)], target: u32, hard_limit: u32, labels: u32) -> (usize, Vec<u32>) {
    let slack = hard_limit - target;
    let mut open = OpenPacks::new(hard_limit);
    let mut assigned = vec![0; windows.len()];
    let mut count = 0;
    for &(_, window) in order {
        let size = windows[window as usize];
        let found = open
            .take(size.tokens + slack, hard_limit, size.labels)
            .or_else(|| open.take(size.tokens, size.tokens.saturating_add(slack).min(hard_limit), size.labels));
        let pack = found.unwrap_or_else(|| {
            count += 1;
            OpenPack { tokens: hard_limit, labels, id: count as u32 - 1 }
        });
        assigned[window as usize] = pack.id;
        let rest = OpenPack { tokens: pack.tokens - size.tokens, labels: pack.labels - size.labels, id: pack.id };
        // At the target a pack is closed; so is one without room for a single token.
        if rest.tokens > slack && rest.tokens > 0 {
            open.put(rest);
        }
    }
    (count, assigned)
}

#[derive(Clone, Copy)]
struct OpenPack {
    /// Tokens and labels that still fit.
    tokens: u32,
    labels: u32,
    id: u32,
}

/// Open packs by the tokens that still fit: a tree of maxima of the labels that still fit, over heaps of packs.
struct OpenPacks {
    /// Node i has children 2i and 2i+1; leaves begin at `leaves`. One more than the labels left, 0 where none is open.
    most_labels: Vec<u32>,
    leaves: usize,
    /// By tokens left, packs as (labels left, id).
    packs: Vec<BinaryHeap<(u32, u32)>>,
}

impl OpenPacks {
    fn new(most_tokens: u32) -> Self {
        let count = most_tokens as usize + 1;
        let leaves = count.next_power_of_two();
        OpenPacks { most_labels: vec![0; 2 * leaves], leaves, packs: vec![BinaryHeap::new(); count] }
    }

    fn put(&mut self, pack: OpenPack) {
        self.packs[pack.tokens as usize].push((pack.labels, pack.id));
        self.update(pack.tokens as usize);
    }

    /// Takes out the pack with the fewest tokens left within `from..=to`, and of those the one with the most labels
    /// left, that has room for `labels`.
    fn take(&mut self, from: u32, to: u32, labels: u32) -> Option<OpenPack> {
        if from > to || to as usize >= self.packs.len() {
            return None;
        }
        let tokens = self.first_leaf(from as usize, labels + 1)?;
        if tokens > to as usize {
            return None;
        }
        let (left, id) = self.packs[tokens].pop()?;
        self.update(tokens);
        Some(OpenPack { tokens: tokens as u32, labels: left, id })
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
    fn first_leaf(&self, from: usize, need: u32) -> Option<usize> {
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

/// The larger of: the sums over the limits, and for k = 1, 2, ... the windows of more than a (k+1)th of a limit, of
/// which a pack holds k at most.
fn lower_bound(windows: &[Size], regular: &[u32], hard_limit: u32, labels: u32) -> usize {
    let bound = |limit: u32, length: &dyn Fn(&Size) -> u32| {
        let total: u64 = regular.iter().map(|&w| u64::from(length(&windows[w as usize]))).sum();
        let mut best = if limit == 0 { 0 } else { total.div_ceil(u64::from(limit)) };
        for k in 1..=8u64 {
            let over = |&&w: &&u32| u64::from(length(&windows[w as usize])) * (k + 1) > u64::from(limit);
            best = best.max((regular.iter().filter(over).count() as u64).div_ceil(k));
        }
        best as usize
    };
    bound(hard_limit, &|size| size.tokens).max(bound(labels, &|size| size.labels))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sizes(lengths: &[(u32, u32)]) -> Vec<Size> {
        lengths.iter().map(|&(tokens, labels)| Size { tokens, labels }).collect()
    }

    fn check(windows: &[Size], budget: &Budget, plan: &Plan) {
        let mut seen: Vec<u32> = plan.packs.iter().flatten().copied().collect();
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..windows.len() as u32), "every window is in one pack");
        for pack in &plan.packs {
            assert!(pack.is_sorted());
            let tokens: u64 = pack.iter().map(|&w| u64::from(windows[w as usize].tokens)).sum();
            let labels: u64 = pack.iter().map(|&w| u64::from(windows[w as usize].labels)).sum();
            assert!(pack.len() == 1 || tokens <= u64::from(budget.hard_limit), "{tokens} tokens");
            assert!(pack.len() == 1 || labels <= u64::from(budget.labels), "{labels} labels");
        }
        assert!(plan.packs.len() >= plan.lower_bound);
    }

    #[test]
    fn two_windows_of_half_a_target_and_a_little_share_a_pack() {
        let windows = sizes(&[(2400, 100); 10]);
        let plan = pack(&windows, &Budget::default());
        check(&windows, &Budget::default(), &plan);
        assert_eq!((plan.packs.len(), plan.lower_bound), (5, 5));
    }

    #[test]
    fn a_window_above_the_limits_is_alone() {
        let windows = sizes(&[(9000, 10), (100, 9000), (100, 10), (200, 20)]);
        let plan = pack(&windows, &Budget::default());
        assert_eq!(plan.packs, [vec![0], vec![1], vec![2, 3]]);
        assert_eq!(plan.oversize, 2);
        assert_eq!(pack(&[], &Budget::default()).packs.len(), 0);
    }

    #[test]
    fn packs_of_a_skewed_distribution_are_full() {
        let mut state = 7u64;
        let mut random = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as f64 / f64::from(1u32 << 31)
        };
        let windows: Vec<Size> = (0..20_000)
            .map(|_| Size {
                tokens: (60.0 + 2200.0 * random().powi(2)) as u32,
                labels: (4.0 + 400.0 * random()) as u32,
            })
            .collect();
        let budget = Budget { target: 4550, hard_limit: 4550, labels: 8000 };
        let plan = pack(&windows, &budget);
        check(&windows, &budget, &plan);
        assert!(plan.packs.len() as f64 <= 1.01 * plan.lower_bound as f64, "{} {}", plan.packs.len(), plan.lower_bound);
    }

    proptest! {
        #[test]
        fn any_windows_are_packed_within_the_limits(
            lengths in prop::collection::vec((0u32..40, 0u32..60), 0..60),
            target in 1u32..30, slack in 0u32..10, labels in 0u32..50,
        ) {
            let windows = sizes(&lengths);
            let budget = Budget { target, hard_limit: target + slack, labels };
            let plan = pack(&windows, &budget);
            check(&windows, &budget, &plan);
            prop_assert_eq!(&plan, &pack(&windows, &budget));
        }
    }
}
