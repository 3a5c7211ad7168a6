//! Arrays whose memory is used again: fresh memory costs more than what a batch writes into it, since the system hands
//! out and clears each page when it is first touched.

use std::sync::{Mutex, MutexGuard};

use numpy::{Element, PyArray1, PyArrayMethods, PyReadwriteArray1};
use pyo3::prelude::*;
use pyo3::types::PySlice;

/// Arrays of one type that were handed out. Each is handed out again only when nothing else refers to it: whoever holds an
/// array, a tensor or a view over its memory does.
pub struct Reused<T> {
    arrays: Mutex<Vec<Py<PyArray1<T>>>>,
}

/// Arrays that are kept at most. Where more are in use at once, the oldest are left to those who hold them.
const MOST_ARRAYS: usize = 16;

impl<T> Default for Reused<T> {
    fn default() -> Self {
        Reused { arrays: Mutex::default() }
    }
}

impl<T> Reused<T> {
    /// Held for a moment, while no Python code runs.
    fn lock(&self) -> MutexGuard<'_, Vec<Py<PyArray1<T>>>> {
        self.arrays.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl<T: Element> Reused<T> {
    /// `count` values to write, whatever stands there from before; none where they are not wanted.
    pub fn take<'py>(&self, py: Python<'py>, wanted: bool, count: usize) -> Option<Lent<'py, T>> {
        if !wanted {
            return None;
        }
        // Not one of more than twice the size: a small part of it would hold all of it.
        let fits = |array: &Py<PyArray1<T>>| {
            let array = array.bind(py);
            is_free(array) && (count..=2 * count).contains(&array.len().unwrap_or(0))
        };
        let found = {
            let mut arrays = self.lock();
            arrays.iter().position(fits).map(|place| arrays.remove(place))
        };
        let array = match found {
            Some(array) => array.into_bound(py),
            // A little more than is needed, so that batches of about the same size share it.
            None => PyArray1::zeros(py, count + count / 8, false),
        };
        Some(Lent { array: array.readwrite(), count })
    }

    /// Hands out what was written, and keeps the memory for later.
    pub fn put<'py>(&self, lent: Option<Lent<'py, T>>) -> PyResult<Option<Bound<'py, PyArray1<T>>>> {
        let Some(Lent { array, count }) = lent else { return Ok(None) };
        let whole = (**array).clone();
        drop(array);
        let view = whole.get_item(PySlice::new(whole.py(), 0, count as isize, 1))?.cast_into()?;
        let oldest = {
            let mut arrays = self.lock();
            arrays.push(whole.unbind());
            (arrays.len() > MOST_ARRAYS).then(|| arrays.remove(0))
        };
        drop(oldest);
        Ok(Some(view))
    }
}

/// Values that nobody else sees until they are put back.
pub struct Lent<'py, T: Element> {
    array: PyReadwriteArray1<'py, T>,
    count: usize,
}

/// What is to be written; empty where nothing is wanted.
pub fn values<'a, T: Element>(lent: &'a mut Option<Lent<'_, T>>) -> PyResult<&'a mut [T]> {
    Ok(match lent {
        Some(Lent { array, count }) => &mut array.as_slice_mut()?[..*count],
        None => &mut [],
    })
}

/// Whether our reference is the only one.
fn is_free<T>(array: &Bound<'_, PyArray1<T>>) -> bool {
    // Deprecated for what it cannot say where threads run without a common lock: here they have one, and what replaces
    // it is an unsafe function.
    #[allow(deprecated)]
    let references = array.get_refcnt();
    references == 1
}
