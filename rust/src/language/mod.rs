//! The annotation language: gene models to sentences of tokens and back.
