//! Tracks: a byte a token, with bits for hints of introns from RNA-seq and for soft masking.
//!
//! Bit 0: the token lies in a hinted intron; bit 1: it holds a hinted donor's first two bases; bit 2: a hinted acceptor's last two;
//! bit 3: the hint is of the reverse strand of the window; bit 4: half or more of the token is soft-masked.
//!
//! A model that always sees perfect hints learns to trust nothing else, so only a share of the windows gets them, and
//! those with noise: hints are dropped and invented, as AUGUSTUS is trained with them.

use rustc_hash::FxHashMap;

use super::config::Config;
use super::load::Loaded;
use crate::error::{Error, Result};
use crate::gene::{Interval, Strand};
use crate::input;
use crate::tokenizer::Tokenizer;
use crate::windows::{Placed, SpanIndex, draw};

pub const INTRON: u8 = 1;
pub const DONOR: u8 = 2;
pub const ACCEPTOR: u8 = 4;
pub const REVERSE: u8 = 8;
pub const SOFT_MASKED: u8 = 16;

/// Of the hints of a window that has them, so many of 1,000 are dropped, and so many invented.
const DROPPED: u64 = 100;
const INVENTED: u64 = 50;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hint {
    span: Interval,
    strand: Strand,
}

struct SequenceHints {
    hints: Vec<Hint>,
    index: SpanIndex,
}

/// The hints of a species by sequence.
pub struct Tracks {
    sequences: Vec<SequenceHints>,
    ratio: f64,
    seed: u64,
    soft_masking: bool,
    has_hints: bool,
}

impl Tracks {
    /// Reads the hints of a species; `None` where no track is asked for.
    pub fn read(config: &Config, species: &Loaded) -> Result<Option<Tracks>> {
        if !config.tracks {
            return Ok(None);
        }
        let mut hints: Vec<Vec<Hint>> = vec![vec![]; species.sequences.len()];
        if let Some(path) = &config.hints {
            let text = input::text(path)?;
            let numbers: FxHashMap<&str, usize> =
                species.sequences.iter().enumerate().map(|(number, facts)| (facts.id.as_str(), number)).collect();
            let mut introns = 0_u64;
            let mut elsewhere = 0_u64;
            for (i, line) in input::without_mark(&text).split(|&byte| byte == b'\n').enumerate() {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if line.starts_with(b"##FASTA") || line.starts_with(b">") {
                    break;
                }
                if line.is_empty() || line[0] == b'#' {
                    continue;
                }
                let columns: Vec<&[u8]> = line.split(|&byte| byte == b'\t').collect();
                let fail = |message: String| Error::format(path, i as u64 + 1, message);
                if columns.len() < 8 {
                    return Err(fail(format!("a hint has {} columns; GFF has 9, separated by tabs", columns.len())));
                }
                if !columns[2].eq_ignore_ascii_case(b"intron") {
                    continue;
                }
                introns += 1;
                let number = |column: usize, name: &str| {
                    std::str::from_utf8(columns[column]).ok().and_then(|text| text.parse::<u64>().ok()).ok_or_else(
                        || {
                            fail(format!(
                                "the {name} of a hint is '{}', not a number",
                                String::from_utf8_lossy(columns[column])
                            ))
                        },
                    )
                };
                let (start, end) = (number(3, "start")?, number(4, "end")?);
                let Some(&sequence) = numbers.get(String::from_utf8_lossy(columns[0]).as_ref()) else {
                    elsewhere += 1;
                    continue;
                };
                let length = species.sequences[sequence].length;
                if start == 0 || start > end || end > length {
                    return Err(fail(format!(
                        "a hint from {start} to {end} does not lie on '{}' of {length} bp",
                        species.sequences[sequence].id
                    )));
                }
                let strand = match columns[6] {
                    b"+" => Strand::Forward,
                    b"-" => Strand::Reverse,
                    _ => Strand::Unknown,
                };
                hints[sequence].push(Hint { span: Interval::new(start - 1, end), strand });
            }
            if introns == elsewhere {
                return Err(Error::format(path, 1, "no intron of these hints lies on the genome's sequences"));
            }
        }
        let sequences = hints
            .into_iter()
            .zip(&species.sequences)
            .map(|(mut hints, sequence)| {
                hints.sort_by_key(|hint| (hint.span, hint.strand));
                hints.dedup();
                let spans = hints.iter().map(|hint| hint.span);
                let index = SpanIndex::new(spans, sequence.length, sequence.circular);
                SequenceHints { hints, index }
            })
            .collect();
        Ok(Some(Tracks {
            sequences,
            ratio: config.hint_ratio,
            seed: config.seed,
            soft_masking: config.soft_masking,
            has_hints: config.hints.is_some(),
        }))
    }

    /// The track of a window, and whether hints were shown. `bases` are the window's, in the genome's case.
    pub fn of_window(
        &self,
        window: Placed,
        bases: &[u8],
        tokens: &[u32],
        tokenizer: &Tokenizer,
        species: &Loaded,
    ) -> (Vec<u8>, bool) {
        let name = &species.sequences[window.sequence].id;
        let share = |purpose: &str, position: u64| draw(self.seed, purpose, name, position);
        let shown = self.has_hints && (share("hinted window", window.start) as f64) < self.ratio * u64::MAX as f64;
        let mut by_base = vec![0_u8; bases.len()];
        if shown {
            let sequence = &self.sequences[window.sequence];
            for hit in sequence.index.overlapping(window.span()) {
                let hint = sequence.hints[hit.index];
                if share("dropped hint", window.start ^ hint.span.start) % 1000 >= DROPPED {
                    mark(&mut by_base, hit.start, hit.end, hint.strand, window);
                }
            }
            // An invented hint in some windows: a stretch of the length of a short intron.
            if share("invented hint", window.start) % 1000 < INVENTED * (window.length / 1000).max(1) {
                let place = share("place of an invented hint", window.start);
                let length = 60 + (place >> 32) % 400;
                let start = place % window.length;
                let strand = if place & (1 << 63) == 0 { Strand::Forward } else { Strand::Reverse };
                mark(&mut by_base, start as i64, (start + length) as i64, strand, window);
            }
        }
        let lengths = tokenizer.bp();
        let mut track = Vec::with_capacity(tokens.len());
        let mut start = 0;
        for &token in tokens {
            let end = (start + usize::from(lengths[token as usize])).min(bases.len());
            let mut byte = by_base[start..end].iter().fold(0, |all, bits| all | bits);
            if self.soft_masking {
                let masked = bases[start..end].iter().filter(|base| base.is_ascii_lowercase()).count();
                if masked > 0 && masked * 2 >= end - start {
                    byte |= SOFT_MASKED;
                }
            }
            track.push(byte);
            start = end;
        }
        (track, shown)
    }
}

/// Marks the bases of an intron that lies at `[start, end)` from the start of the window's stretch.
fn mark(by_base: &mut [u8], start: i64, end: i64, strand: Strand, window: Placed) {
    let length = by_base.len() as i64;
    let (start, end) = if window.reverse { (length - end, length - start) } else { (start, end) };
    let reverse = match strand {
        Strand::Forward => window.reverse,
        Strand::Reverse => !window.reverse,
        Strand::Unknown => false,
    };
    let strand_bit = if reverse { REVERSE } else { 0 };
    let mut set = |from: i64, to: i64, bits: u8| {
        for base in from.max(0)..to.min(length) {
            by_base[base as usize] |= bits | strand_bit;
        }
    };
    set(start, end, INTRON);
    if strand != Strand::Unknown {
        let (left, right) = if reverse { (ACCEPTOR, DONOR) } else { (DONOR, ACCEPTOR) };
        set(start, (start + 2).min(end), left);
        set((end - 2).max(start), end, right);
    }
}
