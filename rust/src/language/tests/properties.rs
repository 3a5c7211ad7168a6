//! What is true of all gene models and all sentences.

use proptest::prelude::*;

use super::super::clip::{Window, clip};
use super::super::model::{State, WindowGene, WindowGenes, WindowTranscript};
use super::super::prepare::{OpenEnds, Reason, Telling};
use super::super::{Vocabulary, decode, encode, place, validate};
use super::generate::{Scene, base_by_base, prepare, scene};
use crate::gene::{Interval, Strand};

/// State of each base of a window's transcript (None outside), strand, and whether it is cut left and right.
type Told = (Vec<Option<State>>, Strand, bool, bool);

fn told(transcript: &WindowTranscript, strand: Strand, length: u32) -> Told {
    let mut states = vec![None; length as usize];
    for segment in transcript.segments(strand, length).unwrap() {
        for base in segment.start..segment.end {
            let step = if strand == Strand::Reverse { segment.end - 1 - base } else { base - segment.start };
            assert_eq!(states[base as usize].replace(segment.state.advance(u64::from(step))), None);
        }
    }
    (states, strand, transcript.left.is_some(), transcript.right.is_some())
}

/// What each transcript is in the window, by definition.
fn expected(scene: &Scene) -> Vec<Told> {
    let (start, length) = (scene.window.start as i64, i64::from(scene.window.length));
    let mut all = Vec::new();
    for (gene, open) in &scene.genes {
        let coding_gene = gene.transcripts.iter().any(|transcript| !transcript.cds.is_empty());
        for (transcript, &open) in gene.transcripts.iter().zip(open) {
            if (!coding_gene || transcript.cds.is_empty()) && !scene.policy.noncoding {
                continue;
            }
            let truth = base_by_base(transcript, gene.strand, open, scene.length, scene.policy.utr).unwrap();
            let turns = if scene.circular { -1..=1 } else { 0..=0 };
            for turn in turns {
                let shift = turn * scene.length as i64 - start;
                let mut states = vec![None; length as usize];
                let (mut left, mut right) = (false, false);
                for &(base, state) in &truth.states {
                    let at = base as i64 + shift;
                    left |= at < 0;
                    right |= at >= length;
                    if (0..length).contains(&at) {
                        states[at as usize] = Some(state);
                    }
                }
                left |= truth.open_left && states[0].is_some();
                right |= truth.open_right && states[length as usize - 1].is_some();
                if states.iter().all(Option::is_none) {
                    continue;
                }
                if scene.window.reverse {
                    states.reverse();
                    (left, right) = (right, left);
                }
                let strand = match (gene.strand, scene.window.reverse) {
                    (Strand::Forward, false) | (Strand::Reverse, true) => Strand::Forward,
                    _ => Strand::Reverse,
                };
                all.push((states, strand, left, right));
            }
        }
    }
    all
}

fn unique(mut all: Vec<Told>) -> Vec<Told> {
    let key = |told: &Told| format!("{told:?}");
    all.sort_by_key(key);
    all.dedup();
    all
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    /// The states of a window's transcripts are, base by base, what they are by definition.
    #[test]
    fn windows_say_what_is_there(scene in scene()) {
        let genes = scene.clipped(scene.window);
        let found: Vec<Told> = genes.genes.iter().flat_map(|gene| {
            gene.transcripts.iter().map(|transcript| told(transcript, gene.strand, genes.length))
        }).collect();
        prop_assert_eq!(unique(found), unique(expected(&scene)));
    }

    /// decode(encode(genes)) == genes, and encode(decode(sentence)) == sentence.
    #[test]
    fn sentences_lose_nothing(scene in scene()) {
        let vocabulary = Vocabulary::builtin();
        let genes = scene.clipped(scene.window);
        let tokens = encode(&genes, &vocabulary).unwrap();
        prop_assert_eq!(tokens.len(), genes.token_count());
        let read = decode(&tokens, genes.length, &vocabulary);
        prop_assert_eq!(read.as_ref(), Ok(&genes));
        prop_assert_eq!(encode(&read.unwrap(), &vocabulary).unwrap(), tokens);
    }

    /// A reversed window is the mirror of the window, and so is the window of a mirrored sequence.
    #[test]
    fn strands_are_symmetric(scene in scene()) {
        let genes = scene.clipped(scene.window);
        let reversed = Window { reverse: !scene.window.reverse, ..scene.window };
        prop_assert_eq!(&scene.clipped(reversed), &genes.mirror());
        let mirror = scene.mirror();
        prop_assert_eq!(&mirror.clipped(mirror.window), &genes.mirror());
        prop_assert_eq!(genes.mirror().mirror(), genes);
    }

    /// Genes of a window put back into the sequence and cut again say the same.
    #[test]
    fn placed_genes_say_the_same(scene in scene()) {
        let genes = scene.clipped(scene.window);
        let placed = place(&genes, scene.window, scene.length, 0).unwrap();
        // As if the window were a whole linear sequence: cut ends are open ends of the sequence. A transcript cut
        // within an intron, or of which the window holds no CDS, is no gene model of its own.
        let length = u64::from(scene.window.length);
        let (mut kept, mut models) = (Vec::new(), Vec::new());
        let back = |part: &Interval| {
            let start = (part.start + scene.length - scene.window.start) % scene.length;
            Interval::new(start, start + part.len())
        };
        for (gene, model) in genes.genes.iter().zip(&placed) {
            let sayable = |(said, placed): (&WindowTranscript, &crate::gene::Transcript)| {
                let in_exon = |cut: Option<State>| cut.is_none_or(|state| !state.is_intron());
                in_exon(said.left) && in_exon(said.right) && said.is_coding() != placed.cds.is_empty()
                    && !placed.exons.is_empty()
            };
            if gene.transcripts.iter().zip(&model.transcripts).all(sayable) {
                let mut model = model.clone();
                model.span = back(&model.span);
                for transcript in &mut model.transcripts {
                    transcript.exons = transcript.exons.iter().map(back).collect();
                    transcript.cds = transcript.cds.iter().map(back).collect();
                }
                kept.push(gene.clone());
                models.push(model);
            }
        }
        let again: Vec<_> = models.iter().map(|model| {
            let open: Vec<_> = model.transcripts.iter()
                .map(|t| OpenEnds { five: t.partial_5, three: t.partial_3 }).collect();
            prepare(model, &open, length, scene.policy)
        }).collect();
        let window = Window { start: 0, ..scene.window };
        let found = clip(&again, window, length, false, scene.policy, usize::MAX).genes;
        prop_assert_eq!(found, WindowGenes::new(genes.length, genes.policy, kept));
    }

    /// A gene that is not said masks the sentence from where it would stand: at a gene, or at the end.
    #[test]
    fn masks_begin_where_a_gene_is_missing(scene in scene(), missing in any::<u8>(), reasons in prop::collection::vec(0usize..16, 5)) {
        let mut prepared = scene.prepared();
        for (index, gene) in prepared.iter_mut().enumerate() {
            if missing >> index & 1 == 1 {
                gene.telling = Telling::Ignored(Reason::ALL[reasons[index]]);
            }
        }
        let clipped = clip(&prepared, scene.window, scene.length, scene.circular, scene.policy, usize::MAX);
        let vocabulary = Vocabulary::builtin();
        let tokens = encode(&clipped.genes, &vocabulary).unwrap();
        let first = clipped.ignored.iter().filter(|gene| gene.reason.masks_sentence()).map(|gene| gene.start).min();
        let masked = clipped.masked_from();
        match first {
            None => prop_assert_eq!(masked, tokens.len()),
            Some(first) => {
                let (bos, eos) = vocabulary.sentence_ends();
                let head: Vec<u32> = tokens[..masked].iter().copied().chain([eos]).collect();
                prop_assert_eq!(head[0], bos);
                let told = decode(&head, clipped.genes.length, &vocabulary).unwrap();
                let left = |gene: &WindowGene| gene.transcripts[0].span(clipped.genes.length).0 < first;
                prop_assert!(told.genes.iter().all(left));
                let count = clipped.genes.genes.iter().filter(|gene| left(gene)).count();
                prop_assert_eq!(told.genes.len(), count);
            }
        }
        let mut ignored = vec![false; scene.window.length as usize];
        for gene in &clipped.ignored {
            ignored[gene.start as usize..gene.end as usize].fill(true);
        }
        let mut merged = vec![false; scene.window.length as usize];
        let mut end = 0;
        for (index, (from, to)) in clipped.ignore_intervals().into_iter().enumerate() {
            prop_assert!(from < to && (index == 0 || end < from));
            merged[from as usize..to as usize].fill(true);
            end = to;
        }
        prop_assert_eq!(ignored, merged);
    }

    #[test]
    fn any_tokens_are_refused_or_read(tokens in prop::collection::vec(0u32..1200, 0..40), length in 0u32..300) {
        let vocabulary = Vocabulary::builtin();
        if let Err(fault) = validate(&tokens, length, &vocabulary) {
            prop_assert!(fault.token <= tokens.len());
        }
    }
}

/// Sentences that differ from true ones in a token or two: refused, or written again in the same way.
#[test]
fn what_validate_accepts_is_written_again() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, TestRng, TestRunner};
    let vocabulary = Vocabulary::builtin();
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let near =
        ["<UTR>", "<NOUTR>", "<ALL>", "<CODING>", "<ALT>", "<+>", "<->", "<ncRNA>", "<protein_coding>", "<0>", "<eos>"];
    let mut choices: Vec<u32> = (0..60).map(|number| vocabulary.number_id(number)).collect();
    choices.extend(near.iter().map(|near| vocabulary.tokens().iter().position(|token| token == near).unwrap() as u32));
    choices.extend(vocabulary.cuts.iter().chain(&vocabulary.kinds));
    let strategy = (scene(), 0usize..1000, 0usize..1000, 0u8..3);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..3000 {
        let (scene, at, choice, how) = strategy.new_tree(&mut runner).unwrap().current();
        let genes = scene.clipped(scene.window);
        let original = encode(&genes, &vocabulary).unwrap();
        for step in 0..20 {
            let mut tokens = original.clone();
            let at = (at + 7 * step) % tokens.len();
            let token = choices[(choice + 13 * step) % choices.len()];
            match how {
                0 => tokens[at] = token,
                1 => tokens.insert(at, token),
                _ => {
                    tokens.remove(at);
                }
            }
            match decode(&tokens, genes.length, &vocabulary) {
                Ok(read) => {
                    assert_eq!(encode(&read, &vocabulary).unwrap(), tokens);
                    accepted += usize::from(tokens != original);
                }
                Err(fault) => {
                    refused += 1;
                    assert!(fault.token <= tokens.len());
                }
            }
        }
    }
    assert!(accepted > 300, "{accepted} accepted, {refused} refused");
}
