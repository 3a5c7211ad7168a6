use proptest::prelude::*;

use super::*;

fn dnabert2() -> Tokenizer {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../python/genet5/resources/dnabert2");
    Tokenizer::load(folder).expect("the package's own tokenizer loads")
}

/// A byte-pair model trained on nothing: each merge joins two tokens that exist.
fn random_model(choices: &[(usize, usize)]) -> Tokenizer {
    let mut tokens: Vec<String> = ["[UNK]", "A", "C", "G", "T"].map(String::from).to_vec();
    let mut merges = Vec::new();
    for &(left, right) in choices {
        let of = |choice: usize| tokens[1 + choice % (tokens.len() - 1)].clone();
        let (left, right) = (of(left), of(right));
        let merged = format!("{left}{right}");
        if merged.len() <= 12 && !tokens.contains(&merged) {
            tokens.push(merged);
            merges.push(format!("{left} {right}"));
        }
    }
    let vocab: std::collections::BTreeMap<_, _> = tokens.iter().zip(0..).collect();
    let json = serde_json::json!({
        "added_tokens": [], "model": {"type": "BPE", "unk_token": "[UNK]", "vocab": vocab, "merges": merges}
    });
    Tokenizer::parse(Path::new("random.json"), &json.to_string()).expect("a valid model")
}

fn by_heap(tokenizer: &Tokenizer, sequence: &[u8]) -> Vec<u32> {
    let mut out = Vec::new();
    tokenizer.merges.encode(sequence, &mut out);
    out
}

#[test]
fn dnabert2_takes_the_linear_path_and_is_case_blind() {
    let tokenizer = dnabert2();
    assert!(tokenizer.is_linear());
    assert_eq!(tokenizer.len(), 4096);
    assert_eq!(tokenizer.encode(b"acgtRnnACGT"), tokenizer.encode(b"ACGTrNNacgt"));
    assert_eq!(tokenizer.encode(b"NR"), [0, 0]);
    assert_eq!(tokenizer.encode(b""), [0u32; 0]);
}

#[test]
fn every_base_is_counted_once() {
    let tokenizer = dnabert2();
    let sequence = b"ACGTTTGANNNRYACCCATTTGGGACAGACGATTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTT".repeat(7);
    let bp: usize = tokenizer.encode(&sequence).iter().map(|&id| tokenizer.bp()[id as usize] as usize).sum();
    assert_eq!(bp, sequence.len());
}

#[test]
fn forbidden_neighbours_are_those_that_the_heap_encodes_otherwise() {
    let tokenizer = dnabert2();
    let linear = tokenizer.linear.as_ref().expect("linear");
    let dna: Vec<u32> = (5..4096).collect();
    let mut state = 1u64;
    for _ in 0..200_000 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let (left, right) = (dna[(state >> 33) as usize % dna.len()], dna[(state >> 11) as usize % dna.len()]);
        let joined = format!("{}{}", tokenizer.tokens()[left as usize], tokenizer.tokens()[right as usize]);
        let alone = by_heap(&tokenizer, joined.as_bytes()) == [left, right];
        assert_eq!(linear.may_follow(left as u16, right as u16), alone, "{left} {right}");
    }
}

#[test]
fn gap_tokens_are_taken_longest_first() {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("tokenizer.json");
    std::fs::copy(dnabert2().path(), &path).expect("copy");
    let gaps = [1, 8, 64, 512].map(|n| "N".repeat(n));
    let added = append(&path, &gaps, false).expect("append");
    assert_eq!(added.iter().map(|(_, id)| *id).collect::<Vec<_>>(), [4096, 4097, 4098, 4099]);
    assert!(append(folder.path(), &gaps, false).expect("append again").is_empty());
    let grown = Tokenizer::load(folder.path()).expect("load");
    assert_eq!(grown.encode(&[b'n'; 512 + 2 * 64 + 8 + 1]), [4099, 4098, 4098, 4097, 4096]);
    assert_eq!(grown.prefix_hash(4096).ok(), dnabert2().prefix_hash(4096).ok());
    assert!(grown.prefix_hash(4101).is_err());
    assert_eq!(grown.bp()[4099], 512);
}

#[test]
fn a_list_that_is_no_order_of_merges_goes_to_the_heap() {
    // AB is made by its own merge, but ABC alone is taken apart by the earlier BC.
    let json = serde_json::json!({
        "added_tokens": [], "model": {"type": "BPE", "unk_token": "[UNK]", "merges": ["C G", "A C", "AC G"],
        "vocab": {"[UNK]": 0, "A": 1, "C": 2, "G": 3, "T": 4, "AC": 5, "CG": 6, "ACG": 7}}
    });
    let tokenizer = Tokenizer::parse(Path::new("t.json"), &json.to_string()).expect("valid");
    assert!(!tokenizer.is_linear());
    assert_eq!(tokenizer.encode(b"acgNt"), [1, 6, 0, 4]);
}

#[test]
fn what_would_change_the_ids_is_refused() {
    for (path, value) in [
        ("/normalizer", serde_json::json!({"type": "Lowercase"})),
        ("/model/type", serde_json::json!("Unigram")),
        ("/model/dropout", serde_json::json!(0.1)),
        ("/pre_tokenizer/type", serde_json::json!("ByteLevel")),
        ("/model/merges/0", serde_json::json!("A X")),
        ("/model/vocab/AA", serde_json::json!(7)),
        ("/model/vocab/AA", serde_json::json!(900_000_000)),
        ("/added_tokens/0/content", serde_json::json!("ACGT")),
    ] {
        let text = std::fs::read_to_string(dnabert2().path()).expect("read");
        let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        *json.pointer_mut(path).expect(path) = value;
        let outcome = Tokenizer::parse(Path::new("t.json"), &json.to_string());
        assert!(matches!(outcome, Err(Error::Format { .. })), "{path}");
    }
}

#[test]
fn batches_keep_their_order() {
    let tokenizer = dnabert2();
    let sequences: Vec<Vec<u8>> = (0..50).map(|i| b"ACGGT".repeat(i)).collect();
    let views: Vec<&[u8]> = sequences.iter().map(Vec::as_slice).collect();
    let one_by_one: Vec<_> = views.iter().map(|s| tokenizer.encode(s)).collect();
    assert_eq!(tokenizer.encode_batch(&views, 3), one_by_one);
}

/// Tokens of overlapping windows, each with what the one before has left behind.
fn one_after_another(tokenizer: &Tokenizer, sequence: &[u8], windows: &[(usize, usize)]) -> Vec<Vec<u32>> {
    let mut scratch = Scratch::default();
    let encode = |&(start, end): &(usize, usize)| {
        let mut out = Vec::new();
        let place = Place { sequence: 0, start: start as u64 };
        tokenizer.encode_placed(&sequence[start..end], Some(place), &mut scratch, &mut out);
        out
    };
    windows.iter().map(encode).collect()
}

#[test]
fn windows_that_share_tokens_have_the_ids_they_have_alone() {
    let tokenizer = dnabert2();
    let mut state = 7u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    for letters in [&b"ACGT"[..], b"AT", b"AAAAAAAAAC", b"ACGTACGTACGTACGTACGTACGTACGTACGTACGTACGTACGTN"] {
        let mut sequence: Vec<u8> = (0..20_000).map(|_| letters[next(letters.len())]).collect();
        sequence.extend(b"CA".repeat(2000));
        sequence.extend(b"A".repeat(3000));
        sequence.extend((0..4000).map(|_| letters[next(letters.len())]));
        for step in [1, 3, 700, 1800, 3000] {
            let windows: Vec<(usize, usize)> = (0..40)
                .map(|number| (number * step + next(step), next(3) * 1000))
                .map(|(start, more)| (start.min(28_000), (start + 1000 + more).min(sequence.len())))
                .collect();
            let alone: Vec<_> = windows.iter().map(|&(start, end)| tokenizer.encode(&sequence[start..end])).collect();
            assert_eq!(one_after_another(&tokenizer, &sequence, &windows), alone);
        }
    }
}

proptest! {
    #[test]
    fn shared_tokens_are_right_on_any_model(
        choices in prop::collection::vec((any::<usize>(), any::<usize>()), 0..40),
        sequence in "[AC]{700,900}|[ACGT]{700,900}|(A{0,30}C){100,200}",
        cuts in prop::collection::vec((0_usize..700, 512_usize..900), 1..6),
    ) {
        let tokenizer = random_model(&choices);
        let mut cuts: Vec<_> = cuts.iter().map(|&(a, n)| (a.min(sequence.len()), (a + n).min(sequence.len()))).collect();
        cuts.sort();
        let alone: Vec<_> = cuts.iter().map(|&(a, b)| tokenizer.encode(&sequence.as_bytes()[a..b])).collect();
        prop_assert_eq!(one_after_another(&tokenizer, sequence.as_bytes(), &cuts), alone);
    }

    /// Long enough to be encoded in stretches.
    #[test]
    fn stretches_are_joined_on_any_model(
        choices in prop::collection::vec((any::<usize>(), any::<usize>()), 0..40),
        sequence in "[AC]{1100,1500}|[ACGT]{1100,2000}|(A{0,30}C){100,200}|(AC){600,700}|A{1100,1300}[AT]{0,200}",
    ) {
        let tokenizer = random_model(&choices);
        prop_assert_eq!(tokenizer.encode(sequence.as_bytes()), by_heap(&tokenizer, sequence.as_bytes()));
    }

    #[test]
    fn stretches_are_joined_on_dnabert2(sequence in "[ACGT]{1100,3000}|[AT]{1100,2000}|((CA){1,90}|G{1,400}){10,20}") {
        thread_local!(static TOKENIZER: Tokenizer = dnabert2());
        TOKENIZER.with(|t| assert_eq!(t.encode(sequence.as_bytes()), by_heap(t, sequence.as_bytes())));
    }

    #[test]
    fn linear_equals_heap_on_dnabert2(sequence in "[ACGT]{0,300}|(A|T){0,300}|((CA){1,9}|G{1,40}){0,20}") {
        thread_local!(static TOKENIZER: Tokenizer = dnabert2());
        TOKENIZER.with(|t| assert_eq!(t.encode(sequence.as_bytes()), by_heap(t, sequence.as_bytes())));
    }

    #[test]
    fn linear_equals_heap_on_any_model(
        choices in prop::collection::vec((any::<usize>(), any::<usize>()), 0..40),
        sequences in prop::collection::vec("[AC]{0,40}|[ACGT]{0,60}", 20),
    ) {
        let tokenizer = random_model(&choices);
        for sequence in &sequences {
            prop_assert_eq!(tokenizer.encode(sequence.as_bytes()), by_heap(&tokenizer, sequence.as_bytes()));
        }
    }
}
