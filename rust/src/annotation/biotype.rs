//! Biotypes: one canonical name for the many words of the Sequence Ontology and of databases.

use std::sync::OnceLock;

use rustc_hash::FxHashMap;
use serde::Deserialize;

const BIOTYPES: &str = include_str!("../../../python/genet5/resources/biotypes.toml");

/// What a biotype says of its genes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Coding,
    Noncoding,
    Pseudogene,
    MobileElement,
}

/// A row of `biotypes.toml`.
#[derive(Debug, Clone, Deserialize)]
pub struct Biotype {
    pub name: String,
    pub kind: Kind,
    words: Vec<String>,
}

#[derive(Deserialize)]
struct File {
    biotype: Vec<Biotype>,
}

struct Table {
    biotypes: Vec<Biotype>,
    by_word: FxHashMap<String, usize>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let file: File = toml::from_str(BIOTYPES).expect("biotypes.toml is part of this crate");
        let mut by_word = FxHashMap::default();
        for (i, biotype) in file.biotype.iter().enumerate() {
            for word in std::iter::once(&biotype.name).chain(&biotype.words) {
                by_word.insert(normal(word), i);
            }
        }
        Table { biotypes: file.biotype, by_word }
    })
}

fn normal(word: &str) -> String {
    word.trim().to_ascii_lowercase().replace([' ', '-'], "_")
}

/// The canonical names in the order of their tokens.
pub fn names() -> impl Iterator<Item = &'static str> {
    table().biotypes.iter().map(|biotype| biotype.name.as_str())
}

/// The biotype that a word stands for; `None` where the table lacks it.
pub fn lookup(word: &str) -> Option<&'static Biotype> {
    let table = table();
    // Most words are as the table has them.
    if let Some(&i) = table.by_word.get(word) {
        return Some(&table.biotypes[i]);
    }
    let word = normal(word);
    let found = table.by_word.get(&word).or_else(|| table.by_word.get(word.strip_suffix("_gene")?));
    found.map(|&i| &table.biotypes[i])
}

/// The canonical name of a word, or the word itself where the table lacks it.
pub fn canonical(word: &str) -> &str {
    lookup(word).map_or(word, |biotype| &biotype.name)
}

/// The kind of a biotype's name; a word that the table lacks may have a CDS.
pub fn kind(word: &str) -> Kind {
    lookup(word).map_or(Kind::Coding, |biotype| biotype.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_databases() {
        for (word, name) in [
            ("ncRNA", "ncRNA"),
            ("ncrna", "ncRNA"),
            ("ncRNA_gene", "ncRNA"),
            ("tRNA_gene", "tRNA"),
            ("lincRNA_gene", "lncRNA"),
            ("lnc_RNA", "lncRNA"),
            ("protein-coding", "protein_coding"),
            ("mRNA", "protein_coding"),
            ("transposable_element_gene", "mobile_element"),
            ("something_new", "something_new"),
        ] {
            assert_eq!(canonical(word), name);
        }
        assert_eq!(kind("pseudogenic_transcript"), Kind::Pseudogene);
        assert_eq!(names().next(), Some("protein_coding"));
    }

    #[test]
    fn no_word_stands_twice() {
        let table = table();
        let count: usize = table
            .biotypes
            .iter()
            .map(|b| {
                let mut words: Vec<String> = b.words.iter().chain([&b.name]).map(|w| normal(w)).collect();
                words.sort();
                words.dedup();
                words.len()
            })
            .sum();
        assert_eq!(count, table.by_word.len());
    }
}
