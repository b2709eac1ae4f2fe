//! What LDK asks of its surroundings: a log, fees, a broadcaster.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use lightning::bitcoin::Transaction;
use lightning::chain::chaininterface::{BroadcasterInterface, ConfirmationTarget, FeeEstimator};
use lightning::util::logger::{Level, Logger, Record};

use crate::chain::ChainClient;
use crate::error::{IoContext, Result};

/// Sat per 1000 weight units, always.
pub const FEERATE: u32 = 253;

/// Fees that never change.
#[derive(Debug)]
pub struct FixedFees;

impl FeeEstimator for FixedFees {
    fn get_est_sat_per_1000_weight(&self, _: ConfirmationTarget) -> u32 {
        FEERATE
    }
}

/// A node's log, one line a record; `L402_DEVNET_LOG=trace` (debug, info) makes it longer.
#[derive(Debug)]
pub struct LogFile {
    file: Mutex<File>,
    level: Level,
}

impl LogFile {
    /// Appends to the log in a node's folder.
    pub fn open(folder: &Path) -> Result<LogFile> {
        let path = folder.join("log");
        let file = OpenOptions::new().create(true).append(true).open(&path).path(&path)?;
        let level = match std::env::var("L402_DEVNET_LOG").as_deref() {
            Ok("trace") => Level::Trace,
            Ok("debug") => Level::Debug,
            Ok("info") => Level::Info,
            _ => Level::Warn,
        };
        Ok(LogFile { file: Mutex::new(file), level })
    }

    /// A line of our own.
    pub fn note(&self, text: &str) {
        // A log that cannot be written is no reason to stop a node.
        let _ = writeln!(self.file.lock().expect("no panic under the lock"), "{text}");
    }
}

impl Logger for LogFile {
    fn log(&self, record: Record<'_>) {
        if record.level >= self.level {
            self.note(&format!("{} {}:{} {}", record.level, record.module_path, record.line, record.args));
        }
    }
}

/// Hands transactions to the chain, again and again until it takes them.
#[derive(Debug)]
pub struct Broadcaster {
    queue: Mutex<Sender<Vec<Transaction>>>,
}

impl Broadcaster {
    /// A broadcaster to a chain.
    pub fn to(chain: ChainClient) -> Broadcaster {
        let (queue, waiting) = channel();
        std::thread::spawn(move || deliver(&chain, &waiting));
        Broadcaster { queue: Mutex::new(queue) }
    }
}

fn deliver(chain: &ChainClient, waiting: &Receiver<Vec<Transaction>>) {
    while let Ok(txs) = waiting.recv() {
        while chain.broadcast(&txs).is_err() {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl BroadcasterInterface for Broadcaster {
    fn broadcast_transactions(&self, txs: &[&Transaction]) {
        let txs = txs.iter().map(|tx| (*tx).clone()).collect();
        // The thread at the other end lives as long as the process.
        let _ = self.queue.lock().expect("no panic under the lock").send(txs);
    }
}
