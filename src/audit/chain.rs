//! What an audit carries from round to round: each worker's last update that counted, and what it left.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::artifact::{Digest, Meta};

/// A worker's last update that counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Last {
    /// The round.
    pub round: u64,
    /// The update's digest.
    pub update: Digest,
    /// The error feedback that it left.
    pub feedback: String,
    /// The moments that it left; none where they do not go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inner: Option<String>,
}

impl Last {
    /// What an update that counts leaves, by its metadata.
    pub fn of(round: u64, update: Digest, meta: &Meta) -> Last {
        Last {
            round,
            update,
            feedback: meta.opt("feedback_out").unwrap_or("none").to_owned(),
            inner: meta.opt("inner_out").map(str::to_owned),
        }
    }
}

/// By worker.
pub type Chain = BTreeMap<String, Last>;
