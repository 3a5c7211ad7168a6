//! Gene annotation: GFF3, GTF and GenBank into gene models, and gene models into GFF3.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::{Error, Result};
use crate::fasta::Genome;
use crate::gene::Gene;
use crate::in_order::with_threads;
use crate::input;

mod assemble;
pub mod attributes;
pub mod biotype;
mod block;
mod facts;
mod features;
pub mod genbank;
mod link;
mod models;
mod names;
pub mod reader;
pub mod record;
pub mod stats;
#[cfg(test)]
mod tests;
mod wormbase;
pub mod writer;

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
    /// By sequence: the largest end of a row of a gene model, and its line.
    pub(crate) furthest: Vec<(u64, u64)>,
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

/// A sequence without its bases.
#[derive(Debug, Clone, Copy)]
pub struct Outline<'a> {
    pub id: &'a str,
    /// In bp.
    pub length: u64,
    pub circular: bool,
}

fn outlines(genome: &Genome) -> Vec<Outline<'_>> {
    let sequences = genome.sequences.iter();
    sequences.map(|s| Outline { id: &s.id, length: s.bases.len() as u64, circular: s.circular }).collect()
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

impl Report {
    /// Counts several cases of a reason; `examples` are the first of them.
    fn add(&mut self, reason: &str, count: u64, examples: impl IntoIterator<Item = String>) {
        *self.counts.entry(reason.to_owned()).or_insert(0) += count;
        let kept = self.examples.entry(reason.to_owned()).or_default();
        kept.extend(examples.into_iter().take(Self::EXAMPLES.saturating_sub(kept.len())));
    }

    /// Adds what later rows gave.
    fn append(&mut self, later: Report) {
        let mut examples = later.examples;
        for (reason, count) in later.counts {
            self.add(&reason, count, examples.remove(&reason).unwrap_or_default());
        }
        for (word, count) in later.unknown_biotypes {
            *self.unknown_biotypes.entry(word).or_insert(0) += count;
        }
    }
}

impl Annotation {
    /// An annotation without genes on the sequences of a genome, to be filled with predictions.
    pub fn of_genome(genome: &Genome) -> Annotation {
        Annotation::of_outlines(&outlines(genome))
    }

    /// As [`Annotation::of_genome`], for sequences whose bases are elsewhere.
    pub fn of_outlines(outlines: &[Outline<'_>]) -> Annotation {
        Annotation {
            seqids: outlines.iter().map(|s| s.id.to_owned()).collect(),
            lengths: outlines.iter().map(|s| Some(s.length)).collect(),
            circular: outlines.iter().map(|s| s.circular).collect(),
            genetic_codes: vec![None; outlines.len()],
            ..Annotation::default()
        }
    }

    /// Puts the genes into their order: sequence, start, end, strand, id.
    pub fn sort(&mut self) {
        self.genes.sort_by(Annotation::order);
    }

    fn order(a: &Gene, b: &Gene) -> Ordering {
        (a.seqid, a.span, a.strand, &a.id).cmp(&(b.seqid, b.span, b.strand, &b.id))
    }

    /// Fits the annotation to a genome: afterwards the list of sequences is the genome's, in its order, with its lengths.
    /// A sequence is circular where either says so.
    ///
    /// # Errors
    /// None of the annotation's sequences is in the genome; a row passes the end of a sequence that is not circular
    /// (counted instead where the reading was lenient). Genes on sequences that the genome lacks are left out, counted.
    pub fn check_against(&mut self, genome: &Genome, options: Options) -> Result<()> {
        self.check_against_outlines(&outlines(genome), options)
    }

    /// As [`Annotation::check_against`], for sequences whose bases are elsewhere.
    pub fn check_against_outlines(&mut self, genome: &[Outline<'_>], options: Options) -> Result<()> {
        let path = self.path.clone().unwrap_or_default();
        let indices: FxHashMap<&str, usize> = genome.iter().enumerate().map(|(i, s)| (s.id, i)).collect();
        let place: Vec<Option<usize>> = self.seqids.iter().map(|id| indices.get(id.as_str()).copied()).collect();
        let with_genes: FxHashSet<u32> = self.genes.iter().map(|gene| gene.seqid).collect();
        if !with_genes.is_empty() && with_genes.iter().all(|&seqid| place[seqid as usize].is_none()) {
            let first = &self.seqids[self.genes[0].seqid as usize];
            return Err(Error::format(
                path,
                1,
                format!(
                    "none of the annotated sequences (such as '{first}') is in the genome, whose first is '{}'; \
                     give the genome that this annotation was made for",
                    genome.first().map_or("", |s| s.id)
                ),
            ));
        }
        let mut fitted = Annotation::of_outlines(genome);
        fitted.furthest = vec![(0, 0); fitted.seqids.len()];
        for (old, new) in place.iter().enumerate() {
            let Some(new) = *new else { continue };
            fitted.circular[new] |= self.circular[old];
            fitted.genetic_codes[new] = self.genetic_codes[old];
            if let Some(&furthest) = self.furthest.get(old) {
                fitted.furthest[new] = furthest;
            }
        }
        for (i, &(end, line)) in fitted.furthest.iter().enumerate() {
            let length = genome[i].length;
            if end > length && !fitted.circular[i] && !options.lenient {
                let id = &fitted.seqids[i];
                return Err(Error::format(
                    path,
                    line,
                    format!("the end {end} lies past the end of sequence '{id}', which has {length} bases"),
                ));
            }
        }
        let mut report = std::mem::take(&mut self.report);
        for mut gene in std::mem::take(&mut self.genes) {
            let Some(new) = place[gene.seqid as usize] else {
                let seqid = &self.seqids[gene.seqid as usize];
                report.count("gene on a sequence that the genome lacks", || format!("{} on {seqid}", gene.id));
                continue;
            };
            let length = genome[new].length;
            if gene.span.start >= length || gene.span.end > length * if fitted.circular[new] { 2 } else { 1 } {
                if !options.lenient {
                    let id = &fitted.seqids[new];
                    return Err(Error::format(
                        path,
                        self.furthest.get(gene.seqid as usize).map_or(1, |&(_, line)| line),
                        format!("gene '{}' lies past the end of sequence '{id}', which has {length} bases", gene.id),
                    ));
                }
                report.count("gene outside its sequence", || gene.id.clone());
                continue;
            }
            gene.seqid = new as u32;
            fitted.genes.push(gene);
        }
        fitted.report = report;
        fitted.path = self.path.take();
        fitted.sort();
        *self = fitted;
        Ok(())
    }

    /// Makes one of genes that are the same but for ids. The genes are sorted.
    fn merge_identical(&mut self) {
        let place = |gene: &Gene| (gene.seqid, gene.span, gene.strand);
        if self.genes.windows(2).all(|pair| place(&pair[0]) != place(&pair[1])) {
            return;
        }
        let mut kept: Vec<Gene> = Vec::with_capacity(self.genes.len());
        // The genes at the place of the last one kept, by the hash of their content.
        let mut here: FxHashMap<u64, Vec<usize>> = FxHashMap::default();
        for gene in std::mem::take(&mut self.genes) {
            match kept.last() {
                Some(last) if place(last) == place(&gene) => {
                    if here.is_empty() {
                        here.insert(content_hash(last), vec![kept.len() - 1]);
                    }
                    let same_hash = here.entry(content_hash(&gene)).or_default();
                    if let Some(&twin) = same_hash.iter().find(|&&at| same_but_for_ids(&kept[at], &gene)) {
                        let twin = &kept[twin].id;
                        self.report.count("gene identical to another, kept once", || format!("{} is {twin}", gene.id));
                        continue;
                    }
                    same_hash.push(kept.len());
                }
                _ => here.clear(),
            }
            kept.push(gene);
        }
        self.genes = kept;
    }
}

fn same_but_for_ids(a: &Gene, b: &Gene) -> bool {
    a.biotype == b.biotype
        && a.flags == b.flags
        && a.transcripts.len() == b.transcripts.len()
        && a.transcripts
            .iter()
            .zip(&b.transcripts)
            .all(|(a, b)| (&a.biotype, &a.exons, &a.cds, a.cds_phase) == (&b.biotype, &b.exons, &b.cds, b.cds_phase))
}

fn content_hash(gene: &Gene) -> u64 {
    let mut hasher = rustc_hash::FxHasher::default();
    gene.biotype.hash(&mut hasher);
    gene.flags.hash(&mut hasher);
    for transcript in &gene.transcripts {
        (&transcript.biotype, &transcript.exons, &transcript.cds, transcript.cds_phase).hash(&mut hasher);
    }
    hasher.finish()
}

/// A file of fewer bytes is read on one thread: it takes about as long as starting others.
const SMALL: u64 = 1 << 20;

/// Reads GFF3, GTF or a GenBank flat file; the content tells which. Uses the rayon pool that it is called on.
pub fn read(path: impl AsRef<Path>, options: Options) -> Result<Annotation> {
    let path = path.as_ref();
    let bytes = input::text(path)?;
    from_bytes(path, &bytes, options)
}

/// As [`read`], on as many threads.
pub fn read_on(threads: usize, path: impl AsRef<Path> + Send, options: Options) -> Result<Annotation> {
    if std::fs::metadata(path.as_ref()).is_ok_and(|file| file.len() < SMALL) {
        return read(path, options);
    }
    with_threads(threads, || read(path, options))?
}

/// As [`read`]; `path` is for messages.
pub fn from_bytes(path: &Path, bytes: &[u8], options: Options) -> Result<Annotation> {
    let text = input::without_mark(bytes);
    let content = text.trim_ascii_start();
    if content.starts_with(b"LOCUS") {
        return genbank::annotation(path, text, options);
    }
    if content.starts_with(b">") {
        return Err(Error::format(path, 1, "this is a FASTA file, not annotation; give GFF3, GTF or GenBank"));
    }
    assemble::assemble(reader::read(path, text, None, options)?)
}
