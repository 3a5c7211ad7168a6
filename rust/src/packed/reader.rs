//! Opens packed files: everything that offsets depend on is checked before it is used.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use memmap2::Mmap;
use twox_hash::XxHash3_64;

use super::MOST_BASES;
use super::format::{
    ALIGNMENT, BLOCK_ALIGNMENT, Entry, HAS_TRACKS, HEADER_BYTES, Header, Refusal, SampleRow, Section, SegmentLayout,
    SegmentRow, TABLE_BYTES, VERSION, align, parse_strings, u32_at,
};
use super::vocabulary::Vocabulary;
use crate::error::{Error, Result};

/// A packed file, open and mapped. Shared freely between threads.
pub struct Reader {
    path: PathBuf,
    file: File,
    map: Mmap,
    header: Header,
    entries: [Entry; Section::ALL.len()],
    vocabulary: Vocabulary,
    species: Vec<String>,
    seqids: Vec<String>,
    metadata: String,
    has_tracks: bool,
    /// The file's time of change when its content was last found to be what was opened.
    changed: Mutex<(i64, i64)>,
}

/// Where a segment lies in its genome, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    pub row: SegmentRow,
    pub sample: usize,
    pub species: String,
    pub seqid: String,
    pub tokens: Vec<u32>,
    /// Base codes, 0..3 = A C G T, 4 = anything else.
    pub bases: Vec<u8>,
    pub sentence: Vec<u32>,
    pub ignores: Vec<(u32, u32)>,
    pub tracks: Option<Vec<u8>>,
}

/// Index and segment table in memory, for work on whole files, which may last: the map is safe to read only just after
/// the file's size was checked.
pub struct Tables {
    samples: Vec<u8>,
    segments: Vec<u8>,
}

impl Tables {
    pub fn sample(&self, index: usize) -> SampleRow {
        SampleRow::parse(&self.samples[index * SampleRow::BYTES..][..SampleRow::BYTES])
    }

    /// The segments of a sample, with their numbers.
    pub fn segments(&self, sample: &SampleRow) -> impl Iterator<Item = (usize, SegmentRow)> + '_ {
        let first = sample.first_segment as usize;
        (first..first + sample.segments as usize)
            .map(|index| (index, SegmentRow::parse(&self.segments[index * SegmentRow::BYTES..][..SegmentRow::BYTES])))
    }
}

/// The parts of one segment's bytes.
pub(super) struct SegmentData<'a> {
    tokens: &'a [u8],
    labels: &'a [u8],
    ignores: &'a [u8],
    tracks: &'a [u8],
    width: usize,
}

impl SegmentData<'_> {
    pub(super) fn tokens(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        ids(self.tokens, self.width)
    }

    /// Writes the tokens as int64. Meanwhile the processor fetches as much of what is read next, which is cut off `next`:
    /// writing and reading wait for different things.
    pub(super) fn widen_tokens(&self, out: &mut [i64], next: &mut &[u8]) {
        const STEP: usize = 256;
        for (out, tokens) in out.chunks_mut(STEP / self.width).zip(self.tokens.chunks(STEP)) {
            let (fetched, rest) = next.split_at(STEP.min(next.len()));
            *next = rest;
            fetched.iter().step_by(LINE).for_each(prefetch_line);
            widen(tokens, self.width, out);
        }
    }

    /// Writes as many of the sentence's tokens as `out` has room for, from `first` on.
    pub(super) fn widen_labels(&self, first: usize, out: &mut [i64]) {
        widen(&self.labels[first * self.width..], self.width, out);
    }

    /// `Vocabulary::spell` of its tokens.
    pub(super) fn spell(&self, vocabulary: &Vocabulary, positions: &mut [i64], out: &mut [u8]) -> bool {
        // The width is known before the loops, not asked for each token.
        match self.width {
            2 => vocabulary.spell(narrow(self.tokens), positions, out),
            _ => vocabulary.spell(wide(self.tokens), positions, out),
        }
    }

    /// Whether its tokens spell so many bases, and all tokens of its sentence are known.
    pub(super) fn is_known(&self, vocabulary: &Vocabulary, bases: u32) -> bool {
        let (spelled, most) = match self.width {
            2 => (vocabulary.count(narrow(self.tokens)), narrow(self.labels).max()),
            _ => (vocabulary.count(wide(self.tokens)), wide(self.labels).max()),
        };
        spelled == Some(u64::from(bases)) && (most.unwrap_or(0) as usize) < vocabulary.len()
    }

    pub(super) fn labels(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        ids(self.labels, self.width)
    }

    pub(super) fn ignores(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.ignores.chunks_exact(8).map(|pair| (u32_at(pair, 0), u32_at(pair, 4)))
    }

    pub(super) fn tracks(&self) -> &[u8] {
        self.tracks
    }
}

fn narrow(bytes: &[u8]) -> impl ExactSizeIterator<Item = u32> + '_ {
    bytes.chunks_exact(2).map(|id| u32::from(u16::from_le_bytes([id[0], id[1]])))
}

fn wide(bytes: &[u8]) -> impl ExactSizeIterator<Item = u32> + '_ {
    bytes.chunks_exact(4).map(|id| u32_at(id, 0))
}

fn widen(bytes: &[u8], width: usize, out: &mut [i64]) {
    match width {
        2 => out.iter_mut().zip(narrow(bytes)).for_each(|(out, id)| *out = i64::from(id)),
        _ => out.iter_mut().zip(wide(bytes)).for_each(|(out, id)| *out = i64::from(id)),
    }
}

fn ids(bytes: &[u8], width: usize) -> impl ExactSizeIterator<Item = u32> + '_ {
    bytes
        .chunks_exact(width)
        .map(move |id| if width == 2 { u32::from(u16::from_le_bytes([id[0], id[1]])) } else { u32_at(id, 0) })
}

impl Reader {
    /// Opens and checks a packed file: header, section table, all tables and their agreement. The samples' own bytes
    /// are checked as they are read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let io = |e| Error::io(path, e);
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if metadata.is_dir() {
            return Err(io(std::io::Error::from_raw_os_error(21)));
        }
        let bytes = metadata.len();
        let mut head = vec![0; (HEADER_BYTES + TABLE_BYTES).min(usize::try_from(bytes).unwrap_or(usize::MAX))];
        file.read_exact_at(&mut head, 0).map_err(io)?;
        let (header, entries) = parse_head(path, &head, bytes)?;
        // SAFETY: the map is only read, through slices whose bounds the checks below and `block` establish; the file's
        // size is checked again before each use, since a file that others shorten would end the process (SIGBUS).
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        if map.len() as u64 != bytes {
            return Err(Error::binary(path, "the file changed while it was opened; open it again"));
        }
        let section = |section: Section| section_bytes(path, &map, &entries, section);

        let tokens = text(path, section(Section::Tokens)?, Section::Tokens)?;
        let tokens: Vec<String> = tokens.split_terminator('\n').map(str::to_string).collect();
        let vocabulary = Vocabulary::new(tokens, header.unknown).map_err(|what| damaged(path, &what))?;
        if vocabulary.len() != header.token_count as usize
            || vocabulary.hash() != header.prefix_hash
            || vocabulary.token_bytes() != header.token_bytes
        {
            return Err(damaged(path, "its tokens are not those that its header names"));
        }
        let lengths = section(Section::TokenLengths)?;
        if !lengths.iter().copied().eq(vocabulary.lengths().flat_map(u16::to_le_bytes)) {
            return Err(damaged(path, "its table of token lengths does not fit its tokens"));
        }
        let strings = |which: Section| {
            parse_strings(section(which)?)
                .ok_or_else(|| damaged(path, &format!("its section '{}' is wrong", which.name())))
        };
        let (species, seqids) = (strings(Section::Species)?, strings(Section::Seqids)?);
        let json = text(path, section(Section::Metadata)?, Section::Metadata)?.to_string();
        serde_json::from_str::<serde_json::Value>(&json)
            .map_err(|e| damaged(path, &format!("its metadata is not JSON ({e})")))?;
        section(Section::Samples)?;
        section(Section::Segments)?;
        let changed = Mutex::new((metadata.mtime(), metadata.mtime_nsec()));
        let path = path.to_path_buf();
        let mut reader = Reader {
            path,
            file,
            map,
            header,
            entries,
            vocabulary,
            species,
            seqids,
            metadata: json,
            has_tracks: false,
            changed,
        };
        reader.has_tracks = reader.check_tables()?;
        Ok(reader)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of samples (packs).
    pub fn len(&self) -> usize {
        self.entry(Section::Samples).bytes as usize / SampleRow::BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of segments (windows) in all samples.
    pub fn segment_count(&self) -> usize {
        self.entry(Section::Segments).bytes as usize / SegmentRow::BYTES
    }

    /// Size of the file in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.header.file_bytes
    }

    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    pub fn species(&self) -> &[String] {
        &self.species
    }

    pub fn seqids(&self) -> &[String] {
        &self.seqids
    }

    /// Whether any segment has tracks.
    pub fn has_tracks(&self) -> bool {
        self.has_tracks
    }

    /// The metadata block, as JSON text.
    pub fn metadata(&self) -> &str {
        &self.metadata
    }

    /// A number that is the same for files of the same content: the header's checksum, which covers all others.
    pub fn fingerprint(&self) -> u64 {
        XxHash3_64::oneshot(&self.header.to_bytes(&self.table_bytes()))
    }

    fn table_bytes(&self) -> Vec<u8> {
        let mut table = Vec::with_capacity(TABLE_BYTES);
        self.entries.iter().zip(1..).for_each(|(entry, number)| entry.put(number, &mut table));
        table
    }

    fn entry(&self, section: Section) -> &Entry {
        &self.entries[section as usize]
    }

    /// Refuses a file that was shortened, grown or rewritten since it was opened. Called before each batch.
    pub fn check_unchanged(&self) -> Result<()> {
        let metadata = self.file.metadata().map_err(|e| Error::io(&self.path, e))?;
        let refuse = |what: &str| {
            Err(Error::binary(
                &self.path,
                format!("the file {what} since it was opened; write it again, or open it anew"),
            ))
        };
        if metadata.len() < self.header.file_bytes {
            return refuse("was cut");
        }
        if metadata.len() > self.header.file_bytes {
            return refuse("has grown");
        }
        let now = (metadata.mtime(), metadata.mtime_nsec());
        let mut known = self.changed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if *known != now {
            // Touched, or written to: the header tells, since it covers all tables; samples have their own checksums.
            let mut head = [0; HEADER_BYTES + TABLE_BYTES];
            let read = self.file.read_exact_at(&mut head, 0);
            let table = self.table_bytes();
            if read.is_err() || head[..HEADER_BYTES] != self.header.to_bytes(&table) || head[HEADER_BYTES..] != table {
                return refuse("was overwritten");
            }
            *known = now;
        }
        Ok(())
    }

    /// A row of the index of samples.
    pub fn sample(&self, index: usize) -> Result<SampleRow> {
        self.row(Section::Samples, index, SampleRow::BYTES)
            .map(SampleRow::parse)
            .ok_or_else(|| Error::input(format!("sample {index}: {} has {}", self.path.display(), self.len())))
    }

    /// A row of the segment table.
    pub fn segment(&self, index: usize) -> Result<SegmentRow> {
        self.row(Section::Segments, index, SegmentRow::BYTES).map(SegmentRow::parse).ok_or_else(|| {
            Error::input(format!("segment {index}: {} has {}", self.path.display(), self.segment_count()))
        })
    }

    /// Asks for the first of a sample's segments' rows.
    pub(super) fn prefetch_segments(&self, sample: &SampleRow) {
        if let Some(row) = self.row(Section::Segments, sample.first_segment as usize, SegmentRow::BYTES) {
            prefetch(row);
        }
    }

    fn row(&self, section: Section, index: usize, bytes: usize) -> Option<&[u8]> {
        let entry = self.entry(section);
        let table = self.map.get(entry.offset as usize..(entry.offset + entry.bytes) as usize)?;
        table.get(index.checked_mul(bytes)?..)?.get(..bytes)
    }

    /// The bytes of a sample, not yet held against its checksum.
    pub(super) fn unchecked_block(&self, index: usize, sample: &SampleRow) -> Result<&[u8]> {
        let start = self.entry(Section::Data).offset.checked_add(sample.offset);
        start
            .and_then(|start| self.map.get(usize::try_from(start).ok()?..)?.get(..sample.bytes as usize))
            .ok_or_else(|| self.damaged_sample(index))
    }

    pub(super) fn check_block(&self, index: usize, sample: &SampleRow, block: &[u8]) -> Result<()> {
        if XxHash3_64::oneshot(block) == sample.checksum { Ok(()) } else { Err(self.damaged_sample(index)) }
    }

    fn damaged_sample(&self, index: usize) -> Error {
        self.damaged(&format!("sample {index} does not have its checksum"))
    }

    /// Both tables, read anew and held against their checksums.
    pub fn tables(&self) -> Result<Tables> {
        self.check_unchanged()?;
        let read = |section: Section| {
            let entry = self.entry(section);
            let mut bytes = vec![0; entry.bytes as usize];
            self.read_exact(&mut bytes, entry.offset)?;
            if XxHash3_64::oneshot(&bytes) != entry.checksum {
                return Err(self.damaged(&format!("its section '{}' does not have its checksum", section.name())));
            }
            Ok(bytes)
        };
        if self.len() < 10_000 {
            return Ok(Tables { samples: read(Section::Samples)?, segments: read(Section::Segments)? });
        }
        std::thread::scope(|scope| {
            let samples = scope.spawn(|| read(Section::Samples));
            let segments = read(Section::Segments);
            let samples = samples.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok(Tables { samples: samples?, segments: segments? })
        })
    }

    fn read_exact(&self, out: &mut [u8], place: u64) -> Result<()> {
        self.file.read_exact_at(out, place).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => self.damaged("it was cut since it was opened"),
            _ => Error::io(&self.path, e),
        })
    }

    /// The bytes of samples that follow one another, read into `out`, which is as long as they are, without the map (a file
    /// that others shorten is an error), each against its checksum. `first` is the number of the first one.
    pub(super) fn read_blocks(&self, first: usize, samples: &[SampleRow], out: &mut [u8]) -> Result<()> {
        let Some(place) = samples.first().map(|sample| self.entry(Section::Data).offset + sample.offset) else {
            return Ok(());
        };
        self.read_exact(out, place)?;
        let mut rest = &out[..];
        for (index, sample) in (first..).zip(samples) {
            let (block, after) = rest.split_at(sample.bytes as usize);
            self.check_block(index, sample, block)?;
            rest = after;
        }
        Ok(())
    }

    /// The parts of a segment within its sample's block.
    pub(super) fn data<'a>(&self, block: &'a [u8], row: &SegmentRow) -> Result<SegmentData<'a>> {
        let SegmentLayout { labels, ignores, tracks, end, .. } = row.layout(self.header.token_bytes);
        let width = self.header.token_bytes as usize;
        let bytes = usize::try_from(end).ok().and_then(|end| block.get(row.offset as usize..)?.get(..end));
        let Some(bytes) = bytes else {
            return Err(damaged(&self.path, "a segment leaves its sample"));
        };
        let labels_end = labels as usize + row.labels as usize * width;
        Ok(SegmentData {
            tokens: &bytes[..labels as usize],
            labels: &bytes[labels as usize..labels_end],
            ignores: &bytes[ignores as usize..tracks as usize],
            tracks: &bytes[tracks as usize..],
            width,
        })
    }

    pub(super) fn damaged(&self, what: &str) -> Error {
        damaged(&self.path, what)
    }

    /// The sample that a segment belongs to.
    pub fn sample_of(&self, segment: usize) -> Result<usize> {
        self.segment(segment)?;
        let (mut low, mut high) = (0, self.len());
        while high - low > 1 {
            let middle = (low + high) / 2;
            if self.sample(middle)?.first_segment as usize <= segment { low = middle } else { high = middle }
        }
        Ok(low)
    }

    /// Everything that is known of one segment.
    pub fn trace(&self, segment: usize) -> Result<Trace> {
        self.check_unchanged()?;
        let row = self.segment(segment)?;
        let sample = self.sample_of(segment)?;
        let sample_row = self.sample(sample)?;
        let block = self.unchecked_block(sample, &sample_row)?;
        self.check_block(sample, &sample_row, block)?;
        let data = self.data(block, &row)?;
        let tokens: Vec<u32> = data.tokens().collect();
        let mut bases = vec![0; row.length.min(MOST_BASES) as usize];
        if !data.spell(&self.vocabulary, &mut vec![0; tokens.len()], &mut bases) {
            return Err(self.damaged(&format!("the tokens of segment {segment} do not spell its bases")));
        }
        let string = |strings: &[String], number: u32| {
            strings.get(number as usize).cloned().ok_or_else(|| self.damaged("a segment's name is missing"))
        };
        Ok(Trace {
            species: string(&self.species, row.species)?,
            seqid: string(&self.seqids, row.seqid)?,
            sentence: data.labels().collect(),
            ignores: data.ignores().collect(),
            tracks: (row.flags & HAS_TRACKS != 0).then(|| data.tracks().to_vec()),
            row,
            sample,
            tokens,
            bases,
        })
    }

    /// Whether what a segment's row says of itself can be.
    pub(super) fn is_consistent(&self, row: &SegmentRow) -> bool {
        (row.species as usize) < self.species.len()
            && (row.seqid as usize) < self.seqids.len()
            && row.labels >= 2
            && row.loss_end <= row.labels
            && (1..=MOST_BASES).contains(&row.length)
    }

    /// Samples, segments and the data they point to must follow one another without gaps and agree in their sums.
    /// Returns whether any segment has tracks.
    fn check_tables(&self) -> Result<bool> {
        let (mut offset, mut next_segment) = (0u64, 0u64);
        let mut checksums = Vec::with_capacity(8 * self.len());
        let mut has_tracks = false;
        for index in 0..self.len() {
            let sample = self.sample(index)?;
            let fault = |what: &str| Err(damaged(&self.path, &format!("sample {index}: {what}")));
            if sample.offset != offset || sample.first_segment != next_segment {
                return fault("it does not follow the one before");
            }
            let (mut within, mut tokens, mut bases, mut labels) = (0u64, 0u64, 0u64, 0u64);
            for segment in next_segment..next_segment + u64::from(sample.segments) {
                let Some(row) = self.row(Section::Segments, segment as usize, SegmentRow::BYTES) else {
                    return fault("its segments are not in the table");
                };
                let row = SegmentRow::parse(row);
                if u64::from(row.offset) != within || !self.is_consistent(&row) {
                    return fault(&format!("segment {segment} is inconsistent"));
                }
                within += row.layout(self.header.token_bytes).bytes;
                tokens += u64::from(row.tokens);
                bases += u64::from(row.length);
                labels += u64::from(row.labels);
                has_tracks |= row.flags & HAS_TRACKS != 0;
            }
            if within != u64::from(sample.bytes)
                || tokens != u64::from(sample.tokens)
                || bases != u64::from(sample.bases)
                || labels != u64::from(sample.labels)
            {
                return fault("its lengths are not the sums of its segments'");
            }
            offset += u64::from(sample.bytes);
            next_segment += u64::from(sample.segments);
            checksums.extend(sample.checksum.to_le_bytes());
        }
        let data = self.entry(Section::Data);
        let checksum = XxHash3_64::oneshot(&checksums);
        if offset != data.bytes || next_segment != self.segment_count() as u64 || checksum != data.checksum {
            return Err(damaged(&self.path, "its index does not cover its data"));
        }
        Ok(has_tracks)
    }
}

/// Asks the processor for the beginning of each page of a stretch of the map, so that a later read does not wait for page
/// tables and memory; what follows on a page it then reads ahead by itself.
pub(super) fn prefetch(bytes: &[u8]) {
    const PAGE: usize = 4096;
    let first_page = PAGE - bytes.as_ptr() as usize % PAGE;
    for page in std::iter::once(0).chain((first_page..bytes.len()).step_by(PAGE)) {
        bytes.get(page..).into_iter().flat_map(|rest| rest.iter().step_by(LINE).take(2)).for_each(prefetch_line);
    }
}

/// Bytes that the processor fetches at once.
const LINE: usize = 64;

#[inline]
fn prefetch_line(byte: &u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program sees and never faults, whatever became of the mapped file.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = byte;
}

fn damaged(path: &Path, what: &str) -> Error {
    Error::binary(path, format!("damaged packed file: {what}; make it again or restore a copy"))
}

fn text<'a>(path: &Path, bytes: &'a [u8], section: Section) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|_| damaged(path, &format!("its section '{}' is not UTF-8", section.name())))
}

/// A section's bytes; all but the data's are checked against the checksum.
fn section_bytes<'a>(
    path: &Path,
    map: &'a [u8],
    entries: &[Entry; Section::ALL.len()],
    section: Section,
) -> Result<&'a [u8]> {
    let entry = &entries[section as usize];
    let bytes = map.get(entry.offset as usize..).and_then(|rest| rest.get(..entry.bytes as usize));
    match bytes {
        Some(bytes) if XxHash3_64::oneshot(bytes) == entry.checksum => Ok(bytes),
        _ => Err(damaged(path, &format!("its section '{}' does not have its checksum", section.name()))),
    }
}

/// Header and section table of a file of `bytes` bytes. Sections must follow one another and fill the file exactly.
fn parse_head(path: &Path, head: &[u8], bytes: u64) -> Result<(Header, [Entry; Section::ALL.len()])> {
    let (header, table_checksum) = Header::parse(head).map_err(|refusal| match refusal {
        Refusal::Foreign if bytes == 0 => Error::binary(path, "an empty file, not a packed file; bake writes them"),
        Refusal::Foreign => Error::binary(path, "not a packed file; `genet5 bake` writes them"),
        Refusal::Newer(version) => Error::binary(
            path,
            format!("packed file of version {version}, newer than the {VERSION} that this GeneT5 reads; update GeneT5"),
        ),
        Refusal::Damaged(what) => damaged(path, what),
    })?;
    if bytes < header.file_bytes {
        let message =
            format!("packed file cut short: {bytes} bytes of {}; copy it again, or bake it again", header.file_bytes);
        return Err(Error::binary(path, message));
    }
    if bytes > header.file_bytes {
        return Err(damaged(path, &format!("{} bytes follow its end", bytes - header.file_bytes)));
    }
    let Some(table) = head.get(HEADER_BYTES..).filter(|table| table.len() == TABLE_BYTES) else {
        return Err(damaged(path, "its section table is missing"));
    };
    if XxHash3_64::oneshot(table) != table_checksum {
        return Err(damaged(path, "the checksum of its section table is wrong"));
    }
    let mut entries = [Entry::default(); Section::ALL.len()];
    let mut end = head.len() as u64;
    for (place, (row, section)) in table.chunks_exact(TABLE_BYTES / Section::ALL.len()).zip(Section::ALL).enumerate() {
        let (number, entry) = Entry::parse(row);
        let row_bytes = match section {
            Section::TokenLengths => 2,
            Section::Data => BLOCK_ALIGNMENT as u64,
            Section::Samples => SampleRow::BYTES as u64,
            Section::Segments => SegmentRow::BYTES as u64,
            _ => 1,
        };
        let follows = number as usize == place + 1 && entry.offset == align(end, ALIGNMENT);
        if !follows || entry.bytes % row_bytes != 0 || entry.bytes > bytes.saturating_sub(entry.offset) {
            return Err(damaged(path, &format!("its section '{}' is out of place", section.name())));
        }
        end = entry.offset + entry.bytes;
        entries[place] = entry;
    }
    if end != bytes {
        return Err(damaged(path, "its sections do not end where it ends"));
    }
    Ok((header, entries))
}
