//! The ninth column: `key=value;` in GFF3, `key "value";` in GTF and GFF2.

use std::borrow::Cow;

/// The pairs of a GFF3 column, as they stand (still escaped). Text without `=` is given as a pair without a value: some
/// files leave semicolons in notes unescaped.
pub fn gff3(column: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = column;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
            let field = rest[..end].trim_ascii();
            rest = rest.get(end + 1..).unwrap_or(&[]);
            if field.is_empty() || field == b"." {
                continue;
            }
            // Keys are short: a plain search is quicker than the start of a vectorised one.
            return Some(match field.iter().position(|&b| b == b'=') {
                Some(at) => (field[..at].trim_ascii_end(), field[at + 1..].trim_ascii_start()),
                None => (field, &[][..]),
            });
        }
        None
    })
}

/// The pairs of a GTF or GFF2 column, values without their quotes. A semicolon inside quotes ends nothing.
pub fn gtf(column: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = column;
    std::iter::from_fn(move || {
        loop {
            let start = rest.iter().position(|b| !matches!(b, b' ' | b';' | b'\t'))?;
            rest = &rest[start..];
            let key_end = rest.iter().position(|b| matches!(b, b' ' | b'=' | b';')).unwrap_or(rest.len());
            let key = &rest[..key_end];
            rest = &rest[key_end..];
            let value_start = rest.iter().position(|b| !matches!(b, b' ' | b'=')).unwrap_or(rest.len());
            rest = &rest[value_start..];
            let value = if let [b'"', quoted @ ..] = rest {
                let end = memchr::memchr(b'"', quoted).unwrap_or(quoted.len());
                rest = quoted.get(end + 1..).unwrap_or(&[]);
                let next = memchr::memchr(b';', rest).unwrap_or(rest.len());
                rest = &rest[next..];
                &quoted[..end]
            } else {
                let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
                let value = rest[..end].trim_ascii();
                rest = &rest[end..];
                value
            };
            if !key.is_empty() {
                return Some((key, value));
            }
        }
    })
}

/// Percent escapes undone; text that is not UTF-8 is kept readable.
pub fn decode(text: &[u8]) -> Cow<'_, str> {
    if memchr::memchr(b'%', text).is_none() {
        return String::from_utf8_lossy(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let digit = |i: usize| text.get(at + i).and_then(|&b| (b as char).to_digit(16));
        match (text[at], digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                at += 3;
            }
            (b, ..) => {
                bytes.push(b);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// Bytes that a GFF3 attribute's value may hold as they are.
const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut b = 0;
    while b < 256 {
        plain[b] = !matches!(b as u8, b';' | b'=' | b'&' | b',' | b'%' | 0..=31 | 127);
        b += 1;
    }
    plain
};

/// Text for a GFF3 attribute's value: what the format reserves is escaped, and blanks at the ends.
pub fn encode(text: &str, out: &mut Vec<u8>) {
    let plain = text.bytes().all(|b| PLAIN[usize::from(b)]) && !text.starts_with(' ') && !text.ends_with(' ');
    if plain {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let last = text.len().wrapping_sub(1);
    for (i, &b) in text.as_bytes().iter().enumerate() {
        match b {
            _ if !PLAIN[usize::from(b)] => out.extend_from_slice(format!("%{b:02X}").as_bytes()),
            b' ' if i == 0 || i == last => out.extend_from_slice(b"%20"),
            _ => out.push(b),
        }
    }
}

/// Text for GFF3's first column: anything but `[a-zA-Z0-9.:^*$@!+_?-|]` is escaped.
pub fn encode_seqid(text: &str, out: &mut Vec<u8>) {
    for (i, &b) in text.as_bytes().iter().enumerate() {
        let plain = b.is_ascii_alphanumeric() || b".:^*$@!+_?-|/#()[]{}~".contains(&b) || b >= 128;
        // A name that starts with '>' or '#' would be read as something else; '>' is escaped anywhere.
        if plain && !(i == 0 && b == b'#') {
            out.push(b);
        } else {
            out.extend_from_slice(format!("%{b:02X}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs<'a>(found: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<(String, String)> {
        found.map(|(k, v)| (decode(k).into_owned(), decode(v).into_owned())).collect()
    }

    #[test]
    fn gff3_columns() {
        let found = pairs(gff3(b"ID=a%3Bb; Name = x y ;;Note=one; two;empty=;."));
        let expected = [("ID", "a;b"), ("Name", "x y"), ("Note", "one"), ("two", ""), ("empty", "")];
        assert_eq!(found, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn gtf_columns() {
        let found = pairs(gtf(b"gene_id \"a b\"; transcript_id \"t;1\" ; exon 3;tag \"basic\";Note unquoted text"));
        let expected =
            [("gene_id", "a b"), ("transcript_id", "t;1"), ("exon", "3"), ("tag", "basic"), ("Note", "unquoted text")];
        assert_eq!(found, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(pairs(gtf(b"g1.t1")), [("g1.t1".to_owned(), String::new())]);
    }

    proptest! {
        #[test]
        fn escapes_come_back(text in ".{0,40}") {
            let mut escaped = Vec::new();
            encode(&text, &mut escaped);
            prop_assert!(!escaped.iter().any(|b| b";=&,\t\n".contains(b)));
            prop_assert_eq!(decode(&escaped), text.as_str());
            let mut escaped = Vec::new();
            encode_seqid(&text, &mut escaped);
            prop_assert!(!escaped.iter().any(|b| b" \t\n>".contains(b)));
            prop_assert_eq!(decode(&escaped), text.as_str());
        }

        #[test]
        fn any_column_ends(column in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(gff3(&column).count() + gtf(&column).count() <= 2 * column.len());
        }
    }
}
