//! GFF3 and GTF text into nodes (genes, transcripts) and their parts (exons, CDS, ...), by the ids that link them.

use std::path::Path;

use rustc_hash::FxHashMap;

use super::attributes;
use super::features::{self, Row, Says};
use super::record::{self, Record};
use super::{Options, Report};
use crate::error::{Error, Result};
use crate::gene::Strand;
use crate::input;

/// No number, no node.
pub const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Gff3,
    /// GTF, and GFF2 with the same shape of attributes.
    Gtf,
}

/// A gene, a transcript, or any other row that may have children.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    /// Number of its id, [`NONE`] without one.
    pub number: u32,
    /// Number of its (first) parent's id.
    pub parent: u32,
    pub seqid: u32,
    pub start: u64,
    pub end: u64,
    pub strand: Strand,
    pub row: Row,
    pub word: u32,
    /// No row of its own: other rows name it.
    pub implied: bool,
    pub source: &'a [u8],
    pub attributes: &'a [u8],
}

/// An exon, a CDS or another part of a transcript; a row with several parents is several parts.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    pub parent: u32,
    pub seqid: u32,
    pub start: u64,
    pub end: u64,
    pub strand: Strand,
    pub row: Row,
    pub phase: Option<u8>,
    /// The row has no parent: its own id, if any, names the transcript.
    pub alone: bool,
    /// Not the row's only parent.
    pub shared: bool,
    pub attributes: &'a [u8],
}

/// What `##sequence-region` and rows for whole sequences tell.
#[derive(Debug, Clone, Copy, Default)]
pub struct Region {
    /// 0-based, half-open.
    pub declared: Option<(u64, u64)>,
    pub length: Option<u64>,
    pub circular: bool,
    pub genetic_code: Option<u32>,
    /// The largest end of a row of a gene model, and its line.
    pub furthest: (u64, u64),
    /// The smallest start, likewise.
    pub nearest: (u64, u64),
}

/// A word of the third column.
pub struct Word<'a> {
    pub raw: &'a [u8],
    pub text: String,
    pub row: Row,
    pub says: Says,
    pub count: u64,
}

pub struct Graph<'a> {
    pub path: &'a Path,
    pub text: &'a [u8],
    pub format: Format,
    pub options: Options,
    pub seqids: Vec<String>,
    pub regions: Vec<Region>,
    pub words: Vec<Word<'a>>,
    /// The id of each number, as it stands in the text.
    pub names: Vec<&'a [u8]>,
    /// The first node of each number.
    pub by_number: Vec<u32>,
    pub nodes: Vec<Node<'a>>,
    pub parts: Vec<Part<'a>>,
    /// Nodes that share their id with an earlier one.
    pub repeated: Vec<u32>,
    pub report: Report,
    /// For text that was made from another format: the line of each row there.
    pub lines: Option<&'a [u64]>,
}

impl Graph<'_> {
    /// The 1-based line of a slice of the text.
    pub fn line(&self, slice: &[u8]) -> u64 {
        let offset = (slice.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        self.source_line(input::line_of(self.text, offset.min(self.text.len())))
    }

    fn source_line(&self, line: u64) -> u64 {
        self.lines.and_then(|lines| lines.get(line as usize - 1).copied()).unwrap_or(line)
    }

    pub fn name(&self, number: u32) -> String {
        self.decode(self.names[number as usize])
    }

    /// Whether two nodes, or two ids once unescaped, may be the same.
    pub fn repeated_or_escaped(&self) -> bool {
        !self.repeated.is_empty() || self.names.iter().any(|name| memchr::memchr(b'%', name).is_some())
    }

    /// Text of an attribute; escapes are GFF3's alone.
    pub fn decode(&self, value: &[u8]) -> String {
        match self.format {
            Format::Gff3 => attributes::decode(value).into_owned(),
            Format::Gtf => String::from_utf8_lossy(value).into_owned(),
        }
    }
}

struct Reader<'a> {
    graph: Graph<'a>,
    numbers: FxHashMap<(&'a [u8], u32), u32>,
    seqid_numbers: FxHashMap<&'a [u8], u32>,
    seqid_names: FxHashMap<String, u32>,
    word_numbers: FxHashMap<&'a [u8], u32>,
    last_seqid: (&'a [u8], u32),
    last_word: (&'a [u8], u32),
    last_parent: (&'a [u8], u32, u32),
    last_gene: (&'a [u8], u32),
    /// The line being read.
    line: u64,
    /// Rows whose start passes their end, as indices of nodes or parts.
    inverted_nodes: Vec<usize>,
    inverted_parts: Vec<usize>,
}

/// Tells GTF from GFF3 by the ninth column of the first rows that show it.
pub fn sniff(text: &[u8]) -> Format {
    for line in text.split(|&b| b == b'\n').filter(|line| !line.starts_with(b"#")).take(1000) {
        if line.starts_with(b">") {
            break;
        }
        let Some(column) = line.split(|&b| b == b'\t').nth(8) else { continue };
        let column = column.trim_ascii();
        let key = column.iter().position(|b| !(b.is_ascii_alphanumeric() || b"_.-:'".contains(b)));
        match key.map(|at| (at, column[at])) {
            Some((_, b'=')) => return Format::Gff3,
            Some((at, b' ')) if at > 0 => {
                let field = &column[..memchr::memchr2(b';', b'"', column).unwrap_or(column.len())];
                if !field.contains(&b'=') {
                    return Format::Gtf;
                }
            }
            _ => {}
        }
    }
    Format::Gff3
}

/// Reads all rows. `text` has no byte order mark; `lines` are the lines of its rows where it was made from other text.
pub fn read<'a>(path: &'a Path, text: &'a [u8], lines: Option<&'a [u64]>, options: Options) -> Result<Graph<'a>> {
    let graph = Graph {
        path,
        text,
        format: sniff(text),
        options,
        seqids: Vec::new(),
        regions: Vec::new(),
        words: Vec::new(),
        names: Vec::new(),
        by_number: Vec::new(),
        nodes: Vec::new(),
        parts: Vec::with_capacity(text.len() / 200),
        repeated: Vec::new(),
        report: Report::default(),
        lines,
    };
    // About one id in 600 bytes in large files; rehashing costs more than the room.
    let ids = text.len() / 600;
    let mut reader = Reader {
        graph,
        numbers: FxHashMap::with_capacity_and_hasher(ids, Default::default()),
        seqid_numbers: FxHashMap::default(),
        seqid_names: FxHashMap::default(),
        word_numbers: FxHashMap::default(),
        last_seqid: (&[], NONE),
        last_word: (&[], NONE),
        last_parent: (&[], NONE, NONE),
        last_gene: (&[], NONE),
        line: 0,
        inverted_nodes: Vec::new(),
        inverted_parts: Vec::new(),
    };
    reader.read()?;
    reader.settle_inverted()?;
    Ok(reader.graph)
}

impl<'a> Reader<'a> {
    fn read(&mut self) -> Result<()> {
        let text = self.graph.text;
        let mut at = 0;
        let mut number = 0;
        let mut any_row = false;
        let mut any_directive = false;
        // GTF and GFF2 allow rows without the ninth column; GFF3, where a file says that it is, does not.
        let is_gff3 = text
            .trim_ascii_start()
            .strip_prefix(b"##gff-version")
            .is_some_and(|rest| rest.trim_ascii_start().first() == Some(&b'3'));
        while at < text.len() {
            let end = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |n| at + n);
            let line = match &text[at..end] {
                [line @ .., b'\r'] => line,
                line => line,
            };
            at = end + 1;
            number += 1;
            self.line = self.graph.source_line(number);
            match line.first() {
                None => continue,
                Some(b'>') => break,
                Some(b'#') => {
                    if line.starts_with(b"##FASTA") {
                        break;
                    }
                    if line.starts_with(b"##") && !line.starts_with(b"###") {
                        any_directive = true;
                        if let Err(message) = self.directive(line) {
                            self.fault(line, message)?;
                        }
                    }
                    continue;
                }
                Some(_) => {}
            }
            match record::parse(line) {
                Some(record) if is_gff3 && record.attributes.is_empty() && line.last() != Some(&b'\t') => {
                    self.fault(line, record::diagnose_short(line))?;
                }
                Some(record) => {
                    any_row = true;
                    if let Err(message) = self.row(record) {
                        self.fault(line, message)?;
                    }
                }
                // UCSC's custom tracks.
                None if line.trim_ascii().is_empty()
                    || line.starts_with(b"track ")
                    || line.starts_with(b"browser ") => {}
                None => self.fault(line, record::diagnose(line))?,
            }
        }
        if !any_row && !any_directive && !text.starts_with(b"#") && self.graph.report.counts.is_empty() {
            return Err(Error::format(self.graph.path, 1, "this is no annotation: neither GFF3, GTF nor GenBank"));
        }
        Ok(())
    }

    /// A malformed line: an error, or counted where the reading is lenient.
    #[cold]
    fn fault(&mut self, place: &[u8], message: String) -> Result<()> {
        let line = self.graph.line(place);
        if !self.graph.options.lenient {
            return Err(Error::format(self.graph.path, line, message));
        }
        self.graph.report.count("malformed line", || format!("line {line}: {message}"));
        Ok(())
    }

    fn directive(&mut self, line: &'a [u8]) -> std::result::Result<(), String> {
        let text = String::from_utf8_lossy(line);
        let mut words = text.split_ascii_whitespace();
        match words.next() {
            Some("##gff-version") => {
                let version = words.next().unwrap_or("");
                if !matches!(version.split('.').next(), Some("2" | "3")) {
                    return Err(format!("the GFF version is '{version}'; versions 2 and 3 can be read"));
                }
            }
            Some("##sequence-region") => {
                let mut fields = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).skip(1);
                let seqid = fields.next().ok_or("##sequence-region names no sequence")?;
                let mut number = |name: &str| {
                    let word = words.nth(usize::from(name == "start"));
                    let word = word.ok_or_else(|| format!("##sequence-region has no {name}"))?;
                    match word.parse::<u64>() {
                        Ok(0) => Err(format!("##sequence-region's {name} is 0, but coordinates are counted from 1")),
                        Ok(n) => Ok(n),
                        Err(_) => Err(format!("could not parse ##sequence-region's {name} '{word}'")),
                    }
                };
                let (start, end) = (number("start")?, number("end")?);
                if start > end {
                    return Err(format!("##sequence-region's start {start} is larger than its end {end}"));
                }
                let seqid = self.seqid(seqid);
                let region = &mut self.graph.regions[seqid as usize];
                let declared = (start - 1, end);
                if region.declared.is_some_and(|other| other != declared) {
                    return Err("##sequence-region was given before with other bounds".into());
                }
                region.declared = Some(declared);
            }
            _ => {}
        }
        Ok(())
    }

    fn seqid(&mut self, seqid: &'a [u8]) -> u32 {
        if self.last_seqid.0 == seqid && self.last_seqid.1 != NONE {
            return self.last_seqid.1;
        }
        let (graph, names) = (&mut self.graph, &mut self.seqid_names);
        let number = *self.seqid_numbers.entry(seqid).or_insert_with(|| {
            let name = match graph.format {
                Format::Gff3 => attributes::decode(seqid).into_owned(),
                Format::Gtf => String::from_utf8_lossy(seqid).into_owned(),
            };
            // `a%20b` and `a b` are one.
            *names.entry(name).or_insert_with_key(|name| {
                graph.seqids.push(name.clone());
                graph.regions.push(Region { nearest: (u64::MAX, 0), ..Region::default() });
                graph.seqids.len() as u32 - 1
            })
        });
        self.last_seqid = (seqid, number);
        number
    }

    fn word(&mut self, word: &'a [u8]) -> u32 {
        if self.last_word.0 == word && self.last_word.1 != NONE {
            return self.last_word.1;
        }
        let words = &mut self.graph.words;
        let number = *self.word_numbers.entry(word).or_insert_with(|| {
            let text = String::from_utf8_lossy(word).into_owned();
            words.push(Word { raw: word, row: features::classify(&text), says: features::says(&text), text, count: 0 });
            words.len() as u32 - 1
        });
        self.last_word = (word, number);
        number
    }

    /// The number of an id within a context (sequence and kind in GTF, 0 in GFF3).
    fn number(&mut self, id: &'a [u8], context: u32) -> u32 {
        let (names, by_number) = (&mut self.graph.names, &mut self.graph.by_number);
        *self.numbers.entry((id, context)).or_insert_with(|| {
            names.push(id);
            by_number.push(NONE);
            names.len() as u32 - 1
        })
    }

    /// The number of a part's parent: parts of one transcript mostly stand together.
    fn parent_number(&mut self, id: &'a [u8], context: u32) -> u32 {
        if self.last_parent.0 == id && self.last_parent.1 == context && !id.is_empty() {
            return self.last_parent.2;
        }
        let number = self.number(id, context);
        self.last_parent = (id, context, number);
        number
    }

    fn anonymous(&mut self) -> u32 {
        self.graph.names.push(&[]);
        self.graph.by_number.push(NONE);
        self.graph.names.len() as u32 - 1
    }

    fn add_node(&mut self, node: Node<'a>) -> u32 {
        let at = self.graph.nodes.len() as u32;
        if node.number != NONE {
            let first = self.graph.by_number[node.number as usize];
            if first == NONE {
                self.graph.by_number[node.number as usize] = at;
            } else {
                self.graph.repeated.push(at);
            }
        }
        self.graph.nodes.push(node);
        at
    }

    fn row(&mut self, record: Record<'a>) -> std::result::Result<(), String> {
        let seqid = self.seqid(record.seqid);
        let word = self.word(record.word);
        let entry = &mut self.graph.words[word as usize];
        entry.count += 1;
        let row = entry.row;
        if record.start >= record.end && !row.is_part() && !matches!(row, Row::Gene | Row::Transcript) {
            return Err(inverted(&record));
        }
        if row.is_part() || matches!(row, Row::Gene | Row::Transcript) {
            let region = &mut self.graph.regions[seqid as usize];
            if record.end > region.furthest.0 {
                region.furthest = (record.end, self.line);
            }
            if record.start < region.nearest.0 {
                region.nearest = (record.start, self.line);
            }
        }
        match self.graph.format {
            Format::Gff3 => self.gff3_row(record, seqid, word, row),
            Format::Gtf => self.gtf_row(record, seqid, word, row),
        }
    }

    fn gff3_row(&mut self, record: Record<'a>, seqid: u32, word: u32, row: Row) -> std::result::Result<(), String> {
        if row.is_part() {
            let Some(parents) = gff3_value(record.attributes, b"Parent") else {
                // A CDS without a parent is a gene of its own (Prodigal); other parts alone mean nothing.
                if row == Row::Cds {
                    let number = match gff3_value(record.attributes, b"ID") {
                        Some(id) => self.number(id, 0),
                        None => self.anonymous(),
                    };
                    self.part(&record, seqid, row, number, true, false);
                } else {
                    let word = self.graph.words[word as usize].text.clone();
                    let line = self.line;
                    self.graph.report.count(&format!("{word} without a Parent"), || format!("line {line}"));
                }
                return Ok(());
            };
            if parents.contains(&b'=') {
                return Err(format!("the Parent '{}' holds an unescaped '='", attributes::decode(parents)));
            }
            let shared = memchr::memchr(b',', parents).is_some();
            if !shared {
                let number = self.parent_number(parents, 0);
                self.part(&record, seqid, row, number, false, false);
                return Ok(());
            }
            for parent in parents.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|id| !id.is_empty()) {
                let number = self.parent_number(parent, 0);
                self.part(&record, seqid, row, number, false, true);
            }
            return Ok(());
        }
        let mut ids = leading_ids(record.attributes);
        let (mut circular, mut whole) = (false, false);
        if row == Row::Region || ids.is_none() {
            let (mut id, mut parents) = (None, None);
            for (key, value) in attributes::gff3(record.attributes) {
                match key {
                    b"ID" if value.contains(&b'=') => {
                        return Err(format!("the ID '{}' holds an unescaped '='", attributes::decode(value)));
                    }
                    b"ID" if id.is_some() => return Err("the row has more than one ID".into()),
                    b"ID" => id = Some(value).filter(|value| !value.is_empty()),
                    b"Parent" if value.contains(&b'=') => {
                        return Err(format!("the Parent '{}' holds an unescaped '='", attributes::decode(value)));
                    }
                    b"Parent" => parents = Some(value).filter(|value| !value.is_empty()),
                    b"Is_circular" if value == b"true" => circular = true,
                    b"Is_circular" if value != b"false" => {
                        return Err(format!("Is_circular is '{}', not true", attributes::decode(value)));
                    }
                    b"gbkey" if value == b"Src" => whole = true,
                    b"" => return Err("an attribute has no name before its '='".into()),
                    _ => {}
                }
            }
            ids = Some((id, parents));
        }
        let (id, parents) = ids.unwrap_or_default();
        if row == Row::Region {
            let whole = whole || circular || !record.word.eq_ignore_ascii_case(b"region");
            let region = &mut self.graph.regions[seqid as usize];
            region.circular |= circular;
            if whole && record.start == 0 {
                region.length = Some(region.length.unwrap_or(0).max(record.end));
            }
        }
        let number = id.map_or(NONE, |id| self.number(id, 0));
        let parents = parents.unwrap_or(&[]);
        let several = memchr::memchr(b',', parents).is_some();
        let parent = if parents.is_empty() {
            NONE
        } else if parents == self.last_gene.0 {
            self.last_gene.1
        } else {
            let mut listed = parents.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|p| !p.is_empty());
            listed.next().map_or(NONE, |parent| self.number(parent, 0))
        };
        // Children mostly follow: remember the id for them.
        if let Some(id) = id {
            match row {
                Row::Gene => self.last_gene = (id, number),
                Row::Transcript => self.last_parent = (id, 0, number),
                _ => {}
            }
        }
        // Rows that no other can name and that belong to nothing need not be kept.
        if matches!(row, Row::Other | Row::Implied | Row::Region | Row::Protein) && number == NONE && parent == NONE {
            return Ok(());
        }
        if several && row == Row::Transcript {
            let line = self.line;
            self.graph.report.count("transcript with several genes, kept in its first", || format!("line {line}"));
        }
        self.node(&record, seqid, word, row, number, parent, false);
        Ok(())
    }

    fn gtf_row(&mut self, record: Record<'a>, seqid: u32, word: u32, row: Row) -> std::result::Result<(), String> {
        if matches!(row, Row::Other | Row::Implied | Row::Region | Row::Protein) {
            return Ok(());
        }
        let keys = GtfKeys::of(record.attributes, row);
        let (gene_context, transcript_context) = (1 + 2 * seqid, 2 + 2 * seqid);
        match row {
            Row::Gene => {
                let number = keys.gene.map_or(NONE, |id| self.number(id, gene_context));
                self.node(&record, seqid, word, row, number, NONE, false);
            }
            Row::Transcript => {
                let parent = keys.gene.map_or(NONE, |id| self.number(id, gene_context));
                let Some(id) = keys.transcript else {
                    self.node(&record, seqid, word, row, NONE, parent, false);
                    return Ok(());
                };
                let number = self.number(id, transcript_context);
                let known = self.graph.by_number[number as usize];
                // Parts may have stood before their transcript's row.
                if known != NONE && self.graph.nodes[known as usize].implied {
                    let node = &mut self.graph.nodes[known as usize];
                    (node.word, node.start, node.end, node.strand) = (word, record.start, record.end, record.strand);
                    (node.attributes, node.source, node.implied) = (record.attributes, record.source, false);
                    if parent != NONE {
                        node.parent = parent;
                    }
                    if record.start >= record.end {
                        self.inverted_nodes.push(known as usize);
                    }
                } else {
                    self.node(&record, seqid, word, row, number, parent, false);
                }
            }
            _ => {
                let Some(id) = keys.transcript else {
                    let Some(gene) = keys.gene else {
                        let word = self.graph.words[word as usize].text.clone();
                        return Err(format!("the {word} has neither transcript_id nor gene_id"));
                    };
                    let number = self.number(gene, gene_context);
                    self.part(&record, seqid, row, number, false, false);
                    return Ok(());
                };
                let fresh = self.last_parent.0 != id || self.last_parent.1 != transcript_context;
                let number = self.parent_number(id, transcript_context);
                if fresh {
                    let known = self.graph.by_number[number as usize];
                    if known == NONE {
                        let parent = keys.gene.map_or(NONE, |id| self.number(id, gene_context));
                        self.node(&record, seqid, word, Row::Transcript, number, parent, true);
                    } else if self.graph.nodes[known as usize].parent == NONE {
                        let parent = keys.gene.map_or(NONE, |id| self.number(id, gene_context));
                        self.graph.nodes[known as usize].parent = parent;
                    }
                }
                self.part(&record, seqid, row, number, false, false);
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments)]
    fn node(&mut self, record: &Record<'a>, seqid: u32, word: u32, row: Row, number: u32, parent: u32, implied: bool) {
        let node = Node {
            number,
            parent,
            seqid,
            start: record.start,
            // A transcript that its part implies has the span of its parts; where none can be used, it has this one.
            end: if implied { record.end.max(record.start + 1) } else { record.end },
            strand: record.strand,
            row,
            word,
            implied,
            source: record.source,
            attributes: record.attributes,
        };
        let at = self.add_node(node);
        if record.start >= record.end && !implied {
            self.inverted_nodes.push(at as usize);
        }
    }

    fn part(&mut self, record: &Record<'a>, seqid: u32, row: Row, parent: u32, alone: bool, shared: bool) {
        if record.start >= record.end {
            self.inverted_parts.push(self.graph.parts.len());
        }
        self.graph.parts.push(Part {
            parent,
            seqid,
            start: record.start,
            end: record.end,
            strand: record.strand,
            row,
            phase: record.phase,
            alone,
            shared,
            attributes: record.attributes,
        });
    }

    /// A start past the end goes over the origin of a circular sequence; on any other it is an error.
    fn settle_inverted(&mut self) -> Result<()> {
        let mut dropped = 0;
        for i in 0..self.inverted_nodes.len() + self.inverted_parts.len() {
            let (seqid, start, end, attributes) = if i < self.inverted_nodes.len() {
                let node = &self.graph.nodes[self.inverted_nodes[i]];
                (node.seqid, node.start, node.end, node.attributes)
            } else {
                let part = &self.graph.parts[self.inverted_parts[i - self.inverted_nodes.len()]];
                (part.seqid, part.start, part.end, part.attributes)
            };
            let region = self.graph.regions[seqid as usize];
            let length = region.length.or(region.declared.map(|(_, end)| end)).filter(|_| region.circular);
            let new_end = match length {
                Some(length) if start < length => end + length,
                _ => {
                    let message = format!(
                        "the start {} is larger than the end {end}, and the sequence is not known to be circular",
                        start + 1
                    );
                    self.fault(attributes, message)?;
                    dropped += 1;
                    start + 1
                }
            };
            if i < self.inverted_nodes.len() {
                self.graph.nodes[self.inverted_nodes[i]].end = new_end;
            } else {
                self.graph.parts[self.inverted_parts[i - self.inverted_nodes.len()]].end = new_end;
            }
        }
        if dropped > 0 {
            // Lenient reading goes on without the rows that make no sense.
            let parts = std::mem::take(&mut self.inverted_parts);
            for at in parts.into_iter().rev() {
                if self.graph.parts[at].end == self.graph.parts[at].start + 1 {
                    self.graph.parts.remove(at);
                }
            }
        }
        Ok(())
    }
}

fn inverted(record: &Record<'_>) -> String {
    format!("the start {} is larger than the end {}", record.start + 1, record.end)
}

/// The value of one key of a GFF3 column; `None` where it is absent or empty.
pub fn gff3_value<'a>(column: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    // Most columns begin with the key, or hold it right after a semicolon.
    if let [b'=', rest @ ..] = column.strip_prefix(key).unwrap_or(&[]) {
        let value = rest[..memchr::memchr(b';', rest).unwrap_or(rest.len())].trim_ascii();
        return Some(value).filter(|value| !value.is_empty());
    }
    attributes::gff3(column).find(|(found, value)| *found == key && !value.is_empty()).map(|(_, value)| value)
}

/// ID and Parent of a column that begins with them and is plain otherwise: no `=` within, no second ID, no topology. `None`
/// leaves the column to the slow way.
fn leading_ids(column: &[u8]) -> Option<Ids<'_>> {
    let rest = column.strip_prefix(b"ID=")?;
    let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
    let (id, rest) = (&rest[..end], &rest[(end + 1).min(rest.len())..]);
    let (parents, rest) = match rest.strip_prefix(b"Parent=") {
        Some(rest) => {
            let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
            (Some(&rest[..end]), &rest[(end + 1).min(rest.len())..])
        }
        None => (None, rest),
    };
    let plain = |value: &[u8]| !value.is_empty() && value.trim_ascii().len() == value.len() && !value.contains(&b'=');
    // Whatever else names one of these keys (even within a longer word) takes the slow way.
    let hidden = [&b"ID="[..], b"Parent=", b"Is_circular", b";="];
    let simple = hidden.iter().all(|key| memchr::memmem::find(rest, key).is_none()) && !rest.starts_with(b"=");
    (plain(id) && parents.is_none_or(plain) && simple).then_some((Some(id), parents))
}

/// The values of ID and Parent.
type Ids<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// The ids that a GTF (or GFF2) row names.
struct GtfKeys<'a> {
    gene: Option<&'a [u8]>,
    transcript: Option<&'a [u8]>,
}

impl<'a> GtfKeys<'a> {
    fn of(column: &'a [u8], row: Row) -> GtfKeys<'a> {
        let (mut gene, mut transcript) = (None, None);
        // GFF2 names groups in other ways: WormBase by `Transcript` and `CDS`, JGI by `name`.
        let (mut worm_transcript, mut worm_cds, mut worm_gene, mut name) = (None, None, None, None);
        for (key, value) in attributes::gtf(column) {
            match key {
                b"gene_id" => gene = gene.or(Some(value)),
                b"transcript_id" => transcript = transcript.or(Some(value)),
                b"Transcript" | b"mRNA" => worm_transcript = worm_transcript.or(Some(value)),
                b"CDS" => worm_cds = worm_cds.or(Some(value)),
                b"Gene" => worm_gene = worm_gene.or(Some(value)),
                b"name" => name = name.or(Some(value)),
                // AUGUSTUS writes the bare id of genes and transcripts.
                bare if value.is_empty() && !column.contains(&b'"') => match row {
                    Row::Gene => gene = gene.or(Some(bare)),
                    _ => transcript = transcript.or(Some(bare)),
                },
                _ => {}
            }
            if gene.is_some() && transcript.is_some() {
                break;
            }
        }
        let given = |value: Option<&'a [u8]>| value.filter(|value| !value.is_empty());
        let (gene, transcript) = (given(gene), given(transcript));
        if gene.is_some() || transcript.is_some() {
            return GtfKeys { gene, transcript };
        }
        let transcript = given(worm_transcript).or(given(worm_cds)).or(given(name));
        GtfKeys { gene: given(worm_gene).or(if row == Row::Gene { transcript } else { None }), transcript }
    }
}
