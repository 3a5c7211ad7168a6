//! `decode::adaptation` as Python sees it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use numpy::ndarray::{Array2, Array3};
use numpy::{IntoPyArray, PyArray2, PyArray3, PyReadonlyArray3};
use pyo3::prelude::*;

use super::annotation::PyAnnotation;
use super::decode::{by_number, rows};
use crate::decode::adaptation::{Factors, GenomeDecoder, Learned};
use crate::decode::parameters::GeneParameters;

/// A genome's sequences decoded as one, with what its own genes say.
#[pyclass(name = "GenomeDecoder", module = "genet5._core", frozen)]
struct PyGenomeDecoder {
    inner: Mutex<GenomeDecoder>,
}

/// What a round of learning found.
#[pyclass(name = "Refit", module = "genet5._core", frozen)]
struct PyRefit {
    learned: Learned,
}

#[pymethods]
impl PyRefit {
    #[getter]
    fn genes(&self) -> usize {
        self.learned.genes
    }

    #[getter]
    fn motifs(&self) -> Vec<(String, f64, usize)> {
        self.learned.motifs.iter().map(|motif| (motif.consensus.clone(), motif.share, motif.spacer)).collect()
    }
}

impl PyGenomeDecoder {
    fn lock(&self) -> MutexGuard<'_, GenomeDecoder> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PyGenomeDecoder {
    #[new]
    #[pyo3(signature = (parameters_json, hexamers=None, starts=None, sharpness=None))]
    fn new(
        parameters_json: &str,
        hexamers: Option<f64>,
        starts: Option<f64>,
        sharpness: Option<f64>,
    ) -> PyResult<Self> {
        let mut decoder = GenomeDecoder::new(GeneParameters::from_json(parameters_json)?)?;
        let factors = decoder.factors;
        decoder.factors = Factors {
            hexamers: hexamers.unwrap_or(factors.hexamers),
            starts: starts.unwrap_or(factors.starts),
            sharpness: sharpness.unwrap_or(factors.sharpness),
        };
        Ok(PyGenomeDecoder { inner: Mutex::new(decoder) })
    }

    #[pyo3(signature = (seqid, sequence, genetic_code=11, circular=false))]
    fn add(
        &self,
        py: Python<'_>,
        seqid: String,
        sequence: &[u8],
        genetic_code: u32,
        circular: bool,
    ) -> PyResult<usize> {
        let code = by_number(genetic_code)?;
        Ok(py.detach(|| self.lock().add(seqid, sequence, code, circular)))
    }

    fn push(
        &self,
        py: Python<'_>,
        number: usize,
        classes: PyReadonlyArray3<'_, f32>,
        signals: PyReadonlyArray3<'_, f32>,
    ) -> PyResult<()> {
        let (classes, signals) = (rows(&classes, "classes")?, rows(&signals, "signals")?);
        py.detach(|| self.lock().push(number, classes, signals))?;
        Ok(())
    }

    fn forget_evidence(&self, py: Python<'_>) {
        py.detach(|| self.lock().forget_evidence());
    }

    fn refit(&self, py: Python<'_>) -> PyResult<Option<PyRefit>> {
        let learned = py.detach(|| self.lock().refit())?;
        Ok(learned.map(|learned| PyRefit { learned }))
    }

    #[allow(clippy::type_complexity)]
    fn labels<'py>(
        &self,
        py: Python<'py>,
        number: usize,
    ) -> PyResult<(Bound<'py, PyArray2<i8>>, Bound<'py, PyArray3<i8>>)> {
        let (classes, signals) = py.detach(|| self.lock().labels(number))?;
        let bases = classes.len() / 2;
        let classes = Array2::from_shape_vec((bases, 2), classes).expect("two labels a base");
        let signals = Array3::from_shape_vec((bases, 2, 6), signals).expect("twelve labels a base");
        Ok((classes.into_pyarray(py), signals.into_pyarray(py)))
    }

    #[pyo3(signature = (min_score=0.0))]
    fn annotation(&self, py: Python<'_>, min_score: f32) -> PyResult<PyAnnotation> {
        let annotation = py.detach(|| self.lock().annotation(min_score))?;
        Ok(PyAnnotation::new(annotation))
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyGenomeDecoder>()?;
    module.add_class::<PyRefit>()?;
    Ok(())
}
