//! Lists that several parties write to: whatever one of them sends, it costs no other one anything.

mod common;

use std::fs::{self, File};
use std::process::Command;

use common::devnet::Devnet;
use common::escrow::Table;
use common::{FULL, WORKERS, World, beacon, records, talk};
use l402::artifact::Room;
use l402::artifact::record::{read_lines_of_many, read_lines_within};
use serde_json::Value;

/// A file that erases what is read after it, where a list is one stream that its first bytes frame: its own lines in a
/// zstd frame, and a skippable frame over the next `rest` bytes.
fn eraser(own: &[u8], rest: usize) -> Vec<u8> {
    let over = u32::try_from(rest).unwrap().to_le_bytes();
    [&zstd::encode_all(own, 3).unwrap()[..], &[0x50, 0x2a, 0x4d, 0x18], &over].concat()
}

/// What ann may send in the place of her lines, so that the others' are not read: all of it precedes theirs.
fn attacks(own: &[u8], others: usize) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a skippable frame", eraser(own, others)),
        ("four bytes", [&[0x28, 0xb5, 0x2f, 0xfd], own].concat()),
        ("a missing newline", own.strip_suffix(b"\n").unwrap().to_vec()),
        ("an open object", [own, b"{\"a\":\""].concat()),
        ("bytes that are no text", [own, &[0xff, 0, 0xfe]].concat()),
        ("a line of a megabyte", [own, &[b'x'; 1 << 20][..]].concat()),
        ("thousands of lines", vec![b'\n'; 10_000]),
    ]
}

/// A world with round 0 up to its findings, and each worker's commitment and reveal in a file of its own, in `inbox/`.
fn committed() -> World {
    let world = World::new(FULL);
    world.assign(0);
    WORKERS.iter().for_each(|who| world.work(0, who));
    world.replay_all(0);
    fs::create_dir(world.path("inbox")).unwrap();
    for who in WORKERS {
        let lines = [false, true].map(|reveal| world.commit(0, who, &format!("{who}.0.update"), reveal)).concat();
        world.write(&format!("inbox/{who}.jsonl"), lines.as_bytes());
    }
    world
}

/// Who counts by the scores on standard output.
fn counting(scores: &[u8]) -> Vec<String> {
    let scores = records(scores, "score");
    scores.iter().filter(|s| s["counts"] == true).map(|s| s["worker"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn nothing_that_a_worker_sends_erases_the_others_commitments_from_the_scores() {
    let world = committed();
    let updates = WORKERS.map(|who| format!("{who}.0.update"));
    let updates = updates.each_ref().map(String::as_str);
    let score = |lists: &str| world.score(0, &updates).replace("--commitments 0.commitments.jsonl", lists);
    let files = WORKERS.map(|who| format!("--commitments inbox/{who}.jsonl")).join(" ");
    let [ann, bob, cy] = WORKERS.map(|who| world.bytes(&format!("inbox/{who}.jsonl")));
    for (what, sent) in attacks(&ann, bob.len() + cy.len()) {
        world.write("inbox/ann.jsonl", &sent);
        world.write("cat.jsonl", &[&sent[..], &bob, &cy].concat());
        for lists in ["--commitments cat.jsonl", "--commitments inbox", &files] {
            let output = world.ok(&score(lists));
            let mut found = counting(&output.stdout);
            found.retain(|who| who != "ann");
            assert_eq!(found, ["bob", "cy"], "{what}: {lists}: {}", talk(&output));
        }
    }
    // A file by itself that is too large, or no frame though its name says so, is left out and named; alone it is an error.
    for (name, bytes, says) in [
        ("inbox/ann.jsonl", vec![b'x'; 2 << 20], "expected at most"),
        ("inbox/ann.jsonl.zst", ann.clone(), "expected a zstd frame"),
        ("inbox/ann.jsonl.zst", eraser(&ann, 0), "expected one frame and nothing after it"),
    ] {
        fs::remove_file(world.path("inbox/ann.jsonl")).ok();
        world.write(name, &bytes);
        let output = world.expect(&score("--commitments inbox"), 0, &format!("left out: {name}: "));
        assert!(talk(&output).contains(says), "{name}: {}", talk(&output));
        assert_eq!(counting(&output.stdout), ["bob", "cy"], "{name}");
        fs::remove_file(world.path(name)).unwrap();
    }
    world.write("alone.jsonl.zst", &ann);
    world.expect(&score("--commitments alone.jsonl.zst"), 65, "alone.jsonl.zst: expected a zstd frame");
    // What is framed as its name says is read.
    world.write("inbox/ann.jsonl.zst", &zstd::encode_all(&ann[..], 3).unwrap());
    assert_eq!(counting(&world.ok(&score("--commitments inbox")).stdout), WORKERS);
    // Neither a folder without lists nor a file that is not there is an empty list.
    fs::create_dir(world.path("empty")).unwrap();
    world.expect(&score("--commitments empty"), 66, "empty: no *.jsonl");
    world.expect(&score("--commitments nowhere.jsonl"), 66, "nowhere.jsonl");
}

#[test]
fn an_audit_does_not_believe_scores_whose_list_hides_the_others_commitments() {
    let world = World::new(FULL);
    world.begin_run();
    let make = world.make(0, "lists", &[]).output().unwrap();
    assert!(make.status.success(), "{}", talk(&make));
    let audit = format!("audit . --coordinator {}", world.coordinator);
    world.ok(&audit);
    let part = |who: &str| ["commitment", "reveal"].map(|end| world.bytes(&format!("round-0/{who}.{end}"))).concat();
    let [ann, bob, cy] = WORKERS.map(part);
    for who in WORKERS {
        for end in ["commitment", "reveal"] {
            fs::remove_file(world.path(&format!("round-0/{who}.{end}"))).unwrap();
        }
    }
    // The scores as a reader makes them that sees ann's commitment alone, and the model that follows.
    world.write("ann.jsonl", &ann);
    let updates = WORKERS.map(|who| format!("round-0/{who}.update")).join(" ");
    world.ok(&format!(
        "score --recipe run.toml --model theta-0 --val shards/val-00000.safetensors --beacon {} \
         --findings round-0/findings.jsonl --assignments round-0/assignments.jsonl --coordinator {} --commitments ann.jsonl \
         -o round-0/scores.jsonl --force {updates}",
        beacon("lists 0"),
        world.coordinator
    ));
    assert_eq!(counting(&world.bytes("round-0/scores.jsonl")), ["ann"]);
    world.ok(&format!(
        "aggregate --recipe run.toml --model theta-0 --scores round-0/scores.jsonl {updates} -o theta-1 --force"
    ));
    for (what, sent) in attacks(&ann, bob.len() + cy.len()) {
        world.write("round-0/commitments.jsonl", &[&sent[..], &bob, &cy].concat());
        let output = world.run(&audit);
        assert_eq!(output.status.code(), Some(1), "{what}: {}", talk(&output));
    }
    world.write("round-0/commitments.jsonl", &ann);
    world.ok(&audit);
}

#[test]
fn one_strangers_rubbish_holds_up_neither_payer_nor_judge() {
    let devnet = Devnet::up(2, "");
    let pair = devnet.pair(1, 2);
    let table = Table::new(&pair);
    let (world, round) = (&table.world, table.round(&pair, "r"));
    round.up_to("issue");
    // Given before the others: a name that comes first.
    world.write("bad.jsonl", &eraser(b"rubbish\n", 1 << 20));
    world.write("bad.jsonl.zst", b"no frame");
    let beside = |args: String, flag: &str, file: &str| {
        args.replace(&format!("{flag}{file}"), &format!("{flag}bad.jsonl {flag}bad.jsonl.zst {flag}{file}"))
    };
    let output = world.ok(&beside(round.args("lock"), "", "r.invoices.jsonl"));
    assert!(talk(&output).contains("left out: bad.jsonl.zst: expected a zstd frame"), "{}", talk(&output));
    round.ok("held");
    round.ok("commit");
    // The list as `cat` makes it: the closing holds ann's commitment whatever stands before it.
    let ann = world.bytes("r.commitments.jsonl");
    let closed = |args: &str| {
        let output = world.ok(&format!("{args} --dry-run"));
        let closing: Value = serde_json::from_slice(&output.stdout).unwrap();
        closing["commitments"].as_array().unwrap().len()
    };
    for (what, sent) in attacks(b"rubbish\n", ann.len()) {
        world.write("cat.jsonl", &[&sent[..], &ann].concat());
        assert_eq!(closed(&round.args("close").replace("r.commitments.jsonl", "cat.jsonl")), 1, "{what}");
    }
    world.ok(&beside(round.args("close"), "--close ", "r.commitments.jsonl"));
    round.ok("open");
    let settle = beside(round.args("settle"), "--held ", "r.held.jsonl");
    world.ok(&beside(settle, "--commitments ", "r.commitments.jsonl"));
    assert!(round.paid() > 0);
    round.ok("claim");
}

// ---- One file ----

/// The types of the records in a list of many, and how many lines are malformed.
fn list(bytes: &[u8]) -> (Vec<String>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.jsonl");
    fs::write(&path, bytes).unwrap();
    let (lines, malformed) = read_lines_of_many(&path, Room::of(2)).unwrap();
    (lines.iter().map(|line| line.kind().to_owned()).collect(), malformed.len())
}

fn record_of(kind: &str) -> String {
    format!(r#"{{"rungs":[{{"a":1}},{{"b":"}}{{\"]\\"}}],"type":"{kind}","v":1}}"#)
}

#[test]
fn whatever_stands_before_a_record_on_its_line_costs_nobody_that_record() {
    let (mine, yours) = (record_of("mine"), record_of("yours"));
    for (before, first, malformed) in [
        (&b""[..], false, 0),
        (b"rubbish", false, 1),
        (b"{\"a\":", false, 1),
        (b"{\"a\":\"", false, 1),
        (b"\\", false, 1),
        (b"}}}]\"", false, 1),
        (b"\x28\xb5\x2f\xfd\xff\0", false, 1),
        (mine.as_bytes(), true, 0),
        (&[b"x", mine.as_bytes()].concat(), true, 1),
    ] {
        let bytes = [b"rubbish\n", before, yours.as_bytes(), b"\n", mine.as_bytes()].concat();
        let expected = if first { vec!["mine", "yours", "mine"] } else { vec!["yours", "mine"] };
        let expected = expected.into_iter().map(String::from).collect();
        assert_eq!(list(&bytes), (expected, 1 + malformed), "{}", before.escape_ascii());
    }
}

#[test]
fn a_line_that_is_too_long_hides_neither_the_next_one_nor_the_record_at_its_end() {
    let (mine, yours) = (record_of("mine"), record_of("yours"));
    let long = vec![b'x'; 3 << 20];
    let bytes = [&long[..], mine.as_bytes(), b"\n", yours.as_bytes()].concat();
    assert_eq!(list(&bytes), (vec!["mine".into(), "yours".into()], 1));
}

#[test]
fn a_list_has_room_for_a_small_multiple_of_what_it_can_need_and_for_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.jsonl");
    let room = Room::of(2);
    for (bytes, says) in [
        (vec![b'\n'; room.lines as usize + 1], "expected at most 16384 lines, found more"),
        (vec![b'x'; room.bytes as usize + 1], "expected at most 16777216 bytes, found 16777217"),
    ] {
        fs::write(&path, &bytes).unwrap();
        for read in [read_lines_within(&path, room).err(), read_lines_of_many(&path, room).err()] {
            let error = read.unwrap().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}

/// More CPU time than any honest file here takes to be read, and less than a terabyte, in seconds.
const CPU: u32 = 30;

#[test]
fn a_file_of_a_terabyte_is_refused_by_its_length_and_not_read() {
    let world = World::new(FULL);
    world.play(0);
    for (from, to) in [("r.toml", "run.toml"), ("roster.jsonl", "roster.jsonl")] {
        fs::create_dir_all(world.path("pub/round-0")).unwrap();
        fs::copy(world.path(from), world.path(&format!("pub/{to}"))).unwrap();
    }
    ["shards", "theta-0", "theta-1"].iter().for_each(|folder| world.copy_folder(folder, &format!("pub/{folder}")));
    for list in ["assignments", "commitments", "findings", "scores"] {
        fs::copy(world.path(&format!("0.{list}.jsonl")), world.path(&format!("pub/round-0/{list}.jsonl"))).unwrap();
    }
    for who in WORKERS {
        for kind in ["update", "feedback", "moments"] {
            fs::copy(world.path(&format!("{who}.0.{kind}")), world.path(&format!("pub/round-0/{who}.{kind}"))).unwrap();
        }
    }
    world.write("pub/round-0/beacon-a", beacon("first 0").as_bytes());
    world.write("pub/round-0/beacon-b", beacon("second 0").as_bytes());
    let run = |args: &str| {
        let output = Command::new("sh")
            .args(["-c", &format!("ulimit -t {CPU}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_l402")])
            .args(args.split_whitespace())
            .current_dir(world.path("."))
            .output()
            .unwrap();
        common::sane(args, &output);
        output
    };
    let audit = format!("audit pub --coordinator {}", world.coordinator);
    assert_eq!(run(&audit).status.code(), Some(0), "{}", talk(&run(&audit)));
    let updates = "ann.0.update bob.0.update cy.0.update";
    let score = world.score(0, &updates.split(' ').collect::<Vec<_>>());
    for (file, verb, code, says) in [
        ("pub/shards/train-00000.safetensors", &audit, 1, "shards/train-00000.safetensors: expected at most"),
        ("pub/theta-1/model.safetensors", &audit, 1, "theta-1/model.safetensors: expected at most"),
        ("pub/theta-0/model.safetensors", &audit, 1, "oversized"),
        ("pub/round-0/bob.update", &audit, 1, "bob"),
        ("pub/round-0/bob.feedback", &audit, 1, "oversized"),
        ("pub/round-0/scores.jsonl", &audit, 1, "expected at most"),
        ("pub/round-0/commitments.jsonl", &audit, 1, "expected at most"),
        ("pub/run.toml", &audit, 1, "expected at most"),
        ("pub/round-0/notes.update", &audit, 0, ""),
        ("pub/notes.txt", &audit, 0, "notes.txt"),
        ("pub/shards/notes", &audit, 0, "notes"),
        ("0.commitments.jsonl", &score, 65, "0.commitments.jsonl: expected at most"),
        ("0.findings.jsonl", &score, 65, "0.findings.jsonl: expected at most"),
        ("bob.0.update", &score, 0, "left out: bob.0.update"),
    ] {
        let before = world.has(file).then(|| world.bytes(file));
        File::options().create(true).append(true).open(world.path(file)).unwrap().set_len(1 << 40).unwrap();
        let remembering = format!("{verb} --work w");
        for args in [verb, &remembering].into_iter().take(if code == 65 || verb.starts_with("score") { 1 } else { 2 }) {
            let output = run(args);
            assert_eq!(output.status.code(), Some(code), "{file}: {args}: {}", talk(&output));
            assert!(talk(&output).contains(says), "{file}: {args}: {}", talk(&output));
        }
        fs::remove_file(world.path(file)).unwrap();
        before.into_iter().for_each(|bytes| world.write(file, &bytes));
    }
}
