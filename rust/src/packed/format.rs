//! The layout of a packed file, as docs/packed_format.md describes it. All numbers are little-endian.

use twox_hash::XxHash3_64;

pub(super) const MAGIC: [u8; 8] = *b"\x93GENET5\n";
pub const VERSION: u32 = 1;
/// Reads otherwise where bytes were swapped on the way.
const BYTE_ORDER: u32 = 0x0102_0304;

pub(super) const HEADER_BYTES: usize = 64;
pub(super) const ENTRY_BYTES: usize = 32;
/// Sections begin at multiples of this.
pub(super) const ALIGNMENT: u64 = 64;
/// Samples, and what they hold, begin at multiples of this.
pub(super) const BLOCK_ALIGNMENT: usize = 8;

/// Sections in the order in which they stand in the file; a section's number is its place here, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Tokens,
    TokenLengths,
    Data,
    Samples,
    Segments,
    Species,
    Seqids,
    Metadata,
}

impl Section {
    pub(super) const ALL: [Section; 8] = [
        Section::Tokens,
        Section::TokenLengths,
        Section::Data,
        Section::Samples,
        Section::Segments,
        Section::Species,
        Section::Seqids,
        Section::Metadata,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Section::Tokens => "tokens",
            Section::TokenLengths => "token lengths",
            Section::Data => "data",
            Section::Samples => "sample index",
            Section::Segments => "segment table",
            Section::Species => "species",
            Section::Seqids => "sequence ids",
            Section::Metadata => "metadata",
        }
    }
}

pub(super) const DATA_OFFSET_ENTRY: usize = Section::Data as usize;
pub(super) const TABLE_BYTES: usize = ENTRY_BYTES * Section::ALL.len();

pub(super) fn align(offset: u64, to: u64) -> u64 {
    offset.next_multiple_of(to)
}

/// The first 64 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub file_bytes: u64,
    pub token_count: u32,
    pub unknown: u32,
    /// Bytes of a token id in the data: 2 or 4.
    pub token_bytes: u32,
    pub prefix_hash: u64,
}

/// Why a header is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Foreign,
    Newer(u32),
    Damaged(&'static str),
}

impl Header {
    pub(super) fn to_bytes(self, table: &[u8]) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &MAGIC);
        put(8, &VERSION.to_le_bytes());
        put(12, &BYTE_ORDER.to_le_bytes());
        put(16, &self.file_bytes.to_le_bytes());
        put(24, &self.token_count.to_le_bytes());
        put(28, &self.unknown.to_le_bytes());
        put(32, &self.token_bytes.to_le_bytes());
        put(36, &(Section::ALL.len() as u32).to_le_bytes());
        put(40, &self.prefix_hash.to_le_bytes());
        put(48, &XxHash3_64::oneshot(table).to_le_bytes());
        let checksum = XxHash3_64::oneshot(&bytes[..56]);
        bytes[56..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header and the checksum of the section table.
    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, u64), Refusal> {
        if bytes.len() < 16 || bytes[..8] != MAGIC {
            return Err(Refusal::Foreign);
        }
        if u32_at(bytes, 12) != BYTE_ORDER {
            return Err(Refusal::Damaged("its byte order mark is wrong"));
        }
        let version = u32_at(bytes, 8);
        if version > VERSION {
            return Err(Refusal::Newer(version));
        }
        if bytes.len() < HEADER_BYTES || version == 0 || XxHash3_64::oneshot(&bytes[..56]) != u64_at(bytes, 56) {
            return Err(Refusal::Damaged("the checksum of its header is wrong"));
        }
        let header = Header {
            file_bytes: u64_at(bytes, 16),
            token_count: u32_at(bytes, 24),
            unknown: u32_at(bytes, 28),
            token_bytes: u32_at(bytes, 32),
            prefix_hash: u64_at(bytes, 40),
        };
        if u32_at(bytes, 36) != Section::ALL.len() as u32 || !matches!(header.token_bytes, 2 | 4) {
            return Err(Refusal::Damaged("its header is inconsistent"));
        }
        Ok((header, u64_at(bytes, 48)))
    }
}

/// One entry of the section table (32 bytes).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub offset: u64,
    pub bytes: u64,
    pub checksum: u64,
}

impl Entry {
    pub(super) fn put(&self, number: u32, out: &mut Vec<u8>) {
        out.extend(number.to_le_bytes());
        out.extend([0; 4]);
        out.extend(self.offset.to_le_bytes());
        out.extend(self.bytes.to_le_bytes());
        out.extend(self.checksum.to_le_bytes());
    }

    /// The section's number and its entry.
    pub(super) fn parse(row: &[u8]) -> (u32, Self) {
        (u32_at(row, 0), Entry { offset: u64_at(row, 8), bytes: u64_at(row, 16), checksum: u64_at(row, 24) })
    }
}

/// One sample of the index (48 bytes).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SampleRow {
    /// Where its block begins in the data section, and how long it is.
    pub offset: u64,
    pub bytes: u32,
    pub segments: u32,
    pub first_segment: u64,
    /// Sums over its segments; `labels` counts whole sentences.
    pub tokens: u32,
    pub bases: u32,
    pub labels: u32,
    /// xxh3 of its block.
    pub checksum: u64,
}

impl SampleRow {
    pub(super) const BYTES: usize = 48;

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.offset.to_le_bytes());
        out.extend(self.bytes.to_le_bytes());
        out.extend(self.segments.to_le_bytes());
        out.extend(self.first_segment.to_le_bytes());
        out.extend(self.tokens.to_le_bytes());
        out.extend(self.bases.to_le_bytes());
        out.extend(self.labels.to_le_bytes());
        out.extend([0; 4]);
        out.extend(self.checksum.to_le_bytes());
    }

    pub(super) fn parse(row: &[u8]) -> Self {
        SampleRow {
            offset: u64_at(row, 0),
            bytes: u32_at(row, 8),
            segments: u32_at(row, 12),
            first_segment: u64_at(row, 16),
            tokens: u32_at(row, 24),
            bases: u32_at(row, 28),
            labels: u32_at(row, 32),
            checksum: u64_at(row, 40),
        }
    }
}

/// A segment has tracks: one byte a token.
pub const HAS_TRACKS: u16 = 1;
/// The lowest of the flags that the writer's caller defines; those below are the format's own.
pub const FIRST_CALLER_FLAG: u16 = 1 << 4;

/// One segment of the table (48 bytes).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SegmentRow {
    /// Rows of the tables of species and sequence ids.
    pub species: u32,
    pub seqid: u32,
    /// Where it begins in its sequence, forward strand, and its length in bp.
    pub start: u64,
    pub length: u32,
    pub genetic_code: u8,
    /// The reverse complement of the stretch.
    pub reverse: bool,
    pub flags: u16,
    /// Where it begins in its sample's block.
    pub offset: u32,
    pub tokens: u32,
    pub labels: u32,
    /// Sentence tokens from this one on take no loss; `labels` where all do.
    pub loss_end: u32,
    pub ignores: u32,
}

impl SegmentRow {
    pub(super) const BYTES: usize = 48;

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.species.to_le_bytes());
        out.extend(self.seqid.to_le_bytes());
        out.extend(self.start.to_le_bytes());
        out.extend(self.length.to_le_bytes());
        out.push(self.genetic_code);
        out.push(u8::from(self.reverse));
        out.extend(self.flags.to_le_bytes());
        out.extend(self.offset.to_le_bytes());
        out.extend(self.tokens.to_le_bytes());
        out.extend(self.labels.to_le_bytes());
        out.extend(self.loss_end.to_le_bytes());
        out.extend(self.ignores.to_le_bytes());
        out.extend([0; 4]);
    }

    pub(super) fn parse(row: &[u8]) -> Self {
        SegmentRow {
            species: u32_at(row, 0),
            seqid: u32_at(row, 4),
            start: u64_at(row, 8),
            length: u32_at(row, 16),
            genetic_code: row[20],
            reverse: row[21] != 0,
            flags: u16::from_le_bytes([row[22], row[23]]),
            offset: u32_at(row, 24),
            tokens: u32_at(row, 28),
            labels: u32_at(row, 32),
            loss_end: u32_at(row, 36),
            ignores: u32_at(row, 40),
        }
    }

    /// Where the parts stand in its stretch of the block, and the stretch's length, a multiple of 8.
    pub(super) fn layout(&self, token_bytes: u32) -> SegmentLayout {
        let width = u64::from(token_bytes);
        let labels = u64::from(self.tokens) * width;
        let ignores = align(labels + u64::from(self.labels) * width, 4);
        let tracks = ignores + u64::from(self.ignores) * 8;
        let end = tracks + if self.flags & HAS_TRACKS != 0 { u64::from(self.tokens) } else { 0 };
        SegmentLayout { labels, ignores, tracks, end, bytes: align(end, BLOCK_ALIGNMENT as u64) }
    }
}

/// Offsets from the segment's beginning; its tokens stand at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentLayout {
    pub labels: u64,
    pub ignores: u64,
    pub tracks: u64,
    pub end: u64,
    pub bytes: u64,
}

/// A table of strings: their number, the end of each among the bytes that follow (all u64), and those bytes (UTF-8).
pub(super) fn put_strings<T: AsRef<str>>(strings: &[T]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend((strings.len() as u64).to_le_bytes());
    let mut end = 0u64;
    for string in strings {
        end += string.as_ref().len() as u64;
        out.extend(end.to_le_bytes());
    }
    for string in strings {
        out.extend(string.as_ref().as_bytes());
    }
    out
}

pub(super) fn parse_strings(section: &[u8]) -> Option<Vec<String>> {
    let count = usize::try_from(u64::from_le_bytes(*section.first_chunk()?)).ok()?;
    let text = section.get(count.checked_add(1)?.checked_mul(8)?..)?;
    let mut start = 0;
    let mut strings = Vec::with_capacity(count);
    for i in 1..=count {
        let end = usize::try_from(u64_at(section, 8 * i)).ok()?;
        strings.push(std::str::from_utf8(text.get(start..end)?).ok()?.to_string());
        start = end;
    }
    (start == text.len()).then_some(strings)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
