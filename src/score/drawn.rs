//! A beacon as its file has it: 64 hex digits, which say nothing of where they come from; or the record of one that is bound to a
//! block, beside the record that closed its list and named the block.

use lightning::bitcoin::secp256k1::PublicKey;

use crate::artifact::beacon::{Beacon, Closed, Purpose};
use crate::artifact::key::parse_public;
use crate::artifact::record::{self, Line, Record};
use crate::artifact::{Digest, Recipe};
use crate::data::RosterClosing;
use crate::error::{Context, Error, Result};
use crate::pay::{Closing, hash_of};

/// A beacon.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// What it draws with.
    pub value: Digest,
    /// Where it comes from, where that is shown.
    pub bound: Option<Bound>,
}

/// A beacon that nobody could choose once its list was closed.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// The record.
    pub beacon: Beacon,
    /// What closed the list.
    pub closing: ListClosing,
}

/// What closed a list.
#[derive(Clone, Debug, PartialEq)]
pub enum ListClosing {
    /// The roster and the shards.
    Roster(RosterClosing),
    /// The commitments.
    Commitments(Closing),
}

impl ListClosing {
    /// The one closing of this purpose among these lines.
    pub fn of(lines: &[Line], purpose: Purpose, name: &str) -> Result<ListClosing> {
        let found: Vec<ListClosing> = match purpose {
            Purpose::A => record::select(lines)?.into_iter().map(ListClosing::Roster).collect(),
            Purpose::B => record::select(lines)?.into_iter().map(ListClosing::Commitments).collect(),
        };
        match <[ListClosing; 1]>::try_from(found) {
            Ok([closing]) => Ok(closing),
            Err(found) => {
                let expected = match purpose {
                    Purpose::A => RosterClosing::TYPE,
                    Purpose::B => Closing::TYPE,
                };
                Err(Error::data(format!("{name}: expected one {expected} record, found {}", found.len())))
            }
        }
    }

    /// What a beacon hangs on, once the signature is that of who is named as having closed the list.
    pub fn closed(&self, name: &str) -> Result<Closed> {
        self.signer().and_then(|signer| self.signed_by(&signer)).at(name)?;
        match self {
            ListClosing::Roster(closing) => closing.closed(),
            ListClosing::Commitments(closing) => {
                let Some(block) = closing.block.clone() else {
                    return Err(Error::data(format!("{name}: the closing names no block for a beacon")));
                };
                let Closing { run, round, height, .. } = *closing;
                Ok(Closed { run, round, purpose: Purpose::B, hash: Digest(hash_of(closing)?.0), height, block })
            }
        }
    }

    /// Who has closed it, by its own word.
    pub fn signer(&self) -> Result<PublicKey> {
        match self {
            ListClosing::Roster(closing) => parse_public(&closing.coordinator).at("field coordinator"),
            ListClosing::Commitments(closing) => Ok(closing.judge.0),
        }
    }

    fn signed_by(&self, key: &PublicKey) -> Result<()> {
        let (signed, kind) = match self {
            ListClosing::Roster(closing) => (record::verify(closing, key)?, RosterClosing::TYPE),
            ListClosing::Commitments(closing) => (record::verify(closing, key)?, Closing::TYPE),
        };
        match signed {
            true => Ok(()),
            false => Err(Error::refused(format!("{kind} record: sig: not a signature of this record by {key}"))),
        }
    }
}

impl Bound {
    /// Refuses a list that another has closed.
    pub fn require_by(&self, key: &PublicKey) -> Result<()> {
        let found = self.closing.signer()?;
        if found == *key {
            return Ok(());
        }
        let Beacon { purpose, round, .. } = &self.beacon;
        Err(Error::refused(format!("beacon {purpose} of round {round}: closed by: expected {key}, found {found}")))
    }
}

impl Drawn {
    /// Reads what a beacon's file holds. A record must be the beacon of the list that is closed beside it, of these run and round.
    pub fn parse(name: &str, text: &str, run: &Digest, round: u64, purpose: Purpose) -> Result<Drawn> {
        if !text.starts_with('{') {
            let wrong =
                |_: Error| Error::data(format!("{name}: expected a beacon, 64 lowercase hex digits or its record"));
            let value = text.strip_suffix('\n').unwrap_or(text).parse().map_err(wrong)?;
            return Ok(Drawn { value, bound: None });
        }
        let lines = record::parse_lines(name, text)?;
        let beacons: Vec<Beacon> = record::select(&lines)?;
        let Ok([beacon]) = <[Beacon; 1]>::try_from(beacons) else {
            return Err(Error::data(format!("{name}: expected one beacon record beside what closed its list")));
        };
        let closing = ListClosing::of(&lines, purpose, name)?;
        let closed = closing.closed(name)?;
        beacon.verify(&closed).at(name)?;
        if (beacon.run, beacon.round) != (*run, round) {
            let (expected, found) =
                (format!("run {run}, round {round}"), format!("run {}, round {}", beacon.run, beacon.round));
            return Err(Error::refused(format!("{name}: expected a beacon of {expected}, found one of {found}")));
        }
        Ok(Drawn { value: beacon.value, bound: Some(Bound { beacon, closing }) })
    }

    /// Refuses 64 hex digits where the recipe has beacons bound to blocks.
    pub fn require(&self, recipe: &Recipe, purpose: Purpose, round: u64) -> Result<()> {
        if !recipe.verify.beacons_are_bound() || self.bound.is_some() {
            return Ok(());
        }
        Err(Error::refused(format!(
            "beacon {purpose} of round {round}: expected one that is bound to a block, as the recipe has it (verify.beacons), \
             found 64 hex digits that anybody can have chosen"
        ))
        .hint(format!("`l402 beacon {round} {purpose}` makes it")))
    }
}
