//! Encodes bases with the tables of [`Linear`], several stretches at once.
//!
//! A token's encoding waits for the one before it, and a processor can do much else meanwhile. So a long run of bases is cut
//! into stretches, their encodings advance in turns, a step each, and are then joined. They may be joined because the
//! encoding of a run is the only sequence of tokens in which all neighbours may stand side by side: where two encodings
//! have a boundary in common, and the token before it in one may be followed by the token after it in the other, what
//! results is the encoding of both together. In the same way tokens are taken over from a window that overlaps.

use super::linear::{Linear, NONE};

/// Stretches that are encoded in turns.
const LANES: usize = 4;
/// Shorter stretches are not worth being joined.
const SHORTEST: usize = 256;
/// A stretch is encoded so far into the next one before a common boundary is looked for.
const OVERLAP: usize = 48;
/// Tokens that end within so many bases of the end of a known encoding are not taken over: more bases may change them.
/// A change further back is found, and costs one encoding without sharing.
const HELD_BACK: usize = 64;

/// The encoding of bases that overlap those to be encoded.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) tokens: &'a [u16],
    /// How many of its bases lie before the first one to be encoded.
    pub(super) before: usize,
}

/// Buffers that are used again.
#[derive(Default)]
pub(super) struct Buffers {
    lanes: [Vec<u16>; LANES],
}

/// Greedy encoding with backtracking of `codes`, as far as it has come.
struct Lane<'a> {
    codes: &'a [u8],
    position: usize,
    /// The token to be tried next; `NONE` where none is left, or at the end.
    candidate: u16,
    /// Row of the token before.
    row: u32,
    first_row: u32,
    tokens: &'a mut [u16],
    count: usize,
}

impl<'a> Lane<'a> {
    /// A lane that may come as far as `span`; what stands behind it is looked at. `row` is that of the token before.
    fn new(linear: &Linear, codes: &'a [u8], span: usize, row: u32, tokens: &'a mut Vec<u16>) -> Self {
        let most = span + linear.longest + 1;
        if tokens.len() < most {
            tokens.resize(most, 0);
        }
        Lane { codes, position: 0, candidate: linear.longest(codes), row, first_row: row, tokens, count: 0 }
    }

    /// Tries the candidate: it stands, or the next shorter one is to be tried. Choices are made by arithmetic, since no
    /// processor can foresee them.
    #[inline(always)]
    fn step(&mut self, linear: &Linear) {
        let facts = linear.facts(self.candidate);
        let end = self.position + usize::from(facts.length);
        let longest = linear.longest(&self.codes[end..]);
        let forbidden = linear.forbidden[self.row as usize + usize::from(facts.column / 64)] >> (facts.column % 64);
        let continues = linear.continues[usize::from(facts.ahead % 64)] >> (linear.facts(longest).begins % 64);
        // All ones where it stands.
        let stands = ((forbidden | !continues) & 1).wrapping_sub(1);
        self.tokens[self.count] = self.candidate;
        self.count += (stands & 1) as usize;
        self.position = select(stands, end as u64, self.position as u64) as usize;
        self.row = select(stands, u64::from(facts.row), u64::from(self.row)) as u32;
        self.candidate = select(stands, u64::from(longest), u64::from(facts.shorter)) as u16;
    }

    /// No candidate is left: gives up tokens until a shorter one can be tried in place of the last. `false` where
    /// there is none. (What was given up need not be remembered: with all neighbours in order there is one sequence of
    /// tokens for the bases up to each position, so that no other way leads there again.)
    #[cold]
    #[inline(never)]
    fn step_back(&mut self, linear: &Linear) -> bool {
        while self.candidate == NONE && self.position < self.codes.len() {
            if self.count == 0 {
                return false;
            }
            self.count -= 1;
            let facts = linear.facts(self.tokens[self.count]);
            self.position -= usize::from(facts.length);
            self.candidate = facts.shorter;
        }
        self.row = match self.count {
            0 => self.first_row,
            count => linear.facts(self.tokens[count - 1]).row,
        };
        true
    }

    /// Goes on until the position is `stop` or later; `false` where that needs another token before the first.
    #[inline]
    fn run(&mut self, linear: &Linear, stop: usize) -> bool {
        while self.position < stop {
            self.step(linear);
            if self.candidate == NONE && !self.step_back(linear) {
                return false;
            }
        }
        true
    }

    fn encoded(&self) -> &[u16] {
        &self.tokens[..self.count]
    }
}

#[inline(always)]
fn select(all_ones: u64, yes: u64, no: u64) -> u64 {
    no ^ ((yes ^ no) & all_ones)
}

/// Walks along an encoding.
struct Boundaries<'a> {
    linear: &'a Linear,
    tokens: &'a [u16],
    next: usize,
    /// Where the next token begins.
    at: usize,
}

impl Boundaries<'_> {
    /// Goes to the first boundary at `position` or behind it; `None` behind the last token.
    fn go_to(&mut self, position: usize) -> Option<usize> {
        while self.at < position {
            self.at += self.linear.length(*self.tokens.get(self.next)?);
            self.next += 1;
        }
        Some(self.at)
    }
}

impl Linear {
    /// Token ids of bases coded 0..3, into `out`.
    pub(super) fn encode(&self, codes: &[u8], known: Option<Known<'_>>, buffers: &mut Buffers, out: &mut Vec<u16>) {
        out.clear();
        let shared = known.and_then(|known| self.take_over(codes, known, buffers, out)).unwrap_or(0);
        if !self.encode_rest(codes, shared, buffers, out) {
            out.clear();
            let whole = self.encode_rest(codes, 0, buffers, out);
            assert!(whole, "at the beginning a single base can always stand");
        }
    }

    /// Encodes up to a boundary that `known` has too, and takes its tokens from there on. Returns the bases that are
    /// encoded then; none where there is no such boundary.
    fn take_over(&self, codes: &[u8], known: Known<'_>, buffers: &mut Buffers, out: &mut Vec<u16>) -> Option<usize> {
        let length: usize = known.tokens.iter().map(|&id| self.length(id)).sum();
        let most = length.checked_sub(known.before)?.min(codes.len()).checked_sub(HELD_BACK)?;
        let mut lane = Lane::new(self, codes, most, 0, &mut buffers.lanes[0]);
        let mut boundaries = Boundaries { linear: self, tokens: known.tokens, next: 0, at: 0 };
        loop {
            let position = lane.position;
            if position >= most {
                return None;
            }
            if boundaries.go_to(known.before + position)? == known.before + position {
                let next = known.tokens[boundaries.next];
                if self.may_stand(lane.row, next) {
                    break;
                }
            }
            lane.run(self, position + 1).then_some(())?;
        }
        out.extend_from_slice(lane.encoded());
        let mut position = lane.position;
        for &id in &known.tokens[boundaries.next..] {
            let end = position + self.length(id);
            if end > most {
                break;
            }
            out.push(id);
            position = end;
        }
        Some(position)
    }

    /// Appends the tokens of the bases from `start` on; `out` has those before. `false` where one of these would have to be
    /// given up.
    fn encode_rest(&self, codes: &[u8], start: usize, buffers: &mut Buffers, out: &mut Vec<u16>) -> bool {
        let first_row = out.last().map_or(0, |&last| self.facts[last as usize].row);
        let codes = &codes[start..];
        if codes.is_empty() {
            return true;
        }
        if codes.len() >= SHORTEST * LANES && self.encode_together(codes, first_row, buffers, out) {
            return true;
        }
        let mut lane = Lane::new(self, codes, codes.len(), first_row, &mut buffers.lanes[0]);
        let whole = lane.run(self, codes.len());
        out.extend_from_slice(lane.encoded());
        whole
    }

    /// Appends the tokens of a long run. `false`, and nothing appended, where its stretches have no boundary in common.
    fn encode_together(&self, codes: &[u8], first_row: u32, buffers: &mut Buffers, out: &mut Vec<u16>) -> bool {
        let stretch = codes.len() / LANES;
        let mut number = 0;
        let mut lanes: [Lane<'_>; LANES] = buffers.lanes.each_mut().map(|tokens| {
            let codes = &codes[number * stretch..];
            // To the end of the next lane, where the search for a boundary ends.
            let span = codes.len().min(2 * stretch + OVERLAP + self.longest);
            let row = if number == 0 { first_row } else { 0 };
            number += 1;
            Lane::new(self, codes, span, row, tokens)
        });
        let stops: [usize; LANES] = std::array::from_fn(|number| match number + 1 {
            LANES => lanes[number].codes.len(),
            _ => lanes[number].codes.len().min(stretch + OVERLAP),
        });
        let mut ended = false;
        while !ended {
            ended = true;
            for (lane, &stop) in lanes.iter_mut().zip(&stops) {
                if lane.position < stop {
                    ended = false;
                    lane.step(self);
                    if lane.candidate == NONE && !lane.step_back(self) {
                        return false;
                    }
                }
            }
        }
        // From where and up to where the tokens of each lane count.
        let mut ranges = [(0, 0); LANES];
        for number in 0..LANES - 1 {
            let [lane, next] = &mut lanes[number..number + 2] else { return false };
            let Some((end, begin)) = self.join(lane, next, stretch) else { return false };
            // A boundary behind the next lane's own end would leave nothing of it.
            ranges[number].1 = end;
            ranges[number + 1].0 = begin;
        }
        ranges[LANES - 1].1 = lanes[LANES - 1].count;
        if ranges.iter().any(|&(from, to)| from > to) {
            return false;
        }
        for (lane, (from, to)) in lanes.iter().zip(ranges) {
            out.extend_from_slice(&lane.tokens[from..to]);
        }
        true
    }

    /// Where a lane can go over to the next one, which begins `stretch` bases further: tokens of the one before that
    /// boundary and of the other before it.
    fn join(&self, lane: &mut Lane<'_>, next: &Lane<'_>, stretch: usize) -> Option<(usize, usize)> {
        // Back to the first boundary behind the beginning of the next lane.
        let (mut count, mut position) = (lane.count, lane.position);
        while count > 1 {
            let before = position - self.length(lane.tokens[count - 1]);
            if before < stretch {
                break;
            }
            (count, position) = (count - 1, before);
        }
        let mut boundaries = Boundaries { linear: self, tokens: next.encoded(), next: 0, at: stretch };
        loop {
            if boundaries.go_to(position)? == position {
                let following = *boundaries.tokens.get(boundaries.next)?;
                if self.may_follow(lane.tokens[count - 1], following) {
                    return Some((count, boundaries.next));
                }
            }
            if count == lane.count {
                // None in what both have: a token further, unless steps back change what was seen.
                let goes_on = lane.run(self, position + 1) && lane.count == count + 1;
                if !goes_on || lane.position != position + self.length(lane.tokens[count]) {
                    return None;
                }
            }
            position += self.length(lane.tokens[count]);
            count += 1;
        }
    }
}
