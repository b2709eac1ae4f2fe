//! Headers of blocks: one after the other, each with the work that it states.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use lightning::bitcoin::BlockHash;
use lightning::bitcoin::block::Header;
use lightning::bitcoin::consensus::encode::{deserialize, serialize};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Context, Error, Result};
use crate::fsio::read_text_within;

/// Bytes of a header.
const BYTES: usize = 80;
/// The longest file of headers, in bytes: every block of a century, and their heights.
const MAX_FILE: u64 = 1 << 28;
/// The least difficulty that a header of the main network has had since 2021, rounded down: one costs 10^13 · 2^32 hashes.
const LEAST_DIFFICULTY: f64 = 1e13;

/// The header of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockHeader(Header);

impl BlockHeader {
    /// The block's hash.
    pub fn hash(&self) -> BlockHash {
        self.0.block_hash()
    }
}

impl fmt::Display for BlockHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(serialize(&self.0)))
    }
}

impl FromStr for BlockHeader {
    type Err = Error;

    /// 80 bytes in lowercase hex.
    fn from_str(text: &str) -> Result<BlockHeader> {
        let wrong = || Error::data("expected the header of a block, 160 lowercase hex digits");
        if text.len() != 2 * BYTES || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(wrong());
        }
        let bytes = hex::decode(text).map_err(|_| wrong())?;
        deserialize(&bytes).map(BlockHeader).map_err(|_| wrong())
    }
}

impl Serialize for BlockHeader {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlockHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<BlockHeader, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The hash of the last of some blocks of a network, by the headers from a height to its own: each follows the one before, and carries the
/// work that it states; on the main network at least that of any block since 2021.
pub(super) fn last_hash(headers: &[BlockHeader], network: &str, (from, to): (u32, u32)) -> Result<BlockHash> {
    let expected = (to - from) as usize + 1;
    let (Some(last), true) = (headers.last(), headers.len() == expected) else {
        let found = headers.len();
        return Err(Error::data(format!(
            "expected the headers of blocks {from} to {to}, {expected} of them, found {found}"
        )));
    };
    for (i, header) in headers.iter().enumerate() {
        let height = from + i as u32;
        let refused = |what: String| Err(Error::data(format!("header of block {height}: {what}")));
        if i > 0 && header.0.prev_blockhash != headers[i - 1].hash() {
            let (expected, found) = (headers[i - 1].hash(), header.0.prev_blockhash);
            return refused(format!("expected one that follows {expected}, found one that follows {found}"));
        }
        if header.0.validate_pow(header.0.target()).is_err() {
            return refused("it does not carry the work that it states".into());
        }
        if network == "bitcoin" && header.0.difficulty_float() < LEAST_DIFFICULTY {
            let found = header.0.difficulty_float();
            return refused(format!("expected a difficulty of at least {LEAST_DIFFICULTY:e}, found {found:e}"));
        }
    }
    Ok(last.hash())
}

/// Headers by their heights, as somebody's own node has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(BTreeMap<u32, BlockHeader>);

impl Headers {
    /// Reads lines of a height and a header, as of `bitcoin-cli getblockheader HASH false`.
    pub fn read(path: &Path) -> Result<Headers> {
        let text = read_text_within(path, MAX_FILE)?;
        let mut headers = BTreeMap::new();
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let place = || format!("{}:{}", path.display(), i + 1);
            let mut words = line.split_whitespace();
            let (Some(height), Some(header), None) = (words.next(), words.next(), words.next()) else {
                return Err(Error::data("expected a height and a header")).at(place());
            };
            let height = height.parse::<u32>().map_err(|_| Error::data("expected a height and a header")).at(place())?;
            let header: BlockHeader = header.parse().at(place())?;
            if headers.insert(height, header.clone()).is_some_and(|before| before != header) {
                return Err(Error::data(format!("two headers of block {height}"))).at(place());
            }
        }
        Ok(Headers(headers))
    }

    /// The header at a height, if it is there.
    pub fn at(&self, height: u32) -> Option<&BlockHeader> {
        self.0.get(&height)
    }

    /// The greatest height.
    pub fn tip(&self) -> Option<u32> {
        self.0.keys().next_back().copied()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    use lightning::bitcoin::block::Version;
    use lightning::bitcoin::hashes::Hash;
    use lightning::bitcoin::{CompactTarget, TxMerkleNode};

    /// So many headers, one after the other, mined as on regtest.
    pub fn chain(blocks: u32) -> Vec<BlockHeader> {
        let mut headers: Vec<BlockHeader> = Vec::new();
        for time in 0..blocks {
            let mut header = Header {
                version: Version::TWO,
                prev_blockhash: headers.last().map_or(BlockHash::all_zeros(), BlockHeader::hash),
                merkle_root: TxMerkleNode::all_zeros(),
                time,
                bits: CompactTarget::from_consensus(0x207f_ffff),
                nonce: 0,
            };
            while header.validate_pow(header.target()).is_err() {
                header.nonce += 1;
            }
            headers.push(BlockHeader(header));
        }
        headers
    }

    fn refuse(headers: &[BlockHeader], network: &str, says: &str) {
        let error = last_hash(headers, network, (10, 14)).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }

    #[test]
    fn headers_must_follow_each_other_and_carry_their_work() {
        let headers = chain(5);
        assert_eq!(last_hash(&headers, "regtest", (10, 14)).unwrap(), headers[4].hash());
        refuse(&headers[1..], "regtest", "expected the headers of blocks 10 to 14, 5 of them, found 4");
        refuse(&[], "regtest", "found 0");
        let mut swapped = headers.clone();
        swapped.swap(1, 2);
        refuse(&swapped, "regtest", "header of block 11: expected one that follows ");
        let mut idle = headers.clone();
        while idle[4].0.validate_pow(idle[4].0.target()).is_ok() {
            idle[4].0.nonce += 1;
        }
        refuse(&idle, "regtest", "header of block 14: it does not carry the work that it states");
        refuse(&headers, "bitcoin", "header of block 10: expected a difficulty of at least 1e13, found ");
    }

    #[test]
    fn a_header_is_80_bytes_of_hex() {
        let header = chain(1).remove(0);
        assert_eq!(header.to_string().parse::<BlockHeader>().unwrap(), header);
        for wrong in ["", "00", &header.to_string().to_uppercase(), &"zz".repeat(80)] {
            let error = wrong.parse::<BlockHeader>().unwrap_err();
            assert_eq!(error.to_string(), "expected the header of a block, 160 lowercase hex digits");
        }
    }

    #[test]
    fn a_file_of_headers_has_a_height_and_a_header_a_line() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("headers");
        let headers = chain(2);
        std::fs::write(&path, format!("7 {}\n\n8 {}\n", headers[0], headers[1])).unwrap();
        let read = Headers::read(&path).unwrap();
        assert_eq!((read.tip(), read.at(7), read.at(9)), (Some(8), Some(&headers[0]), None));
        let two = format!("7 {}\n7 {}\n", headers[0], headers[1]);
        for (line, says) in [
            (two.as_str(), "headers:2: two headers of block 7"),
            ("7", "headers:1: expected a height and a header"),
            ("x 00", "headers:1: expected a height and a header"),
            ("7 00", "headers:1: expected the header of a block"),
            ("7 00 00", "headers:1: expected a height and a header"),
        ] {
            std::fs::write(&path, line).unwrap();
            let error = Headers::read(&path).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
