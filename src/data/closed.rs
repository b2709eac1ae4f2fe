//! The roster and the shards of a round, closed before anybody can know what the first beacon draws.

use serde::{Deserialize, Serialize};

use super::manifest::Manifest;
use super::roster::Roster;
use crate::artifact::Digest;
use crate::artifact::beacon::{Closed, NamedBlock, Purpose};
use crate::artifact::record::{self, Record, Signed};
use crate::error::{Error, Result};

/// The coordinator's word on who works and on which shards, and which block the round's first beacon will come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RosterClosing {
    /// The run.
    pub run: Digest,
    /// The round.
    pub round: u64,
    /// Digest of the roster: of its canonical lines, by ascending worker id.
    pub roster: Digest,
    /// Digest of the list of the shards.
    pub shards: Digest,
    /// The chain when they were closed.
    pub height: u32,
    /// The block that the first beacon will come from.
    pub block: NamedBlock,
    /// The coordinator's public key, in hex.
    pub coordinator: String,
    /// The coordinator's signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

impl Record for RosterClosing {
    const TYPE: &'static str = "roster_closing";
}

impl Signed for RosterClosing {
    fn sig(&mut self) -> &mut Option<String> {
        &mut self.sig
    }
}

impl RosterClosing {
    /// Digests of a roster and of a list of shards.
    pub fn digests(roster: &Roster, shards: &Manifest) -> Result<(Digest, Digest)> {
        let lines: String = roster.members().iter().map(record::line).collect::<Result<_>>()?;
        Ok((Digest::of(lines.as_bytes()), Digest::of(shards.text()?.as_bytes())))
    }

    /// Refuses a closing of another roster or of other shards.
    pub fn require(&self, roster: &Roster, shards: &Manifest) -> Result<()> {
        let (of_roster, of_shards) = RosterClosing::digests(roster, shards)?;
        for (what, expected, found) in [("roster", self.roster, of_roster), ("list of shards", self.shards, of_shards)]
        {
            if expected != found {
                return Err(Error::refused(format!(
                    "{what}: expected {expected}, as it was closed for round {}, found {found}",
                    self.round
                )));
            }
        }
        Ok(())
    }

    /// What the first beacon hangs on.
    pub fn closed(&self) -> Result<Closed> {
        let RosterClosing { run, round, height, block, .. } = self.clone();
        Ok(Closed { run, round, purpose: Purpose::A, hash: Digest(record::hash(self)?), height, block })
    }
}
