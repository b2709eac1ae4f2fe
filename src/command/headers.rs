//! Where headers of blocks come from: one's own node, or a file.

use std::path::PathBuf;

use super::node::NodeArgs;
use crate::artifact::beacon::{BlockHeader, Headers, NamedBlock};
use crate::error::{Error, Result};
use crate::pay::Node;

/// A node, or headers that somebody has taken from one.
#[derive(clap::Args, Debug)]
pub struct ChainArgs {
    /// The headers of the blocks, a height and a header a line, in the place of a node's
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rpc_file", "lightning_dir"])]
    headers: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
}

impl ChainArgs {
    /// Whether either was named.
    pub fn named(&self) -> bool {
        self.headers.is_some() || self.node.named()
    }

    /// Opens what was named.
    pub fn open(&self) -> Result<Chain> {
        match &self.headers {
            Some(path) => Ok(Chain::Headers(Headers::read(path)?, path.clone())),
            None => Ok(Chain::Node(Box::new(self.node.connect()?))),
        }
    }
}

/// What knows the headers.
pub enum Chain {
    /// One's own node.
    Node(Box<Node>),
    /// A file of them.
    Headers(Headers, PathBuf),
}

impl Chain {
    /// The height of the last block.
    pub fn tip(&mut self) -> Result<u32> {
        match self {
            Chain::Node(node) => node.refresh(),
            Chain::Headers(headers, path) => {
                let none = || Error::data(format!("{}: expected headers of blocks, found none", path.display()));
                headers.tip().ok_or_else(none)
            }
        }
    }

    /// The header at a height.
    pub fn header(&mut self, height: u32) -> Result<BlockHeader> {
        let (found, place) = match self {
            Chain::Node(node) => (node.block_header(height)?, node.name()),
            Chain::Headers(headers, path) => (headers.at(height).cloned(), path.display().to_string()),
        };
        found.ok_or_else(|| Error::missing(format!("{place}: no header of block {height}")))
    }

    /// Refuses another network's blocks, as far as it can be told.
    pub fn require(&self, block: &NamedBlock) -> Result<()> {
        let Chain::Node(node) = self else { return Ok(()) };
        let (expected, found) = (&block.network, &node.info().network);
        match expected == found {
            true => Ok(()),
            false => Err(Error::refused(format!("{}: network: expected {expected}, found {found}", node.name()))),
        }
    }
}
