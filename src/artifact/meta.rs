//! The `l402.*` metadata of an artifact: what it is, what it was made from, for which round and worker.

use std::collections::BTreeMap;
use std::fmt;

use super::canonical;
use super::digest::Digest;
use super::tensors::Header;
use crate::error::{Error, Result};

/// The version of the format of all artifacts, as `l402.format` says it.
pub const FORMAT_VERSION: &str = "1";

/// What a tensor file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArtifactKind {
    /// Tokens to train on or to score with.
    Shard,
    /// A pseudo-gradient: theta minus the worker's parameters, float32.
    Delta,
    /// A pseudo-gradient behind a codec.
    Update,
    /// The error feedback of a codec.
    Feedback,
    /// The moments of the inner optimiser.
    Moments,
    /// The outer momentum.
    Momentum,
    /// Parameters and moments in the midst of a round.
    State,
    /// Codec chunks with the paths that prove them.
    Chunks,
    /// What one operator of a step reads.
    Operands,
    /// Model parameters.
    Model,
}

impl ArtifactKind {
    /// The value of `l402.kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            ArtifactKind::Shard => "shard",
            ArtifactKind::Delta => "delta",
            ArtifactKind::Update => "update",
            ArtifactKind::Feedback => "feedback",
            ArtifactKind::Moments => "moments",
            ArtifactKind::Momentum => "momentum",
            ArtifactKind::State => "state",
            ArtifactKind::Chunks => "chunks",
            ArtifactKind::Operands => "operands",
            ArtifactKind::Model => "model",
        }
    }
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a worker's work of a round is made from, by keys of its artifacts.
pub const WORK: [&str; 6] = ["run", "round", "worker", "theta", "shard", "assignment"];

/// A key that two artifacts do not agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDiffers<'k> {
    /// The key.
    pub key: &'k str,
    /// What it should say.
    pub expected: String,
    /// What it says.
    pub found: String,
}

/// Metadata, by key. Keys of ours begin with `l402.`; `format: pt` is for other readers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Meta(pub BTreeMap<String, String>);

impl Meta {
    /// The metadata of a new artifact.
    pub fn new(kind: ArtifactKind) -> Meta {
        let mut meta = Meta::default();
        meta.set("kind", kind).set("format", FORMAT_VERSION);
        meta.0.insert("format".into(), "pt".into());
        meta
    }

    /// Sets `l402.<key>`.
    pub fn set(&mut self, key: &str, value: impl fmt::Display) -> &mut Meta {
        self.0.insert(format!("l402.{key}"), value.to_string());
        self
    }

    /// Copies `l402.<key>` where the other has it.
    pub fn copy(&mut self, other: &Meta, keys: &[&str]) -> &mut Meta {
        for key in keys {
            if let Some(value) = other.opt(key) {
                self.set(key, value);
            }
        }
        self
    }

    /// The first of these keys that `found` says otherwise; a key that is not there is `none`. This is how every verb looks
    /// whether artifacts belong together.
    pub fn first_difference<'k>(&self, found: &Meta, keys: &[&'k str]) -> Option<KeyDiffers<'k>> {
        let says = |meta: &Meta, key: &str| meta.opt(key).unwrap_or("none").to_owned();
        let differ = |key: &&&str| self.opt(key) != found.opt(key);
        keys.iter().find(differ).map(|key| KeyDiffers { key, expected: says(self, key), found: says(found, key) })
    }

    /// Refuses metadata that says otherwise in one of these keys; `what` it is of, in errors.
    pub fn require(&self, what: impl fmt::Display, found: &Meta, keys: &[&str]) -> Result<()> {
        match self.first_difference(found, keys) {
            None => Ok(()),
            Some(KeyDiffers { key, .. }) if found.opt(key).is_none() => {
                Err(Error::data(format!("{what}: metadata l402.{key} is missing")))
            }
            Some(KeyDiffers { key, expected, found }) => {
                Err(Error::refused(format!("{what}: {key}: expected {expected}, found {found}")))
            }
        }
    }

    /// Copies every key of ours but the two that say what the file itself is.
    pub fn copy_all(&mut self, other: &Meta) -> &mut Meta {
        let ours = other.0.keys().filter_map(|key| key.strip_prefix("l402."));
        let keys: Vec<&str> = ours.filter(|key| !["kind", "format"].contains(key)).collect();
        self.copy(other, &keys)
    }

    /// Reads the metadata of a file that should be of this kind.
    pub fn read(file: &str, header: &Header, kind: ArtifactKind) -> Result<Meta> {
        let meta = Meta(header.metadata.clone());
        let found = meta.opt("kind").unwrap_or("none");
        if found != kind.as_str() {
            return Err(Error::data(format!("{file}: l402.kind: expected {kind}, found {found}")));
        }
        let version = meta.opt("format").unwrap_or("none");
        if version != FORMAT_VERSION {
            return Err(Error::data(format!(
                "{file}: l402.format: expected version {FORMAT_VERSION}, found {version}"
            )));
        }
        Ok(meta)
    }

    /// The digest of a state with this metadata and these roots over its parts: what `feedback_in`, `inner_out` and their
    /// like say. It binds whose state it is, and each chunk can be shown under it (see [`super::roots`]).
    pub fn state_digest(&self, parts: &[Digest]) -> Digest {
        let meta = canonical::json(&serde_json::json!(self.0));
        let parts: Vec<&[u8]> = std::iter::once(meta.as_bytes()).chain(parts.iter().map(|p| &p.0[..])).collect();
        Digest::of_parts("l402/state/1", &parts)
    }

    /// `l402.<key>`, if it is there.
    pub fn opt(&self, key: &str) -> Option<&str> {
        self.0.get(&format!("l402.{key}")).map(String::as_str)
    }

    /// `l402.<key>`, which must be there.
    pub fn get(&self, file: &str, key: &str) -> Result<&str> {
        self.opt(key).ok_or_else(|| Error::data(format!("{file}: metadata l402.{key} is missing")))
    }

    /// `l402.<key>` as a digest.
    pub fn digest(&self, file: &str, key: &str) -> Result<Digest> {
        self.get(file, key)?.parse().map_err(|e: Error| e.at(format!("{file}: metadata l402.{key}")))
    }

    /// `l402.<key>` as a canonical decimal number.
    pub fn number(&self, file: &str, key: &str) -> Result<u64> {
        let text = self.get(file, key)?;
        text.parse()
            .ok()
            .filter(|n: &u64| n.to_string() == text)
            .ok_or_else(|| Error::data(format!("{file}: metadata l402.{key}: expected a number, found {text:?}")))
    }
}

/// What a worker id is, for errors.
pub const WORKER_ID: &str = "1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit";

/// Whether this is a worker id: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit.
pub fn valid_worker_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        && !id.starts_with(['.', '-'])
}
