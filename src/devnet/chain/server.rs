//! The chain's process: one JSON line a request, one or more an answer.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lightning::bitcoin::Transaction;
use lightning::bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use serde_json::{Value, json};

use crate::crash::CrashPoints;
use crate::error::{Error, IoContext, Result};
use crate::layout::{self, Layout, Life};
use crate::network::Network;

use super::FIRST_BLOCKS;
use super::ledger::Ledger;

/// Blocks that one request may mine.
const MAX_MINED: u64 = 10_000;

struct Shared {
    ledger: Mutex<Ledger>,
    grown: Condvar,
    crash: CrashPoints,
    stop: Sender<()>,
}

/// Runs the chain of a network until it is told to stop, or its folder is gone.
pub fn run(root: &Path) -> Result<()> {
    let layout = Layout::new(root);
    let folder = layout.chain();
    let network = Network::load(&layout)?.ok_or_else(|| Error::missing(format!("{}: no network", root.display())))?;
    let Some(_life) = Life::begin(&folder)? else { return Ok(()) };
    let mut ledger = Ledger::open(&folder, network.derive("l402 devnet chain"))?;
    if ledger.height() < FIRST_BLOCKS {
        ledger.mine(FIRST_BLOCKS - ledger.height(), now())?;
    }
    let socket = layout.chain_socket();
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).path(&socket)?;
    let (stop, stopped) = channel();
    let crash = CrashPoints::of(&folder);
    let shared = Arc::new(Shared { ledger: Mutex::new(ledger), grown: Condvar::new(), crash, stop });
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || serve(&stream, &shared));
        }
    });
    wait(&stopped, &folder);
    Ok(())
}

fn wait(stopped: &Receiver<()>, folder: &Path) {
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(Duration::from_secs(2)) {
        if !layout::still_mine(folder) {
            return;
        }
    }
}

fn now() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u32::try_from(d.as_secs()).unwrap_or(u32::MAX))
}

/// Serves one connection; whoever asks wrongly is told so, whoever goes away is forgotten.
fn serve(stream: &UnixStream, shared: &Shared) {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while lines.read_line(&mut line).is_ok_and(|n| n > 0) {
        let request = serde_json::from_str::<Value>(&line).unwrap_or_default();
        if request["op"] == "follow" {
            let from = request["from"].as_u64().unwrap_or(0) as u32;
            return follow(stream, shared, from);
        }
        let answer = answer(&request, shared).unwrap_or_else(|error| json!({ "error": error.to_string() }));
        if writeln!(&*stream, "{answer}").is_err() {
            return;
        }
        if request["op"] == "stop" {
            let _ = shared.stop.send(());
        }
        line.clear();
    }
}

fn answer(request: &Value, shared: &Shared) -> Result<Value> {
    let mut ledger = shared.ledger.lock().expect("no panic under the lock");
    match request["op"].as_str() {
        Some("tip" | "stop") => {}
        Some("mine") => {
            let blocks = request["blocks"].as_u64().unwrap_or(1);
            if blocks > MAX_MINED {
                return Err(Error::usage(format!("expected at most {MAX_MINED} blocks, found {blocks}")));
            }
            shared.crash.reach("before-blocks");
            ledger.mine(blocks as u32, now())?;
            shared.crash.reach("after-blocks");
            shared.grown.notify_all();
        }
        Some("broadcast") => {
            let hex = request["txs"].as_array().cloned().unwrap_or_default();
            let parse = |tx: &Value| deserialize_hex::<Transaction>(tx.as_str().unwrap_or_default());
            let txs: std::result::Result<Vec<_>, _> = hex.iter().map(parse).collect();
            ledger.accept(txs.map_err(|e| Error::data(format!("expected transactions: {e}")))?)?;
        }
        Some("block") => {
            let height = request["height"].as_u64().unwrap_or(u64::MAX);
            let block = u32::try_from(height).ok().and_then(|h| ledger.block(h));
            return Ok(block.map_or(
                json!({ "blockhash": null, "block": null }),
                |block| json!({ "blockhash": block.block_hash().to_string(), "block": serialize_hex(block) }),
            ));
        }
        _ => {
            return Err(Error::usage(format!("expected tip, mine, broadcast, block, follow or stop, found {request}")));
        }
    }
    Ok(json!({ "height": ledger.height(), "blockhash": ledger.tip().to_string(), "mempool": ledger.waiting() }))
}

/// Sends every block from a height on, as they come.
fn follow(mut stream: &UnixStream, shared: &Shared, from: u32) {
    let mut next = from;
    loop {
        let mut lines = String::new();
        {
            let mut ledger = shared.ledger.lock().expect("no panic under the lock");
            while ledger.height() < next {
                ledger = shared.grown.wait(ledger).expect("no panic under the lock");
            }
            while let Some(block) = ledger.block(next) {
                lines += &json!({ "height": next, "tip": ledger.height(), "block": serialize_hex(block) }).to_string();
                lines.push('\n');
                next += 1;
            }
        }
        if stream.write_all(lines.as_bytes()).is_err() {
            return;
        }
    }
}
