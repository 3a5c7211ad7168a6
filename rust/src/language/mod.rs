//! The annotation language: gene models to sentences of tokens and back (`docs/language.md`).
//!
//! [`PreparedGene`] decides once for a sequence which genes can be said; [`clip`] cuts them to a window; [`encode`]
//! writes the window's sentence, [`decode`] reads it, [`place`] puts its genes back into the sequence.

mod clip;
mod model;
mod path;
mod place;
mod prepare;
mod sentence;
mod tokens;

#[cfg(test)]
pub(crate) mod tests;

pub use clip::{ClippedWindow, IgnoredGene, Window, clip};
pub use model::{Kind, Policy, Segment, Signal, State, WindowGene, WindowGenes, WindowTranscript};
pub use place::place;
pub use prepare::{
    END_TOLERANCE, OpenEnds, PreparedGene, PreparedTranscript, Reason, SequenceContext, Telling, sayable,
};
pub use sentence::{SentenceFault, decode, encode, validate};
pub use tokens::{MAX_COORDINATE, Role, Vocabulary, biotype_token, builtin_tokens};
