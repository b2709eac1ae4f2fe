//! `recipes/ci-replay.sh`: the exit status is the result, the finding is JSON on request.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{FULL, WORKERS, World, records, talk};

/// Two honest rounds in the layout of a run folder.
fn run_folder() -> World {
    let world = World::new(FULL);
    world.play(0);
    world.play(1);
    let copy = |from: &str, to: &str| world.write(&format!("run/{to}"), &world.bytes(from));
    for folder in ["shards", "theta-0", "theta-1"] {
        world.copy_folder(folder, &format!("run/{folder}"));
    }
    copy("r.toml", "run.toml");
    world.write("run/coordinator.pub", world.coordinator.as_bytes());
    for n in 0..2 {
        fs::create_dir_all(world.path(&format!("run/round-{n}"))).unwrap();
        ["assignments", "scores"]
            .iter()
            .for_each(|list| copy(&format!("{n}.{list}.jsonl"), &format!("round-{n}/{list}.jsonl")));
        for who in WORKERS {
            for kind in ["update", "feedback", "moments"] {
                copy(&format!("{who}.{n}.{kind}"), &format!("round-{n}/{who}.{kind}"));
            }
        }
    }
    world
}

fn ci(world: &World, args: &str) -> Output {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/ci-replay.sh"))
        .args(args.split_whitespace())
        .current_dir(world.path("."))
        .env("L402", env!("CARGO_BIN_EXE_l402"))
        .env_remove("GITHUB_ACTIONS")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[track_caller]
fn ends(output: &Output, code: i32, says: &str) {
    let all = format!("{}{}", String::from_utf8_lossy(&output.stdout), talk(output));
    assert_eq!(output.status.code(), Some(code), "{all}");
    assert!(all.contains(says), "{all}");
    assert!(all.lines().count() <= 2, "{all}");
}

#[test]
fn a_pipeline_passes_for_an_exact_update_and_fails_for_another() {
    let world = run_folder();
    for round in ["0", "1"] {
        ends(&ci(&world, &format!("run {round} ann")), 0, "exact");
    }
    let finding = ci(&world, "--json run 1 ann");
    assert_eq!(finding.status.code(), Some(0));
    assert_eq!(records(&finding.stdout, "finding")[0]["finding"], "exact");

    // Another's work under one's own name.
    world.write("run/round-1/ann.update", &world.bytes("bob.1.update"));
    ends(&ci(&world, "run 1 ann"), 1, "mismatch: worker");
    let finding = ci(&world, "--json run 1 ann");
    assert_eq!(finding.status.code(), Some(1));
    assert_eq!(records(&finding.stdout, "finding")[0]["finding"], "mismatch");
    // Files from elsewhere are named by their flags.
    ends(&ci(&world, "run 1 ann -- --update ann.1.update"), 0, "exact");
    ends(&ci(&world, "run 1 ann -- --update ann.1.update --from-zero"), 1, "state (");
    // An earlier update without the states that it left is half a statement.
    let half = "run 1 ann -- --update ann.1.update --previous run/round-0/ann.update --state run/round-0/ann.moments";
    ends(&ci(&world, half), 2, "--previous left, found none");
    // And what pipelines show.
    ends(&ci(&world, "run 1 bob -- --junit checks.xml"), 0, "exact");
    let checks = String::from_utf8(world.bytes("checks.xml")).unwrap();
    assert!(checks.contains("tests=\"1\" failures=\"0\" errors=\"0\"") && checks.contains("bob.update"), "{checks}");
}

#[test]
fn what_is_missing_and_what_makes_no_sense_have_their_exit_codes() {
    let world = run_folder();
    ends(&ci(&world, "run 7 ann"), 66, "round 7 has not begun");
    ends(&ci(&world, "run 0 nobody"), 66, "nobody");
    for args in ["", "run 0", "run x ann", "run 0 ../ann", "run 0 ann more", "--unknown run 0 ann"] {
        ends(&ci(&world, args), 2, "usage");
    }
    ends(&ci(&world, &format!("--coordinator {} run 0 ann", "02".repeat(33))), 1, "field coordinator");
}

#[test]
fn the_script_is_plain_sh() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/ci-replay.sh");
    assert!(Command::new("sh").arg("-n").arg(&script).status().unwrap().success());
    // Where the linter is installed, it has nothing to say.
    if let Ok(lint) = Command::new("shellcheck").args(["-s", "sh"]).arg(&script).output() {
        assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
    }
}
