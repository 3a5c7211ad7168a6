//! Covers stretches of a sequence with windows.

use super::Sizes;
use super::cuts::Cuts;
use crate::gene::Interval;

/// What is to be covered: a stretch with two ends, or a whole circle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretch {
    /// On a circular sequence the end may pass the length.
    Line(Interval),
    Circle,
}

/// What is left of a sequence without the `removed` intervals (any order, may overlap; on a circular sequence an end
/// may pass the length).
pub fn stretches(length: u64, circular: bool, removed: &[Interval]) -> Vec<Stretch> {
    let mut cut: Vec<Interval> = Vec::with_capacity(removed.len());
    for interval in removed {
        cut.push(Interval::new(interval.start.min(length), interval.end.min(length)));
        if circular && interval.end > length {
            cut.push(Interval::new(0, (interval.end - length).min(length)));
        }
    }
    cut.retain(|interval| !interval.is_empty());
    if cut.is_empty() && circular {
        return if length == 0 { vec![] } else { vec![Stretch::Circle] };
    }
    cut.sort();
    let mut left: Vec<Interval> = Vec::new();
    let mut position = 0;
    for interval in cut {
        if interval.start > position {
            left.push(Interval::new(position, interval.start));
        }
        position = position.max(interval.end);
    }
    if position < length {
        left.push(Interval::new(position, length));
    }
    // On a circle the first and the last stretch are one where both reach the origin.
    if circular && left.len() > 1 && left[0].start == 0 && left[left.len() - 1].end == length {
        let first = left.remove(0);
        if let Some(last) = left.last_mut() {
            last.end = length + first.end;
        }
    }
    left.into_iter().map(Stretch::Line).collect()
}

/// Covers a stretch of a sequence. `genes` are spans (any order; on a circular sequence an end may pass the length).
/// The windows come from left to right; each starts within the sequence, and on a circular one its end may pass the length.
pub fn tile_sequence(length: u64, circular: bool, stretch: Stretch, genes: &[Interval], sizes: Sizes) -> Vec<Interval> {
    let windows = match stretch {
        Stretch::Line(region) => tile(region, &unrolled(length, circular, region, genes), sizes),
        Stretch::Circle => tile_circle(length, genes, sizes),
    };
    windows
        .into_iter()
        .map(|window| {
            let start = if circular { window.start % length } else { window.start };
            Interval::new(start, start + window.len())
        })
        .collect()
}

/// The spans as they lie on a stretch that may pass the origin, sorted by start.
fn unrolled(length: u64, circular: bool, region: Interval, genes: &[Interval]) -> Vec<Interval> {
    let mut spans: Vec<Interval> = Vec::with_capacity(genes.len());
    for &gene in genes {
        if gene.overlaps(region) {
            spans.push(gene);
        }
        if circular {
            // One turn earlier: only what passes the origin is still on the line.
            if gene.end > length {
                let earlier = Interval::new(gene.start.saturating_sub(length), gene.end - length);
                if earlier.overlaps(region) {
                    spans.push(earlier);
                }
            }
            let mut later = gene;
            while later.start + length < region.end {
                later = Interval::new(later.start + length, later.end + length);
                if later.overlaps(region) {
                    spans.push(later);
                }
            }
        }
    }
    spans.sort();
    spans
}

fn tile_circle(length: u64, genes: &[Interval], sizes: Sizes) -> Vec<Interval> {
    // The second turn, so that what lies across the origin is seen from both sides.
    let turn = Interval::new(length, 2 * length);
    let cuts = Cuts::new(turn, &unrolled(length, true, turn, genes), sizes.margin);
    let (origin, free) = match cuts.nearest(length, length, 2 * length - 1) {
        Some(cut) => (cut - length, true),
        None => (0, false),
    };
    if free && length <= sizes.window {
        return vec![Interval::new(origin, origin + length)];
    }
    // The tiling goes on past the place where it began until what lies across that place is whole as well.
    let sizes = Sizes {
        window: sizes.window.min(length),
        margin: if sizes.window > length { 0 } else { sizes.margin },
        overlap: sizes.overlap.min(length - 1),
    };
    let close = origin + length;
    let across = unrolled(length, true, Interval::new(origin, close + length), genes)
        .into_iter()
        .filter(|gene| gene.start < close && gene.end > close && gene.len() + 2 * sizes.margin <= sizes.window)
        .map(|gene| gene.end + sizes.margin)
        .max()
        .unwrap_or(close);
    let region = Interval::new(origin, across.max(close + sizes.overlap).min(close + length - 1));
    tile(region, &unrolled(length, true, region, genes), sizes)
}

/// Covers a line. `genes` are sorted by start.
fn tile(region: Interval, genes: &[Interval], sizes: Sizes) -> Vec<Interval> {
    if region.is_empty() {
        return vec![];
    }
    let slack = sizes.slack();
    let cuts = Cuts::new(region, genes, sizes.margin);
    // Genes that must be whole, with their margins.
    let mut whole: Vec<Interval> = genes
        .iter()
        .filter(|&&gene| region.contains(gene) && gene.len() + 2 * sizes.margin <= sizes.window)
        .map(|gene| {
            Interval::new(
                gene.start.saturating_sub(sizes.margin).max(region.start),
                (gene.end + sizes.margin).min(region.end),
            )
        })
        .collect();
    whole.sort();

    let mut windows: Vec<Interval> = Vec::new();
    let mut start = region.start;
    let mut first = 0; // whole[first..] start at or after `start`
    loop {
        if start + sizes.window >= region.end {
            windows.push(Interval::new(last_start(start, region, &windows, &cuts, sizes), region.end));
            return windows;
        }
        while first < whole.len() && whole[first].start < start {
            first += 1;
        }
        // Genes that begin exactly here must end in this window, or the next could not begin further right.
        let here = whole[first..].iter().take_while(|gene| gene.start == start).map(|gene| gene.end).max();
        let longest = start + sizes.window;
        let shortest = (longest - slack).max(here.unwrap_or(0)).max(start + 1).min(longest);
        let end = cuts.nearest(longest, shortest, longest).unwrap_or(longest);
        windows.push(Interval::new(start, end));

        // The next window begins before every gene that is not whole yet.
        let latest = whole[first..].iter().find(|gene| gene.end > end).map_or(end, |gene| gene.start.min(end));
        let nominal = end.saturating_sub(sizes.overlap);
        let earliest = nominal.saturating_sub(slack).max(start + 1).min(latest);
        let next_latest = latest.min(nominal + slack.min(sizes.overlap / 2)).max(earliest);
        start = cuts.nearest(nominal, earliest, next_latest).unwrap_or(nominal.clamp(earliest, next_latest));
    }
}

/// A last window of less than a quarter would show the model next to nothing: it begins further left then.
fn last_start(start: u64, region: Interval, before: &[Interval], cuts: &Cuts, sizes: Sizes) -> u64 {
    if before.is_empty() || region.end - start >= sizes.window / 4 {
        return start;
    }
    let low = region.end.saturating_sub(sizes.window).max(region.start);
    let wanted = region.end.saturating_sub(sizes.window / 2).clamp(low, start);
    cuts.nearest(wanted, low, start).unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn intervals(pairs: &[(u64, u64)]) -> Vec<Interval> {
        pairs.iter().map(|&(start, end)| Interval::new(start, end)).collect()
    }

    #[test]
    fn stretches_between_what_is_removed() {
        let line = |s, e| Stretch::Line(Interval::new(s, e));
        assert_eq!(stretches(100, false, &[]), [line(0, 100)]);
        assert_eq!(stretches(100, true, &[]), [Stretch::Circle]);
        assert_eq!(stretches(100, false, &intervals(&[(20, 30), (25, 40), (90, 100)])), [line(0, 20), line(40, 90)]);
        assert_eq!(stretches(100, true, &intervals(&[(20, 30)])), [line(30, 120)]);
        assert_eq!(stretches(100, true, &intervals(&[(90, 110)])), [line(10, 90)]);
        assert_eq!(stretches(100, true, &intervals(&[(0, 100)])), []);
        assert_eq!(stretches(100, true, &intervals(&[(10, 20), (50, 60)])), [line(20, 50), line(60, 110)]);
    }

    #[test]
    fn a_short_circle_is_one_window_unless_genes_cover_it() {
        let sizes = Sizes::new(10_000, 50, None).expect("sizes");
        let one = tile_sequence(5_386, true, Stretch::Circle, &intervals(&[(100, 900)]), sizes);
        assert_eq!(one, intervals(&[(0, 5_386)]));
        // Two genes around the circle, as in phiX174: no place to cut, so a second window.
        let covered = intervals(&[(0, 3_000), (2_900, 5_500)]);
        let windows = tile_sequence(5_386, true, Stretch::Circle, &covered, sizes);
        assert!(windows.len() > 1);
        for gene in covered {
            assert!(windows.iter().any(|&window| holds(5_386, true, window, gene)), "{gene:?} in {windows:?}");
        }
    }

    fn holds(length: u64, circular: bool, window: Interval, gene: Interval) -> bool {
        let turns: &[u64] = if circular { &[0, 1, 2] } else { &[0] };
        turns.iter().any(|turn| {
            let later = Interval::new(window.start + turn * length, window.end + turn * length);
            later.contains(gene) || later.contains(Interval::new(gene.start + length, gene.end + length)) && circular
        })
    }

    prop_compose! {
        fn sequence()(length in 1_u64..60_000, circular in any::<bool>())(
            genes in proptest::collection::vec((0..length, 1_u64..9_000), 0..60), length in Just(length), circular in Just(circular)
        ) -> (u64, bool, Vec<Interval>) {
            let genes = genes.into_iter().map(|(start, size)| {
                let end = if circular { start + size.min(length) } else { (start + size).min(length) };
                Interval::new(start, end)
            }).collect();
            (length, circular, genes)
        }
    }

    proptest! {
        #[test]
        fn windows_cover_and_hold_whole_genes(
            (length, circular, genes) in sequence(),
            window in 200_u64..12_000, margin in 0_u64..100, share in 0_u64..90,
            removed in proptest::collection::vec((0_u64..60_000, 1_u64..5_000), 0..4),
        ) {
            let sizes = Sizes::new(window, margin.min((window - 1) / 2), Some(window * share / 100)).expect("sizes");
            let removed: Vec<_> = removed.into_iter().filter(|r| r.0 < length).map(|(start, size)| {
                Interval::new(start, if circular { start + size.min(length) } else { (start + size).min(length) })
            }).collect();
            let parts = stretches(length, circular, &removed);
            let mut seen = vec![false; length as usize];
            for stretch in parts {
                let windows = tile_sequence(length, circular, stretch, &genes, sizes);
                for window in &windows {
                    prop_assert!(window.len() <= sizes.window && !window.is_empty() && window.len() <= length);
                    prop_assert!(window.start < length && (circular || window.end <= length));
                    for base in window.start..window.end {
                        seen[(base % length) as usize] = true;
                    }
                }
                for &gene in genes.iter().filter(|gene| gene.len() + 2 * sizes.margin <= sizes.window) {
                    let inside = match stretch {
                        Stretch::Circle => true,
                        Stretch::Line(line) => line.contains(gene) || circular && line.contains(Interval::new(gene.start + length, gene.end + length)),
                    };
                    if inside {
                        prop_assert!(windows.iter().any(|&window| holds(length, circular, window, gene)), "{gene:?} {windows:?}");
                    }
                }
            }
            // Every base is in a window, but for what is removed, and that is in none.
            let mut expected = vec![true; length as usize];
            for interval in &removed {
                for base in interval.start..interval.end {
                    expected[(base % length) as usize] = false;
                }
            }
            prop_assert_eq!(seen, expected);
        }

        /// The number of windows stays near what the step gives: shifting costs no more than the slack.
        #[test]
        fn few_windows(length in 10_000_u64..200_000, window in 1_000_u64..9_000) {
            let sizes = Sizes::new(window, 50, None).expect("sizes");
            let windows = tile_sequence(length, false, Stretch::Line(Interval::new(0, length)), &[], sizes);
            prop_assert!(windows.len() as u64 <= length / (window - sizes.overlap) + 2);
        }

        /// A boundary inside a gene means that no place between genes was in reach.
        #[test]
        fn cuts_fall_between_genes(genes in proptest::collection::vec((0_u64..50_000, 100_u64..2_000), 0..25)) {
            let sizes = Sizes::new(5_000, 20, None).expect("sizes");
            let genes: Vec<_> = genes.into_iter().map(|(s, n)| Interval::new(s, (s + n).min(50_000))).collect();
            let region = Interval::new(0, 50_000);
            let mut sorted = genes.clone();
            sorted.sort();
            let cuts = Cuts::new(region, &sorted, sizes.margin);
            let windows = tile_sequence(50_000, false, Stretch::Line(region), &genes, sizes);
            for window in &windows {
                let inside = |position: u64| genes.iter().any(|gene| gene.start < position && position < gene.end);
                // A gene that begins with the window may force its end; no other does.
                let forced = genes.iter().any(|gene| gene.start.saturating_sub(sizes.margin) == window.start);
                if inside(window.end) && !forced {
                    prop_assert_eq!(cuts.nearest(window.end, window.end - sizes.slack(), window.end), None);
                }
            }
        }
    }
}
