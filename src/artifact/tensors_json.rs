//! The JSON of a safetensors header: read in one pass, with memory for what is kept of it alone; written in one form.

use std::collections::BTreeMap;
use std::fmt;

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// More dimensions are refused.
pub const MAX_RANK: usize = 8;

const METADATA: &str = "__metadata__";

/// A tensor as a header lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The element type.
    pub dtype: Dtype,
    /// The shape.
    pub shape: Vec<usize>,
    /// Where its data begin and end.
    pub data_offsets: (usize, usize),
}

/// The metadata, and the tensors in the order in which they are listed. Nothing is listed twice.
pub fn parse(json: &[u8]) -> serde_json::Result<(BTreeMap<String, String>, Vec<Entry>)> {
    serde_json::from_slice::<Listed>(json).map(|listed| (listed.metadata, listed.entries))
}

/// The canonical JSON: keys sorted by bytes, no white space.
pub fn write(metadata: &BTreeMap<String, String>, entries: &[Entry]) -> String {
    let mut listed: Vec<(&str, Option<&Entry>)> = entries.iter().map(|entry| (&*entry.name, Some(entry))).collect();
    if !metadata.is_empty() {
        listed.push((METADATA, None));
    }
    listed.sort_by_key(|(name, _)| *name);
    let quoted = |text: &str| Value::from(text).to_string();
    let mut json = String::from("{");
    for (name, entry) in listed {
        if json.len() > 1 {
            json.push(',');
        }
        json += &quoted(name);
        json.push(':');
        match entry {
            Some(Entry { dtype, shape, data_offsets: (begin, end), .. }) => {
                let (dtype, shape) = (serde_json::json!(dtype), serde_json::json!(shape));
                json += &format!("{{\"data_offsets\":[{begin},{end}],\"dtype\":{dtype},\"shape\":{shape}}}");
            }
            None => {
                let pairs = metadata.iter().map(|(key, value)| format!("{}:{}", quoted(key), quoted(value)));
                json += &format!("{{{}}}", pairs.collect::<Vec<_>>().join(","));
            }
        }
    }
    json + "}"
}

struct Listed {
    metadata: BTreeMap<String, String>,
    entries: Vec<Entry>,
}

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Listed, D::Error> {
        deserializer.deserialize_map(ListedVisitor)
    }
}

struct ListedVisitor;

impl<'de> Visitor<'de> for ListedVisitor {
    type Value = Listed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listed, A::Error> {
        #[derive(Deserialize)]
        struct Fields {
            dtype: Dtype,
            shape: Shape,
            data_offsets: (usize, usize),
        }
        let (mut metadata, mut entries) = (None, Vec::<Entry>::new());
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA {
                if metadata.replace(map.next_value::<Option<BTreeMap<String, String>>>()?).is_some() {
                    return Err(A::Error::custom("the metadata stand there twice"));
                }
                continue;
            }
            let fields = map.next_value::<Fields>();
            let shown: String = name.chars().take(100).collect();
            let Fields { dtype, shape, data_offsets } =
                fields.map_err(|e| A::Error::custom(format!("tensor {shown}: {e}")))?;
            entries.push(Entry { name, dtype, shape: shape.0, data_offsets });
        }
        let mut names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|two| two[0] == two[1]) {
            Some(two) => Err(A::Error::custom(format!("tensor {}: listed twice", two[0]))),
            None => Ok(Listed { metadata: metadata.flatten().unwrap_or_default(), entries }),
        }
    }
}

struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_seq(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a shape of at most {MAX_RANK} dimensions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let mut shape = Vec::new();
        while let Some(dimension) = seq.next_element()? {
            if shape.len() == MAX_RANK {
                return Err(A::Error::invalid_length(MAX_RANK + 1, &self));
            }
            shape.push(dimension);
        }
        Ok(Shape(shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::canonical;

    #[test]
    fn the_json_of_a_header_is_the_canonical_form_of_its_value() {
        let metadata = [("b\"", "\n"), ("a", "é\u{1}")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let entry = |(i, name): (usize, &str)| Entry {
            name: name.to_owned(),
            dtype: Dtype::F32,
            shape: vec![2, 3],
            data_offsets: (24 * i, 24 * (i + 1)),
        };
        let entries: Vec<Entry> = ["~", "Z", "_", "\"", "é"].into_iter().enumerate().map(entry).collect();
        for metadata in [BTreeMap::from(metadata), BTreeMap::new()] {
            let json = write(&metadata, &entries);
            assert_eq!(json, canonical::json(&serde_json::from_str(&json).unwrap()));
            let (again, mut found) = parse(json.as_bytes()).unwrap();
            found.sort_by_key(|entry| entry.data_offsets);
            assert_eq!((again, found), (metadata, entries.clone()));
        }
    }

    #[test]
    fn what_no_header_has_is_refused_by_name_where_it_stands() {
        let tensor = |shape: &str| format!("{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[0,4]}}");
        let one = tensor("[1]");
        for (json, says) in [
            (
                format!("{{\"w\":{}}}", tensor("[1,1,1,1,1,1,1,1,1]")),
                "tensor w: invalid length 9, expected a shape of at most 8",
            ),
            (format!("{{\"w\":{one},\"v\":{one},\"w\":{one}}}"), "tensor w: listed twice"),
            ("{\"__metadata__\":{},\"__metadata__\":{}}".into(), "twice"),
            ("{\"w\":{\"dtype\":\"F32\",\"shape\":[1]}}".into(), "tensor w: missing field `data_offsets`"),
            ("[]".into(), "an object of tensors"),
        ] {
            let error = parse(json.as_bytes()).map(drop).expect_err(says).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
