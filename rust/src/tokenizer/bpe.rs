//! Byte-pair encoding by a heap of possible merges: right for any list of merges, O(n log n).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

use super::file::Parsed;

/// The merges of a byte-pair model.
pub(super) struct Merges {
    letters: [Option<u32>; 256],
    unknown: u32,
    /// `(left, right)` to `(rank, merged)`.
    ranks: FxHashMap<(u32, u32), (u32, u32)>,
    list: Vec<(u32, u32, u32)>,
}

const END: u32 = u32::MAX;

struct Symbol {
    id: u32,
    previous: u32,
    next: u32,
    /// Absorbed by a merge with its left neighbour.
    gone: bool,
}

impl Merges {
    pub(super) fn new(parsed: &Parsed) -> Self {
        let mut letters = [None; 256];
        for &(letter, id) in &parsed.letters {
            letters[letter as usize] = Some(id);
        }
        let mut ranks = FxHashMap::default();
        for (&(left, right, merged), rank) in parsed.merges.iter().zip(0..) {
            // As Hugging Face builds its map: of two merges of one pair the later stands.
            ranks.insert((left, right), (rank, merged));
        }
        Merges { letters, unknown: parsed.unknown, ranks, list: parsed.merges.clone() }
    }

    pub(super) fn letter(&self, letter: u8) -> Option<u32> {
        self.letters[letter as usize]
    }

    /// All letters with their ids.
    pub(super) fn letters(&self) -> impl Iterator<Item = (u8, u32)> + '_ {
        (0..=255u8).filter_map(|letter| Some((letter, self.letter(letter)?)))
    }

    /// `(left, right, merged)` in order of rank.
    pub(super) fn list(&self) -> &[(u32, u32, u32)] {
        &self.list
    }

    /// Appends the token ids of `text`; a letter that the model lacks is one unknown token.
    pub(super) fn encode(&self, text: &[u8], out: &mut Vec<u32>) {
        self.encode_with(text, out);
    }

    /// As `encode`; returns the rank of the last merge made.
    pub(super) fn encode_with(&self, text: &[u8], out: &mut Vec<u32>) -> Option<u32> {
        let last = text.len().saturating_sub(1) as u32;
        let mut symbols: Vec<Symbol> = text
            .iter()
            .zip(0u32..)
            .map(|(&letter, i)| Symbol {
                id: self.letter(letter).unwrap_or(self.unknown),
                previous: i.wrapping_sub(1),
                next: if i == last { END } else { i + 1 },
                gone: false,
            })
            .collect();
        // Lowest rank first, leftmost first among equals.
        let mut queue = BinaryHeap::new();
        for (i, pair) in symbols.windows(2).enumerate() {
            if let Some(&(rank, merged)) = self.ranks.get(&(pair[0].id, pair[1].id)) {
                queue.push(Reverse((rank, i as u32, merged)));
            }
        }
        let mut last_rank = None;
        while let Some(Reverse((rank, left, merged))) = queue.pop() {
            let Symbol { id, previous, next: right, gone } = symbols[left as usize];
            if gone || right == END {
                continue;
            }
            // Either neighbour may have changed since the entry was made.
            if self.ranks.get(&(id, symbols[right as usize].id)) != Some(&(rank, merged)) {
                continue;
            }
            let next = symbols[right as usize].next;
            symbols[right as usize].gone = true;
            symbols[left as usize].id = merged;
            symbols[left as usize].next = next;
            last_rank = Some(rank);
            if next != END {
                symbols[next as usize].previous = left;
                self.offer(&symbols, left, next, &mut queue);
            }
            if previous != END {
                self.offer(&symbols, previous, left, &mut queue);
            }
        }
        out.extend(symbols.iter().filter(|symbol| !symbol.gone).map(|symbol| symbol.id));
        last_rank
    }

    fn offer(&self, symbols: &[Symbol], left: u32, right: u32, queue: &mut BinaryHeap<Reverse<(u32, u32, u32)>>) {
        let pair = (symbols[left as usize].id, symbols[right as usize].id);
        if let Some(&(rank, merged)) = self.ranks.get(&pair) {
            queue.push(Reverse((rank, left, merged)));
        }
    }
}
