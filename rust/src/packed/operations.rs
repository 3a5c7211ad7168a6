//! Subset, merge, shuffle, split and verify: samples are copied as bytes, never decoded, but each is held against its
//! checksum on the way, so that damage does not spread.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;

use serde_json::{Map, Value, json};

use super::format::{SampleRow, SegmentRow};
use super::random::Random;
use super::reader::{Reader, Tables};
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

/// Reads a whole file with `threads` threads and holds every sample against its checksum and its segments; returns the
/// bytes read. The error is that of the first sample that has one.
pub fn verify(reader: &Reader, threads: usize) -> Result<u64> {
    let tables = reader.tables()?;
    let all = [&tables];
    let runs = Mutex::new(runs((0..reader.len()).map(|sample| (0, sample)), &all).enumerate());
    let stop = AtomicBool::new(false);
    let work = || {
        let (mut bytes, mut blocks) = (0, Vec::new());
        while !stop.load(Ordering::Relaxed) {
            let next = runs.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
            let Some((number, run)) = next else { break };
            if let Err(error) = verify_run(reader, &tables, &run, &mut blocks) {
                // Runs before this one were handed out before it, and are finished by those who took them.
                stop.store(true, Ordering::Relaxed);
                return Err((number, error));
            }
            bytes += run.bytes as u64;
        }
        Ok(bytes)
    };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        let join = |other: ScopedJoinHandle<_>| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        others.into_iter().map(join).chain([own]).collect()
    });
    let (read, failed): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(|outcome| outcome.is_ok());
    if let Some((_, error)) = failed.into_iter().filter_map(std::result::Result::err).min_by_key(|(number, _)| *number)
    {
        return Err(error);
    }
    reader.check_unchanged()?;
    Ok(read.into_iter().flatten().sum())
}

fn verify_run(reader: &Reader, tables: &Tables, run: &Run, blocks: &mut Vec<u8>) -> Result<()> {
    blocks.resize(run.bytes, 0);
    reader.read_blocks(run.first, &run.samples, blocks)?;
    let mut rest = &blocks[..];
    for sample in &run.samples {
        let (block, after) = rest.split_at(sample.bytes as usize);
        rest = after;
        for (segment, row) in tables.segments(sample) {
            if !reader.data(block, &row)?.is_known(reader.vocabulary(), row.length) {
                return Err(reader.damaged(&format!("the tokens of segment {segment} do not spell its bases")));
            }
        }
    }
    Ok(())
}

/// Samples that stand side by side in their file, and are read and written at once.
struct Run {
    file: usize,
    first: usize,
    samples: Vec<SampleRow>,
    bytes: usize,
}

/// Bytes of a run, about: enough that the system is asked seldom, and that it stays in the cache.
const RUN_BYTES: usize = 1 << 18;

fn runs<'a>(
    picks: impl Iterator<Item = (usize, usize)> + 'a,
    tables: &'a [&'a Tables],
) -> impl Iterator<Item = Run> + 'a {
    let mut picks = picks.peekable();
    std::iter::from_fn(move || {
        let (file, first) = picks.next()?;
        let mut samples = vec![tables[file].sample(first)];
        let mut bytes = samples[0].bytes as usize;
        while bytes < RUN_BYTES {
            let Some((_, next)) = picks.next_if_eq(&(file, first + samples.len())) else { break };
            let sample = tables[file].sample(next);
            bytes += sample.bytes as usize;
            samples.push(sample);
        }
        Some(Run { file, first, samples, bytes })
    })
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
    let tables: Vec<&Tables> = tables.iter().collect();
    // The new numbers of each file's strings, as they come up.
    let unknown = |strings: &[String]| vec![None; strings.len()];
    let mut numbers: Vec<_> = from.iter().map(|r| (unknown(r.species()), unknown(r.seqids()))).collect();
    // Samples are read one after the other into a buffer that is written when it is full.
    let (mut blocks, mut used) = (vec![0; 2 * RUN_BYTES], 0);
    for run in runs(picks, &tables) {
        let (reader, (new_species, new_seqids)) = (from[run.file], &mut numbers[run.file]);
        if used + run.bytes > blocks.len() {
            writer.add_blocks(&blocks[..used])?;
            used = 0;
            blocks.resize(blocks.len().max(run.bytes), 0);
        }
        reader.read_blocks(run.first, &run.samples, &mut blocks[used..used + run.bytes])?;
        used += run.bytes;
        for (_, row) in run.samples.iter().flat_map(|sample| tables[run.file].segments(sample)) {
            writer.add_segment(&SegmentRow {
                species: renumber(row.species, reader.species(), new_species, &mut species),
                seqid: renumber(row.seqid, reader.seqids(), new_seqids, &mut seqids),
                ..row
            });
        }
        writer.add_rows(&run.samples);
    }
    writer.add_blocks(&blocks[..used])?;
    from.iter().try_for_each(|reader| reader.check_unchanged())?;
    Ok(Prepared { writer, species, seqids, metadata: metadata.to_string() })
}

/// The number of a string in the new file. Opening the file checked that the old number is in its table.
fn renumber(old: u32, strings: &[String], known: &mut [Option<u32>], new: &mut Strings) -> u32 {
    *known[old as usize].get_or_insert_with(|| new.number(&strings[old as usize]))
}
