//! `compare` as Python sees it.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::annotation::PyAnnotation;
use crate::compare::{self, LEVELS, Options};

/// A dict by level with `sn`, `pr`, `f1` (percent), `tp`, `ref` and `pred` (counts).
#[pyfunction]
#[pyo3(signature = (predicted, reference, seqids=None, coding_only=false, strict=false, end_range=100))]
fn compare_annotations<'py>(
    py: Python<'py>,
    predicted: &PyAnnotation,
    reference: &PyAnnotation,
    seqids: Option<Vec<String>>,
    coding_only: bool,
    strict: bool,
    end_range: u64,
) -> PyResult<Bound<'py, PyDict>> {
    let options = Options { end_range, strict, seqids, coding_only };
    let result = py.detach(|| compare::compare(&predicted.inner, &reference.inner, &options));
    let levels = PyDict::new(py);
    for (name, level) in LEVELS.iter().zip(result.levels) {
        let entry = PyDict::new(py);
        entry.set_item("sn", level.sensitivity())?;
        entry.set_item("pr", level.precision())?;
        entry.set_item("f1", level.f1())?;
        entry.set_item("tp", level.reference_found)?;
        entry.set_item("ref", level.reference)?;
        entry.set_item("pred", level.predicted)?;
        levels.set_item(name, entry)?;
    }
    Ok(levels)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("LEVELS", LEVELS.to_vec())?;
    let function = wrap_pyfunction!(compare_annotations, module)?;
    module.add("compare", function)?;
    Ok(())
}
