//! A node's channels, and what is in flight on them.

use std::collections::BTreeMap;

use cln_rpc::model::requests::ListpeerchannelsRequest;
use cln_rpc::primitives::Amount;
use lightning::bitcoin::secp256k1::PublicKey;
use serde::Deserialize;

use super::Node;
use crate::error::Result;
use crate::pay::amount::Msat;
use crate::pay::ids::PaymentHash;

/// A direction of an HTLC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the node.
    In,
    /// From the node.
    Out,
}

/// An HTLC on one of the node's channels.
#[derive(Clone, Debug, Deserialize)]
pub struct Htlc {
    /// To or from us.
    pub direction: Direction,
    amount_msat: Amount,
    /// The height at which it expires.
    pub expiry: u32,
    payment_hash: String,
    /// Its state as the node names it.
    #[serde(default)]
    pub state: String,
    /// Whether it is too small for the chain.
    #[serde(default)]
    pub local_trimmed: bool,
}

impl Htlc {
    /// Its amount.
    pub fn msat(&self) -> Msat {
        Msat(self.amount_msat.msat())
    }

    /// Whether it is locked to this hash.
    pub fn is_for(&self, hash: &PaymentHash) -> bool {
        self.payment_hash == hash.to_string()
    }

    /// Whether it is on its way out of the channel: settled or failed, not yet gone.
    pub fn is_leaving(&self) -> bool {
        self.state.contains("REMOVE")
    }
}

/// A channel, as `listpeerchannels` tells of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Channel {
    /// The other end.
    pub peer_id: PublicKey,
    /// Whether the other end is there.
    #[serde(default)]
    pub peer_connected: bool,
    /// Its state, `CHANNELD_NORMAL` where it can be used.
    pub state: String,
    /// The channel's id.
    #[serde(default)]
    pub channel_id: String,
    /// Its short id, once it is in a block.
    pub short_channel_id: Option<String>,
    alias: Option<Alias>,
    /// Whether nobody else knows of it.
    #[serde(default)]
    pub private: bool,
    to_us_msat: Option<Amount>,
    spendable_msat: Option<Amount>,
    receivable_msat: Option<Amount>,
    in_fulfilled_msat: Option<Amount>,
    dust_limit_msat: Option<Amount>,
    /// How many HTLCs the node accepts on it.
    pub max_accepted_htlcs: Option<u32>,
    updates: Option<Updates>,
    /// What is in flight on it.
    #[serde(default)]
    pub htlcs: Vec<Htlc>,
}

#[derive(Clone, Debug, Deserialize)]
struct Alias {
    remote: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Updates {
    remote: Option<Update>,
}

/// What the other end asks for forwarding to us.
#[derive(Clone, Debug, Deserialize)]
pub struct Update {
    fee_base_msat: Amount,
    /// Millionths of the amount.
    pub fee_proportional_millionths: u32,
    /// Blocks.
    pub cltv_expiry_delta: u16,
}

impl Update {
    /// The base fee.
    pub fn base(&self) -> Msat {
        Msat(self.fee_base_msat.msat())
    }
}

fn msat(amount: Option<Amount>) -> Msat {
    Msat(amount.map_or(0, |a| a.msat()))
}

impl Channel {
    /// Whether payments can go over it now.
    pub fn is_usable(&self) -> bool {
        self.peer_connected && self.state == "CHANNELD_NORMAL"
    }

    /// The node's settled share; what is in flight counts as its sender's.
    pub fn to_us(&self) -> Msat {
        msat(self.to_us_msat)
    }

    /// What can be sent over it.
    pub fn spendable(&self) -> Msat {
        msat(self.spendable_msat)
    }

    /// The channel as it would be if everything in flight on it ended to this node's favour: what comes in is paid, what goes
    /// out comes back.
    pub fn when_all_has_ended(&self) -> Channel {
        let back = self.htlcs.iter().fold(self.spendable().0, |sum, htlc| sum.saturating_add(htlc.msat().0));
        Channel { spendable_msat: Some(Amount::from_msat(back)), htlcs: Vec::new(), ..self.clone() }
    }

    /// What can come in over it.
    pub fn receivable(&self) -> Msat {
        msat(self.receivable_msat)
    }

    /// The amount from which on an HTLC reaches the chain.
    pub fn dust_limit(&self) -> Msat {
        msat(self.dust_limit_msat)
    }

    /// What came in over it so far: the node's own count where it keeps one, else its share.
    pub fn received(&self) -> Msat {
        msat(self.in_fulfilled_msat.or(self.to_us_msat))
    }

    /// The short id that stands in a route hint.
    pub fn hint_scid(&self) -> Option<&str> {
        self.alias.as_ref().and_then(|a| a.remote.as_deref()).or(self.short_channel_id.as_deref())
    }

    /// What the other end asks for forwarding to us, once it has said.
    pub fn remote_update(&self) -> Option<&Update> {
        self.updates.as_ref()?.remote.as_ref()
    }
}

impl Node {
    /// The node's channels.
    pub fn channels(&mut self) -> Result<Vec<Channel>> {
        #[derive(Debug, Deserialize)]
        struct Answer {
            channels: Vec<Channel>,
        }
        let request = ListpeerchannelsRequest { id: None, channel_id: None, short_channel_id: None };
        let answer: Answer = self.ask(&request)?;
        Ok(answer.channels)
    }

    /// The payments in flight by hash, over all channels: amounts and the smallest expiry.
    pub fn incoming(channels: &[Channel]) -> BTreeMap<String, (Msat, u32)> {
        let mut found: BTreeMap<String, (Msat, u32)> = BTreeMap::new();
        let held = channels.iter().flat_map(|c| &c.htlcs).filter(|h| h.direction == Direction::In && !h.is_leaving());
        for htlc in held {
            let entry = found.entry(htlc.payment_hash.clone()).or_insert((Msat::ZERO, u32::MAX));
            entry.0 = Msat(entry.0.0.saturating_add(htlc.msat().0));
            entry.1 = entry.1.min(htlc.expiry);
        }
        found
    }
}
