//! FASTA genomes.

use std::borrow::Cow;
use std::path::Path;

use rustc_hash::FxHashMap;

use crate::error::{Error, Result};
use crate::input;

/// One sequence of a genome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// The header's first word.
    pub id: String,
    /// The rest of the header.
    pub description: String,
    /// As in the file (lower case is soft masking), but for U, which is read as T.
    pub bases: Vec<u8>,
    /// The description says so: `[topology=circular]` or `circular=true`. Annotation may say it too.
    pub circular: bool,
}

impl Sequence {
    /// The bases in upper case.
    pub fn upper(&self) -> Vec<u8> {
        self.bases.to_ascii_uppercase()
    }
}

/// The sequences of a file, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Genome {
    pub sequences: Vec<Sequence>,
}

impl Genome {
    /// Reads FASTA, the `##FASTA` part of GFF3, or the sequences of GenBank records; which of them, the content tells.
    pub fn read(path: impl AsRef<Path>) -> Result<Genome> {
        let path = path.as_ref();
        let bytes = input::text(path)?;
        Genome::from_bytes(path, &bytes)
    }

    /// As [`Genome::read`]; `path` is for messages.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Genome> {
        let text = input::without_mark(bytes);
        let start = text.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(text.len());
        let content = &text[start..];
        let genome = if content.starts_with(b">") || content.starts_with(b";") {
            parse(path, bytes, bytes.len() - content.len())?
        } else if content.starts_with(b"LOCUS") {
            crate::annotation::genbank::genome(path, content)?
        } else if let Some(at) = fasta_directive(content) {
            parse(path, bytes, bytes.len() - content.len() + at)?
        } else if content.starts_with(b"##gff-version") {
            return Err(Error::format(path, 1, "this GFF3 file has no sequences (no ##FASTA part); give a FASTA file"));
        } else {
            let line = input::line_of(bytes, bytes.len() - content.len());
            return Err(Error::format(path, line, "this is no FASTA file: the first line does not start with '>'"));
        };
        genome.check(path)?;
        Ok(genome)
    }

    /// The index of a sequence by its id.
    pub fn index(&self, id: &str) -> Option<usize> {
        self.sequences.iter().position(|sequence| sequence.id == id)
    }

    /// From id to index, for many look-ups.
    pub fn indices(&self) -> FxHashMap<&str, usize> {
        self.sequences.iter().enumerate().map(|(i, sequence)| (sequence.id.as_str(), i)).collect()
    }

    /// The number of bases of all sequences.
    pub fn total_length(&self) -> u64 {
        self.sequences.iter().map(|sequence| sequence.bases.len() as u64).sum()
    }

    fn check(&self, path: &Path) -> Result<()> {
        if self.sequences.is_empty() {
            return Err(Error::format(path, 1, "the file holds no sequence"));
        }
        Ok(())
    }
}

/// Where the sequences of a GFF3 file start: after the `##FASTA` line, or at the first `>` line, as the specification
/// of GFF3 allows.
pub fn fasta_directive(text: &[u8]) -> Option<usize> {
    if !text.starts_with(b"##") && !text.starts_with(b"#") && memchr::memchr(b'\t', text).is_none() {
        return None;
    }
    memchr::memmem::find_iter(text, b"\n##FASTA")
        .map(|at| {
            let line = at + 1;
            memchr::memchr(b'\n', &text[line..]).map_or(text.len(), |end| line + end + 1)
        })
        .next()
        .or_else(|| memchr::memmem::find(text, b"\n>").map(|at| at + 1))
}

/// Letters of nucleotides (IUPAC, X as any), white space, and the rest.
const LETTER: u8 = 0;
const SPACE: u8 = 1;
const OTHER: u8 = 2;

const KIND: [u8; 256] = {
    let mut table = [OTHER; 256];
    let letters = *b"ACGTURYSWKMBDHVNX";
    let mut i = 0;
    while i < letters.len() {
        table[letters[i] as usize] = LETTER;
        table[letters[i].to_ascii_lowercase() as usize] = LETTER;
        i += 1;
    }
    table[b' ' as usize] = SPACE;
    table[b'\t' as usize] = SPACE;
    table[b'\r' as usize] = SPACE;
    table
};

/// FASTA records of `bytes[from..]`; lines are counted from the start of `bytes`.
fn parse(path: &Path, bytes: &[u8], from: usize) -> Result<Genome> {
    let mut sequences: Vec<Sequence> = Vec::new();
    // As text: two ids whose odd bytes are replaced by the same character are one.
    let mut seen: FxHashMap<Cow<'_, str>, usize> = FxHashMap::default();
    let fail = |at: usize, message: String| Err(Error::format(path, input::line_of(bytes, at), message));
    let mut at = from;
    while at < bytes.len() {
        // Here a header, a comment (`;`, as in the oldest FASTA files) or an empty line starts.
        let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |n| at + n);
        let line = bytes[at..end].trim_ascii();
        if line.is_empty() || line[0] == b';' {
            at = end + 1;
            continue;
        }
        if line[0] != b'>' {
            return fail(at, "a sequence stands before the first header ('>')".into());
        }
        let header = line[1..].trim_ascii_start();
        let split = header.iter().position(u8::is_ascii_whitespace).unwrap_or(header.len());
        let (id, description) = (&header[..split], header[split..].trim_ascii());
        if id.is_empty() {
            return fail(at, "the header has no sequence id after '>'".into());
        }
        if let Some(first) = seen.insert(String::from_utf8_lossy(id), at) {
            let first = input::line_of(bytes, first);
            return fail(at, format!("the sequence id '{}' was given before, on line {first}", lossy(id)));
        }
        let header_at = at;
        at = (end + 1).min(bytes.len());
        let next = next_header(bytes, at);
        let bases = match bases_of(&bytes[at..next]) {
            Ok(bases) => bases,
            Err(offset) => {
                let letter = bytes[at + offset];
                let hint = match letter {
                    b'-' | b'.' | b'*' => "; is this an alignment or a protein?",
                    b if b.is_ascii_alphabetic() => "; is this a protein?",
                    _ => "",
                };
                let shown =
                    if letter.is_ascii_graphic() { format!("'{}'", letter as char) } else { format!("0x{letter:02x}") };
                return fail(at + offset, format!("{shown} in sequence '{}' is no nucleotide{hint}", lossy(id)));
            }
        };
        if bases.is_empty() {
            return fail(header_at, format!("the sequence '{}' is empty", lossy(id)));
        }
        let description = lossy(description);
        let circular = says_circular(&description);
        sequences.push(Sequence { id: lossy(id), description, bases, circular });
        at = next;
    }
    Ok(Genome { sequences })
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The words by which NCBI's and assemblers' headers mark a circular sequence.
fn says_circular(description: &str) -> bool {
    let lower = description.to_ascii_lowercase();
    ["[topology=circular]", "circular=true", "circular=y"].iter().any(|word| lower.contains(word))
}

/// Offset of the next line that starts with '>', or the end.
fn next_header(bytes: &[u8], from: usize) -> usize {
    if bytes.get(from) == Some(&b'>') {
        return from;
    }
    memchr::memchr_iter(b'>', &bytes[from..])
        .map(|n| from + n)
        .find(|&at| bytes[at - 1] == b'\n')
        .unwrap_or(bytes.len())
}

/// The letters of sequence lines; the offset of the first byte that is none.
fn bases_of(lines: &[u8]) -> std::result::Result<Vec<u8>, usize> {
    let mut bases = Vec::with_capacity(lines.len());
    let mut at = 0;
    while at < lines.len() {
        let end = memchr::memchr(b'\n', &lines[at..]).map_or(lines.len(), |n| at + n);
        let line = &lines[at..end];
        // Most lines are letters alone: one pass tells, without a branch per base.
        let worst = line.iter().fold(LETTER, |worst, &b| worst | KIND[b as usize]);
        if worst == LETTER {
            bases.extend_from_slice(line);
        } else if line.first() == Some(&b';') {
            // An old-style comment.
        } else {
            for (i, &b) in line.iter().enumerate() {
                match KIND[b as usize] {
                    LETTER => bases.push(b),
                    SPACE => {}
                    _ => return Err(at + i),
                }
            }
        }
        at = end + 1;
    }
    if memchr::memchr2(b'U', b'u', &bases).is_some() {
        for base in &mut bases {
            match *base {
                b'U' => *base = b'T',
                b'u' => *base = b't',
                _ => {}
            }
        }
    }
    Ok(bases)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Genome> {
        Genome::from_bytes(Path::new("x.fa"), text.as_bytes())
    }

    #[test]
    fn records() {
        let genome =
            read("\u{feff}>a one two\r\nACGT\r\nnn\r\n\r\n>b [topology=circular]\nuuR\n  \n>c\nAC GT").unwrap();
        let ids: Vec<&str> = genome.sequences.iter().map(|s| s.id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c"]);
        assert_eq!(genome.sequences[0].description, "one two");
        assert_eq!(genome.sequences[0].bases, b"ACGTnn");
        assert_eq!(genome.sequences[0].upper(), b"ACGTNN");
        assert_eq!(genome.sequences[1].bases, b"ttR");
        assert!(genome.sequences[1].circular && !genome.sequences[0].circular);
        assert_eq!(genome.sequences[2].bases, b"ACGT");
        assert_eq!((genome.index("c"), genome.total_length()), (Some(2), 13));
    }

    #[test]
    fn gff3_with_sequences() {
        for directive in ["##FASTA\n", ""] {
            let text = format!("##gff-version 3\nc\tx\tgene\t1\t3\t.\t+\t.\tID=a\n{directive}>c\nACGT\n");
            assert_eq!(read(&text).unwrap().sequences[0].bases, b"ACGT");
        }
    }

    #[test]
    fn faults_name_the_line() {
        for (text, message) in [
            (">a\nACGT\n>a\nA\n", "x.fa, line 3: the sequence id 'a' was given before, on line 1"),
            (">a\nAC1T\n", "x.fa, line 2: '1' in sequence 'a' is no nucleotide"),
            (">a\nACGT\nMEFT\n", "line 3: 'E' in sequence 'a' is no nucleotide; is this a protein?"),
            (">a\n>b\nA\n", "line 1: the sequence 'a' is empty"),
            (">a\n", "line 1: the sequence 'a' is empty"),
            (">\nA\n", "line 1: the header has no sequence id"),
            ("ACGT\n", "line 1: this is no FASTA file"),
            ("##gff-version 3\nc\tx\tgene\t1\t3\t.\t+\t.\tID=a\n", "line 1: this GFF3 file has no sequences"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(message), "{error} | {message}");
        }
        let twice = Genome::from_bytes(Path::new("x.fa"), b">\xffa\nA\n>\xfea\nA\n").unwrap_err().to_string();
        assert!(twice.contains("line 3") && twice.contains("was given before"), "{twice}");
    }
}
