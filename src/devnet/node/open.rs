//! Opening the channels of the description, and telling whether they are all there.

use std::fs;
use std::sync::atomic::Ordering;

use lightning::bitcoin::absolute::LockTime;
use lightning::bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use lightning::bitcoin::hashes::Hash;
use lightning::bitcoin::secp256k1::PublicKey;
use lightning::bitcoin::{
    Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness, transaction::Version,
};
use lightning::ln::types::ChannelId;
use serde::{Deserialize, Serialize};

use crate::chain::FAUCET_MARK;
use crate::disk;
use crate::error::{Error, IoContext, Result};
use crate::fsio;

use super::Node;

/// How far a node is with its channels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// Channels that it opened and that are funded.
    pub funded: usize,
    /// The fewest confirmations among them.
    pub confirmations: Option<u32>,
    /// What keeps a channel from being used, in words.
    pub unusable: Option<String>,
    /// What keeps routes over several nodes from being found, in words.
    pub unknown: Option<String>,
}

impl Node {
    /// Opens the channels that this node has to open, to the peers that are connected.
    pub(super) fn open_channels(&self) {
        let opened = self.opened.lock().expect("no panic under the lock").clone();
        let own = |(_, c): &(usize, &crate::network::Channel)| c.from == self.name;
        let wanted: Vec<_> = self.network.channels.iter().enumerate().filter(own).collect();
        if wanted.iter().all(|(i, _)| opened.contains(i)) {
            return;
        }
        let there: Vec<u128> = self.manager.list_channels().iter().map(|c| c.user_channel_id).collect();
        for (i, channel) in wanted {
            let user_id = i as u128 + 1;
            let Ok(peer) = self.network.id_of(&channel.to) else { continue };
            if opened.contains(&i) || there.contains(&user_id) || self.peers.peer_by_node_id(&peer).is_none() {
                continue;
            }
            let mut config = super::assemble::config(&self.network);
            config.channel_handshake_config.announce_for_forwarding = channel.announced;
            let made =
                self.manager.create_channel(peer, channel.sat, channel.push_sat * 1000, user_id, None, Some(config));
            if let Err(error) = made {
                self.log.note(&format!("channel {i} cannot be opened yet: {error:?}"));
            }
        }
    }

    /// Funds a channel with a coin from the faucet. LDK hands the transaction on once, and forgets that it did: it is kept in
    /// a file until it is known to be confirmed.
    pub(super) fn fund(&self, channel: ChannelId, peer: PublicKey, sat: u64, script: ScriptBuf) -> Result<()> {
        let mut coin: [u8; 32] = fsio::random()?;
        coin[..4].copy_from_slice(&FAUCET_MARK);
        let input = TxIn {
            previous_output: OutPoint { txid: Txid::from_byte_array(coin), vout: 0 },
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[vec![1u8; 64]]),
        };
        let output = TxOut { value: Amount::from_sat(sat), script_pubkey: script };
        let tx =
            Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: vec![input], output: vec![output] };
        let file = self.folder.join("funding").join(tx.compute_txid().to_string());
        disk::replace(&file, serialize_hex(&tx).as_bytes())?;
        if let Err(error) = self.manager.funding_transaction_generated(channel, peer, tx) {
            self.log.note(&format!("channel {channel} cannot be funded: {error:?}"));
        }
        Ok(())
    }

    /// After a start: hands on again what funds a channel that is not confirmed, and removes what funds none.
    pub(super) fn fund_again(&self) -> Result<()> {
        let folder = self.folder.join("funding");
        fsio::private_dir(&folder)?;
        let channels = self.manager.list_channels();
        let waiting = channels.iter().filter(|c| c.confirmations.unwrap_or(0) == 0).filter_map(|c| c.funding_txo);
        let waiting: Vec<String> = waiting.map(|outpoint| outpoint.txid.to_string()).collect();
        for entry in fs::read_dir(&folder).path(&folder)? {
            let path = entry.path(&folder)?.path();
            let wanted = path.file_name().and_then(|n| n.to_str()).is_some_and(|n| waiting.iter().any(|w| w == n));
            if wanted {
                let text = fsio::read_text(&path)?;
                let tx = deserialize_hex::<Transaction>(&text)
                    .map_err(|e| Error::data(format!("{}: not a transaction: {e}", path.display())))?;
                self.chain.broadcast(&[tx])?;
            } else {
                fs::remove_file(&path).path(&path)?;
            }
        }
        Ok(())
    }

    /// Remembers that a channel of the description is ready.
    pub(super) fn opened(&self, user_id: u128) -> Result<()> {
        let mut opened = self.opened.lock().expect("no panic under the lock");
        let index = usize::try_from(user_id).ok().and_then(|id| id.checked_sub(1));
        let own = |i: &usize| self.network.channels.get(*i).is_some_and(|c| c.from == self.name);
        if let Some(index) = index.filter(own)
            && opened.insert(index)
        {
            let text = serde_json::to_vec(&*opened).expect("numbers");
            disk::replace(&self.folder.join("opened"), &text)?;
        }
        Ok(())
    }

    /// How far this node is.
    pub fn progress(&self) -> Progress {
        let channels = self.manager.list_channels();
        let opened = self.opened.lock().expect("no panic under the lock").clone();
        let own = |i: &usize| self.network.channels[*i].from == self.name;
        let (mut funded, mut confirmations, mut unusable) = (0, None, None);
        for i in (0..self.network.channels.len()).filter(own) {
            match channels.iter().find(|c| c.is_outbound && c.user_channel_id == i as u128 + 1) {
                Some(c) if c.funding_txo.is_some() => {
                    funded += 1;
                    let have = c.confirmations.unwrap_or(0);
                    confirmations = Some(confirmations.map_or(have, |least: u32| least.min(have)));
                }
                // Closed since: no concern of a start.
                None if opened.contains(&i) => funded += 1,
                _ => unusable = Some(format!("channel {i} is not open")),
            }
        }
        if let Some(c) = channels.iter().find(|c| !c.is_usable || c.counterparty.forwarding_info.is_none()) {
            unusable = Some(format!("the channel with {} is not usable", c.counterparty.node_id));
        }
        Progress { funded, confirmations, unusable, unknown: self.unsaved_channels() }
    }

    /// Says how many announced channels are known, and that on disk, if it is not all of them.
    pub(super) fn unsaved_channels(&self) -> Option<String> {
        let announced = self.announced_channels();
        let known = self.graph_saved.load(Ordering::Acquire);
        (known < announced).then(|| format!("{known} of {announced} announced channels are known"))
    }

    /// Channels that everybody is to know.
    pub(super) fn announced_channels(&self) -> usize {
        self.network.channels.iter().filter(|c| c.announced).count()
    }

    /// Announced channels of which both directions are known.
    pub(super) fn known_channels(&self) -> usize {
        let graph = self.graph.read_only();
        graph.channels().unordered_iter().filter(|(_, c)| c.one_to_two.is_some() && c.two_to_one.is_some()).count()
    }
}
