use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::error::Error;
use crate::packing::{Budget, pack};

const TOKENS: [&str; 10] = ["[UNK]", "A", "C", "G", "T", "AC", "GGT", "N", "<bos>", "<eos>"];

fn vocabulary(more: &[&str]) -> Vocabulary {
    Vocabulary::new(TOKENS.iter().chain(more).map(|token| token.to_string()).collect(), 0).expect("valid tokens")
}

/// A window as a test makes it.
#[derive(Debug, Clone)]
struct Window {
    species: String,
    seqid: String,
    start: u64,
    reverse: bool,
    tokens: Vec<u32>,
    sentence: Vec<u32>,
    loss_end: Option<u32>,
    ignores: Vec<(u32, u32)>,
    tracks: Option<Vec<u8>>,
}

impl Window {
    fn bases(&self) -> Vec<u8> {
        let vocabulary = vocabulary(&[]);
        self.tokens.iter().flat_map(|&id| vocabulary.bases(id).expect("known").to_vec()).collect()
    }

    fn add(&self, writer: &mut Writer) -> u32 {
        let segment = Segment {
            species: &self.species,
            seqid: &self.seqid,
            start: self.start,
            length: self.bases().len() as u32,
            reverse: self.reverse,
            genetic_code: 11,
            flags: FIRST_CALLER_FLAG,
            tokens: &self.tokens,
            labels: &self.sentence,
            loss_end: self.loss_end,
            ignores: &self.ignores,
            tracks: self.tracks.as_deref(),
        };
        writer.add(&segment).expect("a valid window")
    }
}

fn window() -> impl Strategy<Value = Window> {
    let names = ("[a-c]", "chr[1-3]é?", any::<u32>(), any::<bool>());
    let tokens = prop::collection::vec(0u32..8, 1..40);
    let sentence = prop::collection::vec(0u32..10, 2..30);
    (names, tokens, sentence, any::<bool>(), any::<Option<u8>>()).prop_map(|(names, tokens, sentence, tracks, loss)| {
        let (species, seqid, start, reverse) = names;
        Window {
            species,
            seqid,
            start: u64::from(start) << 8,
            reverse,
            loss_end: loss.map(|loss| u32::from(loss) % (sentence.len() as u32 + 1)),
            ignores: if reverse { vec![(0, 1)] } else { vec![] },
            tracks: tracks.then(|| tokens.iter().map(|&id| id as u8).collect()),
            tokens,
            sentence,
        }
    })
}

fn write(path: &Path, vocabulary: Vocabulary, windows: &[Window]) -> Vec<Vec<u32>> {
    let mut writer = Writer::create(path, vocabulary).expect("create");
    windows.iter().for_each(|window| {
        window.add(&mut writer);
    });
    let packs = pack(writer.sizes(), &Budget { target: 60, hard_limit: 80, labels: 50 }).packs;
    packs.iter().for_each(|pack| writer.write_pack(pack).expect("pack"));
    writer.finish(&json!({"species": [{"name": "a"}], "priors": {"n": [1, 2]}})).expect("finish");
    packs
}

fn assert_holds(reader: &Reader, segment: usize, window: &Window) {
    let trace = reader.trace(segment).expect("trace");
    assert_eq!(trace.species, window.species);
    assert_eq!(trace.seqid, window.seqid);
    assert_eq!((trace.row.start, trace.row.reverse), (window.start, window.reverse));
    assert_eq!((trace.row.genetic_code, trace.row.flags & !HAS_TRACKS), (11, FIRST_CALLER_FLAG));
    assert_eq!(trace.tokens, window.tokens);
    assert_eq!(trace.bases, window.bases());
    assert_eq!(trace.sentence, window.sentence);
    assert_eq!(trace.row.loss_end, window.loss_end.unwrap_or(window.sentence.len() as u32));
    assert_eq!(trace.ignores, window.ignores);
    assert_eq!(trace.tracks, window.tracks);
}

const TEXT: Want = Want { bases: true, text: true, base_labels: false };

/// What a sample says, but for where its segments stand in the table.
fn content(reader: &Reader, sample: usize) -> (Batch, Vec<(String, String, u64)>) {
    let mut batch = reader.batch(&[sample], TEXT, None).expect("batch");
    let places = batch.segment_ids.iter().map(|&segment| {
        let trace = reader.trace(segment as usize).expect("trace");
        (trace.species, trace.seqid, trace.row.start)
    });
    let places = places.collect();
    batch.segment_ids.clear();
    // Zeros where another segment of the same file has tracks, nothing where none has: the same.
    batch.tracks = batch.tracks.filter(|tracks| tracks.iter().any(|&track| track != 0));
    (batch, places)
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    // In memory where the system has such a folder: every file written is synced.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("tempdir");
    let path = folder.path().join("training.packed");
    (folder, path)
}

fn example(windows: usize) -> Vec<Window> {
    let window = |i: usize| Window {
        species: format!("species {}", i % 2),
        seqid: format!("chr{}", i % 3),
        start: 1000 * i as u64,
        reverse: i % 2 == 1,
        tokens: (0..10 + i as u32).map(|k| (k + i as u32) % 8).collect(),
        sentence: vec![8, 1, 2, i as u32 % 10, 9],
        loss_end: (i % 4 == 0).then_some(3),
        ignores: if i % 3 == 0 { vec![(1, 4), (5, 6)] } else { vec![] },
        tracks: None,
    };
    (0..windows).map(window).collect()
}

#[test]
fn a_batch_is_flat_and_masks_what_takes_no_loss() {
    let (_folder, path) = folder();
    let windows = example(3);
    let mut writer = Writer::create(&path, vocabulary(&[])).expect("create");
    windows.iter().for_each(|window| {
        window.add(&mut writer);
    });
    writer.write_pack(&[1]).expect("pack");
    writer.write_pack(&[2, 0]).expect("pack");
    writer.finish(&json!({})).expect("finish");

    let reader = Reader::open(&path).expect("open");
    let batch = reader.batch(&[1, 0], TEXT, None).expect("batch");
    let order = [&windows[2], &windows[0], &windows[1]];
    assert_eq!(batch.segment_ids, [1, 2, 0]);
    assert_eq!(batch.bases, order.map(Window::bases).concat());
    assert_eq!(batch.target_offsets, [0, 4, 8, 12]);
    assert_eq!(batch.token_offsets, [0, 12, 22, 33]);
    assert_eq!(batch.decoder_input_ids, [8, 1, 2, 2, 8, 1, 2, 0, 8, 1, 2, 1]);
    assert_eq!(batch.labels, [1, 2, 2, 9, 1, 2, -100, -100, 1, 2, 1, 9]);
    let starts: Vec<i64> =
        batch.token_offsets.iter().map(|&t| *batch.positions.get(t as usize).unwrap_or(&0)).collect();
    assert_eq!(starts, [0, 0, 0, 0]);
    assert!(reader.batch(&[2], TEXT, None).is_err());
}

#[test]
fn refusals_say_what_is_wrong() {
    let (folder, path) = folder();
    write(&path, vocabulary(&[]), &example(9));
    let whole = std::fs::read(&path).expect("read");
    let message = |bytes: &[u8]| {
        let other = folder.path().join("other.packed");
        std::fs::write(&other, bytes).expect("write");
        match Reader::open(&other) {
            Err(error @ Error::Format { .. }) => error.to_string(),
            other => panic!("not refused as a format error: {:?}", other.err()),
        }
    };
    assert!(message(&whole[..whole.len() / 2]).contains("cut short"));
    assert!(message(&[]).contains("empty file"));
    assert!(message(b">chr1\nACGT\n").contains("not a packed file"));
    assert!(message(&[&whole[..], b"\n"].concat()).contains("follow its end"));
    let mut newer = whole.clone();
    newer[8] = 9;
    assert!(message(&newer).contains("newer"));
    for place in [20, 100, 400, whole.len() - 3] {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x10;
        assert!(message(&damaged).contains("damaged"), "byte {place}");
    }
    assert!(matches!(Reader::open(folder.path().join("absent.packed")), Err(Error::Io { .. })));
    assert!(matches!(Reader::open(folder.path()), Err(Error::Io { .. })));
}

#[test]
fn a_file_that_changes_while_open_is_an_error() {
    let (_folder, path) = folder();
    write(&path, vocabulary(&[]), &example(9));
    let whole = std::fs::read(&path).expect("read");
    let reader = Reader::open(&path).expect("open");
    let opened = std::fs::OpenOptions::new().write(true).open(&path).expect("open");
    let ask = || reader.batch(&[0], TEXT, None).map(|_| ()).map_err(|e| e.to_string());
    // A new time alone is no change.
    opened.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("touch");
    assert_eq!(ask(), Ok(()));
    opened.set_len(10).expect("cut");
    assert!(ask().unwrap_err().contains("was cut"));
    assert!(verify(&reader, 2).unwrap_err().to_string().contains("cut"));
    opened.set_len(0).expect("cut");
    std::fs::write(&path, &whole).expect("write");
    assert_eq!(ask(), Ok(()));
    // File systems tell times apart by a few milliseconds.
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::os::unix::fs::FileExt::write_all_at(&opened, &[!whole[16]], 16).expect("write");
    assert!(ask().unwrap_err().contains("overwritten"));
}

#[test]
fn damage_in_a_sample_is_found_when_it_is_read() {
    let (folder, path) = folder();
    write(&path, vocabulary(&[]), &example(9));
    let mut bytes = std::fs::read(&path).expect("read");
    let reader = Reader::open(&path).expect("open");
    let tokens: String = reader.vocabulary().tokens().iter().flat_map(|t| [t.as_str(), "\n"]).collect();
    drop(reader);
    // The data section follows the head and the two small tables, each aligned to 64 bytes.
    let data = (64 + 256 + tokens.len()).next_multiple_of(64) + 2 * TOKENS.len();
    bytes[data.next_multiple_of(64) + 3] ^= 1;
    std::fs::write(&path, &bytes).expect("write");
    let reader = Reader::open(&path).expect("tables are whole");
    let to = folder.path().join("copy.packed");
    for outcome in
        [reader.batch(&[0], TEXT, None).map(|_| ()), verify(&reader, 2).map(|_| ()), shuffle(&reader, &to, 1)]
    {
        assert!(outcome.unwrap_err().to_string().contains("sample 0 does not have its checksum"));
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 1, "nothing is left behind");
}

#[test]
fn resealing_a_whole_file_changes_nothing() {
    let (_folder, path) = folder();
    write(&path, vocabulary(&[]), &example(9));
    let bytes = std::fs::read(&path).expect("read");
    let mut resealed = bytes.clone();
    super::reseal::reseal(&mut resealed);
    assert!(bytes == resealed);
}

#[test]
fn invalid_windows_are_refused() {
    let (_folder, path) = folder();
    let mut writer = Writer::create(&path, vocabulary(&[])).expect("create");
    let good = Segment {
        species: "a",
        seqid: "1",
        start: 0,
        length: 3,
        reverse: false,
        genetic_code: 1,
        flags: 0,
        tokens: &[5, 0],
        labels: &[8, 9],
        loss_end: None,
        ignores: &[],
        tracks: None,
    };
    for bad in [
        Segment { length: 4, ..good },
        Segment { length: 0, tokens: &[], ..good },
        Segment { tokens: &[5, 8, 0], ..good },
        Segment { tokens: &[5, 77], ..good },
        Segment { labels: &[8], ..good },
        Segment { labels: &[8, 10], ..good },
        Segment { loss_end: Some(3), ..good },
        Segment { ignores: &[(2, 2)], ..good },
        Segment { ignores: &[(2, 4)], ..good },
        Segment { tracks: Some(&[1]), ..good },
    ] {
        assert!(matches!(writer.add(&bad), Err(Error::Input(_))), "{bad:?}");
    }
    let window = writer.add(&good).expect("valid");
    writer.write_pack(&[window]).expect("pack");
    assert!(writer.write_pack(&[window]).is_err());
    assert!(writer.write_pack(&[7]).is_err());
}

#[test]
fn merging_needs_tokenizers_that_continue_one_another() {
    let (folder, path) = folder();
    let [grown, other, merged] = ["grown", "other", "merged"].map(|name| folder.path().join(name));
    write(&path, vocabulary(&[]), &example(9));
    write(&grown, vocabulary(&["<new>"]), &example(4));
    write(&other, vocabulary(&["<else>"]), &example(4));
    let [old, grown, other] = [&path, &grown, &other].map(|path| Reader::open(path).expect("open"));
    merge(&[&old, &grown], &merged, None).expect("merge");
    let reader = Reader::open(&merged).expect("open");
    assert_eq!(reader.vocabulary(), grown.vocabulary());
    assert_eq!(reader.len(), old.len() + grown.len());
    let metadata: serde_json::Value = serde_json::from_str(reader.metadata()).expect("JSON");
    assert_eq!(metadata, json!({"species": [{"name": "a"}], "priors": {"n": [2, 4]}}));
    assert!(merge(&[&grown, &other], &merged, None).unwrap_err().to_string().contains("different tokenizers"));
}

#[test]
fn a_spilled_spool_gives_the_same_file() {
    let (folder, path) = folder();
    let windows = example(40);
    write(&path, vocabulary(&[]), &windows);
    let spilled = folder.path().join("spilled.packed");
    let mut writer = Writer::create(&spilled, vocabulary(&[])).expect("create");
    for window in &windows {
        window.add(&mut writer);
        if window.start % 7000 == 0 {
            writer.spill_now().expect("spill");
        }
    }
    let packs = pack(writer.sizes(), &Budget { target: 60, hard_limit: 80, labels: 50 }).packs;
    packs.iter().for_each(|pack| writer.write_pack(pack).expect("pack"));
    writer.finish(&json!({"species": [{"name": "a"}], "priors": {"n": [1, 2]}})).expect("finish");
    assert_eq!(std::fs::read(path).expect("read"), std::fs::read(spilled).expect("read"));
}

/// `cargo test -- --ignored seeds` writes the seeds of the fuzz target anew after the format changed.
#[test]
#[ignore = "writes rust/fuzz/corpus/packed"]
fn seeds_of_the_fuzz_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/packed");
    std::fs::create_dir_all(&corpus).expect("create");
    write(&corpus.join("empty"), vocabulary(&[]), &[]);
    write(&corpus.join("two_windows"), vocabulary(&[]), &example(2));
    let mut windows = example(5);
    windows.iter_mut().for_each(|window| window.tracks = Some(vec![1; window.tokens.len()]));
    write(&corpus.join("tracks"), vocabulary(&[]), &windows);
    let language = crate::language::builtin_tokens();
    let words: Vec<&str> = language.iter().map(String::as_str).filter(|&token| !TOKENS.contains(&token)).collect();
    write(&corpus.join("language"), vocabulary(&words), &example(2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_written_is_read(windows in prop::collection::vec(window(), 0..25)) {
        let (_folder, path) = folder();
        let packs = write(&path, vocabulary(&[]), &windows);
        let reader = Reader::open(&path).expect("open");
        prop_assert_eq!(reader.len(), packs.len());
        for (segment, &window) in packs.iter().flatten().enumerate() {
            assert_holds(&reader, segment, &windows[window as usize]);
        }
        verify(&reader, 2).expect("verify");
        let all: Vec<usize> = (0..reader.len()).collect();
        let batch = reader.batch(&all, TEXT, None).expect("batch");
        let tokens: Vec<i64> =
            packs.iter().flatten().flat_map(|&w| windows[w as usize].tokens.iter().map(|&t| i64::from(t))).collect();
        prop_assert_eq!(batch.input_ids, tokens);
    }

    #[test]
    fn operations_keep_samples_whole(windows in prop::collection::vec(window(), 1..25), seed: u64) {
        let (folder, path) = folder();
        write(&path, vocabulary(&[]), &windows);
        let reader = Reader::open(&path).expect("open");
        let all: Vec<_> = (0..reader.len()).map(|sample| content(&reader, sample)).collect();
        let open = |path: &Path| Reader::open(path).expect("open");

        let to = folder.path().join("to.packed");
        shuffle(&reader, &to, seed).expect("shuffle");
        let mut shuffled: Vec<_> = { let r = open(&to); (0..r.len()).map(|s| content(&r, s)).collect() };
        let again = folder.path().join("again.packed");
        shuffle(&reader, &again, seed).expect("shuffle");
        prop_assert_eq!(std::fs::read(&to).expect("read"), std::fs::read(&again).expect("read"));
        let key = |c: &(Batch, Vec<(String, String, u64)>)| format!("{c:?}");
        shuffled.sort_by_key(key);
        let mut sorted = all.clone();
        sorted.sort_by_key(key);
        prop_assert_eq!(&shuffled, &sorted);

        let count = subset(&reader, &to, Share::Fraction(0.4), seed).expect("subset");
        prop_assert_eq!(count, ((all.len() as f64 * 0.4).round() as usize).max(1));
        let part = open(&to);
        // In the file's order.
        let mut rest = all.iter();
        for sample in 0..part.len() {
            let sample = content(&part, sample);
            prop_assert!(rest.any(|other| *other == sample));
        }

        let parts = [folder.path().join("1"), folder.path().join("2")];
        split(&reader, &parts, &[3.0, 1.0], seed).expect("split");
        let parts: Vec<Reader> = parts.iter().map(|path| open(path)).collect();
        merge(&parts.iter().collect::<Vec<_>>(), &to, None).expect("merge");
        let mut merged: Vec<_> = { let r = open(&to); verify(&r, 2).expect("verify"); (0..r.len()).map(|s| content(&r, s)).collect() };
        merged.sort_by_key(key);
        prop_assert_eq!(merged, sorted);
    }

    #[test]
    fn hostile_files_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), prop::bool::weighted(0.7)), 1..6)
    ) {
        // As a hostile writer would: checksums are right, and most changes hit the header and the tables.
        let (_folder, path) = folder();
        write(&path, vocabulary(&[]), &example(6));
        let mut bytes = std::fs::read(&path).expect("read");
        let tables = bytes.len() - 2 * 48 * 6;
        for (place, value, in_tables) in changes {
            let place = if in_tables { place.index(bytes.len() - tables) + tables } else { place.index(tables) };
            bytes[place] = value;
        }
        super::reseal::reseal(&mut bytes);
        std::fs::write(&path, &bytes).expect("write");
        if let Ok(reader) = Reader::open(&path) {
            let all: Vec<usize> = (0..reader.len()).collect();
            let read = reader.batch(&all, TEXT, None);
            if let Ok(batch) = &read {
                prop_assert!(batch.bases.len() <= bytes.len() * 40);
            }
            prop_assert!(read.is_ok() || verify(&reader, 2).is_err());
            (0..reader.segment_count()).for_each(|segment| drop(reader.trace(segment)));
            drop(LabelContext::new(&reader));
            drop(shuffle(&reader, &path.with_extension("copy"), 1));
        }
    }

    #[test]
    fn damaged_bytes_never_panic(place: prop::sample::Index, bits in 1u8.., cut: Option<prop::sample::Index>) {
        let (_folder, path) = folder();
        write(&path, vocabulary(&[]), &example(6));
        let mut bytes = std::fs::read(&path).expect("read");
        let place = place.index(bytes.len());
        bytes[place] ^= bits;
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        std::fs::write(&path, &bytes).expect("write");
        if let Ok(reader) = Reader::open(&path) {
            let all: Vec<usize> = (0..reader.len()).collect();
            let batch = reader.batch(&all, TEXT, None);
            prop_assert_eq!(batch.is_err(), verify(&reader, 2).is_err());
        }
    }
}
