//! The tokens that a packed file was made with.

use crate::error::{Error, Result};
use crate::tokenizer::{Tokenizer, prefix_hash, token_length};

/// Tokens by id, with what they say in bases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    tokens: Vec<String>,
    unknown: u32,
    hash: u64,
    /// Where each token's bases begin in `bases`; one more than there are tokens.
    ends: Vec<u32>,
    /// 0..3 = A C G T, 4 = anything else.
    bases: Vec<u8>,
    /// The first bases of each token in a row of fixed width, and its length: what reading needs of nearly all tokens.
    rows: Vec<([u8; SHORT], u16)>,
    /// The lengths alone: a table that stays in the processor's nearest cache.
    lengths: Vec<u16>,
}

/// Tokens of up to this many bases are copied as a whole row, which takes no loop.
pub(super) const SHORT: usize = 32;

impl Vocabulary {
    /// All tokens of a tokenizer.
    pub fn of(tokenizer: &Tokenizer) -> Self {
        Self::new(tokenizer.tokens().to_vec(), tokenizer.unknown()).expect("a loaded tokenizer has valid tokens")
    }

    /// Tokens in the order of their ids. Errors say what is wrong and leave it to the caller to say where.
    pub fn new(tokens: Vec<String>, unknown: u32) -> std::result::Result<Self, String> {
        if unknown as usize >= tokens.len() {
            return Err(format!("the unknown token's id {unknown} is not among {} tokens", tokens.len()));
        }
        let mut ends = Vec::with_capacity(tokens.len() + 1);
        let mut bases = Vec::new();
        ends.push(0);
        for (token, id) in tokens.iter().zip(0u32..) {
            if id == unknown {
                bases.push(4);
            } else if token_length(token, false) > u16::MAX as usize {
                return Err(format!("token {id} has {} letters, more than the 65,535 allowed", token.len()));
            } else if token_length(token, false) > 0 {
                let code = |letter| b"ACGT".iter().position(|&b| b == letter).unwrap_or(4) as u8;
                bases.extend(token.bytes().map(code));
            }
            ends.push(u32::try_from(bases.len()).map_err(|_| "its tokens are too long")?);
        }
        let hash = prefix_hash(&tokens);
        let row = |span: &[u32]| {
            let codes = &bases[span[0] as usize..span[1] as usize];
            let mut row = [4; SHORT];
            let short = codes.len().min(SHORT);
            row[..short].copy_from_slice(&codes[..short]);
            (row, codes.len() as u16)
        };
        let rows: Vec<_> = ends.windows(2).map(row).collect();
        let lengths = rows.iter().map(|&(_, length)| length).collect();
        Ok(Vocabulary { tokens, unknown, hash, ends, bases, rows, lengths })
    }

    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    pub fn unknown(&self) -> u32 {
        self.unknown
    }

    /// `prefix_hash` of all its tokens.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Bytes of a token id in a file: 2 while the tokens allow it, else 4.
    pub fn token_bytes(&self) -> u32 {
        if self.tokens.len() <= 1 << 16 { 2 } else { 4 }
    }

    /// The base codes of a token; `None` where the id is no token's.
    #[inline]
    pub fn bases(&self, id: u32) -> Option<&[u8]> {
        let (start, end) = (*self.ends.get(id as usize)?, *self.ends.get(id as usize + 1)?);
        self.bases.get(start as usize..end as usize)
    }

    /// Writes the bases of tokens one after the other, and where each token begins. The tokens must spell exactly as many
    /// bases as `out` has room for; returns whether they do.
    #[inline]
    pub(super) fn spell(&self, ids: impl Iterator<Item = u32>, positions: &mut [i64], out: &mut [u8]) -> bool {
        let mut at = 0;
        for (id, position) in ids.zip(positions) {
            let Some((row, length)) = self.rows.get(id as usize) else { return false };
            let length = usize::from(*length);
            if length == 0 || length > out.len() - at {
                return false;
            }
            *position = at as i64;
            // A whole row where there is room for it: what is too much, the next token writes over.
            if let Some(place) = out[at..].first_chunk_mut().filter(|_| length <= SHORT) {
                *place = *row;
            } else if let Some(codes) = self.bases(id) {
                out[at..at + length].copy_from_slice(codes);
            }
            at += length;
        }
        at == out.len()
    }

    /// The bases that tokens spell; `None` where one is not DNA.
    #[inline]
    pub(super) fn count(&self, ids: impl Iterator<Item = u32>) -> Option<u64> {
        // Without a branch for each token.
        let (sum, known) = ids.fold((0, true), |(sum, known), id| {
            let length = self.lengths.get(id as usize).map_or(0, |&length| length);
            (sum + u64::from(length), known & (length > 0))
        });
        known.then_some(sum)
    }

    /// Length of each token in bp.
    pub fn lengths(&self) -> impl Iterator<Item = u16> + '_ {
        self.lengths.iter().copied()
    }

    /// Whether the other's tokens begin with all of these, so that a file made with these can be read with those.
    pub fn continues_in(&self, tokens: &[String]) -> bool {
        tokens.len() >= self.tokens.len() && tokens[..self.tokens.len()] == self.tokens
    }

    /// The longest of several vocabularies, where each of the others is its beginning.
    pub fn longest<'a>(of: impl Iterator<Item = &'a Vocabulary> + Clone) -> Result<&'a Vocabulary> {
        let longest = of.clone().max_by_key(|v| v.len()).ok_or_else(|| Error::input("no packed file was given"))?;
        for vocabulary in of {
            if !vocabulary.continues_in(&longest.tokens) {
                return Err(Error::input(
                    "these packed files were made with different tokenizers: none continues all the others' tokens; \
                     bake them again with one tokenizer",
                ));
            }
        }
        Ok(longest)
    }
}
