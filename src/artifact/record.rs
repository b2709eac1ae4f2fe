//! Records: JSON Lines in one canonical form, some of them signed.
//!
//! Canonical: keys sorted by bytes, no white space, printable ASCII, integers from 0 to 2^53 - 1, no nulls.
//! A line that is not the canonical form of what it says is refused, so one content is one line, and unknown
//! or repeated fields never slip through. Signed records are signed as the string
//! `l402/1/<type>/<sha256 of the canonical record without "sig">`.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use lightning::bitcoin::hashes::{Hash, sha256};
use lightning::bitcoin::secp256k1::PublicKey;
use lightning::util::message_signing;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::room::Room;
use crate::error::{Context, Error, Result, plainly};
use crate::fsio::Source;

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

/// The longest `"type"`, in bytes.
const MAX_TYPE: usize = 64;

/// A line of a record file: its place, its type, its text.
#[derive(Clone, Debug)]
pub struct Line {
    place: String,
    kind: String,
    /// As it was written: a parsed value would take many times as much.
    text: String,
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
        let kind = kind.ok_or_else(|| Error::data(format!("{place}: the record has no \"type\"")))?;
        if kind.len() > MAX_TYPE {
            let found = kind.len();
            return Err(Error::data(format!(
                "{place}: expected a \"type\" of at most {MAX_TYPE} bytes, found {found}"
            )));
        }
        match value.get("v").and_then(Value::as_u64) {
            Some(1) => {}
            found => {
                return Err(Error::data(format!(
                    "{place}: {kind} record: expected \"v\" 1, found {}",
                    found.map_or("none".into(), |v| v.to_string())
                )));
            }
        }
        Ok(Line { place: place.to_owned(), kind: kind.to_owned(), text: text.to_owned() })
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

    /// The line as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value of `"type"`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What a field says.
    pub fn field(&self, name: &str) -> Option<Value> {
        let fields: Value = serde_json::from_str(&self.text).expect("it was parsed before");
        fields.get(name).cloned()
    }

    /// The record, if the line is of its type.
    pub fn get<R: Record>(&self) -> Result<Option<R>> {
        if self.kind != R::TYPE {
            return Ok(None);
        }
        let mut fields: Value = serde_json::from_str(&self.text).expect("it was parsed before");
        let map = fields.as_object_mut().expect("a record is an object");
        map.remove("type");
        map.remove("v");
        serde_json::from_value(fields)
            .map(Some)
            .map_err(|e| Error::data(format!("{}: {} record: {}", self.place, R::TYPE, brief(&e))))
    }
}

/// What a parser says of foreign text, which it quotes: no page of it.
fn brief(error: &serde_json::Error) -> String {
    plainly(error).chars().take(400).collect()
}

/// The lines of a file that one party answers for: all of them are records. Empty lines are passed over.
pub fn read_lines(path: &Path) -> Result<Vec<Line>> {
    read_lines_within(path, Room::any())
}

/// [`read_lines`] of a file that holds no more than this.
pub fn read_lines_within(path: &Path, room: Room) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    each_line(path, room, |place, bytes, whole| {
        whole?;
        lines.push(parse(place, bytes)?);
        Ok(())
    })?;
    Ok(lines)
}

/// The lines of a text that was read before, and that one party answers for.
pub fn parse_lines(name: &str, text: &str) -> Result<Vec<Line>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
    lines.map(|(i, line)| Line::parse(&format!("{name}:{}", i + 1), line)).collect()
}

/// The lines of a file that many parties have written to: those that are records, and why the others are not. Whatever
/// stands before a record on its line, as where somebody's last newline is missing, costs nobody that record.
pub fn read_lines_of_many(path: &Path, room: Room) -> Result<(Vec<Line>, Vec<Error>)> {
    let (mut lines, mut malformed) = (Vec::new(), Vec::new());
    each_line(path, room, |place, bytes, whole| {
        let why = match whole.and_then(|()| parse(place, bytes)) {
            Ok(line) => {
                lines.push(line);
                return Ok(());
            }
            Err(why) => why,
        };
        let (mut rest, first) = (bytes, lines.len());
        while let Some((at, line)) = last_object(rest).and_then(|at| Some((at, parse(place, &rest[at..]).ok()?))) {
            lines.push(line);
            rest = &rest[..at];
        }
        lines[first..].reverse();
        malformed.extend((!rest.is_empty()).then_some(why));
        Ok(())
    })?;
    Ok((lines, malformed))
}

fn parse(place: &str, bytes: &[u8]) -> Result<Line> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::data(format!("{place}: not UTF-8")))?;
    Line::parse(place, text)
}

/// Where the JSON object begins that these bytes end with, if they end with one. One pass backwards: outside of a string
/// every quote ends one, inside of it the one without a backslash begins it.
fn last_object(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut quoted) = (0usize, false);
    for (at, byte) in bytes.iter().enumerate().rev() {
        match byte {
            b'"' if quoted => {
                let escapes = bytes[..at].iter().rev().take_while(|b| **b == b'\\').count();
                quoted = escapes % 2 == 1;
            }
            _ if quoted => {}
            b'"' => quoted = true,
            b'}' | b']' => depth += 1,
            b'{' | b'[' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return (*byte == b'{').then_some(at);
                }
            }
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// Every line of a file that is not empty, with its place, as long as there is room; of one that is too long, that it is
/// and how it ends.
fn each_line(path: &Path, room: Room, mut each: impl FnMut(&str, &[u8], Result<()>) -> Result<()>) -> Result<()> {
    let source = Source::text(path)?.within(room.bytes)?;
    let name = source.name().to_owned();
    let beyond =
        |place: &str, most: u64, of: &str| Error::data(format!("{place}: expected at most {most} {of}, found more"));
    let mut reader = BufReader::with_capacity(1 << 16, source.take(room.bytes + 1));
    let (mut line, mut read) = (Vec::new(), 0);
    for number in 1u64.. {
        line.clear();
        let place = format!("{name}:{number}");
        let mut whole = Ok(());
        loop {
            let more = (&mut reader).take(room.line).read_until(b'\n', &mut line).map_err(|e| Error::io(&name, &e))?;
            read += more as u64;
            let cut = line.len().saturating_sub(room.line as usize);
            if cut > 0 {
                line.drain(..cut);
                whole = Err(beyond(&place, room.line, "bytes in a line"));
            }
            if more == 0 || line.ends_with(b"\n") {
                break;
            }
        }
        if line.is_empty() {
            break;
        }
        if read > room.bytes {
            return Err(beyond(&name, room.bytes, "bytes"));
        }
        if number > room.lines {
            return Err(beyond(&name, room.lines, "lines"));
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if !text.is_empty() {
            each(&place, text, whole)?;
        }
    }
    Ok(())
}

/// The records of one type among the lines of many parties; what is not well formed is passed over.
pub fn select_well_formed<R: Record>(lines: &[Line]) -> Vec<R> {
    lines.iter().filter_map(|line| line.get().ok().flatten()).collect()
}

/// The records of one type among lines; others are passed over.
pub fn select<R: Record>(lines: &[Line]) -> Result<Vec<R>> {
    lines.iter().filter_map(|l| l.get().transpose()).collect()
}

/// All records of one type in a file that one party answers for.
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
