//! A node's process: LDK between its peers, the chain, its folder and the socket.

mod adapters;
mod assemble;
mod balance;
mod blocks;
mod connect;
mod events;
mod gossip;
mod holds;
mod invoices;
mod monitors;
mod open;
mod payments;
mod persist;
mod records;
mod run;
mod table;
mod types;
mod wake;

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use lightning::bitcoin::secp256k1::PublicKey;
use lightning::types::payment::PaymentHash;
use tokio::sync::Notify;

use crate::chain::ChainClient;
use crate::crash::CrashPoints;
use crate::layout::Layout;
use crate::network::Network;

pub use adapters::FEERATE;
pub use balance::{scid_text, to_us_msat};
pub use holds::HoldAnswer;
pub use open::Progress;
pub use payments::{Begun, PayRequest};
pub use records::{Datum, Hold, Invoice, PayStatus, Payment};
pub use run::run;

use adapters::LogFile;
use gossip::Graph;
use monitors::MonitorQueue;
use persist::Store;
use table::Table;
use types::{Keys, Manager, Monitors, Peers};
use wake::Bell;

/// The forwarding fee of every node: Core Lightning's default.
pub const FEE_BASE_MSAT: u32 = 1000;
/// The same, proportional part.
pub const FEE_PPM: u32 = 10;
/// What a hop adds to the expiry: the least that LDK forwards with.
pub const CLTV_DELTA: u16 = 48;
/// The least that either side may add to a commitment.
pub const DUST_LIMIT_SAT: u64 = 354;

/// Everything that a node's process holds.
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its public key.
    pub id: PublicKey,
    /// The network it belongs to.
    pub network: Network,
    /// Its folder.
    pub folder: PathBuf,
    /// Its keys.
    pub keys: Keys,
    /// Channels and payments.
    pub manager: Arc<Manager>,
    /// The monitors of its channels.
    pub monitors: Arc<Monitors>,
    /// What it knows of the network.
    pub graph: Arc<Graph>,
    /// Its connections.
    pub peers: Arc<Peers>,
    /// The chain.
    pub chain: ChainClient,
    layout: Layout,
    records: Mutex<Records>,
    /// Told whenever a row or the height changes.
    changed: Notify,
    bell: Arc<Bell>,
    queue: Arc<MonitorQueue>,
    store: Store,
    crash: CrashPoints,
    log: Arc<LogFile>,
    height: AtomicU32,
    /// Announced channels that are known, and that on disk.
    graph_saved: AtomicUsize,
    stopping: AtomicBool,
    /// Channels of the description, by index, that were ready once: they are never opened again.
    opened: Mutex<BTreeSet<usize>>,
    /// Hashes of HTLCs that LDK is failing back.
    failing: Mutex<HashSet<PaymentHash>>,
}

/// The rows of a node.
struct Records {
    holds: Table<Hold>,
    invoices: Table<Invoice>,
    pays: Table<Payment>,
    data: Table<Datum>,
}

impl Node {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().expect("no panic under the lock")
    }

    /// The height up to which blocks are processed, and what they caused is on disk.
    pub fn height(&self) -> u32 {
        self.height.load(Ordering::Acquire)
    }

    /// A value that a client left, by its row.
    pub fn datum(&self, row: &str) -> Option<Datum> {
        self.records().data.get(row).cloned()
    }

    /// All values that clients left.
    pub fn data(&self) -> Vec<Datum> {
        self.records().data.iter().map(|(_, datum)| datum.clone()).collect()
    }

    /// Keeps a value for a client.
    pub fn set_datum(&self, row: &str, datum: Datum) -> crate::error::Result<()> {
        self.records().data.put(row, datum)
    }

    /// Asks the process to end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// Waits until `done` gives a value; it is asked again whenever a row or the height changed.
    pub async fn when<T>(&self, mut done: impl FnMut() -> Option<T>) -> T {
        loop {
            let notified = self.changed.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if let Some(value) = done() {
                return value;
            }
            notified.await;
        }
    }
}
