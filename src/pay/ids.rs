//! What payments are named by: node ids, payment hashes, preimages, offers, run folders.

use std::fmt;
use std::str::FromStr;

use lightning::bitcoin::hashes::{Hash, sha256};
use lightning::bitcoin::secp256k1::PublicKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::artifact::hex32::{self, hex32};
use crate::artifact::key::parse_public;
use crate::error::{Error, Result};

hex32! {
    /// SHA-256 of a preimage: what an HTLC is locked to.
    PaymentHash
}
hex32! {
    /// SHA-256 of an offer's canonical terms, hashes and signature apart.
    OfferId
}
hex32! {
    /// SHA-256 of a record's canonical form without its signature, or of an invoice's text.
    RecordHash
}
hex32! {
    /// What makes one run folder differ from every other, however alike their recipes are.
    Instance
}

impl RecordHash {
    /// The hash of an invoice as it was written.
    pub fn of_invoice(bolt11: &str) -> RecordHash {
        RecordHash(sha256::Hash::hash(bolt11.as_bytes()).to_byte_array())
    }
}

/// What opens a payment. `Debug` shows nothing of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Preimage(pub(super) [u8; 32]);

impl Preimage {
    /// The hash that it opens.
    pub fn hash(&self) -> PaymentHash {
        PaymentHash(sha256::Hash::hash(&self.0).to_byte_array())
    }
}

impl fmt::Debug for Preimage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Preimage(..)")
    }
}

impl Serialize for Preimage {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Preimage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Of a secret that was mistyped only its length is told.
        hex32::parse(&text).map(Preimage).ok_or_else(|| {
            let found = text.chars().count();
            serde::de::Error::custom(format!("expected 64 lowercase hex digits, found {found} characters"))
        })
    }
}

/// A Lightning node's public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub PublicKey);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for NodeId {
    type Err = Error;

    fn from_str(text: &str) -> Result<NodeId> {
        parse_public(text).map(NodeId)
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preimage_is_never_shown_by_debug_or_by_an_error() {
        let preimage = Preimage([0xab; 32]);
        assert!(!format!("{preimage:?}").contains("ab"));
        let short = format!("\"{}\"", "ab".repeat(31));
        let error = serde_json::from_str::<Preimage>(&short).unwrap_err().to_string();
        assert!(!error.contains("abab"), "{error}");
        assert!(error.contains("expected 64 lowercase hex digits, found 62 characters"), "{error}");
    }

    #[test]
    fn a_hash_has_one_spelling() {
        let text = "ab".repeat(32);
        assert_eq!(text.parse::<PaymentHash>().unwrap().to_string(), text);
        assert!(text.to_uppercase().parse::<PaymentHash>().is_err());
        assert!(text[2..].parse::<PaymentHash>().is_err());
    }
}
