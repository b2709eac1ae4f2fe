//! What a network is made of: nodes, channels, and the seed from which keys and block hashes come.

use lightning::bitcoin::hashes::{Hash, HashEngine, sha256};
use lightning::bitcoin::secp256k1::PublicKey;
use lightning::sign::{KeysManager, NodeSigner, Recipient};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::fsio;

use super::disk;
use super::layout::Layout;

/// Nodes that a network may have.
pub const MAX_NODES: usize = 500;
/// A channel's default size.
const DEFAULT_SAT: u64 = 10_000_000;
/// The part of a channel that its opener pushes, by default: both sides are above the reserve and can pay.
const DEFAULT_PUSH_DIVISOR: u64 = 5;
/// Channels are 20,000 sat at the least: a reserve and a commitment's fee must fit on either side.
const MIN_SAT: u64 = 20_000;

/// The description of a network, `network.json`. It has no `Debug`: all keys come from its seed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The version of this description.
    pub v: u32,
    /// 32 bytes, hex: keys, faucet coins and block hashes depend on it.
    pub seed: String,
    /// The nodes, n1 first.
    pub nodes: Vec<Member>,
    /// The channels, in the order they were asked for.
    pub channels: Vec<Channel>,
    /// HTLCs that a side of a channel accepts.
    pub max_concurrent_htlcs: u16,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its folder's name.
    pub name: String,
    /// Its public key.
    pub id: String,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Who opens it.
    pub from: String,
    /// With whom.
    pub to: String,
    /// Its size.
    pub sat: u64,
    /// What the opener gives to the other side at once.
    pub push_sat: u64,
    /// Whether it is announced to the network.
    pub announced: bool,
}

impl Channel {
    /// Whether `name` is one of its two ends.
    pub fn touches(&self, name: &str) -> bool {
        self.from == name || self.to == name
    }
}

/// Parses `A-B[,sat=N][,push-sat=N][,unannounced]`.
pub fn parse_channel(text: &str) -> std::result::Result<Channel, String> {
    let mut parts = text.split(',');
    let ends = parts.next().unwrap_or_default();
    let (from, to) = ends.split_once('-').ok_or_else(|| format!("expected two nodes as in n1-n2, found {ends:?}"))?;
    let (mut sat, mut push, mut announced) = (DEFAULT_SAT, None, true);
    for part in parts {
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("expected a number of sat, found {text:?}"));
        match part.split_once('=') {
            Some(("sat", n)) => sat = number(n)?,
            Some(("push-sat", n)) => push = Some(number(n)?),
            None if part == "unannounced" => announced = false,
            _ => return Err(format!("expected sat=N, push-sat=N or unannounced, found {part:?}")),
        }
    }
    let push_sat = push.unwrap_or(sat / DEFAULT_PUSH_DIVISOR);
    if !(MIN_SAT..=1_000_000_000).contains(&sat) || push_sat >= sat {
        return Err(format!(
            "expected {MIN_SAT} to 1000000000 sat and less than that pushed, found {sat} and {push_sat}"
        ));
    }
    if from == to {
        return Err(format!("expected two nodes, found {from} twice"));
    }
    Ok(Channel { from: from.to_owned(), to: to.to_owned(), sat, push_sat, announced })
}

impl Network {
    /// A new network with a random seed. Without channels: a star around n1.
    pub fn new(nodes: usize, channels: &[Channel], max_concurrent_htlcs: u16) -> Result<Network> {
        let names: Vec<String> = (1..=nodes).map(|i| format!("n{i}")).collect();
        let star = || names[1..].iter().map(|to| parse_channel(&format!("n1-{to}")).expect("a plain channel"));
        let channels = if channels.is_empty() { star().collect() } else { channels.to_vec() };
        for end in channels.iter().flat_map(|c| [&c.from, &c.to]) {
            if !names.contains(end) {
                return Err(Error::usage(format!("--channel: expected nodes n1 to n{nodes}, found {end:?}")));
            }
        }
        let mut network = Network {
            v: 1,
            seed: hex::encode(fsio::random::<32>()?),
            nodes: Vec::new(),
            channels,
            max_concurrent_htlcs,
        };
        network.nodes = names.into_iter().map(|name| Member { id: network.id(&name).to_string(), name }).collect();
        Ok(network)
    }

    /// Reads the network of a folder; nothing where none was made.
    pub fn load(layout: &Layout) -> Result<Option<Network>> {
        let path = layout.network();
        let Some(bytes) = disk::read_if_there(&path)? else { return Ok(None) };
        let network = serde_json::from_slice(&bytes).map_err(|e| Error::data(format!("not a network: {e}")));
        network.map(Some).at(path.display())
    }

    /// Writes it.
    pub fn save(&self, layout: &Layout) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("strings and numbers");
        disk::replace(&layout.network(), (text + "\n").as_bytes())
    }

    /// Whether both describe the same nodes and channels, whatever the seed.
    pub fn same_shape(&self, other: &Network) -> bool {
        self.nodes.len() == other.nodes.len()
            && self.channels == other.channels
            && self.max_concurrent_htlcs == other.max_concurrent_htlcs
    }

    /// The names of the nodes.
    pub fn names(&self) -> Vec<String> {
        self.nodes.iter().map(|n| n.name.clone()).collect()
    }

    /// 32 bytes that depend on the seed and on what they are for.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut engine = sha256::Hash::engine();
        engine.input(self.seed.as_bytes());
        engine.input(purpose.as_bytes());
        sha256::Hash::from_engine(engine).to_byte_array()
    }

    /// The seed of a node's keys.
    pub fn node_seed(&self, name: &str) -> [u8; 32] {
        self.derive(&format!("l402 devnet node {name}"))
    }

    fn id(&self, name: &str) -> PublicKey {
        let keys = KeysManager::new(&self.node_seed(name), 0, 0, true);
        keys.get_node_id(Recipient::Node).expect("a node has an id")
    }

    /// A node's id, as pinned.
    pub fn id_of(&self, name: &str) -> Result<PublicKey> {
        let member = self.nodes.iter().find(|n| n.name == name);
        member
            .and_then(|n| n.id.parse().ok())
            .ok_or_else(|| Error::data(format!("network.json: expected a node {name} with a public key")))
    }
}
