//! What an audit says of a run in which nothing differs.

use serde::{Deserialize, Serialize};

use super::round::Totals;
use crate::artifact::Digest;
use crate::artifact::record::Record;

/// What an audit without a difference has checked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// The run.
    pub run: Digest,
    /// Rounds that were checked.
    pub rounds: u64,
    /// What was checked in them.
    pub totals: Totals,
    /// Content digest of the weights that the last of them ends with: theta-N's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Digest>,
    /// What training was done again: `all`, or of so many updates a round; none where recorded findings were taken as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<String>,
    /// Whose assignments were believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coordinator: Option<String>,
}

impl Record for Summary {
    const TYPE: &'static str = "audit";
}
