//! Gossip, with patience: a `channel_update` that overtakes its channel's announcement is kept until the announcement is
//! here. LDK would drop it, and nobody would send it again; between nodes that all start at once that happens often.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use lightning::bitcoin::secp256k1::PublicKey;
use lightning::ln::msgs::{
    BaseMessageHandler, ChannelAnnouncement, ChannelUpdate, Init, LightningError, MessageSendEvent, NodeAnnouncement,
    QueryChannelRange, QueryShortChannelIds, ReplyChannelRange, ReplyShortChannelIdsEnd, RoutingMessageHandler,
};
use lightning::routing::gossip::{NetworkGraph, NodeId, P2PGossipSync};
use lightning::routing::utxo::UtxoLookup;
use lightning::types::features::{InitFeatures, NodeFeatures};

use super::adapters::LogFile;
use super::wake::Bell;

/// Updates that are kept, at most.
const MAX_EARLY: usize = 10_000;

/// What is known of the network.
pub type Graph = NetworkGraph<Arc<LogFile>>;

type Sync = P2PGossipSync<Arc<Graph>, Arc<dyn UtxoLookup + Send + std::marker::Sync>, Arc<LogFile>>;
type Handled<T> = Result<T, LightningError>;

/// LDK's gossip with updates that came early.
pub struct Gossip {
    inner: Sync,
    graph: Arc<Graph>,
    bell: Arc<Bell>,
    early: Mutex<HashMap<u64, Vec<ChannelUpdate>>>,
    ready: Mutex<Vec<MessageSendEvent>>,
}

impl Gossip {
    /// Gossip into a graph.
    pub fn new(graph: &Arc<Graph>, log: &Arc<LogFile>, bell: &Arc<Bell>) -> Gossip {
        Gossip {
            inner: P2PGossipSync::new(Arc::clone(graph), None, Arc::clone(log)),
            graph: Arc::clone(graph),
            bell: Arc::clone(bell),
            early: Mutex::default(),
            ready: Mutex::default(),
        }
    }

    /// Its updates are handled and passed on with the next round of messages.
    fn announced(&self, scid: u64) {
        if let Some(updates) = self.early.lock().expect("no panic under the lock").remove(&scid) {
            let events = updates.into_iter().map(|msg| MessageSendEvent::BroadcastChannelUpdate { msg });
            self.ready.lock().expect("no panic under the lock").extend(events);
            self.bell.ring();
        }
    }
}

impl BaseMessageHandler for Gossip {
    fn get_and_clear_pending_msg_events(&self) -> Vec<MessageSendEvent> {
        let mut events = self.inner.get_and_clear_pending_msg_events();
        events.append(&mut self.ready.lock().expect("no panic under the lock"));
        events
    }

    fn peer_disconnected(&self, node: PublicKey) {
        self.inner.peer_disconnected(node);
    }

    fn provided_node_features(&self) -> NodeFeatures {
        self.inner.provided_node_features()
    }

    fn provided_init_features(&self, node: PublicKey) -> InitFeatures {
        self.inner.provided_init_features(node)
    }

    fn peer_connected(&self, node: PublicKey, msg: &Init, inbound: bool) -> Result<(), ()> {
        self.inner.peer_connected(node, msg, inbound)
    }
}

impl RoutingMessageHandler for Gossip {
    fn handle_node_announcement(&self, node: Option<PublicKey>, msg: &NodeAnnouncement) -> Handled<bool> {
        self.inner.handle_node_announcement(node, msg)
    }

    fn handle_channel_announcement(&self, node: Option<PublicKey>, msg: &ChannelAnnouncement) -> Handled<bool> {
        let handled = self.inner.handle_channel_announcement(node, msg);
        if handled.is_ok() {
            self.announced(msg.contents.short_channel_id);
        }
        handled
    }

    fn handle_channel_update(&self, node: Option<PublicKey>, msg: &ChannelUpdate) -> Handled<bool> {
        let handled = self.inner.handle_channel_update(node, msg);
        let scid = msg.contents.short_channel_id;
        if handled.is_err() && self.graph.read_only().channel(scid).is_none() {
            let mut early = self.early.lock().expect("no panic under the lock");
            if early.len() < MAX_EARLY {
                early.entry(scid).or_default().push(msg.clone());
            }
        }
        handled
    }

    fn get_next_channel_announcement(
        &self,
        start: u64,
    ) -> Option<(ChannelAnnouncement, Option<ChannelUpdate>, Option<ChannelUpdate>)> {
        self.inner.get_next_channel_announcement(start)
    }

    fn get_next_node_announcement(&self, start: Option<&NodeId>) -> Option<NodeAnnouncement> {
        self.inner.get_next_node_announcement(start)
    }

    fn handle_reply_channel_range(&self, node: PublicKey, msg: ReplyChannelRange) -> Handled<()> {
        self.inner.handle_reply_channel_range(node, msg)
    }

    fn handle_reply_short_channel_ids_end(&self, node: PublicKey, msg: ReplyShortChannelIdsEnd) -> Handled<()> {
        self.inner.handle_reply_short_channel_ids_end(node, msg)
    }

    fn handle_query_channel_range(&self, node: PublicKey, msg: QueryChannelRange) -> Handled<()> {
        self.inner.handle_query_channel_range(node, msg)
    }

    fn handle_query_short_channel_ids(&self, node: PublicKey, msg: QueryShortChannelIds) -> Handled<()> {
        self.inner.handle_query_short_channel_ids(node, msg)
    }

    fn processing_queue_high(&self) -> bool {
        self.inner.processing_queue_high()
    }
}
