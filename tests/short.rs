//! Short forms: inside a run folder `l402 train 3 alice` is the command line that names every file.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{FULL, Kind, WORKERS, World, beacon, records, talk};

/// A run folder before its first round; its keys are another's where one is given.
fn run_folder(kind: Kind, like: Option<&World>) -> World {
    let world = World::new(kind);
    if let Some(like) = like {
        for name in ["coordinator.key", "ann.key", "bob.key", "cy.key", "roster.jsonl"] {
            fs::copy(like.path(name), world.path(name)).unwrap();
        }
    }
    world.begin_run();
    world
}

/// A round by short forms, everybody honest.
fn play(world: &World, n: u64) {
    train_and_commit(world, n);
    for who in WORKERS {
        world.ok(&format!("replay {n} {who}"));
    }
    world.ok(&format!("score {n} --beacon {}", beacon(&format!("second {n}"))));
    world.ok(&format!("aggregate {n}"));
}

fn train_and_commit(world: &World, n: u64) {
    world.ok(&format!("assign {n} --beacon {}", beacon(&format!("first {n}"))));
    for who in WORKERS {
        world.ok(&format!("train {n} {who}"));
        world.ok(&format!("commit {n} {who}"));
    }
    for who in WORKERS {
        world.ok(&format!("commit {n} {who} --reveal"));
    }
}

#[test]
fn a_run_by_short_forms_is_the_run_by_flags_to_the_byte() {
    for kind in [FULL, Kind { state: "reset", codec: "dense", grad_groups: 2 }] {
        let long = World::new(kind);
        let short = run_folder(kind, Some(&long));
        for n in 0..2 {
            long.play(n);
            play(&short, n);
            for list in ["assignments", "commitments", "findings", "scores"] {
                let (file, other) = (format!("round-{n}/{list}.jsonl"), format!("{n}.{list}.jsonl"));
                assert_eq!(short.bytes(&file), long.bytes(&other), "{file}");
            }
            for who in WORKERS {
                for state in ["update", "feedback", "moments"] {
                    let (file, other) = (format!("round-{n}/{who}.{state}"), format!("{who}.{n}.{state}"));
                    assert_eq!(short.has(&file), long.has(&other), "{file}");
                    if short.has(&file) {
                        assert_eq!(short.bytes(&file), long.bytes(&other), "{file}");
                    }
                }
            }
            assert_eq!(short.tree(&format!("theta-{}", n + 1)), long.tree(&format!("theta-{}", n + 1)));
        }
        ["config.json", "corpus.txt", "coordinator.key", "ann.key", "bob.key", "cy.key"]
            .iter()
            .for_each(|name| fs::remove_file(short.path(name)).unwrap());
        let said = talk(&short.expect("audit", 0, "equal: "));
        assert!(!said.contains("not part of a run folder"), "what the short forms leave is the layout: {said}");
    }
}

#[test]
fn the_run_folder_is_named_or_the_nearest_upwards() {
    let world = run_folder(FULL, None);
    let root = world.path("").display().to_string();
    let begun = format!("assign 0 --beacon {}", beacon("first 0"));
    world.ok(&begun);
    let made = world.bytes("round-0/assignments.jsonl");
    // The same again says the same, from wherever it is asked.
    let elsewhere = tempfile::tempdir().unwrap();
    let asked = |args: &str, place: &Path, variable: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_l402"));
        command.args(args.split_whitespace()).current_dir(place).env_remove("L402_RUN");
        command.envs(variable.map(|value| ("L402_RUN", value))).output().unwrap()
    };
    for (args, place, variable) in [
        (begun.clone(), world.path("round-0"), None),
        (format!("--run {root} {begun}"), elsewhere.path().to_owned(), None),
        (format!("{begun} -C {root}"), elsewhere.path().to_owned(), None),
        (begun.clone(), elsewhere.path().to_owned(), Some(root.as_str())),
        (format!("{begun} -C {root}"), elsewhere.path().to_owned(), Some("/nowhere")),
    ] {
        let output = asked(&args, &place, variable);
        assert_eq!(output.status.code(), Some(0), "{args}: {}", talk(&output));
        assert!(talk(&output).contains("up to date"), "{args}: {}", talk(&output));
    }
    assert_eq!(world.bytes("round-0/assignments.jsonl"), made);
    for args in [
        format!("status -C {root}"),
        format!("--run {root} status"),
        format!("status {root}"),
        format!("audit -C {root}"),
    ] {
        let output = asked(&args, elsewhere.path(), None);
        assert_eq!(output.status.code(), Some(0), "{args}: {}", talk(&output));
    }
    for (args, variable, code, says) in [
        ("assign 0", None, 2, "round 0: no run.toml here or in a folder above"),
        ("assign 0", Some("/nowhere"), 66, "/nowhere/run.toml: no such file: expected a run folder"),
        ("--run /nowhere assign 0", None, 66, "/nowhere/run.toml: no such file"),
        ("audit", None, 2, "no run.toml here or in a folder above"),
        ("status", None, 2, "no run.toml here or in a folder above"),
    ] {
        let output = asked(args, elsewhere.path(), variable);
        assert_eq!(output.status.code(), Some(code), "{args}: {}", talk(&output));
        assert!(talk(&output).contains(says), "{args}: {}", talk(&output));
    }
    // Outside of a run a file may be named like a round.
    fs::write(elsewhere.path().join("7"), "").unwrap();
    let output = asked("commit 7 --round 0 --worker ann --key k", elsewhere.path(), None);
    assert!(talk(&output).contains("7: "), "{}", talk(&output));
    assert_eq!(output.status.code(), Some(65), "{}", talk(&output));
}

#[test]
fn a_flag_stays_what_it_says_and_the_whole_line_is_shown_on_request() {
    let world = run_folder(FULL, None);
    world.ok("assign 0 --beacon random");
    let output = world.ok("-v train 0 ann --state-out own.moments -o own.delta");
    let shown = talk(&output);
    for part in ["--recipe=run.toml", "--model=theta-0", "--shard=shards/train-", "--output=own.delta", "--worker=ann"]
    {
        assert!(shown.contains(part), "expected {part} in {shown}");
    }
    assert!(world.has("own.moments") && world.has("own.delta") && world.has("round-0/ann.leaves"));
    assert!(!world.has("round-0/ann.update") && !world.has("round-0/ann.moments"));
    // And a delta becomes the update that training makes at once.
    world.ok("compress 0 ann own.delta");
    let by_hand = world.bytes("round-0/ann.update");
    fs::remove_file(world.path("round-0/ann.update")).unwrap();
    fs::remove_file(world.path("round-0/ann.feedback")).unwrap();
    world.ok("train 0 ann");
    assert_eq!(world.bytes("round-0/ann.update"), by_hand);
    world.expect("train 0 ann", 0, "up to date: round-0/ann.update was made from the same inputs");
    world.expect("train 0 nobody", 66, "nobody");
    world.expect("train 0", 2, "expected a worker: `l402 train 0 WORKER`");
    world.expect("train 0 Ann", 2, "Ann: expected ");
    world.expect("train 0 ann more", 2, "unexpected argument 'more'");
    for (typed, says) in [
        ("train 0 ann --checkpont x", "unexpected argument '--checkpont' found"),
        ("train 0 ann --log", "a value is required for '--log <FILE>'"),
        ("commit 0 ann --revael", "hint: a similar argument exists: '--reveal'"),
        ("assign 3 --beacon", "a value is required for '--beacon <HEX|FILE>'"),
    ] {
        world.expect(typed, 2, says);
    }
    world.expect("train 7 ann", 66, "round 7 has not begun");
    world.expect("aggregate 0", 66, "`l402 score 0` makes it");
    world.expect("train 0 nobody", 66, "assigned are ann, bob, cy");
}

#[test]
fn half_of_what_training_leaves_is_made_again() {
    let world = run_folder(FULL, None);
    world.ok("assign 0 --beacon random");
    world.ok("train 0 ann");
    for kind in ["update", "feedback", "moments", "leaves"] {
        let file = format!("round-0/ann.{kind}");
        let whole = world.bytes(&file);
        fs::remove_file(world.path(&file)).unwrap();
        world.ok("train 0 ann");
        assert_eq!(world.bytes(&file), whole, "{file}");
    }
    // What is in the way stays.
    world.write("round-0/bob.update", b"something else");
    world.expect("train 0 bob", 73, "round-0/bob.update: exists, with other content");
    assert_eq!(world.bytes("round-0/bob.update"), b"something else");
}

#[test]
fn a_beacon_stays_the_one_that_was_drawn() {
    let world = run_folder(FULL, None);
    world.expect("assign 0", 66, "round-0/beacon-a: no such file");
    world.ok("assign 0 --beacon random");
    let drawn = world.bytes("round-0/beacon-a");
    world.ok("assign 0 --beacon random");
    world.ok("assign 0");
    assert_eq!(world.bytes("round-0/beacon-a"), drawn);
    world.expect(&format!("assign 0 --beacon {}", beacon("another")), 73, "round-0/beacon-a: exists: expected ");
    world.expect("assign 0 --beacon today", 2, "--beacon: ");
    assert_eq!(world.bytes("round-0/beacon-a"), drawn);
    // Nothing is drawn for a round that cannot begin.
    world.expect("assign 1 --beacon random", 66, "theta-1: no such file: round 1 begins with it");
    assert!(!world.has("round-1"));
}

#[test]
fn a_list_that_pay_depends_on_is_left_out_aloud_or_not_at_all() {
    let world = run_folder(FULL, None);
    train_and_commit(&world, 0);
    let score = format!("score 0 --beacon {}", beacon("second 0"));
    world.expect(&score, 1, "round-0/findings.jsonl: no such file: what counts depends on it");
    world.ok("replay 0 ann");
    world.ok("replay 0 bob");
    world.expect(&score, 1, "expected a finding on round-0/cy.update, found none");
    assert!(!world.has("round-0/scores.jsonl"));
    world.expect(&format!("{score} --without findings"), 0, "does not count: update of cy");
    world.expect(
        &format!("{score} --without luck"),
        2,
        "--without luck: expected one of closing, commitments, findings, held, reveals",
    );
    world.expect(
        "score --recipe run.toml --model theta-0 --val v --without findings",
        2,
        "expected a round of a run folder",
    );
    fs::remove_file(world.path("round-0/scores.jsonl")).unwrap();
    world.ok("replay 0 cy");
    world.ok("score 0");
    let scores = world.bytes("round-0/scores.jsonl");
    assert!(records(&scores, "score").iter().all(|score| score["counts"] == true));
    // Commitments too.
    let other = run_folder(FULL, None);
    other.ok("assign 0 --beacon random");
    for who in WORKERS {
        other.ok(&format!("train 0 {who}"));
        other.ok(&format!("replay 0 {who}"));
    }
    other.expect("score 0 --beacon random", 1, "round-0/commitments.jsonl: no such file: what counts depends on it");
    other.expect("score 0 --beacon random --without commitments", 0, "scored without commitments");
    // Nobody has shown its work: that was forgotten. One who alone does not, holds up nobody.
    fs::remove_file(other.path("round-0/scores.jsonl")).unwrap();
    WORKERS.iter().for_each(|who| drop(other.ok(&format!("commit 0 {who}"))));
    other.expect("score 0", 75, "`l402 commit 0 ann --reveal` opens one");
    other.ok("commit 0 ann --reveal");
    other.expect("score 0", 0, "bob has committed, and not opened it");
}

#[test]
fn a_list_is_put_together_of_what_each_has_sent_and_nobodys_rubbish_costs_another() {
    let world = run_folder(FULL, None);
    train_and_commit(&world, 0);
    // What stands in the list stays first.
    world.write("round-0/commitments.jsonl", &world.bytes("round-0/cy.commitment"));
    let mut flooded = String::from("rubbish\n");
    for n in 0..40 {
        flooded += &format!("{{\"type\":\"commitment\",\"v\":1,\"x\":{n}}}\n");
    }
    let own = String::from_utf8(world.bytes("round-0/bob.commitment")).unwrap();
    world.write("round-0/bob.commitment", (own + &flooded).as_bytes());
    world.write("round-0/mallory.commitment", &vec![b'x'; 3 << 20]);
    std::os::unix::fs::symlink("/dev/zero", world.path("round-0/zero.commitment")).unwrap();
    WORKERS.iter().for_each(|who| drop(world.ok(&format!("replay 0 {who}"))));
    let said = talk(&world.ok("score 0 --beacon random"));
    for says in ["bob.commitment:2: not a JSON record", "mallory.commitment"] {
        assert!(said.contains(says), "expected {says:?} in {said}");
    }
    let list = world.bytes("round-0/commitments.jsonl");
    let commitments = records(&list, "commitment");
    let workers: Vec<&str> = commitments.iter().filter_map(|record| record["worker"].as_str()).collect();
    assert_eq!(workers, ["cy", "ann", "bob"]);
    assert_eq!(records(&list, "reveal").len(), 3);
    let scores = world.bytes("round-0/scores.jsonl");
    assert!(records(&scores, "score").iter().all(|score| score["counts"] == true));
}

#[test]
fn a_worker_goes_on_from_its_last_update_that_counted() {
    let world = run_folder(FULL, None);
    play(&world, 0);
    // bob's second update does not count: nobody finds it exact.
    train_and_commit(&world, 1);
    world.ok("replay 1 ann");
    world.ok("replay 1 cy");
    world.ok("score 1 --beacon random --without findings");
    world.ok("aggregate 1");
    train_and_commit(&world, 2);
    let shown = |args: &str| talk(&world.ok(&format!("-v {args}")));
    let said = shown("replay 2 bob");
    for state in ["--previous=round-0/bob.update", "--state=round-0/bob.moments", "--state=round-0/bob.feedback"] {
        assert!(said.contains(state), "expected {state} in {said}");
    }
    assert!(said.contains("exact: round-2/bob.update"), "{said}");
    let said = shown("replay 2 ann");
    assert!(said.contains("--previous=round-1/ann.update") && said.contains("exact: "), "{said}");
    // Another's error feedback is refused before the work, and nothing is left of it.
    let states = "--state round-1/ann.moments --state round-1/cy.feedback";
    world.expect(
        &format!("train 2 ann --force {states} --leaves l --state-out m --feedback f --update u"),
        1,
        "state: worker: expected ann, found cy",
    );
    assert!(!world.has("l") && !world.has("m") && !world.has("u"));
    // Who has never counted begins from zero, and that is said to be so, not assumed.
    let scores = String::from_utf8(world.bytes("round-0/scores.jsonl")).unwrap();
    world.write("round-0/scores.jsonl", scores.replace("\"counts\":true", "\"counts\":false").as_bytes());
    let output = world.run("-v replay 2 bob -o -");
    assert!(talk(&output).contains("--from-zero"), "{}", talk(&output));
    assert_eq!(output.status.code(), Some(1), "{}", talk(&output));
    fs::remove_file(world.path("round-0/scores.jsonl")).unwrap();
    world.expect("train 2 bob --force", 66, "round-0/scores.jsonl: no such file: which state does round 2 begin with?");
}

#[test]
fn validators_score_by_their_names_and_anybody_merges() {
    let world = run_folder(FULL, None);
    let mut recipe = String::from_utf8(world.bytes("run.toml")).unwrap();
    for name in ["val1", "val2"] {
        fs::create_dir_all(world.path(&format!("../world-private/{name}"))).unwrap();
        let key = world.text(&format!("key ../world-private/{name}/key"));
        recipe += &format!("[[score.validators]]\nkey = \"{}\"\n", key.trim());
    }
    world.write("run.toml", recipe.replace("[pay]\nround_msat = 1000000\n", "").as_bytes());
    world.ok("recipe check run.toml");
    train_and_commit(&world, 0);
    // Where there are validators, what none of them has signed is no finding.
    WORKERS.iter().for_each(|who| drop(world.ok(&format!("replay 0 {who}"))));
    world.expect(&format!("score 0 val1 --beacon {}", beacon("second 0")), 1, "expected a finding on");
    WORKERS.iter().for_each(|who| drop(world.ok(&format!("replay 0 {who} val2 --force"))));
    world.expect("score 0 --consensus", 66, "no scores of a validator");
    world.ok(&format!("score 0 val1 --beacon {}", beacon("second 0")));
    world.ok("score 0 val2");
    world.expect("score 0 nobody", 66, "world-private/nobody: expected lightning-rpc");
    world.ok("score 0 --consensus");
    assert_eq!(records(&world.bytes("round-0/scores.jsonl"), "score").len(), 3);
    world.ok("aggregate 0");
    world.expect("audit", 0, "equal: ");
}

/// The strangers' parts are as large as a part can be, of records in canonical form: nobody's pay hangs on them.
#[test]
fn fat_parts_fill_no_list() {
    let world = run_folder(FULL, None);
    train_and_commit(&world, 0);
    WORKERS.iter().for_each(|who| drop(world.ok(&format!("replay 0 {who}"))));
    let line = |kind: &str| format!("{{\"pad\":\"{}\",\"type\":\"{kind}\",\"v\":1}}\n", "x".repeat(130_000));
    let own = String::from_utf8(world.bytes("round-0/ann.commitment")).unwrap();
    for n in 0..12 {
        for (ending, kind) in [("commitment", "commitment"), ("reveal", "reveal"), ("finding", "finding")] {
            // Another's true record too, under a name of one's own.
            world.write(&format!("round-0/m{n}.{ending}"), (line(kind).repeat(7) + &own).as_bytes());
        }
    }
    let said = talk(&world.ok("score 0 --beacon random"));
    assert!(said.contains("m0.commitment: 8 records that are none of m0 here"), "{said}");
    let scores = world.bytes("round-0/scores.jsonl");
    assert!(records(&scores, "score").iter().all(|score| score["counts"] == true));
    assert!(world.bytes("round-0/commitments.jsonl").len() < 10_000);
    assert_eq!(records(&world.bytes("round-0/findings.jsonl"), "finding").len(), 3);
}

/// Who made a folder could lead a link to what its reader keeps to itself.
#[test]
fn a_link_in_a_run_is_no_file_of_it_and_nothing_secret_is_said() {
    let world = run_folder(FULL, None);
    train_and_commit(&world, 0);
    WORKERS.iter().for_each(|who| drop(world.ok(&format!("replay 0 {who}"))));
    let key = String::from_utf8(world.bytes("../world-private/coordinator/key")).unwrap();
    let link = |name: &str| {
        let _ = fs::remove_file(world.path(name));
        std::os::unix::fs::symlink(world.path("../world-private/coordinator/key"), world.path(name)).unwrap();
    };
    link("round-0/beacon-b");
    let output = world.expect("score 0", 2, "round-0/beacon-b: expected a regular file");
    assert!(!talk(&output).contains(key.trim()) && !world.has("round-0/scores.jsonl"));
    fs::remove_file(world.path("round-0/beacon-b")).unwrap();
    let _ = fs::remove_file(world.path("round-0/commitments.jsonl"));
    link("round-0/ann.commitment");
    link("coordinator.pub");
    let said = talk(&world.run("score 0 --beacon random"));
    assert!(!said.contains(key.trim()), "{said}");
    let lists = ["commitments.jsonl", "scores.jsonl"].map(|name| world.path("round-0").join(name));
    for list in lists.iter().filter(|list| list.exists()) {
        assert!(!fs::read_to_string(list).unwrap().contains(key.trim()));
    }
    // Nor is a secret key said that lies where a public one is expected.
    fs::remove_file(world.path("coordinator.pub")).unwrap();
    world.write("coordinator.pub", key.as_bytes());
    let output = world.expect("replay 0 ann", 65, "coordinator.pub: expected a public key");
    assert!(!talk(&output).contains(key.trim()));
    world.expect("train 0 judge", 2, "judge: the name of a party of its own");
    world.expect("new other --config config.json --text corpus.txt --workers payer", 2, "payer is the name of a party");
    world.expect("aggregate 18446744073709551615", 2, "no round");
}
