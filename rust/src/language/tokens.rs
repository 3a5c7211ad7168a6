//! The vocabulary: which token is what. Token ids are positions in a tokenizer's list; the language's own tokens are
//! listed in `python/genet5/resources/tokens.toml` and `biotypes.toml`, and nowhere else.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use rustc_hash::FxHashMap;
use serde::Deserialize;

use super::model::{Kind, State};
use crate::error::{Error, Result};
use crate::gene::Strand;

const TOKENS: &str = include_str!("../../../python/genet5/resources/tokens.toml");
const BIOTYPES: &str = include_str!("../../../python/genet5/resources/biotypes.toml");

#[derive(Deserialize)]
struct TokenList {
    gaps: Vec<usize>,
    special: [String; 2],
    policy: [String; 4],
    isoform: [String; 1],
    strands: [String; 2],
    cuts: [String; 12],
    kinds: [String; 6],
    numbers: u32,
}

#[derive(Deserialize)]
struct BiotypeList {
    biotype: Vec<BiotypeEntry>,
}

#[derive(Deserialize)]
struct BiotypeEntry {
    name: String,
}

struct Builtin {
    list: TokenList,
    biotypes: Vec<String>,
}

static BUILTIN: LazyLock<Builtin> = LazyLock::new(|| {
    let list = toml::from_str(TOKENS).expect("tokens.toml is compiled in and tested");
    let biotypes: BiotypeList = toml::from_str(BIOTYPES).expect("biotypes.toml is compiled in and tested");
    Builtin { list, biotypes: biotypes.biotype.into_iter().map(|entry| entry.name).collect() }
});

/// Coordinates are two number tokens, `hi * 1000 + lo`.
pub const RADIX: u32 = 1000;
/// The largest coordinate that two number tokens can say, in bp.
pub const MAX_COORDINATE: u32 = RADIX * RADIX - 1;

/// What a token means in a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A run of that many letters N; belongs to the DNA.
    Gap(u32),
    Begin,
    End,
    /// Whether the source annotates UTRs.
    Utr(bool),
    /// Whether the source annotates non-coding genes.
    Noncoding(bool),
    Isoform,
    Strand(Strand),
    Cut(State),
    Kind(Kind),
    /// Index into [`Vocabulary::biotypes`].
    Biotype(u32),
    Number(u32),
    /// DNA and whatever else the tokenizer holds: nothing of the language.
    Other,
}

/// The tokens that every GeneT5 tokenizer has after its DNA tokens, in the order of their ids.
pub fn builtin_tokens() -> Vec<String> {
    let Builtin { list, biotypes } = &*BUILTIN;
    let gaps = list.gaps.iter().map(|&bases| "N".repeat(bases));
    let words = [&list.special[..], &list.policy, &list.isoform, &list.strands, &list.cuts, &list.kinds].concat();
    let biotypes = biotypes.iter().map(|name| biotype_token(name));
    let numbers = (0..list.numbers).map(|number| format!("<{number}>"));
    gaps.chain(words).chain(biotypes).chain(numbers).collect()
}

/// The token of a biotype: its word in angle brackets.
pub fn biotype_token(biotype: &str) -> String {
    format!("<{biotype}>")
}

/// Token ids of the language within one tokenizer.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    tokens: Vec<String>,
    roles: Vec<Role>,
    biotypes: Vec<Arc<str>>,
    biotype_ids: FxHashMap<Arc<str>, u32>,
    pub(super) begin: u32,
    pub(super) end: u32,
    pub(super) utr: [u32; 2],
    pub(super) noncoding: [u32; 2],
    pub(super) isoform: u32,
    pub(super) strands: [u32; 2],
    pub(super) cuts: [u32; 12],
    pub(super) kinds: [u32; 6],
    numbers: Vec<u32>,
}

impl Vocabulary {
    /// The language's tokens alone, without DNA: ids count from 0.
    pub fn builtin() -> Self {
        Self::from_tokens(builtin_tokens()).expect("the built-in list is complete")
    }

    /// From all tokens of a tokenizer in the order of their ids. Every token of the language but for biotypes must be
    /// there; a token `<word>` after `<bos>` that is not of the built-in list is a biotype of its own.
    pub fn from_tokens(tokens: Vec<String>) -> Result<Self> {
        let list = &BUILTIN.list;
        let mut ids: FxHashMap<&str, u32> = FxHashMap::default();
        for (id, token) in tokens.iter().enumerate() {
            if let Some(first) = ids.insert(token, id as u32) {
                return Err(Error::input(format!(
                    "token {token:?} stands twice in the tokenizer, as {first} and {id}"
                )));
            }
        }
        let mut roles = vec![Role::Other; tokens.len()];
        let mut assign = |token: &str, role: Role| -> Result<u32> {
            let id = *ids.get(token).ok_or_else(|| {
                Error::input(format!(
                    "the tokenizer lacks {token:?}, a token of the annotation language: append the built-in list with \
                     `genet5 tokens append`"
                ))
            })?;
            roles[id as usize] = role;
            Ok(id)
        };

        for &bases in &list.gaps {
            assign(&"N".repeat(bases), Role::Gap(bases as u32))?;
        }
        let begin = assign(&list.special[0], Role::Begin)?;
        let end = assign(&list.special[1], Role::End)?;
        let utr = [assign(&list.policy[1], Role::Utr(false))?, assign(&list.policy[0], Role::Utr(true))?];
        let noncoding =
            [assign(&list.policy[3], Role::Noncoding(false))?, assign(&list.policy[2], Role::Noncoding(true))?];
        let isoform = assign(&list.isoform[0], Role::Isoform)?;
        let mut strands = [0; 2];
        for (index, strand) in [Strand::Forward, Strand::Reverse].into_iter().enumerate() {
            strands[index] = assign(&list.strands[index], Role::Strand(strand))?;
        }
        let mut cuts = [0; 12];
        for (index, state) in State::ALL.into_iter().enumerate() {
            cuts[index] = assign(&list.cuts[index], Role::Cut(state))?;
        }
        let mut kinds = [0; 6];
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            kinds[index] = assign(&list.kinds[index], Role::Kind(kind))?;
        }
        let mut numbers = Vec::with_capacity(list.numbers as usize);
        for number in 0..list.numbers {
            numbers.push(assign(&format!("<{number}>"), Role::Number(number))?);
        }

        let mut biotypes = Vec::new();
        let mut biotype_ids = FxHashMap::default();
        for (id, token) in tokens.iter().enumerate().skip(begin as usize) {
            let word = token.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
            if let (Role::Other, Some(word)) = (roles[id], word.filter(|word| !word.is_empty())) {
                let word: Arc<str> = word.into();
                roles[id] = Role::Biotype(biotypes.len() as u32);
                biotypes.push(word.clone());
                biotype_ids.insert(word, id as u32);
            }
        }
        drop(ids);
        Ok(Vocabulary {
            tokens,
            roles,
            biotypes,
            biotype_ids,
            begin,
            end,
            utr,
            noncoding,
            isoform,
            strands,
            cuts,
            kinds,
            numbers,
        })
    }

    /// From a Hugging Face `tokenizer.json`: its model's vocabulary and its added tokens.
    pub fn from_tokenizer_json(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).map_err(|source| Error::io(path, source))?;
        let tokens = tokens_of_json(&text).map_err(|message| Error::format(path, 1, message))?;
        Self::from_tokens(tokens).map_err(|error| Error::format(path, 1, error.to_string()))
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// All token strings; the index is the id.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// The role of a token; `None` where the tokenizer has no such id.
    #[inline]
    pub fn role(&self, id: u32) -> Option<Role> {
        self.roles.get(id as usize).copied()
    }

    /// All biotypes that have a token, in the order of [`Role::Biotype`].
    pub fn biotypes(&self) -> &[Arc<str>] {
        &self.biotypes
    }

    pub fn biotype_id(&self, biotype: &str) -> Option<u32> {
        self.biotype_ids.get(biotype).copied()
    }

    /// The id of the number token `<number>`.
    ///
    /// # Panics
    /// Where `number` is 1000 or more.
    #[inline]
    pub fn number_id(&self, number: u32) -> u32 {
        self.numbers[number as usize]
    }

    /// Ids of `<bos>` and `<eos>`.
    pub fn sentence_ends(&self) -> (u32, u32) {
        (self.begin, self.end)
    }

    /// The token's text, or `#id` where the tokenizer has no such id.
    pub fn text(&self, id: u32) -> String {
        self.tokens.get(id as usize).cloned().unwrap_or_else(|| format!("#{id}"))
    }
}

fn tokens_of_json(text: &[u8]) -> std::result::Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct Json {
        model: Model,
        #[serde(default)]
        added_tokens: Vec<Added>,
    }
    #[derive(Deserialize)]
    struct Model {
        vocab: FxHashMap<String, u32>,
    }
    #[derive(Deserialize)]
    struct Added {
        id: u32,
        content: String,
    }
    let json: Json =
        serde_json::from_slice(text).map_err(|error| format!("not a byte-pair tokenizer.json: {error}"))?;
    let mut by_id: FxHashMap<u32, String> = FxHashMap::default();
    let added = json.added_tokens.into_iter().map(|token| (token.content, token.id));
    for (token, id) in json.model.vocab.into_iter().chain(added) {
        if let Some(other) = by_id.get(&id).filter(|other| **other != token) {
            return Err(format!("token id {id} is both {other:?} and {token:?}"));
        }
        by_id.insert(id, token);
    }
    (0..by_id.len() as u32)
        .map(|id| by_id.remove(&id).ok_or_else(|| format!("no token has id {id}, but later ids are in use")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtin_list_follows_the_resource_files() {
        let tokens = builtin_tokens();
        assert_eq!(&tokens[..2], &["N".to_string(), "NNNNNNNN".to_string()]);
        assert_eq!(tokens[3].len(), 512);
        assert_eq!(tokens.last().map(String::as_str), Some("<999>"));
        let vocabulary = Vocabulary::builtin();
        assert!(vocabulary.tokens().iter().enumerate().all(|(id, _)| vocabulary.role(id as u32) != Some(Role::Other)));
        assert_eq!(vocabulary.role(vocabulary.number_id(42)), Some(Role::Number(42)));
        assert!(vocabulary.biotype_id("protein_coding").is_some());
    }

    #[test]
    fn a_word_after_the_builtin_list_is_a_biotype() {
        let mut tokens: Vec<String> = ["[UNK]", "A", "<odd>"].map(String::from).to_vec();
        tokens.extend(builtin_tokens());
        tokens.push("<telomerase_RNA_of_mine>".into());
        let vocabulary = Vocabulary::from_tokens(tokens).unwrap();
        assert_eq!(vocabulary.biotype_id("telomerase_RNA_of_mine"), Some(vocabulary.len() as u32 - 1));
        assert_eq!(vocabulary.biotype_id("odd"), None);
        assert_eq!(vocabulary.role(2), Some(Role::Other));
    }

    #[test]
    fn a_missing_token_is_named() {
        let tokens = builtin_tokens().into_iter().filter(|token| token != "<stop>").collect();
        assert!(Vocabulary::from_tokens(tokens).unwrap_err().to_string().contains("<stop>"));
    }
}
