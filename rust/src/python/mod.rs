//! The PyO3 boundary and nothing else: argument conversion, GIL release, error mapping. One file a topic, each with
//! a `register` function.

mod adaptation;
mod annotation;
mod bake;
mod compare;
mod decode;
mod errors;
mod language;
mod packed;
mod reused;
mod tokenizer;

use pyo3::prelude::*;

#[pymodule(name = "_core", gil_used = true)]
fn core_module(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    adaptation::register(module)?;
    annotation::register(module)?;
    bake::register(module)?;
    compare::register(module)?;
    decode::register(module)?;
    language::register(module)?;
    packed::register(module)?;
    tokenizer::register(module)?;
    Ok(())
}
