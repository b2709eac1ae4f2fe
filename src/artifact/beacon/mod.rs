//! Beacons that nobody chose: who closes a list names, signed, a block that is not there yet, and its hash is what the beacon is
//! made of.

mod headers;

use lightning::bitcoin::hashes::Hash;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::record::Record;
use crate::error::{Error, Result};
pub use headers::{BlockHeader, Headers};

/// The furthest block that a closing may name, counted from its own height: a fortnight.
pub const FURTHEST: u32 = 2016;

/// What a beacon draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Who works on what: after the roster and the shards are closed.
    A,
    /// Held-out data and what is replayed: after the list of commitments is closed.
    B,
}

impl std::fmt::Display for Purpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Purpose::A => "a",
            Purpose::B => "b",
        })
    }
}

/// The block that a beacon will come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedBlock {
    /// Its height.
    pub height: u32,
    /// The network, as Core Lightning names it.
    pub network: String,
}

/// A beacon, and what shows where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beacon {
    /// The run.
    pub run: Digest,
    /// The round.
    pub round: u64,
    /// What it draws.
    pub purpose: Purpose,
    /// The hash of the record that closed the list and named the block.
    pub closing: Digest,
    /// The headers of the blocks from the closing's height to the named one, 80 bytes each in hex.
    pub headers: Vec<BlockHeader>,
    /// BLAKE3 over `l402/beacon/1`, purpose, run, round and the last block's hash.
    pub value: Digest,
}

impl Record for Beacon {
    const TYPE: &'static str = "beacon";
}

/// A closed list, as far as a beacon hangs on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The run.
    pub run: Digest,
    /// The round.
    pub round: u64,
    /// Which beacon it names a block for.
    pub purpose: Purpose,
    /// The hash of the record.
    pub hash: Digest,
    /// The chain when the list was closed.
    pub height: u32,
    /// The block that it names.
    pub block: NamedBlock,
}

impl Closed {
    /// Refuses a closing that names a block that was there already, or one that is too far away.
    pub fn check(&self) -> Result<()> {
        let (height, named) = (self.height, self.block.height);
        if named > height && named - height <= FURTHEST {
            return Ok(());
        }
        Err(Error::data(format!(
            "beacon {} of round {}: expected a block of height {} to {}, after its list was closed, found {named}",
            self.purpose,
            self.round,
            u64::from(height) + 1,
            u64::from(height) + u64::from(FURTHEST)
        )))
    }

    /// The beacon by these headers, which must be those that it asks for.
    pub fn beacon(&self, headers: Vec<BlockHeader>) -> Result<Beacon> {
        self.check()?;
        let hash = headers::last_hash(&headers, &self.block.network, (self.height, self.block.height))?;
        let Closed { run, round, purpose, hash: closing, .. } = self.clone();
        Ok(Beacon { run, round, purpose, closing, headers, value: value(purpose, &run, round, &hash) })
    }
}

impl Beacon {
    /// Whether this is the beacon of that closed list: its headers are linked, carry the work that they state, and give its value.
    pub fn verify(&self, closed: &Closed) -> Result<()> {
        let what = format!("beacon {} of round {}", self.purpose, self.round);
        let expected = closed.beacon(self.headers.clone())?;
        for (field, expected, found) in [
            ("run", expected.run.to_string(), self.run.to_string()),
            ("round", expected.round.to_string(), self.round.to_string()),
            ("purpose", expected.purpose.to_string(), self.purpose.to_string()),
            ("closing", expected.closing.to_string(), self.closing.to_string()),
            ("value", expected.value.to_string(), self.value.to_string()),
        ] {
            if expected != found {
                return Err(Error::data(format!("{what}: {field}: expected {expected}, found {found}")));
            }
        }
        Ok(())
    }

    /// Whether a chain has its last block there: what the headers of that chain, or a node, say of the height.
    pub fn on_chain(&self, height: u32, there: &BlockHeader) -> Result<()> {
        let found = self.headers.last().map(|header| header.hash().to_string()).unwrap_or_default();
        let expected = there.hash().to_string();
        if expected == found {
            return Ok(());
        }
        Err(Error::refused(format!(
            "beacon {} of round {}: block {height}: expected {expected}, as the chain has it, found {found}",
            self.purpose, self.round
        )))
    }
}

/// The value that a block's hash makes. The hash's bytes are in the order in which people write them.
fn value(purpose: Purpose, run: &Digest, round: u64, hash: &lightning::bitcoin::BlockHash) -> Digest {
    let mut bytes = hash.to_byte_array();
    bytes.reverse();
    let purpose = purpose.to_string();
    Digest::of_parts("l402/beacon/1", &[purpose.as_bytes(), &run.0, &round.to_le_bytes(), &bytes])
}

#[cfg(test)]
mod tests {
    use super::headers::tests::chain;
    use super::*;

    fn closed(height: u32, named: u32) -> Closed {
        let block = NamedBlock { height: named, network: "regtest".into() };
        Closed { run: Digest([7; 32]), round: 3, purpose: Purpose::B, hash: Digest([9; 32]), height, block }
    }

    #[test]
    fn a_beacon_is_the_hash_of_the_block_that_was_named_and_of_nothing_else() {
        let headers = chain(5);
        let closed = closed(100, 104);
        let beacon = closed.beacon(headers.clone()).unwrap();
        beacon.verify(&closed).unwrap();
        let hash = hex::decode(headers[4].hash().to_string()).unwrap();
        let expected = Digest::of_parts("l402/beacon/1", &[b"b", &[7; 32], &3u64.to_le_bytes(), &hash]);
        assert_eq!(beacon.value, expected);
        // Every field is bound.
        let bent = [
            ("run", Beacon { run: Digest([8; 32]), ..beacon.clone() }),
            ("round", Beacon { round: 4, ..beacon.clone() }),
            ("purpose", Beacon { purpose: Purpose::A, ..beacon.clone() }),
            ("closing", Beacon { closing: Digest([8; 32]), ..beacon.clone() }),
            ("value", Beacon { value: Digest([8; 32]), ..beacon.clone() }),
        ];
        for (field, bent) in bent {
            let error = bent.verify(&closed).unwrap_err();
            assert!(error.to_string().contains(&format!(": {field}: expected ")), "{error}");
        }
        let other = Purpose::A;
        let apart = Closed { purpose: other, ..closed.clone() }.beacon(headers.clone()).unwrap();
        assert_ne!(apart.value, beacon.value);
        let text = super::super::record::line(&beacon).unwrap();
        let lines = super::super::record::parse_lines("b", &text).unwrap();
        assert_eq!(lines[0].get::<Beacon>().unwrap(), Some(beacon.clone()));
        beacon.on_chain(104, &headers[4]).unwrap();
        let error = beacon.on_chain(104, &headers[3]).unwrap_err();
        let (there, own) = (headers[3].hash(), headers[4].hash());
        let says = format!("beacon b of round 3: block 104: expected {there}, as the chain has it, found {own}");
        assert_eq!(error.to_string(), says);
    }

    #[test]
    fn a_block_that_was_there_or_is_a_fortnight_away_cannot_be_named() {
        for (height, named, fits) in [
            (100, 101, true),
            (100, 100, false),
            (100, 99, false),
            (100, 2116, true),
            (100, 2117, false),
            (u32::MAX, 0, false),
        ] {
            let checked = closed(height, named).check();
            assert_eq!(checked.is_ok(), fits, "{height} {named}");
            if let Err(error) = checked {
                let says = format!(
                    "beacon b of round 3: expected a block of height {} to {}, after its list was closed, found {named}",
                    u64::from(height) + 1,
                    u64::from(height) + 2016
                );
                assert_eq!(error.to_string(), says);
            }
        }
    }
}
