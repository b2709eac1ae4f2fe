//! Connections to peers over loopback TCP. Of two peers the one whose number is lower calls.

use std::sync::Arc;
use std::time::Duration;

use lightning::bitcoin::secp256k1::PublicKey;
use tokio::net::{TcpListener, TcpStream};

use crate::disk;
use crate::error::{Error, IoContext, Result};

use super::Node;

/// The longest pause between two attempts.
const PAUSE_MOST: Duration = Duration::from_millis(400);

/// Listens on a port of its own, whose number it leaves in a file, and calls its peers.
pub async fn start(node: &Arc<Node>) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.path("127.0.0.1:0".as_ref())?;
    let port = listener.local_addr().path("127.0.0.1:0".as_ref())?.port();
    tokio::spawn(listen(Arc::clone(node), listener));
    disk::replace(&node.layout.port(&node.name), format!("{port}\n").as_bytes())?;
    for (name, id) in callees(node)? {
        tokio::spawn(call(Arc::clone(node), name, id));
    }
    Ok(())
}

async fn listen(node: Arc<Node>, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        // Small messages follow each other both ways: none may wait for another's acknowledgement.
        if stream.set_nodelay(true).is_ok()
            && let Ok(stream) = stream.into_std()
        {
            tokio::spawn(lightning_net_tokio::setup_inbound(Arc::clone(&node.peers), stream));
        }
    }
}

/// Peers that this node calls.
fn callees(node: &Node) -> Result<Vec<(String, PublicKey)>> {
    let number = |name: &str| node.network.nodes.iter().position(|n| n.name == name);
    let own = number(&node.name);
    let channels = node.network.channels.iter().filter(|c| c.touches(&node.name));
    let others = channels.map(|c| if c.from == node.name { &c.to } else { &c.from });
    let mut names: Vec<&String> = others.filter(|name| number(name) > own).collect();
    names.sort();
    names.dedup();
    names.into_iter().map(|name| Ok((name.clone(), node.network.id_of(name)?))).collect()
}

async fn call(node: Arc<Node>, name: String, id: PublicKey) {
    let mut pause = Duration::from_millis(10);
    loop {
        if let Ok(port) = port(&node, &name)
            && let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await
            && stream.set_nodelay(true).is_ok()
            && let Ok(stream) = stream.into_std()
        {
            lightning_net_tokio::setup_outbound(Arc::clone(&node.peers), id, stream).await;
            pause = Duration::from_millis(10);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MOST);
    }
}

fn port(node: &Node, name: &str) -> Result<u16> {
    let bytes = disk::read_if_there(&node.layout.port(name))?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.trim().parse().map_err(|_| Error::data(format!("{name}/port: expected a port, found {text:?}")))
}
