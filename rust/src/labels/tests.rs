//! Labels against their definition, base by base, and under reverse complement.

use proptest::prelude::*;

use super::*;
use crate::language::tests::generate::{Scene, scene};
use crate::language::{WindowGenes, encode};

const LETTERS: [u8; 5] = *b"ACGTN";

fn code() -> &'static GeneticCode {
    GeneticCode::by_number(1).unwrap()
}

fn labels(genes: &WindowGenes, bases: &[u8], starts: StartCodons, ignore: &[(u32, u32)]) -> (Vec<i8>, Vec<i8>) {
    let vocabulary = Vocabulary::builtin();
    let sentence = encode(genes, &vocabulary).unwrap();
    let tables = LabelTables::new(code(), starts);
    let (mut classes, mut signals) = (vec![9; 2 * bases.len()], vec![9; 12 * bases.len()]);
    base_labels(&sentence, bases, &vocabulary, &tables, ignore, &mut classes, &mut signals).unwrap();
    (classes, signals)
}

/// Classes that the coding transcripts of a strand claim of a base: of the canonical ones, of the others.
fn claims(genes: &WindowGenes, base: u32, strand: Strand) -> (Vec<i8>, Vec<i8>) {
    let (mut canonical, mut others) = (Vec::new(), Vec::new());
    for gene in genes.genes.iter().filter(|gene| gene.strand == strand) {
        for (index, transcript) in gene.transcripts.iter().enumerate().filter(|(_, one)| one.is_coding()) {
            for segment in transcript.segments(strand, genes.length).unwrap() {
                if !(segment.start..segment.end).contains(&base) {
                    continue;
                }
                let class = match segment.state {
                    State::Cds(first) => {
                        let step =
                            if strand == Strand::Reverse { segment.end - 1 - base } else { base - segment.start };
                        let position = (i64::from(first) + i64::from(step)) % 3;
                        let from_left = if strand == Strand::Reverse { 2 - position } else { position };
                        1 + (i64::from(base) - from_left).rem_euclid(3) as i8
                    }
                    state if state.is_intron() => 4,
                    _ => 5,
                };
                if index == 0 { canonical.push(class) } else { others.push(class) }
            }
        }
    }
    (canonical, others)
}

fn expected_class(genes: &WindowGenes, base: u32, strand: Strand) -> i8 {
    let (canonical, others) = claims(genes, base, strand);
    let rank = |class: i8| [0, 3, 3, 3, 1, 2][class as usize];
    let best = canonical.iter().map(|&class| rank(class)).max().unwrap_or(0);
    let mut top: Vec<i8> = canonical.into_iter().filter(|&class| rank(class) == best).collect();
    top.dedup();
    let class = match top[..] {
        [] => 0,
        [first, ..] if top.iter().all(|&class| class == first) => first,
        _ => return -1,
    };
    if others.iter().any(|&other| other != class && rank(other) >= best) { -1 } else { class }
}

/// The bases of a strand, 5' to 3', from the base just inside on.
fn expected_candidate(bases: &[u8], base: usize, strand: usize, kind: Kind, utr: bool, starts: &[&str]) -> bool {
    let text: String = bases.iter().map(|&base| LETTERS[base as usize] as char).collect();
    let (text, at) = if strand == 0 {
        (text, base)
    } else {
        let turn = |letter| match letter {
            'A' => 'T',
            'C' => 'G',
            'G' => 'C',
            'T' => 'A',
            other => other,
        };
        (text.chars().rev().map(turn).collect(), bases.len() - 1 - base)
    };
    let ahead = &text[at..];
    let behind = &text[..at + 1];
    match kind {
        Kind::Tss | Kind::Tts => utr,
        Kind::Start => starts.iter().any(|start| ahead.starts_with(start)),
        Kind::Stop => ["TAA", "TAG", "TGA"].iter().any(|stop| behind.ends_with(stop)),
        Kind::Donor => ahead.starts_with("GT") || ahead.starts_with("GC"),
        Kind::Acceptor => behind.ends_with("AG"),
    }
}

fn dna(length: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![12 => 0u8..4, 1 => Just(4u8)], length)
}

fn scene_with_dna() -> impl Strategy<Value = (Scene, Vec<u8>)> {
    scene().prop_flat_map(|scene| {
        let length = scene.window.length as usize;
        (Just(scene), dna(length))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn classes_are_those_of_the_definition((scene, bases) in scene_with_dna()) {
        let genes = scene.clipped(scene.window);
        let (classes, _) = labels(&genes, &bases, StartCodons::ATG, &[]);
        for base in 0..genes.length {
            for (index, strand) in [Strand::Forward, Strand::Reverse].into_iter().enumerate() {
                let found = classes[2 * base as usize + index];
                prop_assert_eq!(found, expected_class(&genes, base, strand), "base {} strand {}", base, index);
            }
        }
    }

    /// What is labelled is a candidate, what is a candidate is labelled unless it cannot be known, and true signals
    /// are those of the transcripts.
    #[test]
    fn signals_are_those_of_the_definition((scene, bases) in scene_with_dna(), wide in any::<bool>()) {
        let genes = scene.clipped(scene.window);
        let starts: &[&str] = if wide { &["ATG", "GTG", "TTG"] } else { &["ATG"] };
        let (_, signals) = labels(&genes, &bases, StartCodons::from_codons(starts).unwrap(), &[]);
        let utr = genes.policy.utr;
        let edge = genes.length;
        for base in 0..edge as usize {
            for (index, strand) in [Strand::Forward, Strand::Reverse].into_iter().enumerate() {
                for kind in Kind::ALL {
                    let found = signals[12 * base + 6 * index + kind as usize];
                    let opens = matches!(kind, Kind::Tss | Kind::Start | Kind::Donor);
                    let boundary = base as u32 + u32::from(opens != (index == 0));
                    let on_strand = || {
                        genes.genes.iter().filter(|gene| gene.strand == strand).flat_map(|gene| &gene.transcripts)
                    };
                    let said = |coding: bool| on_strand().any(|one| one.is_coding() == coding
                        && one.signals.iter().any(|signal| signal.kind == kind && signal.position == boundary));
                    let cut = on_strand().any(|one| (boundary == 0 && one.left.is_some())
                        || (boundary == edge && one.right.is_some()));
                    let without_utr = matches!(kind, Kind::Tss | Kind::Tts) && on_strand().any(|one| {
                        let (inner, at) = if kind == Kind::Tss { (Kind::Start, index == 0) } else { (Kind::Stop, index == 1) };
                        let end = if at { one.signals.first() } else { one.signals.last() };
                        let open = if at { one.left } else { one.right };
                        open.is_none() && end.is_some_and(|end| end.kind == inner && end.position == boundary)
                    });
                    if !expected_candidate(&bases, base, index, kind, utr, starts) {
                        prop_assert_eq!(found, -1);
                    } else if said(true) {
                        // Of a codon that an intron splits it may be -1; then the CDS beside is shorter than a codon.
                        let split = matches!(kind, Kind::Start | Kind::Stop) && found == -1;
                        let short = on_strand().any(|one| one.segments(strand, edge).unwrap().iter().any(|segment| {
                            matches!(segment.state, State::Cds(_)) && segment.end - segment.start < 3
                                && (segment.start..segment.end).contains(&(base as u32))
                        }));
                        prop_assert!(found == 1 || (split && short), "{} at {}", kind.name(), boundary);
                    } else if said(false) || cut || without_utr {
                        prop_assert_eq!(found, -1);
                    } else {
                        prop_assert_eq!(found, 0, "{} at {}", kind.name(), boundary);
                    }
                }
            }
        }
    }

    /// The reverse complement swaps the strands, and frame f becomes (n - f) mod 3.
    #[test]
    fn labels_are_symmetric((scene, bases) in scene_with_dna(), ignore in (0u32..60, 0u32..30)) {
        let genes = scene.clipped(scene.window);
        let length = genes.length;
        let (start, end) = (ignore.0.min(length), (ignore.0 + ignore.1).min(length));
        let mirrored: Vec<u8> = bases.iter().rev().map(|&base| if base < 4 { 3 - base } else { 4 }).collect();
        let (classes, signals) = labels(&genes, &bases, StartCodons::PROKARYOTES, &[(start, end)]);
        let (other_classes, other_signals) =
            labels(&genes.mirror(), &mirrored, StartCodons::PROKARYOTES, &[(length - end, length - start)]);
        let n = length as usize;
        for base in 0..n {
            for strand in 0..2 {
                let class = classes[2 * base + strand];
                let turned = if (1..=3).contains(&class) {
                    1 + (n as i64 - i64::from(class - 1)).rem_euclid(3) as i8
                } else {
                    class
                };
                prop_assert_eq!(other_classes[2 * (n - 1 - base) + 1 - strand], turned);
                let from = 12 * base + 6 * strand;
                let to = 12 * (n - 1 - base) + 6 * (1 - strand);
                prop_assert_eq!(&signals[from..from + 6], &other_signals[to..to + 6]);
                if (start as usize..end as usize).contains(&base) {
                    prop_assert!(class == -1 && signals[from..from + 6] == [-1; 6]);
                }
            }
        }
    }
}

#[test]
fn sizes_and_intervals_are_checked() {
    let genes = WindowGenes::new(8, crate::language::Policy { utr: true, noncoding: true }, Vec::new());
    let tables = LabelTables::new(code(), StartCodons::ATG);
    let (mut classes, mut signals) = (vec![0; 16], vec![0; 96]);
    labels_of_genes(&genes, &[0; 8], &tables, &[(2, 8)], &mut classes, &mut signals).unwrap();
    assert!(labels_of_genes(&genes, &[0; 8], &tables, &[(2, 9)], &mut classes, &mut signals).is_err());
    assert!(labels_of_genes(&genes, &[0; 9], &tables, &[], &mut classes, &mut signals).is_err());
    assert!(labels_of_genes(&genes, &[0; 8], &tables, &[], &mut classes[..15], &mut signals).is_err());
}

/// The sets of codons are those of their names.
#[test]
fn start_codons() {
    assert_eq!(StartCodons::from_codons(&["ATG"]).unwrap(), StartCodons::ATG);
    assert_eq!(StartCodons::from_codons(&["atg", "GTG", "TTG"]).unwrap(), StartCodons::PROKARYOTES);
    assert_eq!(StartCodons::of_code(GeneticCode::by_number(11).unwrap()), StartCodons::PROKARYOTES);
    assert_eq!(StartCodons::of_code(code()), StartCodons::ATG);
    assert!(StartCodons::from_codons(&["ATN"]).is_err());
}

/// `cargo test --release --no-default-features labels::tests::throughput -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn throughput() {
    let vocabulary = Vocabulary::builtin();
    let length = 10_000u32;
    let mut state = 1u64;
    let bases: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 60) as u8 & 3
    })
    .take(length as usize)
    .collect();
    let id = |word: &str| vocabulary.tokens().iter().position(|token| token == word).unwrap() as u32;
    let mut sentence: Vec<u32> = ["<bos>", "<UTR>", "<ALL>"].map(id).to_vec();
    for start in (100..9_000).step_by(2_000) {
        sentence.extend(["<+>", "<protein_coding>"].map(id));
        for (kind, at) in
            [("<tss>", 0), ("<start>", 50), ("<donor>", 300), ("<acceptor>", 400), ("<stop>", 1050), ("<tts>", 1200)]
        {
            let position = start + at;
            sentence.extend([id(kind), vocabulary.number_id(position / 1000), vocabulary.number_id(position % 1000)]);
        }
    }
    sentence.push(vocabulary.sentence_ends().1);
    let tables = LabelTables::new(code(), StartCodons::ATG);
    let (mut classes, mut signals) = (vec![0; 2 * bases.len()], vec![0; 12 * bases.len()]);
    let (rounds, began) = (5_000, std::time::Instant::now());
    for _ in 0..rounds {
        base_labels(&sentence, &bases, &vocabulary, &tables, &[], &mut classes, &mut signals).unwrap();
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{:.0} Mb/s", f64::from(rounds) * f64::from(length) / seconds / 1e6);
}
