//! GFF3 and GTF text into nodes (genes, transcripts) and their parts (exons, CDS, ...), by the ids that link them.

use std::ops::ControlFlow;
use std::path::Path;

use rustc_hash::FxHashMap;

use super::attributes;
use super::block::{self, Block, MALFORMED, Rules, gtf_context};
use super::features::{Row, Says};
use super::names::Names;
use super::record::Record;
use super::{Options, Report};
use crate::error::{Error, Result};
use crate::gene::Strand;
use crate::in_order::in_order;
use crate::input;

/// Bytes of text that are read at a time: what a block holds stays in the cache until it is joined.
const BLOCK: usize = 1 << 20;

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

/// An exon, a CDS or another part of a transcript; a row with several parents is several parts. The bulk of a file, so
/// that what is small shares a word.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub parent: u32,
    pub seqid: u32,
    pub start: u64,
    pub end: u64,
    /// From the lowest bit: 48 bits of [`Part::place`], strand (2), phase (2, 3 is none), alone, shared, row (4).
    packed: u64,
}

impl Part {
    const PLACE: u32 = 48;

    pub fn new(record: &Record<'_>, parent: u32, seqid: u32, row: Row, place: u64, alone: bool, shared: bool) -> Part {
        assert!(place >> Self::PLACE == 0, "a text of 256 TB");
        let bits = record.strand as u64
            | u64::from(record.phase.unwrap_or(3)) << 2
            | u64::from(alone) << 4
            | u64::from(shared) << 5
            | (row as u64) << 6;
        let packed = place | bits << Self::PLACE;
        Part { parent, seqid, start: record.start, end: record.end, packed }
    }

    fn bits(&self) -> u64 {
        self.packed >> Self::PLACE
    }

    /// Where its ninth column starts in the text.
    pub fn place(&self) -> usize {
        (self.packed & ((1 << Self::PLACE) - 1)) as usize
    }

    pub fn row(&self) -> Row {
        Row::ALL[(self.bits() >> 6) as usize]
    }

    pub fn strand(&self) -> Strand {
        match self.bits() & 3 {
            0 => Strand::Forward,
            1 => Strand::Reverse,
            _ => Strand::Unknown,
        }
    }

    pub fn phase(&self) -> Option<u8> {
        Some((self.bits() >> 2 & 3) as u8).filter(|&phase| phase < 3)
    }

    /// The row has no parent: its own id, if any, names the transcript.
    pub fn alone(&self) -> bool {
        self.bits() >> 4 & 1 == 1
    }

    /// Not the row's only parent.
    pub fn shared(&self) -> bool {
        self.bits() >> 5 & 1 == 1
    }
}

/// What `##sequence-region` and rows for whole sequences tell.
#[derive(Debug, Clone, Copy)]
pub struct Region {
    /// 0-based, half-open.
    pub declared: Option<(u64, u64)>,
    pub length: Option<u64>,
    pub circular: bool,
    /// The largest end of a row of a gene model, and its line.
    pub furthest: (u64, u64),
    /// The smallest start, likewise.
    pub nearest: (u64, u64),
}

impl Default for Region {
    fn default() -> Self {
        Region { declared: None, length: None, circular: false, furthest: (0, 0), nearest: (u64::MAX, 0) }
    }
}

impl Region {
    /// Takes in what later lines, numbered from `lines` on, tell.
    fn add(&mut self, other: &Region, line: impl Fn(u64) -> u64) {
        self.circular |= other.circular;
        self.length = self.length.max(other.length);
        if other.furthest.0 > self.furthest.0 {
            self.furthest = (other.furthest.0, line(other.furthest.1));
        }
        if other.nearest.0 < self.nearest.0 {
            self.nearest = (other.nearest.0, line(other.nearest.1));
        }
    }
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
    pub names: Names<'a>,
    /// The first node of each number.
    pub by_number: Vec<u32>,
    pub nodes: Vec<Node<'a>>,
    pub parts: Vec<Part>,
    /// Nodes that share their id with an earlier one.
    pub repeated: Vec<u32>,
    pub report: Report,
    /// For text that was made from another format: the line of each row there.
    pub lines: Option<&'a [u64]>,
}

impl<'a> Graph<'a> {
    /// The ninth column of a part.
    pub fn attributes(&self, part: &Part) -> &'a [u8] {
        let column = &self.text[part.place()..];
        match &column[..memchr::memchr(b'\n', column).unwrap_or(column.len())] {
            [column @ .., b'\r'] => column,
            column => column,
        }
    }

    /// The 1-based line of a slice of the text.
    pub fn line(&self, slice: &[u8]) -> u64 {
        let offset = (slice.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        self.source_line(input::line_of(self.text, offset.min(self.text.len())))
    }

    fn source_line(&self, line: u64) -> u64 {
        source_line(self.lines, line)
    }

    pub fn name(&self, number: u32) -> String {
        self.decode(self.names[number])
    }

    /// Whether two nodes, or two ids once unescaped, may be the same.
    pub fn repeated_or_escaped(&self) -> bool {
        !self.repeated.is_empty() || self.names.iter().any(|name| memchr::memchr(b'%', name.text).is_some())
    }

    /// Text of an attribute; escapes are GFF3's alone.
    pub fn decode(&self, value: &[u8]) -> String {
        match self.format {
            Format::Gff3 => attributes::decode(value).into_owned(),
            Format::Gtf => String::from_utf8_lossy(value).into_owned(),
        }
    }
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
    read_by(path, text, lines, options, BLOCK)
}

/// As [`read`], in blocks of the lines that begin within `size` bytes.
pub(super) fn read_by<'a>(
    path: &'a Path,
    text: &'a [u8],
    lines: Option<&'a [u64]>,
    options: Options,
    size: usize,
) -> Result<Graph<'a>> {
    // GTF and GFF2 allow rows without the ninth column; GFF3, where a file says that it is, does not.
    let strict = text
        .trim_ascii_start()
        .strip_prefix(b"##gff-version")
        .is_some_and(|rest| rest.trim_ascii_start().first() == Some(&b'3'));
    let rules = Rules { text, format: sniff(text), strict, lenient: options.lenient };
    let graph = Graph {
        path,
        text,
        format: rules.format,
        options,
        seqids: Vec::new(),
        regions: Vec::new(),
        words: Vec::new(),
        names: Names::default(),
        by_number: Vec::new(),
        nodes: Vec::new(),
        parts: Vec::with_capacity(text.len() / 120),
        repeated: Vec::new(),
        report: Report::default(),
        lines,
    };
    let mut joiner = Joiner {
        graph,
        seqid_numbers: FxHashMap::default(),
        word_numbers: FxHashMap::default(),
        lines_before: 0,
        any: false,
        inverted_nodes: Vec::new(),
        inverted_parts: Vec::new(),
        several: Vec::new(),
    };
    let mut rest = text;
    let blocks = std::iter::from_fn(|| {
        let end = rest.len().min(size);
        let end = memchr::memchr(b'\n', &rest[end..]).map_or(rest.len(), |at| end + at + 1);
        let block;
        (block, rest) = rest.split_at(end);
        (!block.is_empty()).then_some(block)
    });
    let read = in_order(
        blocks,
        |block| block::read(block, rules),
        |block| {
            let ended = block.ended;
            match joiner.join(block) {
                Err(error) => ControlFlow::Break(Err(error)),
                Ok(()) if ended => ControlFlow::Break(Ok(())),
                Ok(()) => ControlFlow::Continue(()),
            }
        },
    );
    if let ControlFlow::Break(read) = read {
        read?;
    }
    if !joiner.any && !text.starts_with(b"#") && joiner.graph.report.counts.is_empty() {
        return Err(Error::format(path, 1, "this is no annotation: neither GFF3, GTF nor GenBank"));
    }
    for &(at, first) in &joiner.several {
        let node = &mut joiner.graph.nodes[at as usize];
        if joiner.graph.by_number[node.parent as usize] == NONE {
            node.parent = first;
        }
    }
    joiner.settle_inverted()?;
    Ok(joiner.graph)
}

/// Joins blocks in the order of the text.
struct Joiner<'a> {
    graph: Graph<'a>,
    seqid_numbers: FxHashMap<String, u32>,
    word_numbers: FxHashMap<&'a [u8], u32>,
    /// Lines of the blocks that were joined.
    lines_before: u64,
    /// Any row or directive was met.
    any: bool,
    /// Rows whose start passes their end, as indices of nodes or parts.
    inverted_nodes: Vec<usize>,
    inverted_parts: Vec<usize>,
    /// As in [`Block`].
    several: Vec<(u32, u32)>,
}

impl<'a> Joiner<'a> {
    fn join(&mut self, mut block: Block<'a>) -> Result<()> {
        self.any |= block.any_row || block.any_directive;
        let before = self.lines_before;
        self.lines_before += block.lines;
        let seqids: Vec<u32> = block.seqids.iter().map(|seqid| self.seqid(seqid)).collect();
        self.declare(&mut block, &seqids)?;
        if let Some((line, message)) = block.fault {
            return Err(Error::format(self.graph.path, self.graph.source_line(before + line), message));
        }
        let graph = &mut self.graph;
        for (reason, found) in block.found {
            let lines = graph.lines;
            let line = |line| source_line(lines, before + line);
            let examples = found.first.into_iter().map(|(at, rest)| format!("line {}{rest}", line(at)));
            graph.report.add(&reason, found.count, examples);
        }
        for (region, &seqid) in block.regions.iter().zip(&seqids) {
            let lines = graph.lines;
            graph.regions[seqid as usize].add(region, |line| source_line(lines, before + line));
        }
        let words: Vec<u32> = block
            .words
            .into_iter()
            .map(|word| {
                let number = *self.word_numbers.entry(word.raw).or_insert(graph.words.len() as u32);
                match graph.words.get_mut(number as usize) {
                    Some(known) => known.count += word.count,
                    None => graph.words.push(word),
                }
                number
            })
            .collect();
        let numbers: Vec<u32> = block
            .names
            .iter()
            .map(|name| match (name.context, graph.format) {
                (NONE, _) => graph.names.anonymous(),
                (_, Format::Gff3) => graph.names.insert(*name),
                (context, Format::Gtf) => {
                    let seqid = seqids[(context as usize - 1) / 2];
                    graph.names.insert(name.within(gtf_context(seqid, (context - 1) % 2)))
                }
            })
            .collect();
        graph.by_number.resize(graph.names.len(), NONE);
        let number = |own: u32| if own == NONE { NONE } else { numbers[own as usize] };
        for &(at, first) in &block.several {
            self.several.push((self.graph.nodes.len() as u32 + at, number(first)));
        }
        for node in block.nodes {
            self.node(Node {
                number: number(node.number),
                parent: number(node.parent),
                seqid: seqids[node.seqid as usize],
                word: words[node.word as usize],
                ..node
            });
        }
        let graph = &mut self.graph;
        let first = graph.parts.len();
        graph.parts.extend(block.parts.iter().map(|part| Part {
            parent: numbers[part.parent as usize],
            seqid: seqids[part.seqid as usize],
            ..*part
        }));
        let inverted = block.parts.iter().enumerate().filter(|(_, part)| part.start >= part.end);
        self.inverted_parts.extend(inverted.map(|(i, _)| first + i));
        Ok(())
    }

    fn seqid(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.seqid_numbers.get(name) {
            return number;
        }
        let number = self.graph.seqids.len() as u32;
        self.seqid_numbers.insert(name.to_owned(), number);
        self.graph.seqids.push(name.to_owned());
        self.graph.regions.push(Region::default());
        number
    }

    /// The block's `##sequence-region` lines.
    fn declare(&mut self, block: &mut Block<'a>, seqids: &[u32]) -> Result<()> {
        for declaration in &block.declarations {
            let region = &mut self.graph.regions[seqids[declaration.seqid as usize] as usize];
            if *region.declared.get_or_insert(declaration.bounds) == declaration.bounds {
                continue;
            }
            let message = "##sequence-region was given before with other bounds";
            if !self.graph.options.lenient {
                let line = self.lines_before - block.lines + declaration.line;
                return Err(Error::format(self.graph.path, self.graph.source_line(line), message));
            }
            block.found.entry(MALFORMED.to_owned()).or_default().add(declaration.line, || format!(": {message}"));
        }
        Ok(())
    }

    fn node(&mut self, node: Node<'a>) {
        let graph = &mut self.graph;
        let at = graph.nodes.len();
        let known = if node.number == NONE { NONE } else { graph.by_number[node.number as usize] };
        if known != NONE && graph.format == Format::Gtf && node.row == Row::Transcript {
            let known_node = &mut graph.nodes[known as usize];
            if node.implied {
                // Only what its gene is may be news.
                if known_node.parent == NONE {
                    known_node.parent = node.parent;
                }
                return;
            }
            // Parts may have stood before their transcript's row.
            if known_node.implied {
                let parent = if node.parent == NONE { known_node.parent } else { node.parent };
                if node.start >= node.end {
                    self.inverted_nodes.push(known as usize);
                }
                *known_node = Node { parent, ..node };
                return;
            }
        }
        if known != NONE {
            graph.repeated.push(at as u32);
        } else if node.number != NONE {
            graph.by_number[node.number as usize] = at as u32;
        }
        if node.start >= node.end && !node.implied {
            self.inverted_nodes.push(at);
        }
        graph.nodes.push(node);
    }

    /// A malformed row: an error, or counted where the reading is lenient.
    #[cold]
    fn fault(&mut self, place: &[u8], message: String) -> Result<()> {
        let line = self.graph.line(place);
        if !self.graph.options.lenient {
            return Err(Error::format(self.graph.path, line, message));
        }
        self.graph.report.count(MALFORMED, || format!("line {line}: {message}"));
        Ok(())
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
                (part.seqid, part.start, part.end, self.graph.attributes(part))
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

/// The line of the source of a text that was made from another, or of the text itself.
fn source_line(lines: Option<&[u64]>, line: u64) -> u64 {
    lines.and_then(|lines| lines.get(line as usize - 1).copied()).unwrap_or(line)
}

/// The value of one key of a GFF3 column; `None` where it is absent or empty.
pub fn gff3_value<'a>(column: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut rest = column;
    loop {
        let field = rest.trim_ascii_start();
        let end = memchr::memchr(b';', field).unwrap_or(field.len());
        if let Some(value) = field[..end].strip_prefix(key) {
            // The key may be the beginning of another.
            let value =
                if let [b'=', value @ ..] = value { Some(value) } else { value.trim_ascii_start().strip_prefix(b"=") };
            if let Some(value) = value.map(<[u8]>::trim_ascii).filter(|value| !value.is_empty()) {
                return Some(value);
            }
        }
        rest = field.get(end + 1..)?;
    }
}
