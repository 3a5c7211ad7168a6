//! Makes all checksums of a file's bytes right again, so that tests and fuzzing reach the checks behind them: a hostile
//! writer can do the same.

use twox_hash::XxHash3_64;

use super::format::{ENTRY_BYTES, HEADER_BYTES, SampleRow, Section, TABLE_BYTES, u32_at, u64_at};

fn put(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// Recomputes every checksum whose bytes can be found.
pub fn reseal(bytes: &mut [u8]) {
    if bytes.len() < HEADER_BYTES + TABLE_BYTES {
        return;
    }
    let entry = |section: Section| HEADER_BYTES + ENTRY_BYTES * section as usize;
    let range = |bytes: &[u8], section: Section| {
        let start = usize::try_from(u64_at(bytes, entry(section) + 8)).ok()?;
        let end = start.checked_add(usize::try_from(u64_at(bytes, entry(section) + 16)).ok()?)?;
        (end <= bytes.len()).then_some(start..end)
    };
    let size = bytes.len() as u64;
    put(bytes, 16, size);
    let mut checksums = Vec::new();
    if let (Some(data), Some(samples)) = (range(bytes, Section::Data), range(bytes, Section::Samples)) {
        let size = bytes.len();
        for row in samples.step_by(SampleRow::BYTES).filter(|row| row + SampleRow::BYTES <= size) {
            let offset = usize::try_from(u64_at(bytes, row)).unwrap_or(usize::MAX);
            let start = data.start.checked_add(offset);
            let block = start.and_then(|start| bytes.get(start..start.checked_add(u32_at(bytes, row + 8) as usize)?));
            if let Some(checksum) = block.map(XxHash3_64::oneshot) {
                put(bytes, row + 40, checksum);
            }
            checksums.extend_from_slice(&bytes[row + 40..row + 48]);
        }
    }
    for section in Section::ALL {
        let checksum = match section {
            Section::Data => Some(XxHash3_64::oneshot(&checksums)),
            _ => range(bytes, section).map(|range| XxHash3_64::oneshot(&bytes[range])),
        };
        if let Some(checksum) = checksum {
            put(bytes, entry(section) + 24, checksum);
            if section == Section::Tokens {
                put(bytes, 40, checksum);
            }
        }
    }
    let table = XxHash3_64::oneshot(&bytes[HEADER_BYTES..HEADER_BYTES + TABLE_BYTES]);
    put(bytes, 48, table);
    let header = XxHash3_64::oneshot(&bytes[..56]);
    put(bytes, 56, header);
}
