//! The Rust core of GeneT5. Everything that happens once a base or once a record is here; the modules know nothing
//! of Python, which meets them in `python` alone.

pub mod annotation;
pub mod bake;
pub mod baseline;
pub mod compare;
pub mod decode;
pub mod dna;
pub mod error;
pub mod fasta;
pub mod gene;
mod in_order;
pub mod input;
pub mod labels;
pub mod language;
pub mod output;
pub mod packed;
pub mod packing;
pub mod tables;
pub mod tokenizer;
pub mod windows;

#[cfg(feature = "python")]
mod python;

/// Gene models are many small pieces, made on several threads. (Fuzzing has its own, which finds faults.)
#[cfg(not(fuzzing))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
