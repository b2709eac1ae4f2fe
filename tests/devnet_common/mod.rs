//! A network in a folder of its own, asked through the binary and through its sockets. Its processes end with it.

#![allow(dead_code)] // Each test program uses a part.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cln_rpc::model::TypedRequest;
use cln_rpc::{ClnRpc, RpcError};
use l402::artifact::Digest;
use lightning::bitcoin::hashes::{Hash, sha256};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub type Answer = Result<Value, RpcError>;

/// How long anything may take.
const MOST: Duration = Duration::from_secs(40);

pub struct Net {
    folder: tempfile::TempDir,
}

impl Net {
    /// `l402 devnet up` with these flags.
    pub fn up(flags: &str) -> Net {
        let net = Net::empty();
        net.ok("up", flags);
        net
    }

    /// A folder without a network.
    pub fn empty() -> Net {
        // Sockets need short paths.
        Net { folder: tempfile::Builder::new().prefix("dn").tempdir_in("/tmp").unwrap() }
    }

    pub fn dir(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `l402 devnet VERB FOLDER FLAGS`, not yet started.
    pub fn command(&self, verb: &str, flags: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_l402"));
        command.args(["devnet", verb]).arg(self.folder.path()).args(flags.split_whitespace());
        command
    }

    pub fn run(&self, verb: &str, flags: &str) -> Output {
        self.command(verb, flags).output().unwrap()
    }

    #[track_caller]
    pub fn ok(&self, verb: &str, flags: &str) -> String {
        let output = self.run(verb, flags);
        let talk = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "devnet {verb} {flags}: {talk}\n{}", self.logs());
        String::from_utf8(output.stdout).unwrap()
    }

    fn logs(&self) -> String {
        let nodes = (1..=9).map(|i| format!("n{i}")).chain(["chain".to_owned()]);
        nodes
            .filter_map(|n| fs::read_to_string(self.path(&n).join("log")).ok().map(|l| format!("{n}: {l}\n")))
            .collect()
    }

    /// `kill -9` of one of its processes.
    pub fn kill(&self, name: &str) {
        if let Ok(pid) = fs::read_to_string(self.path(name).join("pid")) {
            let _ = Command::new("kill").args(["-9", pid.trim()]).output();
        }
    }

    /// Has a process die at a named point, once.
    pub fn arm(&self, name: &str, point: &str) {
        fs::write(self.path(name).join("crash"), point).unwrap();
    }

    pub fn disarm(&self, name: &str) -> bool {
        fs::remove_file(self.path(name).join("crash")).is_ok()
    }

    /// Whether its process lives.
    pub fn alive(&self, name: &str) -> bool {
        let file = fs::File::open(self.path(name).join("lock")).unwrap();
        file.try_lock_shared().is_err()
    }

    pub fn node(&self, name: &str) -> Node {
        Node { socket: self.path(name).join("lightning-rpc") }
    }

    /// Both sides of every channel, by channel id: balances, and pending HTLCs.
    pub fn channels(&self, names: &[&str]) -> BTreeMap<String, Vec<Value>> {
        let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for name in names {
            for channel in self.node(name).channels() {
                all.entry(channel["channel_id"].as_str().unwrap().to_owned()).or_default().push(channel);
            }
        }
        all
    }

    /// Nothing is pending, both sides of every channel agree, to the msat; the channels' ids.
    #[track_caller]
    pub fn settled(&self, names: &[&str]) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let channels = self.channels(names);
            let quiet = channels.values().flatten().all(|c| c["htlcs"].as_array().unwrap().is_empty());
            let exact = channels.values().all(|sides| {
                let sum: u64 = sides.iter().map(|c| c["to_us_msat"].as_u64().unwrap()).sum();
                sides.len() == 2 && sum == sides[0]["total_msat"].as_u64().unwrap()
            });
            if quiet && exact {
                let usable = channels.values().flatten().all(|c| c["state"] == "CHANNELD_NORMAL");
                assert!(usable, "{channels:?}");
                return channels.into_keys().collect();
            }
            assert!(begun.elapsed() < MOST, "not settled: {channels:#?}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        for i in 1..=9 {
            self.kill(&format!("n{i}"));
        }
        self.kill("chain");
    }
}

/// A node behind its socket; every call is a connection of its own.
#[derive(Clone)]
pub struct Node {
    socket: PathBuf,
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

impl Node {
    pub fn try_call(&self, method: &str, params: Value) -> Answer {
        block_on(async {
            let gone = |e: &dyn std::fmt::Display| RpcError { code: None, message: e.to_string(), data: None };
            let mut rpc = ClnRpc::new(&self.socket).await.map_err(|e| gone(&e))?;
            let call = rpc.call_raw(method, &params);
            tokio::time::timeout(MOST, call).await.map_err(|e| gone(&e))?
        })
    }

    #[track_caller]
    pub fn call(&self, method: &str, params: Value) -> Value {
        self.try_call(method, params.clone()).unwrap_or_else(|e| panic!("{method} {params}: {e:?}"))
    }

    /// The code and text of an error.
    #[track_caller]
    pub fn refused(&self, method: &str, params: Value) -> (i32, String) {
        let error = self.try_call(method, params).expect_err(method);
        (error.code.expect("an answer"), error.message)
    }

    #[track_caller]
    pub fn typed<R>(&self, request: &R) -> R::Response
    where
        R: TypedRequest + Serialize + std::fmt::Debug,
        R::Response: DeserializeOwned + std::fmt::Debug,
    {
        block_on(async { ClnRpc::new(&self.socket).await.unwrap().call_typed(request).await.unwrap() })
    }

    pub fn id(&self) -> String {
        self.call("getinfo", json!({}))["id"].as_str().unwrap().to_owned()
    }

    pub fn height(&self) -> u64 {
        self.call("getinfo", json!({}))["blockheight"].as_u64().unwrap()
    }

    pub fn channels(&self) -> Vec<Value> {
        self.call("listpeerchannels", json!({}))["channels"].as_array().unwrap().clone()
    }

    /// What is settled as its own, in all channels.
    pub fn balance(&self) -> u64 {
        self.channels().iter().map(|c| c["to_us_msat"].as_u64().unwrap()).sum()
    }

    pub fn hold(&self, secret: &Secret) -> Option<Value> {
        let listed = self.call("listholdinvoices", json!({ "payment_hash": secret.hash }));
        listed["holdinvoices"].as_array().unwrap().first().cloned()
    }

    /// Makes a hold invoice; its bolt11.
    #[track_caller]
    pub fn hold_invoice(&self, secret: &Secret, msat: u64) -> String {
        let made = self.call("holdinvoice", json!({ "payment_hash": secret.hash, "amount": msat }));
        made["bolt11"].as_str().unwrap().to_owned()
    }

    /// Pays in the background.
    pub fn pay(&self, bolt11: &str) -> JoinHandle<Answer> {
        let (node, bolt11) = (self.clone(), bolt11.to_owned());
        std::thread::spawn(move || node.try_call("xpay", json!({ "invstring": bolt11 })))
    }

    #[track_caller]
    pub fn wait_held(&self, secret: &Secret) -> Value {
        eventually("held", || self.hold(secret).filter(|row| row["state"] == "accepted"))
    }

    /// Where the payment of a hash stands; nothing where there is none.
    pub fn pay_status(&self, secret: &Secret) -> Option<String> {
        let listed = self.call("listpays", json!({ "payment_hash": secret.hash }));
        listed["pays"].as_array().unwrap().first().map(|p| p["status"].as_str().unwrap().to_owned())
    }
}

#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = ask() {
            return value;
        }
        assert!(begun.elapsed() < MOST, "never {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A preimage and its hash.
#[derive(Clone, Debug)]
pub struct Secret {
    pub preimage: String,
    pub hash: String,
}

/// The secret that belongs to a name.
pub fn secret(name: &str) -> Secret {
    let preimage = Digest::of(name.as_bytes()).0;
    Secret { preimage: hex::encode(preimage), hash: sha256::Hash::hash(&preimage).to_string() }
}
