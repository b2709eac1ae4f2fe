//! The records around a transcript's exchanges: what it is about at its beginning, the ruling at its end.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::judge::Begin;
use crate::artifact::Digest;
use crate::artifact::record::Record;
use crate::verify::leaves::Leaves;

/// One of the two parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
    /// None of them.
    Neither,
}

impl Side {
    /// The party at this place, 0 or 1.
    pub fn at(place: usize) -> Side {
        if place == 0 { Side::A } else { Side::B }
    }

    /// The other one.
    pub fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
            Side::Neither => Side::Neither,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::A => "a",
            Side::B => "b",
            Side::Neither => "neither",
        })
    }
}

/// What the dispute is about: the first line of a transcript.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dispute {
    /// The context of the leaves.
    pub work: Leaves,
    /// The state at the start of the round.
    pub begin: Begin,
}

impl Record for Dispute {
    const TYPE: &'static str = "dispute";
}

/// Who is right, and why: the last line of a transcript.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ruling {
    /// Whose claim stands.
    pub stands: Side,
    /// What decided it.
    pub why: String,
    /// Inner steps done at the first leaf that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf: Option<u32>,
    /// The first step that differs, counted from 0 within the round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
    /// The first operator whose outputs differ, by its place in the graph.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<u64>,
    /// What it computes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The digest of the graph.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph: Option<Digest>,
    /// The digests of what it must write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Vec<Digest>>,
    /// Operators that were executed on values: 1, or 0 where hashes decide.
    pub executed: u32,
    /// Exchanges with the parties.
    pub exchanges: u32,
    /// Bytes of all exchanges.
    pub bytes: u64,
    /// BLAKE3 of all lines before this one.
    pub lines: Digest,
}

impl Record for Ruling {
    const TYPE: &'static str = "ruling";
}
