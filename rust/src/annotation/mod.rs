//! Gene annotation: GFF3, GTF and GenBank into gene models, and gene models into GFF3.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::fasta::Genome;
use crate::gene::Gene;

pub mod biotype;

/// Gene models on a list of sequences, and what reading them could not use.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Annotation {
    /// Names of the sequences; `Gene::seqid` indexes this list and the three that follow.
    pub seqids: Vec<String>,
    /// Length in bp, where the file (or the genome, after [`Annotation::check_against`]) tells it.
    pub lengths: Vec<Option<u64>>,
    pub circular: Vec<bool>,
    /// NCBI genetic code, where the file states one (`transl_table`).
    pub genetic_codes: Vec<Option<u32>>,
    /// Sorted by sequence, start, end, strand and id.
    pub genes: Vec<Gene>,
    pub report: Report,
    /// The file that was read; for messages.
    pub path: Option<PathBuf>,
}

/// What reading found and could not use, by reason.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    pub counts: BTreeMap<String, u64>,
    /// A few examples (id, and line where known) of each reason.
    pub examples: BTreeMap<String, Vec<String>>,
    /// Biotypes that the table of biotypes lacks, with the number of genes and transcripts.
    pub unknown_biotypes: BTreeMap<String, u64>,
}

/// How to read annotation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Count malformed lines instead of refusing the file.
    pub lenient: bool,
}

impl Report {
    /// The number of examples kept for each reason.
    const EXAMPLES: usize = 5;

    /// Counts one case of a reason; `example` is called only while examples are wanted.
    pub fn count(&mut self, reason: &str, example: impl FnOnce() -> String) {
        match self.counts.get_mut(reason) {
            Some(count) => *count += 1,
            None => {
                self.counts.insert(reason.to_owned(), 1);
            }
        }
        match self.examples.get_mut(reason) {
            Some(examples) if examples.len() < Self::EXAMPLES => examples.push(example()),
            Some(_) => {}
            None => {
                self.examples.insert(reason.to_owned(), vec![example()]);
            }
        }
    }
}

impl Annotation {
    /// An annotation without genes on the sequences of a genome, to be filled with predictions.
    pub fn of_genome(genome: &Genome) -> Annotation {
        let n = genome.sequences.len();
        Annotation {
            seqids: genome.sequences.iter().map(|s| s.id.clone()).collect(),
            lengths: genome.sequences.iter().map(|s| Some(s.bases.len() as u64)).collect(),
            circular: genome.sequences.iter().map(|s| s.circular).collect(),
            genetic_codes: vec![None; n],
            ..Annotation::default()
        }
    }

    /// Puts the genes into their order: sequence, start, end, strand, id.
    pub fn sort(&mut self) {
        self.genes.sort_by(|a, b| (a.seqid, a.span, a.strand, &a.id).cmp(&(b.seqid, b.span, b.strand, &b.id)));
    }
}
