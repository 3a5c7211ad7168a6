//! Writes gene models as GFF3, and their sequences as FASTA.

use std::io::{self, Write};
use std::path::Path;

use super::attributes::{encode, encode_seqid};
use super::biotype::{self, Kind};
use super::{Annotation, biotype::canonical};
use crate::dna::{GeneticCode, reverse_complement};
use crate::error::{Error, Result};
use crate::fasta::Genome;
use crate::gene::{Gene, Interval, Strand, Transcript};
use crate::output::write_whole;

/// Bases or amino acids on a line of FASTA.
const LINE: usize = 70;

/// The genetic code of each sequence.
#[derive(Debug, Clone, Default)]
pub struct Codes {
    /// For all sequences but those in `by_seqid`; without it the annotation's own (`transl_table`), else 1.
    pub default: Option<u32>,
    pub by_seqid: Vec<(String, u32)>,
}

impl Codes {
    /// The code of a sequence of an annotation.
    pub fn of(&self, annotation: &Annotation, seqid: u32) -> Result<&'static GeneticCode> {
        let name = &annotation.seqids[seqid as usize];
        let own = self.by_seqid.iter().find(|(id, _)| id == name).map(|&(_, code)| code);
        let stated = annotation.genetic_codes.get(seqid as usize).copied().flatten();
        let number = own.or(self.default).or(stated).unwrap_or(1);
        GeneticCode::by_number(number).ok_or_else(|| {
            Error::input(format!("there is no genetic code {number}; NCBI's are 1 to 6, 9 to 16 and 21 to 33"))
        })
    }
}

impl Transcript {
    /// The spliced exons in transcript direction; `bases` is the whole sequence.
    pub fn spliced(&self, bases: &[u8], strand: Strand) -> Vec<u8> {
        splice(bases, &self.exons, strand)
    }

    /// The spliced CDS in transcript direction, from its first whole codon on.
    pub fn coding_sequence(&self, bases: &[u8], strand: Strand) -> Vec<u8> {
        let mut cds = splice(bases, &self.cds, strand);
        cds.drain(..usize::from(self.cds_phase).min(cds.len()));
        cds
    }

    /// The protein without the final stop; a stop inside is `*`. A start codon that begins a complete CDS is M.
    pub fn protein(&self, bases: &[u8], strand: Strand, code: &GeneticCode) -> Vec<u8> {
        let mut protein = code.translate(&self.coding_sequence(bases, strand), !self.partial_5);
        if protein.last() == Some(&b'*') {
            protein.pop();
        }
        protein
    }

    /// The phase of each CDS part, in the order of `cds`.
    pub fn phases(&self, strand: Strand) -> Vec<u8> {
        let mut phases = vec![0; self.cds.len()];
        let mut phase = u64::from(self.cds_phase);
        let mut next = |i: usize| {
            phases[i] = phase as u8;
            phase = (3 - (self.cds[i].len() + 3 - phase) % 3) % 3;
        };
        match strand {
            Strand::Reverse => (0..self.cds.len()).rev().for_each(&mut next),
            _ => (0..self.cds.len()).for_each(&mut next),
        }
        phases
    }
}

/// The intervals' bases, reverse complemented on the reverse strand. Positions past the end continue at the start.
fn splice(bases: &[u8], intervals: &[Interval], strand: Strand) -> Vec<u8> {
    let length = bases.len();
    let mut out = Vec::with_capacity(intervals.iter().map(|part| part.len() as usize).sum());
    for part in intervals {
        let (start, end) = (part.start as usize, part.end as usize);
        if end <= length {
            out.extend_from_slice(&bases[start..end]);
        } else if length > 0 {
            out.extend((start..end).map(|at| bases[at % length]));
        }
    }
    if strand == Strand::Reverse { reverse_complement(&out) } else { out }
}

/// The Sequence Ontology's term for a transcript row.
fn transcript_type(transcript: &Transcript) -> &'static str {
    match biotype::kind(&transcript.biotype) {
        Kind::Pseudogene => "pseudogenic_transcript",
        _ if transcript.flags.pseudogene => "pseudogenic_transcript",
        _ if !transcript.cds.is_empty() => "mRNA",
        _ => match canonical(&transcript.biotype) {
            "tRNA" => "tRNA",
            "rRNA" => "rRNA",
            "tmRNA" => "tmRNA",
            "ncRNA" | "sRNA" => "ncRNA",
            "lncRNA" => "lnc_RNA",
            "antisense_RNA" => "antisense_RNA",
            "snRNA" => "snRNA",
            "snoRNA" => "snoRNA",
            "miRNA" => "miRNA",
            "siRNA" => "siRNA",
            "piRNA" => "piRNA",
            "SRP_RNA" => "SRP_RNA",
            "RNase_P_RNA" => "RNase_P_RNA",
            "RNase_MRP_RNA" => "RNase_MRP_RNA",
            "telomerase_RNA" => "telomerase_RNA",
            "guide_RNA" => "guide_RNA",
            "vault_RNA" => "vault_RNA",
            "Y_RNA" => "Y_RNA",
            "protein_coding" => "mRNA",
            _ => "transcript",
        },
    }
}

struct Rows<'a> {
    out: &'a mut dyn Write,
    seqid: Vec<u8>,
    source: Vec<u8>,
    line: Vec<u8>,
}

impl Rows<'_> {
    fn row(
        &mut self,
        word: &str,
        span: Interval,
        score: Option<f32>,
        strand: Strand,
        phase: Option<u8>,
        attributes: &[(&str, &str)],
    ) -> io::Result<()> {
        let line = &mut self.line;
        line.clear();
        line.extend_from_slice(&self.seqid);
        line.push(b'\t');
        line.extend_from_slice(&self.source);
        write!(line, "\t{word}\t{}\t{}\t", span.start + 1, span.end)?;
        match score {
            Some(score) => write!(line, "{score:.4}")?,
            None => line.push(b'.'),
        }
        write!(line, "\t{}\t", strand.symbol())?;
        line.push(phase.map_or(b'.', |phase| b'0' + phase));
        line.push(b'\t');
        let mut first = true;
        for (key, value) in attributes.iter().filter(|(_, value)| !value.is_empty()) {
            if !first {
                line.push(b';');
            }
            first = false;
            line.extend_from_slice(key.as_bytes());
            line.push(b'=');
            // The two commas that are syntax: ranges with an unknown end.
            if matches!(*key, "start_range" | "end_range" | "tag") {
                line.extend_from_slice(value.as_bytes());
            } else {
                encode(value, line);
            }
        }
        if first {
            line.push(b'.');
        }
        line.push(b'\n');
        self.out.write_all(line)
    }
}

/// GFF3 1.26: genes in order, each with its transcripts, exons, CDS and UTRs, closed by `###`.
pub fn write_gff3(annotation: &Annotation, path: impl AsRef<Path>, source: &str) -> Result<()> {
    write_whole(path, |out| gff3(annotation, out, source))
}

/// As [`write_gff3`], to any writer.
pub fn gff3(annotation: &Annotation, out: &mut dyn Write, source: &str) -> io::Result<()> {
    writeln!(out, "##gff-version 3")?;
    for (seqid, length) in annotation.seqids.iter().zip(&annotation.lengths) {
        if let Some(length) = length.filter(|&length| length > 0) {
            let mut name = Vec::new();
            encode_seqid(seqid, &mut name);
            out.write_all(b"##sequence-region ")?;
            out.write_all(&name)?;
            writeln!(out, " 1 {length}")?;
        }
    }
    let mut escaped_source = Vec::new();
    encode(if source.is_empty() { "." } else { source }, &mut escaped_source);
    let mut rows = Rows { out, seqid: Vec::new(), source: escaped_source, line: Vec::new() };
    let mut circular: Vec<bool> = vec![false; annotation.seqids.len()];
    for (i, circle) in circular.iter_mut().enumerate() {
        *circle = annotation.circular.get(i).copied().unwrap_or(false);
        if let (true, Some(length)) = (*circle, annotation.lengths[i]) {
            set_seqid(&mut rows, &annotation.seqids[i]);
            let id = format!("region-{}", annotation.seqids[i]);
            let attributes = [("ID", id.as_str()), ("Is_circular", "true")];
            rows.row("region", Interval::new(0, length), None, Strand::Forward, None, &attributes)?;
            writeln!(rows.out, "###")?;
        }
    }
    let mut last = u32::MAX;
    for gene in &annotation.genes {
        if gene.seqid != last {
            set_seqid(&mut rows, &annotation.seqids[gene.seqid as usize]);
            last = gene.seqid;
        }
        let code = annotation.genetic_codes.get(gene.seqid as usize).copied().flatten();
        write_gene(&mut rows, gene, code)?;
        rows.out.write_all(b"###\n")?;
    }
    Ok(())
}

fn set_seqid(rows: &mut Rows<'_>, seqid: &str) {
    rows.seqid.clear();
    encode_seqid(seqid, &mut rows.seqid);
}

fn write_gene(rows: &mut Rows<'_>, gene: &Gene, code: Option<u32>) -> io::Result<()> {
    let word = match (gene.flags.pseudogene, gene.flags.mobile_element) {
        (true, _) => "pseudogene",
        (_, true) => "transposable_element_gene",
        _ => "gene",
    };
    // A transcript without a row of its own and without a CDS says on the gene's row that it is incomplete.
    let bare =
        gene.transcripts.first().filter(|transcript| transcript.cds.is_empty() && hangs_from_gene(gene, transcript));
    let (is_partial, start_range, end_range) = match (bare, bare.and_then(whole)) {
        (Some(transcript), Some(span)) => partial(transcript, gene.strand, span),
        _ => ("", String::new(), String::new()),
    };
    let attributes = [
        ("ID", gene.id.as_str()),
        ("Name", gene.name.as_deref().unwrap_or("")),
        ("gene_biotype", gene.biotype.as_str()),
        ("partial", is_partial),
        ("start_range", &start_range),
        ("end_range", &end_range),
        ("exception", if gene.flags.trans_splicing { "trans-splicing" } else { "" }),
    ];
    rows.row(word, gene.span, gene.score, gene.strand, None, &attributes)?;
    for transcript in &gene.transcripts {
        write_transcript(rows, gene, transcript, code)?;
    }
    Ok(())
}

/// From the first exon's start to the last one's end.
fn whole(transcript: &Transcript) -> Option<Interval> {
    let (first, last) = (transcript.exons.first()?, transcript.exons.last()?);
    Some(Interval::new(first.start, last.end))
}

/// A transcript that bears its gene's id has no row of its own: its CDS (or exons) hang from the gene.
fn hangs_from_gene(gene: &Gene, transcript: &Transcript) -> bool {
    transcript.id == gene.id && gene.transcripts.len() == 1 && transcript.biotype == gene.biotype
}

/// NCBI's attributes of a feature whose ends are missing: `partial`, `start_range`, `end_range`.
fn partial(transcript: &Transcript, strand: Strand, span: Interval) -> (&'static str, String, String) {
    let (left, right) = match strand {
        Strand::Reverse => (transcript.partial_3, transcript.partial_5),
        _ => (transcript.partial_5, transcript.partial_3),
    };
    let range = |missing: bool, text: String| if missing { text } else { String::new() };
    (
        if left || right { "true" } else { "" },
        range(left, format!(".,{}", span.start + 1)),
        range(right, format!("{},.", span.end)),
    )
}

fn write_transcript(rows: &mut Rows<'_>, gene: &Gene, transcript: &Transcript, code: Option<u32>) -> io::Result<()> {
    let strand = gene.strand;
    let Some(span) = whole(transcript) else { return Ok(()) };
    let coding = !transcript.cds.is_empty();
    let of_gene = hangs_from_gene(gene, transcript);
    let own_id;
    let id = if transcript.id == gene.id && !of_gene {
        own_id = format!("{}.t1", gene.id);
        &own_id
    } else {
        &transcript.id
    };
    if !of_gene {
        let tag = match (transcript.flags.canonical, transcript.flags.selenoprotein) {
            (true, true) => "canonical,seleno",
            (true, false) => "canonical",
            (false, true) => "seleno",
            _ => "",
        };
        let (is_partial, start_range, end_range) = match coding {
            true => ("", String::new(), String::new()),
            false => partial(transcript, strand, span),
        };
        let attributes = [
            ("ID", id.as_str()),
            ("Parent", gene.id.as_str()),
            ("transcript_biotype", transcript.biotype.as_str()),
            ("partial", is_partial),
            ("start_range", &start_range),
            ("end_range", &end_range),
            ("tag", tag),
        ];
        rows.row(transcript_type(transcript), span, transcript.score, strand, None, &attributes)?;
    }
    // Exons that are the CDS itself say nothing where there is no transcript row.
    let rna = !coding && !gene.flags.pseudogene && !gene.flags.mobile_element;
    let plain = of_gene && (transcript.exons == transcript.cds || (rna && transcript.exons == [gene.span]));
    if !plain {
        for &exon in &transcript.exons {
            rows.row("exon", exon, None, strand, None, &[("Parent", id)])?;
        }
    }
    if !coding {
        return Ok(());
    }
    let cds_span = Interval::new(transcript.cds[0].start, transcript.cds[transcript.cds.len() - 1].end);
    let (is_partial, start_range, end_range) = partial(transcript, strand, cds_span);
    let cds_id = format!("cds-{id}");
    let code = code.map_or_else(String::new, |code| code.to_string());
    let attributes = [
        ("ID", cds_id.as_str()),
        ("Parent", id.as_str()),
        ("partial", is_partial),
        ("start_range", &start_range),
        ("end_range", &end_range),
        ("exception", if transcript.flags.slippage { "ribosomal slippage" } else { "" }),
        ("tag", if transcript.flags.selenoprotein { "seleno" } else { "" }),
        ("transl_table", &code),
    ];
    for (&part, phase) in transcript.cds.iter().zip(transcript.phases(strand)) {
        rows.row("CDS", part, None, strand, Some(phase), &attributes)?;
    }
    if !plain {
        for (utr, word) in utrs(transcript, strand, cds_span) {
            rows.row(word, utr, None, strand, None, &[("Parent", id)])?;
        }
    }
    Ok(())
}

/// The parts of exons before and after the CDS.
fn utrs(transcript: &Transcript, strand: Strand, cds: Interval) -> Vec<(Interval, &'static str)> {
    let (left, right) = match strand {
        Strand::Reverse => ("three_prime_UTR", "five_prime_UTR"),
        _ => ("five_prime_UTR", "three_prime_UTR"),
    };
    let mut out = Vec::new();
    for exon in &transcript.exons {
        if exon.start < cds.start {
            out.push((Interval::new(exon.start, exon.end.min(cds.start)), left));
        }
    }
    for exon in &transcript.exons {
        if exon.end > cds.end {
            out.push((Interval::new(exon.start.max(cds.end), exon.end), right));
        }
    }
    out
}

/// Which sequence of a transcript is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequences {
    /// Spliced CDS from the first whole codon on.
    Cds,
    /// Translated CDS, without the final stop.
    Protein,
    /// Spliced exons.
    Transcript,
}

/// The bases of a gene's sequence in upper case.
fn bases_of(annotation: &Annotation, genome: &Genome) -> Result<Vec<usize>> {
    let indices = genome.indices();
    annotation
        .seqids
        .iter()
        .enumerate()
        .map(|(i, id)| match indices.get(id.as_str()) {
            Some(&at) => Ok(at),
            None if annotation.genes.iter().all(|gene| gene.seqid as usize != i) => Ok(usize::MAX),
            None => Err(Error::input(format!("the genome has no sequence '{id}'"))),
        })
        .collect()
}

/// Writes the sequences of all transcripts as FASTA; the record's id is the transcript's.
pub fn write_fasta(
    annotation: &Annotation,
    genome: &Genome,
    path: impl AsRef<Path>,
    what: Sequences,
    codes: &Codes,
) -> Result<()> {
    let place = bases_of(annotation, genome)?;
    let by_seqid: Vec<Result<&GeneticCode>> =
        (0..annotation.seqids.len() as u32).map(|seqid| codes.of(annotation, seqid)).collect();
    if let Some(Err(error)) = by_seqid.iter().find(|code| code.is_err()) {
        return Err(Error::input(error.to_string()));
    }
    for gene in &annotation.genes {
        let bases = &genome.sequences[place[gene.seqid as usize]].bases;
        let limit = 2 * bases.len() as u64;
        let parts = gene.transcripts.iter().flat_map(|transcript| transcript.exons.iter().chain(&transcript.cds));
        let circular = annotation.circular.get(gene.seqid as usize).copied().unwrap_or(false);
        let limit = if circular { limit } else { bases.len() as u64 };
        if parts.clone().any(|part| part.end > limit) {
            let id = &annotation.seqids[gene.seqid as usize];
            return Err(Error::input(format!("gene '{}' lies past the end of sequence '{id}'", gene.id)));
        }
    }
    write_whole(path, |out| {
        for gene in &annotation.genes {
            let bases = &genome.sequences[place[gene.seqid as usize]].bases;
            for transcript in &gene.transcripts {
                let sequence = match what {
                    Sequences::Transcript => transcript.spliced(bases, gene.strand),
                    _ if transcript.cds.is_empty() => continue,
                    Sequences::Cds => transcript.coding_sequence(bases, gene.strand),
                    Sequences::Protein => match &by_seqid[gene.seqid as usize] {
                        Ok(code) => transcript.protein(bases, gene.strand, code),
                        Err(_) => continue,
                    },
                };
                write!(out, ">{}", transcript.id.replace(char::is_whitespace, "_"))?;
                if transcript.id != gene.id {
                    write!(out, " gene={}", gene.id)?;
                }
                out.write_all(b"\n")?;
                for line in sequence.to_ascii_uppercase().chunks(LINE) {
                    out.write_all(line)?;
                    out.write_all(b"\n")?;
                }
            }
        }
        Ok(())
    })
}
