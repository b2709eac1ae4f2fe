//! `l402 audit`: an honest run is equal, one altered byte names its artifact, a coordinator's lie is found and proved.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::devnet::Devnet;
use common::escrow::{Pair, ROUND_MSAT, Table};
use common::{FULL, WORKERS, World, beacon, draw, records, talk};
use l402::artifact::key::SigningKey;
use l402::artifact::record::{self, Line};
use l402::artifact::{Digest, Header, Meta, Reader, Recipe, Writer};
use l402::data::Assignment;
use l402::fsio::Source;
use l402::model::{ModelFolder, model_digest, write_flat};
use l402::pay::{Offer, Report, State, Verdict};

/// Rounds played by `recipes/round.mk`, the coordinator's folder and nobody's keys in it.
fn played(rounds: u64) -> World {
    let world = World::new(FULL);
    fs::rename(world.path("r.toml"), world.path("run.toml")).unwrap();
    (0..rounds).for_each(|round| play(&world, round));
    public(&world);
    world
}

fn play(world: &World, round: u64) {
    let output = Command::new("make")
        .args(["--silent", "-j2", "-f"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/round.mk"))
        .arg(format!("RUN={}", world.path(".").display()))
        .arg(format!("ROUND={round}"))
        .arg(format!("L402={} --quiet", env!("CARGO_BIN_EXE_l402")))
        .arg(format!("random=printf {}", beacon(&format!("audit {round}"))))
        .stdout(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", talk(&output));
}

/// The run folder as it is published: `pub/`, without what the parties keep to themselves.
fn public(world: &World) {
    let _ = fs::remove_dir_all(world.path("pub"));
    let names = world.listing(".");
    for name in names {
        if ["run.toml", "roster.jsonl", "coordinator.pub"].contains(&name.as_str()) {
            fs::create_dir_all(world.path("pub")).unwrap();
            fs::copy(world.path(&name), world.path(&format!("pub/{name}"))).unwrap();
        } else if name == "shards" || name.starts_with("theta-") || name.starts_with("round-") {
            world.copy_folder(&name, &format!("pub/{name}"));
        }
    }
}

/// Every file of the published folder.
fn files(world: &World) -> Vec<String> {
    let mut all = Vec::new();
    for name in world.listing("pub") {
        match world.path(&format!("pub/{name}")).is_dir() {
            true => all.extend(world.listing(&format!("pub/{name}")).iter().map(|file| format!("{name}/{file}"))),
            false => all.push(name),
        }
    }
    all
}

fn audit(world: &World, more: &str) -> Output {
    world.run(&format!("audit pub --coordinator {} {more}", world.coordinator))
}

#[track_caller]
fn equal(world: &World, more: &str) -> String {
    let output = audit(world, more);
    assert_eq!(output.status.code(), Some(0), "{}", talk(&output));
    talk(&output)
}

/// Exit status 1, and this artifact named.
#[track_caller]
fn names(output: &Output, artifact: &str, why: &str) {
    let said = talk(output);
    assert_eq!(output.status.code(), Some(1), "{why}\n{said}");
    assert!(said.contains(&format!("l402: pub/{artifact}: ")), "{why}: expected {artifact} in\n{said}");
}

#[test]
fn an_honest_run_is_equal_with_and_without_its_training_done_again() {
    let world = played(2);
    let said = equal(&world, "");
    assert!(said.contains("equal: run ") && said.contains("2 rounds, 6 updates, 6 of them count"), "{said}");
    let said = equal(&world, "--replay all");
    assert!(said.contains("18 steps replayed"), "{said}");
    let said = equal(&world, "--replay 1");
    assert!(said.contains("6 steps replayed"), "{said}");
    let summary = records(&audit(&world, "--json").stdout, "audit");
    assert_eq!(summary[0]["rounds"], 2);
}

// ---- One altered byte -----------------------------------------------------------------------------------------------

/// Where bytes are flipped: in a tensor file some in its length, header and data, else anywhere.
fn places(name: &str, bytes: &[u8], count: usize) -> Vec<(usize, u8)> {
    let tensors = [".safetensors", ".update", ".feedback", ".moments"].iter().any(|end| name.ends_with(end));
    let header =
        if tensors { u64::from_le_bytes(bytes[..8].try_into().unwrap()).saturating_add(8) as usize } else { 0 };
    // What only calls itself an update has no header.
    let tensors = tensors && header < bytes.len();
    let regions =
        if tensors { vec![(0, 8), (8, header), (8, header), (header, bytes.len())] } else { vec![(0, bytes.len())] };
    let drawn = (0..count).map(|k| {
        let (from, to) = regions[k % regions.len()];
        let what = format!("{name} {k}");
        (from + draw(&what, to - from), draw(&format!("{what} bit"), 8) as u8)
    });
    let ends = [(0, 0), (bytes.len() - 1, 1)];
    drawn.chain(ends).collect()
}

/// Flips bytes of a file, one at a time: each names the file, or is no content.
fn flips(world: &World, file: &str, count: usize, more: &str, no_content: impl Fn(&[u8]) -> bool) -> usize {
    let path = format!("pub/{file}");
    let bytes = world.bytes(&path);
    let mut found = 0;
    for (at, bit) in places(file, &bytes, count) {
        let mut bent = bytes.clone();
        bent[at] ^= 1 << bit;
        world.write(&path, &bent);
        let output = audit(world, more);
        if no_content(&bent) {
            assert_eq!(output.status.code(), Some(0), "{file} at {at}, bit {bit}\n{}", talk(&output));
        } else {
            names(&output, file, &format!("{file} at {at}, bit {bit}"));
            found += 1;
        }
    }
    world.write(&path, &bytes);
    found
}

/// Whether a recipe still says the same: comments and layout are no content.
fn same_recipe(bytes: &[u8], bent: &[u8]) -> bool {
    let parse = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|text| Recipe::parse(text).ok());
    parse(bytes) == parse(bent)
}

#[test]
fn one_altered_byte_anywhere_names_its_artifact() {
    let world = played(2);
    let recipe = world.bytes("pub/run.toml");
    // A longer search: L402_FLIPS=20 cargo test --test audit
    let more = std::env::var("L402_FLIPS").map_or(1, |n| n.parse().unwrap());
    let mut flipped = 0;
    for file in files(&world) {
        // A stamp without a byte to alter.
        if world.bytes(&format!("pub/{file}")).is_empty() {
            continue;
        }
        let count = (if file.contains('/') { 4 } else { 24 }) * more;
        flipped += flips(&world, &file, count, "", |bent| file == "run.toml" && same_recipe(&recipe, bent));
    }
    assert!(flipped > 300, "{flipped}");
    equal(&world, "");
}

#[test]
fn one_altered_byte_names_its_artifact_too_where_training_is_done_again_and_where_no_key_is_pinned() {
    let world = played(2);
    for file in ["round-0/ann.update", "round-0/bob.feedback", "round-1/cy.moments", "round-1/findings.jsonl"] {
        flips(&world, file, 2, "--replay all", |_| false);
    }
    for file in ["coordinator.pub", "roster.jsonl", "round-0/assignments.jsonl"] {
        let bytes = world.bytes(&format!("pub/{file}"));
        for (at, bit) in places(&format!("unpinned {file}"), &bytes, 6) {
            let mut bent = bytes.clone();
            bent[at] ^= 1 << bit;
            world.write(&format!("pub/{file}"), &bent);
            names(&world.run("audit pub"), file, &format!("{file} at {at}, bit {bit}"));
        }
        world.write(&format!("pub/{file}"), &bytes);
    }
    world.ok("audit pub");
}

#[test]
fn what_is_missing_is_named_and_what_is_foreign_does_not_matter() {
    let world = played(1);
    for file in files(&world) {
        let part = [".commitment", ".reveal", ".finding", ".feedback", ".moments", "states-linked", ".pub", "beacon-a"];
        // Without scores or a next model a round is not finished; what opens nothing else may be left out.
        if part.iter().any(|end| file.ends_with(end)) || ["round-0/scores.jsonl", "round-0/beacon-b"].contains(&&*file)
        {
            continue;
        }
        let bytes = world.bytes(&format!("pub/{file}"));
        fs::remove_file(world.path(&format!("pub/{file}"))).unwrap();
        let output = audit(&world, "");
        let lists = ["round-0/commitments.jsonl", "round-0/findings.jsonl"].contains(&&*file);
        assert!(matches!(output.status.code(), Some(66)) || lists, "{file}: {}", talk(&output));
        assert!(talk(&output).contains(&file) || lists, "{file}: {}", talk(&output));
        world.write(&format!("pub/{file}"), &bytes);
    }
    world.write("pub/notes.txt", b"a remark");
    world.write("pub/round-0/ann.delta", b"left over");
    let said = equal(&world, "");
    assert!(said.contains("notes.txt") && said.contains("round-0/ann.delta"), "{said}");
    world.expect("audit nowhere", 66, "nowhere");
}

// ---- A worker's lie, and the coordinator's --------------------------------------------------------------------------

/// A run whose files are made by hand, each with its own say: `pub/` as in `played`, but step by step.
struct Hand {
    world: World,
}

/// Verbs of a round without pay, in `pub/`.
impl Hand {
    fn new() -> Hand {
        let mut world = World::new(FULL);
        fs::create_dir(world.path("pub")).unwrap();
        for name in ["roster.jsonl", "shards", "theta-0"] {
            fs::rename(world.path(name), world.path(&format!("pub/{name}"))).unwrap();
        }
        fs::rename(world.path("r.toml"), world.path("pub/run.toml")).unwrap();
        world.carries = true;
        Hand { world }
    }

    fn file(&self, n: u64, name: &str) -> String {
        format!("pub/round-{n}/{name}")
    }

    fn assign(&self, n: u64) {
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
    fn work(&self, n: u64, who: &str, from: Option<(&str, u64)>) {
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

    fn commit(&self, n: u64, workers: &[&str]) {
        let line = |who: &str, reveal: &str| {
            let update = self.file(n, &format!("{who}.update"));
            self.world.text(&format!("commit {update} --round {n} --worker {who} --key {who}.key {reveal}"))
        };
        let all: String =
            workers.iter().map(|who| line(who, "")).chain(workers.iter().map(|who| line(who, "--reveal"))).collect();
        self.world.write(&self.file(n, "commitments.jsonl"), all.as_bytes());
    }

    fn finding(&self, n: u64, who: &str, from: Option<u64>) -> String {
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

    fn replay(&self, n: u64, workers: &[&str], from: Option<u64>) {
        let all: String = workers.iter().map(|who| self.finding(n, who, from)).collect();
        self.world.write(&self.file(n, "findings.jsonl"), all.as_bytes());
    }

    /// Scores and outer step, of these workers' updates.
    fn finish(&self, n: u64, scored: &[&str]) {
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

    fn aggregate(&self, n: u64, summed: &[&str]) {
        let updates: Vec<String> = summed.iter().map(|who| self.file(n, &format!("{who}.update"))).collect();
        self.world.ok(&format!(
            "aggregate --recipe pub/run.toml --model pub/theta-{n} --scores {} {} -o pub/theta-{} --force",
            self.file(n, "scores.jsonl"),
            updates.join(" "),
            n + 1
        ));
    }

    /// An honest round.
    fn play(&self, n: u64) {
        let from = n.checked_sub(1);
        self.assign(n);
        WORKERS.iter().for_each(|who| self.work(n, who, from.map(|m| (*who, m))));
        self.commit(n, &WORKERS);
        self.replay(n, &WORKERS, from);
        self.finish(n, &WORKERS);
    }

    /// Changes a file's text.
    #[track_caller]
    fn edit(&self, name: &str, change: impl FnOnce(String) -> String) {
        let old = String::from_utf8(self.world.bytes(name)).unwrap();
        let new = change(old.clone());
        assert_ne!(new, old, "{name}");
        self.world.write(name, new.as_bytes());
    }
}

/// `"found"` for `"expected"` in the only line that contains `line`.
fn in_line(text: &str, line: &str, change: impl Fn(&str) -> String) -> String {
    let lines = text.lines().map(|l| if l.contains(line) { change(l) } else { l.to_owned() } + "\n");
    lines.collect()
}

/// A worker takes one step where three are asked for, and writes the real run over the traces of it. `recipe`, `model` and
/// `shards` are the run's, `assignments` its round's first.
fn lie(world: &World, who: &str, [recipe, model, shards, assignments]: [&str; 4], update: &str) {
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
fn exact(line: &str) -> String {
    let mut record = records(line.as_bytes(), "finding")[0].as_object().unwrap().clone();
    ["differs", "expected", "found"].iter().for_each(|field| drop(record.remove(*field)));
    record.insert("finding".into(), "exact".into());
    l402::artifact::canonical::json(&record.into())
}

#[test]
fn a_worker_that_lied_and_was_found_out_does_not_make_the_run_dishonest() {
    let hand = Hand::new();
    hand.assign(0);
    ["ann", "cy"].iter().for_each(|who| hand.work(0, who, None));
    let inputs = ["pub/run.toml", "pub/theta-0", "pub/shards", "pub/round-0/assignments.jsonl"];
    lie(&hand.world, "bob", inputs, "pub/round-0/bob.update");
    hand.commit(0, &WORKERS);
    hand.replay(0, &WORKERS, None);
    // And somebody who wrote rubbish into the common list.
    hand.edit("pub/round-0/commitments.jsonl", |text| text + "rubbish\n");
    hand.finish(0, &WORKERS);
    for depth in ["", "--replay all", "--replay 2"] {
        let said = equal(&hand.world, depth);
        assert!(said.contains("3 updates, 2 of them count") && said.contains("passed over"), "{said}");
    }
    // Bytes of the liar's files name them all the same.
    for file in ["round-0/bob.update", "round-0/findings.jsonl", "round-0/scores.jsonl"] {
        flips(&hand.world, file, 6, "", |_| false);
    }

    // The coordinator counts it all the same: by false scores, or by a false finding.
    let honest = hand.world.bytes("pub/round-0/scores.jsonl");
    hand.edit("pub/round-0/findings.jsonl", |text| in_line(&text, "mismatch", exact));
    hand.finish(0, &WORKERS);
    let said = equal(&hand.world, "");
    assert!(said.contains("3 of them count"), "what was recorded is believed without --replay: {said}");
    names(&audit(&hand.world, "--replay all"), "round-0/findings.jsonl", "a false finding");
    hand.replay(0, &WORKERS, None);
    names(&audit(&hand.world, ""), "round-0/findings.jsonl", "scores that rest on another finding");
    hand.world.write("pub/round-0/scores.jsonl", &honest);
    names(&audit(&hand.world, ""), "theta-1/model.safetensors", "an update in theta that does not count");
}

#[test]
fn an_update_that_cannot_be_read_does_not_make_the_run_dishonest_and_its_finding_is_made_again() {
    let hand = Hand::new();
    hand.assign(0);
    ["ann", "cy"].iter().for_each(|who| hand.work(0, who, None));
    hand.world.write("pub/round-0/bob.update", b"rubbish that nobody can read, and no update");
    hand.commit(0, &["ann", "cy"]);
    hand.replay(0, &WORKERS, None);
    hand.finish(0, &WORKERS);
    let said = equal(&hand.world, "--replay all");
    assert!(said.contains("3 updates, 2 of them count"), "{said}");
    for file in ["round-0/bob.update", "round-0/findings.jsonl"] {
        flips(&hand.world, file, 12, "", |_| false);
    }
}

#[test]
fn an_update_that_counted_and_was_left_out_is_found() {
    let hand = Hand::new();
    hand.play(0);
    equal(&hand.world, "--replay all");
    hand.finish(0, &["ann", "cy"]);
    names(&audit(&hand.world, ""), "round-0/scores.jsonl", "left out of the scores");
    hand.finish(0, &WORKERS);
    hand.aggregate(0, &["ann", "cy"]);
    names(&audit(&hand.world, ""), "theta-1/model.safetensors", "left out of the sum");
    fs::remove_file(hand.world.path("pub/round-0/bob.update")).unwrap();
    let gone = audit(&hand.world, "");
    assert_eq!(gone.status.code(), Some(66));
    assert!(talk(&gone).contains("round-0/bob.update"), "{}", talk(&gone));
}

#[test]
fn a_wrong_score_and_a_nudged_theta_are_found() {
    let hand = Hand::new();
    hand.play(0);
    hand.play(1);
    let scores = "pub/round-0/scores.jsonl";
    let honest = hand.world.bytes(scores);
    hand.edit(scores, |text| {
        in_line(&text, "\"worker\":\"ann\"", |line| {
            let record = &records(line.as_bytes(), "score")[0];
            let msat = record["entitled_msat"].as_u64().unwrap();
            line.replace(&format!("\"entitled_msat\":{msat}"), &format!("\"entitled_msat\":{}", msat + 1))
        })
    });
    names(&audit(&hand.world, ""), "round-0/scores.jsonl", "a wrong score");
    hand.world.write(scores, &honest);

    // A theta that is whole in itself, and not the one that the updates make.
    let theta = ModelFolder::load(&hand.world.path("pub/theta-1")).unwrap();
    let mut parameters = theta.parameters.to_vec();
    parameters[1000] *= 1.5;
    let mut meta = theta.meta.clone();
    meta.set("model", model_digest(&theta.config, &theta.layout, &parameters));
    let nudged = write_flat("theta", Vec::new(), meta, &theta.layout, &parameters).unwrap().0;
    drop(theta);
    hand.world.write("pub/theta-1/model.safetensors", &nudged);
    names(&audit(&hand.world, ""), "theta-1/model.safetensors", "a nudged theta");
}

#[test]
fn a_forged_state_that_was_carried_is_found_though_its_finding_says_exact() {
    let hand = Hand::new();
    hand.play(0);
    hand.assign(1);
    hand.work(1, "ann", Some(("ann", 0)));
    hand.work(1, "cy", Some(("cy", 0)));
    // Bob begins from zero again, which forgets what his error feedback owes.
    hand.work(1, "bob", None);
    hand.commit(1, &WORKERS);
    hand.replay(1, &["ann", "cy"], Some(0));
    // Replayed as if nothing had been before, it is exact.
    let forged = hand.finding(1, "bob", None);
    assert!(forged.contains("\"exact\""), "{forged}");
    hand.edit("pub/round-1/findings.jsonl", |text| text + &forged);
    hand.finish(1, &WORKERS);
    names(&audit(&hand.world, ""), "round-1/findings.jsonl", "a chain that is broken");
    names(&audit(&hand.world, "--replay all"), "round-1/findings.jsonl", "a chain that is broken");
}

#[test]
fn an_audit_that_was_stopped_goes_on_and_finds_what_was_altered_since() {
    let hand = Hand::new();
    (0..3).for_each(|n| hand.play(n));
    let world = &hand.world;
    let again = |more: &str| audit(world, &format!("--replay all --work work {more}"));
    // Killed at any moment, and run again, until it comes to its end.
    for attempt in 0..4 {
        let line = format!("audit pub --coordinator {} --replay all --work work", world.coordinator);
        let mut child = world.command(&line).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(100 + draw(&format!("kill {attempt}"), 700) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = again("");
    assert_eq!(output.status.code(), Some(0), "{}", talk(&output));
    assert!(talk(&output).contains("3 rounds, 9 updates, 9 of them count"), "{}", talk(&output));
    assert!(talk(&output).contains("27 steps replayed"), "{}", talk(&output));
    let output = again("");
    assert!(talk(&output).contains("rounds 0 to 2 are verified"), "{}", talk(&output));

    for file in ["round-0/ann.update", "round-1/scores.jsonl", "round-2/cy.moments", "theta-0/config.json", "run.toml"]
    {
        let path = format!("pub/{file}");
        let bytes = world.bytes(&path);
        let mut bent = bytes.clone();
        let at = bytes.len() / 2;
        bent[at] ^= 1;
        if file == "run.toml" {
            bent = String::from_utf8(bytes.clone()).unwrap().replace("seed = 7", "seed = 8").into_bytes();
        }
        world.write(&path, &bent);
        names(&again(""), file, "altered after it was verified");
        world.write(&path, &bytes);
    }
    let output = again("");
    assert_eq!(output.status.code(), Some(0), "{}", talk(&output));

    // What it keeps is worth nothing where it is damaged, and no business of whoever made the run.
    let state = world.listing("work/states")[0].clone();
    world.write(&format!("work/states/{state}"), b"");
    let output = again("");
    assert_eq!(output.status.code(), Some(0), "{}", talk(&output));
    assert!(!talk(&output).contains("are verified"), "{}", talk(&output));
    world.expect("audit pub --work pub/.audit", 2, "outside of the run folder");
}

// ---- The outer step -------------------------------------------------------------------------------------------------

#[test]
fn a_momentum_and_a_robust_rule_are_recomputed_without_their_files_and_with_them() {
    let world = World::new(FULL);
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    let outer = "[outer]\nlr = 0.7\nrule = \"trimmed_mean\"\nfaulty = 1\nmomentum = 0.9\nnesterov = true\nquorum = 2\n";
    world.write("run.toml", format!("{recipe}{outer}").as_bytes());
    (0..2).for_each(|round| play(&world, round));
    public(&world);
    assert!(world.has("pub/round-0/outer.momentum") && world.has("pub/round-1/outer.momentum"));
    equal(&world, "--replay all");
    equal(&world, "--work work");
    // The momentum is part of the step: a byte of it names it, and one of the model the model.
    for file in ["round-0/outer.momentum", "round-1/outer.momentum", "theta-2/model.safetensors"] {
        flips(&world, file, 4, "", |_| false);
    }
    let state = world.bytes("pub/round-0/outer.momentum");
    world.write("pub/round-1/outer.momentum", &state);
    names(&audit(&world, ""), "round-1/outer.momentum", "the momentum of another round");

    // An audit that goes on has its own.
    play(&world, 2);
    public(&world);
    let said = equal(&world, "--work work");
    assert!(said.contains("rounds 0 to 1 are verified") && said.contains("3 rounds"), "{said}");
    let kept: Vec<String> = world.listing("work/states");
    assert_eq!(kept, ["outer.2.momentum"]);
    play(&world, 3);
    public(&world);
    world.write("work/states/outer.2.momentum", &state);
    let said = equal(&world, "--work work");
    assert!(!said.contains("are verified") && said.contains("4 rounds"), "{said}");
    // Nor does it need those in the folder.
    (0..4).for_each(|n| fs::remove_file(world.path(&format!("pub/round-{n}/outer.momentum"))).unwrap());
    equal(&world, "");
    // A model of another momentum's step: the same round again, as if it had been the first.
    let first = world.tree("pub/theta-1");
    world.copy_folder("pub/theta-3", "pub/theta-4");
    names(&audit(&world, ""), "theta-4/model.safetensors", "a model of another step");
    assert_ne!(first, world.tree("pub/theta-2"));
}

#[test]
fn a_next_model_below_the_quorum_and_a_momentum_that_no_recipe_has_are_found() {
    let hand = Hand::new();
    hand.edit("pub/run.toml", |text| text + "[outer]\nquorum = 4\n");
    hand.assign(0);
    WORKERS.iter().for_each(|who| hand.work(0, who, None));
    hand.commit(0, &WORKERS);
    hand.replay(0, &WORKERS, None);
    let world = &hand.world;
    let round = "--model pub/theta-0 --recipe pub/run.toml pub/round-0/ann.update pub/round-0/bob.update \
                 pub/round-0/cy.update";
    world.expect(&format!("aggregate {round} -o pub/theta-1"), 75, "3 of 4 updates that count");
    world.ok(&format!(
        "score {round} --val pub/shards/val-00000.safetensors --beacon {} --findings pub/round-0/findings.jsonl \
         --assignments pub/round-0/assignments.jsonl --coordinator {} --commitments pub/round-0/commitments.jsonl \
         -o pub/round-0/scores.jsonl",
        beacon("second 0"),
        world.coordinator
    ));
    // Not finished is no fault; a model is.
    equal(world, "");
    world.copy_folder("pub/theta-0", "pub/theta-1");
    let output = audit(world, "");
    names(&output, "theta-1/model.safetensors", "below the quorum");
    assert!(talk(&output).contains("3 of 4 updates that count"), "{}", talk(&output));

    let hand = Hand::new();
    hand.play(0);
    hand.world.write("pub/round-0/outer.momentum", b"a momentum");
    names(&audit(&hand.world, ""), "round-0/outer.momentum", "no recipe has it");
}

// ---- False findings and files in the wrong place --------------------------------------------------------------------

/// A finding of an exact replay that says something else.
fn forged(line: &str, finding: &str) -> String {
    let mut record = records(line.as_bytes(), "finding")[0].as_object().unwrap().clone();
    record.insert("finding".into(), finding.into());
    if finding == "mismatch" {
        for (field, value) in [("differs", "tensor embed"), ("expected", "this"), ("found", "that")] {
            record.insert(field.into(), value.into());
        }
    }
    l402::artifact::canonical::json(&record.into())
}

#[test]
fn a_forged_mismatch_beside_a_true_finding_is_found() {
    let hand = Hand::new();
    hand.play(0);
    let (file, honest) = ("pub/round-0/findings.jsonl", hand.world.bytes("pub/round-0/findings.jsonl"));
    let text = String::from_utf8(honest).unwrap();
    let line = text.lines().find(|l| l.contains("\"worker\":\"bob\"")).unwrap();
    // Before the true one or after it: a mismatch decides.
    for lines in [format!("{}\n{text}", forged(line, "mismatch")), format!("{text}{}\n", forged(line, "mismatch"))] {
        hand.world.write(file, lines.as_bytes());
        hand.finish(0, &WORKERS);
        let said = equal(&hand.world, "");
        assert!(said.contains("2 of them count"), "{said}");
        names(&audit(&hand.world, "--replay all"), "round-0/findings.jsonl", "a forged mismatch");
        names(&audit(&hand.world, "--replay 3"), "round-0/findings.jsonl", "a forged mismatch");
    }
}

#[test]
fn a_weaker_finding_that_costs_exact_work_its_pay_is_found() {
    let hand = Hand::new();
    hand.play(0);
    hand.edit("pub/round-0/findings.jsonl", |text| in_line(&text, "\"worker\":\"bob\"", |line| forged(line, "near")));
    hand.finish(0, &WORKERS);
    let said = equal(&hand.world, "");
    assert!(said.contains("2 of them count"), "{said}");
    let output = audit(&hand.world, "--replay all");
    names(&output, "round-0/findings.jsonl", "a weaker finding");
    assert!(talk(&output).contains("near, not exact"), "{}", talk(&output));
}

#[test]
fn an_update_that_counts_lies_under_its_workers_name() {
    let hand = Hand::new();
    hand.play(0);
    let (ann, bob) = (hand.world.bytes("pub/round-0/ann.update"), hand.world.bytes("pub/round-0/bob.update"));
    // Where no replay of bob's would look.
    hand.world.write("pub/round-0/zed.update", &bob);
    hand.world.write("pub/round-0/bob.update", &ann);
    hand.finish(0, &["ann", "bob", "cy", "zed"]);
    for depth in ["", "--replay all"] {
        names(&audit(&hand.world, depth), "round-0/zed.update", "counts under another name");
    }
    // Nor is it hidden there by a finding that nobody compares.
    hand.edit("pub/round-0/findings.jsonl", |text| {
        in_line(&text, "\"worker\":\"bob\"", |line| forged(line, "mismatch"))
    });
    hand.finish(0, &["ann", "bob", "cy", "zed"]);
    names(&audit(&hand.world, "--replay all"), "round-0/zed.update", "hidden under another name");
    fs::remove_file(hand.world.path("pub/round-0/bob.update")).unwrap();
    assert_eq!(audit(&hand.world, "").status.code(), Some(66));
}

#[test]
fn a_stolen_update_under_an_earlier_name_is_no_fault_of_the_runs() {
    let hand = Hand::new();
    hand.assign(0);
    ["ann", "cy"].iter().for_each(|who| hand.work(0, who, None));
    hand.world.write("pub/round-0/bob.update", &hand.world.bytes("pub/round-0/cy.update"));
    hand.commit(0, &["ann", "cy"]);
    hand.replay(0, &WORKERS, None);
    hand.finish(0, &WORKERS);
    let said = equal(&hand.world, "--replay all");
    assert!(said.contains("2 of them count") && said.contains("steps replayed"), "{said}");
}

#[test]
fn rounds_without_findings_and_commitments_are_said() {
    let hand = Hand::new();
    hand.play(0);
    ["findings", "commitments"]
        .iter()
        .for_each(|list| fs::remove_file(hand.world.path(&format!("pub/round-0/{list}.jsonl"))).unwrap());
    let updates: Vec<String> = WORKERS.iter().map(|who| hand.file(0, &format!("{who}.update"))).collect();
    hand.world.ok(&format!(
        "score --recipe pub/run.toml --model pub/theta-0 --val pub/shards/val-00000.safetensors --beacon {} \
         --assignments {} --coordinator {} -o {} --force {}",
        beacon("second 0"),
        hand.file(0, "assignments.jsonl"),
        hand.world.coordinator,
        hand.file(0, "scores.jsonl"),
        updates.join(" ")
    ));
    hand.aggregate(0, &WORKERS);
    let said = equal(&hand.world, "");
    assert!(said.contains("nobody replayed") && said.contains("no commitments: "), "{said}");
    let summary = &records(&audit(&hand.world, "--json").stdout, "audit")[0];
    let totals = &summary["totals"];
    assert_eq!((&totals["without_findings"], &totals["without_commitments"]), (&1.into(), &1.into()));
}

#[test]
fn many_forged_lines_among_the_commitments_cost_little_and_are_counted() {
    let hand = Hand::new();
    hand.play(0);
    let text = String::from_utf8(hand.world.bytes("pub/round-0/commitments.jsonl")).unwrap();
    let of = |kind: &str| records(text.as_bytes(), kind)[0].clone();
    let (mut commitment, mut reveal, mut lines) = (of("commitment"), of("reveal"), text.clone());
    for i in 0..4000 {
        let hex = Digest::of(format!("forged {i}").as_bytes()).to_string();
        (commitment["commitment"], reveal["nonce"]) = (hex.clone().into(), hex.into());
        [&commitment, &reveal].iter().for_each(|r| lines += &(l402::artifact::canonical::json(r) + "\n"));
    }
    hand.world.write("pub/round-0/commitments.jsonl", lines.as_bytes());
    let said = equal(&hand.world, "");
    assert!(said.contains("and 7980 more") && said.matches("passed over").count() == 21, "{said}");
}

// ---- Paid -----------------------------------------------------------------------------------------------------------

/// A paid round of ann's, as it is published. `false_scores` changes the scores before they are judged.
fn paid(pair: &Pair, table: &Table, name: &str, false_scores: Option<fn(&str) -> String>) {
    let (world, round) = (&table.world, table.round(pair, name));
    let honest = world.bytes("0.scores.jsonl");
    round.up_to("open");
    if let Some(change) = false_scores {
        world.write("0.scores.jsonl", change(std::str::from_utf8(&honest).unwrap()).as_bytes());
    }
    ["settle", "claim"].iter().for_each(|step| drop(round.ok(step)));
    pair.payer.quiet();
    let _ = fs::remove_dir_all(world.path("pub"));
    fs::create_dir_all(world.path("pub/round-0")).unwrap();
    let rungs = format!("invoice status --round 0 --json --escrow {name}.judge {}", pair.payer.arg());
    world.ok(&format!("{rungs} -o pub/round-0/rungs.jsonl"));
    let copy = |from: &str, to: &str| world.write(&format!("pub/{to}"), &world.bytes(from));
    copy("r.toml", "run.toml");
    copy("roster.jsonl", "roster.jsonl");
    world.write("pub/ann.pub", format!("{}\n", table.worker).as_bytes());
    world.write("pub/coordinator.pub", format!("{}\n", world.coordinator).as_bytes());
    world.write("pub/round-0/beacon-a", format!("{}\n", beacon("first")).as_bytes());
    world.write("pub/round-0/beacon-b", format!("{}\n", beacon("second")).as_bytes());
    ["shards", "theta-0"].iter().for_each(|folder| world.copy_folder(folder, &format!("pub/{folder}")));
    for list in ["assignments", "findings", "scores"] {
        copy(&format!("0.{list}.jsonl"), &format!("round-0/{list}.jsonl"));
    }
    for list in ["offers", "invoices", "held", "closing", "verdicts", "claimed"] {
        copy(&format!("{name}.{list}.jsonl"), &format!("round-0/{list}.jsonl"));
    }
    let commitments = [world.bytes(&round.file("commitments.jsonl")), world.bytes(&round.file("openings.jsonl"))];
    world.write("pub/round-0/commitments.jsonl", &commitments.concat());
    ["update", "feedback"].iter().for_each(|kind| copy(&format!("ann.0.{kind}"), &format!("round-0/ann.{kind}")));
    let _ = fs::remove_dir_all(world.path("theta-1"));
    world.ok(&(world.aggregate(0, &["ann.0.update"]) + " -o theta-1"));
    world.copy_folder("theta-1", "pub/theta-1");
    world.write("0.scores.jsonl", &honest);
}

/// Whether rungs differ in what was sent for them alone, and that covers the amount.
fn same_but_fees(whole: &[u8], bent: &[u8]) -> bool {
    let parse = |bytes: &[u8]| -> Option<Vec<Report>> {
        let lines = std::str::from_utf8(bytes).ok()?.lines();
        lines.map(|line| Line::parse("rungs", line).ok()?.get().ok()?).collect()
    };
    let (Some(whole), Some(bent)) = (parse(whole), parse(bent)) else { return false };
    let bare = |r: &Report| record::line(&Report { sent_msat: None, ..r.clone() }).unwrap();
    let covers = |r: &Report| r.sent_msat.is_none_or(|sent| sent >= r.msat && r.state == State::Claimed);
    whole.len() == bent.len() && whole.iter().zip(&bent).all(|(a, b)| bare(a) == bare(b) && covers(b))
}

/// The same scores with half of what ann earned.
fn halved(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        let field = if record["type"] == "score" { "entitled_msat" } else { "returned_msat" };
        let msat = record[field].as_u64().unwrap();
        record[field] = if field == "entitled_msat" { msat / 2 } else { (msat + ROUND_MSAT).div_ceil(2) }.into();
        l402::artifact::canonical::json(&record) + "\n"
    });
    lines.collect()
}

#[test]
fn a_paid_run_is_equal_and_one_altered_byte_names_its_artifact() {
    let devnet = Devnet::up(2, "");
    let pair = devnet.pair(1, 2);
    let table = Table::new(&pair);
    paid(&pair, &table, "honest", None);
    let world = &table.world;
    let said = equal(world, "--replay all");
    let verdict = &records(&world.bytes("pub/round-0/verdicts.jsonl"), "verdict")[0];
    assert!(said.contains(&format!("{} msat paid", verdict["paid_msat"])), "{said}");
    let mut flipped = 0;
    for file in files(world) {
        let whole = world.bytes(&format!("pub/{file}"));
        flipped += flips(world, &file, 8, "", |bent| match file.as_str() {
            "run.toml" => same_recipe(&whole, bent),
            // What was sent for a rung, fees among it, is the word of the payer's node alone.
            "round-0/rungs.jsonl" => same_but_fees(&whole, bent),
            _ => false,
        });
    }
    assert!(flipped > 200, "{flipped}");
    // Nor is a verdict for the altered scores of a table that nobody pinned a judge for.
    world.expect("audit pub", 0, "no --coordinator key is pinned");
    let other = devnet.socket(2).id();
    world.expect(
        &format!("audit pub --coordinator {} --judge {other}", world.coordinator),
        1,
        "pub/round-0/offers.jsonl: ",
    );
}

#[test]
fn a_verdict_on_false_scores_is_printed_as_evidence() {
    let devnet = Devnet::up(2, "");
    let pair = devnet.pair(1, 2);
    let table = Table::new(&pair);
    paid(&pair, &table, "false", Some(halved));
    let output = audit(&table.world, "--json");
    names(&output, "round-0/scores.jsonl", "false scores");
    let evidence = &records(&output.stdout, "evidence")[0];
    assert_eq!((&evidence["artifact"], &evidence["worker"]), (&"round-0/verdicts.jsonl".into(), &"ann".into()));
    let rule = evidence["rule"].as_str().unwrap();
    assert!(rule.contains("entitled_msat"), "{rule}");
    assert_eq!(evidence["recomputed"]["entitled_msat"].as_u64().unwrap(), table.earned);
    assert_eq!(evidence["signed"]["entitled_msat"].as_u64().unwrap(), table.earned / 2);
    // The signed record stands there whole: anybody can check who signed it.
    let line = l402::artifact::canonical::json(&evidence["signed"]);
    let verdict: Verdict = Line::parse("evidence", &line).unwrap().get().unwrap().unwrap();
    let offer: Offer = record::read(&table.world.path("pub/round-0/offers.jsonl")).unwrap().remove(0);
    verdict.verify(&offer).unwrap();
    let difference = &records(&output.stdout, "difference")[0];
    assert_eq!(difference["artifact"], "round-0/scores.jsonl");
    // What was altered afterwards, by whoever has the folder, proves nothing against the judge.
    let scores = "pub/round-0/scores.jsonl";
    table.world.write(scores, halved(&String::from_utf8(table.world.bytes(scores)).unwrap()).as_bytes());
    let output = audit(&table.world, "--json");
    names(&output, "round-0/scores.jsonl", "altered scores");
    assert!(records(&output.stdout, "evidence").is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_verdict_on_a_false_finding_is_printed_as_evidence_where_the_training_is_done_again() {
    let devnet = Devnet::up(2, "");
    let pair = devnet.pair(1, 2);
    let mut table = Table::new(&pair);
    let world = &table.world;
    lie(world, "ann", ["r.toml", "theta-0", "shards", "0.assignments.jsonl"], "ann.0.update");
    let finding = String::from_utf8(world.run(&world.replay(0, "ann", "ann.0.update")).stdout).unwrap();
    assert!(finding.contains("mismatch"), "{finding}");
    world.write("0.findings.jsonl", format!("{}\n", exact(finding.trim_end())).as_bytes());
    world.ok(&format!(
        "score --recipe r.toml --model theta-0 --val shards/val-00000.safetensors --beacon {} --findings \
         0.findings.jsonl --assignments 0.assignments.jsonl --coordinator {} -o 0.scores.jsonl --force ann.0.update",
        beacon("second"),
        world.coordinator
    ));
    let scores = records(&world.bytes("0.scores.jsonl"), "score");
    table.earned = scores[0]["entitled_msat"].as_u64().unwrap();
    paid(&pair, &table, "lazy", None);
    equal(&table.world, "");
    let output = audit(&table.world, "--replay all --json");
    names(&output, "round-0/findings.jsonl", "a false finding");
    let evidence = &records(&output.stdout, "evidence")[0];
    assert_eq!(evidence["signed"]["entitled_msat"].as_u64().unwrap(), table.earned);
    assert_eq!(evidence["recomputed"]["entitled_msat"], 0);
    let reason = evidence["recomputed"]["reason"].as_str().unwrap();
    assert!(reason.contains("replay differs"), "{reason}");
}

#[test]
fn assignments_that_the_coordinator_chose_are_printed_as_evidence() {
    let hand = Hand::new();
    hand.play(0);
    let file = "pub/round-0/assignments.jsonl";
    let mut chosen: Vec<Assignment> = record::read(&hand.world.path(file)).unwrap();
    let (first, second) = (chosen[0].clone(), chosen[1].clone());
    (chosen[0].shard, chosen[0].shard_digest) = (second.shard, second.shard_digest);
    (chosen[1].shard, chosen[1].shard_digest) = (first.shard, first.shard_digest);
    let key = SigningKey::load(&hand.world.path("coordinator.key")).unwrap();
    chosen.iter_mut().for_each(|assignment| assignment.sign(&key).unwrap());
    let lines: String = chosen.iter().map(|assignment| record::line(assignment).unwrap()).collect();
    hand.world.write(file, lines.as_bytes());
    let output = audit(&hand.world, "--json");
    names(&output, "round-0/assignments.jsonl", "shards that nobody drew");
    let evidence = &records(&output.stdout, "evidence")[0];
    assert_eq!(evidence["signed"]["shard"], chosen[0].shard.as_str());
    assert_ne!(evidence["recomputed"]["shard"], evidence["signed"]["shard"]);
}

/// No evidence, and this artifact named.
#[track_caller]
fn proves_nothing(world: &World, artifact: &str, why: &str) {
    let output = audit(world, "--json");
    names(&output, artifact, why);
    assert!(records(&output.stdout, "evidence").is_empty(), "{why}: {}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn what_was_altered_after_an_honest_verdict_proves_nothing_against_the_judge() {
    let devnet = Devnet::up(2, "");
    let pair = devnet.pair(1, 2);
    let table = Table::new(&pair);
    paid(&pair, &table, "honest", None);
    let world = &table.world;
    let keep = |file: &str| world.bytes(&format!("pub/round-0/{file}"));
    let (findings, scores, commitments) = (keep("findings.jsonl"), keep("scores.jsonl"), keep("commitments.jsonl"));
    let put = |file: &str, bytes: &[u8]| world.write(&format!("pub/round-0/{file}"), bytes);

    // A mismatch that somebody appends; and scores made to fit it.
    let text = String::from_utf8(findings.clone()).unwrap();
    put("findings.jsonl", format!("{text}{}\n", forged(text.trim_end(), "mismatch")).as_bytes());
    proves_nothing(world, "round-0/findings.jsonl", "an appended finding");
    world.ok(&format!(
        "score --recipe r.toml --model theta-0 --val shards/val-00000.safetensors --beacon {} --findings \
         pub/round-0/findings.jsonl --assignments 0.assignments.jsonl --coordinator {} -o pub/round-0/scores.jsonl \
         --force ann.0.update",
        beacon("second"),
        world.coordinator
    ));
    proves_nothing(world, "round-0/findings.jsonl", "an appended finding and scores that fit it");
    put("findings.jsonl", &findings);
    put("scores.jsonl", &scores);

    // A second commitment of the worker's own, after the list was closed, counts for nothing.
    lie(world, "ann", ["r.toml", "theta-0", "shards", "0.assignments.jsonl"], "other.update");
    let second =
        world.text(&format!("commit other.update --round 0 --worker ann --escrow honest.worker {}", pair.payee.arg()));
    let grown = format!("{}{second}", String::from_utf8(commitments.clone()).unwrap());
    put("commitments.jsonl", grown.as_bytes());
    equal(world, "");
    world.write("grown.jsonl", &[grown.as_bytes(), &keep("closing.jsonl")].concat());
    let score = |list: &str| {
        world.text(&format!(
            "score --recipe r.toml --model theta-0 --val shards/val-00000.safetensors --beacon {} --findings \
             0.findings.jsonl --assignments 0.assignments.jsonl --coordinator {} --commitments {list} ann.0.update",
            beacon("second"),
            world.coordinator
        ))
    };
    assert_eq!(score("grown.jsonl").as_bytes(), scores);
    assert!(score("pub/round-0/commitments.jsonl").contains("two commitments"));
    // Without the closing it is the list that is not what it was.
    let closing = keep("closing.jsonl");
    fs::remove_file(world.path("pub/round-0/closing.jsonl")).unwrap();
    proves_nothing(world, "round-0/commitments.jsonl", "a list that has grown, without its closing");
    put("commitments.jsonl", &commitments);
    proves_nothing(world, "round-0/closing.jsonl", "a closing that was taken away");
    put("closing.jsonl", &closing);
    // What opened the commitment is taken away.
    let shut: String = std::str::from_utf8(&commitments)
        .unwrap()
        .lines()
        .filter(|l| !l.contains("reveal"))
        .map(|l| format!("{l}\n"))
        .collect();
    put("commitments.jsonl", shut.as_bytes());
    proves_nothing(world, "round-0/commitments.jsonl", "a reveal that was taken away");
    put("commitments.jsonl", &commitments);
    equal(world, "");
}
