//! Subset, merge, shuffle, split and verify: samples are copied as bytes, never decoded, but each is held against its
//! checksum on the way, so that damage does not spread.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::format::SegmentRow;
use super::random::Random;
use super::reader::Reader;
use super::vocabulary::Vocabulary;
use super::writer::{FileWriter, Strings};
use crate::error::{Error, Result};

/// How many samples of a file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Share {
    Fraction(f64),
    Count(usize),
}

impl Share {
    fn of(self, total: usize) -> Result<usize> {
        match self {
            Share::Fraction(fraction) if fraction > 0.0 && fraction <= 1.0 => {
                Ok(((total as f64 * fraction).round() as usize).clamp(1.min(total), total))
            }
            Share::Fraction(fraction) => {
                Err(Error::input(format!("a fraction of {fraction}: it must be above 0, at most 1")))
            }
            Share::Count(count) if count <= total => Ok(count),
            Share::Count(count) => Err(Error::input(format!("{count} samples of a file that has {total}"))),
        }
    }
}

/// Writes a random share of a file's samples, in the file's order. Returns how many.
pub fn subset(from: &Reader, to: &Path, share: Share, seed: u64) -> Result<usize> {
    let count = share.of(from.len())?;
    let mut chosen = Random::new(seed).permutation(from.len());
    chosen.truncate(count);
    chosen.sort_unstable();
    let step = json!({"operation": "subset", "samples": count, "of": from.len(), "seed": seed});
    copy(&[from], chosen.into_iter().map(|sample| (0, sample)), to, &with_step(from, step)?)?;
    Ok(count)
}

/// Writes all samples in random order.
pub fn shuffle(from: &Reader, to: &Path, seed: u64) -> Result<()> {
    let order = Random::new(seed).permutation(from.len());
    let step = json!({"operation": "shuffle", "seed": seed});
    copy(&[from], order.into_iter().map(|sample| (0, sample)), to, &with_step(from, step)?)
}

/// Deals a file's samples at random into several files, by weight; within each they keep the file's order. Returns how
/// many each got. All files appear, or none does.
pub fn split<P: AsRef<Path>>(from: &Reader, to: &[P], weights: &[f64], seed: u64) -> Result<Vec<usize>> {
    if to.len() < 2 || to.len() != weights.len() || weights.iter().any(|&w| !w.is_finite() || w <= 0.0) {
        return Err(Error::input("a split needs at least two files, and a positive weight for each"));
    }
    let total: f64 = weights.iter().sum();
    let order = Random::new(seed).permutation(from.len());
    let (mut sum, mut start) = (0.0, 0);
    let mut parts = Vec::new();
    for weight in weights {
        sum += weight;
        let end = (from.len() as f64 * sum / total).round() as usize;
        let mut part = order[start..end.max(start)].to_vec();
        part.sort_unstable();
        start = end.max(start);
        parts.push(part);
    }
    let mut writers = Vec::new();
    for (number, (path, part)) in to.iter().zip(&parts).enumerate() {
        let step = json!({"operation": "split", "part": number + 1, "of": parts.len(), "seed": seed});
        let picks = part.iter().map(|&sample| (0, sample));
        writers.push(prepare(&[from], picks, path.as_ref(), with_step(from, step)?)?);
    }
    writers.into_iter().try_for_each(Prepared::finish)?;
    Ok(parts.iter().map(Vec::len).collect())
}

/// Joins files in the order given. All must have been made with tokenizers of which one continues all others. Without
/// `metadata` that of the files is joined (see `merge_metadata`).
pub fn merge(from: &[&Reader], to: &Path, metadata: Option<&Value>) -> Result<()> {
    let merged = match metadata {
        Some(metadata) => metadata.clone(),
        None => {
            let all = from.iter().map(|reader| metadata_of(reader)).collect::<Result<Vec<_>>>()?;
            merge_metadata(all)
        }
    };
    let picks =
        from.iter().enumerate().flat_map(|(number, reader)| (0..reader.len()).map(move |sample| (number, sample)));
    copy(from, picks, to, &merged)
}

/// Joins metadata: `species` and `history` are lists and follow one another (what stands twice, once), `priors` add up,
/// what else is equal in all stays, and where files differ the values become a list, one a file.
pub fn merge_metadata(all: Vec<Value>) -> Value {
    let mut merged = Map::new();
    let names: Vec<String> = {
        let mut names = Vec::new();
        for name in all.iter().filter_map(Value::as_object).flat_map(Map::keys) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    };
    for name in names {
        let values: Vec<&Value> = all.iter().filter_map(|metadata| metadata.get(&name)).collect();
        let value = match name.as_str() {
            "species" | "history" if values.iter().all(|value| value.is_array()) => {
                let mut list: Vec<Value> = Vec::new();
                for value in values.iter().filter_map(|value| value.as_array()).flatten() {
                    if !list.contains(value) {
                        list.push(value.clone());
                    }
                }
                Value::Array(list)
            }
            "priors" => values.into_iter().cloned().reduce(add).unwrap_or(Value::Null),
            _ if values.len() == all.len() && values.iter().all(|&value| value == values[0]) => values[0].clone(),
            _ => Value::Array(values.into_iter().cloned().collect()),
        };
        merged.insert(name, value);
    }
    Value::Object(merged)
}

/// Counts of the same shape, added: objects by key, arrays by place (the longer one's end stays), numbers as they are.
fn add(left: Value, right: Value) -> Value {
    match (left, right) {
        (Value::Object(mut left), Value::Object(right)) => {
            for (key, value) in right {
                let sum = match left.remove(&key) {
                    Some(before) => add(before, value),
                    None => value,
                };
                left.insert(key, sum);
            }
            Value::Object(left)
        }
        (Value::Array(left), Value::Array(right)) => {
            let (mut left, mut right) = (left.into_iter(), right.into_iter());
            let mut sums = Vec::new();
            loop {
                match (left.next(), right.next()) {
                    (Some(l), Some(r)) => sums.push(add(l, r)),
                    (Some(one), None) | (None, Some(one)) => sums.push(one),
                    (None, None) => return Value::Array(sums),
                }
            }
        }
        (Value::Number(left), Value::Number(right)) => match (left.as_u64(), right.as_u64()) {
            (Some(l), Some(r)) if l.checked_add(r).is_some() => json!(l + r),
            _ => json!(left.as_f64().unwrap_or(0.0) + right.as_f64().unwrap_or(0.0)),
        },
        (left, _) => left,
    }
}

/// Reads a whole file and holds every sample against its checksum and its segments; returns the bytes read.
pub fn verify(reader: &Reader) -> Result<u64> {
    let tables = reader.tables()?;
    let mut block = Vec::new();
    let mut bytes = 0;
    for index in 0..reader.len() {
        let sample = tables.sample(index);
        block.clear();
        reader.read_block(index, &sample, &mut block)?;
        for (segment, row) in tables.segments(&sample) {
            let data = reader.data(&block, &row)?;
            let known = |id: u32| (id as usize) < reader.vocabulary().len();
            let spelled: usize = data.tokens().map(|id| reader.vocabulary().bases(id).map_or(0, <[u8]>::len)).sum();
            if spelled != row.length as usize || !data.labels().all(known) {
                return Err(reader.damaged(&format!("the tokens of segment {segment} do not spell its bases")));
            }
        }
        bytes += u64::from(sample.bytes);
    }
    reader.check_unchanged()?;
    Ok(bytes)
}

fn metadata_of(reader: &Reader) -> Result<Value> {
    serde_json::from_str(reader.metadata()).map_err(|e| reader.damaged(&format!("its metadata is not JSON ({e})")))
}

/// A file's metadata with one more step in its history.
fn with_step(reader: &Reader, step: Value) -> Result<Value> {
    let mut metadata = metadata_of(reader)?;
    if let Some(fields) = metadata.as_object_mut() {
        match fields.entry("history").or_insert_with(|| json!([])) {
            Value::Array(history) => history.push(step),
            other => *other = json!([step]),
        }
    }
    Ok(metadata)
}

fn copy(from: &[&Reader], picks: impl Iterator<Item = (usize, usize)>, to: &Path, metadata: &Value) -> Result<()> {
    prepare(from, picks, to, metadata.clone())?.finish()
}

/// A file that is written but for its name.
struct Prepared {
    writer: FileWriter,
    species: Strings,
    seqids: Strings,
    metadata: String,
}

impl Prepared {
    fn finish(self) -> Result<()> {
        self.writer.finish(&self.species.list, &self.seqids.list, &self.metadata)
    }
}

fn prepare(
    from: &[&Reader],
    picks: impl Iterator<Item = (usize, usize)>,
    to: &Path,
    metadata: Value,
) -> Result<Prepared> {
    let vocabulary = Vocabulary::longest(from.iter().map(|reader| reader.vocabulary()))?.clone();
    if from.iter().any(|reader| reader.vocabulary().token_bytes() != vocabulary.token_bytes()) {
        return Err(Error::input(
            "some of these packed files hold 16-bit tokens and some 32-bit ones: bake them again with one tokenizer",
        ));
    }
    let mut writer = FileWriter::create(to, vocabulary)?;
    let (mut species, mut seqids) = (Strings::default(), Strings::default());
    let tables = from.iter().map(|reader| reader.tables()).collect::<Result<Vec<_>>>()?;
    let (mut block, mut rows) = (Vec::new(), Vec::new());
    for (number, sample) in picks {
        let (reader, tables) = (from[number], &tables[number]);
        let sample_row = tables.sample(sample);
        block.clear();
        reader.read_block(sample, &sample_row, &mut block)?;
        rows.clear();
        for (_, row) in tables.segments(&sample_row) {
            let name = |strings: &[String], number: u32| {
                strings.get(number as usize).cloned().ok_or_else(|| reader.damaged("a segment's name is missing"))
            };
            rows.push(SegmentRow {
                species: species.number(&name(reader.species(), row.species)?),
                seqid: seqids.number(&name(reader.seqids(), row.seqid)?),
                ..row
            });
        }
        writer.add_sample(&block, &rows)?;
    }
    from.iter().try_for_each(|reader| reader.check_unchanged())?;
    Ok(Prepared { writer, species, seqids, metadata: metadata.to_string() })
}
