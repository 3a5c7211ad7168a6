//! What is asked of the bake of one species.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::windows::Sizes;

/// Which transcripts of a gene are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isoforms {
    Canonical,
    All,
}

/// One species and the flags that apply to it. Unknown keys are errors, so that the two sides cannot drift apart.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub species: String,
    pub taxon: String,
    pub genome: Vec<PathBuf>,
    /// The same files as `genome` where these are GenBank files.
    pub annotation: Vec<PathBuf>,
    pub hints: Option<PathBuf>,
    pub tokenizer: PathBuf,

    /// NCBI translation tables. `genetic_code` is the user's word for the main sequences and goes before what the
    /// annotation states; `default_code` comes last.
    pub genetic_code: Option<u32>,
    pub default_code: u32,
    pub mitochondrial_code: u32,
    pub plastid_code: u32,
    pub codes: BTreeMap<String, u32>,

    /// What the source annotates; detected where `None`.
    pub utr: Option<bool>,
    pub noncoding: Option<bool>,
    pub isoforms: Isoforms,
    pub lenient: bool,

    pub validation_seqids: Vec<String>,
    pub test_seqids: Vec<String>,
    pub exclude_seqids: Vec<String>,
    pub organelles: bool,

    pub window_size: u64,
    pub margin: u64,
    pub overlap: Option<u64>,
    pub seed: u64,
    pub max_n_ratio: f64,
    pub intergenic_fraction: f64,
    pub validation_fraction: f64,
    pub gene_limit: u64,
    pub reverse_complement: bool,
    /// Segments have a track, even of a species without hints.
    pub tracks: bool,
    pub hint_ratio: f64,
    pub soft_masking: bool,

    /// Tokens of a pack: wanted, and at most.
    pub target: u64,
    pub hard_limit: u64,
    /// Label tokens of a pack.
    pub max_target_len: u64,

    /// Threads.
    pub n_workers: usize,
    /// Genomes of more bytes are read a sequence at a time instead of kept in memory.
    #[serde(default = "keep_bytes")]
    pub keep_bytes: u64,
    /// Files to write; none for a scan or a dry run.
    pub training: Option<PathBuf>,
    pub validation: Option<PathBuf>,
    /// JSON that goes into the packed files' metadata.
    pub flags: serde_json::Value,
}

fn keep_bytes() -> u64 {
    256 << 20
}

impl Config {
    pub fn from_json(text: &str) -> Result<Self> {
        let config: Config =
            serde_json::from_str(text).map_err(|error| Error::input(format!("bake configuration: {error}")))?;
        config.check()?;
        Ok(config)
    }

    pub fn sizes(&self) -> Result<Sizes> {
        Sizes::new(self.window_size, self.margin, self.overlap)
    }

    fn check(&self) -> Result<()> {
        self.sizes()?;
        let share = |name: &str, value: f64, most: f64| {
            if (0.0..=most).contains(&value) {
                Ok(())
            } else {
                Err(Error::input(format!("{name} is {value}, which is not between 0 and {most}")))
            }
        };
        share("max_n_ratio", self.max_n_ratio, 1.0)?;
        share("validation_fraction", self.validation_fraction, 0.5)?;
        share("hint_ratio", self.hint_ratio, 1.0)?;
        share("intergenic_fraction", self.intergenic_fraction, 1e6)?;
        if self.target == 0 || self.target > self.hard_limit {
            return Err(Error::input(format!(
                "target is {} tokens and hard_limit {}; the target must be at least 1 and at most the limit",
                self.target, self.hard_limit
            )));
        }
        if self.max_target_len < 8 {
            return Err(Error::input(format!(
                "max_target_len is {} label tokens; the shortest sentences need 8",
                self.max_target_len
            )));
        }
        if self.n_workers == 0 {
            return Err(Error::input("n_workers is 0; give at least 1 thread"));
        }
        Ok(())
    }
}
