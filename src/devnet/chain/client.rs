//! Speaking to the chain's process.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lightning::bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use lightning::bitcoin::{Block, Transaction};
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// Where the chain stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    /// The last block's height.
    pub height: u32,
    /// The last block's hash.
    pub hash: String,
    /// Transactions that wait for a block.
    pub mempool: u64,
}

/// A client of the chain; every call is a connection of its own.
#[derive(Clone, Debug)]
pub struct ChainClient {
    socket: PathBuf,
}

impl ChainClient {
    /// The chain behind a socket.
    pub fn new(socket: &Path) -> ChainClient {
        ChainClient { socket: socket.to_owned() }
    }

    /// Where it stands.
    pub fn tip(&self) -> Result<Tip> {
        tip(&self.call(&json!({ "op": "tip" }))?)
    }

    /// Mines blocks; where it stands then.
    pub fn mine(&self, blocks: u32) -> Result<Tip> {
        tip(&self.call(&json!({ "op": "mine", "blocks": blocks }))?)
    }

    /// Hands transactions over.
    pub fn broadcast(&self, txs: &[Transaction]) -> Result<()> {
        let hex: Vec<String> = txs.iter().map(serialize_hex).collect();
        self.call(&json!({ "op": "broadcast", "txs": hex })).map(drop)
    }

    /// The block at a height as `{blockhash, block}`, both null beyond the tip.
    pub fn raw_block(&self, height: u64) -> Result<Value> {
        self.call(&json!({ "op": "block", "height": height }))
    }

    /// Ends the chain's process.
    pub fn stop(&self) -> Result<()> {
        self.call(&json!({ "op": "stop" })).map(drop)
    }

    fn connect(&self) -> Result<UnixStream> {
        UnixStream::connect(&self.socket)
            .map_err(|e| Error::unavailable(format!("{}: the chain does not answer: {e}", self.socket.display())))
    }

    fn call(&self, request: &Value) -> Result<Value> {
        let gone = |e| Error::unavailable(format!("{}: the chain went away: {e}", self.socket.display()));
        let mut stream = self.connect()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).map_err(gone)?;
        writeln!(stream, "{request}").map_err(gone)?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).map_err(gone)?;
        let answer: Value = serde_json::from_str(&line)
            .map_err(|_| Error::unavailable(format!("{}: the chain went away", self.socket.display())))?;
        match answer["error"].as_str() {
            Some(error) => Err(Error::refused(format!("the chain: {error}"))),
            None => Ok(answer),
        }
    }
}

fn tip(answer: &Value) -> Result<Tip> {
    let read = || {
        Some(Tip {
            height: u32::try_from(answer["height"].as_u64()?).ok()?,
            hash: answer["blockhash"].as_str()?.to_owned(),
            mempool: answer["mempool"].as_u64()?,
        })
    };
    read().ok_or_else(|| Error::data(format!("expected the chain's height and hash, found {answer}")))
}

/// Hands every block from a height on to `connect`, with the height of the tip, until the chain goes away or `connect`
/// says false.
pub fn follow(client: &ChainClient, from: u32, mut connect: impl FnMut(&Block, u32, u32) -> bool) -> Result<()> {
    let gone = |e: &dyn std::fmt::Display| Error::unavailable(format!("the chain went away: {e}"));
    let mut stream = client.connect()?;
    writeln!(stream, "{}", json!({ "op": "follow", "from": from })).map_err(|e| gone(&e))?;
    for line in BufReader::new(stream).lines() {
        let line: Value = serde_json::from_str(&line.map_err(|e| gone(&e))?).map_err(|e| gone(&e))?;
        let block = line["block"].as_str().and_then(|hex| deserialize_hex::<Block>(hex).ok());
        let (Some(block), Some(height), Some(tip)) = (block, line["height"].as_u64(), line["tip"].as_u64()) else {
            return Err(gone(&"not a block"));
        };
        if !connect(&block, height as u32, tip as u32) {
            return Ok(());
        }
    }
    Err(gone(&"closed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::net::UnixListener;

    /// A socket that answers so, once.
    fn answering(answer: &'static str) -> (tempfile::TempDir, ChainClient) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        (folder, ChainClient::new(&socket))
    }

    #[test]
    fn a_chain_that_is_none_or_goes_away_is_named() {
        for (answer, code, says) in [
            ("x\n", 69, "/s: the chain went away"),
            ("{\"error\":\"no\"}\n", 1, "the chain: no"),
            ("{\"height\":1}\n", 65, "expected the chain's height and hash, found {\"height\":1}"),
        ] {
            let (_folder, client) = answering(answer);
            let error = client.tip().unwrap_err();
            assert!(error.to_string().ends_with(says), "{error}");
            assert_eq!(error.kind().exit_code(), code, "{error}");
        }
        for (answer, says) in [("{\"block\":\"zz\"}\n", "not a block"), ("", "closed")] {
            let (_folder, client) = answering(answer);
            let error = follow(&client, 0, |_, _, _| true).unwrap_err();
            assert_eq!((error.kind().exit_code(), error.to_string()), (69, format!("the chain went away: {says}")));
        }
        let gone = ChainClient::new(Path::new("/nowhere/s")).tip().unwrap_err().to_string();
        assert!(gone.starts_with("/nowhere/s: the chain does not answer: "), "{gone}");
    }
}
