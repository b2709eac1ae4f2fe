//! Starting, stopping and watching the processes of a network.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{Context, Error, IoContext, Kind, Result};
use crate::fsio;

use super::chain::{ChainClient, Tip};
use super::client::RpcClient;
use super::layout::{Layout, Life};
use super::network::Network;
use super::node::Progress;

/// Blocks that make a channel usable and announced.
const CONFIRMATIONS: u32 = 6;
/// A process that does not answer by then is given up.
const START: Duration = Duration::from_secs(60);
/// Time for all channels, and this much more for each node.
const READY: Duration = Duration::from_secs(60);
/// See [`READY`].
const READY_PER_NODE: Duration = Duration::from_secs(2);
/// Time for a funding transaction to reach the chain.
const FUNDING: Duration = Duration::from_millis(500);
/// Time for a process to end.
const END: Duration = Duration::from_secs(20);
/// Between looks at a process.
const LOOK: Duration = Duration::from_millis(10);

/// A process of a network, to be started.
#[derive(Clone, Copy, Debug)]
pub enum Process<'a> {
    /// The chain.
    Chain,
    /// The node with this name.
    Node(&'a str),
}

/// What `status` tells of a node.
#[derive(Debug, Serialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its public key.
    pub id: String,
    /// Its folder.
    pub folder: String,
    /// Whether its process lives.
    pub alive: bool,
    /// The height it has reached; while it lives.
    pub height: Option<u64>,
    /// Its channels; while it lives.
    pub channels: Vec<ChannelStatus>,
}

/// What `status` tells of a channel.
#[derive(Debug, Serialize)]
pub struct ChannelStatus {
    /// The peer's name.
    pub peer: String,
    /// Its short channel id.
    pub short_channel_id: Option<String>,
    /// Core Lightning's name of its state.
    pub state: String,
    /// Whether the peer is connected.
    pub connected: bool,
    /// Its size.
    pub total_msat: u64,
    /// What is settled as ours.
    pub to_us_msat: u64,
    /// HTLCs that are pending.
    pub htlcs: usize,
}

/// A network in a folder.
pub struct Devnet {
    layout: Layout,
    network: Network,
    chain: ChainClient,
    /// Held by who starts or stops processes.
    _lock: Option<File>,
}

impl Devnet {
    /// The network in `root`, made if there is none; locked against others who would start it (75).
    pub fn create(root: &Path, make: impl FnOnce(Option<&Network>) -> Result<Option<Network>>) -> Result<Devnet> {
        fsio::private_dir(root)?;
        let root = fs::canonicalize(root).path(root)?;
        let layout = Layout::new(&root);
        let lock = lock(&root)?;
        let there = Network::load(&layout)?;
        let network = match (make(there.as_ref())?, there) {
            (Some(new), None) => {
                layout.check_socket_length(&new.names())?;
                new.save(&layout)?;
                new
            }
            (_, Some(there)) => there,
            (None, None) => return Err(Error::bug("no network was described")),
        };
        Ok(Devnet { chain: ChainClient::new(&layout.chain_socket()), layout, network, _lock: Some(lock) })
    }

    /// The network in `root`, to look at.
    pub fn open(root: &Path) -> Result<Devnet> {
        let none = |error: Error| match error.kind() {
            Kind::Missing => error.hint("`l402 devnet up` makes one"),
            _ => error,
        };
        let root = fs::canonicalize(root).path(root).map_err(none)?;
        let layout = Layout::new(&root);
        let network = Network::load(&layout)?;
        let network = network.ok_or_else(|| none(Error::missing(format!("{}: no network here", root.display()))))?;
        Ok(Devnet { chain: ChainClient::new(&layout.chain_socket()), layout, network, _lock: None })
    }

    /// The same, locked against others who would start or stop it (75).
    pub fn open_locked(root: &Path) -> Result<Devnet> {
        let devnet = Devnet::open(root)?;
        let lock = lock(devnet.layout.root())?;
        Ok(Devnet { _lock: Some(lock), ..devnet })
    }

    /// What the network is made of.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Starts what does not run, and returns when all channels are usable and known to all nodes.
    pub fn up(&self, spawn: &dyn Fn(Process<'_>, &Path) -> Result<Child>) -> Result<()> {
        let starter = Starter { spawn, started: RefCell::default() };
        let chain = self.layout.chain();
        self.wait_for(
            "chain",
            START,
            || starter.ensure(Process::Chain, &chain),
            || self.chain.tip().map(|_| Some(())),
        )?;
        for node in &self.network.nodes {
            starter.ensure(Process::Node(&node.name), &self.layout.node(&node.name))?;
        }
        self.make_ready(&starter)
    }

    /// Mines what channels need, and waits for every node in turn: funded, confirmed once, usable, confirmed for their
    /// announcement, known.
    fn make_ready(&self, starter: &Starter<'_>) -> Result<()> {
        let end = Instant::now() + READY + READY_PER_NODE * self.network.nodes.len() as u32;
        self.wait_for_all(starter, end, |name, p| {
            let own = self.network.channels.iter().filter(|c| c.from == name).count();
            (p.funded < own).then(|| format!("{} of {own} channels are funded", p.funded))
        })?;
        while self.confirmations()? == Some(0) {
            self.wait_for_funding()?;
            self.mine_past(end, 1)?;
        }
        self.wait_for_all(starter, end, |_, p| p.unusable.clone())?;
        while let Some(some) = self.confirmations()?.filter(|n| *n < CONFIRMATIONS) {
            self.mine_past(end, CONFIRMATIONS - some)?;
        }
        self.wait_for_all(starter, end, |_, p| p.unusable.clone().or(p.unknown.clone()))
    }

    /// Waits until nothing is missing at any node.
    fn wait_for_all(
        &self,
        starter: &Starter<'_>,
        end: Instant,
        missing: impl Fn(&str, &Progress) -> Option<String>,
    ) -> Result<()> {
        for node in &self.network.nodes {
            let mut last = None;
            let left = end.saturating_duration_since(Instant::now());
            let folder = self.layout.node(&node.name);
            let ensure = || starter.ensure(Process::Node(&node.name), &folder);
            let waited = self.wait_for(&node.name, left, ensure, || {
                last = missing(&node.name, &self.progress(&node.name)?);
                Ok(last.is_none().then_some(()))
            });
            waited.map_err(|error| match &last {
                Some(missing) => error.hint(missing.as_str()),
                None => error,
            })?;
        }
        Ok(())
    }

    /// The fewest confirmations of a channel; nothing where no channel is open.
    fn confirmations(&self) -> Result<Option<u32>> {
        let mut least = None;
        for node in &self.network.nodes {
            let here = self.progress(&node.name)?.confirmations;
            least = least.into_iter().chain(here).min();
        }
        Ok(least)
    }

    /// Funding transactions may still be on their way to the chain.
    fn wait_for_funding(&self) -> Result<()> {
        let begun = Instant::now();
        while self.chain.tip()?.mempool == 0 && begun.elapsed() < FUNDING {
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn mine_past(&self, end: Instant, blocks: u32) -> Result<()> {
        if Instant::now() > end {
            return Err(Error::unavailable("channels are not confirmed, whatever is mined"));
        }
        let tip = self.chain.mine(blocks)?;
        self.wait_for_height(tip.height)
    }

    fn progress(&self, name: &str) -> Result<Progress> {
        let value = self.rpc(name).call("devnet-progress", &json!({}), START)?;
        serde_json::from_value(value).map_err(|e| Error::data(format!("{name}: expected its progress: {e}")))
    }

    fn rpc(&self, name: &str) -> RpcClient {
        RpcClient::new(&self.layout.rpc_socket(name))
    }

    /// Asks until there is a value. A process that dies meanwhile is an error, one that does not answer yet is not.
    fn wait_for<T>(
        &self,
        name: &str,
        most: Duration,
        ensure: impl Fn() -> Result<()>,
        mut ask: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let begun = Instant::now();
        loop {
            ensure()?;
            match ask() {
                Ok(Some(value)) => return Ok(value),
                Err(error) if error.kind() != Kind::Unavailable => return Err(error).at(name),
                Ok(None) | Err(_) => {}
            }
            if begun.elapsed() > most {
                return Err(Error::unavailable(format!("{name} is not ready after {:.0?}", begun.elapsed())));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Ends all processes: nodes, then the chain.
    pub fn down(&self) -> Result<()> {
        for node in &self.network.nodes {
            // A node that does not answer is waited for below.
            let _ = self.rpc(&node.name).call("stop", &json!({}), END);
        }
        for node in &self.network.nodes {
            self.wait_for_end(&node.name, &self.layout.node(&node.name))?;
        }
        let _ = self.chain.stop();
        self.wait_for_end("chain", &self.layout.chain())
    }

    fn wait_for_end(&self, name: &str, folder: &Path) -> Result<()> {
        let begun = Instant::now();
        while Life::is_there(folder)? {
            if begun.elapsed() > END {
                let pid = fs::read_to_string(folder.join("pid")).unwrap_or_default();
                return Err(Error::unavailable(format!("{name} does not end")).hint(format!("kill {}", pid.trim())));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Mines blocks, and returns when every node that runs has processed them.
    pub fn mine(&self, blocks: u32) -> Result<Tip> {
        let tip = self.chain.mine(blocks)?;
        self.wait_for_height(tip.height)?;
        Ok(tip)
    }

    fn wait_for_height(&self, height: u32) -> Result<()> {
        for node in &self.network.nodes {
            if Life::is_there(&self.layout.node(&node.name))? {
                let params = json!({ "blockheight": height, "timeout": START.as_secs() });
                let waited = self.rpc(&node.name).call("waitblockheight", &params, START);
                // One that was killed meanwhile catches up when it comes back.
                if let Err(error) = waited
                    && error.kind() != Kind::Unavailable
                {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Where the chain stands; nothing while it does not run.
    pub fn tip(&self) -> Option<Tip> {
        self.chain.tip().ok()
    }

    /// How the nodes are.
    pub fn status(&self) -> Result<Vec<NodeStatus>> {
        self.network.nodes.iter().map(|node| self.node_status(&node.name, &node.id)).collect()
    }

    fn node_status(&self, name: &str, id: &str) -> Result<NodeStatus> {
        let folder = self.layout.node(name);
        let mut status = NodeStatus {
            name: name.to_owned(),
            id: id.to_owned(),
            folder: folder.display().to_string(),
            alive: Life::is_there(&folder)?,
            height: None,
            channels: Vec::new(),
        };
        let ask = |method| self.rpc(name).call(method, &json!({}), START);
        if let (true, Ok(info), Ok(listed)) = (status.alive, ask("getinfo"), ask("listpeerchannels")) {
            status.height = info["blockheight"].as_u64();
            status.channels = listed["channels"].as_array().into_iter().flatten().map(|c| self.channel(c)).collect();
        }
        Ok(status)
    }

    fn channel(&self, row: &Value) -> ChannelStatus {
        let peer = self.network.nodes.iter().find(|n| row["peer_id"] == n.id.as_str());
        ChannelStatus {
            peer: peer.map_or_else(|| "?".to_owned(), |n| n.name.clone()),
            short_channel_id: row["short_channel_id"].as_str().map(str::to_owned),
            state: row["state"].as_str().unwrap_or("?").to_owned(),
            connected: row["peer_connected"] == true,
            total_msat: row["total_msat"].as_u64().unwrap_or(0),
            to_us_msat: row["to_us_msat"].as_u64().unwrap_or(0),
            htlcs: row["htlcs"].as_array().map_or(0, Vec::len),
        }
    }
}

/// Starts processes, each once: one that was killed a moment ago may still seem to live at the first look.
struct Starter<'a> {
    spawn: &'a dyn Fn(Process<'_>, &Path) -> Result<Child>,
    started: RefCell<HashMap<PathBuf, Child>>,
}

impl Starter<'_> {
    /// Starts the process if it does not live. One that died after it was started is an error.
    fn ensure(&self, process: Process<'_>, folder: &Path) -> Result<()> {
        if Life::is_there(folder)? {
            return Ok(());
        }
        let mut started = self.started.borrow_mut();
        match started.get_mut(folder).map(Child::try_wait) {
            Some(Ok(None)) => return Ok(()),
            Some(Ok(Some(status))) if !status.success() => {
                let log = folder.join("log");
                return Err(Error::unavailable(format!("{}: the process died: {status}", folder.display()))
                    .hint(format!("see {}", log.display())));
            }
            _ => {}
        }
        fsio::private_dir(folder)?;
        // What a dead process left answers nobody.
        let _ = fs::remove_file(folder.join("lightning-rpc"));
        started.insert(folder.to_owned(), (self.spawn)(process, folder)?);
        Ok(())
    }
}

fn lock(root: &Path) -> Result<File> {
    let path = root.join("lock");
    let file = File::options().create(true).append(true).open(&path).path(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::new(Kind::TryAgain, format!("{}: being started or stopped by another", root.display())))
        }
        Err(TryLockError::Error(error)) => Err(Error::io(path.display(), &error)),
    }
}
