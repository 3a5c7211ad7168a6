//! What the spliced program looks for on each strand, written in letters of the forward strand read left to right: on
//! the reverse strand a gene opens with (the reverse complement of) its stop codon and closes with its start codon.

use super::parameters::GeneParameters;
use super::priors::ranked_starts;
use crate::dna::GeneticCode;

/// Index of a codon with anything but A, C, G, T.
pub const NO_CODON: usize = 64;
/// Index of a pair of bases with anything but A, C, G, T.
pub const NO_PAIR: usize = 16;

pub const IMPOSSIBLE: f64 = f64::NEG_INFINITY;

/// Index of three base codes (0..4), `NO_CODON` where one of them is 4.
pub fn codon(codes: &[u8]) -> usize {
    let (a, b, c) = (codes[0], codes[1], codes[2]);
    if (a | b | c) > 3 { NO_CODON } else { (a as usize) << 4 | (b as usize) << 2 | c as usize }
}

/// Index of two base codes, `NO_PAIR` where one of them is 4.
pub fn pair(codes: &[u8]) -> usize {
    let (a, b) = (codes[0], codes[1]);
    if (a | b) > 3 { NO_PAIR } else { (a as usize) << 2 | b as usize }
}

/// The reverse complement of a codon index.
fn reversed(codon: usize) -> usize {
    let (a, b, c) = (codon >> 4, codon >> 2 & 3, codon & 3);
    (3 - c) << 4 | (3 - b) << 2 | (3 - a)
}

/// What is known of a codon that an intron splits: how many of its bases lie left of the intron, and what the bases to
/// its right must not be, or may be. Prefixes of the same behaviour share one memory, which keeps the states few.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Bases of the codon left of the intron: 0, 1 or 2.
    pub left: usize,
    /// Completions (by the index of the `3 - left` bases) that leave the codon an ordinary one.
    pub goes_on: u16,
    /// Completions that make the codon the last one of the gene.
    pub closes: u16,
    /// Nothing of the gene is whole yet: the codon is its first, or the sequence began inside the intron. Such a gene
    /// cannot be cut off by the sequence's end as well.
    pub bare: bool,
}

impl Memory {
    /// Whether the codon goes on as an ordinary one with the base codes right of the intron. A codon with an unknown base
    /// is one, but no opening codon.
    pub fn goes_on(&self, codes: &[u8]) -> bool {
        match self.completion(codes) {
            Some(completion) => self.goes_on >> completion & 1 == 1,
            None => !self.bare || self.goes_on == u16::MAX,
        }
    }

    /// Whether the codon is the gene's last with the base codes right of the intron.
    pub fn closes(&self, codes: &[u8]) -> bool {
        self.left > 0 && self.completion(codes).is_some_and(|completion| self.closes >> completion & 1 == 1)
    }

    /// Index of the bases that complete the codon; `None` where one is unknown.
    fn completion(&self, codes: &[u8]) -> Option<usize> {
        match self.left {
            0 => Some(0),
            1 => Some(pair(codes)).filter(|&index| index != NO_PAIR),
            _ => Some(codes[0] as usize).filter(|&index| index < 4),
        }
    }
}

/// Tables of one strand.
#[derive(Debug, Clone)]
pub struct StrandTables {
    /// Score of the codon right of a boundary as the first one, left to right; `IMPOSSIBLE` where it cannot be.
    pub opens: [f64; 65],
    /// Score of the codon left of a boundary as the last one.
    pub closes: [f64; 65],
    /// Codons that cannot stand inside a gene.
    pub forbidden: [bool; 65],
    /// Codons that count in the rank of a start.
    pub ranked: [bool; 65],
    /// Score of the two bases right of a boundary as an intron's first ones, left to right.
    pub intron_left: [f64; 17],
    /// Score of the two bases left of a boundary as an intron's last ones.
    pub intron_right: [f64; 17],
    pub memories: Vec<Memory>,
    /// Memory of an ordinary codon by its bases left of the intron (by index); the last entry is for unknown bases.
    pub memory_0: usize,
    pub memory_1: [usize; 5],
    pub memory_2: [usize; 17],
    /// Memory of an opening codon that an intron splits, where its bases left of the intron can open a gene.
    pub opening_1: [Option<usize>; 5],
    pub opening_2: [Option<usize>; 17],
    /// Memories of an intron in which the sequence begins, by the bases of the codon left of it.
    pub begun: [usize; 3],
}

impl StrandTables {
    /// The tables of the forward (`reverse` false) or reverse strand.
    pub fn new(parameters: &GeneParameters, code: &GeneticCode, reverse: bool) -> StrandTables {
        let weights = &parameters.weights;
        let starts = parameters.start_table(code);
        let ranked_codons = ranked_starts(code);
        let (mut opens, mut closes) = ([IMPOSSIBLE; 65], [IMPOSSIBLE; 65]);
        let (mut forbidden, mut ranked) = ([false; 65], [false; 65]);
        for index in 0..64 {
            let own = if reverse { reversed(index) } else { index };
            let stop = code.is_stop_index(own as u8);
            forbidden[index] = stop;
            ranked[index] = ranked_codons[own];
            let start = starts[own].unwrap_or(IMPOSSIBLE);
            let stop = if stop { 0.0 } else { IMPOSSIBLE };
            (opens[index], closes[index]) = if reverse { (stop, start) } else { (start, stop) };
        }
        let at = |letters: &[u8; 2]| {
            let code = |b| crate::dna::base_code(b) as usize;
            code(letters[0]) << 2 | code(letters[1])
        };
        let (mut intron_left, mut intron_right) = ([IMPOSSIBLE; 17], [IMPOSSIBLE; 17]);
        if reverse {
            intron_left[at(b"CT")] = 0.0;
            intron_right[at(b"AC")] = 0.0;
            intron_right[at(b"GC")] = weights.gc_donor;
        } else {
            intron_left[at(b"GT")] = 0.0;
            intron_left[at(b"GC")] = weights.gc_donor;
            intron_right[at(b"AG")] = 0.0;
        }
        let mut tables = StrandTables {
            opens,
            closes,
            forbidden,
            ranked,
            intron_left,
            intron_right,
            memories: Vec::new(),
            memory_0: 0,
            memory_1: [0; 5],
            memory_2: [0; 17],
            opening_1: [None; 5],
            opening_2: [None; 17],
            begun: [0; 3],
        };
        tables.fill_memories();
        tables
    }

    fn fill_memories(&mut self) {
        self.memory_0 = self.memory(Memory { left: 0, goes_on: u16::MAX, closes: 0, bare: false });
        for left in 0..3 {
            self.begun[left] = self.memory(Memory { left, goes_on: u16::MAX, closes: 0, bare: true });
        }
        for left in [1, 2] {
            let completions = if left == 1 { 16 } else { 4 };
            let unknown = self.memory(Memory { left, goes_on: u16::MAX, closes: 0, bare: false });
            for prefix in 0..64 / completions {
                let collect = |test: &dyn Fn(usize) -> bool| {
                    (0..completions).filter(|&c| test(prefix * completions + c)).fold(0u16, |set, c| set | 1 << c)
                };
                let mut goes_on = collect(&|codon| !self.forbidden[codon]);
                if goes_on.count_ones() as usize == completions {
                    goes_on = u16::MAX;
                }
                let closes = collect(&|codon| self.closes[codon] > IMPOSSIBLE);
                let opens = collect(&|codon| self.opens[codon] > IMPOSSIBLE);
                let plain = self.memory(Memory { left, goes_on, closes, bare: false });
                // Where every completion opens the set would read as "any"; an opening codon must be known.
                let opening = (opens != 0 && opens != u16::MAX)
                    .then(|| self.memory(Memory { left, goes_on: opens, closes: 0, bare: true }));
                if left == 1 {
                    self.memory_1[prefix] = plain;
                    self.opening_1[prefix] = opening;
                } else {
                    self.memory_2[prefix] = plain;
                    self.opening_2[prefix] = opening;
                }
            }
            if left == 1 {
                self.memory_1[4] = unknown;
            } else {
                self.memory_2[NO_PAIR] = unknown;
            }
        }
    }

    fn memory(&mut self, memory: Memory) -> usize {
        self.memories.iter().position(|m| *m == memory).unwrap_or_else(|| {
            self.memories.push(memory);
            self.memories.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_code_needs_few_memories() {
        let parameters = GeneParameters::default_for("unicellular").unwrap();
        let code = GeneticCode::by_number(1).unwrap();
        let forward = StrandTables::new(&parameters, code, false);
        let reverse = StrandTables::new(&parameters, code, true);
        // Three of introns at the sequence's start, then forward: none; T and other; TA, TG and other; A and AT as the beginning of a start codon.
        assert_eq!(forward.memories.len(), 8 + 3);
        // Reverse, by bases of the codon's end: none; TT, CT, AT and other; TTA, CTA, TCA in one, CAT's, other; opening
        // ones: T, C; and TT, CT, TC in one.
        assert!(reverse.memories.len() <= 12 + 3, "{:?}", reverse.memories);
        for code in GeneticCode::all() {
            for reverse in [false, true] {
                assert!(StrandTables::new(&parameters, code, reverse).memories.len() < 40);
            }
        }
    }
}
