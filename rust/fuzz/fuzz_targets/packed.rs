//! Packed files: any bytes, as they are or with all checksums made right, are samples or an error; nothing read is larger
//! than the file allows.
#![no_main]

use std::cell::RefCell;
use std::io::Write;

use genet5_core::packed::{LabelContext, Reader, Want, reseal::reseal, verify};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    let mut sealed = bytes.to_vec();
    reseal(&mut sealed);
    read(&sealed);
});

fn read(bytes: &[u8]) {
    thread_local!(static FOLDER: RefCell<tempfile::TempDir> = RefCell::new(folder()));
    let path = FOLDER.with_borrow(|folder| folder.path().join("fuzz.packed"));
    let mut file = std::fs::File::create(&path).expect("a temporary file");
    file.write_all(bytes).expect("a temporary file");
    drop(file);
    let Ok(reader) = Reader::open(&path) else { return };
    let all: Vec<usize> = (0..reader.len()).collect();
    let labels = LabelContext::new(&reader).ok();
    let want = Want { bases: true, text: true, base_labels: labels.is_some() };
    if let Ok(batch) = reader.batch(&all, want, labels.as_ref()) {
        assert_eq!(batch.class_labels.len(), if want.base_labels { 2 * batch.bases.len() } else { 0 });
        assert_eq!(batch.target_offsets.last().copied(), Some(batch.labels.len() as i64));
    }
    for segment in 0..reader.segment_count() {
        drop(reader.trace(segment));
    }
    drop(verify(&reader, 2));
}

fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a temporary folder")
}
