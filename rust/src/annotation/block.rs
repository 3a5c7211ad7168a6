//! A run of whole lines of GFF3 or GTF into nodes and parts, with numbers of its own for what it names. Blocks know nothing
//! of each other, and are read in parallel; [`super::reader`] joins them in order.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::Report;
use super::attributes;
use super::features::{self, Row};
use super::names::Names;
use super::reader::{Format, NONE, Node, Part, Region, Word, gff3_value};
use super::record::{self, Record, Start};

/// The reason that malformed lines are counted under.
pub const MALFORMED: &str = "malformed line";

/// What a file says as a whole of how its lines are to be read.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// All of the file.
    pub text: &'a [u8],
    pub format: Format,
    /// The file says that it is GFF3: the ninth column may not be missing.
    pub strict: bool,
    pub lenient: bool,
}

/// `##sequence-region`.
pub struct Declaration {
    pub line: u64,
    pub seqid: u32,
    /// 0-based, half-open.
    pub bounds: (u64, u64),
}

/// A reason to count rows under: how many, and the first of them, by line and what is to be said after it.
#[derive(Default)]
pub struct Found {
    pub count: u64,
    pub first: Vec<(u64, String)>,
}

impl Found {
    /// Adds a case, in any order of lines.
    pub fn add(&mut self, line: u64, rest: impl FnOnce() -> String) {
        self.count += 1;
        let at = self.first.partition_point(|&(other, _)| other <= line);
        if at < Report::EXAMPLES {
            self.first.insert(at, (line, rest()));
            self.first.truncate(Report::EXAMPLES);
        }
    }
}

/// What a block holds. Lines are counted from 1 at its start; numbers of sequences, words and ids are its own.
#[derive(Default)]
pub struct Block<'a> {
    pub lines: u64,
    pub any_row: bool,
    pub any_directive: bool,
    /// Sequences follow, or another fault than those that are counted: nothing after this block is read.
    pub ended: bool,
    pub fault: Option<(u64, String)>,
    pub found: BTreeMap<String, Found>,
    pub declarations: Vec<Declaration>,
    /// Names of sequences, without escapes.
    pub seqids: Vec<String>,
    pub regions: Vec<Region>,
    pub words: Vec<Word<'a>>,
    pub names: Names<'a>,
    /// In GTF, a transcript that its parts imply may stand here though another block has its row, or its other parts.
    pub nodes: Vec<Node<'a>>,
    pub parts: Vec<Part>,
    /// Nodes that name several parents, and the number of the first: their parent is a node whose id is the whole value, if
    /// there is one.
    pub several: Vec<(u32, u32)>,
}

struct Reader<'a> {
    rules: Rules<'a>,
    block: Block<'a>,
    seqid_numbers: FxHashMap<&'a [u8], u32>,
    seqid_names: FxHashMap<String, u32>,
    word_numbers: FxHashMap<&'a [u8], u32>,
    last_seqid: (&'a [u8], u32),
    recent_words: [(&'a [u8], u32); 16],
    last_parent: (&'a [u8], u32, u32),
    last_gene: (&'a [u8], u32),
    /// GFF3: the ninth column of the last part up to its one parent, and that parent.
    last_child: (&'a [u8], u32),
    /// GTF: what parts have told of each id's transcript.
    told: Vec<Told>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Nothing,
    Transcript,
    WithItsGene,
}

/// Reads the lines of `text`, which is a part of the file's.
pub fn read<'a>(text: &'a [u8], rules: Rules<'a>) -> Block<'a> {
    let mut reader = Reader {
        rules,
        block: Block {
            parts: Vec::with_capacity(text.len() / 128),
            names: Names::with_room(text.len() / 1024),
            ..Block::default()
        },
        seqid_numbers: FxHashMap::default(),
        seqid_names: FxHashMap::default(),
        word_numbers: FxHashMap::default(),
        last_seqid: (&[], NONE),
        recent_words: [(&[], NONE); 16],
        last_parent: (&[], NONE, NONE),
        last_gene: (&[], NONE),
        last_child: (&[], NONE),
        told: Vec::new(),
    };
    if let Err(message) = reader.read(text) {
        reader.block.fault = Some((reader.block.lines, message));
        reader.block.ended = true;
    }
    reader.block
}

/// A message about the line that is read.
type Said<T> = std::result::Result<T, String>;

impl<'a> Reader<'a> {
    fn read(&mut self, text: &'a [u8]) -> Said<()> {
        let mut rest = text;
        let mut last = Start::default();
        while let Some(&first) = rest.first() {
            self.block.lines += 1;
            if !matches!(first, b'#' | b'>')
                && let Some((record, used)) = record::quick(rest, &mut last)
            {
                rest = &rest[used..];
                self.block.any_row = true;
                if let Err(message) = self.row(record) {
                    self.fault(message)?;
                }
                continue;
            }
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = match &rest[..end] {
                [line @ .., b'\r'] => line,
                line => line,
            };
            rest = &rest[(end + 1).min(rest.len())..];
            if self.line(line)? {
                self.block.ended = true;
                break;
            }
        }
        Ok(())
    }

    /// Any line; whether the annotation ends before it.
    fn line(&mut self, line: &'a [u8]) -> Said<bool> {
        match line.first() {
            None => return Ok(false),
            Some(b'>') => return Ok(true),
            Some(b'#') => {
                if line.starts_with(b"##FASTA") {
                    return Ok(true);
                }
                if line.starts_with(b"##") && !line.starts_with(b"###") {
                    self.block.any_directive = true;
                    if let Err(message) = self.directive(line) {
                        self.fault(message)?;
                    }
                }
                return Ok(false);
            }
            Some(_) => {}
        }
        match record::parse(line) {
            Some(record) if self.rules.strict && record.attributes.is_empty() && line.last() != Some(&b'\t') => {
                self.fault(record::diagnose_short(line))?;
            }
            Some(record) => {
                self.block.any_row = true;
                if let Err(message) = self.row(record) {
                    self.fault(message)?;
                }
            }
            // UCSC's custom tracks.
            None if line.trim_ascii().is_empty() || line.starts_with(b"track ") || line.starts_with(b"browser ") => {}
            None => self.fault(record::diagnose(line))?,
        }
        Ok(false)
    }

    /// A malformed line: an error, or counted where the reading is lenient.
    #[cold]
    fn fault(&mut self, message: String) -> Said<()> {
        if !self.rules.lenient {
            return Err(message);
        }
        self.count(MALFORMED, || format!(": {message}"));
        Ok(())
    }

    /// Counts the line that is read.
    #[cold]
    fn count(&mut self, reason: &str, rest: impl FnOnce() -> String) {
        let line = self.block.lines;
        match self.block.found.get_mut(reason) {
            Some(found) => found.add(line, rest),
            None => self.block.found.entry(reason.to_owned()).or_default().add(line, rest),
        }
    }

    fn directive(&mut self, line: &'a [u8]) -> Said<()> {
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
                let line = self.block.lines;
                self.block.declarations.push(Declaration { line, seqid, bounds: (start - 1, end) });
            }
            _ => {}
        }
        Ok(())
    }

    fn seqid(&mut self, seqid: &'a [u8]) -> u32 {
        // Mostly the very same slice.
        let (last, number) = self.last_seqid;
        if number != NONE && (std::ptr::eq(last, seqid) || last == seqid) {
            return number;
        }
        let (block, names) = (&mut self.block, &mut self.seqid_names);
        let number = *self.seqid_numbers.entry(seqid).or_insert_with(|| {
            let name = match self.rules.format {
                Format::Gff3 => attributes::decode(seqid).into_owned(),
                Format::Gtf => String::from_utf8_lossy(seqid).into_owned(),
            };
            // `a%20b` and `a b` are one.
            *names.entry(name).or_insert_with_key(|name| {
                block.seqids.push(name.clone());
                block.regions.push(Region::default());
                block.seqids.len() as u32 - 1
            })
        });
        self.last_seqid = (seqid, number);
        number
    }

    fn word(&mut self, word: &'a [u8]) -> u32 {
        // A handful of words alternate: each mostly has a place of its own here.
        let place = (word.len() + usize::from(word.first().copied().unwrap_or(0))) % self.recent_words.len();
        let (recent, number) = self.recent_words[place];
        if recent == word && number != NONE {
            return number;
        }
        let words = &mut self.block.words;
        let number = *self.word_numbers.entry(word).or_insert_with(|| {
            let text = String::from_utf8_lossy(word).into_owned();
            words.push(Word { raw: word, row: features::classify(&text), says: features::says(&text), text, count: 0 });
            words.len() as u32 - 1
        });
        self.recent_words[place] = (word, number);
        number
    }

    /// The number of an id within a context (sequence and kind in GTF, 0 in GFF3).
    fn number(&mut self, id: &'a [u8], context: u32) -> u32 {
        self.block.names.number(id, context)
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

    fn row(&mut self, record: Record<'a>) -> Said<()> {
        let seqid = self.seqid(record.seqid);
        let word = self.word(record.word);
        let entry = &mut self.block.words[word as usize];
        entry.count += 1;
        let row = entry.row;
        let of_model = row.is_part() || matches!(row, Row::Gene | Row::Transcript);
        if record.start >= record.end && !of_model {
            return Err(inverted(&record));
        }
        if of_model {
            let region = &mut self.block.regions[seqid as usize];
            if record.end > region.furthest.0 {
                region.furthest = (record.end, self.block.lines);
            }
            if record.start < region.nearest.0 {
                region.nearest = (record.start, self.block.lines);
            }
        }
        match self.rules.format {
            Format::Gff3 => self.gff3_row(record, seqid, word, row),
            Format::Gtf => self.gtf_row(record, seqid, word, row),
        }
    }

    fn gff3_row(&mut self, record: Record<'a>, seqid: u32, word: u32, row: Row) -> Said<()> {
        if row.is_part() {
            // Neighbours mostly have one parent, which many of them name first.
            let value = record.attributes.strip_prefix(b"Parent=");
            let after = value.and_then(|value| value.strip_prefix(self.last_parent.0));
            if matches!(after, Some([] | [b';', ..])) && !self.last_parent.0.is_empty() {
                let number = self.last_parent.2;
                self.part(&record, seqid, row, number, false, false);
                return Ok(());
            }
            // Rows of one CDS begin with the same ID and Parent.
            let after = record.attributes.strip_prefix(self.last_child.0);
            if matches!(after, Some([] | [b';', ..])) && !self.last_child.0.is_empty() {
                let number = self.last_child.1;
                self.part(&record, seqid, row, number, false, false);
                return Ok(());
            }
            let Some(parents) = gff3_value(record.attributes, b"Parent") else {
                // A CDS without a parent is a gene of its own (Prodigal); other parts alone mean nothing.
                if row == Row::Cds {
                    let number = match gff3_value(record.attributes, b"ID") {
                        Some(id) => self.number(id, 0),
                        None => self.block.names.anonymous(),
                    };
                    self.part(&record, seqid, row, number, true, false);
                } else {
                    let word = self.block.words[word as usize].text.clone();
                    self.count(&format!("{word} without a Parent"), String::new);
                }
                return Ok(());
            };
            if parents.contains(&b'=') {
                return Err(format!("the Parent '{}' holds an unescaped '='", attributes::decode(parents)));
            }
            let shared = memchr::memchr(b',', parents).is_some();
            if !shared {
                let number = self.parent_number(parents, 0);
                let end = parents.as_ptr() as usize + parents.len() - record.attributes.as_ptr() as usize;
                self.last_child = (&record.attributes[..end], number);
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
            let region = &mut self.block.regions[seqid as usize];
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
            self.number(parents, 0)
        };
        // Children mostly follow: remember the id for them. A comma would make it several to them.
        if let Some(id) = id {
            match row {
                Row::Gene => self.last_gene = (id, number),
                Row::Transcript if !id.contains(&b',') => self.last_parent = (id, 0, number),
                _ => {}
            }
        }
        // Rows that no other can name and that belong to nothing need not be kept.
        if matches!(row, Row::Other | Row::Implied | Row::Region | Row::Protein) && number == NONE && parent == NONE {
            return Ok(());
        }
        if several {
            let mut listed = parents.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|p| !p.is_empty());
            let first = listed.next().map_or(NONE, |parent| self.number(parent, 0));
            self.block.several.push((self.block.nodes.len() as u32, first));
            if row == Row::Transcript {
                self.count("transcript with several genes, kept in its first", String::new);
            }
        }
        self.node(&record, seqid, word, row, number, parent, false);
        Ok(())
    }

    fn gtf_row(&mut self, record: Record<'a>, seqid: u32, word: u32, row: Row) -> Said<()> {
        if matches!(row, Row::Other | Row::Implied | Row::Region | Row::Protein) {
            return Ok(());
        }
        let keys = GtfKeys::of(record.attributes, row);
        let (gene_context, transcript_context) = (gtf_context(seqid, 0), gtf_context(seqid, 1));
        match row {
            Row::Gene => {
                let number = keys.gene.map_or(NONE, |id| self.number(id, gene_context));
                self.node(&record, seqid, word, row, number, NONE, false);
            }
            Row::Transcript => {
                let parent = keys.gene.map_or(NONE, |id| self.number(id, gene_context));
                let number = keys.transcript.map_or(NONE, |id| self.number(id, transcript_context));
                self.node(&record, seqid, word, row, number, parent, false);
            }
            _ => {
                let Some(id) = keys.transcript else {
                    let Some(gene) = keys.gene else {
                        let word = self.block.words[word as usize].text.clone();
                        return Err(format!("the {word} has neither transcript_id nor gene_id"));
                    };
                    let number = self.number(gene, gene_context);
                    self.part(&record, seqid, row, number, false, false);
                    return Ok(());
                };
                let number = self.parent_number(id, transcript_context);
                let tells = if keys.gene.is_some() { Told::WithItsGene } else { Told::Transcript };
                if self.told.get(number as usize).is_none_or(|&told| told < tells) {
                    let parent = keys.gene.map_or(NONE, |id| self.number(id, gene_context));
                    self.told.resize(self.block.names.len(), Told::Nothing);
                    self.told[number as usize] = tells;
                    self.node(&record, seqid, word, Row::Transcript, number, parent, true);
                }
                self.part(&record, seqid, row, number, false, false);
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments)]
    fn node(&mut self, record: &Record<'a>, seqid: u32, word: u32, row: Row, number: u32, parent: u32, implied: bool) {
        self.block.nodes.push(Node {
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
        });
    }

    fn part(&mut self, record: &Record<'a>, seqid: u32, row: Row, parent: u32, alone: bool, shared: bool) {
        let at = record.attributes.as_ptr() as usize - self.rules.text.as_ptr() as usize;
        self.block.parts.push(Part::new(record, parent, seqid, row, at as u64, alone, shared));
    }
}

/// The context of a GTF id: its sequence, and whether it is a gene's (0) or a transcript's (1).
pub fn gtf_context(seqid: u32, kind: u32) -> u32 {
    1 + 2 * seqid + kind
}

fn inverted(record: &Record<'_>) -> String {
    format!("the start {} is larger than the end {}", record.start + 1, record.end)
}

/// ID and Parent of a column that begins with them and is plain otherwise: no `=` within, no second ID, no topology. `None`
/// leaves the column to the slow way.
fn leading_ids(column: &[u8]) -> Option<Ids<'_>> {
    let rest = column.strip_prefix(b"ID=")?;
    let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
    let (id, mut rest) = (&rest[..end], &rest[end..]);
    let mut parents = None;
    if let Some(value) = rest.strip_prefix(b";Parent=") {
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        (parents, rest) = (Some(&value[..end]), &value[end..]);
    }
    let plain = |value: &[u8]| {
        matches!(value, [first, .., last] if !first.is_ascii_whitespace() && !last.is_ascii_whitespace())
            && !value.contains(&b'=')
    };
    // What may be another of the keys that matter, and what has no key, takes the slow way.
    let other = |at| matches!(rest.get(at + 1), None | Some(b'A'..=b'H' | b'J'..=b'O' | b'Q'..=b'Z' | b'a'..=b'z'));
    (plain(id) && parents.is_none_or(plain) && memchr::memchr_iter(b';', rest).all(other))
        .then_some((Some(id), parents))
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
