//! Opens plain, gzip and BGZF files as bytes.
//!
//! Plain files are mapped. A gzip file of one member is inflated in one call, several members one after another, and
//! BGZF blocks (SAM specification, section 4.1: gzip members that state their own length) in parallel.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::in_order::{cores, with_threads};

/// Deflate cannot expand a byte into more than this many (zlib's technical details): bounds what a footer may claim.
const MAX_EXPANSION: usize = 1032;

/// The empty block that ends every BGZF file.
const BGZF_END: [u8; 28] =
    [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 6, 0, b'B', b'C', 2, 0, 0x1b, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A file's content, decompressed.
#[derive(Debug)]
pub enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

/// The content of a file, told from its first bytes: gzip and BGZF are inflated, anything else is given as it is.
/// A UTF-8 byte order mark is not removed ([`text`] does).
pub fn open(path: impl AsRef<Path>) -> Result<Bytes> {
    let path = path.as_ref();
    let raw = raw(path)?;
    match raw.get(..2) {
        Some([0x1f, 0x8b]) => Ok(Bytes::Owned(inflate(path, &raw)?)),
        _ => Ok(raw),
    }
}

/// Like [`open`], for files that must be text: an empty file, other compression and binary content are refused.
pub fn text(path: impl AsRef<Path>) -> Result<Bytes> {
    let path = path.as_ref();
    let bytes = open(path)?;
    check_text(path, &bytes)?;
    Ok(bytes)
}

/// The content after a UTF-8 byte order mark, if there is one.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The 1-based line of a byte offset.
pub fn line_of(bytes: &[u8], offset: usize) -> u64 {
    memchr::memchr_iter(b'\n', &bytes[..offset.min(bytes.len())]).count() as u64 + 1
}

fn check_text(path: &Path, bytes: &[u8]) -> Result<()> {
    let refuse = |what: &str| Err(Error::format(path, 1, what));
    if bytes.iter().take(4096).all(u8::is_ascii_whitespace) && bytes.iter().all(u8::is_ascii_whitespace) {
        return refuse("the file is empty");
    }
    for (magic, name) in [
        (&b"BZh"[..], "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"PK\x03\x04", "zip"),
        (b"\x1f\x9d", "compress (.Z)"),
    ] {
        if bytes.starts_with(magic) {
            return refuse(&format!("the file is compressed with {name}; decompress it, or compress it with gzip"));
        }
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return refuse("the file is UTF-16 text; convert it to UTF-8");
    }
    let head = &bytes[..bytes.len().min(64 * 1024)];
    if let Some(at) = head.iter().position(|&b| b < 32 && !matches!(b, b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)) {
        return Err(Error::format(
            path,
            line_of(bytes, at),
            format!("the file is not text: it holds the byte 0x{:02x}", bytes[at]),
        ));
    }
    Ok(())
}

fn raw(path: &Path) -> Result<Bytes> {
    let io = |source| Error::io(path, source);
    let mut file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if metadata.is_dir() {
        return Err(io(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    // Pipes cannot be mapped, and an empty map is an error.
    if !metadata.is_file() || metadata.len() == 0 {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        return Ok(Bytes::Owned(bytes));
    }
    // SAFETY: the map is read-only and lives as long as `Bytes`. A file that another process cuts meanwhile would
    // raise SIGBUS; genomes and annotation are read once, from start to end, and reading them into memory instead
    // costs several times the whole parse.
    let map = unsafe { Mmap::map(&file) }.map_err(io)?;
    #[cfg(unix)]
    let _ = map.advise(memmap2::Advice::Sequential);
    Ok(Bytes::Mapped(map))
}

fn inflate(path: &Path, raw: &[u8]) -> Result<Vec<u8>> {
    if bgzf_block_size(raw).is_some() {
        return inflate_bgzf(path, raw);
    }
    if let Some(bytes) = inflate_single_member(raw) {
        return Ok(bytes);
    }
    let mut bytes = Vec::new();
    let mut decoder = flate2::bufread::MultiGzDecoder::new(raw);
    decoder.read_to_end(&mut bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::binary(path, "the gzip data ends too early; the file is truncated"),
        _ => Error::binary(path, format!("the gzip data is damaged ({error})")),
    })?;
    Ok(bytes)
}

/// The fast way for the common file; `None` where it does not apply or anything is odd, for the streaming decoder to
/// judge. The file is one member where no other can start in it (RFC 1952: two magic bytes, method 8, reserved flags 0).
fn inflate_single_member(raw: &[u8]) -> Option<Vec<u8>> {
    let starts = memchr::memmem::find_iter(raw, b"\x1f\x8b\x08");
    if starts.filter(|&at| raw.get(at + 3).is_none_or(|flags| flags & 0xe0 == 0)).count() > 1 {
        return None;
    }
    let footer = raw.len().checked_sub(8)?;
    let checksum = u32::from_le_bytes(raw[footer..footer + 4].try_into().ok()?);
    let length = u32::from_le_bytes(raw[footer + 4..].try_into().ok()?) as usize;
    if length > raw.len().saturating_mul(MAX_EXPANSION) {
        return None;
    }
    let mut bytes = vec![0u8; length];
    let written = libdeflater::Decompressor::new().gzip_decompress(raw, &mut bytes).ok()?;
    (written == length && crc32fast::hash(&bytes) == checksum).then_some(bytes)
}

/// The length of the BGZF block that starts here, from its `BC` extra field.
fn bgzf_block_size(raw: &[u8]) -> Option<usize> {
    let header = raw.get(..12)?;
    if header[..4] != [0x1f, 0x8b, 8, 4] {
        return None;
    }
    let extra_length = u16::from_le_bytes([header[10], header[11]]) as usize;
    let mut extra = raw.get(12..12 + extra_length)?;
    while let [id1, id2, low, high, rest @ ..] = extra {
        let length = u16::from_le_bytes([*low, *high]) as usize;
        let field = rest.get(..length)?;
        if (*id1, *id2, length) == (b'B', b'C', 2) {
            return Some(u16::from_le_bytes([field[0], field[1]]) as usize + 1);
        }
        extra = &rest[length..];
    }
    None
}

fn inflate_bgzf(path: &Path, raw: &[u8]) -> Result<Vec<u8>> {
    let truncated = || Error::binary(path, "the last BGZF block is missing or incomplete; the file is truncated");
    let mut blocks = Vec::new();
    let (mut at, mut total) = (0, 0usize);
    while at < raw.len() {
        let rest = &raw[at..];
        let size = match bgzf_block_size(rest) {
            Some(size) => size,
            None if rest.len() < 18 => return Err(truncated()),
            None => return Err(Error::binary(path, format!("no BGZF block starts at byte {at}; the file is damaged"))),
        };
        let block = rest.get(..size).ok_or_else(truncated)?;
        let footer = size.checked_sub(4).ok_or_else(truncated)?;
        let length = u32::from_le_bytes(block[footer..].try_into().expect("four bytes")) as usize;
        // The specification limits a block to 64 KiB of data.
        if length > 1 << 16 {
            return Err(Error::binary(path, format!("the BGZF block at byte {at} is damaged")));
        }
        blocks.push((at, block, length));
        total += length;
        at += size;
    }
    if !raw.ends_with(&BGZF_END) {
        return Err(truncated());
    }
    let mut bytes = vec![0u8; total];
    let mut jobs = Vec::with_capacity(blocks.len());
    let mut free = bytes.as_mut_slice();
    for (at, block, length) in blocks {
        let (out, rest) = free.split_at_mut(length);
        jobs.push((at, block, out));
        free = rest;
    }
    with_threads(cores().min(8), || {
        jobs.par_chunks_mut(64).try_for_each(|jobs| {
            let mut inflater = libdeflater::Decompressor::new();
            for (at, block, out) in jobs {
                match inflater.gzip_decompress(block, out) {
                    Ok(written) if written == out.len() => {}
                    _ => return Err(Error::binary(path, format!("the BGZF block at byte {at} is damaged"))),
                }
            }
            Ok(())
        })
    })??;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn bgzf(data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for block in data.chunks(1000) {
            let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
            let mut deflated = vec![0; compressor.deflate_compress_bound(block.len())];
            let n = compressor.deflate_compress(block, &mut deflated).unwrap();
            out.extend_from_slice(&[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 6, 0, b'B', b'C', 2, 0]);
            out.extend_from_slice(&((n + 25) as u16).to_le_bytes());
            out.extend_from_slice(&deflated[..n]);
            out.extend_from_slice(&crc32fast::hash(block).to_le_bytes());
            out.extend_from_slice(&(block.len() as u32).to_le_bytes());
        }
        out.extend_from_slice(&BGZF_END);
        out
    }

    fn read(raw: &[u8]) -> Result<Vec<u8>> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(raw).unwrap();
        text(file.path()).map(|bytes| bytes.to_vec())
    }

    fn sample() -> Vec<u8> {
        (0..5000u32).flat_map(|i| format!("line {}\n", i * i).into_bytes()).collect()
    }

    #[test]
    fn every_container_gives_the_same_bytes() {
        let data = sample();
        let (first, second) = data.split_at(777);
        assert_eq!(read(&data).unwrap(), data);
        assert_eq!(read(&gzip(&data)).unwrap(), data);
        assert_eq!(read(&[gzip(first), gzip(second)].concat()).unwrap(), data);
        assert_eq!(read(&[gzip(b""), gzip(&data), gzip(b"")].concat()).unwrap(), data);
        assert_eq!(read(&bgzf(&data)).unwrap(), data);
    }

    #[test]
    fn members_that_are_the_same_are_not_taken_for_one() {
        let data = sample();
        assert_eq!(read(&[gzip(&data), gzip(&data)].concat()).unwrap(), [&data[..], &data[..]].concat());
    }

    #[test]
    fn every_truncation_is_an_error() {
        let data = sample();
        for whole in [gzip(&data), bgzf(&data), [gzip(&data[..500]), gzip(&data[500..])].concat()] {
            let first = gzip(&data[..500]).len();
            for cut in (3..whole.len()).step_by(97).filter(|&cut| cut != first) {
                let error = read(&whole[..cut]).unwrap_err().to_string();
                assert!(error.contains("truncated") || error.contains("damaged"), "{cut}: {error}");
            }
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for (raw, word) in [
            (&b""[..], "empty"),
            (b" \n\n", "empty"),
            (b"BZh91AY", "bzip2"),
            (b"\xfd7zXZ\0\0", "xz"),
            (b"a\nb\0", "line 2: the file is not text"),
            (b"\xff\xfea\0", "UTF-16"),
        ] {
            let error = read(raw).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        assert!(matches!(open("/nonexistent/file"), Err(Error::Io { .. })));
        assert!(matches!(open("/"), Err(Error::Io { .. })));
    }
}
