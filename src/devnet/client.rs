//! A small JSON-RPC client for the control of a network's own nodes.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::{Error, Result};

/// A node behind a socket.
#[derive(Clone, Debug)]
pub struct RpcClient {
    socket: PathBuf,
}

impl RpcClient {
    /// The node behind `socket`.
    pub fn new(socket: &Path) -> RpcClient {
        RpcClient { socket: socket.to_owned() }
    }

    /// Calls a method on a connection of its own.
    pub fn call(&self, method: &str, params: &Value, most: Duration) -> Result<Value> {
        let name = self.socket.display();
        let gone = |e: &dyn std::fmt::Display| Error::unavailable(format!("{name}: the node does not answer: {e}"));
        let mut stream = UnixStream::connect(&self.socket).map_err(|e| gone(&e))?;
        stream.set_read_timeout(Some(most)).map_err(|e| gone(&e))?;
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        stream.write_all(format!("{request}\n\n").as_bytes()).map_err(|e| gone(&e))?;
        let (mut answer, mut piece) = (Vec::new(), vec![0; 1 << 16]);
        while !answer.ends_with(b"\n\n") {
            match stream.read(&mut piece).map_err(|e| gone(&e))? {
                0 => return Err(gone(&"closed")),
                n => answer.extend_from_slice(&piece[..n]),
            }
        }
        let mut answer: Value = serde_json::from_slice(&answer).map_err(|e| gone(&e))?;
        match answer["error"]["message"].as_str() {
            Some(error) => Err(Error::refused(format!("{name}: {method}: {error}"))),
            None => Ok(answer["result"].take()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_gone_is_named() {
        let client = RpcClient::new(Path::new("/nowhere/s"));
        let error = client.call("getinfo", &json!({}), Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.kind().exit_code(), 69);
        assert!(error.to_string().starts_with("/nowhere/s: the node does not answer: "), "{error}");
    }
}
