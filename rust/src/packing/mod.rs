//! Windows into packs on two budgets: DNA tokens and label tokens.
//!
//! A pack of several windows stays within both limits, and without its longest window it is below the target. Best-fit
//! decreasing by several orders, and where that leaves more packs than a lower bound, packs by the patterns of a linear
//! programme; the plan with the fewest packs is kept: none is best on all distributions of lengths.

mod open;
mod patterns;

use open::Filling;
use patterns::Lengths;

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
    /// DNA tokens below which a pack is without its longest window.
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
    /// How it was planned.
    pub strategy: &'static str,
}

/// Plans packs within a budget that `Budget::check` accepts; the same windows give the same plan.
pub fn pack(windows: &[Size], budget: &Budget) -> Plan {
    let hard_limit = budget.hard_limit.max(budget.target).clamp(1, MOST_TOKENS);
    let budget = Budget { target: budget.target.clamp(1, hard_limit), hard_limit, labels: budget.labels };
    let fits = |size: &Size| size.tokens <= hard_limit && size.labels <= budget.labels;
    let (regular, oversize): (Vec<u32>, Vec<u32>) =
        (0..windows.len() as u32).partition(|&window| fits(&windows[window as usize]));
    let planning = Planning { windows, regular: &regular, budget };

    let mut plans = planning.each(&ORDERS, |order| planning.best_fit(order));
    let fewest = plans.iter().map(|plan| plan.count).min().unwrap_or(0);
    let mut bound = planning.simple_bound();
    // Worth the work where there is something to gain.
    if fewest as f64 > CLOSE * bound as f64 {
        let found = planning.each(&MEASURES, |measure| planning.bound_by_patterns(measure, bound));
        bound = found.into_iter().fold(bound, usize::max).min(fewest);
        if fewest > bound {
            plans.push(planning.by_patterns());
        }
    }
    // The first of equals.
    let best = plans.into_iter().min_by_key(|plan| plan.count).expect("at least one order was planned");
    let mut packs = vec![Vec::new(); best.count];
    for &window in &regular {
        packs[best.assigned[window as usize] as usize].push(window);
    }
    packs.extend(oversize.iter().map(|&window| vec![window]));
    packs.sort_unstable_by_key(|pack| pack[0]);
    Plan { packs, lower_bound: bound + oversize.len(), oversize: oversize.len(), strategy: best.strategy }
}

/// A plan within so many times its bound is not worth a linear programme.
const CLOSE: f64 = 1.002;
/// Fewer windows than this are not worth a thread.
const MANY: usize = 20_000;

/// The windows that packs of several may hold.
struct Planning<'a> {
    windows: &'a [Size],
    regular: &'a [u32],
    budget: Budget,
}

/// Packs of all windows.
struct Filled {
    count: usize,
    /// The pack of each window.
    assigned: Vec<u32>,
    strategy: &'static str,
}

/// Orders of windows, largest first.
#[derive(Clone, Copy)]
enum Order {
    Tokens,
    LargerShare,
    SumOfShares,
}

const ORDERS: [Order; 3] = [Order::Tokens, Order::LargerShare, Order::SumOfShares];

/// What is measured of windows so that one number must stay within one limit.
#[derive(Clone, Copy)]
enum Measure {
    Tokens,
    Labels,
    /// The mean of both shares of the limits.
    Both,
}

const MEASURES: [Measure; 3] = [Measure::Tokens, Measure::Labels, Measure::Both];

impl Planning<'_> {
    fn sizes(&self) -> impl Iterator<Item = Size> + '_ {
        self.regular.iter().map(|&window| self.windows[window as usize])
    }

    /// The work for each, in threads of their own where that is worth one.
    fn each<T: Copy + Send, R: Send>(&self, all: &[T], work: impl Fn(T) -> R + Sync) -> Vec<R> {
        if self.regular.len() < MANY {
            return all.iter().map(|&one| work(one)).collect();
        }
        std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = all.iter().map(|&one| scope.spawn(move || work(one))).collect();
            let join = |thread: std::thread::ScopedJoinHandle<R>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        })
    }

    /// Best-fit decreasing.
    fn best_fit(&self, order: Order) -> Filled {
        let mut filling = Filling::new(self.windows, self.budget);
        self.sorted(order, self.regular).into_iter().for_each(|window| filling.place(window));
        let strategy = match order {
            Order::Tokens => "by tokens",
            Order::LargerShare => "by the larger share of a budget",
            Order::SumOfShares => "by the sum of shares",
        };
        Filled { count: filling.count(), assigned: filling.assigned, strategy }
    }

    fn sorted(&self, order: Order, windows: &[u32]) -> Vec<u32> {
        let share = |size: Size| {
            let tokens = f64::from(size.tokens) / f64::from(self.budget.hard_limit);
            (tokens, f64::from(size.labels) / f64::from(self.budget.labels.max(1)))
        };
        let scaled = |value: f64| (value * f64::from(1u32 << 30)) as u64;
        let key = |size: Size| match order {
            Order::Tokens => u64::from(size.tokens) << 32 | u64::from(size.labels),
            Order::LargerShare => scaled(share(size).0.max(share(size).1)),
            Order::SumOfShares => scaled(share(size).0 + share(size).1),
        };
        let mut order: Vec<(u64, u32)> = windows.iter().map(|&w| (key(self.windows[w as usize]), w)).collect();
        order.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        order.into_iter().map(|(_, window)| window).collect()
    }

    /// Packs by the patterns that a linear programme finds for the windows' tokens; what does not come out in whole packs
    /// is placed by best fit.
    fn by_patterns(&self) -> Filled {
        // Lengths are rounded up, so that every pattern fits.
        let unit = self.unit(|size| size.tokens);
        let length = |size: Size| size.tokens.div_ceil(unit) as usize;
        let limit = (self.budget.hard_limit / unit) as usize;
        let lengths = Lengths::new(self.sizes().map(length).filter(|&length| length <= limit), limit);
        // Windows of each length, the first of them last.
        let (mut waiting, mut rest) = (vec![Vec::new(); lengths.count()], Vec::new());
        for &window in self.regular.iter().rev() {
            match lengths.place(length(self.windows[window as usize])) {
                Some(place) => waiting[place].push(window),
                None => rest.push(window),
            }
        }
        let mut filling = Filling::new(self.windows, self.budget);
        let mut pack = Vec::new();
        for pattern in lengths.solve().patterns {
            for _ in 0..(pattern.times + 1e-6) as usize {
                pack.extend(pattern.lengths.iter().filter_map(|&place| waiting[place].pop()));
                if pack.is_empty() || !filling.add(&pack) {
                    rest.append(&mut pack);
                }
                pack.clear();
            }
        }
        rest.extend(waiting.into_iter().flatten());
        self.sorted(Order::Tokens, &rest).into_iter().for_each(|window| filling.place(window));
        Filled { count: filling.count(), assigned: filling.assigned, strategy: "by patterns of lengths" }
    }

    /// A unit of length so that there are neither too many different lengths for a linear programme nor so many that it
    /// takes longer than everything else.
    fn unit(&self, length: impl Fn(Size) -> u32) -> u32 {
        let (least, most) =
            self.sizes().fold((u32::MAX, 0), |(least, most), size| (least.min(length(size)), most.max(length(size))));
        let different = (self.regular.len() / 32).clamp(16, 256) as u32;
        most.saturating_sub(least).div_ceil(different).max(1)
    }

    /// A lower bound by the linear programme of one measure; `known` is one already.
    fn bound_by_patterns(&self, measure: Measure, known: usize) -> usize {
        // Lengths and the limit are rounded down: what fits into a pack still does.
        let Budget { hard_limit, labels: most_labels, .. } = self.budget;
        let lengths = match measure {
            Measure::Tokens => {
                let unit = self.unit(|size| size.tokens);
                Lengths::new(self.sizes().map(|size| (size.tokens / unit) as usize), (hard_limit / unit) as usize)
            }
            Measure::Labels => {
                let unit = self.unit(|size| size.labels).max(most_labels >> 12);
                Lengths::new(self.sizes().map(|size| (size.labels / unit) as usize), (most_labels / unit) as usize)
            }
            Measure::Both => {
                const UNITS: u128 = 1000;
                let (tokens, labels) = (u128::from(hard_limit), u128::from(most_labels.max(1)));
                let length = |size: Size| {
                    let sum = u128::from(size.tokens) * labels + u128::from(size.labels) * tokens;
                    (sum * UNITS / (2 * tokens * labels)) as usize
                };
                Lengths::new(self.sizes().map(length), UNITS as usize)
            }
        };
        // Where all lengths together fill far fewer packs, no pattern makes up for it.
        if lengths.sum().div_ceil(lengths.limit().max(1)) < known * 3 / 4 {
            return 0;
        }
        lengths.bound(&lengths.solve()) as usize
    }

    /// The larger of: the sums over the limits, and for k = 1, 2, ... the windows of more than a (k+1)th of a limit, of
    /// which a pack holds k at most (L2 of Martello and Toth 1990 is of this kind).
    fn simple_bound(&self) -> usize {
        let bound = |limit: u32, length: fn(Size) -> u32| {
            let total: u64 = self.sizes().map(|size| u64::from(length(size))).sum();
            let mut best = if limit == 0 { 0 } else { total.div_ceil(u64::from(limit)) };
            for k in 1..=8u64 {
                let over = |&size: &Size| u64::from(length(size)) * (k + 1) > u64::from(limit);
                best = best.max((self.sizes().filter(over).count() as u64).div_ceil(k));
            }
            best as usize
        };
        bound(self.budget.hard_limit, |size| size.tokens).max(bound(self.budget.labels, |size| size.labels))
    }
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
            let longest = pack.iter().map(|&w| u64::from(windows[w as usize].tokens)).max().unwrap_or(0);
            assert!(pack.len() == 1 || tokens - longest < u64::from(budget.target), "{tokens} tokens");
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

    /// Numbers below 1.
    fn random() -> impl FnMut() -> f64 {
        let mut state = 7u64;
        move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as f64 / f64::from(1u32 << 31)
        }
    }

    #[test]
    fn packs_are_few_on_all_kinds_of_lengths() {
        let skewed: fn(f64) -> f64 = |x| 60.0 + 2200.0 * x * x;
        let uniform: fn(f64) -> f64 = |x| 1200.0 + 1800.0 * x;
        // As windows of 10 kb are: most of two a pack, some of three.
        let narrow: fn(f64) -> f64 = |x| 1500.0 + 600.0 * x.sqrt();
        for (name, length) in [("skewed", skewed), ("uniform", uniform), ("narrow", narrow)] {
            for count in [20_000, 1500] {
                let mut random = random();
                let windows: Vec<Size> = (0..count)
                    .map(|_| Size { tokens: length(random()) as u32, labels: (4.0 + 400.0 * random()) as u32 })
                    .collect();
                let budget = Budget::default();
                let plan = pack(&windows, &budget);
                check(&windows, &budget, &plan);
                let most = if count == 20_000 { 1.01 } else { 1.03 };
                let (packs, bound) = (plan.packs.len(), plan.lower_bound);
                assert!(packs as f64 <= most * bound as f64, "{count} {name}: {packs} packs, bound {bound}");
            }
        }
    }

    /// The fewest packs, by trying everything.
    fn fewest(windows: &[Size], budget: &Budget) -> usize {
        let fits = |set: usize| {
            let held = || (0..windows.len()).filter(|i| set >> i & 1 == 1).map(|i| windows[i]);
            set.count_ones() == 1
                || held().map(|size| size.tokens).sum::<u32>() <= budget.hard_limit
                    && held().map(|size| size.labels).sum::<u32>() <= budget.labels
        };
        let mut best = vec![0; 1 << windows.len()];
        for all in 1..best.len() {
            // The pack of the last window, and then the rest.
            let last = 1usize << all.ilog2();
            let (mut part, mut least) = (all, usize::MAX);
            while part > 0 {
                if part & last != 0 && fits(part) {
                    least = least.min(1 + best[all & !part]);
                }
                part = (part - 1) & all;
            }
            best[all] = least;
        }
        best[best.len() - 1]
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

        #[test]
        fn no_plan_has_fewer_packs_than_the_bound(
            lengths in prop::collection::vec((0u32..40, 0u32..60), 0..9), hard_limit in 1u32..90, labels in 1u32..130,
        ) {
            let windows = sizes(&lengths);
            let budget = Budget { target: hard_limit, hard_limit, labels };
            let plan = pack(&windows, &budget);
            prop_assert!(plan.lower_bound <= fewest(&windows, &budget));
        }

        #[test]
        fn bounds_of_patterns_are_bounds(
            lengths in prop::collection::vec((0u32..400, 0u32..60), 1..9), hard_limit in 400u32..900, labels in 60u32..130,
        ) {
            let windows = sizes(&lengths);
            let regular: Vec<u32> = (0..windows.len() as u32).collect();
            let budget = Budget { target: hard_limit, hard_limit, labels };
            let planning = Planning { windows: &windows, regular: &regular, budget };
            let (fewest, patterns) = (fewest(&windows, &budget), planning.by_patterns());
            prop_assert!(patterns.count >= fewest);
            for measure in MEASURES {
                prop_assert!(planning.bound_by_patterns(measure, 0) <= fewest);
            }
        }
    }
}
