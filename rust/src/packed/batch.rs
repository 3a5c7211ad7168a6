//! Samples as one flat batch: arrays without padding.
//!
//! A batch is read in two steps. `Reader::select` finds its rows and so the sizes of its arrays; `Selection::fill` writes
//! into arrays of the caller's, which may have been used before, by one thread or several.

use std::ops::Range;

use rustc_hash::FxHashMap;

use super::format::{HAS_TRACKS, SampleRow, SegmentRow};
use super::reader::{Reader, prefetch};
use crate::dna::GeneticCode;
use crate::error::{Error, Result};
use crate::labels::{LabelTables, SIGNALS, StartCodons, base_labels};
use crate::language;

/// Value of a label that takes no loss.
const NO_LOSS: i64 = -100;

/// Which parts of a batch are wanted; the others stay empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// `positions` and `bases`; base labels need them.
    pub bases: bool,
    /// `decoder_input_ids` and `labels`.
    pub text: bool,
    /// `class_labels` and `signal_labels`.
    pub base_labels: bool,
}

/// A flat batch of S segments, T tokens, B bases and L label tokens, as docs/architecture.md ("A batch") describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    pub input_ids: Vec<i64>,
    pub positions: Vec<i64>,
    pub bases: Vec<u8>,
    pub decoder_input_ids: Vec<i64>,
    pub labels: Vec<i64>,
    pub token_offsets: Vec<i64>,
    pub base_offsets: Vec<i64>,
    pub target_offsets: Vec<i64>,
    /// [B, 2] and [B, 2, 6], or empty.
    pub class_labels: Vec<i8>,
    pub signal_labels: Vec<i8>,
    /// [T] where the file has tracks (0 for segments without).
    pub tracks: Option<Vec<u8>>,
    pub segment_ids: Vec<i64>,
}

/// The arrays that `Selection::fill` writes whole: of the sizes that `Selection::shape` gives, or empty where they are not
/// wanted.
#[derive(Default)]
pub struct Arrays<'a> {
    pub input_ids: &'a mut [i64],
    pub positions: &'a mut [i64],
    pub bases: &'a mut [u8],
    pub decoder_input_ids: &'a mut [i64],
    pub labels: &'a mut [i64],
    pub class_labels: &'a mut [i8],
    pub signal_labels: &'a mut [i8],
    pub tracks: &'a mut [u8],
}

impl<'a> Arrays<'a> {
    /// Cuts off the parts of the first segments, which have this shape.
    fn front(&mut self, shape: Shape) -> Arrays<'a> {
        Arrays {
            input_ids: front(&mut self.input_ids, shape.tokens),
            positions: front(&mut self.positions, shape.tokens),
            bases: front(&mut self.bases, shape.bases),
            decoder_input_ids: front(&mut self.decoder_input_ids, shape.targets),
            labels: front(&mut self.labels, shape.targets),
            class_labels: front(&mut self.class_labels, 2 * shape.bases),
            signal_labels: front(&mut self.signal_labels, 2 * SIGNALS * shape.bases),
            tracks: front(&mut self.tracks, shape.tokens),
        }
    }
}

/// The first `count` values; none of an array that is not wanted.
fn front<'a, T>(slice: &mut &'a mut [T], count: usize) -> &'a mut [T] {
    let whole = std::mem::take(slice);
    let (first, rest) = whole.split_at_mut(if whole.is_empty() { 0 } else { count });
    *slice = rest;
    first
}

/// Lengths of a batch, or of a part of one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    pub tokens: usize,
    pub bases: usize,
    /// Label tokens: of each sentence one less than it has.
    pub targets: usize,
}

impl Shape {
    fn of(row: &SegmentRow) -> Self {
        Shape { tokens: row.tokens as usize, bases: row.length as usize, targets: row.labels as usize - 1 }
    }

    fn add(&mut self, other: Shape) {
        self.tokens += other.tokens;
        self.bases += other.bases;
        self.targets += other.targets;
    }
}

/// What base labels need besides the file: made once for a file.
pub struct LabelContext {
    vocabulary: language::Vocabulary,
    tables: FxHashMap<u8, LabelTables>,
}

impl LabelContext {
    /// For all genetic codes that the file's segments name.
    pub fn new(reader: &Reader) -> Result<Self> {
        let vocabulary = language::Vocabulary::from_tokens(reader.vocabulary().tokens().to_vec())?;
        let mut tables = FxHashMap::default();
        let segments = reader.tables()?;
        let rows = (0..reader.len()).flat_map(|sample| segments.segments(&segments.sample(sample)).collect::<Vec<_>>());
        for (index, row) in rows {
            let number = row.genetic_code;
            if let std::collections::hash_map::Entry::Vacant(place) = tables.entry(number) {
                let code = GeneticCode::by_number(u32::from(number))
                    .ok_or_else(|| reader.damaged(&format!("segment {index} has the unknown genetic code {number}")))?;
                place.insert(LabelTables::new(code, StartCodons::of_code(code)));
            }
        }
        Ok(LabelContext { vocabulary, tables })
    }

    /// The language's tokens within the file's own.
    pub fn vocabulary(&self) -> &language::Vocabulary {
        &self.vocabulary
    }
}

/// One sample of a batch.
struct Picked<'a> {
    sample: usize,
    row: SampleRow,
    block: &'a [u8],
    /// Its segments among the selection's.
    segments: Range<usize>,
    shape: Shape,
}

/// The rows of a batch's samples, read once from the map: their lengths agree with one another and fit the file, whatever
/// was written over it since it was opened. The samples' bytes are checked when they are read.
pub struct Selection<'a> {
    reader: &'a Reader,
    picked: Vec<Picked<'a>>,
    segments: Vec<SegmentRow>,
    pub segment_ids: Vec<i64>,
    pub token_offsets: Vec<i64>,
    pub base_offsets: Vec<i64>,
    pub target_offsets: Vec<i64>,
    shape: Shape,
}

impl Reader {
    /// Finds the samples of a batch, in the order given.
    pub fn select(&self, samples: &[usize]) -> Result<Selection<'_>> {
        self.check_unchanged()?;
        let rows = samples.iter().map(|&sample| self.sample(sample)).collect::<Result<Vec<SampleRow>>>()?;
        rows.iter().for_each(|row| self.prefetch_segments(row));
        let count = rows.iter().map(|row| row.segments as usize).sum::<usize>().min(self.segment_count());
        let offsets = || {
            let mut offsets = Vec::with_capacity(count + 1);
            offsets.push(0);
            offsets
        };
        let mut selection = Selection {
            reader: self,
            picked: Vec::with_capacity(samples.len()),
            segments: Vec::with_capacity(count),
            segment_ids: Vec::with_capacity(count),
            token_offsets: offsets(),
            base_offsets: offsets(),
            target_offsets: offsets(),
            shape: Shape::default(),
        };
        for (&sample, row) in samples.iter().zip(rows) {
            selection.pick(sample, row)?;
        }
        Ok(selection)
    }

    /// Reads samples in the order given. `labels` is needed where `want.base_labels` is.
    pub fn batch(&self, samples: &[usize], want: Want, labels: Option<&LabelContext>) -> Result<Batch> {
        let selection = self.select(samples)?;
        let Shape { tokens, bases, targets } = selection.shape;
        let count = |wanted: bool, count: usize| if wanted { count } else { 0 };
        let mut batch = Batch {
            input_ids: vec![0; tokens],
            positions: vec![0; count(want.bases, tokens)],
            bases: vec![0; count(want.bases, bases)],
            decoder_input_ids: vec![0; count(want.text, targets)],
            labels: vec![0; count(want.text, targets)],
            class_labels: vec![0; count(want.base_labels, 2 * bases)],
            signal_labels: vec![0; count(want.base_labels, 2 * SIGNALS * bases)],
            tracks: self.has_tracks().then(|| vec![0; tokens]),
            ..Batch::default()
        };
        let arrays = Arrays {
            input_ids: &mut batch.input_ids,
            positions: &mut batch.positions,
            bases: &mut batch.bases,
            decoder_input_ids: &mut batch.decoder_input_ids,
            labels: &mut batch.labels,
            class_labels: &mut batch.class_labels,
            signal_labels: &mut batch.signal_labels,
            tracks: batch.tracks.as_deref_mut().unwrap_or_default(),
        };
        selection.fill(want, labels, 1, arrays)?;
        (batch.token_offsets, batch.base_offsets) = (selection.token_offsets, selection.base_offsets);
        (batch.target_offsets, batch.segment_ids) = (selection.target_offsets, selection.segment_ids);
        Ok(batch)
    }
}

impl<'a> Selection<'a> {
    /// Lengths of the whole batch.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    fn pick(&mut self, sample: usize, row: SampleRow) -> Result<()> {
        let reader = self.reader;
        let block = reader.unchecked_block(sample, &row)?;
        let (before, first) = (self.shape, self.segments.len());
        for index in row.first_segment..row.first_segment + u64::from(row.segments) {
            let segment = reader.segment(index as usize)?;
            if !reader.is_consistent(&segment) || reader.data(block, &segment).is_err() {
                return Err(reader.damaged(&format!("sample {sample}: segment {index} is inconsistent")));
            }
            self.shape.add(Shape::of(&segment));
            self.segments.push(segment);
            self.segment_ids.push(index as i64);
            self.token_offsets.push(self.shape.tokens as i64);
            self.base_offsets.push(self.shape.bases as i64);
            self.target_offsets.push(self.shape.targets as i64);
        }
        let shape = Shape {
            tokens: self.shape.tokens - before.tokens,
            bases: self.shape.bases - before.bases,
            targets: self.shape.targets - before.targets,
        };
        self.picked.push(Picked { sample, row, block, segments: first..self.segments.len(), shape });
        Ok(())
    }

    /// Writes the batch with `threads` threads, this one among them.
    pub fn fill(
        &self,
        want: Want,
        labels: Option<&LabelContext>,
        threads: usize,
        mut arrays: Arrays<'_>,
    ) -> Result<()> {
        if want.base_labels && (labels.is_none() || !want.bases) {
            return Err(Error::input("base labels need bases and the file's label tables"));
        }
        let labels = labels.filter(|_| want.base_labels);
        let threads = threads.clamp(1, self.picked.len().max(1));
        if threads == 1 {
            return self.fill_part(&self.picked, labels, arrays);
        }
        std::thread::scope(|scope| {
            let mut parts = Vec::with_capacity(threads);
            let mut rest = &self.picked[..];
            for left in (2..=threads).rev() {
                let (part, after) = rest.split_at(share_of(rest, left));
                rest = after;
                let mut shape = Shape::default();
                part.iter().for_each(|picked| shape.add(picked.shape));
                let arrays = arrays.front(shape);
                parts.push(scope.spawn(move || self.fill_part(part, labels, arrays)));
            }
            let last = self.fill_part(rest, labels, arrays);
            // The error of the first sample that has one.
            for part in parts {
                part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            last
        })
    }

    fn fill_part(&self, picked: &[Picked], labels: Option<&LabelContext>, mut arrays: Arrays<'_>) -> Result<()> {
        for (place, one) in picked.iter().enumerate() {
            let mut next = picked.get(place + 1).map_or(&[][..], |next| next.block);
            prefetch(next);
            self.reader.check_block(one.sample, &one.row, one.block)?;
            for index in one.segments.clone() {
                let row = &self.segments[index];
                self.fill_segment(index, one.block, labels, arrays.front(Shape::of(row)), &mut next)?;
            }
        }
        Ok(())
    }

    fn fill_segment(
        &self,
        index: usize,
        block: &[u8],
        labels: Option<&LabelContext>,
        arrays: Arrays<'_>,
        next: &mut &[u8],
    ) -> Result<()> {
        let (reader, row, number) = (self.reader, &self.segments[index], self.segment_ids[index]);
        let data = reader.data(block, row)?;
        data.widen_tokens(arrays.input_ids, next);
        if !arrays.bases.is_empty() && !data.spell(reader.vocabulary(), arrays.positions, arrays.bases) {
            return Err(reader.damaged(&format!("the tokens of segment {number} do not spell its bases")));
        }
        if !arrays.labels.is_empty() {
            data.widen_labels(0, arrays.decoder_input_ids);
            let kept = (row.loss_end as usize).saturating_sub(1);
            let (kept, masked) = arrays.labels.split_at_mut(kept);
            data.widen_labels(1, kept);
            masked.fill(NO_LOSS);
        }
        if !arrays.tracks.is_empty() {
            match row.flags & HAS_TRACKS {
                0 => arrays.tracks.fill(0),
                _ => arrays.tracks.copy_from_slice(data.tracks()),
            }
        }
        if let Some(context) = labels {
            let tables = context
                .tables
                .get(&row.genetic_code)
                .ok_or_else(|| reader.damaged(&format!("segment {number} changed its genetic code")))?;
            let sentence: Vec<u32> = data.labels().collect();
            let ignores: Vec<(u32, u32)> = data.ignores().collect();
            base_labels(
                &sentence,
                arrays.bases,
                &context.vocabulary,
                tables,
                &ignores,
                arrays.class_labels,
                arrays.signal_labels,
            )
            .map_err(|e| {
                Error::binary(reader.path(), format!("segment {number} holds a sentence that cannot be read: {e}"))
            })?;
        }
        Ok(())
    }
}

/// How many of these samples are about one of `parts` equal shares of their bytes.
fn share_of(picked: &[Picked], parts: usize) -> usize {
    let total: usize = picked.iter().map(|one| one.block.len()).sum();
    let mut sum = 0;
    picked
        .iter()
        .take_while(|one| {
            sum += one.block.len();
            2 * sum * parts <= 2 * total + one.block.len() * parts
        })
        .count()
}
