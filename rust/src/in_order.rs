//! Work in parallel whose results are taken in order.
//!
//! The number of threads is that of the rayon pool which the caller runs on. Outside a pool all is done on the caller's
//! thread: rayon's global pool, which does not survive a fork, is never started.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};

/// The cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs `work` on a rayon pool of `threads` threads; on the caller's, whatever its size, where there is one.
pub fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> Result<T> {
    if rayon::current_thread_index().is_some() {
        return Ok(work());
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| Error::input(format!("cannot start {threads} threads: {error}; give fewer")))?;
    Ok(pool.install(work))
}

struct Line<T, C, B> {
    /// Results whose turn has not come, by the number of their job.
    waiting: BTreeMap<usize, T>,
    next: usize,
    consume: C,
    result: ControlFlow<B>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked ends the scope with its panic; nothing that it left is used.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a result of every job, and hands the results to `consume` in the order of the jobs, one at a time, until it
/// breaks. Jobs are started in order; those after a break may have been started as well.
pub fn in_order<J, T: Send, B: Send>(
    jobs: impl Iterator<Item = J> + Send,
    produce: impl Fn(J) -> T + Sync,
    mut consume: impl FnMut(T) -> ControlFlow<B> + Send,
) -> ControlFlow<B> {
    if rayon::current_thread_index().is_none() || rayon::current_num_threads() == 1 {
        let mut jobs = jobs;
        return jobs.try_for_each(|job| consume(produce(job)));
    }
    let jobs = Mutex::new(jobs.enumerate());
    let line = Mutex::new(Line { waiting: BTreeMap::new(), next: 0, consume, result: ControlFlow::Continue(()) });
    let ended = AtomicBool::new(false);
    let work = || {
        while !ended.load(Ordering::Relaxed) {
            let Some((number, job)) = locked(&jobs).next() else { return };
            let made = produce(job);
            let mut line = locked(&line);
            line.waiting.insert(number, made);
            loop {
                let next = line.next;
                let Some(made) = line.waiting.remove(&next) else { break };
                if line.result.is_break() {
                    return;
                }
                line.next += 1;
                line.result = (line.consume)(made);
                if line.result.is_break() {
                    ended.store(true, Ordering::Relaxed);
                    return;
                }
            }
        }
    };
    rayon::scope(|scope| {
        for _ in 1..rayon::current_num_threads() {
            scope.spawn(|_| work());
        }
        work();
    });
    line.into_inner().unwrap_or_else(PoisonError::into_inner).result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_until_one_breaks() {
        for threads in [1, 2, 5] {
            for last in [0, 1, 50, 1000] {
                let mut seen = Vec::new();
                let found = with_threads(threads, || {
                    in_order(
                        0..500,
                        |job: u64| (0..(job * 7919) % 1000).fold(job, |x, _| std::hint::black_box(x)),
                        |made| {
                            seen.push(made);
                            if made == last { ControlFlow::Break(made) } else { ControlFlow::Continue(()) }
                        },
                    )
                });
                let found = found.expect("threads start");
                assert_eq!(found, if last < 500 { ControlFlow::Break(last) } else { ControlFlow::Continue(()) });
                assert_eq!(seen, (0..500.min(last + 1)).collect::<Vec<_>>());
            }
        }
    }
}
