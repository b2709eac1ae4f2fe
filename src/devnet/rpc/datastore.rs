//! `datastore` and `listdatastore`: small values that clients leave with the node.

use lightning::bitcoin::hashes::{Hash, sha256};
use serde_json::{Value, json};

use crate::node::{Datum, Node};

use super::answer::{Answer, RpcError};
use super::args::Args;

impl Datum {
    fn to_json(&self) -> Value {
        let mut value = json!({ "key": self.key, "generation": self.generation, "hex": self.hex });
        let text = hex::decode(&self.hex).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some(text) = text {
            value["string"] = text.into();
        }
        value
    }
}

/// A key as given: a string, or an array of strings.
fn parse_key(value: &Value) -> Result<Vec<String>, RpcError> {
    let wrong = || RpcError::params("key: should be a string or an array of strings");
    let part = |v: &Value| v.as_str().map(str::to_owned).ok_or_else(wrong);
    match value {
        Value::Array(parts) if !parts.is_empty() => parts.iter().map(part).collect(),
        Value::String(_) => Ok(vec![part(value)?]),
        _ => Err(wrong()),
    }
}

/// The row that a key is kept in.
fn row(key: &[String]) -> String {
    sha256::Hash::hash(Value::from(key.to_vec()).to_string().as_bytes()).to_string()
}

/// `datastore`: sets a value, as its mode allows.
pub fn set(node: &Node, args: &Args<'_>) -> Answer {
    let key = args.get("key").ok_or_else(|| RpcError::params("missing required parameter: key"))?;
    let key = parse_key(key)?;
    let given = match (args.text_if("string")?, args.text_if("hex")?) {
        (Some(text), None) => hex::encode(text),
        (None, Some(hex)) if hex::decode(hex).is_ok() => hex.to_lowercase(),
        _ => return Err(RpcError::params("expected either string or hex")),
    };
    let old = node.datum(&row(&key));
    let (must_exist, must_not, append) = match args.text_if("mode")?.unwrap_or("must-create") {
        "must-create" => (false, true, false),
        "must-replace" => (true, false, false),
        "create-or-replace" => (false, false, false),
        "must-append" => (true, false, true),
        "create-or-append" => (false, false, true),
        other => return Err(RpcError::params(format!("mode: unknown: {other}"))),
    };
    match &old {
        Some(_) if must_not => return Err(RpcError::new(1202, "already exists")),
        None if must_exist => return Err(RpcError::new(1203, "does not exist")),
        _ => {}
    }
    if let Some(generation) = args.number_if("generation")?
        && old.as_ref().is_none_or(|o| o.generation != generation)
    {
        return Err(RpcError::new(1204, "generation is different"));
    }
    let datum = Datum {
        generation: old.as_ref().map_or(0, |o| o.generation + 1),
        hex: old.filter(|_| append).map_or(String::new(), |o| o.hex) + &given,
        key,
    };
    let answer = datum.to_json();
    node.set_datum(&row(&datum.key), datum)?;
    Ok(answer)
}

/// `listdatastore`: the value of a key, or what lies directly below it.
pub fn list(node: &Node, args: &Args<'_>) -> Answer {
    let key = args.get("key").map(parse_key).transpose()?.unwrap_or_default();
    let mut found: Vec<Value> = Vec::new();
    for datum in node.data() {
        if datum.key == key || datum.key.len() == key.len() + 1 && datum.key.starts_with(&key) {
            found.push(datum.to_json());
        } else if datum.key.len() > key.len() + 1 && datum.key.starts_with(&key) {
            let below = json!({ "key": datum.key[..=key.len()] });
            if !found.contains(&below) {
                found.push(below);
            }
        }
    }
    Ok(json!({ "datastore": found }))
}
