//! Maps `Error` to the exception classes that `genet5.errors` defines.

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use crate::error::Error;

impl From<Error> for PyErr {
    fn from(error: Error) -> PyErr {
        Python::attach(|py| match to_exception(py, error) {
            Ok(exception) | Err(exception) => exception,
        })
    }
}

fn to_exception(py: Python<'_>, error: Error) -> PyResult<PyErr> {
    let message = error.to_string();
    let classes = py.import("genet5.errors")?;
    Ok(match error {
        Error::Io { path, source } => match source.raw_os_error() {
            Some(errno) => {
                let reason = py.import("os")?.call_method1("strerror", (errno,))?.unbind();
                PyOSError::new_err((errno, reason, path))
            }
            None => PyOSError::new_err(message),
        },
        Error::Format { path, line, .. } => {
            PyErr::from_value(classes.getattr("FormatError")?.call1((message, path, line))?)
        }
        Error::Input(_) => PyErr::from_value(classes.getattr("InputError")?.call1((message,))?),
    })
}
