//! The packed file: one file of many samples (packs of windows), read through a memory map. docs/packed_format.md
//! describes the layout.

mod batch;
mod format;
mod operations;
mod random;
mod reader;
#[cfg(any(test, fuzzing))]
pub mod reseal;
mod vocabulary;
mod writer;

pub use batch::{Arrays, Batch, LabelContext, Selection, Shape, Want};
pub use format::{FIRST_CALLER_FLAG, HAS_TRACKS, SampleRow, SegmentRow, VERSION};
pub use operations::{Share, merge, merge_metadata, shuffle, split, subset, verify};
pub use reader::{Reader, Tables, Trace};
pub use vocabulary::Vocabulary;
pub use writer::{Segment, Writer};

/// Longest window, in bp: coordinates of the annotation language are two numbers below 1,000.
pub const MOST_BASES: u32 = 1_000_000;

#[cfg(test)]
mod tests;
