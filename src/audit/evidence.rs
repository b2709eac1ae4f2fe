//! Evidence: a signed record beside the one that the same files make, and the rule that it breaks.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::artifact::Digest;
use crate::artifact::record::{self, Record};
use crate::error::{Error, Result};

/// A lie that its author has signed. Whoever has the run folder can check both records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The run.
    pub run: Digest,
    /// The round.
    pub round: u64,
    /// Whom it is about.
    pub worker: String,
    /// Where the signed record stands.
    pub artifact: String,
    /// What should have been done.
    pub rule: String,
    /// The record, with its signature.
    pub signed: Value,
    /// What it should have said, not signed; none where it should not have been made at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recomputed: Option<Value>,
    /// Another record that the same key signed, and that it contradicts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Value>,
}

impl Record for Evidence {
    const TYPE: &'static str = "evidence";
}

/// A record as the value that its line holds.
pub fn value<R: Record>(record: &R) -> Result<Value> {
    let line = record::line(record)?;
    serde_json::from_str(&line).map_err(|e| Error::bug(format!("{} record: {e}", R::TYPE)))
}
