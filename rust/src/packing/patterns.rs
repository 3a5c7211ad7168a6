//! Which lengths should share packs: the linear programme of cutting stock, by column generation (Gilmore and Gomory
//! 1961, Operations Research 9:849), and the lower bound that its prices give (Farley 1990, Operations Research 38:922).
//!
//! Lengths are whole units, a few hundred different ones. The bound is exact whatever the prices are: they are rounded to
//! whole numbers, and the most that a pack can be worth is found by dynamic programming over whole numbers.

/// How many windows there are of each length, and the length that a pack holds.
pub(super) struct Lengths {
    /// Different, above 0 and at most the limit.
    lengths: Vec<usize>,
    counts: Vec<u64>,
    limit: usize,
}

/// A pattern: lengths by their place, and how often the solution uses it, a fraction.
pub(super) struct Pattern {
    pub(super) lengths: Vec<usize>,
    pub(super) times: f64,
}

pub(super) struct Solution {
    prices: Vec<f64>,
    pub(super) patterns: Vec<Pattern>,
}

/// As many patterns as there are lengths, and the inverse of the matrix of which each is a column.
struct Basis {
    patterns: Vec<Pattern>,
    /// A row for each pattern.
    inverse: Vec<f64>,
    /// Of each length, so that all patterns cost one: the sums of the inverse's columns.
    prices: Vec<f64>,
}

impl Basis {
    /// Of patterns of one length each, in the order of the lengths.
    fn new(patterns: Vec<Vec<usize>>) -> Self {
        let size = patterns.len();
        let prices: Vec<f64> = patterns.iter().map(|pattern| 1.0 / pattern.len() as f64).collect();
        let mut inverse = vec![0.0; size * size];
        prices.iter().enumerate().for_each(|(i, &price)| inverse[i * size + i] = price);
        let patterns = patterns.into_iter().map(|lengths| Pattern { lengths, times: 0.0 }).collect();
        Basis { patterns, inverse, prices }
    }

    /// How much of each pattern of the basis one more of this pattern replaces.
    fn column(&self, pattern: &[usize]) -> Vec<f64> {
        let rows = self.inverse.chunks_exact(self.patterns.len());
        rows.map(|row| pattern.iter().map(|&i| row[i]).sum()).collect()
    }

    /// Puts a pattern, whose `column` this is, in the place of another.
    fn exchange(&mut self, row: usize, pattern: Pattern, column: &[f64]) {
        let size = self.patterns.len();
        self.patterns[row] = pattern;
        let pivot: Vec<f64> = self.inverse[row * size..][..size].iter().map(|value| value / column[row]).collect();
        for (other, values) in self.inverse.chunks_exact_mut(size).enumerate() {
            if other == row {
                values.copy_from_slice(&pivot);
            } else if column[other] != 0.0 {
                values.iter_mut().zip(&pivot).for_each(|(value, pivot)| *value -= column[other] * pivot);
            }
        }
        let change = 1.0 - column.iter().sum::<f64>();
        self.prices.iter_mut().zip(&pivot).for_each(|(price, pivot)| *price += change * pivot);
    }
}

/// Steps of the simplex method at most: a bound far from its best is still one.
const MOST_STEPS: usize = 2000;
/// The solution is taken where its prices prove that it is so near to the best.
const NEAR: f64 = 1e-4;
const TINY: f64 = 1e-9;

impl Lengths {
    /// Of all `lengths`, those of 0 left out.
    pub(super) fn new(lengths: impl Iterator<Item = usize>, limit: usize) -> Self {
        let mut all = vec![0u64; limit + 1];
        lengths.for_each(|length| all[length] += 1);
        let (lengths, counts) = all.into_iter().enumerate().skip(1).filter(|&(_, count)| count > 0).unzip();
        Lengths { lengths, counts, limit }
    }

    /// How many different lengths there are.
    pub(super) fn count(&self) -> usize {
        self.lengths.len()
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn sum(&self) -> usize {
        self.lengths.iter().zip(&self.counts).map(|(&length, &n)| length * n as usize).sum()
    }

    /// The place of a length.
    pub(super) fn place(&self, length: usize) -> Option<usize> {
        self.lengths.binary_search(&length).ok()
    }

    /// Packs by the linear programme: as few as possible where fractions of packs are allowed.
    pub(super) fn solve(&self) -> Solution {
        let mut basis = self.greedy();
        let (mut best_prices, mut best_bound) = (basis.prices.clone(), 0.0);
        let mut worth = vec![0.0; self.limit + 1];
        for _ in 0..MOST_STEPS {
            let most = self.most_worth(&basis.prices, &mut worth);
            let value: f64 = basis.patterns.iter().map(|pattern| pattern.times).sum();
            let priced: f64 = basis.prices.iter().zip(&self.counts).map(|(price, &n)| price.max(0.0) * n as f64).sum();
            if priced / most > best_bound {
                best_bound = priced / most;
                best_prices.copy_from_slice(&basis.prices);
            }
            if most < 1.0 + TINY || best_bound > value * (1.0 - NEAR) {
                break;
            }
            // The pack that is worth most comes in, for the one that it uses up first.
            let pattern = self.pattern_of(&basis.prices, &worth);
            let column = basis.column(&pattern);
            let ratio = |row: usize| basis.patterns[row].times / column[row];
            let rows = (0..column.len()).filter(|&row| column[row] > TINY);
            let Some(leaving) = rows.min_by(|&a, &b| ratio(a).total_cmp(&ratio(b))) else { break };
            let times = ratio(leaving);
            for (pattern, used) in basis.patterns.iter_mut().zip(&column) {
                pattern.times = (pattern.times - times * used).max(0.0);
            }
            basis.exchange(leaving, Pattern { lengths: pattern, times }, &column);
        }
        Solution { prices: best_prices, patterns: basis.patterns }
    }

    /// Packs of the longest that are left, filled up with the longest that fit, until one of their lengths is used up.
    fn greedy(&self) -> Basis {
        let size = self.lengths.len();
        let mut basis = Basis::new((0..size).map(|i| vec![i; self.limit / self.lengths[i]]).collect());
        let mut left: Vec<f64> = self.counts.iter().map(|&n| n as f64).collect();
        let mut waiting: Vec<usize> = (0..size).rev().collect();
        while !waiting.is_empty() {
            let (mut pattern, mut room) = (Vec::new(), self.limit);
            let mut used: Option<(usize, usize)> = None;
            for (place, &i) in waiting.iter().enumerate() {
                let most = room / self.lengths[i];
                if most == 0 {
                    continue;
                }
                pattern.resize(pattern.len() + most, i);
                room -= most * self.lengths[i];
                // What is used up first: after `left / most` packs.
                if used.is_none_or(|(before, n)| left[i] * (n as f64) < left[waiting[before]] * most as f64) {
                    used = Some((place, most));
                }
            }
            let Some((place, most)) = used else { break };
            let row = waiting.remove(place);
            let times = left[row] / most as f64;
            pattern.iter().for_each(|&i| left[i] = (left[i] - times).max(0.0));
            // No later pattern holds this length: patterns and lengths in this order are a triangle, and so a basis.
            let column = basis.column(&pattern);
            basis.exchange(row, Pattern { lengths: pattern, times }, &column);
        }
        basis
    }

    /// What a pack of each limit can be worth at most; returns that of the whole limit.
    fn most_worth(&self, prices: &[f64], worth: &mut [f64]) -> f64 {
        worth.fill(0.0);
        for (&length, &price) in self.lengths.iter().zip(prices) {
            if price > TINY {
                for limit in length..worth.len() {
                    worth[limit] = worth[limit].max(worth[limit - length] + price);
                }
            }
        }
        worth[self.limit]
    }

    /// Lengths of a pack that is worth most.
    fn pattern_of(&self, prices: &[f64], worth: &[f64]) -> Vec<usize> {
        let (mut pattern, mut left) = (Vec::new(), self.limit);
        'pack: loop {
            for (i, (&length, &price)) in self.lengths.iter().zip(prices).enumerate() {
                if price > TINY && length <= left && worth[left - length] + price == worth[left] {
                    pattern.push(i);
                    left -= length;
                    continue 'pack;
                }
            }
            if left == 0 {
                return pattern;
            }
            left -= 1;
        }
    }

    /// No packs hold all these lengths in fewer.
    pub(super) fn bound(&self, solution: &Solution) -> u64 {
        // Any prices that no pack's lengths sum to more than `most` give one.
        let prices: Vec<u64> = solution.prices.iter().map(|&price| (price * f64::from(1u32 << 30)) as u64).collect();
        let mut worth = vec![0u64; self.limit + 1];
        for (&length, &price) in self.lengths.iter().zip(&prices) {
            for limit in length..worth.len() {
                worth[limit] = worth[limit].max(worth[limit - length] + price);
            }
        }
        let priced: u128 = prices.iter().zip(&self.counts).map(|(&price, &n)| u128::from(price) * u128::from(n)).sum();
        let most = u128::from(worth[self.limit]);
        if most == 0 { 0 } else { priced.div_ceil(most) as u64 }
    }
}
