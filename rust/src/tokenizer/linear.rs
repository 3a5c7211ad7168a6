//! Tables for byte-pair encoding of the four bases in linear time; [`super::lanes`] encodes with them.
//!
//! Greedy with backtracking: take the longest token that fits, and step back where it cannot stand beside the token
//! before it. Two neighbours can stand side by side when encoding the two together gives the same two; a sequence of
//! tokens in which all neighbours can is the encoding (the idea is that of the Rust crate `bpe`). This holds for lists
//! of merges in which every token, encoded alone, comes out as itself by its own merge; others are refused here and left
//! to the heap.

use rustc_hash::FxHashMap;

use super::bpe::Merges;

/// Tables of the linear encoder; tokens are the model's ids, below 65,536.
pub(super) struct Linear {
    /// Children of the trie's nodes by base; 0 where there is none (the root is nobody's child).
    children: Vec<[u16; 4]>,
    /// The token that ends at a node.
    ends: Vec<u16>,
    /// The longest token that the first eight bases begin with, and `LONGER` where longer ones begin with all eight.
    jump: Box<[u16; 1 << (2 * JUMP)]>,
    /// What is known of each token, and of [`NONE`].
    pub(super) facts: Box<[Facts; FACTS]>,
    /// Bits of the tokens that may not follow, in rows; see [`Facts`].
    pub(super) forbidden: Vec<u64>,
    /// For a token's `ahead` a bit for each `begins` of the longest token that begins the bases behind it: whether
    /// any that begins there may follow.
    pub(super) continues: [u64; 64],
    /// The longest token's bases.
    pub(super) longest: usize,
}

/// What is known of a token.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    /// Where its row of forbidden neighbours to the right begins.
    pub(super) row: u32,
    /// Its bit in the rows of others.
    pub(super) column: u16,
    /// The longest token that is a proper prefix of it.
    pub(super) shorter: u16,
    /// In bases.
    pub(super) length: u8,
    /// Its word of `continues`.
    pub(super) ahead: u8,
    /// Its bit there.
    pub(super) begins: u8,
}

const FACTS: usize = 8192;
/// No token; it has facts, so that no question need be asked before they are looked up.
pub(super) const NONE: u16 = FACTS as u16 - 1;
/// The `begins` of [`NONE`]: every token can be the last.
const AT_END: u8 = 63;
const JUMP: usize = 8;
const LONGER: u16 = FACTS as u16;
/// Larger models are left to the heap.
const MOST_TOKENS: usize = NONE as usize;

impl Linear {
    /// `None` where the model has other letters than A, C, G, T, is too large, or its merges do not allow it.
    pub(super) fn new(merges: &Merges, tokens: &[String]) -> Option<Self> {
        let letters: Vec<(u8, u32)> = merges.letters().collect();
        if letters.iter().map(|&(letter, _)| letter).ne(*b"ACGT") || !each_token_is_its_own_merge(merges, tokens) {
            return None;
        }
        let ids: Vec<u32> = letters.iter().map(|&(_, id)| id).chain(merges.list().iter().map(|m| m.2)).collect();
        let count = *ids.iter().max()? as usize + 1;
        if count > MOST_TOKENS {
            return None;
        }
        let mut linear = Linear {
            children: vec![[0; 4]],
            ends: vec![NONE],
            jump: boxed(NONE),
            facts: boxed(Facts { row: 0, column: 0, shorter: NONE, length: 0, ahead: 0, begins: AT_END }),
            forbidden: Vec::new(),
            continues: [u64::MAX; 64],
            longest: 0,
        };
        for &id in &ids {
            linear.insert(id as u16, tokens[id as usize].as_bytes())?;
        }
        for &id in &ids {
            linear.facts[id as usize].shorter = linear.longest_proper_prefix(tokens[id as usize].as_bytes());
        }
        linear.fill_jump();
        linear.forbid(merges, &ids, count);
        Some(linear)
    }

    fn insert(&mut self, id: u16, token: &[u8]) -> Option<()> {
        let mut node = 0;
        for &letter in token {
            let base = usize::from(super::code(letter));
            if self.children[node][base] == 0 {
                self.children[node][base] = u16::try_from(self.children.len()).ok()?;
                self.children.push([0; 4]);
                self.ends.push(NONE);
            }
            node = self.children[node][base] as usize;
        }
        self.ends[node] = id;
        self.facts[id as usize].length = u8::try_from(token.len()).ok()?;
        self.longest = self.longest.max(token.len());
        Some(())
    }

    fn longest_proper_prefix(&self, token: &[u8]) -> u16 {
        let (mut node, mut best) = (0, NONE);
        for &letter in &token[..token.len() - 1] {
            node = self.children[node][usize::from(super::code(letter))] as usize;
            if self.ends[node] != NONE {
                best = self.ends[node];
            }
        }
        best
    }

    fn fill_jump(&mut self) {
        // For all sequences of so many bases their node (the root where none goes on) and the longest token.
        let mut known = vec![(0, NONE)];
        for depth in 0..JUMP {
            let mut longer = Vec::with_capacity(4 * known.len());
            for base in 0..4 {
                longer.extend(known.iter().map(|&(node, best)| {
                    let child = if node == 0 && depth > 0 { 0 } else { self.children[node][base] as usize };
                    (child, if child != 0 && self.ends[child] != NONE { self.ends[child] } else { best })
                }));
            }
            known = longer;
        }
        for (jump, (node, best)) in self.jump.iter_mut().zip(known) {
            let longer = node != 0 && self.children[node].iter().any(|&child| child != 0);
            *jump = best | if longer { LONGER } else { 0 };
        }
    }

    /// A merge (a, b) happens across a boundary when a ends the left token and b begins the right one at the time of
    /// the merge: each either is the whole token or is itself merged further inside it, but only later. Of equal
    /// merges the one further left comes first: inside the left token, across the boundary, inside the right token.
    ///
    /// Tokens with the same forbidden neighbours share a row, or a column: DNABERT-2's 4,096 tokens have 1,097 rows and
    /// 1,153 columns, and the table fits into a cache.
    fn forbid(&mut self, merges: &Merges, ids: &[u32], count: usize) {
        let words = count.div_ceil(64);
        let mut parts = vec![None; count];
        for (&(left, right, merged), rank) in merges.list().iter().zip(0u32..) {
            parts[merged as usize] = Some((left as usize, right as usize, rank));
        }
        // For each symbol the tokens that begin with it, and the rank at which it is merged further.
        let mut beginning = vec![Vec::new(); count];
        for token in ids.iter().map(|&id| id as usize) {
            let (mut symbol, mut until) = (token, u32::MAX);
            loop {
                beginning[symbol].push((token, until));
                let Some((left, _, rank)) = parts[symbol] else { break };
                (symbol, until) = (left, rank);
            }
        }
        // For each symbol the merges with it on the left, by rank, and what they and those before forbid on the right.
        let mut merged_with: Vec<Vec<(u32, Vec<u64>)>> = vec![Vec::new(); count];
        for (&(left, right, _), rank) in merges.list().iter().zip(0u32..) {
            let earlier = &mut merged_with[left as usize];
            let mut row = earlier.last().map_or_else(|| vec![0; words], |(_, row)| row.clone());
            for &(token, _) in beginning[right as usize].iter().filter(|&&(_, until)| rank <= until) {
                row[token / 64] |= 1 << (token % 64);
            }
            earlier.push((rank, row));
        }
        // The first row is that of the beginning, where everything may stand.
        let mut rows: FxHashMap<Vec<u64>, usize> = FxHashMap::from_iter([(vec![0; words], 0)]);
        let mut row_of = vec![0; count];
        let mut row = vec![0; words];
        for token in ids.iter().map(|&id| id as usize) {
            row.fill(0);
            let (mut symbol, mut until) = (token, u32::MAX);
            loop {
                let before = merged_with[symbol].partition_point(|&(rank, _)| rank < until);
                if let Some((_, forbidden)) = before.checked_sub(1).map(|last| &merged_with[symbol][last]) {
                    row.iter_mut().zip(forbidden).for_each(|(word, more)| *word |= more);
                }
                let Some((_, right, rank)) = parts[symbol] else { break };
                (symbol, until) = (right, rank);
            }
            let next = rows.len();
            row_of[token] = match rows.get(&row) {
                Some(&known) => known,
                None => *rows.entry(row.clone()).or_insert(next),
            };
        }
        let height = rows.len().div_ceil(64);
        // For each token the rows in which it is forbidden.
        let mut in_order: Vec<&[u64]> = vec![&[]; rows.len()];
        rows.iter().for_each(|(row, &number)| in_order[number] = row);
        let mut without = vec![0u64; words * 64 * height];
        for (number, rows) in in_order.chunks(64).enumerate() {
            for word in 0..words {
                let mut block = [0; 64];
                block.iter_mut().zip(rows).for_each(|(line, row)| *line = row[word]);
                transpose(&mut block);
                (0..64).for_each(|bit| without[(word * 64 + bit) * height + number] = block[bit]);
            }
        }
        let without: Vec<&[u64]> = without.chunks(height).collect();
        let columns = numbered(ids.iter().map(|&id| without[id as usize]));
        let words = columns.len().div_ceil(64);
        self.forbidden = vec![0; rows.len() * words];
        for (column, &number) in &columns {
            for row in set_bits(column) {
                self.forbidden[row * words + number / 64] |= 1 << (number % 64);
            }
        }
        for &id in ids {
            let facts = &mut self.facts[id as usize];
            (facts.row, facts.column) = ((row_of[id as usize] * words) as u32, columns[without[id as usize]] as u16);
        }
        self.look_ahead(ids, &without, &row_of);
    }

    /// What a token need not be tried for: behind it begin only tokens that may not follow. Of DNABERT-2's tokens 52 kinds
    /// differ in what they continue with, and 42 in what begins with them; models with more than there are bits do without.
    fn look_ahead(&mut self, ids: &[u32], without: &[&[u64]], row_of: &[usize]) {
        // For each token, as the longest at a place, the rows after which none that begins there may follow.
        let ends: Vec<Vec<u64>> = ids
            .iter()
            .map(|&id| {
                let mut ends = without[id as usize].to_vec();
                let mut shorter = self.facts[id as usize].shorter;
                while shorter != NONE {
                    ends.iter_mut().zip(without[shorter as usize]).for_each(|(word, other)| *word &= other);
                    shorter = self.facts[shorter as usize].shorter;
                }
                ends
            })
            .collect();
        let kinds = numbered(ends.iter().map(Vec::as_slice));
        if kinds.len() > usize::from(AT_END) {
            return;
        }
        let mut after = vec![u64::MAX; self.forbidden.len()];
        for (ends, &kind) in &kinds {
            set_bits(ends).for_each(|row| after[row] &= !(1 << kind));
        }
        let words = numbered(ids.iter().map(|&id| &after[row_of[id as usize]]));
        if words.len() > self.continues.len() {
            return;
        }
        for (&id, ends) in ids.iter().zip(&ends) {
            let facts = &mut self.facts[id as usize];
            facts.begins = kinds[ends.as_slice()] as u8;
            facts.ahead = words[&after[row_of[id as usize]]] as u8;
        }
        for (&&word, &number) in &words {
            self.continues[number] = word;
        }
    }

    /// Whether a token may stand after one with this row; row 0 is that of the beginning.
    #[inline]
    pub(super) fn may_stand(&self, row: u32, right: u16) -> bool {
        let column = self.facts[right as usize].column;
        self.forbidden[row as usize + usize::from(column / 64)] >> (column % 64) & 1 == 0
    }

    #[inline]
    pub(super) fn may_follow(&self, left: u16, right: u16) -> bool {
        self.may_stand(self.facts[left as usize].row, right)
    }

    #[inline(always)]
    pub(super) fn facts(&self, token: u16) -> Facts {
        self.facts[usize::from(token) % FACTS]
    }

    #[inline]
    pub(super) fn length(&self, token: u16) -> usize {
        self.facts[token as usize].length as usize
    }

    /// The longest token that begins the bases, of which there are some.
    #[inline(always)]
    pub(super) fn longest(&self, codes: &[u8]) -> u16 {
        let Some(first) = codes.first_chunk::<JUMP>() else {
            return self.walk(codes);
        };
        // Eight codes of two bits each, gathered from eight bytes.
        let mut kmer = u64::from_le_bytes(*first);
        kmer = (kmer | kmer >> 6) & 0x000f_000f_000f_000f;
        kmer = (kmer | kmer >> 12) & 0x0000_00ff_0000_00ff;
        kmer = (kmer | kmer >> 24) & 0xffff;
        let best = self.jump[usize::from(kmer as u16)];
        if best < LONGER { best } else { self.walk(codes) }
    }

    #[cold]
    #[inline(never)]
    fn walk(&self, codes: &[u8]) -> u16 {
        let (mut node, mut best) = (0, NONE);
        for &code in codes {
            node = self.children[node][code as usize] as usize;
            if node == 0 {
                break;
            }
            if self.ends[node] != NONE {
                best = self.ends[node];
            }
        }
        best
    }
}

/// Numbers for what differs, in the order in which it comes.
fn numbered<'a, T: Eq + std::hash::Hash + ?Sized>(items: impl Iterator<Item = &'a T>) -> FxHashMap<&'a T, usize> {
    let mut numbers = FxHashMap::default();
    for item in items {
        let next = numbers.len();
        numbers.entry(item).or_insert(next);
    }
    numbers
}

/// Rows of bits become columns, and columns rows (the lowest bit is the first): blocks trade places across the diagonal,
/// at half the size each time (Warren, Hacker's Delight, section 7-3).
fn transpose(block: &mut [u64; 64]) {
    let (mut size, mut mask) = (32, 0x0000_0000_ffff_ffffu64);
    while size > 0 {
        let mut row = 0;
        while row < 64 {
            let traded = (block[row] >> size ^ block[row + size]) & mask;
            block[row] ^= traded << size;
            block[row + size] ^= traded;
            row = (row + size + 1) & !size;
        }
        size /= 2;
        mask ^= mask << size;
    }
}

fn set_bits(words: &[u64]) -> impl Iterator<Item = usize> {
    words.iter().enumerate().flat_map(|(number, &word)| {
        let rest = |bits: u64| (bits & bits.wrapping_sub(1) != 0).then_some(bits & bits.wrapping_sub(1));
        std::iter::successors((word != 0).then_some(word), move |&bits| rest(bits))
            .map(move |bits| number * 64 + bits.trailing_zeros() as usize)
    })
}

fn boxed<T: Copy, const N: usize>(value: T) -> Box<[T; N]> {
    vec![value; N].into_boxed_slice().try_into().unwrap_or_else(|_| unreachable!("it has this length"))
}

/// Whether every token, encoded alone, comes out as itself by its own merge, with both of its parts made earlier.
fn each_token_is_its_own_merge(merges: &Merges, tokens: &[String]) -> bool {
    let mut made: Vec<Option<u32>> = vec![None; tokens.len()];
    let mut alone = Vec::new();
    let letter = |id: u32| merges.letters().any(|(_, other)| other == id);
    for (&(left, right, merged), rank) in merges.list().iter().zip(0u32..) {
        let earlier = |id: u32| made[id as usize].is_some() || letter(id);
        if !earlier(left) || !earlier(right) || earlier(merged) {
            return false;
        }
        made[merged as usize] = Some(rank);
    }
    merges.list().iter().zip(0u32..).all(|(&(_, _, merged), rank)| {
        alone.clear();
        merges.encode_with(tokens[merged as usize].as_bytes(), &mut alone) == Some(rank) && alone == [merged]
    })
}
