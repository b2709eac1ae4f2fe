//! A payer who judges, a worker, and everything that a paid round passes between them, over two sockets.
//!
//! Nothing here knows what stands behind a socket: lightningd with the hold plugin, or the embedded devnet.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use cln_rpc::ClnRpc;
use serde_json::{Value, json};

use super::{FULL, Kind, World, beacon, records, talk};

/// What a round may pay, in msat: large enough that every rung is an output on chain.
pub const ROUND_MSAT: u64 = 60_000_000;

/// One call over a socket; the answer, or the error's code.
pub fn call(socket: &Path, method: &str, params: Value) -> Result<Value, i32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = ClnRpc::new(socket).await.map_err(|_| 0)?;
        let asked = tokio::time::timeout(Duration::from_secs(60), client.call_raw::<Value, Value>(method, &params));
        asked.await.map_err(|_| 0)?.map_err(|e| e.code.unwrap_or(0))
    })
}

/// A node's socket, and what is asked of it again and again.
#[derive(Clone, Debug)]
pub struct Socket(pub PathBuf);

impl Socket {
    /// The node's id.
    pub fn id(&self) -> String {
        self.ask("getinfo", json!({}))["id"].as_str().unwrap().to_owned()
    }

    /// The chain's height.
    pub fn height(&self) -> u64 {
        self.ask("getinfo", json!({}))["blockheight"].as_u64().unwrap()
    }

    /// A call that must succeed.
    #[track_caller]
    pub fn ask(&self, method: &str, params: Value) -> Value {
        call(&self.0, method, params).unwrap_or_else(|code| panic!("{}: {method}: code {code}", self.0.display()))
    }

    /// Settled msat over all channels, and what is in flight.
    pub fn balance(&self) -> (u64, usize) {
        let answer = self.ask("listpeerchannels", json!({}));
        let channels = answer["channels"].as_array().unwrap().clone();
        let msat = channels.iter().map(|c| c["to_us_msat"].as_u64().unwrap()).sum();
        let htlcs = channels.iter().map(|c| c["htlcs"].as_array().map_or(0, Vec::len)).sum();
        (msat, htlcs)
    }

    /// Waits until nothing is in flight; the balance then.
    #[track_caller]
    pub fn quiet(&self) -> u64 {
        for _ in 0..600 {
            let (msat, htlcs) = self.balance();
            if htlcs == 0 {
                return msat;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{}: something is still in flight", self.0.display());
    }

    /// As an argument.
    pub fn arg(&self) -> String {
        format!("--rpc-file {}", self.0.display())
    }
}

/// The two parties, and what can be done to their nodes from outside.
pub struct Pair {
    /// Pays and judges.
    pub payer: Socket,
    /// Works.
    pub payee: Socket,
    /// Judges, where that is not the payer.
    pub judge: Option<Socket>,
    /// Mines so many blocks as its argument says.
    pub mine: Option<String>,
    /// Restarts the payer's node.
    pub restart_payer: Option<String>,
    /// Restarts the payee's node.
    pub restart_payee: Option<String>,
}

/// Runs a shell command that must succeed.
#[track_caller]
pub fn shell(command: &str) {
    let done = Command::new("sh").arg("-c").arg(command).stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{command}\n{}", String::from_utf8_lossy(&done.stderr));
}

impl Pair {
    /// Who judges.
    pub fn judge(&self) -> &Socket {
        self.judge.as_ref().unwrap_or(&self.payer)
    }

    /// Mines blocks, and waits until both nodes have seen them.
    pub fn mine(&self, blocks: u64) {
        let height = self.payer.height() + blocks;
        shell(&format!("{} {blocks}", self.mine.as_ref().expect("there is a command")));
        for _ in 0..600 {
            if self.payer.height() >= height && self.payee.height() >= height {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the nodes do not see the blocks");
    }
}

/// A world whose only worker is ann, with an update and its score: what escrow is tried on.
pub struct Table {
    /// The files.
    pub world: World,
    /// What ann earned, in msat.
    pub earned: u64,
    /// Ann's node id.
    pub worker: String,
}

impl Table {
    /// Round 0 of a tiny model, up to the score. The nodes sign; what they sign is offered and paid later.
    pub fn new(pair: &Pair) -> Table {
        let mut world = World::new(Kind { state: "reset", ..FULL });
        world.coordinator = pair.judge().id();
        let roster = format!("{{\"key\":\"{}\",\"type\":\"roster\",\"v\":1,\"worker\":\"ann\"}}\n", pair.payee.id());
        world.write("roster.jsonl", roster.as_bytes());
        let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
        world.write("r.toml", recipe.replace("round_msat = 1000000", &format!("round_msat = {ROUND_MSAT}")).as_bytes());
        world.ok(&format!(
            "assign --recipe r.toml --round 0 --shards shards --workers ./roster.jsonl --beacon {} {} \
             -o 0.assignments.jsonl",
            beacon("first"),
            pair.judge().arg()
        ));
        world.work(0, "ann");
        let finding = world.ok(&world.replay(0, "ann", "ann.0.update")).stdout;
        world.write("0.findings.jsonl", &finding);
        world.ok(&format!(
            "score --recipe r.toml --model theta-0 --val shards/val-00000.safetensors --beacon {} \
             --findings 0.findings.jsonl --assignments 0.assignments.jsonl --coordinator {} -o 0.scores.jsonl \
             ann.0.update",
            beacon("second"),
            world.coordinator
        ));
        let scores = records(&world.bytes("0.scores.jsonl"), "score");
        let earned = scores[0]["entitled_msat"].as_u64().unwrap();
        assert!(earned > 0, "{scores:?}");
        Table { world, earned, worker: pair.payee.id() }
    }

    /// A try at the round with escrow folders of its own.
    pub fn round<'a>(&'a self, pair: &'a Pair, name: &str) -> Round<'a> {
        Round {
            table: self,
            pair,
            name: name.to_owned(),
            payer: pair.payer.clone(),
            payee: pair.payee.clone(),
            worker: self.worker.clone(),
        }
    }
}

/// One try at the round: its files begin with its name.
pub struct Round<'a> {
    /// The world.
    pub table: &'a Table,
    /// The nodes.
    pub pair: &'a Pair,
    /// The name.
    pub name: String,
    /// Where the payer's verbs ask.
    pub payer: Socket,
    /// Where the worker's verbs ask.
    pub payee: Socket,
    /// The worker's node id.
    pub worker: String,
}

/// The steps of a paid round, in order.
pub const STEPS: [&str; 9] = ["offer", "issue", "lock", "held", "commit", "close", "open", "settle", "claim"];

impl Round<'_> {
    /// A file of this try.
    pub fn file(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    fn judge_args(&self) -> String {
        let socket = self.pair.judge.as_ref().unwrap_or(&self.payer);
        format!("--escrow {} {}", self.file("judge"), socket.arg())
    }

    fn payer_args(&self) -> String {
        match self.pair.judge {
            Some(_) => format!("--escrow {} {}", self.file("payer"), self.payer.arg()),
            None => self.judge_args(),
        }
    }

    fn payer_id(&self) -> String {
        if self.pair.judge.is_some() { self.pair.payer.id() } else { self.table.world.coordinator.clone() }
    }

    fn payee_args(&self) -> String {
        format!("--escrow {} {}", self.file("worker"), self.payee.arg())
    }

    /// The command line of a step.
    pub fn args(&self, step: &str) -> String {
        let (judge, worker) = (&self.table.world.coordinator, &self.worker);
        let file = |name| self.file(name);
        match step {
            "offer" => format!(
                "invoice offer --recipe r.toml --model theta-0 --round 0 --assignments 0.assignments.jsonl \
                 --coordinator {judge} --judge {judge} --payer {} --worker ann={worker} {} -o {}",
                self.payer_id(),
                self.judge_args(),
                file("offers.jsonl")
            ),
            "issue" => format!(
                "invoice issue {} --judge {judge} {} -o {}",
                file("offers.jsonl"),
                self.payee_args(),
                file("invoices.jsonl")
            ),
            "lock" => format!(
                "invoice lock {} --offers {} --judge {judge} --worker ann={worker} --budget-msat {} {}",
                file("invoices.jsonl"),
                file("offers.jsonl"),
                3 * ROUND_MSAT,
                self.payer_args()
            ),
            "held" => format!("invoice status --wait=20 {} -o {}", self.payee_args(), file("held.jsonl")),
            "commit" => format!(
                "commit ann.0.update --round 0 --worker ann --offers {} {} -o {}",
                file("offers.jsonl"),
                self.payee_args(),
                file("commitments.jsonl")
            ),
            "close" => format!(
                "commit --close {} --round 0 {} -o {}",
                file("commitments.jsonl"),
                self.judge_args(),
                file("closing.jsonl")
            ),
            "open" => format!(
                "commit ann.0.update --round 0 --worker ann --reveal {} -o {}",
                self.payee_args(),
                file("openings.jsonl")
            ),
            "settle" => format!(
                "settle --scores 0.scores.jsonl --findings 0.findings.jsonl --offers {} --held {} --commitments {} \
                 --commitments {} --commitments {} --reveal {} {} -o {}",
                file("offers.jsonl"),
                file("held.jsonl"),
                file("commitments.jsonl"),
                file("closing.jsonl"),
                file("openings.jsonl"),
                file("secret"),
                self.judge_args(),
                file("verdicts.jsonl")
            ),
            "claim" => format!(
                "settle --claim {}/ann.0.0.reveal --wait=4 {} -o {}",
                file("secret"),
                self.payee_args(),
                file("claimed.jsonl")
            ),
            other => panic!("no step {other}"),
        }
    }

    /// A step's command, for what a test does to it.
    pub fn command(&self, step: &str) -> Command {
        self.table.world.command(&self.args(step))
    }

    /// A step that must succeed.
    #[track_caller]
    pub fn ok(&self, step: &str) -> Output {
        self.table.world.ok(&self.args(step))
    }

    /// A step that must end so, and say so.
    #[track_caller]
    pub fn expect(&self, step: &str, code: i32, says: &str) -> Output {
        self.table.world.expect(&self.args(step), code, says)
    }

    /// Steps that must succeed, from the first up to and with `last`.
    #[track_caller]
    pub fn up_to(&self, last: &str) {
        let end = STEPS.iter().position(|s| *s == last).expect("a step");
        STEPS[..=end].iter().for_each(|step| drop(self.ok(step)));
    }

    /// Repeats a step after a fault until it succeeds; only try-again codes are in order meanwhile.
    #[track_caller]
    pub fn until_ok(&self, step: &str) {
        for _ in 0..100 {
            let output = self.command(step).output().unwrap();
            match output.status.code() {
                Some(0) => return,
                Some(69 | 75) => std::thread::sleep(Duration::from_millis(100)),
                code => panic!("{step}: {code:?}\n{}", talk(&output)),
            }
        }
        panic!("{step}: it never succeeds");
    }

    /// The records of one type in a file of this try.
    pub fn records(&self, file: &str, kind: &str) -> Vec<Value> {
        records(&self.table.world.bytes(&self.file(file)), kind)
    }

    /// What the verdict pays.
    pub fn paid(&self) -> u64 {
        self.records("verdicts.jsonl", "verdict")[0]["paid_msat"].as_u64().unwrap()
    }
}
