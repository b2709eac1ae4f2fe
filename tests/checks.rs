//! What pipelines are told: `replay --all`, JUnit files, annotations and summaries; and the workflow that the recipes show.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{CONFIG, FULL, WORKERS, World, corpus, recipe, talk};

/// One round, in which bob hands in ann's work under his name.
fn round_with_a_liar() -> World {
    let world = World::new(FULL);
    world.begin_run();
    world.ok("assign 0 --beacon random");
    WORKERS.iter().for_each(|who| drop(world.ok(&format!("train 0 {who}"))));
    let other = world.bytes("round-0/cy.update");
    world.write("round-0/bob.update", &other);
    world
}

/// Elements of a JUnit file: the cases by name, and what went wrong with them.
fn cases(xml: &str) -> Vec<(String, Option<String>)> {
    let attribute = |text: &str, name: &str| {
        let rest = text.split_once(&format!(" {name}=\""))?.1;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    let of = |case: &str| {
        let case = case.split("</testcase>").next().unwrap();
        let wrong = case.split_once("<failure").or(case.split_once("<error")).map(|(_, rest)| rest);
        (attribute(case, "name").unwrap(), wrong.and_then(|rest| attribute(rest, "message")))
    };
    xml.split("<testcase").skip(1).map(|case| of(&format!(" {case}"))).collect()
}

#[test]
fn all_updates_of_a_round_are_replayed_and_one_lie_does_not_hide_another() {
    let world = round_with_a_liar();
    fs::remove_file(world.path("round-0/cy.update")).unwrap();
    let output =
        world.expect("replay 0 --all --junit checks.xml", 1, "round 0: 1 updates are not what their work makes");
    for says in ["ann: exact, ", "bob: ", "mismatch: worker", "round 0: no update of cy"] {
        assert!(talk(&output).contains(says), "expected {says:?} in {}", talk(&output));
    }
    let xml = String::from_utf8(world.bytes("checks.xml")).unwrap();
    let found = cases(&xml);
    assert_eq!(found[0], ("ann".to_owned(), None));
    assert!(found[1].0 == "bob" && found[1].1.as_ref().unwrap().contains("mismatch: worker: expected bob"), "{xml}");
    assert!(
        xml.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\"") && xml.contains("<skipped message"),
        "{xml}"
    );
    // The findings are where `score` looks for them, and what cannot be replayed is no finding.
    assert!(world.has("round-0/ann.finding") && world.has("round-0/bob.finding"));
    world.write("round-0/bob.update", b"rubbish");
    fs::remove_file(world.path("round-0/bob.finding")).unwrap();
    fs::remove_file(world.path("shards/train-00000.safetensors")).unwrap();
    let output = world.run("replay 0 --all --junit checks.xml");
    assert!(matches!(output.status.code(), Some(1 | 66)), "{}", talk(&output));
    WORKERS.iter().for_each(|who| drop(fs::remove_file(world.path(&format!("round-0/{who}.update")))));
    world.expect("replay 0 --all", 66, "no update to replay");
    world.expect("replay --all --recipe run.toml --model theta-0 --shards shards", 2, "expected --assignments FILE");
    world.expect("replay 0 ann --all", 2, "unexpected argument 'ann'");
}

#[test]
fn audits_and_selftests_say_their_checks() {
    let world = World::new(FULL);
    world.begin_run();
    world.ok("assign 0 --beacon random");
    for who in WORKERS {
        world.ok(&format!("train 0 {who}"));
        world.ok(&format!("commit 0 {who}"));
    }
    WORKERS.iter().for_each(|who| drop(world.ok(&format!("commit 0 {who} --reveal"))));
    WORKERS.iter().for_each(|who| drop(world.ok(&format!("replay 0 {who}"))));
    world.ok("score 0 --beacon random");
    world.ok("aggregate 0");
    world.ok("audit --junit audit.xml");
    let xml = String::from_utf8(world.bytes("audit.xml")).unwrap();
    assert_eq!(cases(&xml), [("round 0".to_owned(), None), ("all of it".to_owned(), None)], "{xml}");
    let scores = String::from_utf8(world.bytes("round-0/scores.jsonl")).unwrap();
    world.write("round-0/scores.jsonl", scores.replacen("\"sequences\":", "\"sequences\":1", 1).as_bytes());
    world.expect("audit --junit audit.xml", 1, "round-0/scores.jsonl");
    let xml = String::from_utf8(world.bytes("audit.xml")).unwrap();
    assert!(
        cases(&xml).iter().any(|(_, wrong)| wrong.as_ref().is_some_and(|why| why.contains("scores.jsonl"))),
        "{xml}"
    );
    world.expect("audit --junit nowhere/audit.xml", 66, "nowhere: no such directory");
    world.ok("selftest --junit selftest.xml");
    let xml = String::from_utf8(world.bytes("selftest.xml")).unwrap();
    assert!(cases(&xml).iter().all(|(_, wrong)| wrong.is_none()) && cases(&xml).len() > 20, "{xml}");
}

#[test]
fn under_github_actions_what_failed_is_annotated_and_the_job_has_a_summary() {
    let world = round_with_a_liar();
    let run = |args: &str, actions: &str| {
        let mut command = world.command(args);
        command.env("GITHUB_ACTIONS", actions).env("GITHUB_STEP_SUMMARY", world.path("summary.md")).output().unwrap()
    };
    let output = run("replay 0 --all", "true");
    assert_eq!(output.status.code(), Some(1));
    let said = talk(&output);
    let annotations: Vec<&str> = said.lines().filter(|line| line.starts_with("::")).collect();
    assert_eq!(annotations.len(), 1, "{said}");
    assert!(annotations[0].starts_with("::error title=l402 replay round 0%3A bob::"), "{said}");
    assert!(output.stdout.is_empty(), "standard output is for artifacts");
    let summary = String::from_utf8(world.bytes("summary.md")).unwrap();
    assert!(summary.contains("| ann | passed | ") && summary.contains("| bob | **failed**: "), "{summary}");
    // Every verb adds to it, and elsewhere nothing is said.
    run("selftest", "true");
    assert!(String::from_utf8(world.bytes("summary.md")).unwrap().starts_with(&summary));
    assert!(!talk(&run("replay 0 bob -o -", "false")).contains("::error"));
}

#[test]
fn what_others_wrote_is_no_command_to_a_runner() {
    let world = World::empty();
    let line = |worker: &str| format!("{{\"type\":\"x\",\"v\":1,\"worker\":\"{worker}\"}}\n");
    world.write("vile.jsonl", ["::stop-commands::x", "##[add-mask]a", " ::error::b"].map(line).concat().as_bytes());
    let shown = |args: &str, actions: &str| {
        let output = world.command(args).env("GITHUB_ACTIONS", actions).output().unwrap();
        String::from_utf8(output.stdout.clone()).unwrap() + &talk(&output)
    };
    let said = shown("inspect --field worker vile.jsonl", "true");
    assert_eq!(said, "\\::stop-commands::x\n##\\[add-mask]a\n \\::error::b\n");
    assert_eq!(shown("inspect --field worker vile.jsonl", "false"), "::stop-commands::x\n##[add-mask]a\n ::error::b\n");
    let named = shown("inspect ##[error]x", "true");
    assert!(named.contains("##\\[error]x") && !named.contains("##["), "{named}");
    // A name in JSON is the same name, written otherwise.
    world.write("##[error]x.jsonl", line("ann").as_bytes());
    let [heard, said] = ["false", "true"].map(|actions| shown("inspect --json ##[error]x.jsonl", actions));
    assert!(heard.contains("\"##[error]x.jsonl\"") && !said.contains("##["), "{said}");
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(value(&heard), value(&said));
}

#[test]
fn the_steps_of_the_workflow_run_as_they_stand() {
    let world = World::new(FULL);
    world.begin_run();
    world.ok("assign 0 --beacon random");
    WORKERS.iter().for_each(|who| drop(world.ok(&format!("train 0 {who}"))));
    let place = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(world.path(""), place.path().join("run")).unwrap();
    let workflow = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/github.yml")).unwrap();
    let steps: Vec<&str> =
        workflow.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("run: ")).collect();
    assert_eq!(steps.len(), 4);
    let program = Path::new(env!("CARGO_BIN_EXE_l402")).parent().unwrap();
    // A crate of this name may be installed from wherever one trusts.
    for step in steps.iter().filter(|step| !step.starts_with("cargo install ")) {
        let done = Command::new("sh")
            .args(["-eu", "-c", step])
            .current_dir(place.path())
            .env("PATH", format!("{}:{}", program.display(), std::env::var("PATH").unwrap()))
            .env("COORDINATOR", &world.coordinator)
            .env("ROUND", "0")
            .env("RUNNER_TEMP", place.path())
            .env_remove("GITHUB_ACTIONS")
            .output()
            .unwrap();
        assert!(done.status.success(), "{step}: {}", talk(&done));
    }
    for file in ["selftest.xml", "replay.xml", "audit.xml"] {
        assert!(place.path().join(file).is_file(), "{file}");
    }
}

#[test]
fn the_stages_under_dvc_run_as_they_stand_and_make_what_they_name() {
    let world = World::empty();
    world.write("config.json", CONFIG.as_bytes());
    world.write("corpus.txt", &corpus()[..24_000]);
    world.write("small.toml", recipe(FULL, "").as_bytes());
    world.ok("new run --config config.json --text corpus.txt --recipe small.toml --workers alice");
    world.ok("--run run assign 0 --beacon random");
    let stages = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/dvc.yaml")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_l402")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let commands: Vec<&str> = stages.lines().filter_map(|line| line.trim().strip_prefix("cmd: ")).collect();
    assert_eq!(commands.len(), 2);
    for command in commands {
        let done =
            Command::new("sh").args(["-eu", "-c", command]).current_dir(world.path("")).env("PATH", &path).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{command}: {}", talk(&done));
    }
    let named = stages.lines().filter_map(|line| line.trim().strip_prefix("- ")).filter(|name| !name.contains(':'));
    for file in named {
        assert!(world.has(file), "{file}");
    }
}
