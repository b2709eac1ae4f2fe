//! `recipes/round.mk` under GNU make: in parallel, and after a kill at any moment.

mod common;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{FULL, World, beacon, draw};

fn make(world: &World) -> Command {
    let mut command = Command::new("make");
    command
        .args(["--silent", "-j4", "-f"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/round.mk"))
        .arg(format!("RUN={}", world.path(".").display()))
        .arg(format!("L402={} --quiet", env!("CARGO_BIN_EXE_l402")))
        // The same beacons every time, so that two runs can be compared.
        .arg(format!("random=printf {}", beacon("make")))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0);
    command
}

/// A world before its first round under make, with its keys taken from another so that both make the same bytes.
fn world(like: Option<&World>) -> World {
    let world = World::new(FULL);
    std::fs::rename(world.path("r.toml"), world.path("run.toml")).unwrap();
    if let Some(like) = like {
        for name in ["coordinator.key", "ann.key", "bob.key", "cy.key", "roster.jsonl"] {
            std::fs::copy(like.path(name), world.path(name)).unwrap();
        }
    }
    world
}

fn finish(world: &World) {
    let output = make(world).output().unwrap();
    assert!(output.status.success(), "{}", common::talk(&output));
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
    assert_eq!(output.status.code(), Some(0), "{}", common::talk(&output));
}
