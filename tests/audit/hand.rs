//! A run whose files are made by hand, each with its own say; and what liars write.

use std::fs;

use l402::artifact::{Digest, Header, Meta, Reader, Recipe, Writer};
use l402::fsio::Source;

use crate::common::{FULL, WORKERS, World, beacon, records, talk};

/// A run whose files are made by hand, each with its own say: `pub/` as in `played`, but step by step.
pub struct Hand {
    /// Everything, the run folder in `pub/`.
    pub world: World,
}

/// Verbs of a round without pay, in `pub/`.
impl Hand {
    pub fn new() -> Hand {
        let mut world = World::new(FULL);
        fs::create_dir(world.path("pub")).unwrap();
        for name in ["roster.jsonl", "shards", "theta-0"] {
            fs::rename(world.path(name), world.path(&format!("pub/{name}"))).unwrap();
        }
        fs::rename(world.path("r.toml"), world.path("pub/run.toml")).unwrap();
        world.carries = true;
        Hand { world }
    }

    /// A file of a round.
    pub fn file(&self, n: u64, name: &str) -> String {
        format!("pub/round-{n}/{name}")
    }

    pub fn assign(&self, n: u64) {
        fs::create_dir(self.world.path(&format!("pub/round-{n}"))).unwrap();
        for (file, purpose) in [("beacon-a", "first"), ("beacon-b", "second")] {
            self.world.write(&self.file(n, file), beacon(&format!("{purpose} {n}")).as_bytes());
        }
        self.world.ok(&format!(
            "assign --recipe pub/run.toml --round {n} --shards pub/shards --workers pub/roster.jsonl --beacon {} \
             --key coordinator.key -o {}",
            beacon(&format!("first {n}")),
            self.file(n, "assignments.jsonl")
        ));
    }

    /// A worker's work, from the states of `from` (a worker, whose states they are, and a round), if there are any.
    pub fn work(&self, n: u64, who: &str, from: Option<(&str, u64)>) {
        let text = String::from_utf8(self.world.bytes(&self.file(n, "assignments.jsonl"))).unwrap();
        let all = records(text.as_bytes(), "assignment");
        let shard = all.iter().find(|a| a["worker"] == who).unwrap()["shard"].as_str().unwrap().to_owned();
        let state = |kind: &str| {
            from.map_or(String::new(), |(who, m)| format!("--state {}", self.file(m, &format!("{who}.{kind}"))))
        };
        let (train, compress) = (
            format!(
                "train --recipe pub/run.toml --model pub/theta-{n} --shard pub/shards/{shard} --round {n} --worker {who} \
                 --assignments {} --coordinator {} {} --state-out {}",
                self.file(n, "assignments.jsonl"),
                self.world.coordinator,
                state("moments"),
                self.file(n, &format!("{who}.moments"))
            ),
            format!(
                "compress --recipe pub/run.toml {} --state-out {} -o {}",
                state("feedback"),
                self.file(n, &format!("{who}.feedback")),
                self.file(n, &format!("{who}.update"))
            ),
        );
        let (first, second) = self.world.pipe(&train, &compress);
        assert!(first.status.success() && second.status.success(), "{}{}", talk(&first), talk(&second));
    }

    pub fn commit(&self, n: u64, workers: &[&str]) {
        let line = |who: &str, reveal: &str| {
            let update = self.file(n, &format!("{who}.update"));
            self.world.text(&format!("commit {update} --round {n} --worker {who} --key {who}.key {reveal}"))
        };
        let all: String =
            workers.iter().map(|who| line(who, "")).chain(workers.iter().map(|who| line(who, "--reveal"))).collect();
        self.world.write(&self.file(n, "commitments.jsonl"), all.as_bytes());
    }

    pub fn finding(&self, n: u64, who: &str, from: Option<u64>) -> String {
        let states = from.map_or(String::new(), |m| {
            let file = |kind: &str| self.file(m, &format!("{who}.{kind}"));
            format!("--state {} --state {} --previous {}", file("moments"), file("feedback"), file("update"))
        });
        let output = self.world.run(&format!(
            "replay --recipe pub/run.toml --model pub/theta-{n} --worker {who} --assignments {} --coordinator {} \
             --shards pub/shards --update {} {states}",
            self.file(n, "assignments.jsonl"),
            self.world.coordinator,
            self.file(n, &format!("{who}.update"))
        ));
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}", talk(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn replay(&self, n: u64, workers: &[&str], from: Option<u64>) {
        let all: String = workers.iter().map(|who| self.finding(n, who, from)).collect();
        self.world.write(&self.file(n, "findings.jsonl"), all.as_bytes());
    }

    /// Scores and outer step, of these workers' updates.
    pub fn finish(&self, n: u64, scored: &[&str]) {
        let updates: Vec<String> = scored.iter().map(|who| self.file(n, &format!("{who}.update"))).collect();
        let updates = updates.join(" ");
        self.world.ok(&format!(
            "score --recipe pub/run.toml --model pub/theta-{n} --val pub/shards/val-00000.safetensors --beacon {} \
             --findings {} --assignments {} --coordinator {} --commitments {} -o {} --force {updates}",
            beacon(&format!("second {n}")),
            self.file(n, "findings.jsonl"),
            self.file(n, "assignments.jsonl"),
            self.world.coordinator,
            self.file(n, "commitments.jsonl"),
            self.file(n, "scores.jsonl")
        ));
        self.aggregate(n, scored);
    }

    pub fn aggregate(&self, n: u64, summed: &[&str]) {
        let updates: Vec<String> = summed.iter().map(|who| self.file(n, &format!("{who}.update"))).collect();
        self.world.ok(&format!(
            "aggregate --recipe pub/run.toml --model pub/theta-{n} --scores {} {} -o pub/theta-{} --force",
            self.file(n, "scores.jsonl"),
            updates.join(" "),
            n + 1
        ));
    }

    /// An honest round.
    pub fn play(&self, n: u64) {
        let from = n.checked_sub(1);
        self.assign(n);
        WORKERS.iter().for_each(|who| self.work(n, who, from.map(|m| (*who, m))));
        self.commit(n, &WORKERS);
        self.replay(n, &WORKERS, from);
        self.finish(n, &WORKERS);
    }

    /// Changes a file's text.
    #[track_caller]
    pub fn edit(&self, name: &str, change: impl FnOnce(String) -> String) {
        let old = String::from_utf8(self.world.bytes(name)).unwrap();
        let new = change(old.clone());
        assert_ne!(new, old, "{name}");
        self.world.write(name, new.as_bytes());
    }
}

/// `"found"` for `"expected"` in the only line that contains `line`.
pub fn in_line(text: &str, line: &str, change: impl Fn(&str) -> String) -> String {
    let lines = text.lines().map(|l| if l.contains(line) { change(l) } else { l.to_owned() } + "\n");
    lines.collect()
}

/// A worker takes one step where three are asked for, and writes the real run over the traces of it. `recipe`, `model` and
/// `shards` are the run's, `assignments` its round's first.
pub fn lie(world: &World, who: &str, [recipe, model, shards, assignments]: [&str; 4], update: &str) {
    let text = String::from_utf8(world.bytes(recipe)).unwrap();
    world.write("lazy.toml", text.replace("steps = 3", "steps = 1").as_bytes());
    let all = String::from_utf8(world.bytes(assignments)).unwrap();
    let line = all.lines().find(|l| l.contains(&format!("\"worker\":\"{who}\""))).unwrap();
    let shard = &records(line.as_bytes(), "assignment")[0]["shard"];
    let shard = format!("{shards}/{}", shard.as_str().unwrap());
    world.ok(&format!(
        "train --recipe lazy.toml --model {model} --shard {shard} --round 0 --worker {who} -o lazy --force"
    ));
    let mut reader = Reader::open(Source::open(&world.path("lazy")).unwrap()).unwrap();
    let mut header: Header = reader.header().clone();
    let mut meta = Meta(header.metadata.clone());
    meta.set("run", Recipe::parse(&text).unwrap().digest())
        .set("assignment", Digest::of(format!("{line}\n").as_bytes()));
    header.metadata = meta.0;
    let mut writer = Writer::new("delta", Vec::new(), header).unwrap();
    while let Some((info, data)) = reader.next_tensor().unwrap() {
        writer.bytes(&info.name, &data).unwrap();
    }
    world.write("delta", &writer.finish().unwrap().0);
    let state = update.replace("update", "feedback");
    world.ok(&format!("compress --recipe {recipe} delta --state-out {state} -o {update} --force"));
}

/// A finding of a mismatch that says exact.
pub fn exact(line: &str) -> String {
    let mut record = records(line.as_bytes(), "finding")[0].as_object().unwrap().clone();
    ["differs", "expected", "found"].iter().for_each(|field| drop(record.remove(*field)));
    record.insert("finding".into(), "exact".into());
    l402::artifact::canonical::json(&record.into())
}

/// A finding of an exact replay that says something else.
pub fn forged(line: &str, finding: &str) -> String {
    let mut record = records(line.as_bytes(), "finding")[0].as_object().unwrap().clone();
    record.insert("finding".into(), finding.into());
    if finding == "mismatch" {
        for (field, value) in [("differs", "tensor embed"), ("expected", "this"), ("found", "that")] {
            record.insert(field.into(), value.into());
        }
    }
    l402::artifact::canonical::json(&record.into())
}
