//! The longest-ORF baseline.
