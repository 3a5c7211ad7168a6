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
/// Longer records are read in pieces of about so many bytes.
const PIECE: usize = 8 << 20;
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
                streams &= Records::open(path)?.starts_as_fasta()?;
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
            while let Some(piece) = records.next()? {
                if piece.starts && bases >= BATCH {
                    see(first, &batch)?;
                    first += batch.len();
                    batch.clear();
                    bases = 0;
                }
                bases += piece.text.len() as u64;
                piece.read_into(path, &mut batch)?;
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

/// Lines of FASTA text: a whole record, or a part of a long one.
struct Piece {
    text: Vec<u8>,
    /// Line of the file where it begins.
    line: u64,
    /// Begins with a header; the lines of other pieces go on with the sequence before.
    starts: bool,
}

impl Piece {
    fn read_into(self, path: &Path, sequences: &mut Vec<Sequence>) -> Result<()> {
        let Piece { mut text, mut line, starts } = self;
        if !starts {
            if text.trim_ascii().is_empty() {
                return Ok(());
            }
            let Some(last) = sequences.last() else { return Ok(()) };
            text.splice(..0, format!(">{}\n", last.id).into_bytes());
            line -= 1;
        }
        let genome = Genome::from_bytes(path, &text).map_err(|error| match error {
            Error::Format { path, line: Some(at), message } => {
                Error::Format { path, line: Some(at + line - 1), message }
            }
            other => other,
        })?;
        match sequences.last_mut() {
            Some(last) if !starts => last.bases.extend(genome.sequences.into_iter().flat_map(|next| next.bases)),
            _ => sequences.extend(genome.sequences),
        }
        Ok(())
    }
}

/// FASTA text, cut before each header and, where records are long, after a line.
struct Records {
    path: PathBuf,
    input: Box<dyn Read>,
    buffer: Vec<u8>,
    /// Up to here the buffer has no further header.
    searched: usize,
    line: u64,
    /// What was given out last ended within a record.
    within: bool,
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
        Ok(Records {
            path: path.to_path_buf(),
            input,
            buffer: Vec::new(),
            searched: 0,
            line: 1,
            within: false,
            ended: false,
        })
    }

    fn starts_as_fasta(&mut self) -> Result<bool> {
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

    fn next(&mut self) -> Result<Option<Piece>> {
        loop {
            // The last piece may have ended right before a header.
            if self.within && self.buffer.first() == Some(&b'>') {
                self.within = false;
            }
            let from = self.searched.max(1);
            let next =
                self.buffer.get(from - 1..).and_then(|text| memchr::memmem::find(text, b"\n>")).map(|at| from + at);
            // What stands before the first header belongs to its record.
            let has_header = |text: &[u8]| text.starts_with(b">") || memchr::memmem::find(text, b"\n>").is_some();
            match next {
                Some(next) if self.within || has_header(&self.buffer[..next]) => {
                    return Ok(Some(self.take(next, false)));
                }
                Some(next) => self.searched = next + 1,
                None if self.ended => {
                    let all = self.buffer.len();
                    let piece = self.take(all, false);
                    return Ok((!piece.text.trim_ascii().is_empty()).then_some(piece));
                }
                None if self.buffer.len() > PIECE && (self.within || has_header(&self.buffer)) => {
                    if let Some(end) = memchr::memrchr(b'\n', &self.buffer) {
                        return Ok(Some(self.take(end + 1, true)));
                    }
                    self.fill()?;
                }
                None => {
                    self.searched = self.buffer.len();
                    self.fill()?;
                }
            }
        }
    }

    /// Gives out the buffer up to `end`; `within` where the record goes on there.
    fn take(&mut self, end: usize, within: bool) -> Piece {
        let rest = self.buffer.split_off(end);
        let text = std::mem::replace(&mut self.buffer, rest);
        let piece = Piece { line: self.line, starts: !self.within, text };
        self.searched = 0;
        self.line += memchr::memchr_iter(b'\n', &piece.text).count() as u64;
        self.within = within;
        piece
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
        long.extend((0..3 * PIECE / 50).flat_map(|_| [b"ACGTA".repeat(10), b"\n".to_vec()].concat()));
        long.extend(b">d\nTT");
        for gzip in [false, true] {
            let streamed = all(&long, gzip, 0).expect("sequences");
            assert_eq!(streamed, all(&long, gzip, u64::MAX).expect("sequences"));
            assert_eq!(streamed.len(), 4);
        }
    }

    /// Wherever blocks and pieces end: a header at any distance from the end of a piece.
    #[test]
    fn headers_beside_the_end_of_a_piece() {
        for extra in 0..4 {
            let mut text = b">a\n".to_vec();
            text.extend(b"ACG\n".repeat((PIECE + BLOCK - 4) / 4));
            text.truncate(PIECE + BLOCK - 2 + extra);
            text.extend(b"\n>b\nACGT\n");
            assert_eq!(all(&text, false, 0).expect("sequences"), all(&text, false, u64::MAX).expect("sequences"));
        }
    }

    #[test]
    fn faults_keep_their_line() {
        let text = b">a\nACGT\nAC\n>b\nAC\nAC!T\n";
        for keep in [0, u64::MAX] {
            let message = all(text, false, keep).expect_err("a fault").to_string();
            assert!(message.contains("line 6") && message.contains("'!'"), "{message}");
        }
        let mut long = b">a\n".to_vec();
        long.extend(b"ACGTA\n".repeat(PIECE / 2));
        long.extend(b"AC!T\n");
        let messages = [0, u64::MAX].map(|keep| all(&long, false, keep).expect_err("a fault").to_string());
        let place = |message: &str| message.split_once("line").map(|(_, rest)| rest.to_owned());
        assert_eq!(place(&messages[0]), place(&messages[1]));
        assert!(messages[0].contains(&format!("line {}", PIECE / 2 + 2)), "{messages:?}");
    }
}
