//! Examples of the language; `properties` holds what is true of all gene models.

pub(crate) mod generate;
mod properties;

use super::*;
use crate::dna::GeneticCode;
use crate::gene::{Flags, Gene, Interval, Strand, Transcript};

pub(crate) fn transcript(exons: &[(u64, u64)], cds: &[(u64, u64)]) -> Transcript {
    let intervals = |parts: &[(u64, u64)]| parts.iter().map(|&(start, end)| Interval::new(start, end)).collect();
    Transcript {
        id: "t".into(),
        biotype: if cds.is_empty() { "ncRNA" } else { "protein_coding" }.into(),
        exons: intervals(exons),
        cds: intervals(cds),
        cds_phase: 0,
        partial_5: false,
        partial_3: false,
        flags: Flags::default(),
        score: None,
    }
}

pub(crate) fn gene(strand: Strand, transcripts: Vec<Transcript>) -> Gene {
    let start = transcripts.iter().map(|t| t.exons[0].start).min().unwrap();
    let end = transcripts.iter().map(|t| t.exons.last().unwrap().end).max().unwrap();
    let biotype = transcripts[0].biotype.clone();
    let (id, span) = ("g".into(), Interval::new(start, end));
    Gene { id, name: None, seqid: 0, span, strand, biotype, flags: Flags::default(), score: None, transcripts }
}

/// Of 60 bases: exons 5..20 and 30..50, CDS ATG at 10, intron within a codon, stop ending at 44.
fn spliced() -> (Vec<u8>, Gene) {
    let mut bases = vec![b'C'; 60];
    bases[10..13].copy_from_slice(b"ATG");
    bases[41..44].copy_from_slice(b"TAA");
    // 10..20 and 30..44: 24 bases.
    (bases, gene(Strand::Forward, vec![transcript(&[(5, 20), (30, 50)], &[(10, 20), (30, 44)])]))
}

fn words(text: &str, vocabulary: &Vocabulary) -> Vec<u32> {
    let id = |word: &str| vocabulary.tokens().iter().position(|token| token == &format!("<{word}>")).unwrap() as u32;
    text.split_whitespace().map(id).collect()
}

fn sentence(bases: &[u8], genes: &[Gene], window: Window, policy: Policy) -> String {
    let code = GeneticCode::by_number(1).unwrap();
    let context = SequenceContext { bases, circular: false, code };
    let prepared: Vec<_> = genes.iter().map(|gene| PreparedGene::new(gene, &context, policy)).collect();
    let vocabulary = Vocabulary::builtin();
    let clipped = clip(&prepared, window, bases.len() as u64, false, policy, usize::MAX);
    let tokens = encode(&clipped.genes, &vocabulary).unwrap();
    assert_eq!(decode(&tokens, window.length, &vocabulary).as_ref(), Ok(&clipped.genes));
    assert_eq!(tokens, words(&said(&tokens, &vocabulary), &vocabulary));
    said(&tokens, &vocabulary)
}

fn said(tokens: &[u32], vocabulary: &Vocabulary) -> String {
    let word = |&id: &u32| vocabulary.text(id).trim_matches(['<', '>']).to_string();
    tokens.iter().map(word).collect::<Vec<_>>().join(" ")
}

const ALL: Policy = Policy { utr: true, noncoding: true };

#[test]
fn a_spliced_gene() {
    let (bases, gene) = spliced();
    let window = Window { start: 0, length: 60, reverse: false };
    assert_eq!(
        sentence(&bases, std::slice::from_ref(&gene), window, ALL),
        "bos UTR ALL + protein_coding tss 0 5 start 0 10 donor 0 20 acceptor 0 30 stop 0 44 tts 0 50 eos"
    );
    assert_eq!(
        sentence(&bases, std::slice::from_ref(&gene), window, Policy { utr: false, noncoding: false }),
        "bos NOUTR CODING + protein_coding start 0 10 donor 0 20 acceptor 0 30 stop 0 44 eos"
    );
    assert_eq!(
        sentence(&bases, &[gene], Window { reverse: true, ..window }, ALL),
        "bos UTR ALL - protein_coding tts 0 10 stop 0 16 acceptor 0 30 donor 0 40 start 0 50 tss 0 55 eos"
    );
}

#[test]
fn cut_ends() {
    let (bases, gene) = spliced();
    let says = |start, length, reverse| {
        let said = sentence(&bases, std::slice::from_ref(&gene), Window { start, length, reverse }, ALL);
        said.trim_start_matches("bos UTR ALL").trim_end_matches("eos").trim().to_string()
    };
    // Ten bases stand before the intron: one of a codon that it splits.
    assert_eq!(says(22, 5, false), "+ protein_coding intron1 intron1");
    assert_eq!(says(22, 5, true), "- protein_coding intron1 intron1");
    assert_eq!(says(12, 8, false), "+ protein_coding cds2 cds0");
    assert_eq!(says(12, 9, false), "+ protein_coding cds2 donor 0 8 intron1");
    assert_eq!(says(20, 10, false), "+ protein_coding intron1 intron1");
    assert_eq!(says(30, 14, false), "+ protein_coding cds1 cds2");
    assert_eq!(says(30, 15, false), "+ protein_coding cds1 stop 0 14 utr3");
    assert_eq!(says(30, 15, true), "- protein_coding utr3 stop 0 1 cds1");
    assert_eq!(says(10, 5, false), "+ protein_coding cds0 cds1");
    assert_eq!(says(5, 5, false), "+ protein_coding tss 0 0 utr5");
    assert_eq!(says(44, 16, false), "+ protein_coding utr3 tts 0 6");
    assert_eq!(says(0, 5, false), "");
    assert_eq!(says(50, 10, false), "");
}

#[test]
fn faults_are_found_where_they_are() {
    let vocabulary = Vocabulary::builtin();
    let fault = |text: &str| {
        let fault = validate(&words(text, &vocabulary), 60, &vocabulary).unwrap_err();
        (fault.token, fault.message)
    };
    let at = |text: &str, token: usize, message: &str| {
        let (found, said) = fault(text);
        assert_eq!(found, token, "{text}: {said}");
        assert!(said.contains(message), "{text}: {said}");
    };
    at("UTR ALL eos", 0, "expected <bos>");
    at("bos UTR ALL", 3, "the sentence ends");
    at("bos ALL UTR eos", 1, "expected <UTR>");
    at("bos UTR ALL eos eos", 4, "goes on after");
    at("bos UTR ALL + protein_coding start 0 3 stop 0 10 eos", 8, "within a codon");
    at("bos UTR ALL - protein_coding stop 0 3 start 0 10 eos", 5, "within a codon");
    at("bos UTR ALL + protein_coding start 0 3 stop 0 3 eos", 8, "nothing lies between");
    at("bos UTR ALL + protein_coding start 0 3 stop 0 63 eos", 8, "outside the window");
    at("bos UTR ALL - protein_coding stop 0 3 start 0 63 eos", 8, "outside the window");
    at("bos UTR ALL + protein_coding cds0 cds0 eos", 6, "lead to the CDS (codon position 2)");
    at("bos UTR ALL - protein_coding cds1 cds1 eos", 5, "lead to the CDS (codon position 0)");
    at("bos UTR ALL + protein_coding cds0 eos", 6, "expected a signal");
    at("bos UTR ALL + protein_coding tss 0 3 eos", 8, "ends in a non-coding exon");
    at("bos UTR ALL + ncRNA tss 0 3 donor 0 9 start 0 12 eos", 11, "cannot come in an intron of the 5' UTR");
    at("bos UTR CODING + ncRNA tss 0 3 tts 0 9 eos", 3, "under <CODING>");
    at("bos NOUTR ALL + protein_coding tss 0 1 start 0 3 stop 0 9 eos", 5, "under <NOUTR>");
    at(
        "bos UTR ALL + protein_coding start 0 9 stop 0 15 + protein_coding start 0 3 stop 0 9 eos",
        11,
        "belongs before",
    );
    at("bos UTR ALL + protein_coding start 0 3 stop 0 9 ALT + protein_coding start 0 3 stop 0 9 eos", 12, "again");
    at(
        "bos UTR ALL + protein_coding start 0 3 stop 0 9 ALT - protein_coding stop 0 3 start 0 9 eos",
        12,
        "other strand",
    );
    assert_eq!(validate(&[0, 1, 99_999], 60, &vocabulary).unwrap_err().token, 0);
    assert_eq!(validate(&[], 60, &vocabulary).unwrap_err().token, 0);
}
