//! Writes gene models as GFF3, and their sequences as FASTA.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;

use super::attributes::{encode, encode_seqid};
use super::biotype::{self, Kind};
use super::{Annotation, biotype::canonical};
use crate::dna::{GeneticCode, reverse_complement};
use crate::error::{Error, Result};
use crate::fasta::Genome;
use crate::gene::{Gene, Interval, Strand, Transcript};
use crate::in_order::{in_order, with_threads};
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

/// Genes whose rows are made at a time, and the bytes that these mostly fit in.
const GENES: usize = 128;
const ROOM: usize = 1 << 19;

/// Rows of GFF3 as text.
struct Rows {
    text: Vec<u8>,
    /// The first two columns of the rows, each with its tab, and the sequence that they are of.
    start: Vec<u8>,
    seqid: u32,
    /// The second column.
    source: Vec<u8>,
}

impl Rows {
    fn new(source: &str) -> Rows {
        let mut escaped = Vec::new();
        encode(if source.is_empty() { "." } else { source }, &mut escaped);
        Rows { text: Vec::new(), start: Vec::new(), seqid: u32::MAX, source: escaped }
    }

    fn set_seqid(&mut self, annotation: &Annotation, seqid: u32) {
        if self.seqid != seqid {
            self.seqid = seqid;
            self.start.clear();
            encode_seqid(&annotation.seqids[seqid as usize], &mut self.start);
            self.start.push(b'\t');
            self.start.extend_from_slice(&self.source);
            self.start.push(b'\t');
        }
    }

    fn row(
        &mut self,
        word: &str,
        span: Interval,
        score: Option<f32>,
        strand: Strand,
        phase: Option<u8>,
        attributes: &Column,
    ) {
        let text = &mut self.text;
        text.reserve(self.start.len() + word.len() + attributes.0.len() + 64);
        text.extend_from_slice(&self.start);
        text.extend_from_slice(word.as_bytes());
        text.push(b'\t');
        push_number(span.start + 1, text);
        text.push(b'\t');
        push_number(span.end, text);
        text.push(b'\t');
        match score {
            Some(score) => text.extend_from_slice(format!("{score:.4}").as_bytes()),
            None => text.push(b'.'),
        }
        text.extend_from_slice(&[b'\t', strand.symbol() as u8, b'\t', phase.map_or(b'.', |phase| b'0' + phase), b'\t']);
        match attributes.0.as_slice() {
            [] => text.push(b'.'),
            column => text.extend_from_slice(column),
        }
        text.push(b'\n');
    }
}

fn push_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The ninth column.
struct Column(Vec<u8>);

impl Column {
    /// Empty values are left out.
    fn of(pairs: &[(&str, &str)]) -> Column {
        let mut column = Column(Vec::with_capacity(96));
        for (key, value) in pairs {
            column.add(key, value);
        }
        column
    }

    fn add(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.key(key);
            encode(value, &mut self.0);
        }
    }

    fn key(&mut self, key: &str) {
        if !self.0.is_empty() {
            self.0.push(b';');
        }
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(b'=');
    }

    /// NCBI's attributes of a feature whose ends are missing: `partial`, `start_range`, `end_range`.
    fn add_partial(&mut self, transcript: &Transcript, strand: Strand, span: Interval) {
        let (left, right) = match strand {
            Strand::Reverse => (transcript.partial_3, transcript.partial_5),
            _ => (transcript.partial_5, transcript.partial_3),
        };
        if left || right {
            self.add("partial", "true");
        }
        // The commas here, and in tags, are syntax.
        if left {
            self.key("start_range");
            self.0.extend_from_slice(b".,");
            push_number(span.start + 1, &mut self.0);
        }
        if right {
            self.key("end_range");
            push_number(span.end, &mut self.0);
            self.0.extend_from_slice(b",.");
        }
    }
}

/// GFF3 1.26: genes in order, each with its transcripts, exons, CDS and UTRs, closed by `###`. Made on as many threads.
pub fn write_gff3(threads: usize, annotation: &Annotation, path: impl AsRef<Path> + Send, source: &str) -> Result<()> {
    let write = || write_whole(path, |out| gff3(annotation, out, source));
    if annotation.genes.len() <= GENES {
        return write();
    }
    with_threads(threads, write)?
}

/// As [`write_gff3`], to any writer, on the rayon pool that it is called on.
pub fn gff3(annotation: &Annotation, out: &mut (dyn Write + Send), source: &str) -> io::Result<()> {
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
    let mut rows = Rows::new(source);
    for (i, id) in annotation.seqids.iter().enumerate() {
        let circular = annotation.circular.get(i).copied().unwrap_or(false);
        if let (true, Some(length)) = (circular, annotation.lengths[i]) {
            rows.set_seqid(annotation, i as u32);
            let attributes = Column::of(&[("ID", &format!("region-{id}")), ("Is_circular", "true")]);
            rows.row("region", Interval::new(0, length), None, Strand::Forward, None, &attributes);
            rows.text.extend_from_slice(b"###\n");
        }
    }
    out.write_all(&rows.text)?;
    let written = in_order(
        annotation.genes.chunks(GENES),
        |genes| {
            let mut rows = Rows::new(source);
            rows.text.reserve(ROOM);
            for gene in genes {
                rows.set_seqid(annotation, gene.seqid);
                let code = annotation.genetic_codes.get(gene.seqid as usize).copied().flatten();
                write_gene(&mut rows, gene, code);
                rows.text.extend_from_slice(b"###\n");
            }
            rows.text
        },
        |text| match out.write_all(&text) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        },
    );
    match written {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

fn write_gene(rows: &mut Rows, gene: &Gene, code: Option<u32>) {
    let word = match (gene.flags.pseudogene, gene.flags.mobile_element) {
        (true, _) => "pseudogene",
        (_, true) => "transposable_element_gene",
        _ => "gene",
    };
    let mut attributes =
        Column::of(&[("ID", &gene.id), ("Name", gene.name.as_deref().unwrap_or("")), ("gene_biotype", &gene.biotype)]);
    // A transcript without a row of its own and without a CDS says on the gene's row that it is incomplete.
    let bare =
        gene.transcripts.first().filter(|transcript| transcript.cds.is_empty() && hangs_from_gene(gene, transcript));
    if let (Some(transcript), Some(span)) = (bare, bare.and_then(whole)) {
        attributes.add_partial(transcript, gene.strand, span);
    }
    if gene.flags.trans_splicing {
        attributes.add("exception", "trans-splicing");
    }
    rows.row(word, gene.span, gene.score, gene.strand, None, &attributes);
    for transcript in &gene.transcripts {
        write_transcript(rows, gene, transcript, code);
    }
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

fn write_transcript(rows: &mut Rows, gene: &Gene, transcript: &Transcript, code: Option<u32>) {
    let strand = gene.strand;
    let Some(span) = whole(transcript) else { return };
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
        let mut attributes =
            Column::of(&[("ID", id), ("Parent", &gene.id), ("transcript_biotype", &transcript.biotype)]);
        if !coding {
            attributes.add_partial(transcript, strand, span);
        }
        let tag: &[u8] = match (transcript.flags.canonical, transcript.flags.selenoprotein) {
            (true, true) => b"canonical,seleno",
            (true, false) => b"canonical",
            (false, true) => b"seleno",
            _ => b"",
        };
        if !tag.is_empty() {
            attributes.key("tag");
            attributes.0.extend_from_slice(tag);
        }
        rows.row(transcript_type(transcript), span, transcript.score, strand, None, &attributes);
    }
    let parent = Column::of(&[("Parent", id)]);
    // Exons that are the CDS itself say nothing where there is no transcript row.
    let rna = !coding && !gene.flags.pseudogene && !gene.flags.mobile_element;
    let plain = of_gene && (transcript.exons == transcript.cds || (rna && transcript.exons == [gene.span]));
    if !plain {
        for &exon in &transcript.exons {
            rows.row("exon", exon, None, strand, None, &parent);
        }
    }
    if !coding {
        return;
    }
    let cds_span = Interval::new(transcript.cds[0].start, transcript.cds[transcript.cds.len() - 1].end);
    let mut attributes = Column::of(&[("ID", &format!("cds-{id}")), ("Parent", id)]);
    attributes.add_partial(transcript, strand, cds_span);
    if transcript.flags.slippage {
        attributes.add("exception", "ribosomal slippage");
    }
    if transcript.flags.selenoprotein {
        attributes.add("tag", "seleno");
    }
    if let Some(code) = code {
        attributes.key("transl_table");
        push_number(u64::from(code), &mut attributes.0);
    }
    for (&part, phase) in transcript.cds.iter().zip(transcript.phases(strand)) {
        rows.row("CDS", part, None, strand, Some(phase), &attributes);
    }
    if !plain {
        for (utr, word) in utrs(transcript, strand, cds_span) {
            rows.row(word, utr, None, strand, None, &parent);
        }
    }
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
