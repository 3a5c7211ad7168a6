//! TOML files as JSON, for the tables of taxa and species and a user's own.

use std::path::Path;

use serde::{Serialize, Serializer};

use crate::error::{Error, Result};
use crate::input;

/// JSON of a TOML file's tables, in their order. A syntax error names the line; dates become text.
pub fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Error::format(path, 1, "this is no TOML file: it is not UTF-8 text"))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = input::line_of(&bytes, error.span().map_or(0, |span| span.start));
        Error::format(path, line, error.message().lines().collect::<Vec<_>>().join(", "))
    })?;
    serde_json::to_string(&Json(&toml::Value::Table(table)))
        .map_err(|error| Error::format(path, 1, format!("no JSON can say what it holds: {error}")))
}

struct Json<'a>(&'a toml::Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.0 {
            toml::Value::Datetime(date) => serializer.collect_str(date),
            toml::Value::Array(items) => serializer.collect_seq(items.iter().map(Json)),
            toml::Value::Table(table) => serializer.collect_map(table.iter().map(|(key, item)| (key, Json(item)))),
            other => other.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &[u8]) -> Result<String> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("written");
        read(file.path())
    }

    #[test]
    fn tables_become_json() {
        let table = of(b"z = 1\n[b]\nc = [true, 2.5, \"x\"]\na = 2026-01-02\n").expect("valid");
        assert_eq!(table, r#"{"z":1,"b":{"c":[true,2.5,"x"],"a":"2026-01-02"}}"#);
    }

    #[test]
    fn faults_name_the_line() {
        for (text, words) in
            [(&b"a = 1\nb = \n"[..], "line 2: "), (b"a = 1\na = 2\n", "line 2: duplicate key"), (b"\xff", "not UTF-8")]
        {
            let message = of(text).expect_err("a fault").to_string();
            assert!(message.contains(words) && !message.contains('\n'), "{message}");
        }
    }
}
