//! The LDK objects of a node, with their parameters filled in.

use std::sync::{Arc, RwLock};

use lightning::chain::Filter;
use lightning::chain::chainmonitor::ChainMonitor;
use lightning::ln::channelmanager::ChannelManager;
use lightning::ln::peer_handler::{IgnoringMessageHandler, PeerManager};
use lightning::onion_message::messenger::DefaultMessageRouter;
use lightning::routing::router::DefaultRouter;
use lightning::routing::scoring::FixedPenaltyScorer;
use lightning::sign::{InMemorySigner, KeysManager};
use lightning_net_tokio::SocketDescriptor;

use super::adapters::{Broadcaster, FixedFees, LogFile};
use super::gossip::{Gossip, Graph};
use super::monitors::MonitorQueue;

/// Keys.
pub type Keys = Arc<KeysManager>;
/// The monitors of all channels.
pub type Monitors = ChainMonitor<
    InMemorySigner,
    Arc<dyn Filter + Send + Sync>,
    Arc<Broadcaster>,
    Arc<FixedFees>,
    Arc<LogFile>,
    Arc<MonitorQueue>,
    Keys,
>;
/// Finds routes; all are alike to it but for their fees.
pub type Router =
    DefaultRouter<Arc<Graph>, Arc<LogFile>, Keys, Arc<RwLock<FixedPenaltyScorer>>, (), FixedPenaltyScorer>;
/// Routes for onion messages, which are not used.
pub type OnionRouter = DefaultMessageRouter<Arc<Graph>, Arc<LogFile>, Keys>;
/// Channels and payments.
pub type Manager = ChannelManager<
    Arc<Monitors>,
    Arc<Broadcaster>,
    Keys,
    Keys,
    Keys,
    Arc<FixedFees>,
    Arc<Router>,
    Arc<OnionRouter>,
    Arc<LogFile>,
>;
/// Connections.
pub type Peers = PeerManager<
    SocketDescriptor,
    Arc<Manager>,
    Arc<Gossip>,
    Arc<IgnoringMessageHandler>,
    Arc<LogFile>,
    Arc<IgnoringMessageHandler>,
    Keys,
    Arc<Monitors>,
>;
