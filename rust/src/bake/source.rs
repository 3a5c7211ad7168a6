//! The sequences of a species, one after another: from memory while the genome is small, else read anew from the file
//! for each pass, so that no more than one sequence is in memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

use crate::error::{Error, Result};
use crate::fasta::{Genome, Sequence};

/// Bytes read at a time.
const BLOCK: usize = 1 << 20;
/// Short sequences are handed out together until they have so many bases.
const BATCH: u64 = 16 << 20;
/// A gzip file is taken to hold so many times its size.
const EXPANSION: u64 = 4;

pub struct Source {
    files: Vec<PathBuf>,
    kept: Option<Vec<Sequence>>,
}

impl Source {
    /// `keep` is the size in bytes up to which a genome is kept in memory.
    pub fn open(files: &[PathBuf], keep: u64) -> Result<Source> {
        let mut bytes = 0;
        let mut streams = true;
        for path in files {
            let size = std::fs::metadata(path).map_err(|error| Error::io(path, error))?.len();
            let mut head = [0; 2];
            let read =
                File::open(path).and_then(|mut file| file.read(&mut head)).map_err(|error| Error::io(path, error))?;
            bytes += if head[..read] == GZIP { size.saturating_mul(EXPANSION) } else { size };
        }
        if bytes > keep {
            for path in files {
                streams &= Records::open(path)?.is_fasta()?;
            }
        }
        let mut source = Source { files: files.to_vec(), kept: None };
        if bytes <= keep || !streams {
            let mut kept = Vec::new();
            for path in files {
                kept.extend(Genome::read(path)?.sequences);
            }
            source.kept = Some(kept);
        }
        Ok(source)
    }

    /// Hands out all sequences in the order of the files, several at a time while they are short, with the number of
    /// the first.
    pub fn visit(&self, mut see: impl FnMut(usize, &[Sequence]) -> Result<()>) -> Result<()> {
        if let Some(kept) = &self.kept {
            return see(0, kept);
        }
        let mut first = 0;
        let mut batch: Vec<Sequence> = Vec::new();
        let mut bases = 0;
        for path in &self.files {
            let mut records = Records::open(path)?;
            while let Some((record, line)) = records.next()? {
                let genome = Genome::from_bytes(path, &record).map_err(|error| match error {
                    Error::Format { path, line: Some(at), message } => {
                        Error::Format { path, line: Some(at + line - 1), message }
                    }
                    other => other,
                })?;
                drop(record);
                bases += genome.total_length();
                batch.extend(genome.sequences);
                if bases >= BATCH {
                    see(first, &batch)?;
                    first += batch.len();
                    batch.clear();
                    bases = 0;
                }
            }
        }
        if batch.is_empty() { Ok(()) } else { see(first, &batch) }
    }

    /// Refuses an id that two sequences have.
    pub fn check_ids<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let mut seen: FxHashMap<&str, ()> = FxHashMap::default();
        for id in ids {
            if seen.insert(id, ()).is_some() {
                let path = self.files.last().map_or(Path::new(""), PathBuf::as_path);
                return Err(Error::format(path, 1, format!("two sequences have the id '{id}'; rename one of them")));
            }
        }
        Ok(())
    }
}

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// FASTA text, cut before each header.
struct Records {
    path: PathBuf,
    input: Box<dyn Read>,
    buffer: Vec<u8>,
    /// Up to here the buffer has no further header.
    searched: usize,
    line: u64,
    ended: bool,
}

impl Records {
    fn open(path: &Path) -> Result<Records> {
        let io = |error| Error::io(path, error);
        let mut head = [0; 2];
        let read = File::open(path).and_then(|mut file| file.read(&mut head)).map_err(io)?;
        let file = File::open(path).map_err(io)?;
        let input: Box<dyn Read> = if head[..read] == GZIP {
            let file = io::BufReader::with_capacity(BLOCK, file);
            Box::new(flate2::bufread::MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        };
        Ok(Records { path: path.to_path_buf(), input, buffer: Vec::new(), searched: 0, line: 1, ended: false })
    }

    fn is_fasta(mut self) -> Result<bool> {
        self.fill()?;
        let text = self.buffer.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.buffer).trim_ascii_start();
        Ok(matches!(text.first(), Some(b'>' | b';')))
    }

    fn fill(&mut self) -> Result<()> {
        let length = self.buffer.len();
        self.buffer.resize(length + BLOCK, 0);
        let read = loop {
            match self.input.read(&mut self.buffer[length..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(read) => break read,
                Err(error) => {
                    return Err(match error.kind() {
                        io::ErrorKind::UnexpectedEof => {
                            Error::binary(&self.path, "the gzip data ends too early; the file is truncated")
                        }
                        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                            Error::binary(&self.path, format!("the gzip data is damaged ({error})"))
                        }
                        _ => Error::io(&self.path, error),
                    });
                }
            }
        };
        self.buffer.truncate(length + read);
        self.ended = read == 0;
        Ok(())
    }

    /// The text of the next record and the line where it starts.
    fn next(&mut self) -> Result<Option<(Vec<u8>, u64)>> {
        loop {
            // The header that opens this record is not the next one's.
            let from = self.searched.max(1);
            let next =
                self.buffer.get(from - 1..).and_then(|text| memchr::memmem::find(text, b"\n>")).map(|at| from + at);
            let has_header = |text: &[u8]| text.starts_with(b">") || memchr::memmem::find(text, b"\n>").is_some();
            match next {
                // What stands before the first header belongs to its record.
                Some(next) if has_header(&self.buffer[..next]) => {
                    let rest = self.buffer.split_off(next);
                    let record = std::mem::replace(&mut self.buffer, rest);
                    self.searched = 0;
                    let line = self.line;
                    self.line += memchr::memchr_iter(b'\n', &record).count() as u64;
                    return Ok(Some((record, line)));
                }
                Some(next) => self.searched = next + 1,
                None if self.ended => {
                    let record = std::mem::take(&mut self.buffer);
                    return Ok((!record.trim_ascii().is_empty()).then_some((record, self.line)));
                }
                None => {
                    self.searched = self.buffer.len();
                    self.fill()?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn all(text: &[u8], gzip: bool, keep: u64) -> Result<Vec<Sequence>> {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        if gzip {
            let mut encoder = flate2::write::GzEncoder::new(&mut file, flate2::Compression::fast());
            encoder.write_all(text).expect("compressed");
            encoder.finish().expect("compressed");
        } else {
            file.write_all(text).expect("written");
        }
        let mut sequences = Vec::new();
        Source::open(&[file.path().to_path_buf()], keep)?.visit(|first, batch| {
            assert_eq!(first, sequences.len());
            sequences.extend_from_slice(batch);
            Ok(())
        })?;
        Ok(sequences)
    }

    #[test]
    fn streams_what_memory_holds() {
        let mut long = b"\n>a one\nACGT\nNNac\r\n>b\nA\n\n>c\n".to_vec();
        long.extend((0..3 * BLOCK / 50).flat_map(|_| [b"ACGTA".repeat(10), b"\n".to_vec()].concat()));
        long.extend(b">d\nTT");
        for gzip in [false, true] {
            let streamed = all(&long, gzip, 0).expect("sequences");
            assert_eq!(streamed, all(&long, gzip, u64::MAX).expect("sequences"));
            assert_eq!(streamed.len(), 4);
        }
    }

    #[test]
    fn faults_keep_their_line() {
        let text = b">a\nACGT\nAC\n>b\nAC\nAC!T\n";
        for keep in [0, u64::MAX] {
            let message = all(text, false, keep).expect_err("a fault").to_string();
            assert!(message.contains("line 6") && message.contains("'!'"), "{message}");
        }
    }
}
