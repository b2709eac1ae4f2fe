//! JSON Lines: an object a line, one field of which is the document.

use std::fmt;
use std::io::{BufRead, BufReader, Read};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::corpus::Documents;
use crate::error::{Context, Error, Result, plainly};

/// Longer lines are refused.
const MAX_LINE: u64 = 256 << 20;

/// Reads the field `field` of every line as a document; blank lines are passed over. A malformed line is an error
/// that names it.
pub fn read_json_lines(name: &str, lines: impl Read, field: &str, documents: &mut impl Documents) -> Result<()> {
    let mut lines = BufReader::with_capacity(1 << 16, lines);
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        (&mut lines).take(MAX_LINE + 1).read_until(b'\n', &mut line).map_err(|e| Error::io(name, &e))?;
        if line.is_empty() {
            break;
        }
        let place = format!("{name}:{number}");
        if line.len() as u64 > MAX_LINE {
            return Err(Error::data(format!("{place}: the line is longer than {MAX_LINE} bytes")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let text =
            parse(&line, field).map_err(|e| Error::data(format!("{place}: {}", plainly(e))))?.ok_or_else(|| {
                Error::data(format!("{place}: the object has no field {field:?}"))
                    .hint("--text-field names the field that holds the text")
            })?;
        documents.text(text.as_bytes()).at(name)?;
        documents.end().at(name)?;
    }
    Ok(())
}

fn parse(line: &[u8], field: &str) -> serde_json::Result<Option<String>> {
    let mut json = serde_json::Deserializer::from_slice(line);
    let text = Field(field).deserialize(&mut json)?;
    json.end()?;
    Ok(text)
}

/// Takes one string field of an object and passes over the others without keeping them.
struct Field<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a JSON object with a string field {:?}", self.0)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<Self::Value, M::Error> {
        let mut text = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != self.0 {
                map.next_value::<IgnoredAny>()?;
            } else if text.replace(map.next_value()?).is_some() {
                return Err(M::Error::custom(format!("the field {key:?} is repeated")));
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::corpus::Collected;
    use crate::error::Kind;

    #[test]
    fn every_line_is_a_document() {
        let lines = "{\"text\":\"a\\nb\",\"id\":[1,{}]}\n\n{\"id\":2,\"text\":\"\\u00fc\"}\r\n{\"text\":\"\"}";
        let mut collected = Collected::default();
        read_json_lines("c", lines.as_bytes(), "text", &mut collected).unwrap();
        let expected: [&[u8]; 3] = [b"a\nb", "ü".as_bytes(), b""];
        assert_eq!(collected.documents, expected);
    }

    #[test]
    fn a_malformed_line_is_refused_by_its_number() {
        let deep = format!("{{\"a\":{}", "[".repeat(1 << 20));
        for hostile in [
            "{\"text\":\"a\"",
            "{\"text\":\"a\"} x",
            "{\"text\":1}",
            "{\"text\":null}",
            "{\"other\":\"a\"}",
            "{\"text\":\"a\",\"text\":\"b\"}",
            "{\"text\":\"\\ud800\"}",
            "[\"a\"]",
            "plain",
            "\u{0}",
            &deep,
        ] {
            let lines = format!("{{\"text\":\"good\"}}\n{hostile}\n");
            let mut collected = Collected::default();
            let error = read_json_lines("c.jsonl", lines.as_bytes(), "text", &mut collected).expect_err(hostile);
            assert_eq!(error.kind(), Kind::Data, "{error}");
            assert!(error.to_string().starts_with("c.jsonl:2: "), "{error}");
        }
        let latin = b"{\"text\":\"\xfc\"}";
        let error = read_json_lines("c", &latin[..], "text", &mut Collected::default());
        assert_eq!(error.unwrap_err().kind(), Kind::Data);
    }
}
