//! One line of GFF3 or GTF into its fields.
//!
//! GFF3 1.26, "nine columns, separated by tabs"; GTF 2.2 has the same first eight.

use crate::gene::Strand;

/// A feature row. Coordinates are 0-based, half-open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record<'a> {
    pub seqid: &'a [u8],
    pub source: &'a [u8],
    pub word: &'a [u8],
    pub start: u64,
    /// Below `start` where the row's start passes its end: over the origin of a circular sequence, else an error.
    pub end: u64,
    pub strand: Strand,
    pub phase: Option<u8>,
    pub attributes: &'a [u8],
}

/// The first two columns of a line, with their tabs. Neighbours mostly share them, and then their slices are the same.
#[derive(Default)]
pub struct Start<'a> {
    columns: &'a [u8],
    /// Length of the first.
    seqid: usize,
}

/// The largest coordinate taken: leaves room for sums of coordinates.
const LARGEST: u64 = 1 << 40;

/// The fields of a line without its line end; `None` where [`diagnose`] finds the fault.
pub fn parse(line: &[u8]) -> Option<Record<'_>> {
    let (seqid, rest) = column(line)?;
    let (source, rest) = column(rest)?;
    let (word, rest) = column(rest)?;
    let (start, rest) = number_column(rest)?;
    let (end, rest) = number_column(rest)?;
    let rest = match rest {
        [b'.', b'\t', rest @ ..] => rest,
        _ => {
            let (score, rest) = column(rest)?;
            is_score(score).then_some(rest)?
        }
    };
    let (strand, rest) = match rest {
        [b'+', b'\t', rest @ ..] => (Strand::Forward, rest),
        [b'-', b'\t', rest @ ..] => (Strand::Reverse, rest),
        [b'.' | b'?', b'\t', rest @ ..] => (Strand::Unknown, rest),
        _ => return None,
    };
    let (phase, rest) = match rest {
        [b'.', rest @ ..] => (None, rest),
        [digit @ b'0'..=b'2', rest @ ..] => (Some(digit - b'0'), rest),
        _ => return None,
    };
    let blanks = rest.iter().take_while(|&&b| b == b' ').count();
    let rest = &rest[blanks..];
    let attributes = match rest {
        [b'\t', attributes @ ..] => attributes,
        // GTF and GFF2 allow a row without the ninth column.
        [] => rest,
        _ => return None,
    };
    if seqid.is_empty() || word.is_empty() || start == 0 || end == 0 || memchr::memchr(b'\t', attributes).is_some() {
        return None;
    }
    Some(Record { seqid: trim(seqid), source, word: trim(word), start: start - 1, end, strand, phase, attributes })
}

/// The line that the text begins with, as [`parse`] reads it, and its length with its line end; quick, in one pass, where
/// the line is as most lines are. `None` where that is for [`parse`] to judge.
pub fn quick<'a>(text: &'a [u8], last: &mut Start<'a>) -> Option<(Record<'a>, usize)> {
    let rest = match text.strip_prefix(last.columns) {
        Some(rest) if !last.columns.is_empty() => rest,
        _ => {
            let (seqid, rest) = quick_column(text)?;
            let (_, rest) = quick_column(rest)?;
            *last = Start { columns: &text[..text.len() - rest.len()], seqid: seqid.len() };
            rest
        }
    };
    let (seqid, source) = (&last.columns[..last.seqid], &last.columns[last.seqid + 1..last.columns.len() - 1]);
    let (word, rest) = quick_column(rest)?;
    let (start, rest) = quick_number(rest)?;
    let (end, rest) = quick_number(rest)?;
    let rest = match rest {
        [b'.', b'\t', rest @ ..] => rest,
        _ => {
            let (score, rest) = quick_column(rest)?;
            is_score(score).then_some(rest)?
        }
    };
    let [strand, b'\t', phase, b'\t', rest @ ..] = rest else { return None };
    let strand = match strand {
        b'+' => Strand::Forward,
        b'-' => Strand::Reverse,
        b'.' | b'?' => Strand::Unknown,
        _ => return None,
    };
    let phase = match phase {
        b'.' => None,
        b'0'..=b'2' => Some(phase - b'0'),
        _ => return None,
    };
    let length = memchr::memchr2(b'\n', b'\t', rest)?;
    let used = text.len() - rest.len() + length + 1;
    let attributes = match &rest[..length] {
        _ if rest[length] == b'\t' => return None,
        [attributes @ .., b'\r'] => attributes,
        attributes => attributes,
    };
    let named = |field: &[u8]| matches!((field.first(), field.last()), (Some(first), Some(last)) if *first != b' ' && *last != b' ');
    if !named(seqid) || !named(word) || start == 0 || end == 0 {
        return None;
    }
    Some((Record { seqid, source, word, start: start - 1, end, strand, phase, attributes }, used))
}

/// A short column without control characters.
fn quick_column(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&b| b < b' ')?;
    (text[at] == b'\t').then(|| (&text[..at], &text[at + 1..]))
}

/// A number of at most twelve digits: none of them passes [`LARGEST`].
fn quick_number(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (i, &b) in text.iter().enumerate().take(13) {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return (b == b'\t' && i > 0).then(|| (value, &text[i + 1..]));
        }
        value = value * 10 + u64::from(digit);
    }
    None
}

fn trim(field: &[u8]) -> &[u8] {
    match field {
        [b' ', ..] | [.., b' '] => field.trim_ascii(),
        _ => field,
    }
}

fn column(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = line.iter().position(|&b| b == b'\t')?;
    Some((&line[..at], &line[at + 1..]))
}

fn number_column(line: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (i, &b) in line.iter().enumerate() {
        match b {
            // Eighteen digits cannot overflow.
            b'0'..=b'9' if i < 18 => value = value * 10 + u64::from(b - b'0'),
            b'0'..=b'9' => value = value.checked_mul(10)?.checked_add(u64::from(b - b'0'))?,
            b'\t' if i > 0 && value <= LARGEST => return Some((value, &line[i + 1..])),
            // A few files pad their numbers.
            b' ' if i > 0 && value <= LARGEST => {
                let (blank, rest) = column(&line[i..])?;
                return blank.trim_ascii().is_empty().then_some((value, rest));
            }
            _ => return None,
        }
    }
    None
}

fn is_score(field: &[u8]) -> bool {
    field == b"." || std::str::from_utf8(field).is_ok_and(|text| text.trim().parse::<f64>().is_ok())
}

/// What is wrong with a row of GFF3 without its ninth column.
pub fn diagnose_short(line: &[u8]) -> String {
    let shown: String = String::from_utf8_lossy(line).chars().take(60).collect();
    format!("expected 9 columns separated by tabs, found 8 in '{shown}'; write '.' where there are no attributes")
}

/// What is wrong with a line that [`parse`] refuses.
pub fn diagnose(line: &[u8]) -> String {
    let fields: Vec<&[u8]> = line.split(|&b| b == b'\t').collect();
    let shown = |field: &[u8]| {
        let text: String = String::from_utf8_lossy(field).chars().take(60).collect();
        format!("'{text}'")
    };
    if fields.len() < 8 || fields.len() > 9 {
        let hint = match line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).count() {
            8.. if fields.len() == 1 => "; columns are separated by spaces here, and must be by tabs",
            _ => "",
        };
        let found = fields.len();
        return format!("expected 9 columns separated by tabs, found {found} in {}{hint}", shown(line));
    }
    let mut numbers = [0; 2];
    for (i, name) in ["start", "end"].into_iter().enumerate() {
        let field = fields[3 + i].trim_ascii_end();
        numbers[i] = match std::str::from_utf8(field).ok().map(str::parse::<i128>) {
            Some(Ok(n)) if n < 1 => return format!("the {name} is {n}, but coordinates are counted from 1"),
            Some(Ok(n)) if n > i128::from(LARGEST) => return format!("the {name} {n} is too large"),
            Some(Ok(n)) if field.iter().all(u8::is_ascii_digit) => n,
            _ => return format!("could not parse the {name} {}: not a whole number", shown(field)),
        };
    }
    if trim(fields[0]).is_empty() {
        return "the sequence id (column 1) is empty".into();
    }
    if trim(fields[2]).is_empty() {
        return "the feature type (column 3) is empty".into();
    }
    if !is_score(fields[5]) {
        return format!("could not parse the score {}: neither a number nor '.'", shown(fields[5]));
    }
    if !matches!(fields[6], b"+" | b"-" | b"." | b"?") {
        return format!("the strand is {}, not one of + - . ?", shown(fields[6]));
    }
    format!("the phase is {}, not one of 0 1 2 .", shown(fields[7]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields() {
        let record = parse(b"chr 1\tsrc\tCDS\t10\t20\t1e-3\t-\t2\tID=a").unwrap();
        assert_eq!((record.seqid, record.word, record.start, record.end), (&b"chr 1"[..], &b"CDS"[..], 9, 20));
        assert_eq!((record.strand, record.phase, record.attributes), (Strand::Reverse, Some(2), &b"ID=a"[..]));
        assert_eq!(parse(b"c\t.\tgene\t1\t1\t.\t?\t.").unwrap().attributes, b"");
        let line = b"chr 1\tsrc\tCDS\t10\t20\t1e-3\t-\t2\tID=a\r\n";
        let mut last = Start::default();
        for _ in 0..2 {
            assert_eq!(quick(line, &mut last), Some((record, line.len())));
        }
        let padded = parse(b"c \t.\tgene \t1 \t12 \t.\t-\t.  \tGene \"x\"").unwrap();
        assert_eq!(
            (padded.word, padded.start, padded.end, padded.attributes),
            (&b"gene"[..], 0, 12, &b"Gene \"x\""[..])
        );
    }

    #[test]
    fn faults() {
        for (line, words) in [
            ("c\t.\tgene\t1e2\t5\t.\t+\t.\t.", "could not parse the start '1e2'"),
            ("c\t.\tgene\t0\t5\t.\t+\t.\t.", "the start is 0"),
            ("c\t.\tgene\t1\t-5\t.\t+\t.\t.", "the end is -5"),
            ("c\t.\tgene\t1\t99999999999999999999\t.\t+\t.\t.", "too large"),
            ("c\t.\tgene\t+1\t5\t.\t+\t.\t.", "could not parse the start '+1'"),
            ("c\t.\tgene\t1\t5\tx\t+\t.\t.", "the score 'x'"),
            ("c\t.\tgene\t1\t5\t.\t*\t.\t.", "the strand is '*'"),
            ("c\t.\tCDS\t1\t5\t.\t+\t3\t.", "the phase is '3'"),
            ("c\t.\tgene\t1\t5", "expected 9 columns separated by tabs, found 5"),
            ("c . gene 1 5 . + . ID=a", "separated by spaces"),
            ("c\t.\tgene\t1\t5\t.\t+\t.\tID=a\tb", "found 10"),
            ("\t.\tgene\t1\t5\t.\t+\t.\t.", "sequence id"),
            ("c\t.\t\t1\t5\t.\t+\t.\t.", "feature type"),
        ] {
            assert!(parse(line.as_bytes()).is_none(), "{line}");
            assert!(diagnose(line.as_bytes()).contains(words), "{line}: {}", diagnose(line.as_bytes()));
        }
    }

    proptest! {
        #[test]
        fn quick_reads_the_same(
            line in "(c|chr1| d)\t(s|so urce|)\t(gene|CDS|exon |)\t[0-9]{0,3}[ x]?\t[0-9]{1,13}\t([.]|1e-3|x)\t[-+.?*]\t[.0-3 ]\t?[=;a\t\u{e9}]{0,9}\r{0,2}",
            more in proptest::bool::ANY,
        ) {
            let mut last = Start { columns: b"chr1\tso urce\t", seqid: 4 };
            let stripped = line.strip_suffix('\r').unwrap_or(&line).as_bytes();
            let text = format!("{line}\n{}", if more { "c\tx\ty\n" } else { "" });
            if let Some((found, used)) = quick(text.as_bytes(), &mut last) {
                prop_assert_eq!(Some(found), parse(stripped));
                prop_assert_eq!(used, line.len() + 1);
            }
        }

        #[test]
        fn any_line_is_parsed_or_diagnosed(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            if parse(&line).is_none() {
                prop_assert!(!diagnose(&line).is_empty());
            }
        }

        #[test]
        fn numbers(start in 1u64..1 << 40, length in 0u64..1000) {
            let line = format!("c\t.\tgene\t{start}\t{}\t.\t+\t.\t.", start + length);
            let parsed = parse(line.as_bytes()).map(|r| (r.start + 1, r.end));
            prop_assert_eq!(parsed.is_some(), start + length <= 1 << 40);
            if let Some(found) = parsed { prop_assert_eq!(found, (start, start + length)); }
        }
    }
}
