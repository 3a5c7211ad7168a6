//! GenBank flat files: their sequences, and their features rewritten as the rows of GFF3 that NCBI would give.
//!
//! The name of a sequence is its VERSION, else its ACCESSION, else its LOCUS. Format: "The DDBJ/ENA/GenBank Feature Table
//! Definition", version 11.3; the feature table's columns are 6 (key) and 22 (location, qualifiers).

use std::io::Write;
use std::path::Path;

use rustc_hash::{FxHashMap, FxHashSet};

use super::attributes::{encode, encode_seqid};
use super::{Annotation, Options, assemble, reader};
use crate::error::{Error, Result};
use crate::fasta::{Genome, Sequence};
use crate::gene::Strand;

/// Column (from 0) of locations and qualifiers.
const LOCATION_COLUMN: usize = 21;

/// A record up to its `//`.
#[derive(Default)]
struct Entry<'a> {
    locus: String,
    accession: String,
    version: String,
    definition: String,
    length: Option<u64>,
    circular: bool,
    features: Vec<Feature<'a>>,
    bases: Vec<u8>,
    line: u64,
}

struct Feature<'a> {
    key: &'a str,
    location: String,
    qualifiers: Vec<(&'a str, String)>,
    line: u64,
}

impl Feature<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.qualifiers.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str())
    }

    fn has(&self, key: &str) -> bool {
        self.qualifiers.iter().any(|(name, _)| *name == key)
    }
}

impl Entry<'_> {
    fn id(&self) -> &str {
        let known = |word: &&str| !word.is_empty() && !matches!(*word, "." | "unknown");
        [self.version.as_str(), self.accession.as_str()].into_iter().find(known).unwrap_or(&self.locus)
    }
}

/// The sequences of a file.
pub fn genome(path: &Path, text: &[u8]) -> Result<Genome> {
    let text = as_text(path, text)?;
    let mut sequences = Vec::new();
    let mut seen = FxHashSet::default();
    for entry in entries(path, text, true)? {
        let id = entry.id().to_owned();
        if entry.bases.is_empty() {
            return Err(Error::format(path, entry.line, format!("the GenBank record '{id}' has no sequence (ORIGIN)")));
        }
        if !seen.insert(id.clone()) {
            return Err(Error::format(path, entry.line, format!("the sequence id '{id}' was given before")));
        }
        sequences.push(Sequence { id, description: entry.definition, bases: entry.bases, circular: entry.circular });
    }
    Ok(Genome { sequences })
}

/// The gene models of a file.
pub fn annotation(path: &Path, text: &[u8], options: Options) -> Result<Annotation> {
    let text = as_text(path, text)?;
    let mut rows = Rows::default();
    for entry in entries(path, text, false)? {
        rows.entry(path, &entry)?;
    }
    let mut annotation = assemble::assemble(reader::read(path, &rows.text, Some(&rows.lines), options)?)?;
    for (key, count) in rows.unused {
        *annotation.report.counts.entry(key).or_insert(0) += count;
    }
    Ok(annotation)
}

fn as_text<'a>(path: &Path, text: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(text)
        .map_err(|error| Error::format(path, crate::input::line_of(text, error.valid_up_to()), "the text is not UTF-8"))
}

#[derive(PartialEq)]
enum Part {
    Header,
    Features,
    Origin,
    Outside,
}

fn entries<'a>(path: &Path, text: &'a str, with_bases: bool) -> Result<Vec<Entry<'a>>> {
    let mut done = Vec::new();
    let mut entry = Entry::default();
    let mut part = Part::Outside;
    let mut open_quote = false;
    for (i, line) in text.lines().enumerate() {
        let number = i as u64 + 1;
        let fail = |message: String| Err(Error::format(path, number, message));
        if line.starts_with("LOCUS") {
            if part != Part::Outside {
                return fail(format!("a new record starts before the end ('//') of '{}'", entry.id()));
            }
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let unit = words.iter().position(|&word| word == "bp");
            entry = Entry {
                locus: (*words.get(1).unwrap_or(&"")).to_owned(),
                length: unit.and_then(|at| words[at - 1].parse().ok()),
                circular: words.iter().skip(2).any(|word| word.eq_ignore_ascii_case("circular")),
                line: number,
                ..Entry::default()
            };
            if entry.locus.is_empty() {
                return fail("the LOCUS line names no sequence".into());
            }
            part = Part::Header;
            continue;
        }
        if line.starts_with("//") {
            if part == Part::Outside {
                return fail("'//' stands outside a record".into());
            }
            done.push(std::mem::take(&mut entry));
            part = Part::Outside;
            continue;
        }
        if part == Part::Outside {
            if !line.trim().is_empty() {
                return fail("the text stands outside a record (LOCUS to '//')".into());
            }
            continue;
        }
        if !line.starts_with(' ') && !line.is_empty() && !open_quote {
            let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
            let first = rest.split_ascii_whitespace().next().unwrap_or("").to_owned();
            part = Part::Header;
            match keyword {
                "FEATURES" => part = Part::Features,
                "ORIGIN" => part = Part::Origin,
                "DEFINITION" => entry.definition = rest.trim().to_owned(),
                "ACCESSION" => entry.accession = first,
                "VERSION" => entry.version = first,
                _ => {}
            }
            continue;
        }
        match part {
            Part::Features => feature_line(path, &mut entry, line, number, &mut open_quote)?,
            Part::Origin if with_bases => {
                for b in line.bytes() {
                    match b {
                        b'0'..=b'9' | b' ' | b'\r' => {}
                        b'u' => entry.bases.push(b't'),
                        b'U' => entry.bases.push(b'T'),
                        b if b.is_ascii_alphabetic() => entry.bases.push(b),
                        b => return fail(format!("'{}' in the sequence is no nucleotide", char::from(b))),
                    }
                }
            }
            _ => {}
        }
    }
    if part != Part::Outside {
        let id = entry.id();
        return Err(Error::format(
            path,
            entry.line,
            format!("the record '{id}' does not end ('//'); is the file cut?"),
        ));
    }
    Ok(done)
}

fn feature_line<'a>(
    path: &Path,
    entry: &mut Entry<'a>,
    line: &'a str,
    number: u64,
    open_quote: &mut bool,
) -> Result<()> {
    let content = line.trim();
    if content.is_empty() {
        return Ok(());
    }
    let indent = line.len() - line.trim_start().len();
    if indent < LOCATION_COLUMN && !*open_quote {
        let (key, location) = content.split_once(char::is_whitespace).unwrap_or((content, ""));
        entry.features.push(Feature {
            key,
            location: location.trim().to_owned(),
            qualifiers: Vec::new(),
            line: number,
        });
        return Ok(());
    }
    let Some(feature) = entry.features.last_mut() else {
        return Err(Error::format(path, number, "a qualifier stands before the first feature"));
    };
    let odd_quotes = |text: &str| text.matches('"').count() % 2 == 1;
    if *open_quote {
        let (_, value) = feature.qualifiers.last_mut().expect("a quote is open in a qualifier");
        value.push(' ');
        value.push_str(content);
        *open_quote ^= odd_quotes(content);
        if !*open_quote {
            *value = unquoted(value);
        }
    } else if let Some(qualifier) = content.strip_prefix('/') {
        let (key, value) = qualifier.split_once('=').unwrap_or((qualifier, ""));
        *open_quote = odd_quotes(value);
        let value = if *open_quote { value.to_owned() } else { unquoted(value) };
        feature.qualifiers.push((key, value));
    } else if let Some((_, value)) = feature.qualifiers.last_mut() {
        value.push_str(content);
    } else {
        feature.location.push_str(content);
    }
    Ok(())
}

fn unquoted(value: &str) -> String {
    let value = value.trim();
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value).replace("\"\"", "\"")
}

/// A feature's place: its parts from left to right.
#[derive(Default)]
struct Place {
    parts: Vec<(u64, u64, Strand)>,
    partial_left: bool,
    partial_right: bool,
    /// A part lies on another sequence.
    elsewhere: bool,
}

impl Place {
    fn parse(location: &str) -> std::result::Result<Place, String> {
        let text: String = location.chars().filter(|c| !c.is_whitespace()).collect();
        let mut place = Place::default();
        place.add(&text, Strand::Forward, 0)?;
        if place.parts.is_empty() && !place.elsewhere {
            return Err(format!("the location '{location}' is empty"));
        }
        Ok(place)
    }

    fn add(&mut self, text: &str, strand: Strand, depth: usize) -> std::result::Result<(), String> {
        let wrong = || format!("could not parse the location '{text}'");
        if depth > 20 {
            return Err(wrong());
        }
        for (operator, flips) in [("complement(", true), ("join(", false), ("order(", false), ("bond(", false)] {
            if let Some(rest) = text.strip_prefix(operator) {
                let inner = rest.strip_suffix(')').ok_or_else(wrong)?;
                let strand = match (flips, strand) {
                    (true, Strand::Forward) => Strand::Reverse,
                    (true, _) => Strand::Forward,
                    (false, strand) => strand,
                };
                for part in split_top(inner) {
                    self.add(part, strand, depth + 1)?;
                }
                return Ok(());
            }
        }
        if text.contains(':') {
            self.elsewhere = true;
            return Ok(());
        }
        let (low, high) = text.split_once("..").or_else(|| text.split_once('^')).unwrap_or((text, text));
        let number = |word: &str| {
            let digits = word.trim_matches(['<', '>', '(', ')']);
            // `102.110` is a base somewhere between the two.
            digits.split('.').next().and_then(|digits| digits.parse::<u64>().ok()).filter(|&n| n > 0)
        };
        let (start, end) = (number(low).ok_or_else(wrong)?, number(high).ok_or_else(wrong)?);
        self.partial_left |= low.contains(['<', '>']);
        self.partial_right |= high.contains(['<', '>']) && !std::ptr::eq(low, high);
        self.parts.push((start, end, strand));
        Ok(())
    }
}

/// Splits at commas outside parentheses.
fn split_top(text: &str) -> Vec<&str> {
    let (mut out, mut depth, mut start) = (Vec::new(), 0i32, 0);
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                out.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out
}

/// A transcript of a gene, while CDS look for theirs.
struct Sibling {
    id: String,
    parts: Vec<(u64, u64, Strand)>,
    has_cds: bool,
}

/// GFF3 rows, and the GenBank line of each.
#[derive(Default)]
struct Rows {
    text: Vec<u8>,
    lines: Vec<u64>,
    unused: FxHashMap<String, u64>,
    genes: u64,
}

/// Features that become transcripts, by their key; `ncRNA` by its class.
fn transcript_word(feature: &Feature<'_>) -> Option<String> {
    let word = match feature.key {
        "mRNA" | "tRNA" | "rRNA" | "tmRNA" | "misc_RNA" | "C_region" | "V_region" | "V_segment" | "D_segment"
        | "J_segment" => feature.key,
        "precursor_RNA" | "prim_transcript" => "primary_transcript",
        "ncRNA" => match feature.get("ncRNA_class") {
            None | Some("other" | "") => "ncRNA",
            Some(class) => class,
        },
        _ => return None,
    };
    Some(word.to_owned())
}

impl Rows {
    fn entry(&mut self, path: &Path, entry: &Entry<'_>) -> Result<()> {
        let mut seqid = Vec::new();
        encode_seqid(entry.id(), &mut seqid);
        let length = entry.length.filter(|&length| length > 0);
        if let Some(length) = length {
            let circular = if entry.circular { ";Is_circular=true" } else { "" };
            self.text.extend_from_slice(&seqid);
            self.text.extend_from_slice(format!("\t.\tregion\t1\t{length}\t.\t+\t.\tgbkey=Src{circular}\n").as_bytes());
            self.lines.push(entry.line);
        }
        // First the genes: their keys, and the features that name them.
        let mut by_key: FxHashMap<&str, String> = FxHashMap::default();
        let mut places = Vec::with_capacity(entry.features.len());
        for feature in &entry.features {
            let used = matches!(feature.key, "gene" | "CDS") || transcript_word(feature).is_some();
            if !used {
                if !matches!(feature.key, "source" | "exon" | "intron" | "mat_peptide" | "sig_peptide") {
                    let reason = format!("row of type {} is no part of a gene model", feature.key);
                    *self.unused.entry(reason).or_insert(0) += 1;
                }
                places.push(None);
                continue;
            }
            let place =
                Place::parse(&feature.location).map_err(|message| Error::format(path, feature.line, message))?;
            for &(start, end, _) in &place.parts {
                let fault = match length {
                    Some(length) if end > length || start > length => {
                        Some(format!("the location passes the end of the record, which has {length} bases"))
                    }
                    _ if start > end && !entry.circular => {
                        Some(format!("the start {start} of the location is larger than its end {end}"))
                    }
                    _ => None,
                };
                if let Some(message) = fault {
                    return Err(Error::format(path, feature.line, message));
                }
            }
            places.push(Some(place));
        }
        let key = |feature: &'_ Feature<'_>| -> Option<String> {
            feature.get("locus_tag").or_else(|| feature.get("gene")).map(str::to_owned)
        };
        // The parts of transcripts, to find the one that a CDS belongs to.
        let mut transcripts: FxHashMap<String, Vec<Sibling>> = FxHashMap::default();
        for (feature, place) in entry.features.iter().zip(&places) {
            let Some(place) = place else { continue };
            if feature.key == "gene" {
                self.genes += 1;
                let name = key(feature).unwrap_or_else(|| format!("{}_gene{}", entry.id(), self.genes));
                if let Some(word) = feature.get("locus_tag").or_else(|| feature.get("gene")) {
                    by_key.entry(word).or_insert_with(|| name.clone());
                }
                self.gene(&seqid, feature, place, &name);
            }
        }
        // Transcripts and CDS that name a gene without a feature of its own imply it.
        let mut implied: Vec<(&str, &Feature<'_>, Place)> = Vec::new();
        let mut at: FxHashMap<&str, usize> = FxHashMap::default();
        for (feature, place) in entry.features.iter().zip(&places) {
            let (Some(place), Some(word)) = (place, feature.get("locus_tag").or_else(|| feature.get("gene"))) else {
                continue;
            };
            if feature.key != "gene" && !by_key.contains_key(word) {
                let i = *at.entry(word).or_insert_with(|| {
                    implied.push((word, feature, Place::default()));
                    implied.len() - 1
                });
                implied[i].2.parts.extend_from_slice(&place.parts);
            }
        }
        for (word, feature, whole) in implied {
            by_key.insert(word, word.to_owned());
            self.gene(&seqid, feature, &whole, word);
        }
        let mut number = 0;
        for (feature, place) in entry.features.iter().zip(&places) {
            let (Some(place), Some(word)) = (place, transcript_word(feature)) else { continue };
            number += 1;
            let gene = key(feature).and_then(|word| by_key.get(word.as_str()).cloned());
            let stem = gene.clone().unwrap_or_else(|| format!("{}_{number}", entry.id()));
            let siblings = transcripts.entry(stem.clone()).or_default();
            let id = match feature.get("transcript_id") {
                Some(id) => id.to_owned(),
                None if siblings.is_empty() => format!("rna-{stem}"),
                None => format!("rna-{stem}-{}", siblings.len() + 1),
            };
            siblings.push(Sibling { id: id.clone(), parts: place.parts.clone(), has_cds: false });
            self.transcript(&seqid, feature, place, &word, &id, gene.as_deref());
        }
        number = 0;
        for (feature, place) in entry.features.iter().zip(&places) {
            let (Some(place), "CDS") = (place, feature.key) else { continue };
            number += 1;
            let gene = key(feature).and_then(|word| by_key.get(word.as_str()).cloned());
            let stem = gene.clone().unwrap_or_else(|| format!("{}_{number}", entry.id()));
            let id = feature
                .get("protein_id")
                .map_or_else(|| format!("cds-{stem}-{number}"), |id| format!("cds-{id}-{number}"));
            // The first transcript without a CDS whose parts hold this one's.
            let holds = |parts: &[(u64, u64, Strand)]| {
                place
                    .parts
                    .iter()
                    .all(|cds| parts.iter().any(|part| part.0 <= cds.0 && cds.1 <= part.1 && part.2 == cds.2))
            };
            let owner = gene.as_ref().and_then(|gene| transcripts.get_mut(gene)).and_then(|siblings| {
                let found = siblings.iter_mut().find(|sibling| !sibling.has_cds && holds(&sibling.parts))?;
                found.has_cds = true;
                Some(found.id.clone())
            });
            self.cds(&seqid, feature, place, &id, owner.or(gene).as_deref());
        }
        Ok(())
    }

    fn row(
        &mut self,
        seqid: &[u8],
        word: &str,
        (start, end, strand): (u64, u64, Strand),
        phase: Option<u8>,
        line: u64,
        attributes: &[(&str, &str)],
    ) {
        self.text.extend_from_slice(seqid);
        let phase = phase.map_or('.', |phase| char::from(b'0' + phase));
        let _ = write!(self.text, "\t.\t{word}\t{start}\t{end}\t.\t{}\t{phase}\t", strand.symbol());
        for (key, value) in attributes.iter().filter(|(_, value)| !value.is_empty()) {
            self.text.extend_from_slice(key.as_bytes());
            self.text.push(b'=');
            encode(value, &mut self.text);
            self.text.push(b';');
        }
        self.text.push(b'\n');
        self.lines.push(line);
    }

    fn gene(&mut self, seqid: &[u8], feature: &Feature<'_>, place: &Place, id: &str) {
        if place.parts.is_empty() {
            return;
        }
        let pseudo = if feature.has("pseudo") || feature.has("pseudogene") { "true" } else { "" };
        let mixed = place.parts.iter().any(|part| part.2 != place.parts[0].2);
        let exception = if feature.has("trans_splicing") || mixed || place.elsewhere { "trans-splicing" } else { "" };
        let attributes =
            [("ID", id), ("Name", feature.get("gene").unwrap_or("")), ("pseudo", pseudo), ("exception", exception)];
        self.row(seqid, "gene", span(&place.parts), None, feature.line, &attributes);
    }

    fn transcript(
        &mut self,
        seqid: &[u8],
        feature: &Feature<'_>,
        place: &Place,
        word: &str,
        id: &str,
        gene: Option<&str>,
    ) {
        if place.parts.is_empty() {
            return;
        }
        let pseudo = if feature.has("pseudo") || feature.has("pseudogene") { "true" } else { "" };
        let exception = if feature.has("trans_splicing") || place.elsewhere { "trans-splicing" } else { "" };
        let attributes = [
            ("ID", id),
            ("Parent", gene.unwrap_or("")),
            ("Name", feature.get("gene").unwrap_or("")),
            ("pseudo", pseudo),
            ("exception", exception),
            ("start_range", if place.partial_left { "." } else { "" }),
            ("end_range", if place.partial_right { "." } else { "" }),
        ];
        self.row(seqid, word, span(&place.parts), None, feature.line, &attributes);
        for &part in &place.parts {
            self.row(seqid, "exon", part, None, feature.line, &[("Parent", id)]);
        }
    }

    fn cds(&mut self, seqid: &[u8], feature: &Feature<'_>, place: &Place, id: &str, parent: Option<&str>) {
        let flag = |key: &str, word: &'static str| if feature.has(key) { word } else { "" };
        let exception = match feature.get("exception") {
            Some(exception) => exception,
            None if feature.has("trans_splicing") || place.elsewhere => "trans-splicing",
            None => flag("ribosomal_slippage", "ribosomal slippage"),
        };
        let pseudo = if feature.has("pseudo") || feature.has("pseudogene") { "true" } else { "" };
        let attributes = [
            ("ID", id),
            ("Parent", parent.unwrap_or("")),
            ("Name", feature.get("gene").unwrap_or("")),
            ("locus_tag", feature.get("locus_tag").unwrap_or("")),
            ("transl_table", feature.get("transl_table").unwrap_or("")),
            ("transl_except", feature.get("transl_except").unwrap_or("")),
            ("exception", exception),
            ("pseudo", pseudo),
            ("start_range", if place.partial_left { "." } else { "" }),
            ("end_range", if place.partial_right { "." } else { "" }),
        ];
        // codon_start counts from 1; the parts of a location stand in the order of translation, those under one
        // complement in the opposite one.
        let codon_start = feature.get("codon_start").and_then(|text| text.parse::<u64>().ok()).unwrap_or(1);
        let mut phase = (codon_start.clamp(1, 3)) - 1;
        let reverse = place.parts.first().is_some_and(|part| part.2 == Strand::Reverse)
            && feature.location.trim_start().starts_with("complement(");
        let order: Vec<usize> =
            if reverse { (0..place.parts.len()).rev().collect() } else { (0..place.parts.len()).collect() };
        for i in order {
            let part = place.parts[i];
            self.row(seqid, "CDS", part, Some(phase as u8), feature.line, &attributes);
            // A part over the origin (start past end) holds codons by a length that only the record knows.
            let length = (part.1 + 1).saturating_sub(part.0);
            phase = (3 - (length + 3 - phase) % 3) % 3;
        }
    }
}

/// From the first base to the last; a location over the origin starts past its end.
fn span(parts: &[(u64, u64, Strand)]) -> (u64, u64, Strand) {
    let strand = parts[0].2;
    let over_origin = parts.len() > 1 && {
        let wraps = |first: &(u64, u64, Strand), last: &(u64, u64, Strand)| last.0 == 1 && first.0 > last.1;
        parts.windows(2).any(|pair| wraps(&pair[0], &pair[1]) || wraps(&pair[1], &pair[0]) && strand == Strand::Reverse)
    };
    if over_origin {
        let low = parts.iter().filter(|part| part.0 > 1).map(|part| part.0);
        let after: Vec<_> = parts.iter().filter(|part| part.0 == 1).collect();
        return (low.min().unwrap_or(1), after.iter().map(|part| part.1).max().unwrap_or(1), strand);
    }
    let low = parts.iter().map(|part| part.0).min().unwrap_or(1);
    (low, parts.iter().map(|part| part.1).max().unwrap_or(low), strand)
}
