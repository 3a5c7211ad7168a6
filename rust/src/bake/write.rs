//! Segments into packs into a packed file.

use std::path::Path;

use super::config::Config;
use super::load::Loaded;
use super::segments::Segment;
use crate::error::Result;
use crate::packed;
use crate::packing::{self, Budget};
use crate::tokenizer::Tokenizer;
use crate::windows::{Placed, Stratum};

/// Flags of a segment that name the stratum of its validation region; none in training.
pub const EASY: u16 = packed::FIRST_CALLER_FLAG;
pub const TYPICAL: u16 = packed::FIRST_CALLER_FLAG << 1;
pub const COMPLEX: u16 = packed::FIRST_CALLER_FLAG << 2;

/// A packed file of one species on its way.
pub struct Writer<'a> {
    config: &'a Config,
    species: &'a Loaded,
    file: packed::Writer,
}

/// How a file was packed.
#[derive(Debug, Clone, Copy)]
pub struct Packs {
    pub packs: u64,
    pub lower_bound: u64,
    pub oversize: u64,
}

impl<'a> Writer<'a> {
    pub fn create(path: &Path, config: &'a Config, species: &'a Loaded, tokenizer: &Tokenizer) -> Result<Self> {
        let file = packed::Writer::create(path, packed::Vocabulary::of(tokenizer))?;
        Ok(Writer { config, species, file })
    }

    /// Adds segments in their order.
    pub fn add(&mut self, segments: &[Segment], stratum: impl Fn(Placed) -> Option<Stratum>) -> Result<()> {
        for segment in segments {
            let Placed { sequence, start, length, reverse } = segment.window;
            let flags = match stratum(segment.window) {
                None => 0,
                Some(Stratum::Easy) => EASY,
                Some(Stratum::Typical) => TYPICAL,
                Some(Stratum::Complex) => COMPLEX,
            };
            self.file.add(&packed::Segment {
                species: &self.config.species,
                seqid: &self.species.sequences[sequence].id,
                start,
                length: length as u32,
                reverse,
                genetic_code: self.species.sequences[sequence].code.number as u8,
                flags,
                tokens: &segment.tokens,
                labels: &segment.labels,
                loss_end: Some(segment.masked_from),
                ignores: &segment.ignored,
                tracks: segment.tracks.as_deref(),
            })?;
        }
        Ok(())
    }

    /// Packs what was added and makes the file appear.
    pub fn finish(mut self, metadata: &serde_json::Value) -> Result<Packs> {
        let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let budget = Budget {
            target: small(self.config.target),
            hard_limit: small(self.config.hard_limit),
            labels: small(self.config.max_target_len),
        };
        let plan = packing::pack(self.file.sizes(), &budget);
        for pack in &plan.packs {
            self.file.write_pack(pack)?;
        }
        let packs = plan.packs.len() as u64;
        self.file.finish(metadata)?;
        Ok(Packs { packs, lower_bound: plan.lower_bound as u64, oversize: plan.oversize as u64 })
    }
}
