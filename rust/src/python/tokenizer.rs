//! The tokenizer as Python sees it.

use std::path::PathBuf;

use numpy::PyArray1;
use pyo3::prelude::*;

use crate::tokenizer::{self, hash_text};

/// Byte-pair encoding of DNA; see `genet5.tokenize`.
#[pyclass(frozen, module = "genet5._core")]
pub struct Tokenizer {
    pub inner: tokenizer::Tokenizer,
}

type Flat<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<i64>>);

#[pymethods]
impl Tokenizer {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        Ok(Tokenizer { inner: py.detach(|| tokenizer::Tokenizer::load(path))? })
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (PathBuf,))> {
        Ok((slf.get_type().into_any(), (slf.get().inner.path().to_path_buf(),)))
    }

    fn __repr__(&self) -> String {
        format!("Tokenizer({} tokens, {})", self.inner.len(), self.inner.path().display())
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    /// The `tokenizer.json` it was read from.
    #[getter]
    fn path(&self) -> PathBuf {
        self.inner.path().to_path_buf()
    }

    /// All tokens in the order of their ids.
    #[getter]
    fn tokens(&self) -> Vec<String> {
        self.inner.tokens().to_vec()
    }

    /// Length of each token in bp; 0 where it is not DNA.
    #[getter]
    fn token_lengths<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u16>> {
        PyArray1::from_slice(py, self.inner.bp())
    }

    /// Id of `[UNK]`, one base.
    #[getter]
    fn unknown(&self) -> u32 {
        self.inner.unknown()
    }

    /// Whether the linear-time encoder is in use.
    #[getter]
    fn is_linear(&self) -> bool {
        self.inner.is_linear()
    }

    /// The id of a token, or None.
    fn id(&self, token: &str) -> Option<u32> {
        self.inner.id(token)
    }

    /// Hash of the first `count` tokens (of all without it), 16 hexadecimal digits.
    #[pyo3(signature = (count=None))]
    fn prefix_hash(&self, count: Option<usize>) -> PyResult<String> {
        Ok(hash_text(self.inner.prefix_hash(count.unwrap_or(self.inner.len()))?))
    }

    /// Token ids of a sequence.
    fn encode<'py>(&self, py: Python<'py>, sequence: &[u8]) -> Bound<'py, PyArray1<u32>> {
        PyArray1::from_vec(py, py.detach(|| self.inner.encode(sequence)))
    }

    /// Token ids of many sequences, one after the other, and where each begins (one more than there are sequences).
    #[pyo3(signature = (sequences, threads=1))]
    fn encode_batch<'py>(
        &self,
        py: Python<'py>,
        sequences: Vec<Bound<'py, PyAny>>,
        threads: usize,
    ) -> PyResult<Flat<'py>> {
        let views = sequences.iter().map(|sequence| sequence.extract::<&[u8]>()).collect::<Result<Vec<_>, _>>()?;
        let (ids, offsets) = py.detach(|| {
            let encoded = self.inner.encode_batch(&views, threads);
            let mut offsets = Vec::with_capacity(encoded.len() + 1);
            let mut ids = Vec::with_capacity(encoded.iter().map(Vec::len).sum());
            offsets.push(0);
            for tokens in encoded {
                ids.extend(tokens);
                offsets.push(ids.len() as i64);
            }
            (ids, offsets)
        });
        Ok((PyArray1::from_vec(py, ids), PyArray1::from_vec(py, offsets)))
    }
}

/// Appends tokens that a tokenizer lacks; returns those added with their ids.
#[pyfunction]
#[pyo3(signature = (path, tokens, *, dry_run=false))]
fn append_tokens(py: Python<'_>, path: PathBuf, tokens: Vec<String>, dry_run: bool) -> PyResult<Vec<(String, u32)>> {
    Ok(py.detach(|| tokenizer::append(path, &tokens, dry_run))?)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Tokenizer>()?;
    module.add_function(wrap_pyfunction!(append_tokens, module)?)?;
    Ok(())
}
