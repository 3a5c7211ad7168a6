//! Bases, reverse complement, genetic codes and translation.

use std::sync::OnceLock;

use serde::Deserialize;

const GENETIC_CODES: &str = include_str!("../../python/genet5/resources/genetic_codes.toml");

/// The order of bases in NCBI's tables of codons.
const NCBI_BASES: [u8; 4] = *b"TCAG";

const COMPLEMENT: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = i as u8;
        i += 1;
    }
    // IUPAC ambiguity letters pair with the letter that stands for the complements of what they stand for.
    let pairs = *b"ATCGUARYSSWWKMBVDHNNXX";
    let mut i = 0;
    while i < pairs.len() {
        let (a, b) = (pairs[i], pairs[i + 1]);
        table[a as usize] = b;
        table[a.to_ascii_lowercase() as usize] = b.to_ascii_lowercase();
        if a != b'U' {
            table[b as usize] = a;
            table[b.to_ascii_lowercase() as usize] = a.to_ascii_lowercase();
        }
        i += 2;
    }
    table
};

/// A C G T (either case, U as T) are 0 1 2 3, anything else is 4.
const CODE: [u8; 256] = {
    let mut table = [4u8; 256];
    let letters = *b"ACGT";
    let mut i = 0;
    while i < 4 {
        table[letters[i] as usize] = i as u8;
        table[letters[i].to_ascii_lowercase() as usize] = i as u8;
        i += 1;
    }
    table[b'U' as usize] = 3;
    table[b'u' as usize] = 3;
    table
};

/// The complement of a base; keeps the case, knows IUPAC letters, returns anything else unchanged.
pub fn complement(base: u8) -> u8 {
    COMPLEMENT[base as usize]
}

pub fn reverse_complement(bases: &[u8]) -> Vec<u8> {
    bases.iter().rev().map(|&base| complement(base)).collect()
}

/// 0 1 2 3 for A C G T in either case (U counts as T), 4 for anything else.
pub fn base_code(base: u8) -> u8 {
    CODE[base as usize]
}

/// The bases as 0 1 2 3 (A C G T) or 4.
pub fn base_codes(bases: &[u8]) -> Vec<u8> {
    bases.iter().map(|&base| base_code(base)).collect()
}

/// `16 a + 4 b + c` of a codon's base codes, 0..64; `None` where a base is not A, C, G, T.
pub fn codon_index(codon: &[u8]) -> Option<u8> {
    let [a, b, c] = *codon else { return None };
    let (a, b, c) = (base_code(a), base_code(b), base_code(c));
    if (a | b | c) > 3 { None } else { Some(16 * a + 4 * b + c) }
}

/// The bases (as a set of four bits: A C G T) that an IUPAC letter stands for; 0 for anything else.
fn base_set(letter: u8) -> u8 {
    match letter.to_ascii_uppercase() {
        b'A' => 1,
        b'C' => 2,
        b'G' => 4,
        b'T' | b'U' => 8,
        b'R' => 1 | 4,
        b'Y' => 2 | 8,
        b'S' => 2 | 4,
        b'W' => 1 | 8,
        b'K' => 4 | 8,
        b'M' => 1 | 2,
        b'B' => 2 | 4 | 8,
        b'D' => 1 | 4 | 8,
        b'H' => 1 | 2 | 8,
        b'V' => 1 | 2 | 4,
        b'N' => 15,
        _ => 0,
    }
}

/// One of the NCBI genetic codes. Tables are indexed by [`codon_index`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneticCode {
    pub number: u32,
    pub name: String,
    /// The amino acid of each codon, `*` for a stop. In codes 27, 28 and 31 some stop codons have an amino acid.
    pub amino_acids: [u8; 64],
    starts: [bool; 64],
    stops: [bool; 64],
}

#[derive(Deserialize)]
struct CodeFile {
    code: Vec<CodeRow>,
}

#[derive(Deserialize)]
struct CodeRow {
    number: u32,
    name: String,
    amino_acids: String,
    starts: String,
}

impl GeneticCode {
    /// NCBI's code of that number: 1 to 6, 9 to 16, 21 to 33.
    pub fn by_number(number: u32) -> Option<&'static GeneticCode> {
        Self::all().iter().find(|code| code.number == number)
    }

    /// All codes, by rising number.
    pub fn all() -> &'static [GeneticCode] {
        static CODES: OnceLock<Vec<GeneticCode>> = OnceLock::new();
        CODES.get_or_init(|| {
            let file: CodeFile = toml::from_str(GENETIC_CODES).expect("genetic_codes.toml is part of this crate");
            file.code.into_iter().map(GeneticCode::from_row).collect()
        })
    }

    fn from_row(row: CodeRow) -> GeneticCode {
        let (amino, marks) = (row.amino_acids.as_bytes(), row.starts.as_bytes());
        let mut code = GeneticCode {
            number: row.number,
            name: row.name,
            amino_acids: [b'X'; 64],
            starts: [false; 64],
            stops: [false; 64],
        };
        for (i, (&acid, &mark)) in amino.iter().zip(marks).enumerate() {
            let codon = [NCBI_BASES[i / 16], NCBI_BASES[i / 4 % 4], NCBI_BASES[i % 4]];
            let at = codon_index(&codon).expect("made of A, C, G, T") as usize;
            code.amino_acids[at] = acid;
            code.starts[at] = mark == b'M';
            code.stops[at] = mark == b'*' || acid == b'*';
        }
        code
    }

    /// Whether the codon (three bases, either case) may end a protein.
    pub fn is_stop(&self, codon: &[u8]) -> bool {
        codon_index(codon).is_some_and(|i| self.stops[i as usize])
    }

    /// Whether the codon may start a protein in this code.
    pub fn is_start(&self, codon: &[u8]) -> bool {
        codon_index(codon).is_some_and(|i| self.starts[i as usize])
    }

    pub fn is_stop_index(&self, codon: u8) -> bool {
        self.stops[codon as usize]
    }

    pub fn is_start_index(&self, codon: u8) -> bool {
        self.starts[codon as usize]
    }

    /// The amino acid of a codon, `*` for a stop, `X` where ambiguous letters leave several.
    pub fn amino_acid(&self, codon: &[u8]) -> u8 {
        if let Some(i) = codon_index(codon) {
            return self.amino_acids[i as usize];
        }
        let [a, b, c] = *codon else { return b'X' };
        let sets = [base_set(a), base_set(b), base_set(c)];
        let mut found = None;
        for i in 0..64u8 {
            let bases = [i >> 4, i >> 2 & 3, i & 3];
            if bases.iter().zip(sets).all(|(&base, set)| set >> base & 1 == 1) {
                let acid = self.amino_acids[i as usize];
                if found.is_some_and(|other| other != acid) {
                    return b'X';
                }
                found = Some(acid);
            }
        }
        found.unwrap_or(b'X')
    }

    /// The protein of a coding sequence that begins at a codon's first base; one or two bases left at the end are not
    /// translated. Stop codons become `*`; one that has an amino acid of its own in this code does so at the end alone.
    /// With `first_is_start`, a first codon that is a start codon becomes `M`.
    pub fn translate(&self, cds: &[u8], first_is_start: bool) -> Vec<u8> {
        let mut protein: Vec<u8> = cds.chunks_exact(3).map(|codon| self.amino_acid(codon)).collect();
        if first_is_start && cds.len() >= 3 && self.is_start(&cds[..3]) {
            protein[0] = b'M';
        }
        if cds.len() >= 3 && cds.len() % 3 == 0 && self.is_stop(&cds[cds.len() - 3..]) {
            *protein.last_mut().expect("at least one codon") = b'*';
        }
        protein
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_standard_code() {
        let code = GeneticCode::by_number(1).unwrap();
        assert_eq!(code.translate(b"ATGGCNAARTGA", true), b"MAK*");
        assert_eq!(code.translate(b"TTGGCTnnnTA", true), b"MAX");
        assert_eq!(code.translate(b"TTGGCT", false), b"LA");
        assert!(code.is_stop(b"tag") && !code.is_stop(b"TGG") && !code.is_stop(b"TAN"));
        assert!(code.is_start(b"CTG") && !code.is_start(b"GTG"));
    }

    #[test]
    fn codes_that_differ() {
        assert_eq!(GeneticCode::by_number(4).unwrap().translate(b"ATGTGATAA", true), b"MW*");
        assert_eq!(GeneticCode::by_number(6).unwrap().translate(b"ATGTAATGA", true), b"MQ*");
        assert_eq!(GeneticCode::by_number(27).unwrap().translate(b"ATGTGATGA", true), b"MW*");
        let numbers: Vec<u32> = GeneticCode::all().iter().map(|c| c.number).collect();
        assert_eq!(numbers, (1..=6).chain(9..=16).chain(21..=33).collect::<Vec<_>>());
        assert!(GeneticCode::by_number(7).is_none());
    }

    #[test]
    fn complements() {
        assert_eq!(reverse_complement(b"ACGTacgtNnRYSWKMBDHVU"), b"ABDHVKMWSRYnNacgtACGT");
    }

    proptest! {
        #[test]
        fn reverse_complement_is_its_own_inverse(bases in "[ACGTRYSWKMBDHVNacgtryswkmbdhvn]{0,200}") {
            let bases = bases.into_bytes();
            prop_assert_eq!(reverse_complement(&reverse_complement(&bases)), bases);
        }

        #[test]
        fn translation_goes_codon_by_codon(a in "([ACGT]{3}){1,40}", b in "([ACGT]{3}){1,40}") {
            let code = GeneticCode::by_number(1).unwrap();
            let whole = code.translate(format!("{a}{b}").as_bytes(), false);
            let parts = [code.translate(a.as_bytes(), false), code.translate(b.as_bytes(), false)].concat();
            prop_assert_eq!(whole, parts);
        }
    }
}
