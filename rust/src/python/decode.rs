//! `decode` as Python sees it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use numpy::{PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::prelude::*;

use super::annotation::{PyAnnotation, PyGenome};
use crate::annotation::Annotation;
use crate::baseline;
use crate::decode::fit;
use crate::decode::gene_model;
use crate::decode::parameters::GeneParameters;
use crate::decode::priors::PriorCounts;
use crate::decode::{self, Decoder};
use crate::dna::GeneticCode;
use crate::error::{Error, Result};
use crate::gene::{Interval, Strand};

/// Turns evidence into gene models with one set of parameters.
#[pyclass(name = "GeneDecoder", module = "genet5._core", frozen)]
struct PyGeneDecoder {
    parameters: Arc<GeneParameters>,
}

/// What is known of a sequence while its evidence arrives.
struct Stream {
    decoder: Decoder,
    parameters: Arc<GeneParameters>,
    seqid: String,
    length: u64,
    circular: bool,
    code: u32,
}

impl Stream {
    fn new(
        parameters: &Arc<GeneParameters>,
        seqid: String,
        sequence: &[u8],
        genetic_code: u32,
        circular: bool,
    ) -> Result<Stream> {
        let code = by_number(genetic_code)?;
        Ok(Stream {
            decoder: Decoder::new(parameters.clone(), code, sequence, circular)?.with_posteriors(),
            parameters: parameters.clone(),
            seqid,
            length: sequence.len() as u64,
            circular,
            code: genetic_code,
        })
    }

    fn finish(self, min_score: f32) -> Result<Annotation> {
        let calibration = self.parameters.calibration;
        let mut models = self.decoder.finish()?;
        models.retain(|model| calibration.probability(model.score) >= min_score);
        let score = |model: &gene_model::GeneModel| Some(calibration.probability(model.score));
        Ok(gene_model::annotation(&self.seqid, self.length, self.circular, self.code, models, score))
    }
}

pub(super) fn by_number(genetic_code: u32) -> Result<&'static GeneticCode> {
    GeneticCode::by_number(genetic_code)
        .ok_or_else(|| Error::input(format!("no genetic code {genetic_code}: NCBI has 1 to 6, 9 to 16 and 21 to 33")))
}

/// The values of a C-contiguous `[bases, 2, 6]` array.
pub(super) fn rows<'a>(array: &'a PyReadonlyArray3<'_, f32>, name: &str) -> Result<&'a [f32]> {
    let shape = array.shape();
    if shape[1] != 2 || shape[2] != 6 {
        return Err(Error::input(format!("{name} has the shape {shape:?}; [bases, 2, 6] is needed")));
    }
    array.as_slice().map_err(|_| Error::input(format!("{name} is not C-contiguous: use numpy.ascontiguousarray")))
}

#[pymethods]
impl PyGeneDecoder {
    #[new]
    fn new(parameters_json: &str) -> PyResult<Self> {
        Ok(PyGeneDecoder { parameters: Arc::new(GeneParameters::from_json(parameters_json)?) })
    }

    #[getter]
    fn parameters(&self) -> String {
        self.parameters.to_json()
    }

    #[getter]
    fn program(&self) -> &'static str {
        match self.parameters.program {
            crate::decode::parameters::Program::Spliced => "spliced",
            crate::decode::parameters::Program::Prokaryotes => "prokaryotes",
        }
    }

    #[pyo3(signature = (seqid, sequence, classes, signals, genetic_code=1, circular=false, min_score=0.0))]
    #[allow(clippy::too_many_arguments)]
    fn decode(
        &self,
        py: Python<'_>,
        seqid: String,
        sequence: &[u8],
        classes: PyReadonlyArray3<'_, f32>,
        signals: PyReadonlyArray3<'_, f32>,
        genetic_code: u32,
        circular: bool,
        min_score: f32,
    ) -> PyResult<PyAnnotation> {
        let (classes, signals) = (rows(&classes, "classes")?, rows(&signals, "signals")?);
        let annotation = py.detach(|| -> Result<Annotation> {
            let mut stream = Stream::new(&self.parameters, seqid, sequence, genetic_code, circular)?;
            stream.decoder.push(classes, signals)?;
            stream.finish(min_score)
        })?;
        Ok(PyAnnotation::new(annotation))
    }

    #[pyo3(signature = (seqid, sequence, classes, signals, start, wanted=4, genetic_code=1))]
    #[allow(clippy::too_many_arguments)]
    fn alternatives(
        &self,
        py: Python<'_>,
        seqid: String,
        sequence: &[u8],
        classes: PyReadonlyArray3<'_, f32>,
        signals: PyReadonlyArray3<'_, f32>,
        start: usize,
        wanted: usize,
        genetic_code: u32,
    ) -> PyResult<Vec<(f64, PyAnnotation)>> {
        let (classes, signals) = (rows(&classes, "classes")?, rows(&signals, "signals")?);
        let found = py.detach(|| -> Result<Vec<(f64, Annotation)>> {
            let code = by_number(genetic_code)?;
            let found = decode::alternatives_of(&self.parameters, code, sequence, start, classes, signals, wanted)?;
            let length = sequence.len() as u64;
            Ok(found
                .into_iter()
                .map(|one| {
                    let annotation = gene_model::annotation(&seqid, length, false, genetic_code, one.genes, |_| None);
                    (one.score, annotation)
                })
                .collect())
        })?;
        Ok(found.into_iter().map(|(score, annotation)| (score, PyAnnotation::new(annotation))).collect())
    }

    #[pyo3(signature = (seqid, sequence, genetic_code=1, circular=false))]
    fn stream(
        &self,
        py: Python<'_>,
        seqid: String,
        sequence: &[u8],
        genetic_code: u32,
        circular: bool,
    ) -> PyResult<PyGeneStream> {
        let stream = py.detach(|| Stream::new(&self.parameters, seqid, sequence, genetic_code, circular))?;
        Ok(PyGeneStream { inner: Mutex::new(Some(stream)) })
    }
}

/// Decodes one sequence whose evidence arrives in chunks, from its first base to its last.
#[pyclass(name = "GeneStream", module = "genet5._core", frozen)]
struct PyGeneStream {
    inner: Mutex<Option<Stream>>,
}

#[pymethods]
impl PyGeneStream {
    fn push(
        &self,
        py: Python<'_>,
        classes: PyReadonlyArray3<'_, f32>,
        signals: PyReadonlyArray3<'_, f32>,
    ) -> PyResult<()> {
        let (classes, signals) = (rows(&classes, "classes")?, rows(&signals, "signals")?);
        py.detach(|| match self.lock().as_mut() {
            Some(stream) => stream.decoder.push(classes, signals),
            None => Err(finished()),
        })?;
        Ok(())
    }

    #[pyo3(signature = (min_score=0.0))]
    fn finish(&self, py: Python<'_>, min_score: f32) -> PyResult<PyAnnotation> {
        let annotation = py.detach(|| self.lock().take().ok_or_else(finished)?.finish(min_score))?;
        Ok(PyAnnotation::new(annotation))
    }
}

impl PyGeneStream {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Stream>> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn finished() -> Error {
    Error::input("this sequence was finished before; start a new stream")
}

/// JSON of the default parameters of a taxon.
#[pyfunction]
fn default_gene_parameters(taxon: &str) -> PyResult<String> {
    Ok(GeneParameters::default_for(taxon)?.to_json())
}

/// The parameters with priors from counts.
#[pyfunction]
fn gene_parameters_with_priors(parameters_json: &str, counts_json: &str) -> PyResult<String> {
    let counts = PriorCounts::from_json(counts_json)?;
    Ok(GeneParameters::from_json(parameters_json)?.with_priors(&counts).to_json())
}

/// A region of the validation genomes: bases, evidence, genes and genetic code.
type Region<'py> = (Vec<u8>, PyReadonlyArray3<'py, f32>, PyReadonlyArray3<'py, f32>, Vec<RegionGene>, u32);

/// Strand, and the coding sequence of each isoform, region-relative.
type RegionGene = (char, Vec<Vec<(u64, u64)>>);

fn reference(genes: Vec<RegionGene>, length: u64) -> Result<Annotation> {
    let mut models = Vec::new();
    for (strand, chains) in genes {
        let strand = match strand {
            '+' => Strand::Forward,
            '-' => Strand::Reverse,
            other => return Err(Error::input(format!("a gene's strand is '{other}'; '+' or '-' is needed"))),
        };
        let mut isoforms = Vec::new();
        for chain in chains {
            let sorted = chain.windows(2).all(|pair| pair[0].1 <= pair[1].0);
            if chain.is_empty() || !sorted || chain.iter().any(|&(a, b)| a >= b || b > length) {
                return Err(Error::input(format!(
                    "a gene's coding parts {chain:?} are not sorted, apart, and inside the region of {length} bp"
                )));
            }
            isoforms.push(chain.into_iter().map(|(start, end)| Interval::new(start, end)).collect());
        }
        models.push((strand, isoforms));
    }
    Ok(fit::reference(models))
}

/// Fits weights and calibration to validation regions; returns the parameters' JSON.
#[pyfunction]
#[pyo3(signature = (regions, parameters_json, rounds=0, threads=0, progress=None))]
fn fit_gene_parameters(
    py: Python<'_>,
    regions: Vec<Region<'_>>,
    parameters_json: &str,
    rounds: usize,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<String> {
    let initial = GeneParameters::from_json(parameters_json)?;
    let mut examples = Vec::new();
    for (sequence, classes, signals, genes, genetic_code) in &regions {
        examples.push(fit::Example {
            sequence,
            classes: rows(classes, "classes")?,
            signals: rows(signals, "signals")?,
            code: by_number(*genetic_code)?,
            reference: reference(genes.clone(), sequence.len() as u64)?,
        });
    }
    let mut failure = None;
    let fitted = py.detach(|| {
        fit::fit(&examples, &initial, fit::Effort { rounds, threads }, |step| {
            let told = Python::attach(|py| -> PyResult<()> {
                py.check_signals()?;
                if let Some(progress) = &progress {
                    progress.call1(py, (step.round, step.evaluations, step.objective, step.gene_f1))?;
                }
                Ok(())
            });
            failure = told.err();
            failure.is_none()
        })
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(fitted?.to_json()),
    }
}

/// Counts for the priors from an annotation's genes (on `seqids` only, where given).
#[pyfunction]
#[pyo3(signature = (annotation, genome, genetic_code=1, codes=None, seqids=None))]
fn collect_priors(
    py: Python<'_>,
    annotation: &PyAnnotation,
    genome: &PyGenome,
    genetic_code: u32,
    codes: Option<HashMap<String, u32>>,
    seqids: Option<Vec<String>>,
) -> PyResult<String> {
    let counts = py.detach(|| -> Result<PriorCounts> {
        let annotation = &annotation.inner;
        let mut counts = PriorCounts::default();
        for (number, seqid) in annotation.seqids.iter().enumerate() {
            let Some(at) = genome.inner.index(seqid) else { continue };
            if seqids.as_ref().is_some_and(|wanted| !wanted.contains(seqid)) {
                continue;
            }
            let stated = codes.as_ref().and_then(|codes| codes.get(seqid).copied());
            let code = by_number(stated.or(annotation.genetic_codes[number]).unwrap_or(genetic_code))?;
            let genes = annotation.genes.iter().filter(|gene| gene.seqid as usize == number);
            counts.collect(genes, &genome.inner.sequences[at].bases, code);
        }
        Ok(counts)
    })?;
    Ok(counts.to_json())
}

/// Counts of several parts of the data, added up.
#[pyfunction]
fn merge_priors(counts_json: Vec<String>) -> PyResult<String> {
    let mut all = PriorCounts::default();
    for text in &counts_json {
        all.merge(&PriorCounts::from_json(text)?);
    }
    Ok(all.to_json())
}

/// The longest-ORF baseline's annotation of a genome.
#[pyfunction]
#[pyo3(signature = (genome, min_length=300, genetic_code=1, codes=None))]
fn longest_orfs(
    py: Python<'_>,
    genome: &PyGenome,
    min_length: u64,
    genetic_code: u32,
    codes: Option<HashMap<String, u32>>,
) -> PyResult<PyAnnotation> {
    let default = by_number(genetic_code)?;
    let mut by_seqid = HashMap::new();
    for (seqid, number) in codes.unwrap_or_default() {
        by_seqid.insert(seqid, by_number(number)?);
    }
    let annotation = py.detach(|| {
        baseline::annotate(&genome.inner, min_length, |seqid| by_seqid.get(seqid).copied().unwrap_or(default))
    });
    Ok(PyAnnotation::new(annotation))
}

/// One annotation of several, in their order.
#[pyfunction]
fn concat_annotations(py: Python<'_>, annotations: Vec<Bound<'_, PyAnnotation>>) -> PyAnnotation {
    let parts: Vec<Arc<Annotation>> = annotations.iter().map(|a| a.get().inner.clone()).collect();
    let all = py.detach(|| gene_model::concat(parts.into_iter().map(|part| Annotation::clone(&part))));
    PyAnnotation::new(all)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyGeneDecoder>()?;
    module.add_class::<PyGeneStream>()?;
    module.add_function(wrap_pyfunction!(default_gene_parameters, module)?)?;
    module.add_function(wrap_pyfunction!(gene_parameters_with_priors, module)?)?;
    module.add_function(wrap_pyfunction!(collect_priors, module)?)?;
    module.add_function(wrap_pyfunction!(fit_gene_parameters, module)?)?;
    module.add_function(wrap_pyfunction!(merge_priors, module)?)?;
    module.add_function(wrap_pyfunction!(longest_orfs, module)?)?;
    module.add_function(wrap_pyfunction!(concat_annotations, module)?)?;
    Ok(())
}
