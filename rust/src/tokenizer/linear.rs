//! Byte-pair encoding of the four bases in linear time.
//!
//! Greedy with backtracking: take the longest token that fits, and step back where it cannot stand beside the token
//! before it. Two neighbours can stand side by side when encoding the two together gives the same two; a sequence of
//! tokens in which all neighbours can is the encoding (the idea is that of the Rust crate `bpe`). This holds for lists
//! of merges in which every token, encoded alone, comes out as itself by its own merge; others are refused here and left
//! to the heap.

use super::bpe::Merges;

/// Tables of the linear encoder; tokens are the model's ids, below 65,536.
pub(super) struct Linear {
    /// Children of the trie's nodes by base; 0 where there is none (the root is nobody's child).
    children: Vec<[u16; 4]>,
    /// The token that ends at a node.
    ends: Vec<u16>,
    /// What the first eight bases say: `(node, longest token so far)`; node 0 where no longer token begins so.
    jump: Vec<(u16, u16)>,
    /// Length of each token in bases.
    length: Vec<u8>,
    /// The longest token that is a proper prefix of a token.
    shorter: Vec<u16>,
    /// Bit (left, right): the two cannot stand side by side.
    forbidden: Vec<u64>,
    words: usize,
}

/// The encoding of bases that overlap those to be encoded.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) tokens: &'a [u16],
    /// How many of its bases lie before the first one to be encoded.
    pub(super) before: usize,
}

/// Tokens that end within so many bases of the end of a known encoding are not taken over: more bases may change them.
/// Two of the longest tokens; a change further back is found, and costs one encoding without sharing.
const HELD_BACK: usize = 64;

const NONE: u16 = u16::MAX;
const JUMP: usize = 8;
/// Rows of 8,192 tokens make a table of 8 MiB; larger models are left to the heap.
const MOST_TOKENS: usize = 8192;

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
            jump: Vec::new(),
            length: vec![0; count],
            shorter: vec![NONE; count],
            forbidden: Vec::new(),
            words: count.div_ceil(64),
        };
        for &id in &ids {
            linear.insert(id as u16, tokens[id as usize].as_bytes())?;
        }
        for &id in &ids {
            linear.shorter[id as usize] = linear.longest_proper_prefix(tokens[id as usize].as_bytes());
        }
        linear.fill_jump();
        linear.forbid(merges, &ids);
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
        self.length[id as usize] = u8::try_from(token.len()).ok()?;
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
        self.jump = (0..1usize << (2 * JUMP))
            .map(|kmer| {
                let (mut node, mut best) = (0, NONE);
                for i in 0..JUMP {
                    node = self.children[node][kmer >> (2 * i) & 3] as usize;
                    if node == 0 {
                        break;
                    }
                    if self.ends[node] != NONE {
                        best = self.ends[node];
                    }
                }
                (node as u16, best)
            })
            .collect();
    }

    /// A merge (a, b) happens across a boundary when a ends the left token and b begins the right one at the time of
    /// the merge: each either is the whole token or is itself merged further inside it, but only later. Of equal
    /// merges the one further left comes first: inside the left token, across the boundary, inside the right token.
    fn forbid(&mut self, merges: &Merges, ids: &[u32]) {
        let count = self.length.len();
        let mut parts = vec![None; count];
        for (&(left, right, merged), rank) in merges.list().iter().zip(0u32..) {
            parts[merged as usize] = Some((left as usize, right as usize, rank));
        }
        // For each symbol the tokens that end (begin) with it, and the rank at which it is merged further.
        let mut ending = vec![Vec::new(); count];
        let mut beginning = vec![Vec::new(); count];
        for token in ids.iter().map(|&id| id as usize) {
            let (mut symbol, mut until) = (token, u32::MAX);
            loop {
                ending[symbol].push((token, until));
                let Some((_, right, rank)) = parts[symbol] else { break };
                (symbol, until) = (right, rank);
            }
            let (mut symbol, mut until) = (token, u32::MAX);
            loop {
                beginning[symbol].push((token, until));
                let Some((left, _, rank)) = parts[symbol] else { break };
                (symbol, until) = (left, rank);
            }
        }
        self.forbidden = vec![0; count * self.words];
        let mut row = vec![0u64; self.words];
        for (&(left, right, _), rank) in merges.list().iter().zip(0u32..) {
            row.fill(0);
            for &(token, until) in &beginning[right as usize] {
                if rank <= until {
                    row[token / 64] |= 1 << (token % 64);
                }
            }
            for &(token, until) in &ending[left as usize] {
                if rank < until {
                    let target = &mut self.forbidden[token * self.words..][..self.words];
                    target.iter_mut().zip(&row).for_each(|(word, more)| *word |= more);
                }
            }
        }
    }

    #[inline]
    pub(super) fn may_follow(&self, left: u16, right: u16) -> bool {
        let right = right as usize;
        self.forbidden[left as usize * self.words + right / 64] >> (right % 64) & 1 == 0
    }

    #[inline]
    fn longest(&self, codes: &[u8]) -> u16 {
        let Some(first) = codes.first_chunk::<JUMP>() else {
            return self.walk(0, NONE, codes);
        };
        // Eight codes of two bits each, gathered from eight bytes.
        let mut kmer = u64::from_le_bytes(*first);
        kmer = (kmer | kmer >> 6) & 0x000f_000f_000f_000f;
        kmer = (kmer | kmer >> 12) & 0x0000_00ff_0000_00ff;
        kmer = (kmer | kmer >> 24) & 0xffff;
        let (node, best) = self.jump[kmer as usize];
        if node == 0 { best } else { self.walk(node as usize, best, &codes[JUMP..]) }
    }

    fn walk(&self, mut node: usize, mut best: u16, codes: &[u8]) -> u16 {
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

    /// Token ids of bases coded 0..3, into `out`. `dead` is scratch: a bit a position, set where no encoding of
    /// the bases up to there can be continued.
    ///
    /// The encoding is the only sequence of tokens in which all neighbours may stand side by side. So where `known`
    /// has a token boundary that this one has too, and the token before may be followed by the known one after, the known
    /// tokens are this encoding's as well: all neighbours may stand side by side again.
    pub(super) fn encode(&self, codes: &[u8], known: Option<Known<'_>>, dead: &mut Vec<u64>, out: &mut Vec<u16>) {
        if !self.encode_sharing(codes, known, dead, out) {
            self.encode_sharing(codes, None, dead, out);
        }
    }

    /// `false` where tokens taken over from `known` would have to be given up.
    fn encode_sharing(&self, codes: &[u8], known: Option<Known<'_>>, dead: &mut Vec<u64>, out: &mut Vec<u16>) -> bool {
        out.clear();
        if codes.is_empty() {
            return true;
        }
        dead.clear();
        dead.resize(codes.len() / 64 + 1, 0);
        let mut boundaries = known.map(|known| Boundaries { linear: self, known, next: 0, at: 0 });
        let mut position = 0;
        // Tokens of `out` that were taken over.
        let mut shared = 0;
        let mut arrived = true;
        loop {
            if arrived {
                if let Some(found) = boundaries.as_mut().and_then(|known| known.tokens_from(position, codes.len())) {
                    if out.last().is_none_or(|&last| self.may_follow(last, found[0])) {
                        out.extend_from_slice(found);
                        position += found.iter().map(|&id| self.length[id as usize] as usize).sum::<usize>();
                        shared = out.len();
                        boundaries = None;
                    }
                }
            }
            let mut candidate = self.longest(&codes[position..]);
            arrived = loop {
                let last = out.last().copied();
                let end = position + self.length[candidate as usize] as usize;
                let stands =
                    dead[end / 64] >> (end % 64) & 1 == 0 && last.is_none_or(|last| self.may_follow(last, candidate));
                if stands {
                    out.push(candidate);
                    position = end;
                    if position == codes.len() {
                        return true;
                    }
                    break true;
                }
                let shorter = self.shorter[candidate as usize];
                if shorter != NONE {
                    candidate = shorter;
                    continue;
                }
                // Nothing can follow here: give up the token before, and with it this position.
                dead[position / 64] |= 1 << (position % 64);
                if out.len() <= shared && shared > 0 {
                    return false;
                }
                let given_up = out.pop().expect("a single base can always stand at the beginning");
                position -= self.length[given_up as usize] as usize;
                candidate = given_up;
            };
        }
    }
}

/// Walks along a known encoding.
struct Boundaries<'a> {
    linear: &'a Linear,
    known: Known<'a>,
    next: usize,
    /// Where the next token begins, from the known encoding's first base.
    at: usize,
}

impl<'a> Boundaries<'a> {
    /// The known tokens from a position that is one of their boundaries to shortly before the end of what both
    /// encodings cover; `None` where it is no boundary or nothing is left.
    fn tokens_from(&mut self, position: usize, end: usize) -> Option<&'a [u16]> {
        let tokens = self.known.tokens;
        let length = |id: u16| self.linear.length[id as usize] as usize;
        let wanted = self.known.before + position;
        while self.at < wanted {
            self.at += length(*tokens.get(self.next)?);
            self.next += 1;
        }
        if self.at > wanted {
            return None;
        }
        let rest = &tokens[self.next..];
        let bases: usize = rest.iter().map(|&id| length(id)).sum();
        let most = bases.min(end - position).checked_sub(HELD_BACK)?;
        let mut covered = 0;
        let count = rest.iter().take_while(|&&id| {
            covered += length(id);
            covered <= most
        });
        let count = count.count();
        (count > 0).then_some(&rest[..count])
    }
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
