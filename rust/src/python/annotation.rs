//! `annotation` and genomes as Python sees them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use numpy::PyArray1;
use pyo3::exceptions::{PyIndexError, PyKeyError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::annotation::writer::{self, Codes, Sequences};
use crate::annotation::{self, Annotation, Options, stats};
use crate::dna::{self, GeneticCode};
use crate::error::Error;
use crate::fasta::Genome;
use crate::gene::{Gene, Interval, Transcript};
use crate::in_order::cores;

/// A genome in memory.
#[pyclass(name = "Genome", module = "genet5._core", frozen)]
pub struct PyGenome {
    pub inner: Arc<Genome>,
}

#[pymethods]
impl PyGenome {
    #[staticmethod]
    fn read(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let inner = py.detach(|| Genome::read(&path))?;
        Ok(PyGenome { inner: Arc::new(inner) })
    }

    fn __len__(&self) -> usize {
        self.inner.sequences.len()
    }

    fn __repr__(&self) -> String {
        format!("<Genome of {} sequences, {} bp>", self.inner.sequences.len(), self.inner.total_length())
    }

    #[getter]
    fn ids(&self) -> Vec<&str> {
        self.inner.sequences.iter().map(|sequence| sequence.id.as_str()).collect()
    }

    #[getter]
    fn descriptions(&self) -> Vec<&str> {
        self.inner.sequences.iter().map(|sequence| sequence.description.as_str()).collect()
    }

    #[getter]
    fn lengths(&self) -> Vec<usize> {
        self.inner.sequences.iter().map(|sequence| sequence.bases.len()).collect()
    }

    #[getter]
    fn circular(&self) -> Vec<bool> {
        self.inner.sequences.iter().map(|sequence| sequence.circular).collect()
    }

    fn sequence<'py>(&self, py: Python<'py>, id: &str) -> PyResult<Bound<'py, PyBytes>> {
        let at = self.inner.index(id).ok_or_else(|| PyKeyError::new_err(id.to_owned()))?;
        Ok(PyBytes::new(py, &self.inner.sequences[at].bases))
    }
}

/// A gene of an annotation.
#[pyclass(name = "Gene", module = "genet5._core", frozen)]
pub struct PyGene {
    annotation: Arc<Annotation>,
    at: usize,
}

impl PyGene {
    fn gene(&self) -> &Gene {
        &self.annotation.genes[self.at]
    }
}

fn flag_names(flags: crate::gene::Flags) -> Vec<&'static str> {
    [
        (flags.pseudogene, "pseudogene"),
        (flags.mobile_element, "mobile_element"),
        (flags.slippage, "slippage"),
        (flags.selenoprotein, "selenoprotein"),
        (flags.trans_splicing, "trans_splicing"),
        (flags.canonical, "canonical"),
    ]
    .into_iter()
    .filter_map(|(set, name)| set.then_some(name))
    .collect()
}

#[pymethods]
impl PyGene {
    fn __repr__(&self) -> String {
        let gene = self.gene();
        let (start, end) = (gene.span.start, gene.span.end);
        format!("<Gene {} {}:{start}-{end} {}>", gene.id, self.seqid(), gene.strand.symbol())
    }

    #[getter]
    fn id(&self) -> &str {
        &self.gene().id
    }

    #[getter]
    fn name(&self) -> Option<&str> {
        self.gene().name.as_deref()
    }

    #[getter]
    fn seqid(&self) -> &str {
        &self.annotation.seqids[self.gene().seqid as usize]
    }

    #[getter]
    fn start(&self) -> u64 {
        self.gene().span.start
    }

    #[getter]
    fn end(&self) -> u64 {
        self.gene().span.end
    }

    #[getter]
    fn strand(&self) -> char {
        self.gene().strand.symbol()
    }

    #[getter]
    fn biotype(&self) -> &str {
        &self.gene().biotype
    }

    #[getter]
    fn score(&self) -> Option<f32> {
        self.gene().score
    }

    #[getter]
    fn flags(&self) -> Vec<&'static str> {
        flag_names(self.gene().flags)
    }

    #[getter]
    fn transcripts(&self) -> Vec<PyTranscript> {
        (0..self.gene().transcripts.len())
            .map(|i| PyTranscript { annotation: Arc::clone(&self.annotation), gene: self.at, at: i })
            .collect()
    }
}

/// A transcript of a gene.
#[pyclass(name = "Transcript", module = "genet5._core", frozen)]
pub struct PyTranscript {
    annotation: Arc<Annotation>,
    gene: usize,
    at: usize,
}

impl PyTranscript {
    fn transcript(&self) -> &Transcript {
        &self.annotation.genes[self.gene].transcripts[self.at]
    }
}

fn pairs(parts: &[Interval]) -> Vec<(u64, u64)> {
    parts.iter().map(|part| (part.start, part.end)).collect()
}

#[pymethods]
impl PyTranscript {
    fn __repr__(&self) -> String {
        let transcript = self.transcript();
        format!("<Transcript {} of {} exons, {}>", transcript.id, transcript.exons.len(), transcript.biotype)
    }

    #[getter]
    fn id(&self) -> &str {
        &self.transcript().id
    }

    #[getter]
    fn gene_id(&self) -> &str {
        &self.annotation.genes[self.gene].id
    }

    #[getter]
    fn strand(&self) -> char {
        self.annotation.genes[self.gene].strand.symbol()
    }

    #[getter]
    fn biotype(&self) -> &str {
        &self.transcript().biotype
    }

    #[getter]
    fn exons(&self) -> Vec<(u64, u64)> {
        pairs(&self.transcript().exons)
    }

    #[getter]
    fn cds(&self) -> Vec<(u64, u64)> {
        pairs(&self.transcript().cds)
    }

    #[getter]
    fn cds_phase(&self) -> u8 {
        self.transcript().cds_phase
    }

    #[getter]
    fn partial_5(&self) -> bool {
        self.transcript().partial_5
    }

    #[getter]
    fn partial_3(&self) -> bool {
        self.transcript().partial_3
    }

    #[getter]
    fn score(&self) -> Option<f32> {
        self.transcript().score
    }

    #[getter]
    fn flags(&self) -> Vec<&'static str> {
        flag_names(self.transcript().flags)
    }
}

/// Gene models on a list of sequences.
#[pyclass(name = "Annotation", module = "genet5._core", frozen)]
pub struct PyAnnotation {
    pub inner: Arc<Annotation>,
}

impl PyAnnotation {
    pub fn new(annotation: Annotation) -> Self {
        PyAnnotation { inner: Arc::new(annotation) }
    }

    fn write_sequences(
        &self,
        py: Python<'_>,
        path: PathBuf,
        genome: &PyGenome,
        what: Sequences,
        codes: &Codes,
    ) -> PyResult<()> {
        Ok(py.detach(|| writer::write_fasta(&self.inner, &genome.inner, path, what, codes))?)
    }
}

/// The number of threads that is asked for, else the cores that the process may use.
fn threads_of(threads: Option<usize>) -> Result<usize, Error> {
    match threads {
        Some(0) => Err(Error::input("threads is 0; give at least 1")),
        Some(threads) => Ok(threads),
        None => Ok(cores()),
    }
}

fn codes_of(genetic_code: Option<u32>, codes: Option<HashMap<String, u32>>) -> Codes {
    Codes { default: genetic_code, by_seqid: codes.unwrap_or_default().into_iter().collect() }
}

#[pymethods]
impl PyAnnotation {
    #[staticmethod]
    #[pyo3(signature = (path, lenient=false, threads=None))]
    fn read(py: Python<'_>, path: PathBuf, lenient: bool, threads: Option<usize>) -> PyResult<Self> {
        let threads = threads_of(threads)?;
        Ok(PyAnnotation::new(py.detach(|| annotation::read_on(threads, &path, Options { lenient }))?))
    }

    fn __len__(&self) -> usize {
        self.inner.genes.len()
    }

    fn __getitem__(&self, index: isize) -> PyResult<PyGene> {
        let n = self.inner.genes.len() as isize;
        let at = if index < 0 { index + n } else { index };
        if !(0..n).contains(&at) {
            return Err(PyIndexError::new_err(format!("gene {index} of {n}")));
        }
        Ok(PyGene { annotation: Arc::clone(&self.inner), at: at as usize })
    }

    fn __repr__(&self) -> String {
        format!("<Annotation of {} genes on {} sequences>", self.inner.genes.len(), self.inner.seqids.len())
    }

    #[getter]
    fn genes(&self) -> Vec<PyGene> {
        (0..self.inner.genes.len()).map(|at| PyGene { annotation: Arc::clone(&self.inner), at }).collect()
    }

    #[getter]
    fn seqids(&self) -> Vec<&str> {
        self.inner.seqids.iter().map(String::as_str).collect()
    }

    #[getter]
    fn lengths(&self) -> Vec<Option<u64>> {
        self.inner.lengths.clone()
    }

    #[getter]
    fn circular(&self) -> Vec<bool> {
        self.inner.circular.clone()
    }

    #[getter]
    fn genetic_codes(&self) -> Vec<Option<u32>> {
        self.inner.genetic_codes.clone()
    }

    #[getter]
    fn report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let report = &self.inner.report;
        let dict = PyDict::new(py);
        dict.set_item("counts", &report.counts)?;
        dict.set_item("examples", &report.examples)?;
        dict.set_item("unknown_biotypes", &report.unknown_biotypes)?;
        Ok(dict)
    }

    #[pyo3(signature = (genome, lenient=false))]
    fn check_against(&self, py: Python<'_>, genome: &PyGenome, lenient: bool) -> PyResult<Self> {
        let fitted = py.detach(|| {
            let mut fitted = (*self.inner).clone();
            fitted.check_against(&genome.inner, Options { lenient }).map(|()| fitted)
        })?;
        Ok(PyAnnotation::new(fitted))
    }

    #[pyo3(signature = (path, source="GeneT5", threads=None))]
    fn write_gff3(&self, py: Python<'_>, path: PathBuf, source: &str, threads: Option<usize>) -> PyResult<()> {
        let threads = threads_of(threads)?;
        Ok(py.detach(|| writer::write_gff3(threads, &self.inner, path, source))?)
    }

    #[pyo3(signature = (path, genome))]
    fn write_cds(&self, py: Python<'_>, path: PathBuf, genome: &PyGenome) -> PyResult<()> {
        self.write_sequences(py, path, genome, Sequences::Cds, &Codes::default())
    }

    #[pyo3(signature = (path, genome, genetic_code=None, codes=None))]
    fn write_proteins(
        &self,
        py: Python<'_>,
        path: PathBuf,
        genome: &PyGenome,
        genetic_code: Option<u32>,
        codes: Option<HashMap<String, u32>>,
    ) -> PyResult<()> {
        self.write_sequences(py, path, genome, Sequences::Protein, &codes_of(genetic_code, codes))
    }

    #[pyo3(signature = (path, genome))]
    fn write_transcripts(&self, py: Python<'_>, path: PathBuf, genome: &PyGenome) -> PyResult<()> {
        self.write_sequences(py, path, genome, Sequences::Transcript, &Codes::default())
    }

    #[pyo3(signature = (genome=None, genetic_code=None, codes=None))]
    fn stats(
        &self,
        py: Python<'_>,
        genome: Option<&PyGenome>,
        genetic_code: Option<u32>,
        codes: Option<HashMap<String, u32>>,
    ) -> PyResult<String> {
        let codes = codes_of(genetic_code, codes);
        let found = py.detach(|| stats::of(&self.inner, genome.map(|genome| &*genome.inner), &codes))?;
        serde_json::to_string(&found).map_err(|error| Error::input(error.to_string()).into())
    }

    /// One row a transcript, column by column.
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let rows = || {
            self.inner.genes.iter().flat_map(|gene| gene.transcripts.iter().map(move |transcript| (gene, transcript)))
        };
        let strings = |get: &dyn Fn(&Gene, &Transcript) -> String| -> Vec<String> {
            rows().map(|(gene, transcript)| get(gene, transcript)).collect()
        };
        let numbers = |get: &dyn Fn(&Gene, &Transcript) -> i64| {
            PyArray1::from_iter(py, rows().map(|(gene, transcript)| get(gene, transcript)))
        };
        let parts = |get: &dyn Fn(&Transcript) -> &[Interval]| {
            let mut offsets = vec![0i32];
            let (mut starts, mut ends) = (Vec::new(), Vec::new());
            for (_, transcript) in rows() {
                for part in get(transcript) {
                    starts.push(part.start as i64);
                    ends.push(part.end as i64);
                }
                offsets.push(starts.len() as i32);
            }
            (PyArray1::from_vec(py, offsets), PyArray1::from_vec(py, starts), PyArray1::from_vec(py, ends))
        };
        let dict = PyDict::new(py);
        dict.set_item("seqid", strings(&|gene, _| self.inner.seqids[gene.seqid as usize].clone()))?;
        dict.set_item("gene_id", strings(&|gene, _| gene.id.clone()))?;
        dict.set_item("transcript_id", strings(&|_, transcript| transcript.id.clone()))?;
        dict.set_item("gene_biotype", strings(&|gene, _| gene.biotype.clone()))?;
        dict.set_item("biotype", strings(&|_, transcript| transcript.biotype.clone()))?;
        dict.set_item("strand", strings(&|gene, _| gene.strand.symbol().to_string()))?;
        let end = |parts: &[Interval]| parts.last().map_or(0, |part| part.end as i64);
        let start = |parts: &[Interval]| parts.first().map_or(0, |part| part.start as i64);
        dict.set_item("start", numbers(&|_, transcript| start(&transcript.exons)))?;
        dict.set_item("end", numbers(&|_, transcript| end(&transcript.exons)))?;
        dict.set_item("cds_phase", numbers(&|_, transcript| i64::from(transcript.cds_phase)))?;
        dict.set_item("partial_5", numbers(&|_, transcript| i64::from(transcript.partial_5)))?;
        dict.set_item("partial_3", numbers(&|_, transcript| i64::from(transcript.partial_3)))?;
        dict.set_item("exons", parts(&|transcript| &transcript.exons))?;
        dict.set_item("cds", parts(&|transcript| &transcript.cds))?;
        dict.set_item("flags", strings(&|_, transcript| flag_names(transcript.flags).join(",")))?;
        Ok(dict)
    }

    /// The Arrow C stream interface, by way of pyarrow.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        slf: &Bound<'py, Self>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let table = slf.py().import("genet5.annotation")?.call_method1("to_arrow", (slf,))?;
        table.call_method1("__arrow_c_stream__", (requested_schema,))
    }
}

/// Reverse complement of bases; keeps case, knows IUPAC letters.
#[pyfunction]
fn reverse_complement<'py>(py: Python<'py>, bases: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &dna::reverse_complement(bases))
}

/// Protein of a coding sequence.
#[pyfunction]
#[pyo3(signature = (cds, genetic_code=1, first_is_start=false))]
fn translate<'py>(
    py: Python<'py>,
    cds: &[u8],
    genetic_code: u32,
    first_is_start: bool,
) -> PyResult<Bound<'py, PyBytes>> {
    let code = GeneticCode::by_number(genetic_code)
        .ok_or_else(|| Error::input(format!("there is no genetic code {genetic_code}")))?;
    Ok(PyBytes::new(py, &code.translate(cds, first_is_start)))
}

/// Names of the biotypes in the order of their tokens.
#[pyfunction]
fn biotypes() -> Vec<&'static str> {
    annotation::biotype::names().collect()
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyGenome>()?;
    module.add_class::<PyGene>()?;
    module.add_class::<PyTranscript>()?;
    module.add_class::<PyAnnotation>()?;
    module.add_function(wrap_pyfunction!(reverse_complement, module)?)?;
    module.add_function(wrap_pyfunction!(translate, module)?)?;
    module.add_function(wrap_pyfunction!(biotypes, module)?)?;
    Ok(())
}
