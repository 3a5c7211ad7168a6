//! A species' genome and annotation into packed windows, end to end.
//!
//! [`scan`] reads the annotation alone and tells which tokens are missing; [`plan_only`] tells what a bake would make;
//! [`bake`] reads, checks, places windows, encodes them on a pool of threads of its own, packs and writes. Nothing but
//! the input, the flags and the seed decides the bytes.

mod config;
mod load;
mod organelle;
mod priors;
mod report;
mod segments;
mod source;
mod tracks;
mod write;

use std::collections::BTreeSet;

use rayon::prelude::*;
use serde_json::{Value, json};

pub use config::{Config, Isoforms};
pub use organelle::Organelle;
pub use segments::{Segment, SegmentCounts};
pub use write::{COMPLEX, EASY, TYPICAL};

use crate::annotation::{Annotation, biotype};
use crate::decode::priors::PriorCounts;
use crate::error::{Error, Result};
use crate::fasta::{self, Genome};
use crate::language::{Vocabulary, biotype_token, builtin_tokens};
use crate::tokenizer::{self, Tokenizer};
use crate::windows::{self, Placed, Plan, Sequence};
use load::{Files, Loaded};
use report::Report;
use segments::{Maker, SequenceGenes};
use source::Source;
use tracks::Tracks;
use write::Writer;

/// Windows that are encoded together: what is in memory at a time.
const CHUNK: usize = 512;

/// Called now and then with the bases done and all bases; an error stops the bake.
pub type Progress<'a> = dyn Fn(u64, u64) -> Result<()> + Sync + 'a;

/// A species read and its windows placed.
struct Placement {
    source: Source,
    species: Loaded,
    genes: Vec<SequenceGenes>,
    sequences: Vec<Sequence>,
    plan: Plan,
}

fn pool(config: &Config) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new().num_threads(config.n_workers).build().map_err(|error| {
        Error::input(format!("cannot start {} threads: {error}; give a smaller n_workers", config.n_workers))
    })
}

fn place(config: &Config, files: Files) -> Result<Placement> {
    let (source, species) = Loaded::new(config, files)?;
    let (mut genes, mut sequences) = (Vec::new(), Vec::new());
    source.visit(|first, batch| {
        let made = batch.par_iter().enumerate().map(|(i, sequence)| {
            let number = first + i;
            let prepared = species.prepare(number, &sequence.bases);
            let outline = species.outline(number, &prepared);
            (SequenceGenes::new(prepared, outline.length, outline.circular), outline)
        });
        let (made_genes, outlines): (Vec<_>, Vec<_>) = made.unzip();
        genes.extend(made_genes);
        sequences.extend(outlines);
        Ok(())
    })?;
    let options = windows::Options {
        sizes: config.sizes()?,
        seed: config.seed,
        max_n_ratio: config.max_n_ratio,
        intergenic_fraction: config.intergenic_fraction,
        validation_fraction: config.validation_fraction,
        gene_limit: config.gene_limit,
        reverse_complement: config.reverse_complement,
    };
    let plan = windows::plan(&sequences, &options);
    Ok(Placement { source, species, genes, sequences, plan })
}

/// A species as it was read to learn what it needs; baking can go on from here.
pub struct Scan {
    tokenizer: Tokenizer,
    files: Files,
}

/// Reads a whole species. [`Scan::needs`] tells what it needs.
pub fn read(config: &Config) -> Result<Scan> {
    let (tokenizer, files) =
        pool(config)?.install(|| rayon::join(|| Tokenizer::load(&config.tokenizer), || Files::read(config)));
    Ok(Scan { tokenizer: tokenizer?, files: files? })
}

impl Scan {
    pub fn needs(&self) -> Value {
        let mut seqids: BTreeSet<&str> = self.files.seqids().collect();
        seqids.extend(self.files.annotations().iter().flat_map(|annotation| &annotation.seqids).map(String::as_str));
        needs(&self.tokenizer, self.files.annotations(), &seqids)
    }
}

/// What a species needs before it can be baked: `missing_builtin` and `missing_biotypes` (tokens that the tokenizer lacks) and
/// `seqids` (all sequences). Reads the annotation alone where that tells.
pub fn scan(config: &Config) -> Result<Value> {
    let tokenizer = Tokenizer::load(&config.tokenizer)?;
    let annotations = pool(config)?.install(|| load::read_annotation(config))?;
    let mut seqids: BTreeSet<&str> =
        annotations.iter().flat_map(|annotation| &annotation.seqids).map(String::as_str).collect();
    let named = [&config.validation_seqids, &config.test_seqids, &config.exclude_seqids];
    let unknown = |id: &String| !seqids.contains(id.as_str());
    // A sequence without a gene is in the genome alone, which is read only for that.
    let mut in_genome: Vec<String> = Vec::new();
    if named.into_iter().flatten().chain(config.codes.keys()).any(unknown) {
        for path in &config.genome {
            in_genome.extend(Genome::read(path)?.sequences.into_iter().map(|sequence| sequence.id));
        }
    }
    seqids.extend(in_genome.iter().map(String::as_str));
    Ok(needs(&tokenizer, &annotations, &seqids))
}

fn needs(tokenizer: &Tokenizer, annotations: &[Annotation], seqids: &BTreeSet<&str>) -> Value {
    let builtin: Vec<String> = builtin_tokens().into_iter().filter(|token| tokenizer.id(token).is_none()).collect();
    let mut biotypes: BTreeSet<String> = BTreeSet::new();
    for gene in annotations.iter().flat_map(|annotation| &annotation.genes) {
        for transcript in &gene.transcripts {
            let said = matches!(biotype::kind(&transcript.biotype), biotype::Kind::Coding | biotype::Kind::Noncoding);
            if said && !gene.flags.pseudogene && !gene.flags.mobile_element {
                let token = biotype_token(&transcript.biotype);
                if tokenizer.id(&token).is_none() && !builtin.contains(&token) {
                    biotypes.insert(token);
                }
            }
        }
    }
    json!({ "missing_builtin": builtin, "missing_biotypes": biotypes, "seqids": seqids })
}

/// What a bake would make, without windows being encoded.
pub fn plan_only(config: &Config) -> Result<Value> {
    pool(config)?.install(|| {
        let placement = place(config, Files::read(config)?)?;
        let mut report =
            Report::new(config, &placement.species, &placement.sequences, &placement.genes, &placement.plan);
        report.estimate();
        Ok(report.into_value())
    })
}

/// Bakes a species into the two files that `config` names, and returns the report.
pub fn bake(config: &Config, scan: Scan, progress: &Progress<'_>) -> Result<Value> {
    let (Some(training), Some(validation)) = (&config.training, &config.validation) else {
        return Err(Error::input("bake configuration: 'training' and 'validation' name the files to write"));
    };
    let Scan { tokenizer, files } = scan;
    let vocabulary = Vocabulary::from_tokens(tokenizer.tokens().to_vec())?;
    pool(config)?.install(|| {
        let Placement { source, species, genes, sequences, plan } = place(config, files)?;
        progress(0, 1)?;
        let tracks = Tracks::read(config, &species)?;
        let maker = Maker {
            config,
            species: &species,
            genes: &genes,
            tokenizer: &tokenizer,
            vocabulary: &vocabulary,
            tracks: tracks.as_ref(),
        };
        let mut report = Report::new(config, &species, &sequences, &genes, &plan);
        let total: u64 = plan.training.iter().chain(&plan.validation).map(|window| window.length).sum();
        let mut done = 0;
        let mut halves = [
            (Writer::create(training, config, &species, &tokenizer)?, &plan.training[..], SegmentCounts::default()),
            (Writer::create(validation, config, &species, &tokenizer)?, &plan.validation[..], SegmentCounts::default()),
        ];
        let mut priors = PriorCounts::default();
        source.visit(|first, batch| {
            let end = first + batch.len();
            priors.merge(&count_priors(&species, &genes, &plan, first, batch));
            for (writer, windows, counts) in &mut halves {
                let (here, later) = windows.split_at(windows.partition_point(|window| window.sequence < end));
                *windows = later;
                // A chunk is put into the file while the next one is encoded.
                let mut encoded: Vec<Segment> = Vec::new();
                for chunk in here.chunks(CHUNK) {
                    let (next, added) = rayon::join(
                        || encode(&maker, chunk, first, batch),
                        || writer.add(&std::mem::take(&mut encoded), |window| plan.stratum(window)),
                    );
                    added?;
                    let (segments, made) = next?;
                    encoded = segments;
                    *counts += made;
                    done += chunk.iter().map(|window| window.length).sum::<u64>();
                    progress(done, total)?;
                }
                writer.add(&encoded, |window| plan.stratum(window))?;
            }
            Ok(())
        })?;
        let [(training, _, training_counts), (validation, _, validation_counts)] = halves;
        let metadata = [report.metadata(config, Some(&priors)), report.metadata(config, None)];
        // Both wait for the disk: side by side.
        let (training_packs, validation_packs) =
            rayon::join(|| training.finish(&metadata[0]), || validation.finish(&metadata[1]));
        report.add(true, training_counts, training_packs?);
        report.add(false, validation_counts, validation_packs?);
        Ok(report.into_value())
    })
}

/// Counts for the gene decoder's priors of a batch of sequences, of which `first` is the first.
fn count_priors(
    species: &Loaded,
    genes: &[SequenceGenes],
    plan: &Plan,
    first: usize,
    batch: &[fasta::Sequence],
) -> PriorCounts {
    let add = |mut counts: PriorCounts, (i, sequence): (usize, &fasta::Sequence)| {
        let number = first + i;
        let held_out = plan.held_out(number);
        priors::count(&mut counts, species, number, genes[number].prepared(), &held_out, &sequence.bases);
        counts
    };
    let merge = |mut counts: PriorCounts, other: PriorCounts| {
        counts.merge(&other);
        counts
    };
    batch.par_iter().enumerate().fold(PriorCounts::default, add).reduce(PriorCounts::default, merge)
}

/// The segments of windows of a batch of sequences, in the windows' order.
fn encode(
    maker: &Maker<'_>,
    windows: &[Placed],
    first: usize,
    batch: &[fasta::Sequence],
) -> Result<(Vec<Segment>, SegmentCounts)> {
    let made: Vec<(Option<Segment>, SegmentCounts)> = windows
        .par_iter()
        .map_init(tokenizer::Scratch::default, |scratch, &window| {
            maker.segment(window, &batch[window.sequence - first].bases, scratch)
        })
        .collect::<Result<_>>()?;
    let counts = made.iter().map(|(_, counts)| *counts).sum();
    Ok((made.into_iter().filter_map(|(segment, _)| segment).collect(), counts))
}
