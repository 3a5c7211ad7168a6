//! Writes packed files, whole or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;
use tempfile::NamedTempFile;
use twox_hash::XxHash3_64;

use super::MOST_BASES;
use super::format::{
    ALIGNMENT, BLOCK_ALIGNMENT, DATA_OFFSET_ENTRY, Entry, HAS_TRACKS, HEADER_BYTES, Header, SampleRow, Section,
    SegmentRow, TABLE_BYTES, align, put_strings,
};
use super::vocabulary::Vocabulary;
use crate::error::{Error, Result};
use crate::packing::Size;

/// A window on its way into a packed file.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    pub species: &'a str,
    pub seqid: &'a str,
    /// Where it begins in its sequence (forward strand), and its length in bp.
    pub start: u64,
    pub length: u32,
    /// The tokens are those of the stretch's reverse complement.
    pub reverse: bool,
    pub genetic_code: u8,
    /// Bits from `FIRST_CALLER_FLAG` up are the caller's.
    pub flags: u16,
    pub tokens: &'a [u32],
    /// The sentence, `<bos>` to `<eos>`.
    pub labels: &'a [u32],
    /// Sentence tokens from this one on take no loss.
    pub loss_end: Option<u32>,
    /// Stretches of the window without loss: `[start, end)` in bp from the window's start.
    pub ignores: &'a [(u32, u32)],
    /// One byte a token.
    pub tracks: Option<&'a [u8]>,
}

/// Takes windows first, then packs of them; `finish` makes the file appear.
pub struct Writer {
    file: FileWriter,
    spool: Spool,
    species: Strings,
    seqids: Strings,
    /// Rows of the windows, and where their bytes begin in the spool.
    segments: Vec<(SegmentRow, u64)>,
    sizes: Vec<Size>,
    packed: Vec<bool>,
    block: Vec<u8>,
}

impl Writer {
    pub fn create(path: impl AsRef<Path>, vocabulary: Vocabulary) -> Result<Self> {
        let file = FileWriter::create(path.as_ref(), vocabulary)?;
        // Address space alone, until it is written to: nothing is copied as it fills.
        let memory = Vec::with_capacity(SPOOL_MEMORY);
        let spool = Spool { path: path.as_ref().to_path_buf(), memory, file: None, bytes: 0 };
        Ok(Writer {
            file,
            spool,
            species: Strings::default(),
            seqids: Strings::default(),
            segments: Vec::new(),
            sizes: Vec::new(),
            packed: Vec::new(),
            block: Vec::new(),
        })
    }

    /// Lengths of the windows added, for `packing::pack`.
    pub fn sizes(&self) -> &[Size] {
        &self.sizes
    }

    /// Adds a window and returns its number.
    pub fn add(&mut self, segment: &Segment) -> Result<u32> {
        self.check(segment)?;
        let count = |length: usize| length as u32;
        let row = SegmentRow {
            species: self.species.number(segment.species),
            seqid: self.seqids.number(segment.seqid),
            start: segment.start,
            length: segment.length,
            genetic_code: segment.genetic_code,
            reverse: segment.reverse,
            flags: segment.flags & !HAS_TRACKS | if segment.tracks.is_some() { HAS_TRACKS } else { 0 },
            offset: 0,
            tokens: count(segment.tokens.len()),
            labels: count(segment.labels.len()),
            loss_end: segment.loss_end.unwrap_or(count(segment.labels.len())),
            ignores: count(segment.ignores.len()),
        };
        let width = self.file.vocabulary.token_bytes();
        let layout = row.layout(width);
        self.block.clear();
        put_ids(segment.tokens, width, &mut self.block);
        put_ids(segment.labels, width, &mut self.block);
        self.block.resize(layout.ignores as usize, 0);
        for &(start, end) in segment.ignores {
            self.block.extend(start.to_le_bytes());
            self.block.extend(end.to_le_bytes());
        }
        self.block.extend(segment.tracks.unwrap_or_default());
        self.block.resize(layout.bytes as usize, 0);
        let place = self.spool.push(&self.block)?;
        self.segments.push((row, place));
        self.sizes.push(Size { tokens: row.tokens, labels: row.labels });
        self.packed.push(false);
        Ok(self.segments.len() as u32 - 1)
    }

    #[cfg(test)]
    pub(super) fn spill_now(&mut self) -> io::Result<()> {
        self.spool.spill()
    }

    fn check(&self, segment: &Segment) -> Result<()> {
        let vocabulary = &self.file.vocabulary;
        let refuse = |what: String| {
            let Segment { species, seqid, start, .. } = segment;
            Err(Error::input(format!("window of {species} at {seqid}:{start}: {what}")))
        };
        if segment.length == 0 || segment.length > MOST_BASES {
            return refuse(format!("{} bp long, not 1 to {MOST_BASES}", segment.length));
        }
        let mut bases = 0u64;
        for &id in segment.tokens {
            match vocabulary.bases(id) {
                Some(codes) if !codes.is_empty() => bases += codes.len() as u64,
                _ => return refuse(format!("token {id} is not DNA")),
            }
        }
        if bases != u64::from(segment.length) {
            return refuse(format!("its tokens spell {bases} bases of {}", segment.length));
        }
        if let Some(id) = segment.labels.iter().find(|&&id| id as usize >= vocabulary.len()) {
            return refuse(format!("label {id} is no token"));
        }
        if segment.labels.len() < 2 || segment.labels.len() > 1 << 24 {
            return refuse(format!("a sentence of {} tokens", segment.labels.len()));
        }
        if segment.loss_end.is_some_and(|end| end as usize > segment.labels.len()) {
            return refuse("the loss ends after the sentence".into());
        }
        if segment.ignores.iter().any(|&(start, end)| start >= end || end > segment.length) {
            return refuse("an ignore interval is empty or leaves the window".into());
        }
        if segment.tracks.is_some_and(|tracks| tracks.len() != segment.tokens.len()) {
            return refuse("tracks are not one byte a token".into());
        }
        Ok(())
    }

    /// Writes one sample of windows added before; each window goes into one sample at most.
    pub fn write_pack(&mut self, windows: &[u32]) -> Result<()> {
        let mut block = std::mem::take(&mut self.block);
        block.clear();
        let mut rows = Vec::with_capacity(windows.len());
        for &window in windows {
            let Some(&(mut row, place)) = self.segments.get(window as usize) else {
                return Err(Error::input(format!("pack of window {window}, which was not added")));
            };
            if std::mem::replace(&mut self.packed[window as usize], true) {
                return Err(Error::input(format!("window {window} is packed twice")));
            }
            row.offset = u32::try_from(block.len()).map_err(|_| Error::input("a pack of more than 4 GB"))?;
            let bytes = row.layout(self.file.vocabulary.token_bytes()).bytes as usize;
            self.spool.read(place, bytes, &mut block)?;
            rows.push(row);
        }
        self.file.add_sample(&block, &rows)?;
        self.block = block;
        Ok(())
    }

    /// Writes tables and `metadata` (JSON), syncs, and gives the file its name. Windows in no pack are left out.
    pub fn finish(self, metadata: &serde_json::Value) -> Result<()> {
        self.file.finish(&self.species.list, &self.seqids.list, &metadata.to_string())
    }
}

fn put_ids(ids: &[u32], width: u32, out: &mut Vec<u8>) {
    if width == 2 {
        out.extend(ids.iter().flat_map(|&id| (id as u16).to_le_bytes()));
    } else {
        out.extend(ids.iter().flat_map(|&id| id.to_le_bytes()));
    }
}

/// Strings numbered in the order of their first appearance.
#[derive(Default)]
pub(super) struct Strings {
    pub(super) list: Vec<String>,
    numbers: FxHashMap<String, u32>,
}

impl Strings {
    pub(super) fn number(&mut self, string: &str) -> u32 {
        if let Some(&number) = self.numbers.get(string) {
            return number;
        }
        let number = self.list.len() as u32;
        self.list.push(string.to_string());
        self.numbers.insert(string.to_string(), number);
        number
    }
}

/// Windows wait here until their packs are known: in memory while they are few, then in an unnamed file.
struct Spool {
    /// The file in whose folder it lives, for messages.
    path: PathBuf,
    memory: Vec<u8>,
    file: Option<File>,
    /// All bytes pushed; those in `memory` are the last of them.
    bytes: u64,
}

const SPOOL_MEMORY: usize = 64 << 20;

impl Spool {
    fn push(&mut self, block: &[u8]) -> Result<u64> {
        if self.memory.len() + block.len() > SPOOL_MEMORY {
            self.spill().map_err(|e| Error::io(&self.path, e))?;
        }
        let place = self.bytes;
        self.memory.extend(block);
        self.bytes += block.len() as u64;
        Ok(place)
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile_in(folder(&self.path))?),
        };
        file.write_all_at(&self.memory, self.bytes - self.memory.len() as u64)?;
        self.memory.clear();
        Ok(())
    }

    /// Appends `bytes` at `place` to `out`.
    fn read(&self, place: u64, bytes: usize, out: &mut Vec<u8>) -> Result<()> {
        let in_memory = self.bytes - self.memory.len() as u64;
        if place >= in_memory {
            let start = (place - in_memory) as usize;
            out.extend(&self.memory[start..start + bytes]);
            return Ok(());
        }
        let start = out.len();
        out.resize(start + bytes, 0);
        let file = self.file.as_ref().expect("what is not in memory was spilled");
        file.read_exact_at(&mut out[start..], place).map_err(|e| Error::io(&self.path, e))
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Bytes that are written at once.
const BUFFER: usize = 1 << 18;
/// Bytes after which writing to the disk begins.
const WRITE_BACK: u64 = 4 << 20;

/// The file itself: sections in order, the data as it comes.
pub(super) struct FileWriter {
    path: PathBuf,
    out: BufWriter<NamedTempFile>,
    pub(super) vocabulary: Vocabulary,
    entries: [Entry; Section::ALL.len()],
    position: u64,
    /// Up to here the system was asked to bring what was written to the disk.
    started: u64,
    samples: Vec<SampleRow>,
    segments: Vec<u8>,
    segment_count: u64,
}

impl FileWriter {
    pub(super) fn create(path: &Path, vocabulary: Vocabulary) -> Result<Self> {
        let io = |e| Error::io(path, e);
        if path.is_dir() {
            return Err(Error::io(path, io::Error::from_raw_os_error(21)));
        }
        let temporary = tempfile::Builder::new()
            .prefix(".packed-")
            .permissions(std::fs::Permissions::from_mode(0o666))
            .tempfile_in(folder(path))
            .map_err(io)?;
        let mut writer = FileWriter {
            path: path.to_path_buf(),
            out: BufWriter::with_capacity(BUFFER, temporary),
            vocabulary,
            entries: Default::default(),
            position: 0,
            started: 0,
            samples: Vec::new(),
            segments: Vec::new(),
            segment_count: 0,
        };
        writer.write(&[0; HEADER_BYTES + TABLE_BYTES])?;
        let tokens: String = writer.vocabulary.tokens().iter().flat_map(|token| [token.as_str(), "\n"]).collect();
        writer.section(Section::Tokens, tokens.as_bytes())?;
        let lengths: Vec<u8> = writer.vocabulary.lengths().flat_map(u16::to_le_bytes).collect();
        writer.section(Section::TokenLengths, &lengths)?;
        writer.pad(ALIGNMENT)?;
        writer.entries[DATA_OFFSET_ENTRY].offset = writer.position;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(|e| Error::io(&self.path, e))?;
        self.position += bytes.len() as u64;
        if self.position - self.started >= WRITE_BACK {
            self.start_write_back();
        }
        Ok(())
    }

    /// Asks the system to bring what was written to the disk while more is made, so that the final sync waits for little.
    fn start_write_back(&mut self) {
        // That these bytes are not needed soon is how to say it; few of them leave the memory before they are on the disk.
        // It is a wish: where it is not granted, the final sync does all.
        #[cfg(target_os = "linux")]
        {
            // What was still in the buffer the last time is asked for again.
            let start = self.started.saturating_sub(BUFFER as u64);
            let length = std::num::NonZeroU64::new(self.position - start);
            let _ = rustix::fs::fadvise(self.out.get_ref().as_file(), start, length, rustix::fs::Advice::DontNeed);
        }
        self.started = self.position;
    }

    fn pad(&mut self, to: u64) -> Result<()> {
        let padding = align(self.position, to) - self.position;
        self.write(&[0; ALIGNMENT as usize][..padding as usize])
    }

    fn section(&mut self, section: Section, bytes: &[u8]) -> Result<()> {
        self.pad(ALIGNMENT)?;
        self.entries[section as usize] =
            Entry { offset: self.position, bytes: bytes.len() as u64, checksum: XxHash3_64::oneshot(bytes) };
        self.write(bytes)
    }

    /// Writes a sample whose rows' offsets are set; strings are numbered by the caller.
    pub(super) fn add_sample(&mut self, block: &[u8], rows: &[SegmentRow]) -> Result<()> {
        debug_assert!(block.len() % BLOCK_ALIGNMENT == 0);
        let sum = |value: &dyn Fn(&SegmentRow) -> u32| {
            u32::try_from(rows.iter().map(|row| u64::from(value(row))).sum::<u64>())
                .map_err(|_| Error::input("a pack of more than 2^32 bases"))
        };
        let sample = SampleRow {
            offset: 0,
            bytes: u32::try_from(block.len()).map_err(|_| Error::input("a pack of more than 4 GB"))?,
            segments: rows.len() as u32,
            first_segment: 0,
            tokens: sum(&|row| row.tokens)?,
            bases: sum(&|row| row.length)?,
            labels: sum(&|row| row.labels)?,
            checksum: XxHash3_64::oneshot(block),
        };
        rows.iter().for_each(|row| row.put(&mut self.segments));
        self.add_rows(&[sample]);
        self.add_blocks(block)
    }

    /// The row of a segment of the sample whose row comes next.
    pub(super) fn add_segment(&mut self, row: &SegmentRow) {
        row.put(&mut self.segments);
    }

    /// Puts the rows of samples in place. `add_blocks` must write their blocks in the same order.
    pub(super) fn add_rows(&mut self, samples: &[SampleRow]) {
        for sample in samples {
            let offset = self.samples.last().map_or(0, |before| before.offset + u64::from(before.bytes));
            self.samples.push(SampleRow { offset, first_segment: self.segment_count, ..*sample });
            self.segment_count += u64::from(sample.segments);
        }
    }

    /// Writes blocks of samples as they are.
    pub(super) fn add_blocks(&mut self, blocks: &[u8]) -> Result<()> {
        self.write(blocks)
    }

    pub(super) fn finish(mut self, species: &[String], seqids: &[String], metadata: &str) -> Result<()> {
        let checksums: Vec<u8> = self.samples.iter().flat_map(|sample| sample.checksum.to_le_bytes()).collect();
        let data = &mut self.entries[DATA_OFFSET_ENTRY];
        (data.bytes, data.checksum) = (self.position - data.offset, XxHash3_64::oneshot(&checksums));
        let mut samples = Vec::with_capacity(self.samples.len() * SampleRow::BYTES);
        self.samples.iter().for_each(|sample| sample.put(&mut samples));
        self.section(Section::Samples, &samples)?;
        let segments = std::mem::take(&mut self.segments);
        self.section(Section::Segments, &segments)?;
        self.section(Section::Species, &put_strings(species))?;
        self.section(Section::Seqids, &put_strings(seqids))?;
        self.section(Section::Metadata, metadata.as_bytes())?;

        let mut table = Vec::with_capacity(TABLE_BYTES);
        self.entries.iter().zip(1..).for_each(|(entry, number)| entry.put(number, &mut table));
        let header = Header {
            file_bytes: self.position,
            token_count: self.vocabulary.len() as u32,
            unknown: self.vocabulary.unknown(),
            token_bytes: self.vocabulary.token_bytes(),
            prefix_hash: self.vocabulary.hash(),
        };
        let FileWriter { path, mut out, .. } = self;
        let io = |e| Error::io(&path, e);
        out.seek(SeekFrom::Start(0)).map_err(io)?;
        out.write_all(&header.to_bytes(&table)).map_err(io)?;
        out.write_all(&table).map_err(io)?;
        let temporary = out.into_inner().map_err(|e| io(e.into_error()))?;
        temporary.as_file().sync_all().map_err(io)?;
        temporary.persist(&path).map_err(|e| io(e.error))?;
        // The new name survives a power cut only once its folder is on disk too.
        File::open(folder(&path)).and_then(|folder| folder.sync_all()).map_err(io)
    }
}
