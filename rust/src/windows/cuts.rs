//! Where a boundary cuts no gene.

use crate::gene::Interval;

/// Sorted, disjoint ranges (both ends included) of the positions between genes. A gap of at least two margins offers
/// what is a margin away from its genes; a narrower one its middle.
#[derive(Debug)]
pub struct Cuts(Vec<(u64, u64)>);

impl Cuts {
    /// `genes` are sorted by start. The region's own ends are cuts too where no gene runs over them.
    pub fn new(region: Interval, genes: &[Interval], margin: u64) -> Self {
        let mut ranges = Vec::new();
        let mut gap_start = region.start;
        let mut left = 0; // the region's own start needs no margin
        for gene in genes {
            if gene.end <= region.start {
                continue;
            }
            if gene.start >= region.end {
                break;
            }
            if gene.start >= gap_start {
                ranges.push(between(gap_start, gene.start, left, margin));
            }
            gap_start = gap_start.max(gene.end);
            left = margin;
        }
        if gap_start <= region.end {
            ranges.push(between(gap_start, region.end, left, 0));
        }
        Cuts(ranges)
    }

    /// The cut nearest to `wanted` in `[low, high]`; the left one of two that are as near.
    pub fn nearest(&self, wanted: u64, low: u64, high: u64) -> Option<u64> {
        if low > high {
            return None;
        }
        let wanted = wanted.clamp(low, high);
        let after = self.0.partition_point(|&(_, end)| end < wanted);
        let right = self.0.get(after).map(|&(start, _)| start.max(wanted)).filter(|&cut| cut <= high);
        let left = after.checked_sub(1).map(|i| self.0[i].1).filter(|&cut| cut >= low);
        match (left, right) {
            (Some(left), Some(right)) => Some(if wanted - left <= right - wanted { left } else { right }),
            (left, right) => left.or(right),
        }
    }
}

/// The positions of the gap `[start, end]` that keep `left` and `right` bp from its ends, or its middle.
fn between(start: u64, end: u64, left: u64, right: u64) -> (u64, u64) {
    if end - start >= left + right {
        (start + left, end - right)
    } else {
        let middle = start + (end - start) / 2;
        (middle, middle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(genes: &[(u64, u64)], margin: u64) -> Vec<(u64, u64)> {
        let genes: Vec<_> = genes.iter().map(|&(s, e)| Interval::new(s, e)).collect();
        Cuts::new(Interval::new(100, 200), &genes, margin).0
    }

    #[test]
    fn gaps_between_genes() {
        assert_eq!(cuts(&[], 5), [(100, 200)]);
        assert_eq!(cuts(&[(120, 150)], 5), [(100, 115), (155, 200)]);
        assert_eq!(cuts(&[(120, 150), (154, 160)], 5), [(100, 115), (152, 152), (165, 200)]);
        // Genes that touch leave no base between them, but the boundary cuts neither.
        assert_eq!(cuts(&[(120, 150), (150, 160)], 5), [(100, 115), (150, 150), (165, 200)]);
        assert_eq!(cuts(&[(90, 110), (105, 250)], 5), []);
        assert_eq!(cuts(&[(90, 250), (120, 130)], 5), []);
        assert_eq!(cuts(&[(100, 150)], 5), [(100, 100), (155, 200)]);
        assert_eq!(cuts(&[(150, 200)], 5), [(100, 145), (200, 200)]);
    }

    #[test]
    fn nearest_of_two() {
        let cuts = Cuts(vec![(10, 20), (30, 30), (50, 60)]);
        assert_eq!(cuts.nearest(15, 0, 100), Some(15));
        assert_eq!(cuts.nearest(24, 0, 100), Some(20));
        assert_eq!(cuts.nearest(25, 0, 100), Some(20));
        assert_eq!(cuts.nearest(26, 0, 100), Some(30));
        assert_eq!(cuts.nearest(45, 35, 48), None);
        assert_eq!(cuts.nearest(5, 0, 9), None);
        assert_eq!(cuts.nearest(90, 0, 100), Some(60));
        assert_eq!(cuts.nearest(20, 30, 10), None);
    }
}
