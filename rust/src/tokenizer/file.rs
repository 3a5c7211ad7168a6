//! `tokenizer.json`: what is read of it, and how it grows.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustc_hash::{FxHashMap, FxHashSet};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::error::{Error, Result};

/// A tokenizer as its file describes it, checked.
pub(super) struct Parsed {
    pub tokens: Vec<String>,
    pub unknown: u32,
    pub gaps: Vec<(usize, u32)>,
    /// `(left, right, merged)` in order of rank.
    pub merges: Vec<(u32, u32, u32)>,
    /// Single letters of the byte-pair model.
    pub letters: Vec<(u8, u32)>,
}

#[derive(Deserialize)]
struct TokenizerJson {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(default)]
    normalizer: serde_json::Value,
    #[serde(default)]
    pre_tokenizer: serde_json::Value,
    model: Model,
}

#[derive(Deserialize, Serialize)]
struct AddedToken {
    id: u32,
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    dropout: Option<f64>,
    #[serde(default)]
    unk_token: Option<String>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    vocab: FxHashMap<String, u32>,
    merges: Vec<Merge>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Text(String),
    Pair(String, String),
}

impl Merge {
    fn parts(&self) -> Option<(&str, &str)> {
        match self {
            Merge::Text(text) => text.split_once(' '),
            Merge::Pair(left, right) => Some((left, right)),
        }
    }
}

/// The file itself, or `tokenizer.json` in a folder.
pub(super) fn locate(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("tokenizer.json") } else { path.to_path_buf() }
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Parsed> {
    let json: TokenizerJson = serde_json::from_str(text).map_err(|e| {
        Error::format(path, e.line().max(1) as u64, format!("not a tokenizer.json of a byte-pair model: {e}"))
    })?;
    let refuse = |what: String| Err(Error::format(path, 1, what));
    let model = &json.model;
    if model.r#type.as_deref().is_some_and(|kind| kind != "BPE") {
        return refuse("the model is not byte-pair encoding (`\"type\": \"BPE\"`)".into());
    }
    let unsupported = [
        (model.dropout.is_some_and(|p| p > 0.0), "dropout"),
        (model.continuing_subword_prefix.as_deref().is_some_and(|s| !s.is_empty()), "continuing_subword_prefix"),
        (model.end_of_word_suffix.as_deref().is_some_and(|s| !s.is_empty()), "end_of_word_suffix"),
        (model.fuse_unk, "fuse_unk"),
        (model.byte_fallback, "byte_fallback"),
        (model.ignore_merges, "ignore_merges"),
        (!json.normalizer.is_null(), "normalizer"),
        (!plain_words(&json.pre_tokenizer), "pre_tokenizer (only Whitespace, or none, leaves DNA whole)"),
    ];
    if let Some((_, option)) = unsupported.iter().find(|(used, _)| *used) {
        return refuse(format!("the option {option} would change how DNA is split and is not supported; unset it"));
    }

    let tokens = token_list(path, model, &json.added_tokens)?;
    let Some(unknown) = model.unk_token.as_ref().and_then(|token| model.vocab.get(token)) else {
        return refuse("the model names no unk_token that its vocabulary holds".into());
    };
    let gaps = gap_tokens(path, &json.added_tokens)?;
    let letters = model
        .vocab
        .iter()
        .filter(|(token, _)| token.len() == 1)
        .map(|(token, &id)| (token.as_bytes()[0], id))
        .collect();
    let mut merges = Vec::with_capacity(model.merges.len());
    for (rank, merge) in model.merges.iter().enumerate() {
        let ids = merge.parts().and_then(|(left, right)| {
            let merged = model.vocab.get(&format!("{left}{right}"))?;
            Some((*model.vocab.get(left)?, *model.vocab.get(right)?, *merged))
        });
        let Some(ids) = ids else {
            return refuse(format!("merge {rank} is malformed, or its tokens are not in the vocabulary"));
        };
        merges.push(ids);
    }
    Ok(Parsed { tokens, unknown: *unknown, gaps, merges, letters })
}

/// Whitespace splits at anything that is not a word character, so that a sequence of letters stays one word.
fn plain_words(pre_tokenizer: &serde_json::Value) -> bool {
    pre_tokenizer.is_null()
        || matches!(pre_tokenizer.get("type").and_then(|t| t.as_str()), Some("Whitespace" | "WhitespaceSplit"))
}

fn token_list(path: &Path, model: &Model, added: &[AddedToken]) -> Result<Vec<String>> {
    let all = model.vocab.iter().map(|(token, &id)| (token, id));
    let all: Vec<_> = all.chain(added.iter().map(|token| (&token.content, token.id))).collect();
    let count = all.iter().map(|&(_, id)| id as usize + 1).max().unwrap_or(0);
    if count > all.len() {
        return Err(Error::format(
            path,
            1,
            format!("{} tokens have ids up to {}: ids are missing", all.len(), count - 1),
        ));
    }
    let mut tokens: Vec<Option<&String>> = vec![None; count];
    for (token, id) in all {
        let place = &mut tokens[id as usize];
        if place.is_some_and(|other| other != token) {
            return Err(Error::format(path, 1, format!("two tokens have the id {id}")));
        }
        if token.is_empty() || token.contains('\n') {
            return Err(Error::format(path, 1, format!("token {id} is empty or holds a line break")));
        }
        *place = Some(token);
    }
    let mut seen = FxHashSet::default();
    let mut list = Vec::with_capacity(count);
    for (id, token) in tokens.into_iter().enumerate() {
        let Some(token) = token else {
            return Err(Error::format(path, 1, format!("no token has the id {id}")));
        };
        if !seen.insert(token) {
            return Err(Error::format(path, 1, format!("the token '{token}' has two ids")));
        }
        list.push(token.clone());
    }
    Ok(list)
}

fn gap_tokens(path: &Path, added: &[AddedToken]) -> Result<Vec<(usize, u32)>> {
    let mut gaps = Vec::new();
    for token in added.iter().filter(|token| token.content.bytes().all(|b| b.is_ascii_uppercase())) {
        if token.content.bytes().any(|b| b != b'N') || token.single_word {
            return Err(Error::format(
                path,
                1,
                format!(
                    "the added token '{}' would be cut out of DNA before byte-pair encoding; remove it",
                    token.content
                ),
            ));
        }
        gaps.push((token.content.len(), token.id));
    }
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    Ok(gaps)
}

/// Appends tokens that `path` (a `tokenizer.json` or its folder) lacks, in the order given, and returns those added with
/// their ids. Ids given before stay. The file is replaced whole, and with `dry_run` not at all.
pub fn append<T: AsRef<str>>(path: impl AsRef<Path>, new: &[T], dry_run: bool) -> Result<Vec<(String, u32)>> {
    let path = locate(path.as_ref());
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
    let parsed = parse(&path, &text)?;
    let mut known: FxHashSet<&str> = parsed.tokens.iter().map(String::as_str).collect();
    let mut added = Vec::new();
    for token in new.iter().map(AsRef::as_ref) {
        if known.contains(token) {
            continue;
        }
        if token.is_empty() || token.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(Error::input(format!(
                "'{}' cannot be a token: it is empty or holds a space",
                token.escape_debug()
            )));
        }
        if token.bytes().all(|b| b.is_ascii_uppercase()) && token.bytes().any(|b| b != b'N') {
            return Err(Error::input(format!("'{token}' cannot be added: it would be cut out of DNA")));
        }
        known.insert(token);
        added.push((token.to_string(), (parsed.tokens.len() + added.len()) as u32));
    }
    if !added.is_empty() && !dry_run {
        let grown = with_added(&text, &added).map_err(|e| Error::format(&path, e.line() as u64, e.to_string()))?;
        parse(&path, &grown)?;
        replace(&path, grown.as_bytes())?;
    }
    Ok(added)
}

/// The same JSON text with more added tokens; every other field keeps its bytes.
fn with_added(text: &str, added: &[(String, u32)]) -> serde_json::Result<String> {
    let Fields(fields) = serde_json::from_str(text)?;
    let mut tokens: Vec<Box<RawValue>> = match fields.iter().find(|(name, _)| name == "added_tokens") {
        Some((_, value)) => serde_json::from_str(value.get())?,
        None => Vec::new(),
    };
    for (content, id) in added {
        let token = AddedToken {
            id: *id,
            content: content.clone(),
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
            special: false,
        };
        tokens.push(serde_json::value::to_raw_value(&token)?);
    }
    let lines: Vec<String> = tokens.iter().map(|token| format!("    {}", token.get())).collect();
    let tokens = format!("[\n{}\n  ]", lines.join(",\n"));
    let mut parts = Vec::with_capacity(fields.len() + 1);
    let mut placed = false;
    for (name, value) in &fields {
        // The last field of a name wins in JSON readers; tokenizer files have each once.
        let value = if name == "added_tokens" { &tokens } else { value.get() };
        placed |= name == "added_tokens";
        parts.push(format!("  {}: {value}", serde_json::to_string(name)?));
    }
    if !placed {
        parts.insert(0, format!("  \"added_tokens\": {tokens}"));
    }
    Ok(format!("{{\n{}\n}}\n", parts.join(",\n")))
}

fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let io = |e| Error::io(path, e);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
    file.write_all(content).map_err(io)?;
    let mode = std::fs::metadata(path).map_err(io)?.permissions();
    file.as_file().set_permissions(mode).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    file.persist(path).map_err(|e| io(e.error))?;
    Ok(())
}

/// The fields of a JSON object in the file's order, unparsed.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
