//! `recipes/round.mk` under GNU make: in parallel, and after a kill at any moment.

mod common;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{FULL, Kind, World, beacon, draw, records, talk};

fn recipe() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/round.mk")
}

fn make(world: &World) -> Command {
    let mut command = bare();
    command.arg("-f").arg(recipe()).arg(format!("RUN={}", world.path(".").display()));
    command
}

/// Without the recipe's name and folder.
fn bare() -> Command {
    let mut command = Command::new("make");
    command
        .args(["--silent", "-j4"])
        .arg(format!("L402={} --quiet", env!("CARGO_BIN_EXE_l402")))
        // The same beacons every time, so that two runs can be compared.
        .args(["BEACON_A", "BEACON_B"].map(|name| format!("{name}={}", beacon("make"))))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0);
    command
}

/// A world before its first round under make, with its keys taken from another so that both make the same bytes.
fn world(like: Option<&World>) -> World {
    world_of(FULL, like)
}

fn world_of(kind: Kind, like: Option<&World>) -> World {
    let world = World::new(kind);
    if let Some(like) = like {
        for who in ["coordinator", "ann", "bob", "cy"] {
            fs::copy(like.path(&format!("../world-private/{who}/key")), world.path(&format!("{who}.key"))).unwrap();
        }
        fs::copy(like.path("roster.jsonl"), world.path("roster.jsonl")).unwrap();
    }
    world.begin_run();
    world
}

fn finish(world: &World) {
    let output = make(world).output().unwrap();
    assert!(output.status.success(), "{}", talk(&output));
}

#[test]
fn a_round_that_was_killed_goes_on_where_it_stopped_and_makes_the_same_bytes() {
    let whole = world(None);
    finish(&whole);
    let scores = whole.text("inspect --json round-0/scores.jsonl");
    assert!(scores.contains("\"score\":3"), "{scores}");
    let files = ["scores.jsonl", "ann.update", "bob.feedback", "cy.moments", "findings.jsonl", "commitments.jsonl"];

    for attempt in 0..3 {
        let killed = world(Some(&whole));
        let mut child = make(&killed).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + draw(&format!("kill {attempt}"), 400) as u64));
        // The whole process group, as a machine that goes down takes everything with it.
        let group = format!("-{}", child.id());
        Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status().unwrap();
        child.wait().unwrap();
        finish(&killed);
        for name in files {
            let name = format!("round-0/{name}");
            assert_eq!(killed.bytes(&name), whole.bytes(&name), "{name}");
        }
        assert_eq!(killed.tree("theta-1"), whole.tree("theta-1"));
    }

    // Once more: nothing is left to do.
    let output = make(&whole).arg("--question").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", talk(&output));
}

/// Ends as it should not, and says this.
fn refused(command: &mut Command, says: &str) {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", talk(&output));
    assert!(talk(&output).contains(says), "expected {says:?} in {}", talk(&output));
}

fn edit(world: &World, name: &str, change: impl Fn(String) -> String) {
    let text = String::from_utf8(world.bytes(name)).unwrap();
    world.write(name, change(text).as_bytes());
}

#[test]
fn a_recipe_of_defaults_makes_a_round_and_no_state_that_it_does_not_carry() {
    let world = world_of(Kind { state: "reset", ..FULL }, None);
    // What a comment or a name says is no field.
    let speaks = "# momentum = 0.9\n[outer] # momentum = 0.5\nlr = 1.0 # momentum = 0.1\n";
    edit(&world, "run.toml", |text| text.replace("state = \"reset\"\n", "") + speaks);
    refused(make(&world).arg("DEVICE=gpu"), "expected auto, cpu, cuda or cuda:N");
    let output = make(&world).arg("DEVICE=cpu").output().unwrap();
    assert!(output.status.success(), "{}", talk(&output));
    assert_eq!(records(&world.bytes("round-0/scores.jsonl"), "score").len(), 3);
    assert!(world.has("round-0/ann.feedback") && !world.has("round-0/ann.moments"));
    let output = make(&world).arg("ROUND=1").output().unwrap();
    assert!(output.status.success(), "{}", talk(&output));
    assert!(world.has("theta-2/config.json") && !world.has("round-1/outer.momentum"));
}

#[test]
fn names_with_spaces_are_refused_where_make_splits_them_and_a_roster_is_read_as_people_write_it() {
    let world = world(None);
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("a run");
    std::os::unix::fs::symlink(world.path("."), &folder).unwrap();
    refused(
        bare().arg("-f").arg(recipe()).arg(format!("RUN={}", folder.display())),
        "a folder without spaces in its name",
    );
    edit(&world, "roster.jsonl", |text| text.replace("\"worker\":", "\"worker\": "));
    let output = bare().arg("-C").arg(&folder).arg("-f").arg(recipe()).output().unwrap();
    assert!(output.status.success(), "{}", talk(&output));
    assert_eq!(records(&world.bytes("round-0/scores.jsonl"), "score").len(), 3);
    world.expect(&format!("audit . --coordinator {}", world.coordinator), 0, "");
    edit(&world, "roster.jsonl", |text| text.replace("\"v\"", "v"));
    refused(&mut make(&world), "roster.jsonl:1: not a JSON record");
}

#[test]
fn a_round_that_lacks_what_it_begins_with_draws_no_beacon() {
    let world = world(None);
    for (round, missing) in [("7", "theta-7: no such file"), ("x", "ROUND=x: expected a number")] {
        refused(make(&world).arg(format!("ROUND={round}")), missing);
    }
    world.copy_folder("theta-0", "theta-1");
    refused(make(&world).arg("ROUND=1"), "round-0/scores.jsonl: no such file");
    fs::remove_dir_all(world.path("theta-1")).unwrap();
    fs::remove_file(world.path("../world-private/coordinator/key")).unwrap();
    refused(&mut make(&world), "world-private/coordinator: expected lightning-rpc");
    assert!(!world.listing(".").iter().any(|name| name.starts_with("round-")));
}

#[test]
fn jobs_at_a_time_share_the_cores() {
    let world = world(None);
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {}\nexec {} --quiet \"$@\"\n",
        world.path("log").display(),
        env!("CARGO_BIN_EXE_l402")
    );
    world.write("logged", script.as_bytes());
    let l402 = format!("L402=sh {}", world.path("logged").display());
    let output = make(&world).args(["-j2", &l402]).output().unwrap();
    assert!(output.status.success(), "{}", talk(&output));
    let cores = std::thread::available_parallelism().unwrap().get();
    let expected = format!("--threads {}", (cores / 2).max(1));
    let log = String::from_utf8(world.bytes("log")).unwrap();
    let work: Vec<&str> = log.lines().filter(|line| line.contains(" train ") || line.contains(" replay ")).collect();
    assert_eq!(work.len(), 6, "{log}");
    assert!(work.iter().all(|line| line.contains(&expected)), "{expected}: {log}");
    world.write("log", b"");
    let output = make(&world).args(["-j1", &l402, "ROUND=1"]).output().unwrap();
    assert!(output.status.success(), "{}", talk(&output));
    assert!(!String::from_utf8(world.bytes("log")).unwrap().contains("--threads"));
}

/// The `train` processes that work in this world.
fn training(world: &World) -> Vec<u32> {
    let folder = world.path(".").display().to_string();
    let command = |pid: u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let line = String::from_utf8_lossy(&command(*pid)).into_owned();
        let mut words = line.split('\0');
        words.next().is_some_and(|program| program == env!("CARGO_BIN_EXE_l402"))
            && words.any(|word| word == "train")
            && line.contains(&folder)
    })
    .collect()
}

/// Waits until so many work in this world.
fn wait_for(world: &World, count: usize) -> Vec<u32> {
    let begin = Instant::now();
    loop {
        let found = training(world);
        if found.len() == count {
            return found;
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "expected {count} that train, found {}", found.len());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

#[test]
#[cfg(target_os = "linux")]
fn what_make_has_started_ends_with_it_and_what_outlives_it_is_named() {
    let world = world(None);
    // More than anybody waits for.
    edit(&world, "run.toml", |text| text.replace("steps = 3", "steps = 10000000"));
    let mut child = make(&world).spawn().unwrap();
    wait_for(&world, 3);
    // make alone, as whoever knows its number does.
    kill("-TERM", child.id());
    child.wait().unwrap();
    wait_for(&world, 0);

    let mut child = make(&world).spawn().unwrap();
    let working = wait_for(&world, 3);
    kill("-KILL", child.id());
    child.wait().unwrap();
    assert_eq!(training(&world).len(), 3);
    let output = make(&world).arg("-k").output().unwrap();
    working.iter().for_each(|pid| kill("-KILL", *pid));
    assert_eq!(output.status.code(), Some(2));
    for pid in working {
        assert!(talk(&output).contains(&format!(".update: process {pid} is making it")), "{pid}: {}", talk(&output));
    }
}
