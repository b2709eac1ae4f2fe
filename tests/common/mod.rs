//! A world small enough to play whole rounds in: keys, shards, a first model, a recipe, in a folder of its own, and
//! the binary with asserted exit statuses.

#![allow(dead_code)] // Each test program uses a part.

pub mod crowd;
pub mod devnet;
pub mod escrow;
pub mod models;
pub mod papers;
pub mod proxy;
pub mod shell;
pub mod work;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use l402::artifact::{Digest, Reader};
use l402::fsio::Source;

/// The workers of every world, by ascending id.
pub const WORKERS: [&str; 3] = ["ann", "bob", "cy"];

/// Two layers, d 32, four query heads on two of keys and values.
pub const CONFIG: &str = r#"{
  "model_type": "llama", "hidden_act": "silu", "hidden_size": 32, "intermediate_size": 64,
  "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
  "vocab_size": 257, "max_position_embeddings": 64, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
  "tie_word_embeddings": false, "initializer_range": 0.05
}
"#;

/// What differs between the recipes of the tests.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// `reset` or `carry`.
    pub state: &'static str,
    /// `sparseloco` or `dense`.
    pub codec: &'static str,
    /// Groups of the batch (A4).
    pub grad_groups: u32,
}

/// Moments carried, sparse updates: what has every kind of state.
pub const FULL: Kind = Kind { state: "carry", codec: "sparseloco", grad_groups: 1 };

/// The arithmetic of every world's recipe: 1, or what `L402_TEST_ARITHMETIC` says, so that everything can be tested under both.
pub fn arithmetic() -> u32 {
    std::env::var("L402_TEST_ARITHMETIC").map_or(1, |number| number.parse().expect("L402_TEST_ARITHMETIC is 1 or 2"))
}

/// A recipe of three steps of four sequences of 16 tokens.
pub fn recipe(kind: Kind, theta_0: &str) -> String {
    let (Kind { state, codec, grad_groups }, arithmetic) = (kind, arithmetic());
    format!(
        "arithmetic = {arithmetic}\nname = \"test\"\nseed = 7\n[model]\ntheta_0 = \"{theta_0}\"\n\
         [data]\ntokenizer = \"bytes\"\nseq_len = 16\n\
         [inner]\nsteps = 3\nbatch = 4\ngrad_groups = {grad_groups}\nlr = 5e-3\nschedule = \"cosine\"\nwarmup = 2\n\
         decay_steps = 40\nmin_lr_ratio = 0.1\nweight_decay = 0.1\nstate = \"{state}\"\n\
         [codec]\nname = \"{codec}\"\ntop_k = 256\n[score]\nsequences = 24\n[pay]\nround_msat = 1000000\n"
    )
}

/// The folder that everything is in, and the coordinator's public key.
pub struct World {
    folder: tempfile::TempDir,
    /// The pinned key.
    pub coordinator: String,
    /// Whether a worker's moments go on.
    pub carries: bool,
}

/// The repository's own text.
pub fn corpus() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/text/tinyshakespeare.txt")).unwrap()
}

/// gzip by hand, stored and not compressed: independent of any library. At most 65535 bytes.
pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut crc = !0u32;
    for byte in content {
        crc ^= u32::from(*byte);
        (0..8).for_each(|_| crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()));
    }
    let len = content.len() as u16;
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    [&len.to_le_bytes()[..], &(!len).to_le_bytes(), content, &(!crc).to_le_bytes(), &u32::from(len).to_le_bytes()]
        .iter()
        .for_each(|part| out.extend(*part));
    out
}

/// 32 bytes in hex for a purpose.
pub fn beacon(purpose: &str) -> String {
    Digest::of(purpose.as_bytes()).to_string()
}

/// A number drawn from a purpose, below `bound`.
pub fn draw(purpose: &str, bound: usize) -> usize {
    let digest = Digest::of(purpose.as_bytes()).0;
    u64::from_le_bytes(digest[..8].try_into().unwrap()) as usize % bound
}

/// What the program wrote to standard error.
pub fn talk(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl World {
    /// Keys, a roster, shards of a slice of the text, theta-0 and the recipe that names it.
    pub fn new(kind: Kind) -> World {
        World::empty().furnished(kind)
    }

    /// The same with these keys, so that every byte of it is the same each time.
    pub fn with_keys(kind: Kind, secret: impl Fn(&str) -> String) -> World {
        let world = World::empty();
        for who in ["coordinator"].iter().chain(&WORKERS) {
            world.write(&format!("{who}.key"), secret(who).as_bytes());
            let owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(world.path(&format!("{who}.key")), owner).unwrap();
        }
        world.furnished(kind)
    }

    fn furnished(self, kind: Kind) -> World {
        let mut world = World { carries: kind.state == "carry", ..self };
        world.coordinator = world.text("key coordinator.key").trim().to_owned();
        let roster = WORKERS.map(|who| {
            let key = world.text(&format!("key {who}.key"));
            format!("{{\"key\":\"{}\",\"type\":\"roster\",\"v\":1,\"worker\":\"{who}\"}}\n", key.trim())
        });
        world.write("roster.jsonl", roster.concat().as_bytes());
        world.write("corpus.txt", &corpus()[..24_000]);
        world.write("config.json", CONFIG.as_bytes());
        world.ok("shard corpus.txt --tokenizer bytes --seq-len 16 --shards 4 --val-shards 1 -o shards");
        let theta = world.text("init --config config.json --seed 3 -o theta-0");
        world.write("r.toml", recipe(kind, theta.trim()).as_bytes());
        world
    }

    /// An empty folder.
    pub fn empty() -> World {
        let world = World { folder: tempfile::tempdir().unwrap(), coordinator: String::new(), carries: false };
        fs::create_dir(world.path("")).unwrap();
        world
    }

    /// A file of the world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("world").join(name)
    }

    /// The world becomes a run folder, with everybody's key in the private folder beside it.
    pub fn begin_run(&self) {
        if self.has("r.toml") {
            fs::rename(self.path("r.toml"), self.path("run.toml")).unwrap();
        }
        for who in ["coordinator"].iter().chain(&WORKERS) {
            let private = self.path(&format!("../world-private/{who}"));
            fs::create_dir_all(&private).unwrap();
            let public = self.text(&format!("key {who}.key"));
            self.write(&format!("{who}.pub"), public.as_bytes());
            fs::copy(self.path(&format!("{who}.key")), private.join("key")).unwrap();
        }
    }

    /// A round under make, by beacons of this purpose, not yet started; `more` are further variables. `begin_run` comes before.
    pub fn make(&self, round: u64, purpose: &str, more: &[&str]) -> Command {
        let mut command = Command::new("make");
        command
            .args(["--silent", "-f"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/round.mk"))
            .arg(format!("RUN={}", self.path(".").display()))
            .arg(format!("ROUND={round}"))
            .arg(format!("L402={} --quiet", env!("CARGO_BIN_EXE_l402")))
            .args(["BEACON_A", "BEACON_B"].map(|name| format!("{name}={}", beacon(&format!("{purpose} {round}")))))
            .args(more)
            .stdout(Stdio::null());
        command
    }

    /// Writes a file.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// A file's bytes.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Whether it is there.
    pub fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// The content digest of a tensor file.
    pub fn digest(&self, name: &str) -> String {
        Reader::open(Source::open(&self.path(name)).unwrap()).unwrap().finish().unwrap().to_string()
    }

    /// The names in a folder, hidden ones too, ascending.
    pub fn listing(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Every file of a folder with its bytes.
    pub fn tree(&self, folder: &str) -> Vec<(String, Vec<u8>)> {
        let read = |name: String| (name.clone(), self.bytes(&format!("{folder}/{name}")));
        self.listing(folder).into_iter().map(read).collect()
    }

    /// Copies a folder of files.
    pub fn copy_folder(&self, from: &str, to: &str) {
        fs::create_dir_all(self.path(to)).unwrap();
        for (name, bytes) in self.tree(from) {
            self.write(&format!("{to}/{name}"), &bytes);
        }
    }

    /// `l402 ARGS` in the folder, not yet started. Arguments are split at white space.
    pub fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_l402"));
        command.args(args.split_whitespace()).current_dir(self.path(""));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it; a panic or a signal is never right.
    pub fn run(&self, args: &str) -> Output {
        let output = self.command(args).output().unwrap();
        sane(args, &output);
        output
    }

    /// Runs it and asserts the exit status, and that standard error says something.
    #[track_caller]
    pub fn expect(&self, args: &str, code: i32, says: &str) -> Output {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{args}\n{}", talk(&output));
        assert!(talk(&output).contains(says), "{args}\nexpected {says:?} in\n{}", talk(&output));
        output
    }

    /// Runs it to exit status 0.
    #[track_caller]
    pub fn ok(&self, args: &str) -> Output {
        self.expect(args, 0, "")
    }

    /// Runs it to exit status 0; its standard output as text.
    #[track_caller]
    pub fn text(&self, args: &str) -> String {
        String::from_utf8(self.ok(args).stdout).unwrap()
    }

    /// `first | second`, two processes and no shell; both outputs, the first's standard output gone into the second.
    pub fn pipe(&self, first: &str, second: &str) -> (Output, Output) {
        let mut writer = self.command(first).spawn().unwrap();
        let between = writer.stdout.take().unwrap();
        let reader = self.command(second).stdin(between).output().unwrap();
        let writer = writer.wait_with_output().unwrap();
        sane(first, &writer);
        sane(second, &reader);
        (writer, reader)
    }

    // ---- A round ----

    /// Draws who works on what.
    pub fn assign(&self, n: u64) {
        let beacon = beacon(&format!("first {n}"));
        self.ok(&format!(
            "assign --recipe r.toml --round {n} --shards shards --workers ./roster.jsonl --beacon {beacon} \
             --key coordinator.key -o {n}.assignments.jsonl"
        ));
    }

    /// The shard that was assigned.
    pub fn shard_of(&self, n: u64, who: &str) -> String {
        let text = String::from_utf8(self.bytes(&format!("{n}.assignments.jsonl"))).unwrap();
        let records = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let mut own = records.filter(|r| r["worker"] == who);
        own.next().unwrap()["shard"].as_str().unwrap().to_owned()
    }

    fn state(&self, n: u64, who: &str, kind: &str) -> String {
        let earlier = (0..n).rev().map(|m| format!("{who}.{m}.{kind}")).find(|name| self.has(name));
        earlier.map_or(String::new(), |name| format!("--state {name}"))
    }

    /// The command line of a worker's `train`, without outputs.
    pub fn train(&self, n: u64, who: &str) -> String {
        format!(
            "train --recipe r.toml --model theta-{n} --shard shards/{} --round {n} --worker {who} \
             --assignments {n}.assignments.jsonl --coordinator {} {}",
            self.shard_of(n, who),
            self.coordinator,
            self.state(n, who, "moments"),
        )
    }

    /// `train | compress`, with states carried: WHO.N.update, .feedback and, where they are carried, .moments.
    pub fn work(&self, n: u64, who: &str) {
        let state_out = if self.carries { format!("--state-out {who}.{n}.moments") } else { String::new() };
        let train = format!("{} {state_out}", self.train(n, who));
        let feedback = self.state(n, who, "feedback");
        let compress =
            format!("compress --recipe r.toml {feedback} --state-out {who}.{n}.feedback -o {who}.{n}.update");
        let (writer, reader) = self.pipe(&train, &compress);
        assert_eq!(writer.status.code(), Some(0), "{train}\n{}", talk(&writer));
        assert_eq!(reader.status.code(), Some(0), "{compress}\n{}", talk(&reader));
    }

    /// The commitment to an update, or what opens it.
    pub fn commit(&self, n: u64, who: &str, update: &str, reveal: bool) -> String {
        let reveal = if reveal { "--reveal" } else { "" };
        self.text(&format!("commit {update} --round {n} --worker {who} --key {who}.key {reveal}"))
    }

    /// Commitments of all workers, then what opens them.
    pub fn commit_all(&self, n: u64) {
        let all = |reveal| WORKERS.map(|who| self.commit(n, who, &format!("{who}.{n}.update"), reveal)).concat();
        self.write(&format!("{n}.commitments.jsonl"), (all(false) + &all(true)).as_bytes());
    }

    /// The command line of a replay of the worker's round.
    pub fn replay(&self, n: u64, who: &str, update: &str) -> String {
        self.replay_with(n, who, "r.toml", &format!("theta-{n}"), &format!("{n}.assignments.jsonl"), update)
            + &format!(" {} {}", self.state(n, who, "moments"), self.state(n, who, "feedback"))
            + &(if n == 0 { String::new() } else { format!(" --previous {who}.{}.update", n - 1) })
    }

    /// A replay with these inputs, and no states.
    pub fn replay_with(&self, n: u64, who: &str, recipe: &str, model: &str, assignments: &str, update: &str) -> String {
        format!(
            "replay --recipe {recipe} --model {model} --worker {who} --round {n} --assignments {assignments} \
             --coordinator {} --shards shards --update {update}",
            self.coordinator
        )
    }

    /// Findings of everybody's update.
    pub fn replay_all(&self, n: u64) {
        let findings = WORKERS.map(|who| {
            let output = self.run(&self.replay(n, who, &format!("{who}.{n}.update")));
            assert!(matches!(output.status.code(), Some(0 | 1)), "{}", talk(&output));
            String::from_utf8(output.stdout).unwrap()
        });
        self.write(&format!("{n}.findings.jsonl"), findings.concat().as_bytes());
    }

    /// The command line of a score with all lists, without output.
    pub fn score(&self, n: u64, updates: &[&str]) -> String {
        format!(
            "score --recipe r.toml --model theta-{n} --val shards/val-00000.safetensors --beacon {} \
             --findings {n}.findings.jsonl --assignments {n}.assignments.jsonl --coordinator {} \
             --commitments {n}.commitments.jsonl {}",
            beacon(&format!("second {n}")),
            self.coordinator,
            updates.join(" ")
        )
    }

    /// The command line of an aggregation by scores, without output.
    pub fn aggregate(&self, n: u64, updates: &[&str]) -> String {
        format!("aggregate --recipe r.toml --model theta-{n} --scores {n}.scores.jsonl {}", updates.join(" "))
    }

    /// The whole round, everyone honest: ends with theta-(N+1).
    pub fn play(&self, n: u64) {
        self.assign(n);
        WORKERS.iter().for_each(|who| self.work(n, who));
        self.commit_all(n);
        self.replay_all(n);
        let updates = WORKERS.map(|who| format!("{who}.{n}.update"));
        let updates = updates.each_ref().map(String::as_str);
        self.ok(&format!("{} -o {n}.scores.jsonl", self.score(n, &updates)));
        self.ok(&format!("{} -o theta-{}", self.aggregate(n, &updates), n + 1));
    }
}

/// Neither a panic (101) nor a signal, our own verdicts only.
#[track_caller]
pub fn sane(args: &str, output: &Output) {
    let code = output.status.code();
    let known = matches!(code, Some(0 | 1 | 2 | 65 | 66 | 69 | 73 | 74 | 75));
    assert!(known && !talk(output).contains("panicked"), "{args}: {:?}\n{}", output.status, talk(output));
}

/// The records of one type in JSON Lines.
pub fn records(text: &[u8], kind: &str) -> Vec<serde_json::Value> {
    let lines = std::str::from_utf8(text).unwrap().lines();
    let all = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    all.filter(|r| r["type"] == kind).collect()
}
