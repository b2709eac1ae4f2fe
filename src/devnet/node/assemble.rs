//! Putting a node together from its folder: the first time, or after whatever ended its process.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use std::sync::{Arc, Mutex, RwLock};

use lightning::bitcoin::{BlockHash, Network as BitcoinNetwork};
use lightning::chain::channelmonitor::ChannelMonitor;
use lightning::chain::{BestBlock, Watch};
use lightning::ln::channelmanager::{ChainParameters, ChannelManager, ChannelManagerReadArgs};
use lightning::ln::peer_handler::{IgnoringMessageHandler, MessageHandler, PeerManager};
use lightning::routing::gossip::NetworkGraph;
use lightning::routing::scoring::FixedPenaltyScorer;
use lightning::sign::{InMemorySigner, KeysManager, NodeSigner, Recipient};
use lightning::util::config::{MaxDustHTLCExposure, UserConfig};
use lightning::util::ser::ReadableArgs;

use crate::chain::{self, ChainClient};
use crate::crash::CrashPoints;
use crate::error::{Context, Error, Result};
use crate::fsio;
use crate::layout::Layout;
use crate::network::Network;
use crate::{clock, disk};

use super::adapters::{Broadcaster, FixedFees, LogFile};
use super::gossip::{Gossip, Graph};
use super::monitors::MonitorQueue;
use super::persist::Store;
use super::table::Table;
use super::types::{Keys, Manager, Monitors, OnionRouter, Router};
use super::wake::Bell;
use super::{CLTV_DELTA, FEE_BASE_MSAT, FEE_PPM, Node, Records};

/// Dust that a channel may have at risk: Core Lightning's default.
const MAX_DUST_MSAT: u64 = 50_000_000;

/// How every node is set up.
pub(super) fn config(network: &Network) -> UserConfig {
    let mut config = UserConfig { accept_forwards_to_priv_channels: true, ..UserConfig::default() };
    let handshake = &mut config.channel_handshake_config;
    // Usable before it is announced: a peer that is not ready loses the signatures of an announcement.
    handshake.minimum_depth = 1;
    handshake.max_inbound_htlc_value_in_flight_percent_of_channel = 100;
    handshake.our_max_accepted_htlcs = network.max_concurrent_htlcs;
    handshake.negotiate_anchors_zero_fee_htlc_tx = false;
    config.channel_handshake_limits.force_announced_channel_preference = false;
    config.channel_handshake_limits.max_funding_satoshis = u64::MAX;
    config.channel_config.forwarding_fee_base_msat = FEE_BASE_MSAT;
    config.channel_config.forwarding_fee_proportional_millionths = FEE_PPM;
    config.channel_config.cltv_expiry_delta = CLTV_DELTA;
    config.channel_config.max_dust_htlc_exposure = MaxDustHTLCExposure::FixedLimitMsat(MAX_DUST_MSAT);
    config
}

/// What the manager is made with.
struct Parts {
    keys: Keys,
    fees: Arc<FixedFees>,
    broadcaster: Arc<Broadcaster>,
    monitors: Arc<Monitors>,
    router: Arc<Router>,
    onions: Arc<OnionRouter>,
    log: Arc<LogFile>,
    config: UserConfig,
    chain: ChainClient,
}

impl Parts {
    fn first(self) -> Result<Manager> {
        let tip = self.chain.tip()?;
        let hash = tip.hash.parse().map_err(|_| Error::data("expected the chain's block hash"))?;
        let best_block = BestBlock::new(hash, tip.height);
        let parameters = ChainParameters { network: BitcoinNetwork::Regtest, best_block };
        Ok(ChannelManager::new(
            self.fees,
            self.monitors,
            self.broadcaster,
            self.router,
            self.onions,
            self.log,
            Arc::clone(&self.keys),
            Arc::clone(&self.keys),
            self.keys,
            self.config,
            parameters,
            clock::unix() as u32,
        ))
    }

    /// Reads manager and monitors, and brings all of them to the chain's tip.
    fn again(self, manager: &[u8], files: &[(std::path::PathBuf, Vec<u8>)]) -> Result<Manager> {
        let mut loaded: Vec<ChannelMonitor<InMemorySigner>> = Vec::new();
        for (path, bytes) in files {
            let read = <(BlockHash, ChannelMonitor<InMemorySigner>)>::read(&mut &bytes[..], (&*self.keys, &*self.keys));
            let (_, monitor) = read.map_err(|e| Error::data(format!("{}: not a monitor: {e}", path.display())))?;
            loaded.push(monitor);
        }
        let Parts { keys, fees, broadcaster, monitors, router, onions, log, config, chain } = self;
        let args = ChannelManagerReadArgs::new(
            Arc::clone(&keys),
            Arc::clone(&keys),
            keys,
            Arc::clone(&fees),
            Arc::clone(&monitors),
            Arc::clone(&broadcaster),
            router,
            onions,
            Arc::clone(&log),
            config,
            loaded.iter().collect(),
        );
        let (_, manager) = <(BlockHash, Manager)>::read(&mut &manager[..], args)
            .map_err(|e| Error::data(format!("the manager cannot be read: {e}")))?;
        let tip = chain.tip()?.height;
        let oldest = loaded.iter().map(|m| m.current_best_block().height).min().unwrap_or(tip);
        if oldest < tip {
            chain::follow(&chain, oldest + 1, |block, height, _| {
                let txs: Vec<_> = block.txdata.iter().enumerate().collect();
                for monitor in loaded.iter().filter(|m| m.current_best_block().height < height) {
                    monitor.block_connected(&block.header, &txs, height, &*broadcaster, &*fees, &log);
                }
                height < tip
            })?;
        }
        for monitor in loaded {
            let id = monitor.channel_id();
            // A new channel's first monitor is no update: LDK may still wait to be told that it is on disk.
            let taken = if monitor.get_latest_update_id() == 0 {
                monitors.watch_channel(id, monitor)
            } else {
                monitors.load_existing_monitor(id, monitor)
            };
            taken.map_err(|()| Error::data(format!("two monitors of the channel {id}")))?;
        }
        Ok(manager)
    }
}

impl Node {
    /// Puts the node `name` together.
    pub(super) fn assemble(layout: &Layout, network: Network, name: &str) -> Result<Node> {
        let folder = layout.node(name);
        let crash = CrashPoints::of(&folder);
        let log = Arc::new(LogFile::open(&folder)?);
        let store = Store::open(&folder, crash.clone())?;
        let seed = network.node_seed(name);
        // The second and third argument must never be the same twice: they begin what keys are derived from.
        let nonce = u32::from_be_bytes(fsio::random::<4>()?);
        let keys = Arc::new(KeysManager::new(&seed, clock::unix(), nonce, true));
        let id = keys.get_node_id(Recipient::Node).expect("a node has an id");
        let bell = Arc::new(Bell::default());
        let queue = Arc::new(MonitorQueue::new(Arc::clone(&bell)));
        let chain = ChainClient::new(&layout.chain_socket());
        let (fees, broadcaster) = (Arc::new(FixedFees), Arc::new(Broadcaster::to(chain.clone())));
        let monitors = Arc::new(Monitors::new(
            None,
            Arc::clone(&broadcaster),
            Arc::clone(&log),
            Arc::clone(&fees),
            Arc::clone(&queue),
            Arc::clone(&keys),
            keys.get_peer_storage_key(),
        ));
        let graph = Arc::new(read_graph(&folder, &log)?);
        let scorer = Arc::new(RwLock::new(FixedPenaltyScorer::with_penalty(0)));
        let router = Arc::new(Router::new(Arc::clone(&graph), Arc::clone(&log), Arc::clone(&keys), scorer, ()));
        let onions = Arc::new(OnionRouter::new(Arc::clone(&graph), Arc::clone(&keys)));
        let parts = Parts {
            keys: Arc::clone(&keys),
            fees,
            broadcaster,
            monitors: Arc::clone(&monitors),
            router,
            onions,
            log: Arc::clone(&log),
            config: config(&network),
            chain: chain.clone(),
        };
        let manager = Arc::new(match store.manager()? {
            None => parts.first()?,
            Some(bytes) => parts.again(&bytes, &store.monitors()?).at(folder.display())?,
        });
        let gossip = Arc::new(Gossip::new(&graph, &log, &bell));
        let ignore = Arc::new(IgnoringMessageHandler {});
        let handlers = MessageHandler {
            chan_handler: Arc::clone(&manager),
            route_handler: gossip,
            onion_message_handler: Arc::clone(&ignore),
            custom_message_handler: ignore,
            send_only_message_handler: Arc::clone(&monitors),
        };
        let peers = Arc::new(PeerManager::new(
            handlers,
            clock::unix() as u32,
            &fsio::random()?,
            Arc::clone(&log),
            Arc::clone(&keys),
        ));
        let records = Records {
            holds: Table::open(&folder, "hold", &crash)?,
            invoices: Table::open(&folder, "invoice", &crash)?,
            pays: Table::open(&folder, "pay", &crash)?,
            data: Table::open(&folder, "data", &crash)?,
        };
        let place = folder.join("opened");
        let opened = disk::read_if_there(&place)?.unwrap_or_else(|| b"[]".to_vec());
        let opened: BTreeSet<usize> = serde_json::from_slice(&opened)
            .map_err(|e| Error::data(format!("{}: expected indices: {e}", place.display())))?;
        Ok(Node {
            name: name.to_owned(),
            id,
            network,
            folder,
            keys,
            height: AtomicU32::new(manager.current_best_block().height),
            graph_saved: AtomicUsize::new(0),
            manager,
            monitors,
            graph,
            peers,
            chain,
            layout: layout.clone(),
            records: Mutex::new(records),
            changed: tokio::sync::Notify::new(),
            bell,
            queue,
            store,
            crash,
            log,
            stopping: AtomicBool::new(false),
            opened: Mutex::new(opened),
            failing: Mutex::default(),
        })
    }
}

fn read_graph(folder: &std::path::Path, log: &Arc<LogFile>) -> Result<Graph> {
    let fresh = || NetworkGraph::new(BitcoinNetwork::Regtest, Arc::clone(log));
    let Some(bytes) = disk::read_if_there(&folder.join("graph"))? else { return Ok(fresh()) };
    // Peers tell it again.
    Ok(NetworkGraph::read(&mut &bytes[..], Arc::clone(log)).unwrap_or_else(|_| fresh()))
}
