//! Labels for training on a genome's own genes: what is sure one way or the other, and no loss anywhere else.

use super::Candidate;
use crate::gene::Strand;

const NO_LOSS: i8 = -1;
const CLASSES: usize = 2;
const SIGNALS: usize = 12;
const START: usize = 1;
const STOP: usize = 4;

/// Class labels `[bases, 2]` and signal labels `[bases, 2, 6]` (docs/architecture.md) of a sequence. A base, start or stop
/// has a label where its probability is at least `sure` or at most 1 - `sure`; other signals have none.
pub fn labels(candidates: &[Candidate], length: usize, sure: f64) -> (Vec<i8>, Vec<i8>) {
    // Changes of the probability of each strand's frames, at each boundary; positions past the origin come round.
    let mut changes = vec![[0.0f32; 6]; length + 1];
    let mut ends = vec![[0.0f32; 4]; length];
    for candidate in candidates {
        let (left, right) = (candidate.left as usize, candidate.right as usize);
        let p = candidate.probability as f32;
        let strand = usize::from(candidate.strand == Strand::Reverse);
        let codon = match strand {
            0 => left + usize::from(candidate.phase),
            _ => right - usize::from(candidate.phase),
        };
        let mut cover = |from: usize, to: usize, frame: usize| {
            changes[from][3 * strand + frame] += p;
            changes[to][3 * strand + frame] -= p;
        };
        cover(left, right.min(length), codon % 3);
        if right > length {
            cover(0, right - length, (codon + 3 * length - length) % 3);
        }
        let (first, last) = match strand {
            0 => (left, right - 1),
            _ => (right - 1, left),
        };
        if !candidate.partial_5 {
            ends[first % length][2 * strand] += p;
        }
        if !candidate.partial_3 {
            ends[last % length][2 * strand + 1] += p;
        }
    }
    let decided = |p: f64| match p {
        p if p >= sure => Some(true),
        p if p <= 1.0 - sure => Some(false),
        _ => None,
    };
    let mut classes = vec![NO_LOSS; CLASSES * length];
    let mut signals = vec![NO_LOSS; SIGNALS * length];
    let mut covered = [0.0f64; 6];
    for base in 0..length {
        for (sum, change) in covered.iter_mut().zip(changes[base]) {
            *sum += f64::from(change);
        }
        for strand in 0..2 {
            let frames = &covered[3 * strand..3 * strand + 3];
            let sure_frame = frames.iter().position(|&p| decided(p) == Some(true));
            classes[CLASSES * base + strand] = match sure_frame {
                Some(frame) if frames.iter().sum::<f64>() < 2.0 - sure => 1 + frame as i8,
                None if decided(frames.iter().sum()) == Some(false) => 0,
                _ => NO_LOSS,
            };
            for (end, kind) in [START, STOP].into_iter().enumerate() {
                if let Some(is) = decided(f64::from(ends[base][2 * strand + end])) {
                    signals[SIGNALS * base + 6 * strand + kind] = i8::from(is);
                }
            }
        }
    }
    (classes, signals)
}
