//! Reads a species: its sequences, what each is for, its genetic codes, its genes and what its source annotates.

use std::path::PathBuf;

use rayon::prelude::*;
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::config::Config;
use super::organelle::Organelle;
use crate::annotation::{self, Annotation};
use crate::dna::GeneticCode;
use crate::error::{Error, Result};
use crate::fasta::{self, Genome};
use crate::gene::Interval;
use crate::language::{Policy, PreparedGene, SequenceContext, Telling};
use crate::windows::{Locus, Role, Sequence};

/// A species in memory. `genome.sequences`, `codes`, `roles` and `genes` go by the same index.
pub struct Loaded {
    pub genome: Genome,
    pub annotation: Annotation,
    pub codes: Vec<&'static GeneticCode>,
    pub roles: Vec<Role>,
    pub organelles: Vec<Option<Organelle>>,
    pub policy: Policy,
    /// Range of each sequence's genes in `annotation.genes`.
    pub genes: Vec<std::ops::Range<usize>>,
    pub warnings: Vec<String>,
}

/// What is known of a sequence, for the report.
#[derive(Debug, Serialize)]
pub struct SequenceReport {
    pub id: String,
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
fn fit(annotations: Vec<Annotation>, genome: &Genome, config: &Config) -> Result<Annotation> {
    let mut all = Annotation::of_genome(genome);
    for mut next in annotations {
        next.check_against(genome, options(config))?;
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

fn read_genome(config: &Config) -> Result<Genome> {
    let mut genome = Genome::default();
    let mut seen: FxHashMap<String, PathBuf> = FxHashMap::default();
    for path in &config.genome {
        for sequence in Genome::read(path)?.sequences {
            if let Some(other) = seen.insert(sequence.id.clone(), path.clone()) {
                let message = format!("the sequence '{}' is in {} as well", sequence.id, other.display());
                return Err(Error::format(path, 1, message));
            }
            genome.sequences.push(sequence);
        }
    }
    Ok(genome)
}

impl Loaded {
    /// Reads and checks a species. Runs on the caller's rayon pool.
    pub fn read(config: &Config) -> Result<Loaded> {
        let (genome, annotation) = rayon::join(|| read_genome(config), || read_annotation(config));
        let mut genome = genome?;
        let annotation = fit(annotation?, &genome, config)?;
        for (sequence, &circular) in genome.sequences.iter_mut().zip(&annotation.circular) {
            sequence.circular = circular;
        }

        let mut genes = vec![0..0; genome.sequences.len()];
        let mut start = 0;
        for (number, range) in genes.iter_mut().enumerate() {
            let end = start + annotation.genes[start..].partition_point(|gene| gene.seqid as usize == number);
            *range = start..end;
            start = end;
        }

        let organelles: Vec<Option<Organelle>> =
            genome.sequences.iter().map(|sequence| Organelle::of(&sequence.id, &sequence.description)).collect();
        let codes = genetic_codes(config, &genome, &annotation, &organelles)?;
        let mut warnings = Vec::new();
        let roles = roles(config, &genome, &organelles, &mut warnings)?;
        let policy = policy(config, &annotation);
        Ok(Loaded { genome, annotation, codes, roles, organelles, policy, genes, warnings })
    }

    /// Decides for every gene of a sequence whether and how it is told.
    pub fn prepare(&self, sequence: usize) -> Vec<PreparedGene> {
        let context = SequenceContext {
            bases: &self.genome.sequences[sequence].bases,
            circular: self.genome.sequences[sequence].circular,
            code: self.codes[sequence],
        };
        let genes = &self.annotation.genes[self.genes[sequence].clone()];
        genes.par_iter().map(|gene| PreparedGene::new(gene, &context, self.policy)).collect()
    }

    /// A sequence as windows see it.
    pub fn outline(&self, number: usize, prepared: &[PreparedGene]) -> Sequence {
        let sequence = &self.genome.sequences[number];
        let genes = &self.annotation.genes[self.genes[number].clone()];
        let loci = prepared
            .iter()
            .zip(genes)
            .filter(|(prepared, _)| prepared.telling != Telling::Unannotated)
            .map(|(prepared, gene)| Locus {
                span: prepared.span,
                strand: prepared.strand,
                introns: gene
                    .transcripts
                    .first()
                    .map_or(0, |transcript| transcript.exons.len().saturating_sub(1) as u32),
                sayable: prepared.is_said(),
            })
            // A locus past the end of its sequence has no place in a window.
            .filter(|locus| locus.span.start < sequence.bases.len() as u64)
            .map(|locus| Locus { span: within(locus.span, sequence), ..locus })
            .collect();
        Sequence {
            name: sequence.id.clone(),
            length: sequence.bases.len() as u64,
            circular: sequence.circular,
            n_runs: n_runs(&sequence.bases),
            loci,
            role: self.roles[number],
        }
    }

    pub fn sequence_report(&self, number: usize) -> SequenceReport {
        let sequence = &self.genome.sequences[number];
        SequenceReport {
            id: sequence.id.clone(),
            length: sequence.bases.len() as u64,
            circular: sequence.circular,
            genetic_code: self.codes[number].number,
            role: self.roles[number],
            genes: self.genes[number].len(),
        }
    }
}

fn within(span: Interval, sequence: &fasta::Sequence) -> Interval {
    let length = sequence.bases.len() as u64;
    let most = if sequence.circular { span.start + length } else { length };
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

fn genetic_codes(
    config: &Config,
    genome: &Genome,
    annotation: &Annotation,
    organelles: &[Option<Organelle>],
) -> Result<Vec<&'static GeneticCode>> {
    let mut codes = Vec::with_capacity(genome.sequences.len());
    for (i, sequence) in genome.sequences.iter().enumerate() {
        let stated = annotation.genetic_codes[i];
        let number = config.codes.get(&sequence.id).copied().or(match organelles[i] {
            None => config.genetic_code.or(stated).or(Some(config.default_code)),
            Some(Organelle::Mitochondrion) => stated.or(Some(config.mitochondrial_code)),
            Some(Organelle::Plastid) => stated.or(Some(config.plastid_code)),
        });
        let number = number.unwrap_or(config.default_code);
        codes.push(GeneticCode::by_number(number).ok_or_else(|| {
            Error::input(format!(
                "{}: there is no genetic code {number} (sequence '{}'); NCBI's are 1 to 6, 9 to 16 and 21 to 33",
                config.species, sequence.id
            ))
        })?);
    }
    Ok(codes)
}

/// What each sequence is for. Ids that flags name for all species need not be in this one; that none has them is for
/// the caller to say.
fn roles(
    config: &Config,
    genome: &Genome,
    organelles: &[Option<Organelle>],
    warnings: &mut Vec<String>,
) -> Result<Vec<Role>> {
    let mut roles = Vec::with_capacity(genome.sequences.len());
    for (sequence, organelle) in genome.sequences.iter().zip(organelles) {
        let named = |ids: &[String]| ids.contains(&sequence.id);
        if named(&config.validation_seqids) && (named(&config.test_seqids) || named(&config.exclude_seqids)) {
            return Err(Error::input(format!(
                "{}: the sequence '{}' is named for validation and for testing or exclusion; name it once",
                config.species, sequence.id
            )));
        }
        roles.push(if named(&config.test_seqids) || named(&config.exclude_seqids) {
            Role::Neither
        } else if named(&config.validation_seqids) {
            Role::Validation
        } else if organelle.is_some() && !config.organelles {
            Role::Neither
        } else {
            Role::Training
        });
    }
    if !roles.contains(&Role::Training) {
        warnings.push(format!("{}: no sequence is left for training", config.species));
    }
    Ok(roles)
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
