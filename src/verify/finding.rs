//! What a replay found.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::artifact::Digest;
use crate::artifact::record::Record;

/// The outcome of recomputing one update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The run: the recipe's digest.
    pub run: Digest,
    /// The round of the assignment.
    pub round: u64,
    /// The worker of the assignment.
    pub worker: String,
    /// The content digest of the update that was checked.
    pub update: Digest,
    /// The worker's earlier update whose states it was checked to go on from; none where it began from zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// The verdict.
    pub finding: Verdict,
    /// What differs first: recipe, model, shard, state, a tensor by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differs: Option<String>,
    /// What the replay arrived at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What the update says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// Inner steps that were run again.
    pub steps: u64,
}

/// Whether an update is what its inputs make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every byte.
    Exact,
    /// Not.
    Mismatch,
}

impl Record for Finding {
    const TYPE: &'static str = "finding";
}

/// The first thing that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What.
    pub what: String,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

impl Difference {
    /// `None` where both are equal.
    pub fn between(what: &str, expected: impl fmt::Display, found: impl fmt::Display) -> Option<Difference> {
        let (expected, found) = (expected.to_string(), found.to_string());
        (expected != found).then(|| Difference { what: what.to_owned(), expected, found })
    }
}
