//! Records: JSON Lines in one canonical form, some of them signed.
//!
//! Canonical: keys sorted by bytes, no white space, printable ASCII, integers from 0 to 2^53 - 1, no nulls.
//! A line that is not the canonical form of what it says is refused, so one content is one line, and unknown
//! or repeated fields never slip through. Signed records are signed as the string
//! `l402/1/<type>/<sha256 of the canonical record without "sig">`.

use std::path::Path;

use lightning::bitcoin::hashes::{Hash, sha256};
use lightning::bitcoin::secp256k1::PublicKey;
use lightning::util::message_signing;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Context, Error, Result};
use crate::fsio::{Source, read_text};

/// A list of records that many parties have written to may not be larger, in bytes.
const MAX_RECORDS: u64 = 1 << 30;

const MAX_INTEGER: u64 = (1 << 53) - 1;

/// A kind of record. Fields must be declared with `#[serde(deny_unknown_fields)]`; `"type"` and `"v"` are added.
pub trait Record: Serialize + DeserializeOwned {
    /// The value of `"type"`.
    const TYPE: &'static str;
}

/// A record that carries a signature.
pub trait Signed: Record {
    /// The signature field.
    fn sig(&mut self) -> &mut Option<String>;
}

/// The canonical line of a record, with its newline.
pub fn line<R: Record>(record: &R) -> Result<String> {
    Ok(canonical(&to_value(record)?)? + "\n")
}

fn to_value<R: Record>(record: &R) -> Result<Value> {
    let mut value = serde_json::to_value(record).map_err(|e| Error::bug(format!("{} record: {e}", R::TYPE)))?;
    let map = value.as_object_mut().ok_or_else(|| Error::bug(format!("{} record is no object", R::TYPE)))?;
    map.retain(|_, v| !v.is_null());
    map.insert("type".into(), R::TYPE.into());
    map.insert("v".into(), 1.into());
    Ok(value)
}

/// The canonical JSON of a value.
fn canonical(value: &Value) -> Result<String> {
    check(value)?;
    Ok(super::canonical::json(value))
}

fn check(value: &Value) -> Result<()> {
    match value {
        Value::Null => Err(Error::data("expected no nulls")),
        Value::Bool(_) => Ok(()),
        Value::Number(n) => match n.as_u64() {
            Some(n) if n <= MAX_INTEGER => Ok(()),
            _ => Err(Error::data(format!("expected integers from 0 to 2^53-1, found {n}"))),
        },
        Value::String(s) => match s.bytes().find(|b| !(0x20..0x7f).contains(b)) {
            None => Ok(()),
            Some(b) => Err(Error::data(format!("expected printable ASCII, found byte {b:#04x}"))),
        },
        Value::Array(values) => values.iter().try_for_each(check),
        Value::Object(map) => map.iter().try_for_each(|(key, value)| {
            check(&Value::String(key.clone()))?;
            check(value).at(format!("field {key}"))
        }),
    }
}

/// A line of a record file: its place, its type, its fields.
#[derive(Clone, Debug)]
pub struct Line {
    place: String,
    kind: String,
    value: Value,
}

impl Line {
    /// Parses one line, which must be canonical.
    pub fn parse(place: &str, text: &str) -> Result<Line> {
        let value: Value =
            serde_json::from_str(text).map_err(|e| Error::data(format!("{place}: not a JSON record: {e}")))?;
        if canonical(&value).at(place)? != text {
            return Err(Error::data(format!(
                "{place}: the record is not in canonical form (sorted keys, no white space, no repeated field)"
            )));
        }
        let kind = value.get("type").and_then(Value::as_str);
        let kind = kind.ok_or_else(|| Error::data(format!("{place}: the record has no \"type\"")))?.to_owned();
        match value.get("v").and_then(Value::as_u64) {
            Some(1) => {}
            found => {
                return Err(Error::data(format!(
                    "{place}: {kind} record: expected \"v\" 1, found {}",
                    found.map_or("none".into(), |v| v.to_string())
                )));
            }
        }
        Ok(Line { place: place.to_owned(), kind, value })
    }

    /// Parses a line that people write: white space between its parts is nothing.
    pub fn by_hand(place: &str, text: &str) -> Result<Line> {
        let (mut in_string, mut escaped) = (false, false);
        let part = |c: &char| {
            let keep = in_string || !c.is_ascii_whitespace();
            in_string ^= *c == '"' && !escaped;
            escaped = in_string && *c == '\\' && !escaped;
            keep
        };
        Line::parse(place, &text.chars().filter(part).collect::<String>())
    }

    /// The value of `"type"`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What a field says.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.value.get(name)
    }

    /// The record, if the line is of its type.
    pub fn get<R: Record>(&self) -> Result<Option<R>> {
        if self.kind != R::TYPE {
            return Ok(None);
        }
        let mut fields = self.value.clone();
        let map = fields.as_object_mut().expect("a record is an object");
        map.remove("type");
        map.remove("v");
        serde_json::from_value(fields)
            .map(Some)
            .map_err(|e| Error::data(format!("{}: {} record: {e}", self.place, R::TYPE)))
    }
}

/// The lines of a file of records; empty lines are passed over.
pub fn read_lines(path: &Path) -> Result<Vec<Line>> {
    let text = read_text(path)?;
    let name = path.display();
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(i, line)| Line::parse(&format!("{name}:{}", i + 1), line))
        .collect()
}

/// The lines of a file that many parties have written to: those that are records, and why the others are not.
pub fn read_lines_of_many(path: &Path) -> Result<(Vec<Line>, Vec<Error>)> {
    let bytes = Source::open(path)?.read_to_end(MAX_RECORDS)?;
    let name = path.display();
    let (mut lines, mut malformed) = (Vec::new(), Vec::new());
    for (i, line) in bytes.split(|b| *b == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let place = format!("{name}:{}", i + 1);
        let text = std::str::from_utf8(line).map_err(|_| Error::data(format!("{place}: not UTF-8")));
        match text.and_then(|text| Line::parse(&place, text)) {
            Ok(line) => lines.push(line),
            Err(error) => malformed.push(error),
        }
    }
    Ok((lines, malformed))
}

/// The records of one type among the lines of many parties; what is not well formed is passed over.
pub fn select_well_formed<R: Record>(lines: &[Line]) -> Vec<R> {
    lines.iter().filter_map(|line| line.get().ok().flatten()).collect()
}

/// The records of one type among lines; others are passed over.
pub fn select<R: Record>(lines: &[Line]) -> Result<Vec<R>> {
    lines.iter().filter_map(|l| l.get().transpose()).collect()
}

/// All records of one type in a file.
pub fn read<R: Record>(path: &Path) -> Result<Vec<R>> {
    select(&read_lines(path)?)
}

/// Who signs: a key in a file, or a Lightning node.
pub trait Signer {
    /// The public key that the signatures are checked with.
    fn public(&self) -> PublicKey;

    /// A signature of a printable text as a Lightning node's `signmessage` makes it, in zbase32.
    fn sign_message(&self, message: &str) -> Result<String>;
}

/// SHA-256 of a record's canonical form without its signature: what it is called by, and what is signed.
pub fn hash<R: Signed>(record: &R) -> Result<[u8; 32]> {
    let mut value = to_value(record)?;
    value.as_object_mut().expect("a record is an object").remove("sig");
    Ok(sha256::Hash::hash(canonical(&value)?.as_bytes()).to_byte_array())
}

fn signed_string<R: Signed>(record: &R) -> Result<String> {
    Ok(format!("l402/1/{}/{}", R::TYPE, hex::encode(hash(record)?)))
}

/// Signs a record in place. The signature is checked at once, so that no record leaves with one that others refuse.
pub fn sign<R: Signed + Clone>(record: &mut R, signer: &(impl Signer + ?Sized)) -> Result<()> {
    *record.sig() = Some(signer.sign_message(&signed_string(record)?)?);
    if verify(record, &signer.public())? {
        return Ok(());
    }
    Err(Error::refused(format!("{} record: the signature is not one by {}", R::TYPE, signer.public())))
}

/// Whether the record carries a signature by this key, which the caller has pinned.
pub fn verify<R: Signed + Clone>(record: &R, key: &PublicKey) -> Result<bool> {
    let message = signed_string(record)?;
    let mut record = record.clone();
    // zbase32 reads capitals too: one record would have many spellings, and as many digests.
    let one_spelling = |sig: &&str| !sig.bytes().any(|b| b.is_ascii_uppercase());
    let sig = record.sig().as_deref().filter(one_spelling);
    Ok(sig.is_some_and(|sig| message_signing::verify(message.as_bytes(), sig, key)))
}
