//! Beacons that nobody chose: of blocks that were named before they were there. What a coordinator tries, to draw what it likes.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Output;

use common::devnet::Devnet;
use common::escrow::ROUND_MSAT;
use common::{FULL, World, records, talk};
use l402::artifact::beacon::{Beacon, BlockHeader};
use l402::artifact::record;
use l402::data::RosterClosing;
use serde_json::json;

/// A paid run of ann's: n1 pays, coordinates and judges, n2 is ann's.
struct Run {
    devnet: Devnet,
    world: World,
}

/// What a round's recipe says of beacons, beside what the tests' says.
fn begin(verify: &str) -> Run {
    let devnet = Devnet::up(2, "");
    let mut world = World::new(FULL);
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    let recipe = recipe.replace("round_msat = 1000000", &format!("round_msat = {ROUND_MSAT}"));
    world.write("run.toml", format!("{recipe}[verify]\n{verify}").as_bytes());
    for (party, n) in [("ann", 2), ("coordinator", 1)] {
        let private = world.path(&format!("../world-private/{party}"));
        fs::create_dir_all(&private).unwrap();
        symlink(devnet.socket(n).0, private.join("lightning-rpc")).unwrap();
        world.write(&format!("{party}.pub"), devnet.socket(n).id().as_bytes());
    }
    world.coordinator = devnet.socket(1).id();
    let key = devnet.socket(2).id();
    let roster = format!("{{\"key\":\"{key}\",\"type\":\"roster\",\"v\":1,\"worker\":\"ann\"}}\n");
    world.write("roster.jsonl", roster.as_bytes());
    Run { devnet, world }
}

impl Run {
    fn ok(&self, args: &str) -> Output {
        self.world.ok(args)
    }

    /// The first beacon of round 0, and who works on what.
    fn assign(&self) {
        self.world.expect("beacon 0 a", 75, " is not there yet, the chain is at ");
        self.devnet.mine(3);
        self.ok("beacon 0 a");
        self.ok("assign 0");
    }

    /// From the offer up to the closed list.
    fn work(&self) {
        for step in ["invoice offer 0", "invoice issue 0 ann"] {
            self.ok(step);
        }
        self.ok(&format!("invoice lock 0 --budget-msat {}", 3 * ROUND_MSAT));
        for step in
            ["invoice status 0 ann --wait=30", "train 0 ann", "commit 0 ann", "commit --receive 0", "commit --close 0"]
        {
            self.ok(step);
        }
        self.ok("commit 0 ann --reveal");
        self.ok("replay 0 ann");
    }

    /// Scores, pay, and the next model.
    fn end(&self) {
        for step in ["score 0", "settle 0", "settle --claim 0 ann --wait=30", "invoice status 0", "aggregate 0"] {
            self.ok(step);
        }
    }

    /// The whole round.
    fn play(&self) {
        self.assign();
        let none = "round-0/closing.jsonl: no such file: the list is not closed";
        self.world.expect("beacon 0 b", 66, none);
        self.world.expect("beacon 0 b", 66, "hint: `l402 commit --close 0` closes it, in a paid round");
        self.work();
        self.world.expect("beacon 0 b", 75, "beacon b of round 0: block ");
        self.close();
    }

    fn audit(&self) -> String {
        format!("audit --rpc-file {}", self.devnet.socket(2).0.display())
    }

    /// The two records of a beacon's file.
    fn beacon<C: record::Record>(&self, which: &str) -> (C, Beacon) {
        let text = String::from_utf8(self.world.bytes(&format!("round-0/beacon-{which}"))).unwrap();
        let lines = record::parse_lines("beacon", &text).unwrap();
        (record::select::<C>(&lines).unwrap().remove(0), record::select::<Beacon>(&lines).unwrap().remove(0))
    }

    /// The chain's header at a height.
    fn header(&self, height: u32) -> BlockHeader {
        header(&self.devnet, height)
    }

    /// From the second beacon up to the next model.
    fn close(&self) {
        self.devnet.mine(3);
        self.ok("beacon 0 b");
        self.end();
    }
}

/// A chain's header at a height.
fn header(devnet: &Devnet, height: u32) -> BlockHeader {
    let block = devnet.socket(1).ask("getrawblockbyheight", json!({ "height": height }));
    block["block"].as_str().unwrap()[..160].parse().unwrap()
}

#[test]
fn a_paid_round_by_beacons_of_blocks_is_audited_against_the_chain() {
    let run = begin("beacons = \"blocks\"\n");
    run.play();
    run.world.expect("audit", 0, "whether a chain has them --headers or --rpc-file tells");
    let said = talk(&run.world.expect(&run.audit(), 0, "equal: "));
    assert!(!said.contains("taken on trust") && !said.contains("whether a chain has them"), "{said}");
    // Every step again does nothing, and no later block makes another beacon.
    let drawn = ["a", "b"].map(|which| run.world.bytes(&format!("round-0/beacon-{which}")));
    run.devnet.mine(5);
    for step in ["beacon 0 a", "beacon 0 b", "assign 0", "score 0"] {
        run.ok(step);
    }
    assert_eq!(["a", "b"].map(|which| run.world.bytes(&format!("round-0/beacon-{which}"))), drawn);
    // By a file of headers too, with what it is read from.
    let (_, beacon) = run.beacon::<RosterClosing>("a");
    let (closing, second) = run.beacon::<l402::pay::Closing>("b");
    let tip = closing.block.clone().unwrap().height;
    let lines: Vec<String> = (1..=tip).map(|height| format!("{height} {}\n", run.header(height))).collect();
    run.world.write("headers", lines.concat().as_bytes());
    run.world.expect("audit --headers headers", 0, "equal: ");
    fs::remove_file(run.world.path("round-0/beacon-b")).unwrap();
    run.ok("beacon 0 b --headers headers");
    assert_eq!(run.world.bytes("round-0/beacon-b"), drawn[1]);
    assert_ne!(beacon.value, second.value);
    run.world.write("headers", lines[..lines.len() - 1].concat().as_bytes());
    run.world.expect("audit --headers headers", 66, &format!("headers: no header of block {tip}"));
    fs::remove_file(run.world.path("round-0/beacon-b")).unwrap();
    run.world.expect("beacon 0 b --headers headers", 75, "is not there yet");
    run.world.write("headers", b"");
    run.world.expect("beacon 0 b --headers headers", 65, "headers: expected headers of blocks, found none");
    // What closed the roster is read by itself too.
    let closing = String::from_utf8(run.world.bytes("round-0/roster-closing.jsonl")).unwrap();
    for bent in [closing.replace("\"round\":0", "\"round\":1"), String::new(), closing.repeat(2)] {
        run.world.write("round-0/roster-closing.jsonl", bent.as_bytes());
        run.world.expect("audit", 1, "round-0/roster-closing.jsonl: ");
    }
    run.world.write("round-0/roster-closing.jsonl", closing.as_bytes());
    // One that is gone is missing from a run that has them bound.
    let says = "round-0/beacon-b: expected a beacon that is bound to a block, as the recipe has it, found none";
    run.world.expect("audit", 1, says);
    // The closing knows of what has come.
    let arrivals = run.world.bytes("round-0/arrivals.jsonl");
    fs::remove_file(run.world.path("round-0/arrivals.jsonl")).unwrap();
    run.world.write("round-0/beacon-b", &drawn[1]);
    let says = "round-0/arrivals.jsonl: expected the 1 arrivals that the closing knows of, found none";
    run.world.expect("audit", 1, says);
    run.world.write("round-0/arrivals.jsonl", &arrivals);
    // And without what closed its list it is nobody's.
    run.world.write("round-0/beacon-b", &drawn[1]);
    fs::remove_file(run.world.path("round-0/closing.jsonl")).unwrap();
    let says = "round-0/beacon-b: expected the closing that it hangs on as closing.jsonl, found none";
    run.world.expect("audit", 1, says);
}

/// The theft: the coordinator draws until its accomplice has the shard that it prepared. Where nothing binds beacons, nobody can
/// tell; the audit says that it was believed.
#[test]
fn a_coordinator_that_draws_until_it_likes_what_it_drew_is_found_where_beacons_are_bound() {
    let free = begin("");
    let prepared = "train-00001.safetensors";
    let mut tries = 0;
    loop {
        let said = talk(&free.ok("assign 0 --beacon random"));
        assert!(said.contains("beacon a of round 0: taken on trust, nothing binds it to a block"), "{said}");
        let assigned = records(&free.world.bytes("round-0/assignments.jsonl"), "assignment");
        if assigned[0]["shard"] == prepared {
            break;
        }
        tries += 1;
        assert!(tries < 100);
        fs::remove_dir_all(free.world.path("round-0")).unwrap();
    }
    free.work();
    free.ok("score 0 --beacon random");
    for step in ["settle 0", "settle --claim 0 ann --wait=30", "invoice status 0", "aggregate 0"] {
        free.ok(step);
    }
    let said = talk(&free.world.expect("audit", 0, "equal: "));
    assert!(
        said.contains("beacons taken on trust: in 1 of 1 rounds nothing says that the coordinator did not choose"),
        "{said}"
    );

    let run = begin("beacons = \"blocks\"\n");
    for step in ["assign 0 --beacon random", "assign 0 --beacon "] {
        let step = if step.ends_with(' ') { format!("{step}{}", common::beacon("one")) } else { step.to_owned() };
        run.world.expect(&step, 1, "--beacon: the recipe has beacons bound to blocks (verify.beacons)");
    }
    assert!(!run.world.has("round-0/beacon-a"));
    run.world.expect("assign 0", 66, "hint: `l402 beacon 0 a` makes it");
    // By hand, around the short form.
    run.world.expect(
        &format!(
            "assign --recipe run.toml --round 0 --shards shards --workers ./roster.jsonl --beacon {} {} -o drawn",
            common::beacon("one"),
            run.devnet.socket(1).arg()
        ),
        1,
        "beacon a of round 0: expected one that is bound to a block, as the recipe has it (verify.beacons), found 64 hex digits that \
         anybody can have chosen",
    );
    run.play();
    run.world.write("round-0/beacon-a", format!("{}\n", common::beacon("one")).as_bytes());
    run.world.expect("audit", 1, "round-0/beacon-a: beacon a of round 0: expected one that is bound to a block");
}

/// The same with blocks of its own: the headers are linked and carry the work that they state, which on a test network is none.
#[test]
fn a_beacon_of_a_block_that_the_chain_does_not_have_is_found_by_who_looks() {
    let run = begin("beacons = \"blocks\"\n");
    run.world.expect("beacon 0 a", 75, "is not there yet");
    // It mines the block that was named by itself, as long as it likes: of two chains from one closing.
    let other = Devnet::up(2, "");
    run.devnet.mine(3);
    let text = String::from_utf8(run.world.bytes("round-0/roster-closing.jsonl")).unwrap();
    let lines = record::parse_lines("closing", &text).unwrap();
    let closing = record::select::<RosterClosing>(&lines).unwrap().remove(0);
    let closed = closing.closed().unwrap();
    other.mine(u64::from(closed.block.height));
    let own: Vec<BlockHeader> = (closed.height..=closed.block.height).map(|height| header(&other, height)).collect();
    assert_ne!(own.last(), Some(&run.header(closed.block.height)));
    let beacon = closed.beacon(own).unwrap();
    run.world.write("round-0/beacon-a", (text.clone() + &record::line(&beacon).unwrap()).as_bytes());
    run.ok("assign 0");
    run.work();
    run.close();
    run.world.expect("audit", 0, "equal: ");
    let height = closed.block.height;
    run.world.expect(&run.audit(), 1, &format!("round-0/beacon-a: beacon a of round 0: block {height}: expected "));
}

/// Closed again, with other blocks to choose from, or with another roster once the block is known.
#[test]
fn a_list_is_closed_once_and_by_one_word() {
    let run = begin("beacons = \"blocks\"\n");
    run.assign();
    let first = ["beacon-a", "roster-closing.jsonl"].map(|name| run.world.bytes(&format!("round-0/{name}")));
    // Where the beacon is there, there is no second word on its roster.
    let remove = |name: &str| fs::remove_file(run.world.path(&format!("round-0/{name}"))).unwrap();
    remove("roster-closing.jsonl");
    run.world.expect("beacon 0 a", 0, "round-0/beacon-a: up to date");
    assert!(!run.world.has("round-0/roster-closing.jsonl"));
    // Who removes both makes one, of which workers have the first.
    remove("beacon-a");
    remove("assignments.jsonl");
    run.world.expect("beacon 0 a", 75, "is not there yet");
    run.devnet.mine(3);
    run.world.write("round-0/beacon-a", &first[0]);
    run.world.expect("beacon 0 a", 73, "round-0/beacon-a: exists, and is not the beacon of this closing");
    remove("beacon-a");
    run.ok("beacon 0 a");
    run.ok("assign 0");
    run.work();
    run.close();
    run.world.expect("audit", 0, "equal: ");
    run.world.write("round-0/roster-closing.jsonl", &first[1]);
    let output = run.world.expect("audit --json", 1, "round-0/beacon-a: the closing that it hangs on: expected ");
    let evidence = records(&output.stdout, "evidence");
    assert_eq!((evidence.len(), &evidence[0]["worker"]), (1, &json!(run.world.coordinator)), "{evidence:?}");
    assert_eq!(evidence[0]["against"]["type"], "roster_closing");
    assert_ne!(evidence[0]["against"], evidence[0]["signed"]);
}

#[test]
fn another_roster_than_the_closed_one_draws_nothing() {
    let run = begin("beacons = \"blocks\"\n");
    run.world.expect("beacon 0 a", 75, "is not there yet");
    run.devnet.mine(3);
    run.ok("beacon 0 a");
    // The block is known: now a worker more would change who has which shard.
    let roster = String::from_utf8(run.world.bytes("roster.jsonl")).unwrap();
    let more = roster.replace("\"ann\"", "\"eve\"") + &roster;
    run.world.write("roster.jsonl", more.as_bytes());
    run.world.expect("assign 0", 1, ", as it was closed for round 0, found ");
    run.world.write("roster.jsonl", roster.as_bytes());
    // Nor does anybody else's word close it.
    run.world.expect(
        &format!(
            "assign --recipe run.toml --round 0 --shards shards --workers ./roster.jsonl --beacon round-0/beacon-a {} -o drawn",
            run.devnet.socket(2).arg()
        ),
        1,
        "beacon a of round 0: closed by: expected ",
    );
    run.ok("assign 0");
    // What is bent in the file is no beacon of this list.
    let text = String::from_utf8(run.world.bytes("round-0/beacon-a")).unwrap();
    for (from, to, says) in [
        ("\"purpose\":\"a\"", "\"purpose\":\"b\"", "purpose: expected a, found b"),
        ("\"round\":0", "\"round\":1", "roster_closing record: sig: not a signature of this record by "),
        ("\"type\":\"beacon\"", "\"type\":\"bacon\"", "./bent: expected one beacon record beside what closed its list"),
        ("\"type\":\"roster_closing\"", "\"type\":\"closing\"", "./bent: expected one roster_closing record, found 0"),
        ("{", "x{", "./bent: expected a beacon, 64 lowercase hex digits or its record"),
    ] {
        run.world.write("bent", text.replace(from, to).as_bytes());
        let assign =
            "assign --recipe run.toml --round 0 --shards shards --workers ./roster.jsonl --beacon ./bent -o drawn";
        let output = run.world.run(assign);
        assert!(talk(&output).contains(says), "{from}: {}", talk(&output));
        assert_ne!(output.status.code(), Some(0), "{from}");
    }
    // Nor is it that of another round.
    let next = "assign --recipe run.toml --round 1 --shards shards --workers ./roster.jsonl --beacon round-0/beacon-a -o drawn";
    run.world.expect(next, 1, "round-0/beacon-a: expected a beacon of run ");
}

/// A closing of before there were beacons of blocks, by hand.
#[test]
fn a_closing_that_names_no_block_makes_no_beacon() {
    let world = World::new(FULL);
    let key = l402::artifact::key::SigningKey::generate(&world.path("judge.key")).unwrap();
    let mut closing = l402::pay::Closing {
        run: l402::artifact::Digest([1; 32]),
        round: 0,
        attempt: 0,
        height: 5,
        commitments: Vec::new(),
        arrivals: None,
        block: None,
        judge: l402::pay::NodeId(key.public()),
        sig: None,
    };
    record::sign(&mut closing, &key).unwrap();
    world.write("closing.jsonl", record::line(&closing).unwrap().as_bytes());
    world.write("headers", b"");
    let beacon = "beacon b --closing closing.jsonl --headers headers -o beacon-b";
    world.expect(beacon, 65, "closing.jsonl: the closing names no block for a beacon");
    let none = "beacon a --closing nothing --headers headers -o beacon-a";
    world.expect(none, 2, "nothing: no such file: expected --recipe, --round, --shards and --workers, to close them");
    world.expect(
        &format!("{none} --recipe r.toml --round 0 --shards shards --workers ann"),
        2,
        "--headers: expected a node, which signs that the roster is closed",
    );
}

#[test]
fn a_recipe_that_pays_and_has_free_beacons_is_none() {
    let world = World::new(FULL);
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    world.write("free.toml", format!("{recipe}[verify]\nbeacons = \"free\"\n").as_bytes());
    world.expect("recipe check free.toml", 65, "verify.beacons");
    let unpaid = recipe.replace("round_msat = 1000000", "round_msat = 0");
    world.write("free.toml", format!("{unpaid}[verify]\nbeacons = \"free\"\n").as_bytes());
    world.ok("recipe check free.toml");
    fs::copy(world.path("free.toml"), world.path("run.toml")).unwrap();
    for (verb, says) in [
        ("beacon a -o x", "--closing: expected the record that closes the list of beacon a"),
        ("beacon a --closing nothing --headers free.toml -o x", "free.toml:1: expected a height and a header"),
        ("beacon a --closing x --wait=18446744073709551615", "18446744073709551615 is not in 0..4294967296"),
        ("beacon 0 c", "expected `l402 beacon 0 a` or `l402 beacon 0 b`"),
    ] {
        let output = world.run(verb);
        assert!(talk(&output).contains(says), "{verb}: {}", talk(&output));
        assert_ne!(output.status.code(), Some(0), "{verb}");
    }
}
