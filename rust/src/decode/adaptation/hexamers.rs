//! Which codon follows which in a genome's genes, against the same pairs of codons anywhere in the genome.

use crate::decode::strand_tables::{NO_CODON, codon};
use crate::dna::GeneticCode;

/// Imagined pairs after each codon, spread as the codons are on the whole.
const PSEUDO: f64 = 20.0;

/// Counts of six bases in a row, by index (A C G T, the first base highest).
#[derive(Debug, Clone)]
pub struct HexamerCounts(Vec<f64>);

impl Default for HexamerCounts {
    fn default() -> Self {
        HexamerCounts(vec![0.0; 4096])
    }
}

/// Codon index at a place of an oriented sequence, where three known bases stand.
fn codon_at(oriented: &[u8], at: usize) -> Option<usize> {
    let index = codon(oriented.get(at..at + 3)?);
    (index != NO_CODON).then_some(index)
}

impl HexamerCounts {
    /// Adds the pairs of neighbouring codons of a stretch that begins at a codon.
    pub fn add_codons(&mut self, oriented: &[u8], weight: f64) {
        let mut before = None;
        for at in (0..oriented.len()).step_by(3) {
            let here = codon_at(oriented, at);
            if let (Some(first), Some(second)) = (before, here) {
                self.0[first << 6 | second] += weight;
            }
            before = here;
        }
    }

    /// Adds every six bases of a sequence, on both strands.
    pub fn add_everywhere(&mut self, codes: &[u8]) {
        for six in codes.windows(6) {
            if let (Some(first), Some(second)) = (codon_at(six, 0), codon_at(six, 3)) {
                let index = first << 6 | second;
                self.0[index] += 1.0;
                let reversed = (0..6).fold(0, |word, i| word << 2 | (3 - (index >> (2 * i) & 3)));
                self.0[reversed] += 1.0;
            }
        }
    }

    /// Log probability of the second codon after the first, by hexamer; 0 where the second is a stop codon.
    fn log_transitions(&self, code: &GeneticCode) -> Vec<f64> {
        let stop: Vec<bool> = (0..64).map(|i| code.is_stop_index(i)).collect();
        let mut marginal = [0.5; 64];
        for (index, count) in self.0.iter().enumerate() {
            marginal[index & 63] += count;
        }
        let total: f64 = (0..64).filter(|&i| !stop[i]).map(|i| marginal[i]).sum();
        let mut logs = vec![0.0; 4096];
        for first in 0..64 {
            let row = &self.0[first << 6..(first + 1) << 6];
            let sum: f64 = (0..64).filter(|&i| !stop[i]).map(|i| row[i]).sum::<f64>() + PSEUDO;
            for second in (0..64).filter(|&i| !stop[i]) {
                logs[first << 6 | second] = ((row[second] + PSEUDO * marginal[second] / total) / sum).ln();
            }
        }
        logs
    }
}

/// Log odds, nats, of a codon after another in a gene against the genome at large. Stop codons have none: an open reading
/// frame lacks them, be it a gene or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Hexamers(Vec<f64>);

impl Hexamers {
    pub fn learn(genes: &HexamerCounts, everywhere: &HexamerCounts, code: &GeneticCode) -> Hexamers {
        let (inside, outside) = (genes.log_transitions(code), everywhere.log_transitions(code));
        Hexamers(inside.iter().zip(outside).map(|(a, b)| a - b).collect())
    }

    /// Sums of log odds along the codons of each frame of an oriented sequence: the codon at `i` has what the codon at
    /// `i - 3` has, and its own log odds after that one.
    pub fn sums(&self, oriented: &[u8]) -> Vec<f64> {
        let mut sums = vec![0.0; oriented.len()];
        for at in 3..oriented.len() {
            let odds = match (codon_at(oriented, at - 3), codon_at(oriented, at)) {
                (Some(first), Some(second)) => self.0[first << 6 | second],
                _ => 0.0,
            };
            sums[at] = sums[at - 3] + odds;
        }
        sums
    }
}

/// The log odds of a gene whose codons begin at `begin` and that ends, with its stop codon, at `end`; positions past the
/// sequence's length continue at its start, where the codon over the origin counts nothing. `sums` is of one turn.
pub fn gene_sum(sums: &[f64], begin: usize, end: usize) -> f64 {
    let length = sums.len();
    let codons = (end - begin) / 3;
    if codons < 3 {
        return 0.0;
    }
    let last = begin + 3 * (codons - 2);
    let piece = |from: usize, to: usize| if to > from { sums[to] - sums[from] } else { 0.0 };
    if begin >= length {
        return piece(begin - length, last - length);
    }
    if last < length {
        return piece(begin, last);
    }
    let turn = begin + (length - begin).div_ceil(3) * 3;
    piece(begin, turn - 3) + piece(turn - length, last - length)
}
