//! Reads a species: its sequences, what each is for, its genetic codes, its genes and what its source annotates.

use rayon::prelude::*;
use serde::Serialize;

use super::config::Config;
use super::organelle::Organelle;
use super::source::Source;
use crate::annotation::{self, Annotation, Outline};
use crate::dna::GeneticCode;
use crate::error::{Error, Result};
use crate::gene::{Gene, Interval};
use crate::language::{Policy, PreparedGene, SequenceContext, Telling};
use crate::windows::{Locus, Role, Sequence};

/// A sequence of a species, without its bases.
#[derive(Debug)]
pub struct Facts {
    pub id: String,
    pub length: u64,
    pub circular: bool,
    pub n_runs: Vec<Interval>,
    pub organelle: Option<Organelle>,
    pub code: &'static GeneticCode,
    pub role: Role,
    /// Range of its genes in the annotation.
    pub genes: std::ops::Range<usize>,
}

/// A species, without the bases of its sequences.
pub struct Loaded {
    pub sequences: Vec<Facts>,
    pub annotation: Annotation,
    pub policy: Policy,
    pub warnings: Vec<String>,
}

/// What is known of a sequence, for the report.
#[derive(Debug, Serialize)]
pub struct SequenceReport<'a> {
    pub id: &'a str,
    pub length: u64,
    pub circular: bool,
    pub genetic_code: u32,
    pub role: Role,
    pub genes: usize,
}

/// Reads the annotation files of a species.
pub fn read_annotation(config: &Config) -> Result<Vec<Annotation>> {
    config.annotation.par_iter().map(|path| annotation::read(path, options(config))).collect()
}

fn options(config: &Config) -> annotation::Options {
    annotation::Options { lenient: config.lenient }
}

/// Fits annotations to the genome, and makes them one.
fn fit(annotations: Vec<Annotation>, genome: &[Outline<'_>], config: &Config) -> Result<Annotation> {
    let mut all = Annotation::of_outlines(genome);
    for mut next in annotations {
        next.check_against_outlines(genome, options(config))?;
        for (i, (circular, code)) in next.circular.iter().zip(&next.genetic_codes).enumerate() {
            all.circular[i] |= circular;
            all.genetic_codes[i] = all.genetic_codes[i].or(*code);
        }
        all.genes.append(&mut next.genes);
        for (reason, count) in next.report.counts {
            *all.report.counts.entry(reason).or_default() += count;
        }
        for (reason, examples) in next.report.examples {
            all.report.examples.entry(reason).or_default().extend(examples);
        }
        for (word, count) in next.report.unknown_biotypes {
            *all.report.unknown_biotypes.entry(word).or_default() += count;
        }
    }
    all.sort();
    Ok(all)
}

/// The files of a species as they were read.
pub struct Files {
    source: Source,
    annotations: Vec<Annotation>,
    seen: Vec<Seen>,
}

/// A sequence as its file has it, without its bases.
struct Seen {
    id: String,
    length: u64,
    circular: bool,
    n_runs: Vec<Interval>,
    organelle: Option<Organelle>,
}

impl Files {
    /// Reads genome and annotation side by side. Runs on the caller's rayon pool.
    pub fn read(config: &Config) -> Result<Files> {
        let read_genome = || -> Result<_> {
            let source = Source::open(&config.genome, config.keep_bytes)?;
            let mut seen = Vec::new();
            source.visit(|_, batch| {
                seen.par_extend(batch.par_iter().map(|sequence| Seen {
                    id: sequence.id.clone(),
                    length: sequence.bases.len() as u64,
                    circular: sequence.circular,
                    n_runs: n_runs(&sequence.bases),
                    organelle: Organelle::of(&sequence.id, &sequence.description),
                }));
                Ok(())
            })?;
            source.check_ids(seen.iter().map(|sequence| sequence.id.as_str()))?;
            Ok((source, seen))
        };
        // The annotation takes longer, and comes first.
        let (annotations, genome) = rayon::join(|| read_annotation(config), read_genome);
        let (source, seen) = genome?;
        Ok(Files { source, annotations: annotations?, seen })
    }

    pub fn annotations(&self) -> &[Annotation] {
        &self.annotations
    }

    /// Ids of all sequences of the genome.
    pub fn seqids(&self) -> impl Iterator<Item = &str> {
        self.seen.iter().map(|sequence| sequence.id.as_str())
    }
}

impl Loaded {
    /// Checks what was read and decides what each sequence is for.
    pub fn new(config: &Config, files: Files) -> Result<(Source, Loaded)> {
        let Files { source, annotations, seen } = files;
        let outlines: Vec<Outline<'_>> =
            seen.iter().map(|&Seen { ref id, length, circular, .. }| Outline { id, length, circular }).collect();
        let annotation = fit(annotations, &outlines, config)?;

        let mut sequences = Vec::with_capacity(seen.len());
        let mut start = 0;
        for (number, Seen { id, length, n_runs, organelle, .. }) in seen.into_iter().enumerate() {
            let end = start + annotation.genes[start..].partition_point(|gene| gene.seqid as usize == number);
            sequences.push(Facts {
                code: genetic_code(config, &id, organelle, annotation.genetic_codes[number])?,
                role: role(config, &id, organelle)?,
                circular: annotation.circular[number],
                genes: start..end,
                id,
                length,
                n_runs,
                organelle,
            });
            start = end;
        }
        let mut warnings = Vec::new();
        if sequences.iter().all(|sequence| sequence.role != Role::Training) {
            warnings.push(format!("{}: no sequence is left for training", config.species));
        }
        let policy = policy(config, &annotation);
        Ok((source, Loaded { sequences, annotation, policy, warnings }))
    }

    /// The genes of a sequence.
    pub fn genes(&self, number: usize) -> &[Gene] {
        &self.annotation.genes[self.sequences[number].genes.clone()]
    }

    /// Decides for every gene of a sequence whether and how it is told.
    pub fn prepare(&self, number: usize, bases: &[u8]) -> Vec<PreparedGene> {
        let facts = &self.sequences[number];
        let context = SequenceContext { bases, circular: facts.circular, code: facts.code };
        self.genes(number).par_iter().map(|gene| PreparedGene::new(gene, &context, self.policy)).collect()
    }

    /// A sequence as windows see it.
    pub fn outline(&self, number: usize, prepared: &[PreparedGene]) -> Sequence {
        let facts = &self.sequences[number];
        let introns = |gene: &Gene| {
            gene.transcripts.first().map_or(0, |transcript| transcript.exons.len().saturating_sub(1) as u32)
        };
        let loci = prepared
            .iter()
            .zip(self.genes(number))
            .filter(|(prepared, _)| prepared.telling != Telling::Unannotated)
            // What lies past the end of its sequence has no place in a window.
            .filter(|(prepared, _)| prepared.span.start < facts.length)
            .map(|(prepared, gene)| Locus {
                span: within(prepared.span, facts),
                strand: prepared.strand,
                introns: introns(gene),
                sayable: prepared.is_said(),
            })
            .collect();
        Sequence {
            name: facts.id.clone(),
            length: facts.length,
            circular: facts.circular,
            n_runs: facts.n_runs.clone(),
            loci,
            role: facts.role,
        }
    }

    pub fn sequence_report(&self, number: usize) -> SequenceReport<'_> {
        let facts = &self.sequences[number];
        SequenceReport {
            id: &facts.id,
            length: facts.length,
            circular: facts.circular,
            genetic_code: facts.code.number,
            role: facts.role,
            genes: facts.genes.len(),
        }
    }
}

fn within(span: Interval, sequence: &Facts) -> Interval {
    let most = if sequence.circular { span.start + sequence.length } else { sequence.length };
    Interval::new(span.start, span.end.min(most))
}

/// Runs of N of a sequence.
pub fn n_runs(bases: &[u8]) -> Vec<Interval> {
    let mut runs = Vec::new();
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'N', b'n', &bases[at..]) {
        let start = at + found;
        let length = bases[start..].iter().position(|base| !matches!(base, b'N' | b'n')).unwrap_or(bases.len() - start);
        runs.push(Interval::new(start as u64, (start + length) as u64));
        at = start + length;
    }
    runs
}

fn genetic_code(
    config: &Config,
    id: &str,
    organelle: Option<Organelle>,
    stated: Option<u32>,
) -> Result<&'static GeneticCode> {
    let number = config.codes.get(id).copied().unwrap_or(match organelle {
        None => config.genetic_code.or(stated).unwrap_or(config.default_code),
        Some(Organelle::Mitochondrion) => stated.unwrap_or(config.mitochondrial_code),
        Some(Organelle::Plastid) => stated.unwrap_or(config.plastid_code),
    });
    GeneticCode::by_number(number).ok_or_else(|| {
        Error::input(format!(
            "{}: there is no genetic code {number} (sequence '{id}'); NCBI's are 1 to 6, 9 to 16 and 21 to 33",
            config.species
        ))
    })
}

/// What a sequence is for. Ids that flags name for all species need not be in this one; that none has them is for the
/// caller to say.
fn role(config: &Config, id: &str, organelle: Option<Organelle>) -> Result<Role> {
    let named = |ids: &[String]| ids.iter().any(|named| named == id);
    let left_out = named(&config.test_seqids) || named(&config.exclude_seqids);
    match named(&config.validation_seqids) {
        true if left_out => Err(Error::input(format!(
            "{}: the sequence '{id}' is named for validation and for testing or exclusion; name it once",
            config.species
        ))),
        true => Ok(Role::Validation),
        false if left_out || (organelle.is_some() && !config.organelles) => Ok(Role::Neither),
        false => Ok(Role::Training),
    }
}

/// What the source annotates. UTRs, if a tenth of the coding genes has one; non-coding genes, if there is one to
/// 200 coding genes.
fn policy(config: &Config, annotation: &Annotation) -> Policy {
    let (mut coding, mut with_utr, mut noncoding) = (0_u64, 0_u64, 0_u64);
    for gene in &annotation.genes {
        if gene.flags.pseudogene || gene.flags.mobile_element {
            continue;
        }
        match gene.transcripts.iter().find(|transcript| !transcript.cds.is_empty()) {
            Some(transcript) => {
                coding += 1;
                let bases = |parts: &[Interval]| parts.iter().map(|part| part.len()).sum::<u64>();
                with_utr += u64::from(bases(&transcript.exons) > bases(&transcript.cds));
            }
            None if !gene.transcripts.is_empty() && gene.biotype != "protein_coding" => noncoding += 1,
            None => {}
        }
    }
    Policy {
        utr: config.utr.unwrap_or(with_utr > 0 && with_utr * 10 >= coding),
        noncoding: config.noncoding.unwrap_or(noncoding > 0 && noncoding * 200 >= coding),
    }
}
