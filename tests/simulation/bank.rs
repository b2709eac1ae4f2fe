//! What many seeds share: the nodes, the run folder as it begins, and the undisturbed run that the others must equal.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::play::play;
use super::sabotage::Sabotage;
use super::schedule::*;
use super::seat::{Seat, copy_tree, node};
use crate::common::devnet::Devnet;
use crate::common::escrow::{ROUND_MSAT, call};
use crate::common::{CONFIG, FULL, World, beacon, corpus, recipe};

/// What a worker's training leaves.
pub const WORK: [&str; 4] = ["update", "moments", "feedback", "leaves"];
/// So many seeds on one network: its nodes remember all that they did, and its channels run dry.
const SEEDS: u32 = 100;

/// What is made of the same work is the same, by what it is called.
type Results = BTreeMap<String, Vec<(String, Vec<u8>)>>;

pub struct Bank {
    pub devnet: Devnet,
    world: World,
    /// Of the undisturbed runs where the judge pays, and where somebody else does.
    runs: [Undisturbed; 2],
    played: u32,
}

/// Work that was done once, and what came of it.
#[derive(Default)]
pub struct Undisturbed {
    pub work: Option<tempfile::TempDir>,
    pub results: Results,
}

impl Bank {
    /// Nodes, and the undisturbed runs on them.
    pub fn open() -> Bank {
        let (devnet, world) = begin();
        let mut bank = Bank { devnet, world, runs: Default::default(), played: 0 };
        [false, true].iter().for_each(|apart| bank.undisturbed(*apart));
        bank
    }

    fn undisturbed(&mut self, apart: bool) {
        let (seat, told) = play(self, &Schedule::calm(0, apart), None);
        let outcome = told.result.unwrap_or_else(|why| panic!("undisturbed: {why}\n{}", told.log.join("\n")));
        assert!(outcome.paid.len() == 2 && outcome.paid.values().all(|paid| *paid > 0), "{outcome}");
        let work = tempfile::tempdir().unwrap();
        for w in WORKERS {
            for kind in WORK {
                let name = format!("{}.{kind}", w.name());
                fs::copy(seat.file(w, &name), work.path().join(name)).unwrap();
            }
        }
        self.run_mut(apart).work = Some(work);
    }

    /// The undisturbed run.
    pub fn run(&self, apart: bool) -> &Undisturbed {
        &self.runs[usize::from(apart)]
    }

    pub fn run_mut(&mut self, apart: bool) -> &mut Undisturbed {
        &mut self.runs[usize::from(apart)]
    }

    /// Plays a seed.
    pub fn seed(&mut self, seed: u64) -> (Schedule, super::play::Told) {
        let schedule = Schedule::draw(seed);
        let (_, told) = self.play(&schedule, None);
        (schedule, told)
    }

    /// Plays a schedule; after many the nodes are others.
    pub fn play(&mut self, schedule: &Schedule, sabotage: Option<Sabotage>) -> (Seat, super::play::Told) {
        self.played += 1;
        if self.played.is_multiple_of(SEEDS) {
            self.renew();
        }
        let (seat, told) = play(self, schedule, sabotage);
        if told.result.is_err() {
            // What broke something may have broken the nodes too.
            self.renew();
        }
        (seat, told)
    }

    fn renew(&mut self) {
        *self = Bank::open();
    }

    /// The run folder as it begins.
    pub fn template(&self, apart: bool) -> PathBuf {
        self.world.path(if apart { "../apart" } else { "../same" })
    }

    /// Whether a node's process lives.
    pub fn alive(&self, node: usize) -> bool {
        let file = fs::File::open(self.devnet.node(node).join("lock")).unwrap();
        file.try_lock_shared().is_err()
    }

    pub fn all_alive(&self) -> bool {
        NODES.iter().all(|node| self.alive(*node))
    }

    /// No node dies any more.
    pub fn disarm(&self) {
        NODES.iter().for_each(|n| drop(fs::remove_file(self.devnet.node(*n).join("crash"))));
    }

    /// Brings back what is dead: nodes may die once more while they come up.
    pub fn up(&self) -> Result<(), String> {
        let mut said = String::new();
        for _ in 0..4 {
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_l402"))
                .args(["devnet", "up", &self.devnet.dir()])
                .output()
                .unwrap();
            if output.status.success() && self.all_alive() {
                return Ok(());
            }
            said = String::from_utf8_lossy(&output.stderr).into_owned();
        }
        Err(format!("the nodes do not come up: {said}"))
    }

    pub fn channels(&self, node: usize) -> Option<Vec<Value>> {
        call(&self.devnet.socket(node).0, "listpeerchannels", json!({})).ok()?["channels"].as_array().cloned()
    }

    pub fn height(&self) -> u64 {
        let heights = NODES.iter().filter_map(|n| call(&self.devnet.socket(*n).0, "getinfo", json!({})).ok());
        heights.filter_map(|info| info["blockheight"].as_u64()).max().unwrap_or(0)
    }

    /// Waits until nothing is on its way between nodes that live: what both sides of a channel hold is the same, and stays.
    pub fn still(&self) {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            if WORKERS.iter().all(|w| self.is_still(node(*w, false))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(8));
        }
    }

    fn is_still(&self, worker: usize) -> bool {
        if !self.alive(1) || !self.alive(worker) {
            return true;
        }
        let (Some(payers), Some(workers)) = (self.channels(1), self.channels(worker)) else { return true };
        let Some(own) = workers.first() else { return true };
        let Some(other) = payers.iter().find(|c| c["channel_id"] == own["channel_id"]) else { return true };
        let settled = |channel: &Value| -> Option<Vec<String>> {
            let htlcs = channel["htlcs"].as_array()?;
            let mut hashes = Vec::new();
            for htlc in htlcs {
                let state = htlc["state"].as_str()?;
                if !["SENT_ADD_ACK_REVOCATION", "RCVD_ADD_ACK_REVOCATION"].contains(&state) {
                    return None;
                }
                hashes.push(htlc["payment_hash"].as_str()?.to_owned());
            }
            hashes.sort();
            Some(hashes)
        };
        let (Some(here), Some(there)) = (settled(own), settled(other)) else { return false };
        // What came in waits for a row that says so.
        here == there && here.iter().all(|hash| self.row(worker, hash).is_some_and(|row| row["state"] != "unpaid"))
    }

    /// A hold invoice's row, as the node has it on its disk before it acts on it.
    pub fn row(&self, node: usize, hash: &str) -> Option<Value> {
        let text = fs::read(self.devnet.node(node).join(format!("hold/{hash}.json"))).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// What each node has, with nothing in flight.
    pub fn balances(&self) -> Result<[u64; 4], String> {
        let begun = Instant::now();
        let mut balances = [0; 4];
        for (balance, node) in balances.iter_mut().zip(NODES) {
            loop {
                let channels = self.channels(node).ok_or(format!("n{node} does not answer"))?;
                let flying: usize = channels.iter().filter_map(|c| c["htlcs"].as_array()).map(Vec::len).sum();
                *balance = channels.iter().filter_map(|c| c["to_us_msat"].as_u64()).sum();
                if flying == 0 {
                    break;
                }
                if begun.elapsed() > Duration::from_secs(15) {
                    return Err(format!("n{node}: something is still in flight: {channels:?}"));
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(balances)
    }

    /// What all channels are worth together.
    pub fn capacity(&self) -> u64 {
        let channels = self.channels(1).unwrap();
        channels.iter().map(|c| c["total_msat"].as_u64().unwrap()).sum()
    }
}

/// A network, and run folders with its keys: one where the judge pays, one where somebody else does.
fn begin() -> (Devnet, World) {
    let devnet = Devnet::up(4, "");
    let world = World::empty();
    world.write("corpus.txt", &corpus()[..24_000]);
    world.write("config.json", CONFIG.as_bytes());
    world.ok("shard corpus.txt --tokenizer bytes --seq-len 16 --shards 4 --val-shards 1 -o shards");
    let theta = world.text("init --config config.json --seed 3 -o theta-0");
    let text = recipe(FULL, theta.trim()).replace("round_msat = 1000000", &format!("round_msat = {ROUND_MSAT}"));
    world.write("run.toml", text.as_bytes());
    let roster = WORKERS.map(|w| {
        let key = devnet.socket(node(w, false)).id();
        format!("{{\"key\":\"{key}\",\"type\":\"roster\",\"v\":1,\"worker\":\"{}\"}}\n", w.name())
    });
    world.write("roster.jsonl", roster.concat().as_bytes());
    ["corpus.txt", "config.json"].iter().for_each(|name| fs::remove_file(world.path(name)).unwrap());
    for apart in [false, true] {
        let judge = devnet.socket(node(Judge, apart));
        world.write("coordinator.pub", judge.id().as_bytes());
        if apart {
            world.write("payer.pub", devnet.socket(node(Payer, apart)).id().as_bytes());
        }
        let private = world.path("../world-private/coordinator");
        let _ = fs::remove_dir_all(&private);
        fs::create_dir_all(&private).unwrap();
        symlink(&judge.0, private.join("lightning-rpc")).unwrap();
        let _ = fs::remove_dir_all(world.path("round-0"));
        world.ok(&format!("assign 0 --beacon {}", beacon("simulation a")));
        copy_tree(&world.path(""), Path::new(&world.path(if apart { "../apart" } else { "../same" })));
    }
    (devnet, world)
}
