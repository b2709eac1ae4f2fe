//! Which Lightning node a verb speaks to.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use crate::artifact::key::SigningKey;
use crate::artifact::record::Signer;
use crate::error::{Error, Result};
use crate::pay::{Node, NodeSigner};

/// Where Core Lightning keeps its socket below a network's name.
const NETWORKS: [&str; 5] = ["bitcoin", "testnet", "testnet4", "signet", "regtest"];

/// The node's socket.
#[derive(clap::Args, Debug)]
pub struct NodeArgs {
    /// The node's folder, as Core Lightning has it
    #[arg(help_heading = "Escrow and node", long, value_name = "DIR", conflicts_with = "rpc_file")]
    lightning_dir: Option<PathBuf>,
    /// The node's JSON-RPC socket
    #[arg(help_heading = "Escrow and node", long, value_name = "SOCKET")]
    rpc_file: Option<PathBuf>,
}

impl NodeArgs {
    /// Whether a node was named.
    pub fn named(&self) -> bool {
        self.lightning_dir.is_some() || self.rpc_file.is_some()
    }

    /// Connects to the node that was named.
    pub fn connect(&self) -> Result<Node> {
        Node::connect(&self.socket()?)
    }

    fn socket(&self) -> Result<PathBuf> {
        match (&self.rpc_file, &self.lightning_dir) {
            (Some(socket), _) => Ok(socket.clone()),
            (None, Some(folder)) => in_folder(folder),
            (None, None) => Err(Error::usage("expected --rpc-file or --lightning-dir: which node is yours?")),
        }
    }
}

/// Has who was named sign: a key in a file, or a node; nobody where neither was.
pub fn with_signer<T>(
    key: Option<&Path>,
    node: &NodeArgs,
    sign: impl FnOnce(Option<&dyn Signer>) -> Result<T>,
) -> Result<T> {
    match key {
        Some(path) => sign(Some(&SigningKey::load(path)?)),
        None if node.named() => sign(Some(&NodeSigner(RefCell::new(&mut node.connect()?)))),
        None => sign(None),
    }
}

fn in_folder(folder: &Path) -> Result<PathBuf> {
    const NAME: &str = "lightning-rpc";
    let plain = folder.join(NAME);
    if plain.exists() {
        return Ok(plain);
    }
    let mut found = NETWORKS.iter().map(|n| folder.join(n).join(NAME)).filter(|p| p.exists());
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => {
            Err(Error::usage(format!("{}: nodes of several networks", folder.display()))
                .hint("name one with --rpc-file"))
        }
        (None, _) => Err(Error::unavailable(format!("{}: no lightning-rpc socket there", folder.display()))
            .hint("is the node running?")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_socket_is_found_in_a_nodes_folder_and_never_guessed() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(in_folder(place.path()).unwrap_err().kind(), Kind::Unavailable);
        let make = |name: &str| {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            path
        };
        let regtest = make("regtest/lightning-rpc");
        assert_eq!(in_folder(place.path()).unwrap(), regtest);
        make("bitcoin/lightning-rpc");
        assert_eq!(in_folder(place.path()).unwrap_err().kind(), Kind::Usage);
        let plain = make("lightning-rpc");
        assert_eq!(in_folder(place.path()).unwrap(), plain);
        let none = NodeArgs { lightning_dir: None, rpc_file: None };
        assert_eq!(none.socket().unwrap_err().kind(), Kind::Usage);
    }
}
