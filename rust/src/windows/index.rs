//! Which spans overlap a window.

use crate::gene::Interval;

/// Spans of one sequence, found by overlap. On a circular sequence the ends of spans and windows may pass the length.
#[derive(Debug)]
pub struct SpanIndex {
    /// Sorted by start, each with its place in the caller's list.
    spans: Vec<(Interval, usize)>,
    /// The furthest end among `spans[..=i]`.
    furthest: Vec<u64>,
    length: u64,
    circular: bool,
}

/// A span that overlaps a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Place in the list that the index was made from.
    pub index: usize,
    /// Where the span lies from the window's start, which may be left of it.
    pub start: i64,
    pub end: i64,
}

impl Hit {
    /// Whether a window of `length` holds all of the span.
    pub fn is_whole(self, length: u64) -> bool {
        self.start >= 0 && self.end <= length as i64
    }
}

impl SpanIndex {
    pub fn new(spans: impl IntoIterator<Item = Interval>, length: u64, circular: bool) -> Self {
        let mut spans: Vec<(Interval, usize)> = spans.into_iter().enumerate().map(|(i, span)| (span, i)).collect();
        spans.sort();
        let furthest = spans
            .iter()
            .scan(0, |furthest: &mut u64, (span, _)| {
                *furthest = (*furthest).max(span.end);
                Some(*furthest)
            })
            .collect();
        SpanIndex { spans, furthest, length, circular }
    }

    /// The spans that overlap a window, sorted by where they lie on it, then by place in the list.
    pub fn overlapping(&self, window: Interval) -> Vec<Hit> {
        let mut hits = Vec::new();
        self.collect(window, window.start, &mut hits);
        if self.circular {
            // Spans that pass the origin lie one turn earlier too, and the window may reach into the next turn.
            let next = Interval::new(window.start + self.length, window.end + self.length);
            self.collect(next, next.start, &mut hits);
            if window.end > self.length {
                let tail = Interval::new(window.start.saturating_sub(self.length), window.end - self.length);
                let mut later = Vec::new();
                self.collect(tail, window.start, &mut later);
                let turn = self.length as i64;
                hits.extend(later.into_iter().map(|hit| Hit { start: hit.start + turn, end: hit.end + turn, ..hit }));
            }
            hits.sort_by_key(|hit| (hit.start, hit.end, hit.index));
        }
        hits
    }

    fn collect(&self, window: Interval, zero: u64, hits: &mut Vec<Hit>) {
        let from = self.furthest.partition_point(|&end| end <= window.start);
        for &(span, index) in self.spans[from..].iter().take_while(|(span, _)| span.start < window.end) {
            if span.end > window.start {
                hits.push(Hit { index, start: span.start as i64 - zero as i64, end: span.end as i64 - zero as i64 });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_scan_of_bases_finds(
            length in 10_u64..200, circular: bool, start in 0_u64..200, size in 1_u64..200,
            spans in proptest::collection::vec((0_u64..200, 1_u64..200), 0..20),
        ) {
            let clip = |start: u64, size: u64| {
                let start = start % length;
                Interval::new(start, if circular { start + size.min(length) } else { (start + size).min(length) })
            };
            let spans: Vec<_> = spans.into_iter().map(|(start, size)| clip(start, size)).collect();
            let window = clip(start, size);
            let index = SpanIndex::new(spans.iter().copied(), length, circular);
            let mut found: Vec<_> = index.overlapping(window).into_iter().map(|hit| hit.index).collect();
            found.sort_unstable();
            found.dedup();
            let bases = |interval: Interval| (interval.start..interval.end).map(|base| base % length).collect::<std::collections::HashSet<_>>();
            let inside = bases(window);
            let expected: Vec<_> = (0..spans.len()).filter(|&i| !bases(spans[i]).is_disjoint(&inside)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
