//! Windows of a sequence: what a window's sentence says, and where it takes no loss.

use super::model::{Policy, Segment, WindowGene, WindowGenes, WindowTranscript, opposite};
use super::prepare::{PreparedGene, PreparedTranscript, Reason, Telling};
use crate::gene::Strand;

/// A stretch of a sequence. On a circular sequence it may pass the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// First base, in sequence coordinates.
    pub start: u64,
    /// In bp, at most [`super::MAX_COORDINATE`] and the sequence's length.
    pub length: u32,
    /// The window is the reverse complement of the stretch.
    pub reverse: bool,
}

/// A gene that the sentence does not say: its stretch `[start, end)` of the window takes no loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IgnoredGene {
    pub start: u32,
    pub end: u32,
    pub reason: Reason,
    /// Index into the genes given to [`clip`].
    pub gene: usize,
}

/// What [`clip`] finds in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClippedWindow {
    pub genes: WindowGenes,
    /// Sorted by start.
    pub ignored: Vec<IgnoredGene>,
}

impl ClippedWindow {
    /// Disjoint, sorted stretches of the window that take no loss of evidence.
    pub fn ignore_intervals(&self) -> Vec<(u32, u32)> {
        let mut intervals: Vec<(u32, u32)> = Vec::new();
        for gene in &self.ignored {
            match intervals.last_mut() {
                Some(last) if gene.start <= last.1 => last.1 = last.1.max(gene.end),
                _ => intervals.push((gene.start, gene.end)),
            }
        }
        intervals
    }

    /// Index in the sentence of the first token that cannot be learned, because an ignored gene would have to be
    /// mentioned there; the sentence's length where all of it can.
    pub fn masked_from(&self) -> usize {
        let first = self.ignored.iter().find(|gene| gene.reason.masks_sentence());
        first.map_or(self.genes.token_count(), |gene| self.genes.token_index_of(gene.start))
    }
}

/// The genes of a sequence of `sequence_length` bases as a window sees them. Genes need no order; those outside the
/// window are skipped. Of each gene the `isoforms` most canonical transcripts are said: 1 for the canonical alone.
pub fn clip<'a>(
    genes: impl IntoIterator<Item = &'a PreparedGene>,
    window: Window,
    sequence_length: u64,
    circular: bool,
    policy: Policy,
    isoforms: usize,
) -> ClippedWindow {
    let length = window.length;
    let (start, end) = (window.start as i64, window.start as i64 + i64::from(length));
    let turn = sequence_length as i64;
    let turns = if circular { -1..=1 } else { 0..=0 };
    let mut said = Vec::new();
    let mut ignored = Vec::new();
    for (index, gene) in genes.into_iter().enumerate() {
        for shift in turns.clone().map(|turn_count| turn_count * turn) {
            let (left, right) = (gene.span.start as i64 + shift, gene.span.end as i64 + shift);
            if right <= start || left >= end {
                continue;
            }
            match &gene.telling {
                Telling::Unannotated => {}
                Telling::Ignored(reason) => {
                    let (mut from, mut to) = ((left.max(start) - start) as u32, (right.min(end) - start) as u32);
                    if window.reverse {
                        (from, to) = (length - to, length - from);
                    }
                    ignored.push(IgnoredGene { start: from, end: to, reason: *reason, gene: index });
                }
                Telling::Said(transcripts) => {
                    let strand = if window.reverse { opposite(gene.strand) } else { gene.strand };
                    let offset = match gene.strand {
                        Strand::Reverse => end - shift,
                        _ => shift - start,
                    };
                    let transcripts: Vec<_> = transcripts
                        .iter()
                        .take(isoforms)
                        .filter_map(|transcript| cut(transcript, offset, strand, length))
                        .collect();
                    if !transcripts.is_empty() {
                        said.push(WindowGene { strand, transcripts });
                    }
                }
            }
        }
    }
    ignored.sort_by_key(|gene| (gene.start, gene.end, gene.gene));
    ClippedWindow { genes: WindowGenes::new(length, policy, said), ignored }
}

/// A transcript within the window; `None` where it lies wholly outside. `offset` takes oriented positions of the
/// sequence to those of the window, `strand` is the one in the window.
fn cut(transcript: &PreparedTranscript, offset: i64, strand: Strand, length: u32) -> Option<WindowTranscript> {
    let pieces = &transcript.pieces;
    let edge = i64::from(length);
    let mut segments = Vec::new();
    for piece in pieces {
        let (start, end) = (piece.start + offset, piece.end + offset);
        let (from, to) = (start.max(0), end.min(edge));
        if from < to {
            let state = piece.state.advance((from - start) as u64);
            segments.push(Segment { start: from as u32, end: to as u32, state });
        }
    }
    if segments.is_empty() {
        return None;
    }
    let five_open = pieces[0].start + offset < 0 || transcript.open_5;
    let three_open = pieces[pieces.len() - 1].end + offset > edge || transcript.open_3;
    Some(WindowTranscript::from_path(transcript.biotype.clone(), &segments, five_open, three_open, strand, length))
}
