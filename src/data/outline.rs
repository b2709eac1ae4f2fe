//! How large the parts of a `tokenizer.json` are, before a parser makes something of each value: some of them keep every value
//! several times, in a hundred times the bytes that it has in the file.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::MAX_VOCAB;
use crate::error::{Error, Result};

/// Elements of the vocabulary, of the merges and of the added tokens, each.
const ELEMENTS: u64 = MAX_VOCAB as u64;
/// Values in each of those, nested ones counted: an added token is an object of seven.
const VALUES: u64 = 8 * ELEMENTS;
/// Values in any other part: normalizers, pre-tokenizers and their like.
const OTHERS: u64 = 4096;

/// Refuses what has more parts than any tokenizer. What is no JSON at all is left to the parser.
pub fn check(name: &str, json: &[u8]) -> Result<()> {
    let mut json = serde_json::Deserializer::from_slice(json);
    match Parts("").deserialize(&mut json) {
        Err(error) if error.is_data() && error.to_string().starts_with(TOO_MANY) => {
            let said = error.to_string();
            let said = said.rsplit_once(" at line").map_or(&*said, |(said, _)| said);
            Err(Error::data(format!("{name}: {}", &said[TOO_MANY.len()..])))
        }
        _ => Ok(()),
    }
}

/// How an error of ours begins, which passes through the parser's.
const TOO_MANY: &str = "too many values: ";

fn too_many<E: serde::de::Error>(part: &str, most: u64, what: &str) -> E {
    E::custom(format!("{TOO_MANY}{part}: expected at most {most} {what}, found more"))
}

/// The members of an object: of the whole file, or of its model.
struct Parts(&'static str);

impl<'de> DeserializeSeed<'de> for Parts {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Parts {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<(), M::Error> {
        let mut others = 0;
        while let Some(key) = map.next_key::<String>()? {
            let large = match self.0 {
                "" if key == "model" => {
                    map.next_value_seed(Parts("model."))?;
                    continue;
                }
                "" => key == "added_tokens",
                _ => key == "vocab" || key == "merges",
            };
            let part = format!("{}{key}", self.0);
            let mut values = if large { 0 } else { others };
            let (elements, most) = if large { (ELEMENTS, VALUES) } else { (OTHERS, OTHERS) };
            map.next_value_seed(Count { part: &part, elements, most, values: &mut values })?;
            others = if large { others } else { values };
        }
        Ok(())
    }
}

/// Counts the values in a part, and its elements.
struct Count<'a> {
    part: &'a str,
    elements: u64,
    most: u64,
    values: &'a mut u64,
}

impl Count<'_> {
    /// One more value, the `elements`th beside each other.
    fn one<E: serde::de::Error>(&mut self, elements: u64) -> std::result::Result<(), E> {
        *self.values += 1;
        if elements > self.elements {
            return Err(too_many(self.part, self.elements, "elements"));
        }
        if *self.values > self.most {
            return Err(too_many(self.part, self.most, "values"));
        }
        Ok(())
    }

    fn inner(&mut self) -> Count<'_> {
        Count { part: self.part, elements: self.elements, most: self.most, values: self.values }
    }
}

impl<'de> DeserializeSeed<'de> for Count<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Count<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> std::result::Result<(), M::Error> {
        for n in 1.. {
            if map.next_key::<IgnoredAny>()?.is_none() {
                break;
            }
            self.one(n)?;
            map.next_value_seed(self.inner())?;
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(mut self, mut seq: S) -> std::result::Result<(), S::Error> {
        let mut n = 0;
        while seq.next_element_seed(self.inner())?.is_some() {
            n += 1;
            self.one(n)?;
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> std::result::Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tokenizers_are_made_of_passes_and_what_no_tokenizer_has_does_not() {
        let many = |value: &str, n: u64| format!("[{}{value}]", format!("{value},").repeat(n as usize - 1));
        let vocab: Vec<String> = (0..50_000).map(|i| format!("\"w{i}\":{i}")).collect();
        let good = format!(
            "{{\"added_tokens\":{},\"normalizer\":null,\"model\":{{\"type\":\"BPE\",\"unk_token\":\"\\u00e9\",\"f\":-1.5,\
             \"b\":true,\"vocab\":{{{}}},\"merges\":{}}}}}",
            many("{\"id\":0,\"content\":\"a\",\"special\":true}", 5000),
            vocab.join(","),
            many("[\"a\",\"b\"]", 100_000)
        );
        check("t.json", good.as_bytes()).unwrap();
        for (json, part) in [
            (format!("{{\"normalizer\":{}}}", many("{}", OTHERS + 1)), "t.json: normalizer: expected at most 4096"),
            (format!("{{\"decoder\":[{}]}}", many("0", OTHERS)), "decoder: expected at most 4096 values"),
            (format!("{{\"a\":{0},\"b\":{0}}}", many("0", OTHERS / 2 + 1)), "b: expected at most 4096 values"),
            (
                format!("{{\"model\":{{\"merges\":{}}}}}", many("0", ELEMENTS + 1)),
                "model.merges: expected at most 1048576",
            ),
            (format!("{{\"model\":{{\"x\":{}}}}}", many("[]", OTHERS + 1)), "model.x: expected at most 4096"),
        ] {
            let error = check("t.json", json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part) && error.ends_with("found more"), "{error}");
        }
        // Not ours to say.
        for json in ["", "[", "[1]", "{\"model\":3}", &"[".repeat(1 << 20)] {
            check("t.json", json.as_bytes()).unwrap();
        }
    }
}
