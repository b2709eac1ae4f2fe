//! Long work survives: what is killed goes on at its last checkpoint, and makes the bytes that it would have made undisturbed.

mod common;

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{FULL, World, arithmetic, beacon, draw, recipe, talk};

/// Inner steps of a round here.
const STEPS: usize = 80;
const ADAPTER: &str = "[adapter]\nrank = 4\nalpha = 8\ntargets = [\"q_proj\", \"down_proj\"]\n";

/// How often something is killed, all in all; `L402_TEST_KILLS` says otherwise.
fn kills() -> usize {
    std::env::var("L402_TEST_KILLS").map_or(12, |number| number.parse().expect("L402_TEST_KILLS is a number"))
}

/// The tests' recipe, of many steps with leaves that are no neighbours.
fn long(theta: &str, arithmetic: u32) -> String {
    let text = recipe(FULL, theta).replace("steps = 3\n", &format!("steps = {STEPS}\n"));
    let text = text.replace(&format!("arithmetic = {}", common::arithmetic()), &format!("arithmetic = {arithmetic}"));
    text + "[verify]\nleaf_every = 7\n"
}

/// A world of long rounds, with the first one assigned.
fn world(arithmetic: u32) -> World {
    let world = World::new(FULL);
    let theta = world.text("inspect --field model theta-0");
    world.write("r.toml", long(theta.trim(), arithmetic).as_bytes());
    world.assign(0);
    world
}

/// The same for an adapter of a model.
fn adapter_world() -> World {
    let world = World::new(FULL);
    fs::rename(world.path("theta-0"), world.path("base")).unwrap();
    world.write("r.toml", (long("", arithmetic()) + ADAPTER).as_bytes());
    let theta = world.text("init --recipe r.toml --model base --seed 5 -o theta-0");
    world.write("r.toml", (long(theta.trim(), arithmetic()) + ADAPTER).as_bytes());
    world.assign(0);
    world
}

const OUTPUTS: [&str; 4] = ["delta", "moments", "leaves", "kept"];

/// A worker's training with everything that it can leave.
fn whole(world: &World, n: u64) -> String {
    format!("{} --state-out moments --leaves leaves --openings kept -o delta", world.train(n, "ann"))
}

fn content(world: &World, name: &str) -> Vec<(String, Vec<u8>)> {
    match world.path(name) {
        path if path.is_dir() => world.tree(name),
        path if path.is_file() => vec![(String::new(), world.bytes(name))],
        _ => Vec::new(),
    }
}

fn contents(world: &World, names: &[&str]) -> Vec<Vec<(String, Vec<u8>)>> {
    names.iter().map(|name| content(world, name)).collect()
}

fn remove(world: &World, names: &[&str]) {
    for name in names {
        let path = world.path(name);
        let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
}

/// The steps that a log tells of, in its order.
fn logged(world: &World, name: &str) -> Vec<u64> {
    let text = fs::read_to_string(world.path(name)).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let lines = whole.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["type"] == "step").map(|line| line["step"].as_u64().unwrap()).collect()
}

fn every_step_once() -> Vec<u64> {
    (1..=STEPS as u64).collect()
}

/// Kills it at random moments until it has come to its end in spite of that, again and again until it was killed so often.
/// Each time the outputs must be those of an undisturbed run. Says how often it went on at a checkpoint.
fn survives(world: &World, command: &str, outputs: &[&str], every: &str, kills: usize) -> usize {
    world.run(command);
    let truth = contents(world, outputs);
    assert!(truth.iter().all(|output| !output.is_empty()), "{command}");
    let kept = format!("{command} --checkpoint own --every {every}");
    remove(world, outputs);
    let begun = Instant::now();
    let undisturbed = world.run(&kept);
    let takes = begun.elapsed();
    assert_eq!(contents(world, outputs), truth, "{command}");
    let (mut killed, mut resumed, mut begun) = (0, 0, 0);
    while killed < kills {
        remove(world, outputs);
        remove(world, &["log"]);
        // Each try may take longer than the one before: a machine that has become slow comes to an end too.
        let mut tries = 0;
        let ended = loop {
            let mut child = world.command(&kept).spawn().unwrap();
            (tries, begun) = (tries + 1, begun + 1);
            // By how often it was begun: what was drawn once too long for a kill is not drawn for ever.
            sleep(takes * draw(&format!("{command} {begun}"), 1000) as u32 / 1000 * (8 + tries) / 9);
            let _ = child.kill();
            let output = child.wait_with_output().unwrap();
            resumed += usize::from(talk(&output).contains("goes on after step"));
            match output.status.signal() {
                Some(9) => killed += 1,
                Some(other) => panic!("{command}: signal {other}"),
                None => break output,
            }
        };
        assert_eq!(ended.status.code(), undisturbed.status.code(), "{command}: {}", talk(&ended));
        for (name, truth) in outputs.iter().zip(&truth) {
            assert!(content(world, name) == *truth, "{name} of {command} is not what it is undisturbed");
        }
        assert_eq!(world.listing("own"), [""; 0], "{command}");
        assert!(world.listing(".").iter().all(|name| !name.contains(".l402-tmp.")), "{:?}", world.listing("."));
        if command.contains("--log") {
            assert_eq!(logged(world, "log"), every_step_once());
        }
    }
    resumed
}

#[test]
fn a_training_that_is_killed_at_any_moment_makes_the_bytes_that_it_makes_undisturbed() {
    let mut resumed = 0;
    for (world, every) in [(world(1), "1"), (world(2), "7"), (adapter_world(), "10")] {
        let train = format!("{} --log log", whole(&world, 0));
        resumed += survives(&world, &train, &OUTPUTS, every, kills().div_ceil(4));
    }
    assert!(resumed > 0, "nothing ever went on at a checkpoint");
}

#[test]
fn a_training_with_moments_that_were_carried_on_survives() {
    let world = world(arithmetic());
    world.play(0);
    world.assign(1);
    let train = whole(&world, 1);
    assert!(train.contains("--state ann.0.moments"), "{train}");
    survives(&world, &train, &OUTPUTS, "5", kills().div_ceil(4));
}

// ---- Signals ----

/// `l402 ARGS` with signals at their defaults, whoever started the tests.
fn spawn(world: &World, args: &str) -> Child {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", "--default-signal=TERM", env!("CARGO_BIN_EXE_l402")]);
    command.args(args.split_whitespace()).current_dir(world.path("."));
    command.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap()
}

fn send(signal: &str, child: &Child) {
    assert!(Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap().success());
}

/// Waits until so many steps are logged.
fn wait_for(world: &World, steps: usize, child: &mut Child) {
    while logged(world, "log").len() < steps {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was at step {steps}");
        sleep(Duration::from_millis(1));
    }
}

/// Ends a training by a signal in its midst: what it said.
fn ended_by(world: &World, train: &str, signal: &str, number: i32) -> String {
    let mut child = spawn(world, train);
    wait_for(world, logged(world, "log").len() + 3, &mut child);
    send(signal, &child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(number), "{train}: {:?} {}", output.status, talk(&output));
    talk(&output)
}

#[test]
fn a_signal_ends_a_training_after_its_step_with_a_checkpoint_and_it_goes_on_there() {
    let world = world(arithmetic());
    let plain = whole(&world, 0);
    world.ok(&plain);
    let truth = contents(&world, &OUTPUTS);
    remove(&world, &OUTPUTS);
    let train = format!("{plain} --log log --checkpoint own");
    for (signal, number) in [("TERM", 15), ("INT", 2)] {
        let said = ended_by(&world, &train, signal, number);
        let done = logged(&world, "log").len();
        assert!(said.contains(&format!("the same command goes on after step {done}")), "{said}");
        let name = format!("checkpoint-{done:08}");
        assert_eq!(world.listing("own"), [format!("{name}.jsonl"), format!("{name}.state")]);
        assert!(!world.has("delta") && !world.has("moments"));
    }
    world.expect(&train, 0, "goes on after step");
    assert_eq!(contents(&world, &OUTPUTS), truth);
    assert_eq!(logged(&world, "log"), every_step_once());
    assert_eq!(world.listing("own"), [""; 0]);
    world.expect(&train, 0, "up to date");
}

#[test]
fn a_second_signal_ends_it_at_once_and_the_same_one_twice_is_one() {
    let world = world(arithmetic());
    // Steps of seconds.
    let text = String::from_utf8(world.bytes("r.toml")).unwrap().replace("batch = 4\n", "batch = 16384\n");
    world.write("slow.toml", text.as_bytes());
    let train = "train --recipe slow.toml --model theta-0 --shard shards/train-00000.safetensors --round 0 --worker ann \
                 --log log --checkpoint own -o delta";
    let begun = |child: &mut Child| {
        while fs::read_to_string(world.path("log")).unwrap_or_default().is_empty() {
            assert!(child.try_wait().unwrap().is_none());
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(200));
    };
    let mut child = spawn(&world, train);
    begun(&mut child);
    send("TERM", &child);
    sleep(Duration::from_millis(400));
    assert!(child.try_wait().unwrap().is_none(), "steps are too fast here for what this tests");
    send("TERM", &child);
    assert_eq!(child.wait_with_output().unwrap().status.signal(), Some(15));
    assert_eq!((world.listing("own"), logged(&world, "log")), (vec![], vec![]));
    remove(&world, &["log"]);
    let mut child = spawn(&world, train);
    begun(&mut child);
    send("TERM", &child);
    send("TERM", &child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(15), "{}", talk(&output));
    assert_eq!((world.listing("own").len(), logged(&world, "log")), (2, vec![1]), "{}", talk(&output));
}

// ---- What is refused ----

/// A training that was ended with a checkpoint in `own`.
fn begun(world: &World, n: u64) -> String {
    let train = format!("{} --checkpoint own", whole(world, n));
    ended_by(world, &format!("{train} --log log"), "TERM", 15);
    train
}

#[test]
fn a_checkpoint_of_other_inputs_is_refused_by_the_input_that_differs() {
    let world = world(arithmetic());
    world.play(0);
    world.assign(1);
    let train = begun(&world, 1);
    let kept = world.tree("own");
    let text = String::from_utf8(world.bytes("r.toml")).unwrap();
    world.write("other.toml", text.replace("lr = 5e-3", "lr = 4e-3").as_bytes());
    world.ok("aggregate --recipe r.toml --model theta-0 bob.0.update cy.0.update -o other");
    let own = world.shard_of(1, "ann");
    let unassigned = format!(
        "train --recipe r.toml --model theta-1 --shard shards/{own} --round 1 --worker ann --state ann.0.moments \
         --checkpoint own -o delta"
    );
    let first =
        unassigned.replace("round 1", "round 0").replace("theta-1", "theta-0").replace("--state ann.0.moments", "");
    remove(&world, &["kept"]);
    for (command, differs) in [
        (train.replace("--model theta-1", "--model other"), "model"),
        (train.replace(" --state ann.0.moments", ""), "state (inner optimiser)"),
        (unassigned.clone(), "assignment"),
        (unassigned.replace("--worker ann --state ann", "--worker bob --state bob"), "worker"),
        (first.clone(), "round"),
        (first.replace("r.toml", "other.toml"), "recipe"),
    ] {
        let output = world.run(&command);
        let said = talk(&output);
        assert_eq!(output.status.code(), Some(73), "{command}\n{said}");
        assert!(
            said.contains("own/checkpoint-") && said.contains(&format!(": of another {differs}: expected ")),
            "{command}\n{said}"
        );
        assert_eq!(world.tree("own"), kept, "{command}");
    }
    // Another shard, drawn for another worker.
    let shard = (0..4).map(|i| format!("train-0000{i}.safetensors")).find(|shard| *shard != own).unwrap();
    let other = unassigned.replace(&own, &shard);
    world.expect(&other, 73, ": of another shard: expected ");
    world.expect(&other, 73, "every work has a folder of its own; --force begins this one here");
    world.expect(&format!("{other} --force"), 0, "replaced: own/checkpoint-");
    assert_eq!(world.listing("own"), [""; 0]);
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_is_taken() {
    let world = world(arithmetic());
    let plain = whole(&world, 0);
    world.ok(&plain);
    let truth = contents(&world, &OUTPUTS);
    remove(&world, &OUTPUTS);
    let train = begun(&world, 0);
    world.copy_folder("own", "first");
    world.copy_folder("kept", "kept.first");
    ended_by(&world, &format!("{train} --log log"), "TERM", 15);
    let whole = world.tree("own");
    let bend = |bytes: &[u8], at: usize| {
        let mut bent = bytes.to_vec();
        bent[at] ^= 1;
        bent
    };
    for (name, bytes) in &whole {
        let damages = [
            ("bent in its middle", Some(bend(bytes, bytes.len() / 2))),
            ("bent at its end", Some(bend(bytes, bytes.len() - 3))),
            ("cut", Some(bytes[..bytes.len() - 1].to_vec())),
            ("half", Some(bytes[..bytes.len() / 2].to_vec())),
            ("empty", Some(Vec::new())),
            ("gone", None),
        ];
        for (how, damaged) in damages {
            let what = format!("{name} {how}");
            // A record that is gone is no checkpoint.
            let gone = damaged.is_none() && name.ends_with(".jsonl");
            for before in [false, true] {
                remove(&world, &["own"]);
                remove(&world, &OUTPUTS);
                world.copy_folder("kept.first", "kept");
                fs::DirBuilder::new().mode(0o700).create(world.path("own")).unwrap();
                whole.iter().for_each(|(name, bytes)| world.write(&format!("own/{name}"), bytes));
                match &damaged {
                    Some(bytes) => world.write(&format!("own/{name}"), bytes),
                    None => fs::remove_file(world.path(&format!("own/{name}"))).unwrap(),
                }
                if before {
                    world.copy_folder("first", "own");
                }
                match (before, gone) {
                    (true, false) => {
                        let said = talk(&world.expect(&train, 0, "damaged checkpoint passed over: own/checkpoint-"));
                        assert!(said.contains(name.as_str()) && said.contains("goes on after step"), "{what}: {said}");
                    }
                    (true, true) => drop(world.expect(&train, 0, "goes on after step")),
                    (false, true) => drop(world.ok(&train)),
                    (false, false) => {
                        let said = talk(&world.expect(&train, 65, "l402: own/checkpoint-"));
                        assert!(
                            said.contains("there is no other checkpoint; --force begins at the start"),
                            "{what}: {said}"
                        );
                        assert!(!world.has("delta"), "{what}");
                        world.ok(&format!("{train} --force"));
                    }
                }
                assert!(contents(&world, &OUTPUTS) == truth, "{what}");
                assert_eq!(world.listing("own"), [""; 0], "{what}");
            }
        }
    }
}

#[test]
fn without_what_openings_was_to_keep_it_begins_at_the_start() {
    let world = world(arithmetic());
    let plain = whole(&world, 0);
    world.ok(&plain);
    let truth = contents(&world, &OUTPUTS);
    remove(&world, &OUTPUTS);
    let train = format!("{plain} --log log --checkpoint own");
    let mut child = spawn(&world, &train);
    wait_for(&world, STEPS / 2, &mut child);
    send("TERM", &child);
    assert_eq!(child.wait_with_output().unwrap().status.signal(), Some(15));
    fs::remove_file(world.path("kept").join(world.listing("kept").first().expect("one was kept"))).unwrap();
    world.expect(&train, 0, "begins at the start: ");
    assert_eq!(contents(&world, &OUTPUTS), truth);
    assert_eq!(logged(&world, "log"), every_step_once());
}

#[test]
fn a_full_disk_is_an_error_and_the_checkpoint_before_stays() {
    let world = world(arithmetic());
    let train = format!("{} --state-out moments -o delta --checkpoint own", world.train(0, "ann"));
    world.ok(&train);
    let truth = contents(&world, &["delta", "moments"]);
    remove(&world, &["delta", "moments"]);
    ended_by(&world, &format!("{train} --log log"), "TERM", 15);
    let kept = world.tree("own");
    let output = Command::new("sh")
        .args(["-c", "ulimit -f 100; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_l402")])
        .args(format!("{train} --every 1").split_whitespace())
        .current_dir(world.path("."))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(74), "{}", talk(&output));
    assert!(talk(&output).contains("own/checkpoint-"), "{}", talk(&output));
    assert_eq!(world.tree("own"), kept);
    world.expect(&train, 0, "goes on after step");
    assert_eq!(contents(&world, &["delta", "moments"]), truth);
}

#[test]
fn a_folder_of_checkpoints_is_one_process_alone() {
    let world = world(arithmetic());
    let train = format!("{} --checkpoint own", world.train(0, "ann"));
    let mut child = spawn(&world, &format!("{train} --log log -o delta"));
    wait_for(&world, 2, &mut child);
    // Nothing of its time passes.
    send("STOP", &child);
    let other: Output = world.expect(&format!("{train} -o other"), 75, "own: another process works in this folder");
    assert!(
        talk(&other).contains("wait until it is done, or end it; every work has a folder of its own"),
        "{}",
        talk(&other)
    );
    send("CONT", &child);
    assert!(child.wait().unwrap().success());
    world.expect("train --recipe r.toml --every 5 --model x --shard x --round 0 --worker ann", 2, "--checkpoint");
    world.expect(&format!("{train} --every 0 -o x"), 2, "expected a number of steps, as 50, or a time");
}

#[test]
fn a_checkpoint_stays_where_the_delta_goes_to_standard_output() {
    let world = world(arithmetic());
    let train = format!("{} --checkpoint own --every 30", world.train(0, "ann"));
    let first = world.ok(&train).stdout;
    assert_eq!(world.listing("own").len(), 2);
    assert_eq!(world.expect(&train, 0, "goes on after step 60").stdout, first);
    world.expect(&format!("{train} -o delta"), 0, "goes on after step 60");
    assert!(world.bytes("delta") == first && world.listing("own").is_empty());
}

// ---- Who verifies ----

/// Round 0 of ann, with what a sample needs: the command lines of a whole and of a sampled replay.
fn verified(world: &World) -> [String; 2] {
    world.work(0, "ann");
    world.ok(&format!("{} --openings states --keep-states 20 -o again", world.train(0, "ann")));
    let drawn = format!("--beacon {} --segments 6", beacon("drawn"));
    world.ok(&format!(
        "open --recipe r.toml --model theta-0 --shard shards/{} --round 0 --worker ann --assignments 0.assignments.jsonl \
         --coordinator {} --feedback ann.0.feedback --openings states {drawn} -o shown",
        world.shard_of(0, "ann"),
        world.coordinator,
    ));
    let whole = format!(
        "{} -o finding",
        world.replay_with(0, "ann", "r.toml", "theta-0", "0.assignments.jsonl", "ann.0.update")
    );
    [whole.clone(), format!("{whole} --openings shown {drawn}")]
}

#[test]
fn a_replay_that_is_killed_at_any_moment_finds_what_it_finds_undisturbed() {
    let world = world(arithmetic());
    let mut resumed = 0;
    for replay in verified(&world) {
        remove(&world, &["finding"]);
        resumed += survives(&world, &replay, &["finding"], "3", kills().div_ceil(4));
    }
    assert!(resumed > 0, "nothing ever went on at a checkpoint");
    // A lie is found as well.
    let mut bent = world.bytes("ann.0.update");
    *bent.last_mut().unwrap() ^= 1;
    world.write("ann.0.update", &bent);
    let replay = world.replay_with(0, "ann", "r.toml", "theta-0", "0.assignments.jsonl", "ann.0.update");
    remove(&world, &["finding"]);
    survives(&world, &format!("{replay} -o finding"), &["finding"], "10", 1);
    assert!(String::from_utf8(world.bytes("finding")).unwrap().contains("\"finding\":\"mismatch\""));
}

#[test]
fn a_checkpoint_of_more_losses_than_its_steps_have_is_malformed_whoever_sealed_it() {
    let world = world(arithmetic());
    let train = begun(&world, 0);
    let name = world.listing("own").into_iter().find(|name| name.ends_with(".jsonl")).unwrap();
    let text = String::from_utf8(world.bytes(&format!("own/{name}"))).unwrap();
    let lines = text.lines().filter(|line| !line.contains("\"type\":\"seal\"")).map(|line| {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        if record["type"] == "checkpoint" {
            record["losses_q32"].as_array_mut().unwrap().push("1".into());
        }
        l402::artifact::canonical::json(&record) + "\n"
    });
    let body: String = lines.collect();
    let digest = l402::artifact::Digest::of(body.as_bytes());
    let seal = format!("{{\"digest\":\"{digest}\",\"type\":\"seal\",\"v\":1}}\n");
    world.write(&format!("own/{name}"), (body + &seal).as_bytes());
    world.expect(&train, 65, "expected leaves after the steps ");
}

#[test]
fn a_verifier_believes_only_a_folder_of_its_own_and_of_this_very_update() {
    let world = world(arithmetic());
    let [whole, sampled] = verified(&world);
    world.expect(
        &format!("{sampled} --checkpoint shown/own"),
        2,
        "outside of the run folder and of what the worker shows",
    );
    fs::create_dir(world.path("run")).unwrap();
    world.write("run/run.toml", &world.bytes("r.toml"));
    world.expect(&format!("{whole} --checkpoint run/own"), 2, "outside of the run folder");
    world.expect(&format!("{whole} --checkpoint run/a/own"), 2, "outside of the run folder");
    // What was refused leaves nothing.
    assert_eq!((world.listing("run"), world.has("shown/own")), (vec!["run.toml".to_owned()], false));
    world.expect(&format!("{whole} --checkpoint own --trace 3"), 2, "--checkpoint");
    // A training's checkpoint, and that of a replay of another update, say nothing of this one.
    begun(&world, 0);
    world.expect(&format!("{whole} --checkpoint own"), 73, "of another update: expected ");
    let ended = |replay: &str| {
        remove(&world, &["own"]);
        let mut child = spawn(&world, &format!("{replay} --checkpoint own --every 1"));
        let whole = |name: &String| name.starts_with("checkpoint-") && name.ends_with(".jsonl");
        while !world.has("own") || !world.listing("own").iter().any(whole) {
            assert!(child.try_wait().unwrap().is_none());
        }
        child.kill().unwrap();
        child.wait().unwrap();
    };
    ended(&whole);
    world.expect(&format!("{sampled} --checkpoint own"), 73, "of another beacon: expected ");
    world.work(0, "bob");
    let other = whole.replace("ann.0.update", "bob.0.update");
    world.expect(&format!("{other} --checkpoint own"), 73, "of another update: expected ");
    world.expect(&format!("{whole} --checkpoint own"), 0, "goes on after step");
}

#[test]
fn a_folder_that_others_can_write_to_is_no_place_for_checkpoints() {
    let world = world(arithmetic());
    let mode = |mode| fs::set_permissions(world.path("open"), fs::Permissions::from_mode(mode)).unwrap();
    fs::create_dir(world.path("open")).unwrap();
    for bits in [0o755, 0o770, 0o701] {
        mode(bits);
        for work in [whole(&world, 0), verified(&world)[0].clone()] {
            let says = format!("open: expected a folder for its owner alone, found mode {bits:o}");
            let output = world.expect(&format!("{work} --checkpoint open"), 65, &says);
            assert!(talk(&output).contains("hint: chmod 700 open"), "{}", talk(&output));
        }
    }
    assert!(world.listing("open").is_empty());
}

#[test]
fn what_other_programs_call_a_checkpoint_stays_and_is_none() {
    let world = world(arithmetic());
    fs::create_dir_all(world.path("own/checkpoint-500")).unwrap();
    fs::set_permissions(world.path("own"), fs::Permissions::from_mode(0o700)).unwrap();
    let foreign = [
        "checkpoint-3.jsonl",
        "checkpoint-3.state",
        "checkpoint-best.state",
        "checkpoint-0000000x.jsonl",
        ".checkpoint-y",
    ];
    for name in foreign {
        world.write(&format!("own/{name}"), b"theirs");
    }
    let train = whole(&world, 0);
    let said = talk(&world.ok(&format!("{train} --checkpoint own --every 7")));
    assert!(!said.contains("damaged"), "{said}");
    let mut kept: Vec<String> =
        foreign.iter().map(|name| (*name).to_owned()).chain(["checkpoint-500".into()]).collect();
    kept.sort();
    assert_eq!(world.listing("own"), kept);
}
