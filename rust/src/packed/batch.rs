//! Samples as one flat batch: arrays without padding that own their memory.

use rustc_hash::FxHashMap;

use super::format::{HAS_TRACKS, SampleRow};
use super::reader::Reader;
use super::vocabulary::SHORT;
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

fn last(offsets: &[i64]) -> usize {
    offsets.last().map_or(0, |&offset| offset as usize)
}

impl Reader {
    /// Reads samples in the order given. `labels` is needed where `want.base_labels` is.
    pub fn batch(&self, samples: &[usize], want: Want, labels: Option<&LabelContext>) -> Result<Batch> {
        self.check_unchanged()?;
        let rows = samples.iter().map(|&sample| self.sample(sample)).collect::<Result<Vec<SampleRow>>>()?;
        let total = |value: fn(&SampleRow) -> u32| rows.iter().map(|row| value(row) as usize).sum::<usize>();
        let (tokens, sentences, segments) = (total(|r| r.tokens), total(|r| r.labels), total(|r| r.segments));
        let mut batch = Batch {
            input_ids: Vec::with_capacity(tokens),
            positions: vec![0; if want.bases { tokens } else { 0 }],
            bases: vec![0; if want.bases { total(|r| r.bases) + SHORT } else { 0 }],
            decoder_input_ids: Vec::with_capacity(if want.text { sentences } else { 0 }),
            labels: Vec::with_capacity(if want.text { sentences } else { 0 }),
            token_offsets: Vec::with_capacity(segments + 1),
            base_offsets: Vec::with_capacity(segments + 1),
            target_offsets: Vec::with_capacity(segments + 1),
            class_labels: Vec::with_capacity(if want.base_labels { 2 * total(|r| r.bases) } else { 0 }),
            signal_labels: Vec::with_capacity(if want.base_labels { 2 * SIGNALS * total(|r| r.bases) } else { 0 }),
            tracks: self.has_tracks().then(|| Vec::with_capacity(tokens)),
            segment_ids: Vec::with_capacity(segments),
        };
        for offsets in [&mut batch.token_offsets, &mut batch.base_offsets, &mut batch.target_offsets] {
            offsets.push(0);
        }
        for (&sample, row) in samples.iter().zip(&rows) {
            self.append(sample, row, want, labels, &mut batch)?;
        }
        if want.bases {
            batch.bases.truncate(batch.bases.len() - SHORT);
        }
        Ok(batch)
    }

    fn append(
        &self,
        sample: usize,
        sample_row: &SampleRow,
        want: Want,
        labels: Option<&LabelContext>,
        batch: &mut Batch,
    ) -> Result<()> {
        let block = self.block(sample, sample_row)?;
        let vocabulary = self.vocabulary();
        for index in sample_row.first_segment..sample_row.first_segment + u64::from(sample_row.segments) {
            let row = self.segment(index as usize)?;
            let data = self.data(block, &row)?;
            let (first_token, first_base) = (batch.input_ids.len(), last(&batch.base_offsets));
            let (end_token, end_base) = (first_token + row.tokens as usize, first_base + row.length as usize);
            data.append_tokens(&mut batch.input_ids);
            if want.bases {
                // Rows of the segment table are read again from the map: lengths may not fit a file that was overwritten.
                let positions = batch.positions.get_mut(first_token..end_token);
                let bases = batch.bases.get_mut(first_base..end_base + SHORT);
                let spelled = positions.zip(bases).is_some_and(|(p, b)| vocabulary.spell(data.tokens(), p, b));
                if !spelled {
                    return Err(self.damaged(&format!("the tokens of segment {index} do not spell its bases")));
                }
            }
            if want.text {
                let length = row.labels as usize;
                batch.decoder_input_ids.extend(data.labels().take(length - 1).map(i64::from));
                let kept = (row.loss_end as usize).saturating_sub(1);
                batch.labels.extend(data.labels().skip(1).take(kept).map(i64::from));
                batch.labels.resize(batch.decoder_input_ids.len(), NO_LOSS);
            }
            if let Some(tracks) = &mut batch.tracks {
                if row.flags & HAS_TRACKS != 0 {
                    tracks.extend_from_slice(data.tracks());
                }
                tracks.resize(batch.input_ids.len(), 0);
            }
            if want.base_labels {
                let context = labels
                    .filter(|_| want.bases)
                    .ok_or_else(|| Error::input("base labels need bases and the file's label tables"))?;
                let tables = context
                    .tables
                    .get(&row.genetic_code)
                    .ok_or_else(|| self.damaged(&format!("segment {index} changed its genetic code")))?;
                let sentence: Vec<u32> = data.labels().collect();
                let ignores: Vec<(u32, u32)> = data.ignores().collect();
                batch.class_labels.resize(2 * end_base, 0);
                batch.signal_labels.resize(2 * SIGNALS * end_base, 0);
                base_labels(
                    &sentence,
                    &batch.bases[first_base..end_base],
                    &context.vocabulary,
                    tables,
                    &ignores,
                    &mut batch.class_labels[2 * first_base..],
                    &mut batch.signal_labels[2 * SIGNALS * first_base..],
                )
                .map_err(|e| {
                    Error::binary(self.path(), format!("segment {index} holds a sentence that cannot be read: {e}"))
                })?;
            }
            batch.token_offsets.push(batch.input_ids.len() as i64);
            batch.base_offsets.push(end_base as i64);
            batch.target_offsets.push(batch.target_offsets.last().unwrap_or(&0) + i64::from(row.labels) - 1);
            batch.segment_ids.push(index as i64);
        }
        Ok(())
    }
}
