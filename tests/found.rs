//! What lies in a run folder is there by others' doing: where a file is expected and a pipe, a socket or a device lies, no verb waits
//! for it.

mod common;

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};

use common::{FULL, WORKERS, World, talk};

/// A round of which everything is there but the scores.
fn replayed() -> World {
    let world = World::new(FULL);
    world.begin_run();
    world.ok("assign 0 --beacon random");
    for who in WORKERS {
        world.ok(&format!("train 0 {who}"));
        world.ok(&format!("commit 0 {who}"));
    }
    for who in WORKERS {
        world.ok(&format!("commit 0 {who} --reveal"));
        world.ok(&format!("replay 0 {who}"));
    }
    world
}

/// Puts a pipe that nobody writes to in the place of a file.
fn pipe(world: &World, name: &str) -> Vec<u8> {
    let before = fs::read(world.path(name)).unwrap_or_default();
    let _ = fs::remove_file(world.path(name));
    assert!(Command::new("mkfifo").arg(world.path(name)).status().unwrap().success());
    before
}

/// Runs it, and ends it where it waits.
fn within(world: &World, args: &str) -> Output {
    let output = Command::new("timeout")
        .args(["--signal=KILL", "60", env!("CARGO_BIN_EXE_l402")])
        .args(args.split_whitespace())
        .current_dir(world.path(""))
        .output()
        .unwrap();
    assert!(output.status.code().is_some_and(|code| code < 128), "{args} waits: {}", talk(&output));
    output
}

#[test]
fn a_pipe_in_the_place_of_an_artifact_is_refused_by_name_and_never_waited_for() {
    let world = replayed();
    world.ok("score 0 --beacon random");
    world.ok("aggregate 0");
    world.ok("assign 1 --beacon random");
    // Where it is, and what is asked of it then: each is refused, and says what it misses or what it found.
    for (name, verbs) in [
        ("round-0/ann.update", &["replay 0 ann --force", "commit 0 ann --force"][..]),
        ("round-0/ann.finding", &["replay 0 ann"]),
        ("round-0/assignments.jsonl", &["train 0 ann", "score 0 --force", "replay 0 --all"]),
        ("round-0/scores.jsonl", &["aggregate 0 --force", "train 1 ann"]),
        ("theta-1/config.json", &["train 1 ann"]),
        ("theta-1/model.safetensors", &["train 1 ann"]),
        ("shards/shards.jsonl", &["assign 1 --force"]),
        ("shards/val-00000.safetensors", &["score 0 --force"]),
        ("roster.jsonl", &["assign 1 --force"]),
    ] {
        let before = pipe(&world, name);
        for verb in verbs {
            let output = within(&world, verb);
            assert_ne!(output.status.code(), Some(0), "{name}: {verb}: {}", talk(&output));
            assert!(talk(&output).contains(name), "{name}: {verb}: {}", talk(&output));
        }
        // Nor do those wait that read all of it.
        for verb in ["status", "report -o r.html --force", "explain 0 ann", "audit"] {
            within(&world, verb);
        }
        fs::remove_file(world.path(name)).unwrap();
        world.write(name, &before);
    }
    let refused = "round-0/ann.update: expected a regular file, found a pipe";
    pipe(&world, "round-0/ann.update");
    world.expect("replay 0 ann --force", 65, refused);
    fs::remove_file(world.path("round-0/ann.update")).unwrap();
    let _listener = UnixListener::bind(world.path("round-0/ann.update")).unwrap();
    world.expect("replay 0 ann --force", 65, "round-0/ann.update: expected a regular file, found a socket");
}

#[test]
fn nor_where_killed_writers_leave_what_they_made_nor_where_a_shell_asks() {
    let world = replayed();
    // What a name says is a temporary of the output.
    pipe(&world, "round-0/.scores.jsonl.l402-tmp.x");
    pipe(&world, "round-0/.beacon-b.l402-tmp.x");
    pipe(&world, ".theta-1.l402-tmp.x");
    let output = within(&world, "score 0 --beacon random");
    assert_eq!(output.status.code(), Some(0), "{}", talk(&output));
    assert_eq!(within(&world, "aggregate 0").status.code(), Some(0));
    pipe(&world, "roster.jsonl");
    let asked = Command::new("timeout")
        .args(["--signal=KILL", "60", env!("CARGO_BIN_EXE_l402"), "--", "l402", "train", "0", ""])
        .env("L402_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", "3")
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_COMPLETE_SPACE", "true")
        .env("_CLAP_IFS", "\n")
        .current_dir(world.path(""))
        .output()
        .unwrap();
    assert_eq!(asked.status.code(), Some(0), "{}", talk(&asked));
}

#[test]
fn a_folder_of_lists_has_no_pipes_and_who_names_a_pipe_may() {
    let world = replayed();
    fs::create_dir(world.path("inbox")).unwrap();
    let parts = WORKERS.iter().flat_map(|who| [format!("round-0/{who}.commitment"), format!("round-0/{who}.reveal")]);
    world.write("inbox/a.jsonl", &parts.flat_map(|name| world.bytes(&name)).collect::<Vec<u8>>());
    pipe(&world, "inbox/b.jsonl");
    let output = within(&world, "score 0 --beacon random --commitments inbox");
    assert_eq!(output.status.code(), Some(0), "{}", talk(&output));
    // A process substitution, and a pipe of one's own.
    let assign = "\"$0\" -q assign --recipe run.toml --round 0 --shards shards --beacon $(printf %064d 7) --workers";
    let script = format!("{assign} <(cat roster.jsonl); mkfifo p; cat roster.jsonl > p & {assign} ./p");
    let named = Command::new("bash")
        .args(["-c", &script, env!("CARGO_BIN_EXE_l402")])
        .current_dir(world.path(""))
        .output()
        .unwrap();
    let assigned = String::from_utf8_lossy(&named.stdout);
    assert_eq!(assigned.matches("\"worker\":\"bob\"").count(), 2, "{assigned}{}", talk(&named));
}
