//! The embedded Lightning network: LDK nodes with real channels on a simulated chain, each a process and a folder with a
//! `lightning-rpc` socket that speaks Core Lightning's JSON-RPC and the hold plugin's methods. For trying and testing: no
//! real money.
//!
//! `network` describes a network, `control` starts, stops and watches its processes, `chain` and `node` are what runs in
//! them, `rpc` is a node's socket.

use l402_base::{civil, error, fsio};

mod chain;
mod client;
mod clock;
mod control;
mod crash;
mod disk;
mod layout;
mod network;
mod node;
mod rpc;

pub use chain::{Tip, run as run_chain};
pub use control::{ChannelStatus, Devnet, NodeStatus, Process};
pub use network::{Channel, MAX_NODES, Network, parse_channel};
pub use node::run as run_node;
