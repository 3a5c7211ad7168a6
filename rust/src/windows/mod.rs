//! Cuts sequences into windows: which stretches of a genome a model learns from, and which are held out.
//!
//! Everything here is a pure function of lengths, gene spans, runs of N and a seed. [`tile`] covers one stretch,
//! [`regions`] draws the validation regions, [`plan`] puts a species together.
//!
//! Promises, each a property test: the windows cover their stretch; every gene that fits (window less two margins) is
//! whole in one of them; a boundary cuts a gene only where no boundary in reach would not; windows wrap around a circular
//! origin; no base of a validation region is in a training window.

mod cuts;
mod index;
mod plan;
mod regions;
mod tile;

pub use index::{Hit, SpanIndex};
pub use plan::{Counts, Locus, Options, Placed, Plan, Role, Sequence, plan};
pub use regions::{Region, Stratum};
pub use tile::{Stretch, stretches, tile_sequence};

use twox_hash::XxHash3_64;

use crate::error::{Error, Result};

/// The share of a window that it has in common with the next, unless told otherwise: 1/e.
pub const DEFAULT_OVERLAP: f64 = 1.0 / std::f64::consts::E;

/// Sizes in bp that every window keeps to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sizes {
    /// The longest window.
    pub window: u64,
    /// Bases wanted on either side of a gene.
    pub margin: u64,
    /// Bases that neighbouring windows share, where gene boundaries do not shift them.
    pub overlap: u64,
}

impl Sizes {
    pub fn new(window: u64, margin: u64, overlap: Option<u64>) -> Result<Self> {
        let overlap = overlap.unwrap_or((window as f64 * DEFAULT_OVERLAP).round() as u64);
        if window == 0 {
            return Err(Error::input("window size is 0 bp; give at least 1"));
        }
        if window >= 1_000_000 {
            return Err(Error::input(format!(
                "window size is {window} bp; a coordinate of the annotation language ends at 999,999, so give less than 1,000,000"
            )));
        }
        if 2 * margin >= window {
            return Err(Error::input(format!(
                "margins of {margin} bp leave nothing of a window of {window} bp; give a margin below {}",
                window.div_ceil(2)
            )));
        }
        if overlap >= window {
            return Err(Error::input(format!("an overlap of {overlap} bp is not less than the window of {window} bp")));
        }
        Ok(Sizes { window, margin, overlap })
    }

    /// The same without overlap: windows stand side by side where no gene needs more.
    pub fn side_by_side(self) -> Self {
        Sizes { overlap: 0, ..self }
    }

    /// How far a boundary may move from its nominal place to spare a gene, in bp.
    fn slack(self) -> u64 {
        ((self.window - self.overlap) / 3).min(self.window / 4)
    }
}

/// A number for `key` that depends on nothing but the seed and the key: seeded choices do not change with the order or
/// the number of what is chosen from.
pub(crate) fn draw(seed: u64, purpose: &str, name: &str, position: u64) -> u64 {
    let key = [purpose.as_bytes(), &[0], name.as_bytes(), &[0], &position.to_le_bytes()].concat();
    XxHash3_64::oneshot_with_seed(seed, &key)
}
