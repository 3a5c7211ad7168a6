//! `bake` and `windows` as Python sees them. Configurations and reports cross as JSON: they are small, and each side
//! checks them in its own types.

use std::path::PathBuf;
use std::sync::Mutex;

use pyo3::prelude::*;
use sha2::{Digest, Sha256};

use crate::bake::{self, Config};
use crate::error::{Error, Result};
use crate::gene::Interval;
use crate::{tables, windows};

/// Checks a configuration without reading any file.
#[pyfunction]
fn bake_check(config: &str) -> PyResult<()> {
    Ok(Config::from_json(config).map(drop)?)
}

/// JSON of what a species needs before it can be baked: `missing_builtin`, `missing_biotypes`, `seqids`.
#[pyfunction]
fn bake_scan(py: Python<'_>, config: &str) -> PyResult<String> {
    let config = Config::from_json(config)?;
    Ok(py.detach(|| bake::scan(&config))?.to_string())
}

/// A species read as a whole to learn what it needs, from which one `bake_species` can go on.
#[pyclass(frozen, module = "genet5._core")]
struct BakeScan {
    scan: Mutex<Option<bake::Scan>>,
    /// The JSON that `bake_scan` gives.
    #[pyo3(get)]
    needs: String,
}

#[pymethods]
impl BakeScan {
    #[new]
    fn new(py: Python<'_>, config: &str) -> PyResult<Self> {
        let config = Config::from_json(config)?;
        let scan = py.detach(|| bake::read(&config))?;
        let needs = scan.needs().to_string();
        Ok(BakeScan { scan: Mutex::new(Some(scan)), needs })
    }
}

/// JSON of what a bake would make.
#[pyfunction]
fn bake_plan(py: Python<'_>, config: &str) -> PyResult<String> {
    let config = Config::from_json(config)?;
    Ok(py.detach(|| bake::plan_only(&config))?.to_string())
}

/// Bakes a species and returns the report as JSON. `progress(bases, total)` is called now and then; Ctrl-C stops.
/// `scan`, of the same species, spares reading it again.
#[pyfunction]
#[pyo3(signature = (config, progress=None, scan=None))]
fn bake_species(
    py: Python<'_>,
    config: &str,
    progress: Option<Py<PyAny>>,
    scan: Option<Py<BakeScan>>,
) -> PyResult<String> {
    let config = Config::from_json(config)?;
    let kept = scan.and_then(|scan| scan.get().scan.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take());
    let raised = Mutex::new(None);
    let report = py.detach(|| {
        let scan = kept.map_or_else(|| bake::read(&config), Ok)?;
        bake::bake(&config, scan, &|done, total| {
            let called = Python::attach(|py| {
                py.check_signals()?;
                match &progress {
                    Some(progress) => progress.call1(py, (done, total)).map(drop),
                    None => Ok(()),
                }
            });
            called.map_err(|exception| {
                if let Ok(mut raised) = raised.lock() {
                    *raised = Some(exception);
                }
                Error::input("interrupted")
            })
        })
    });
    match raised.into_inner() {
        Ok(Some(exception)) => Err(exception),
        _ => Ok(report?.to_string()),
    }
}

/// JSON of a TOML file's tables.
#[pyfunction]
fn read_toml(path: PathBuf) -> PyResult<String> {
    Ok(tables::read(path)?)
}

/// SHA-256 in hexadecimal digits.
#[pyfunction]
fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Windows of one sequence: `(start, length)`. `genes` are `(start, end)`.
#[pyfunction]
fn windows_of(
    py: Python<'_>,
    length: u64,
    circular: bool,
    genes: Vec<(u64, u64)>,
    sizes: (u64, u64, Option<u64>),
    removed: Vec<(u64, u64)>,
) -> PyResult<Vec<(u64, u64)>> {
    let sizes = windows::Sizes::new(sizes.0, sizes.1, sizes.2)?;
    let genes = intervals(&genes, length, circular)?;
    let removed = intervals(&removed, length, circular)?;
    Ok(py.detach(|| {
        windows::stretches(length, circular, &removed)
            .into_iter()
            .flat_map(|stretch| windows::tile_sequence(length, circular, stretch, &genes, sizes))
            .map(|window| (window.start, window.len()))
            .collect()
    }))
}

fn intervals(pairs: &[(u64, u64)], length: u64, circular: bool) -> Result<Vec<Interval>> {
    pairs
        .iter()
        .map(|&(start, end)| {
            let most = if circular { start + length } else { length };
            if start >= length || start >= end || end > most {
                return Err(Error::input(format!(
                    "the interval {start} to {end} does not lie on a sequence of {length} bp"
                )));
            }
            Ok(Interval::new(start, end))
        })
        .collect()
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<BakeScan>()?;
    module.add_function(wrap_pyfunction!(bake_check, module)?)?;
    module.add_function(wrap_pyfunction!(bake_scan, module)?)?;
    module.add_function(wrap_pyfunction!(bake_plan, module)?)?;
    module.add_function(wrap_pyfunction!(bake_species, module)?)?;
    module.add_function(wrap_pyfunction!(read_toml, module)?)?;
    module.add_function(wrap_pyfunction!(sha256, module)?)?;
    module.add_function(wrap_pyfunction!(windows_of, module)?)?;
    Ok(())
}
