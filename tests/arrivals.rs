//! In which order commitments came: signed as they come, each worker with a receipt. What a coordinator tries, to have another first.

mod common;

use std::fs;
use std::process::Output;

use common::{FULL, World, beacon, records, talk};
use l402::artifact::key::SigningKey;
use l402::artifact::{Commitment, Digest, record};
use l402::pay::{Arrival, Arrivals, NodeId, RecordHash};
use serde_json::Value;

/// A run of three, whose work is done; bob commits first, then cy, then ann.
fn run() -> World {
    let world = World::new(FULL);
    world.begin_run();
    world.ok(&format!("assign 0 --beacon {}", beacon("first")));
    for worker in ["ann", "bob", "cy"] {
        world.ok(&format!("train 0 {worker}"));
    }
    world
}

fn commit(world: &World, worker: &str) -> Output {
    world.ok(&format!("commit 0 {worker}"));
    world.ok("commit --receive 0")
}

/// From the reveals up to the next model.
fn end(world: &World) {
    for worker in ["ann", "bob", "cy"] {
        world.ok(&format!("commit 0 {worker} --reveal"));
        world.ok(&format!("replay 0 {worker}"));
    }
    world.ok(&format!("score 0 --beacon {}", beacon("second")));
    world.ok("aggregate 0");
}

/// Whose update overlaps with nobody's before it: who came first.
fn first(world: &World) -> String {
    let scores = records(&world.bytes("round-0/scores.jsonl"), "score");
    let alone: Vec<&Value> = scores.iter().filter(|score| score["signals"]["overlap_ppm"] == 0).collect();
    assert_eq!(alone.len(), 1, "{scores:?}");
    alone[0]["worker"].as_str().unwrap().to_owned()
}

/// Moves a line of a list to its beginning.
fn move_first(world: &World, list: &str, says: &str) {
    let text = String::from_utf8(world.bytes(list)).unwrap();
    let (mut moved, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.contains(says));
    assert_eq!(moved.len(), 1, "{text}");
    moved.extend(rest);
    world.write(list, (moved.join("\n") + "\n").as_bytes());
}

#[test]
fn who_came_first_is_what_was_signed_as_it_came_and_not_what_stands_first() {
    let world = run();
    for worker in ["bob", "cy", "ann"] {
        let said = talk(&commit(&world, worker));
        assert!(said.contains("round 0: ") && said.contains(" commitments have come, 1 of them now"), "{said}");
    }
    // Once more nothing comes, and nobody commits to anything else than before.
    let arrivals = world.bytes("round-0/arrivals.jsonl");
    assert!(talk(&world.ok("commit --receive 0")).contains("3 commitments have come, 0 of them now"));
    assert_eq!(world.bytes("round-0/arrivals.jsonl"), arrivals);
    world.ok("commit 0 bob");
    move_first(&world, "round-0/commitments.jsonl", "\"worker\":\"ann\"");
    end(&world);
    assert_eq!(first(&world), "bob");
    let said = talk(&world.expect("audit --replay 1", 0, "equal: "));
    assert!(!said.contains("no arrivals"), "{said}");
    // Of what nobody signed the list's order decides, and the audit says so: the theft.
    let world = run();
    for worker in ["bob", "cy", "ann"] {
        world.ok(&format!("commit 0 {worker}"));
        world.ok(&format!("commit 0 {worker} --reveal"));
        world.ok(&format!("replay 0 {worker}"));
    }
    world.ok(&format!("score 0 --beacon {} --without findings", beacon("second")));
    let honest = first(&world);
    let other = if honest == "ann" { "bob" } else { "ann" };
    let text = String::from_utf8(world.bytes("round-0/commitments.jsonl")).unwrap();
    let own =
        |line: &&str| line.contains("\"type\":\"commitment\"") && line.contains(&format!("\"worker\":\"{other}\""));
    let moved: String =
        text.lines().filter(own).chain(text.lines().filter(|line| !own(line))).map(|l| format!("{l}\n")).collect();
    world.write("round-0/commitments.jsonl", moved.as_bytes());
    let said = talk(&world.ok(&format!("score 0 --beacon {} --force", beacon("second"))));
    assert!(said.contains("the order of the commitments, which decides who copied, is signed by nobody"), "{said}");
    assert_eq!(first(&world), other);
    world.ok("aggregate 0");
    world.expect("audit", 0, "no arrivals: in 1 of 1 rounds the order of commitments is signed by nobody");
}

/// What is a worker's own file is no fault of the run, whatever stands in it.
#[test]
fn rubbish_in_receipts_and_in_what_workers_have_sent_fails_nobodys_audit() {
    let world = run();
    for worker in ["bob", "cy", "ann"] {
        commit(&world, worker);
    }
    end(&world);
    for (file, rubbish) in [
        ("ann.receipt", &b"rubbish\n{\"index\":1}\n"[..]),
        ("ann.receipt", &[b'\n'; 100_000]),
        ("ann.commitment", b"rubbish\n"),
        ("cy.reveal", b"{"),
    ] {
        let path = format!("round-0/{file}");
        let before = world.bytes(&path);
        world.write(&path, &[&before[..], rubbish].concat());
        world.expect("audit", 0, "equal: ");
        fs::File::options().write(true).open(world.path(&path)).unwrap().set_len(1 << 40).unwrap();
        world.expect("audit", 0, &format!("passed over: {path}: "));
        world.write(&path, &before);
    }
    let foreign = world.bytes("round-0/bob.receipt").to_vec();
    let bent = String::from_utf8(foreign).unwrap().replace("\"round\":0", "\"round\":1");
    world.write("round-0/ann.receipt", bent.as_bytes());
    world.expect("audit", 0, "passed over: round-0/ann.receipt: 1 records that are no receipts of this round");
}

#[test]
fn an_order_that_was_signed_again_is_contradicted_by_a_receipt() {
    let world = run();
    for worker in ["bob", "cy", "ann"] {
        commit(&world, worker);
    }
    end(&world);
    world.expect("audit", 0, "equal: ");
    // The coordinator has signed bob's place, and now it signs another's: ann, who came last, first.
    let key = SigningKey::load(&world.path("../world-private/coordinator/key")).unwrap();
    let all: Vec<Arrival> =
        record::select(&record::read_lines(&world.path("round-0/arrivals.jsonl")).unwrap()).unwrap();
    let by = NodeId(key.public());
    let write = |places: &[usize], foreign: Option<RecordHash>| {
        let mut again = Arrivals::default();
        for commitment in places.iter().map(|place| all[*place].commitment).chain(foreign) {
            let mut next = again.next(all[0].run, 0, commitment, by);
            record::sign(&mut next, &key).unwrap();
            again.push(next).unwrap();
        }
        let text: String = again.all().iter().map(|arrival| record::line(arrival).unwrap()).collect();
        world.write("round-0/arrivals.jsonl", text.as_bytes());
    };
    write(&[2, 0, 1], None);
    let says = "round-0/arrivals.jsonl: arrival 2, as the receipt of round-0/ann.receipt has it: expected ";
    let output = world.expect("audit", 1, says);
    assert!(!talk(&output).contains("equal"));
    // Where it gives cy's place to somebody else, and leaves ann out, their receipts tell.
    write(&[0], Some(RecordHash([9; 32])));
    fs::remove_file(world.path("round-0/ann.receipt")).unwrap();
    let says = "round-0/arrivals.jsonl: arrival 1, as the receipt of round-0/cy.receipt has it: expected ";
    let output = world.expect("audit --json", 1, says);
    let evidence = records(&output.stdout, "evidence");
    let index = |of: &str| evidence[0][of]["index"].as_u64();
    assert_eq!((evidence.len(), index("signed"), index("against")), (1, Some(1), Some(1)));
    assert_ne!(evidence[0]["signed"]["commitment"], evidence[0]["against"]["commitment"]);
}

/// The attack: a worker signs that it had seen what never was, and sends its receipt among its commitments.
#[test]
fn a_worker_that_says_it_had_seen_what_never_was_stops_no_round_and_fails_no_audit() {
    let world = run();
    commit(&world, "bob");
    commit(&world, "cy");
    world.ok("commit 0 ann");
    let key = SigningKey::load(&world.path("../world-private/ann/key")).unwrap();
    let lines = record::read_lines(&world.path("round-0/ann.commitment")).unwrap();
    let mut lie: Commitment = record::select(&lines).unwrap().remove(0);
    lie.seen = Some(Digest([9; 32]));
    record::sign(&mut lie, &key).unwrap();
    world.write("round-0/ann.commitment", record::line(&lie).unwrap().as_bytes());
    world.ok("commit --receive 0");
    end(&world);
    assert_eq!(first(&world), "bob");
    world.expect("audit", 0, "arrival 2: ann says that it had seen the arrival 0909");
    // What strangers send goes into one folder.
    fs::create_dir(world.path("inbox")).unwrap();
    for (from, to) in [("commitments.jsonl", "a.jsonl"), ("ann.receipt", "b.jsonl"), ("arrivals.jsonl", "c.jsonl")] {
        fs::copy(world.path(&format!("round-0/{from}")), world.path(&format!("inbox/{to}"))).unwrap();
    }
    let scores = world.bytes("round-0/scores.jsonl");
    world.ok("score 0 --commitments inbox --force");
    assert_eq!(world.bytes("round-0/scores.jsonl"), scores);
}

#[test]
fn only_what_an_assigned_worker_signed_is_received() {
    let world = run();
    commit(&world, "bob");
    // In another's name, and by nobody who was assigned.
    let text = String::from_utf8(world.bytes("round-0/bob.commitment")).unwrap();
    let forged = text.replace("\"worker\":\"bob\"", "\"worker\":\"ann\"");
    let stranger = text.replace("\"worker\":\"bob\"", "\"worker\":\"eve\"");
    world.write("sent.jsonl", (forged + &stranger).as_bytes());
    let receive = "commit --receive sent.jsonl --round 0 --assignments round-0/assignments.jsonl \
                   --key ../world-private/coordinator/key";
    world.expect(
        &format!("{receive} -o round-0/arrivals.jsonl"),
        0,
        "passed over: a commitment of ann: not signed by its key",
    );
    assert_eq!(records(&world.bytes("round-0/arrivals.jsonl"), "arrival").len(), 1);
    assert!(!world.has("round-0/ann.receipt") && !world.has("round-0/eve.receipt"));
    assert_eq!(world.bytes("round-0/bob.receipt"), world.bytes("round-0/arrivals.jsonl"));
    world.expect(receive, 2, "--receive: expected --output, the file that has what came before");
    let none = receive.replace("--round 0", "--round 1");
    world.expect(&format!("{none} -o x"), 66, "round-0/assignments.jsonl: no assignment of round 1");
    // Where the file is lost, a receipt tells that there was another order.
    let arrivals = world.bytes("round-0/arrivals.jsonl");
    fs::remove_file(world.path("round-0/arrivals.jsonl")).unwrap();
    world.expect(
        "commit --receive 0",
        65,
        "round-0/bob.receipt: of arrival 0, which round-0/arrivals.jsonl does not have",
    );
    let hint =
        "hint: the order that was signed is lost: put the file back; a second one is evidence against who signs it";
    world.expect("commit --receive 0", 65, hint);
    world.write("round-0/arrivals.jsonl", &arrivals);
    // Another's key goes on with nobody's chain.
    let other = receive.replace("coordinator/key", "ann/key");
    world.expect(
        &format!("{other} -o round-0/arrivals.jsonl"),
        1,
        "round-0/arrivals.jsonl: arrival 0 of round 0: by: expected ",
    );
}
