//! Byte-pair encoding of DNA, equal to Hugging Face `tokenizers` for the upper-cased sequence.
//!
//! A tokenizer is its list of tokens, the merges of its byte-pair model and its gap tokens (runs of N, matched before
//! the model sees the text). Ids never change once given: tokenizers only grow, and `prefix_hash` is how a packed file
//! recognises a tokenizer that continues its own.

mod bpe;
mod file;
mod lanes;
mod linear;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustc_hash::FxHashMap;
use twox_hash::XxHash3_64;

use crate::error::{Error, Result};
use bpe::Merges;
pub use file::append;
use lanes::{Buffers, Known};
use linear::Linear;

/// Code of a byte in a sequence: 0..3 = A C G T in either case, then a run of N, then anything else.
const GAP: u8 = 4;
const OTHER: u8 = 5;

/// The code of a byte, by arithmetic that compilers turn into vector instructions.
#[inline]
const fn code(byte: u8) -> u8 {
    let upper = byte & 0xdf;
    // Bits 1 and 2 of the letters: A 00, C 01, G 11, T 10.
    let bits = upper >> 1 & 3;
    let letter = upper == b'A' || upper == b'C' || upper == b'G' || upper == b'T';
    if letter {
        bits ^ bits >> 1
    } else if upper == b'N' {
        GAP
    } else {
        OTHER
    }
}

/// How many codes of bases stand before the first other one.
fn bases_before_other(codes: &[u8]) -> usize {
    const BLOCK: usize = 128;
    // All codes of bases lack the bit that GAP and OTHER have.
    let whole = codes.chunks_exact(BLOCK).take_while(|block| block.iter().fold(0, |all, code| all | code) & GAP == 0);
    let start = whole.count() * BLOCK;
    codes[start..].iter().position(|&code| code >= GAP).map_or(codes.len(), |at| start + at)
}

/// A loaded tokenizer; immutable, and shared freely between threads.
pub struct Tokenizer {
    path: PathBuf,
    tokens: Vec<String>,
    ids: FxHashMap<String, u32>,
    bp: Vec<u16>,
    unknown: u32,
    /// `(bases, id)` of the gap tokens, longest first.
    gaps: Vec<(usize, u32)>,
    merges: Merges,
    /// The linear-time encoder, where the model's merges allow it.
    linear: Option<Linear>,
}

/// Buffers that one thread reuses between calls of `encode_into`.
#[derive(Default)]
pub struct Scratch {
    codes: Vec<u8>,
    buffers: Buffers,
    upper: Vec<u8>,
    local: Vec<u16>,
    earlier: Earlier,
}

/// Where bases lie: the same place always has the same bases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    pub sequence: usize,
    pub start: u64,
}

/// The last long run of the four bases that was encoded at a known place.
#[derive(Default)]
struct Earlier {
    place: Place,
    bases: u64,
    tokens: Vec<u16>,
}

/// Shorter runs are not worth keeping.
const KEPT_RUN: usize = 512;

impl Earlier {
    /// What is known of the bases from `place` on.
    fn at(&self, place: Place) -> Option<Known<'_>> {
        let before = place.start.checked_sub(self.place.start)?;
        (self.place.sequence == place.sequence && before < self.bases)
            .then_some(Known { tokens: &self.tokens, before: before as usize })
    }
}

impl Tokenizer {
    /// Reads `tokenizer.json`, or the file of that name in a folder.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = file::locate(path.as_ref());
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
        Self::parse(&path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        let parsed = file::parse(path, text)?;
        let bp = token_lengths(path, &parsed.tokens, parsed.unknown)?;
        let ids = parsed.tokens.iter().zip(0..).map(|(token, id)| (token.clone(), id)).collect();
        let merges = Merges::new(&parsed);
        let linear = Linear::new(&merges, &parsed.tokens);
        Ok(Tokenizer {
            path: path.to_path_buf(),
            tokens: parsed.tokens,
            ids,
            bp,
            unknown: parsed.unknown,
            gaps: parsed.gaps,
            merges,
            linear,
        })
    }

    /// The `tokenizer.json` it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All tokens by id: those of the byte-pair model, then the added ones.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    pub fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// Id of `[UNK]`, which stands for one base.
    pub fn unknown(&self) -> u32 {
        self.unknown
    }

    /// Length of each token in bp; 0 for tokens that are not DNA.
    pub fn bp(&self) -> &[u16] {
        &self.bp
    }

    /// Whether the linear-time encoder is in use (else the heap, which any list of merges allows).
    pub fn is_linear(&self) -> bool {
        self.linear.is_some()
    }

    /// Hash of the first `count` tokens, see [`prefix_hash`].
    pub fn prefix_hash(&self, count: usize) -> Result<u64> {
        let prefix = self.tokens.get(..count).ok_or_else(|| {
            Error::input(format!(
                "{} has {} tokens, fewer than the {count} asked for",
                self.path.display(),
                self.tokens.len()
            ))
        })?;
        Ok(prefix_hash(prefix))
    }

    /// Token ids of a sequence in any case. Every byte is a base: N in gap tokens (longest first), other letters that
    /// the model lacks as `[UNK]`.
    pub fn encode(&self, sequence: &[u8]) -> Vec<u32> {
        let mut out = Vec::with_capacity(sequence.len() / 4 + 8);
        self.encode_into(sequence, &mut Scratch::default(), &mut out);
        out
    }

    /// As `encode`, appending to `out`.
    pub fn encode_into(&self, sequence: &[u8], scratch: &mut Scratch, out: &mut Vec<u32>) {
        self.encode_placed(sequence, None, scratch, out);
    }

    /// As `encode_into`, for windows that overlap: with the place of each, the tokens of what it shares with the one
    /// before are taken over and not made again. The ids are the same.
    pub fn encode_placed(&self, sequence: &[u8], place: Option<Place>, scratch: &mut Scratch, out: &mut Vec<u32>) {
        let mut codes = std::mem::take(&mut scratch.codes);
        codes.clear();
        codes.extend(sequence.iter().map(|&byte| code(byte)));
        let mut start = 0;
        while start < codes.len() {
            // Where gaps are not tokens, N goes to the model as any other letter.
            let gap = !self.gaps.is_empty() && codes[start] == GAP;
            let end = if gap {
                codes[start..].iter().position(|&code| code != GAP)
            } else if self.gaps.is_empty() {
                None
            } else {
                memchr::memchr(GAP, &codes[start..])
            };
            let end = end.map_or(codes.len(), |end| start + end);
            if gap {
                self.encode_gap(end - start, out);
            } else {
                let place = place.map(|place| Place { start: place.start + start as u64, ..place });
                self.encode_piece(&sequence[start..end], &codes[start..end], place, scratch, out);
            }
            start = end;
        }
        scratch.codes = codes;
    }

    fn encode_gap(&self, mut bases: usize, out: &mut Vec<u32>) {
        for &(length, id) in &self.gaps {
            out.extend(std::iter::repeat_n(id, bases / length));
            bases %= length;
        }
        // Without a gap token of one base the rest of the run is left to the model.
        let rest = self.merges.letter(b'N').unwrap_or(self.unknown);
        if bases > 0 && rest == self.unknown {
            out.extend(std::iter::repeat_n(rest, bases));
        } else if bases > 0 {
            self.merges.encode(&vec![b'N'; bases], out);
        }
    }

    fn encode_piece(
        &self,
        piece: &[u8],
        codes: &[u8],
        place: Option<Place>,
        scratch: &mut Scratch,
        out: &mut Vec<u32>,
    ) {
        let Some(linear) = &self.linear else {
            scratch.upper.clear();
            scratch.upper.extend(piece.iter().map(u8::to_ascii_uppercase));
            return self.merges.encode(&scratch.upper, out);
        };
        let mut start = 0;
        while start < codes.len() {
            let end = start + bases_before_other(&codes[start..]);
            let Scratch { buffers, local, earlier, .. } = scratch;
            let place = place.map(|place| Place { start: place.start + start as u64, ..place });
            linear.encode(&codes[start..end], place.and_then(|place| earlier.at(place)), buffers, local);
            out.extend(local.iter().map(|&id| u32::from(id)));
            if let Some(place) = place.filter(|_| end - start >= KEPT_RUN) {
                std::mem::swap(local, &mut earlier.tokens);
                (earlier.place, earlier.bases) = (place, (end - start) as u64);
            }
            start = end;
            while start < codes.len() && codes[start] >= GAP {
                out.push(self.unknown);
                start += 1;
            }
        }
    }

    /// Token ids of many sequences on `threads` threads, in the order given.
    pub fn encode_batch(&self, sequences: &[&[u8]], threads: usize) -> Vec<Vec<u32>> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut scratch = Scratch::default();
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(sequence) = sequences.get(index) else { return done };
                let mut tokens = Vec::with_capacity(sequence.len() / 4 + 8);
                self.encode_into(sequence, &mut scratch, &mut tokens);
                done.push((index, tokens));
            }
        };
        let threads = threads.clamp(1, sequences.len().max(1));
        let mut encoded = vec![Vec::new(); sequences.len()];
        let parts = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut parts = vec![work()];
            for other in others {
                match other.join() {
                    Ok(part) => parts.push(part),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            parts
        });
        for (index, tokens) in parts.into_iter().flatten() {
            encoded[index] = tokens;
        }
        encoded
    }
}

/// xxh3 (64 bits, seed 0) of the tokens in the order of their ids, each followed by a newline.
pub fn prefix_hash<T: AsRef<str>>(tokens: &[T]) -> u64 {
    let text: String = tokens.iter().flat_map(|token| [token.as_ref(), "\n"]).collect();
    XxHash3_64::oneshot(text.as_bytes())
}

/// A hash as text: 16 hexadecimal digits, the least significant byte first.
pub fn hash_text(hash: u64) -> String {
    hash.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Length in bp of one token: its letters where it is made of A to Z alone, one for the unknown token, else none.
pub fn token_length(token: &str, is_unknown: bool) -> usize {
    if is_unknown {
        1
    } else if token.bytes().all(|byte| byte.is_ascii_uppercase()) {
        token.len()
    } else {
        0
    }
}

fn token_lengths(path: &Path, tokens: &[String], unknown: u32) -> Result<Vec<u16>> {
    let length = |(token, id): (&String, u32)| {
        u16::try_from(token_length(token, id == unknown)).map_err(|_| {
            Error::binary(path, format!("token {id} has {} letters, more than the 65,535 allowed", token.len()))
        })
    };
    tokens.iter().zip(0..).map(length).collect()
}

#[cfg(test)]
mod tests;
