//! Describes an annotation and, with its genome, the quality of its labels.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Annotation;
use super::writer::Codes;
use crate::dna::GeneticCode;
use crate::error::Result;
use crate::fasta::Genome;
use crate::gene::{Gene, Strand, Transcript};

/// Lengths in bp.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Lengths {
    pub count: u64,
    pub total: u64,
    pub min: u64,
    pub median: u64,
    pub mean: f64,
    pub max: u64,
}

impl Lengths {
    fn of(mut values: Vec<u64>) -> Lengths {
        values.sort_unstable();
        let Some((&min, &max)) = values.first().zip(values.last()) else { return Lengths::default() };
        let total: u64 = values.iter().sum();
        Lengths {
            count: values.len() as u64,
            total,
            min,
            median: values[values.len() / 2],
            mean: total as f64 / values.len() as f64,
            max,
        }
    }
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Stats {
    pub sequences: u64,
    pub genes: u64,
    pub genes_by_biotype: BTreeMap<String, u64>,
    pub transcripts: u64,
    pub coding_transcripts: u64,
    pub transcripts_by_biotype: BTreeMap<String, u64>,
    pub single_exon_coding_transcripts: u64,
    pub gene_lengths: Lengths,
    pub exon_lengths: Lengths,
    pub intron_lengths: Lengths,
    pub cds_lengths: Lengths,
    pub left_out: BTreeMap<String, u64>,
    pub examples: BTreeMap<String, Vec<String>>,
    pub unknown_biotypes: BTreeMap<String, u64>,
    pub quality: Option<Quality>,
}

/// How well the coding transcripts fit the sequence.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Quality {
    pub coding_transcripts: u64,
    /// Starts with a start codon of its code, ends with a stop, whole codons, no stop inside.
    pub perfect: u64,
    /// Transcripts by the first fault found, flagged ones apart.
    pub faults: BTreeMap<String, u64>,
    pub fault_examples: BTreeMap<String, Vec<String>>,
    pub start_codons: BTreeMap<String, u64>,
    pub stop_codons: BTreeMap<String, u64>,
    /// Donor and acceptor dinucleotides of the introns of coding transcripts, each intron once.
    pub splice_sites: BTreeMap<String, u64>,
    /// By sequence: the genetic code used and, where stops inside point to it, one that fits better.
    pub genetic_codes: BTreeMap<String, CodeFit>,
}

#[derive(Debug, Clone, Serialize)]
pub struct CodeFit {
    pub used: u32,
    pub with_inner_stops: u64,
    pub transcripts: u64,
    pub fits_better: Option<u32>,
}

/// Counts and lengths; with a genome (whose sequences hold the annotation's) the quality of the labels too.
pub fn of(annotation: &Annotation, genome: Option<&Genome>, codes: &Codes) -> Result<Stats> {
    let mut stats = Stats {
        sequences: annotation.seqids.len() as u64,
        genes: annotation.genes.len() as u64,
        left_out: annotation.report.counts.clone(),
        examples: annotation.report.examples.clone(),
        unknown_biotypes: annotation.report.unknown_biotypes.clone(),
        ..Stats::default()
    };
    let (mut genes, mut exons, mut introns, mut cds) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for gene in &annotation.genes {
        genes.push(gene.span.len());
        *stats.genes_by_biotype.entry(gene.biotype.clone()).or_insert(0) += 1;
        // Exons and introns that transcripts share count once.
        let (mut own_exons, mut own_introns) = (Vec::new(), Vec::new());
        for transcript in &gene.transcripts {
            stats.transcripts += 1;
            *stats.transcripts_by_biotype.entry(transcript.biotype.clone()).or_insert(0) += 1;
            own_exons.extend(transcript.exons.iter().map(|exon| (exon.start, exon.end)));
            own_introns.extend(transcript.exons.windows(2).map(|pair| (pair[0].end, pair[1].start)));
            if !transcript.cds.is_empty() && !gene.flags.mobile_element {
                stats.coding_transcripts += 1;
                stats.single_exon_coding_transcripts += u64::from(transcript.exons.len() == 1);
                cds.push(transcript.cds.iter().map(|part| part.len()).sum());
            }
        }
        for (own, all) in [(&mut own_exons, &mut exons), (&mut own_introns, &mut introns)] {
            own.sort_unstable();
            own.dedup();
            all.extend(own.iter().map(|&(start, end)| end - start.min(end)));
        }
    }
    stats.gene_lengths = Lengths::of(genes);
    stats.exon_lengths = Lengths::of(exons);
    stats.intron_lengths = Lengths::of(introns);
    stats.cds_lengths = Lengths::of(cds);
    if let Some(genome) = genome {
        stats.quality = Some(quality(annotation, genome, codes)?);
    }
    Ok(stats)
}

/// The first fault of a coding transcript's sequence; `None` where it is perfect.
fn fault(transcript: &Transcript, cds: &[u8], code: &GeneticCode) -> Option<&'static str> {
    let inner_stop = has_inner_stop(cds, code);
    if transcript.flags.slippage {
        return Some("programmed frameshift");
    }
    if inner_stop && transcript.flags.selenoprotein {
        return Some("selenoprotein");
    }
    if inner_stop {
        return Some("stop codon inside");
    }
    if transcript.partial_5 || transcript.partial_3 {
        return Some("incomplete, and marked so");
    }
    if cds.len() % 3 != 0 {
        return Some("length not divisible by 3");
    }
    if cds.len() < 3 || !code.is_stop(&cds[cds.len() - 3..]) {
        return Some("no stop codon at the end");
    }
    if !code.is_start(&cds[..3]) {
        return Some("no start codon of the genetic code at the start");
    }
    None
}

fn has_inner_stop(cds: &[u8], code: &GeneticCode) -> bool {
    let whole = cds.len() / 3 * 3;
    let inner = if cds.len() == whole { whole.saturating_sub(3) } else { whole };
    cds[..inner].chunks_exact(3).any(|codon| code.amino_acid(codon) == b'*')
}

fn quality(annotation: &Annotation, genome: &Genome, codes: &Codes) -> Result<Quality> {
    let mut quality = Quality::default();
    let indices = genome.indices();
    let mut at = 0;
    while at < annotation.genes.len() {
        let seqid = annotation.genes[at].seqid;
        let end = at + annotation.genes[at..].iter().take_while(|gene| gene.seqid == seqid).count();
        let genes = &annotation.genes[at..end];
        at = end;
        let name = &annotation.seqids[seqid as usize];
        let Some(&place) = indices.get(name.as_str()) else { continue };
        let code = codes.of(annotation, seqid)?;
        let bases = genome.sequences[place].upper();
        of_sequence(&mut quality, name, genes, &bases, code);
    }
    Ok(quality)
}

fn of_sequence(quality: &mut Quality, name: &str, genes: &[Gene], bases: &[u8], code: &GeneticCode) {
    let (mut sequences, mut with_inner_stops) = (Vec::new(), 0);
    for gene in genes.iter().filter(|gene| gene.strand != Strand::Unknown && !gene.flags.mobile_element) {
        let mut introns = Vec::new();
        for transcript in gene.transcripts.iter().filter(|transcript| !transcript.cds.is_empty()) {
            if transcript.exons.iter().any(|exon| exon.end > 2 * bases.len() as u64) {
                continue;
            }
            quality.coding_transcripts += 1;
            let cds = transcript.coding_sequence(bases, gene.strand);
            match fault(transcript, &cds, code) {
                None => quality.perfect += 1,
                Some(reason) => {
                    *quality.faults.entry(reason.into()).or_insert(0) += 1;
                    let examples = quality.fault_examples.entry(reason.into()).or_default();
                    if examples.len() < 5 {
                        examples.push(transcript.id.clone());
                    }
                    with_inner_stops += u64::from(reason == "stop codon inside");
                }
            }
            let codon = |codon: &[u8]| String::from_utf8_lossy(codon).into_owned();
            if !transcript.partial_5 && cds.len() >= 3 {
                *quality.start_codons.entry(codon(&cds[..3])).or_insert(0) += 1;
            }
            if !transcript.partial_3 && cds.len() >= 3 && cds.len() % 3 == 0 {
                *quality.stop_codons.entry(codon(&cds[cds.len() - 3..])).or_insert(0) += 1;
            }
            introns.extend(transcript.exons.windows(2).map(|pair| (pair[0].end, pair[1].start)));
            if !transcript.flags.slippage && !transcript.flags.selenoprotein {
                sequences.push(cds);
            }
        }
        introns.sort_unstable();
        introns.dedup();
        for (start, end) in introns {
            let length = bases.len() as u64;
            if end < start + 4 || start + 2 > length || end > length {
                continue;
            }
            let left = &bases[start as usize..start as usize + 2];
            let right = &bases[end as usize - 2..end as usize];
            let site = if gene.strand == Strand::Reverse {
                let (donor, acceptor) = (crate::dna::reverse_complement(right), crate::dna::reverse_complement(left));
                format!("{}-{}", String::from_utf8_lossy(&donor), String::from_utf8_lossy(&acceptor))
            } else {
                format!("{}-{}", String::from_utf8_lossy(left), String::from_utf8_lossy(right))
            };
            *quality.splice_sites.entry(site).or_insert(0) += 1;
        }
    }
    if sequences.is_empty() {
        return;
    }
    let count = |code: &GeneticCode| sequences.iter().filter(|cds| has_inner_stop(cds, code)).count() as u64;
    // Another code must explain most of a good share of transcripts, or it is chance.
    let suspicious = with_inner_stops >= 2 && with_inner_stops * 10 >= sequences.len() as u64;
    let fits_better = suspicious
        .then(|| GeneticCode::all().iter().map(|other| (count(other), other.number)).min())
        .flatten()
        .filter(|&(left, _)| left * 4 < with_inner_stops)
        .map(|(_, number)| number);
    let fit = CodeFit { used: code.number, with_inner_stops, transcripts: sequences.len() as u64, fits_better };
    quality.genetic_codes.insert(name.to_owned(), fit);
}
