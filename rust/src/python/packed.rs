//! Packed files as Python sees them.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use numpy::{IntoPyArray, PyArray1, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::reused::{Reused, values};
use crate::error::{Error, Result};
use crate::labels::SIGNALS;
use crate::packed::{
    self, Arrays, LabelContext, Reader, SampleRow, Segment, SegmentRow, Share, Vocabulary, Want, Writer,
};
use crate::packing::{Budget, Size, pack};
use crate::tokenizer::hash_text;

/// A packed file, open and mapped; see `genet5.data.PackedDataset`.
#[pyclass(frozen, module = "genet5._core")]
pub struct PackedFile {
    reader: Reader,
    labels: OnceLock<LabelContext>,
    memory: Memory,
}

/// Memory of batches that are no longer in use.
#[derive(Default)]
struct Memory {
    ids: Reused<i64>,
    bytes: Reused<u8>,
    signs: Reused<i8>,
}

impl PackedFile {
    /// Made on first use: files can be inspected, copied and joined without the annotation language.
    fn labels(&self) -> Result<&LabelContext> {
        if let Some(labels) = self.labels.get() {
            return Ok(labels);
        }
        let made = LabelContext::new(&self.reader)?;
        Ok(self.labels.get_or_init(|| made))
    }
}

#[pymethods]
impl PackedFile {
    /// With a fingerprint, a file of another one is refused.
    #[new]
    #[pyo3(signature = (path, fingerprint=None))]
    fn new(py: Python<'_>, path: PathBuf, fingerprint: Option<&str>) -> PyResult<Self> {
        let reader = py.detach(|| Reader::open(&path))?;
        if fingerprint.is_some_and(|fingerprint| fingerprint != hash_text(reader.fingerprint())) {
            let message = "the file was replaced since it was first opened; open the new one everywhere, or restore it";
            return Err(Error::binary(&path, message).into());
        }
        Ok(PackedFile { reader, labels: OnceLock::new(), memory: Memory::default() })
    }

    /// By path, and the fingerprint that the file must still have: a map is never copied.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyAny>, (PathBuf, String)) {
        let reader = &slf.get().reader;
        (slf.get_type().into_any(), (reader.path().to_path_buf(), hash_text(reader.fingerprint())))
    }

    fn __repr__(&self) -> String {
        format!("PackedFile({} samples, {})", self.reader.len(), self.reader.path().display())
    }

    fn __len__(&self) -> usize {
        self.reader.len()
    }

    #[getter]
    fn path(&self) -> PathBuf {
        self.reader.path().to_path_buf()
    }

    #[getter]
    fn n_samples(&self) -> usize {
        self.reader.len()
    }

    #[getter]
    fn n_segments(&self) -> usize {
        self.reader.segment_count()
    }

    #[getter]
    fn file_bytes(&self) -> u64 {
        self.reader.file_bytes()
    }

    /// The same for files of the same content; 16 hexadecimal digits.
    #[getter]
    fn fingerprint(&self) -> String {
        hash_text(self.reader.fingerprint())
    }

    /// The metadata block (JSON).
    #[getter]
    fn metadata(&self) -> &str {
        self.reader.metadata()
    }

    /// The tokens that the file was made with.
    #[getter]
    fn tokens(&self) -> Vec<String> {
        self.reader.vocabulary().tokens().to_vec()
    }

    /// Hash of those tokens.
    #[getter]
    fn prefix_hash(&self) -> String {
        hash_text(self.reader.vocabulary().hash())
    }

    #[getter]
    fn species(&self) -> Vec<String> {
        self.reader.species().to_vec()
    }

    #[getter]
    fn seqids(&self) -> Vec<String> {
        self.reader.seqids().to_vec()
    }

    #[getter]
    fn has_tracks(&self) -> bool {
        self.reader.has_tracks()
    }

    /// Refuses a tokenizer that does not continue the file's tokens.
    fn check_tokenizer(&self, tokenizer: &super::tokenizer::Tokenizer) -> PyResult<()> {
        let (tokenizer, vocabulary) = (&tokenizer.inner, self.reader.vocabulary());
        if vocabulary.continues_in(tokenizer.tokens()) {
            return Ok(());
        }
        let own = vocabulary.tokens();
        let differs = (0..own.len()).find(|&id| tokenizer.tokens().get(id) != Some(&own[id])).unwrap_or(own.len());
        let theirs = tokenizer.tokens().get(differs).map_or("nothing".to_string(), |token| format!("'{token}'"));
        Err(Error::input(format!(
            "{} was made with another tokenizer than {}: token {differs} is '{}' there and {theirs} here; use the tokenizer it \
             was baked with, or one grown from it",
            self.reader.path().display(),
            tokenizer.path().display(),
            own[differs],
        ))
        .into())
    }

    /// Of every sample: `tokens`, `bases`, `labels` (whole sentences), `segments`, `bytes`.
    fn samples<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let rows: Vec<SampleRow> = py.detach(|| {
            let tables = self.reader.tables()?;
            Ok::<_, Error>((0..self.reader.len()).map(|sample| tables.sample(sample)).collect())
        })?;
        let column = |value: fn(&SampleRow) -> u32| {
            rows.iter().map(|row| i64::from(value(row))).collect::<Vec<i64>>().into_pyarray(py)
        };
        let columns = PyDict::new(py);
        columns.set_item("tokens", column(|row| row.tokens))?;
        columns.set_item("bases", column(|row| row.bases))?;
        columns.set_item("labels", column(|row| row.labels))?;
        columns.set_item("segments", column(|row| row.segments))?;
        columns.set_item("bytes", column(|row| row.bytes))?;
        Ok(columns)
    }

    /// The segment table by columns, and the sample of each segment.
    fn segments<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (rows, samples) = py.detach(|| -> Result<_> {
            let tables = self.reader.tables()?;
            let mut rows = Vec::with_capacity(self.reader.segment_count());
            let mut samples = Vec::with_capacity(rows.capacity());
            for sample in 0..self.reader.len() {
                rows.extend(tables.segments(&tables.sample(sample)).map(|(_, row)| row));
                samples.resize(rows.len(), sample as i64);
            }
            Ok((rows, samples))
        })?;
        let column = |value: fn(&SegmentRow) -> i64| rows.iter().map(value).collect::<Vec<i64>>().into_pyarray(py);
        let columns = PyDict::new(py);
        columns.set_item("sample", samples.into_pyarray(py))?;
        columns.set_item("species", column(|row| i64::from(row.species)))?;
        columns.set_item("seqid", column(|row| i64::from(row.seqid)))?;
        columns.set_item("start", column(|row| row.start as i64))?;
        columns.set_item("length", column(|row| i64::from(row.length)))?;
        columns.set_item("reverse", rows.iter().map(|row| row.reverse).collect::<Vec<bool>>().into_pyarray(py))?;
        columns.set_item("genetic_code", column(|row| i64::from(row.genetic_code)))?;
        columns.set_item("flags", column(|row| i64::from(row.flags)))?;
        columns.set_item("tokens", column(|row| i64::from(row.tokens)))?;
        columns.set_item("labels", column(|row| i64::from(row.labels)))?;
        columns.set_item("loss_end", column(|row| i64::from(row.loss_end)))?;
        columns.set_item("ignores", column(|row| i64::from(row.ignores)))?;
        Ok(columns)
    }

    /// One segment: its place, DNA, tokens and sentence.
    fn segment<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyDict>> {
        let trace = py.detach(|| self.reader.trace(index))?;
        let dna: String = trace.bases.iter().map(|&code| char::from(b"ACGTN"[usize::from(code.min(4))])).collect();
        let fields = PyDict::new(py);
        fields.set_item("sample", trace.sample)?;
        fields.set_item("species", trace.species)?;
        fields.set_item("seqid", trace.seqid)?;
        fields.set_item("start", trace.row.start)?;
        fields.set_item("length", trace.row.length)?;
        fields.set_item("reverse", trace.row.reverse)?;
        fields.set_item("genetic_code", trace.row.genetic_code)?;
        fields.set_item("flags", trace.row.flags)?;
        fields.set_item("dna", dna)?;
        fields.set_item("tokens", trace.tokens.into_pyarray(py))?;
        fields.set_item("sentence", trace.sentence.into_pyarray(py))?;
        fields.set_item("loss_end", trace.row.loss_end)?;
        fields.set_item("ignore", trace.ignores)?;
        fields.set_item("tracks", trace.tracks.map(|tracks| tracks.into_pyarray(py)))?;
        Ok(fields)
    }

    /// Samples as one flat batch, read with `threads` threads: a dict of arrays whose memory no other batch in use shares.
    /// What is not wanted is None.
    #[pyo3(signature = (indices, *, bases=true, text=true, base_labels=true, threads=1))]
    fn batch<'py>(
        &self,
        py: Python<'py>,
        indices: PyReadonlyArray1<'py, i64>,
        bases: bool,
        text: bool,
        base_labels: bool,
        threads: usize,
    ) -> PyResult<Bound<'py, PyDict>> {
        if threads == 0 {
            return Err(Error::input("a batch needs at least one thread").into());
        }
        let indices = indices.to_vec().map_err(|_| Error::input("indices must be contiguous"))?;
        let (selection, labels) = py.detach(|| -> Result<_> {
            let count = self.reader.len() as i64;
            let index = |&index: &i64| {
                let from_start = if index < 0 { index + count } else { index };
                usize::try_from(from_start).map_err(|_| Error::input(format!("sample {index} of {count}")))
            };
            let samples = indices.iter().map(index).collect::<Result<Vec<usize>>>()?;
            let labels = if base_labels { Some(self.labels()?) } else { None };
            Ok((self.reader.select(&samples)?, labels))
        })?;
        let shape = selection.shape();
        let Memory { ids, bytes, signs } = &self.memory;
        let mut input_ids = ids.take(py, true, shape.tokens);
        let mut positions = ids.take(py, bases, shape.tokens);
        let mut codes = bytes.take(py, bases, shape.bases);
        let mut decoder_input_ids = ids.take(py, text, shape.targets);
        let mut targets = ids.take(py, text, shape.targets);
        let mut class_labels = signs.take(py, base_labels, 2 * shape.bases);
        let mut signal_labels = signs.take(py, base_labels, 2 * SIGNALS * shape.bases);
        let mut tracks = bytes.take(py, self.reader.has_tracks(), shape.tokens);
        let arrays = Arrays {
            input_ids: values(&mut input_ids)?,
            positions: values(&mut positions)?,
            bases: values(&mut codes)?,
            decoder_input_ids: values(&mut decoder_input_ids)?,
            labels: values(&mut targets)?,
            class_labels: values(&mut class_labels)?,
            signal_labels: values(&mut signal_labels)?,
            tracks: values(&mut tracks)?,
        };
        py.detach(|| selection.fill(Want { bases, text, base_labels }, labels, threads, arrays))?;

        let by_base = |array: Option<Bound<'py, PyArray1<i8>>>, shape: &[usize]| {
            array.map(|array| array.reshape(shape.to_vec())).transpose()
        };
        let fields = PyDict::new(py);
        fields.set_item("input_ids", ids.put(input_ids)?)?;
        fields.set_item("positions", ids.put(positions)?)?;
        fields.set_item("bases", bytes.put(codes)?)?;
        fields.set_item("decoder_input_ids", ids.put(decoder_input_ids)?)?;
        fields.set_item("labels", ids.put(targets)?)?;
        fields.set_item("token_offsets", selection.token_offsets.into_pyarray(py))?;
        fields.set_item("base_offsets", selection.base_offsets.into_pyarray(py))?;
        fields.set_item("target_offsets", selection.target_offsets.into_pyarray(py))?;
        fields.set_item("class_labels", by_base(signs.put(class_labels)?, &[shape.bases, 2])?)?;
        fields.set_item("signal_labels", by_base(signs.put(signal_labels)?, &[shape.bases, 2, SIGNALS])?)?;
        fields.set_item("tracks", bytes.put(tracks)?)?;
        fields.set_item("segment_ids", selection.segment_ids.into_pyarray(py))?;
        Ok(fields)
    }

    /// Refuses a file that changed on disk since it was opened.
    fn check_unchanged(&self) -> PyResult<()> {
        Ok(self.reader.check_unchanged()?)
    }

    /// Reads everything with `threads` threads (None: one a core) and holds it against the checksums; returns the bytes of
    /// samples read.
    #[pyo3(signature = (threads=None))]
    fn verify(&self, py: Python<'_>, threads: Option<usize>) -> PyResult<u64> {
        let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        Ok(py.detach(|| packed::verify(&self.reader, threads))?)
    }

    /// Writes a random share (`fraction` or `count`) to another file; returns how many samples.
    #[pyo3(signature = (path, *, fraction=None, count=None, seed=0))]
    fn subset(
        &self,
        py: Python<'_>,
        path: PathBuf,
        fraction: Option<f64>,
        count: Option<usize>,
        seed: u64,
    ) -> PyResult<usize> {
        let share = match (fraction, count) {
            (Some(fraction), None) => Share::Fraction(fraction),
            (None, Some(count)) => Share::Count(count),
            _ => return Err(Error::input("a subset needs either a fraction or a number of samples").into()),
        };
        Ok(py.detach(|| packed::subset(&self.reader, &path, share, seed))?)
    }

    /// Writes all samples in random order to another file.
    #[pyo3(signature = (path, *, seed=0))]
    fn shuffle(&self, py: Python<'_>, path: PathBuf, seed: u64) -> PyResult<()> {
        Ok(py.detach(|| packed::shuffle(&self.reader, &path, seed))?)
    }

    /// Deals the samples into several files by weight; returns how many each got.
    #[pyo3(signature = (paths, weights, *, seed=0))]
    fn split(&self, py: Python<'_>, paths: Vec<PathBuf>, weights: Vec<f64>, seed: u64) -> PyResult<Vec<usize>> {
        Ok(py.detach(|| packed::split(&self.reader, &paths, &weights, seed))?)
    }
}

/// Writes a packed file window by window; see `genet5.data.write_packed`.
#[pyclass(frozen, module = "genet5._core")]
pub struct PackedWriter {
    /// `None` once the file is finished.
    writer: Mutex<Option<Writer>>,
    tokenizer: Py<super::tokenizer::Tokenizer>,
}

impl PackedWriter {
    fn with<T>(&self, work: impl FnOnce(&mut Writer) -> Result<T>) -> Result<T> {
        let mut writer = self.writer.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        work(writer.as_mut().ok_or_else(|| Error::input("the packed file is finished already"))?)
    }
}

#[pymethods]
impl PackedWriter {
    #[new]
    fn new(py: Python<'_>, path: PathBuf, tokenizer: Py<super::tokenizer::Tokenizer>) -> PyResult<Self> {
        let vocabulary = Vocabulary::of(&tokenizer.get().inner);
        let writer = py.detach(|| Writer::create(path, vocabulary))?;
        Ok(PackedWriter { writer: Mutex::new(Some(writer)), tokenizer })
    }

    /// Adds a window and returns its number; `dna` is as the sentence reads it (already reverse-complemented).
    #[pyo3(signature = (species, seqid, start, dna, sentence, *, reverse=false, genetic_code=1, flags=0, loss_end=None, ignore=Vec::new(), tracks=None))]
    #[allow(clippy::too_many_arguments)]
    fn add(
        &self,
        py: Python<'_>,
        species: &str,
        seqid: &str,
        start: u64,
        dna: &[u8],
        sentence: PyReadonlyArray1<'_, u32>,
        reverse: bool,
        genetic_code: u8,
        flags: u16,
        loss_end: Option<u32>,
        ignore: Vec<(u32, u32)>,
        tracks: Option<PyReadonlyArray1<'_, u8>>,
    ) -> PyResult<u32> {
        let sentence = sentence.to_vec().map_err(|_| Error::input("the sentence must be contiguous"))?;
        let tracks =
            tracks.map(|tracks| tracks.to_vec().map_err(|_| Error::input("tracks must be contiguous"))).transpose()?;
        let length = u32::try_from(dna.len()).map_err(|_| Error::input("a window of more than 4 Gbp"))?;
        let tokenizer = &self.tokenizer.get().inner;
        Ok(py.detach(|| {
            self.with(|writer| {
                writer.add(&Segment {
                    species,
                    seqid,
                    start,
                    length,
                    reverse,
                    genetic_code,
                    flags,
                    tokens: &tokenizer.encode(dna),
                    labels: &sentence,
                    loss_end,
                    ignores: &ignore,
                    tracks: tracks.as_deref(),
                })
            })
        })?)
    }

    /// Packs all windows added and makes the file appear; returns the number of samples.
    fn finish(&self, py: Python<'_>, target: u32, hard_limit: u32, max_labels: u32, metadata: &str) -> PyResult<usize> {
        let budget = Budget { target, hard_limit, labels: max_labels };
        budget.check()?;
        let metadata: serde_json::Value =
            serde_json::from_str(metadata).map_err(|e| Error::input(format!("the metadata is not JSON: {e}")))?;
        Ok(py.detach(|| -> Result<usize> {
            let packs = self.with(|writer| {
                let packs = pack(writer.sizes(), &budget).packs;
                packs.iter().try_for_each(|pack| writer.write_pack(pack))?;
                Ok(packs.len())
            })?;
            let writer = self.writer.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
            writer.map_or(Ok(()), |writer| writer.finish(&metadata))?;
            Ok(packs)
        })?)
    }
}

/// Joins packed files in the order given into one; returns its number of samples.
#[pyfunction]
#[pyo3(signature = (paths, path, *, metadata=None))]
fn merge_packed(py: Python<'_>, paths: Vec<PathBuf>, path: PathBuf, metadata: Option<&str>) -> PyResult<usize> {
    let metadata = metadata
        .map(serde_json::from_str::<serde_json::Value>)
        .transpose()
        .map_err(|e| Error::input(format!("the metadata is not JSON: {e}")))?;
    Ok(py.detach(|| -> Result<usize> {
        let readers = paths.iter().map(Reader::open).collect::<Result<Vec<_>>>()?;
        packed::merge(&readers.iter().collect::<Vec<_>>(), &path, metadata.as_ref())?;
        Ok(readers.iter().map(Reader::len).sum())
    })?)
}

/// Plans packs of windows given by their lengths; see `genet5.data.pack_windows`.
#[pyfunction]
fn plan_packs<'py>(
    py: Python<'py>,
    tokens: Vec<u32>,
    labels: Vec<u32>,
    target: u32,
    hard_limit: u32,
    max_labels: u32,
) -> PyResult<(Bound<'py, PyArray1<i64>>, usize, usize, &'static str)> {
    if tokens.len() != labels.len() {
        return Err(Error::input("as many token lengths as label lengths").into());
    }
    let budget = Budget { target, hard_limit, labels: max_labels };
    budget.check()?;
    let (assigned, plan) = py.detach(|| {
        let sizes: Vec<Size> = tokens.iter().zip(&labels).map(|(&tokens, &labels)| Size { tokens, labels }).collect();
        let plan = pack(&sizes, &budget);
        let mut assigned = vec![0i64; sizes.len()];
        for (number, pack) in plan.packs.iter().enumerate() {
            pack.iter().for_each(|&window| assigned[window as usize] = number as i64);
        }
        (assigned, plan)
    });
    Ok((assigned.into_pyarray(py), plan.packs.len(), plan.lower_bound, plan.strategy))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PackedFile>()?;
    module.add_class::<PackedWriter>()?;
    module.add_function(wrap_pyfunction!(merge_packed, module)?)?;
    module.add_function(wrap_pyfunction!(plan_packs, module)?)?;
    Ok(())
}
