//! Gene models. Coordinates are 0-based, half-open, on the forward strand; on a circular sequence an end may
//! pass the sequence's length.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Strand {
    Forward,
    Reverse,
    Unknown,
}

impl Strand {
    pub fn symbol(self) -> char {
        match self {
            Strand::Forward => '+',
            Strand::Reverse => '-',
            Strand::Unknown => '.',
        }
    }
}

/// `[start, end)` in bp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Interval {
    pub start: u64,
    pub end: u64,
}

impl Interval {
    pub fn new(start: u64, end: u64) -> Self {
        debug_assert!(start <= end);
        Interval { start, end }
    }

    pub fn len(self) -> u64 {
        self.end - self.start
    }

    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    pub fn overlaps(self, other: Interval) -> bool {
        self.start < other.end && other.start < self.end
    }

    pub fn contains(self, other: Interval) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

/// What is unusual about a gene or a transcript. A flagged gene that training cannot say leaves an ignore interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Flags {
    pub pseudogene: bool,
    pub mobile_element: bool,
    /// CDS parts overlap, or leave a gap of 1 or 2 bases: a programmed frameshift.
    pub slippage: bool,
    pub selenoprotein: bool,
    /// Parts on both strands, or of several sequences: read, reported and left out.
    pub trans_splicing: bool,
    /// Tagged canonical by its source (`MANE_Select`, `Ensembl_canonical`, ...).
    pub canonical: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    pub id: String,
    /// The canonical word of the biotype table, or the source's own word where the table lacks it.
    pub biotype: String,
    /// Sorted by start, disjoint (but for `slippage`).
    pub exons: Vec<Interval>,
    /// Sorted by start, each inside an exon; empty for a non-coding transcript. Includes the stop codon.
    pub cds: Vec<Interval>,
    /// GFF3 phase of the CDS part that is first in transcript direction: bases to skip to the first whole codon.
    pub cds_phase: u8,
    /// The 5' (3') end is known to be missing, in transcript direction.
    pub partial_5: bool,
    pub partial_3: bool,
    pub flags: Flags,
    /// Probability (0 to 1) of a predicted transcript; `None` for annotation that was read.
    pub score: Option<f32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gene {
    pub id: String,
    pub name: Option<String>,
    /// Index into the list of sequence ids that goes with the genes.
    pub seqid: u32,
    pub span: Interval,
    pub strand: Strand,
    pub biotype: String,
    pub flags: Flags,
    pub score: Option<f32>,
    /// The canonical transcript is first.
    pub transcripts: Vec<Transcript>,
}
