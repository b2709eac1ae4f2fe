//! How a run ends that is cut short from outside: by a signal, or by somebody who writes into what it reads.

mod common;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{FULL, WORKERS, World, draw, talk};

const SIGNALS: [(&str, i32); 3] = [("HUP", 1), ("INT", 2), ("TERM", 15)];

fn leftovers(world: &World, folder: &str) -> Vec<String> {
    world.listing(folder).into_iter().filter(|name| name.contains(".l402-tmp.")).collect()
}

/// `l402 ARGS` in the folder, with signals at their defaults whoever started the tests: under `nohup`, or in a script's background,
/// some are ignored, and stay so.
fn command(world: &World, args: &str) -> Command {
    let mut command = Command::new("env");
    command.args(SIGNALS.map(|(signal, _)| format!("--default-signal={signal}")));
    command.arg(env!("CARGO_BIN_EXE_l402")).args(args.split_whitespace()).current_dir(world.path("."));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits until something in the making lies in the world's folder.
fn begun(world: &World, child: &mut Child) {
    while leftovers(world, ".").is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it began");
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_signal_ends_the_program_as_it_should_and_leaves_nothing_beside() {
    let world = World::new(FULL);
    world.assign(0);
    let delta = world.ok(&world.train(0, "ann")).stdout;
    for (signal, number) in SIGNALS {
        // These wait for the rest of their input with a file, or a folder with files and folders, in the making.
        for (command, input) in [
            ("compress --recipe r.toml --state-out state -o update", &delta[..delta.len() / 2]),
            ("shard corpus.txt - --tokenizer bytes --seq-len 16 --shards 3 -o out", b"some text"),
        ] {
            let mut child = self::command(&world, command).stdin(Stdio::piped()).spawn().unwrap();
            let mut open = child.stdin.take().unwrap();
            open.write_all(input).unwrap();
            begun(&world, &mut child);
            send(signal, &child);
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.signal(), Some(number), "{command}: {}", talk(&output));
            assert_eq!(leftovers(&world, "."), [""; 0], "{command} after SIG{signal}");
            assert!(["state", "update", "out"].iter().all(|name| !world.has(name)), "{command}");
        }
    }
}

#[test]
fn a_signal_at_any_moment_leaves_outputs_complete_or_absent_and_nothing_beside() {
    let world = World::new(FULL);
    world.assign(0);
    WORKERS.iter().for_each(|who| world.work(0, who));
    let updates = WORKERS.map(|who| format!("{who}.0.update")).join(" ");
    world.copy_folder("theta-0", "old");
    for (command, outputs) in [
        (format!("{} --state-out moments -o delta", world.train(0, "ann")), &["moments", "delta"][..]),
        ("init --config config.json --seed 5 -o out".to_owned(), &["out"]),
        (format!("aggregate --recipe r.toml --model theta-0 {updates} -o old --force"), &["old"]),
    ] {
        let content = |name: &str| match world.path(name) {
            path if path.is_dir() => Some(world.tree(name)),
            path if path.is_file() => Some(vec![(String::new(), world.bytes(name))]),
            _ => None,
        };
        let before: Vec<_> = outputs.iter().map(|name| content(name)).collect();
        let begin = Instant::now();
        world.ok(&command);
        let takes = begin.elapsed();
        let truth: Vec<_> = outputs.iter().map(|name| content(name)).collect();
        let mut cut = 0;
        for k in 0..24 {
            for (name, before) in outputs.iter().zip(&before) {
                let path = world.path(name);
                let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                if before.is_some() {
                    world.copy_folder("theta-0", name);
                }
            }
            let (signal, number) = SIGNALS[k % 3];
            let mut child = self::command(&world, &command).spawn().unwrap();
            sleep(takes * draw(&format!("{command} {k}"), 1000) as u32 / 900);
            if child.try_wait().unwrap().is_none() {
                send(signal, &child);
            }
            let output = child.wait_with_output().unwrap();
            let ended = output.status.success() || output.status.signal() == Some(number);
            assert!(ended, "{command}: {:?} {}", output.status, talk(&output));
            cut += u32::from(!output.status.success());
            assert_eq!(leftovers(&world, "."), [""; 0], "{command} after SIG{signal} {k}");
            for ((name, truth), before) in outputs.iter().zip(&truth).zip(&before) {
                let found = content(name);
                assert!(found == *truth || found == *before, "{command}: {name} was cut by SIG{signal} {k}");
            }
        }
        assert!(cut > 0, "{command} was never cut short");
    }
}

#[test]
fn a_signal_that_the_program_was_told_to_ignore_is_ignored() {
    let world = World::new(FULL);
    world.assign(0);
    let delta = world.ok(&world.train(0, "ann")).stdout;
    let mut child = Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_l402")])
        .args("compress --recipe r.toml --state-out state -o update".split(' '))
        .current_dir(world.path("."))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let (first, rest) = delta.split_at(delta.len() / 2);
    input.write_all(first).unwrap();
    begun(&world, &mut child);
    send("HUP", &child);
    input.write_all(rest).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
    assert!(world.has("update") && world.has("state"));
}

#[test]
fn a_file_beyond_the_limit_is_an_error_and_no_signal() {
    let world = World::new(FULL);
    let output = Command::new("sh")
        .args(["-c", "ulimit -f 8; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_l402")])
        .args("init --config config.json --seed 5 -o out".split(' '))
        .current_dir(world.path("."))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(74), "{:?} {}", output.status, talk(&output));
    assert!(!world.has("out") && leftovers(&world, ".").is_empty());
}

// ---- What is written while it is read ----

/// What somebody does to a model that we read.
type Damage = fn(&World, &str);

const DAMAGES: [(&str, Damage); 3] = [
    ("shortened", |world, file| open(world, file).set_len(1000).unwrap()),
    ("emptied", |world, file| open(world, file).set_len(0).unwrap()),
    ("rewritten", |world, file| {
        let file = open(world, file);
        let middle = file.metadata().unwrap().len() / 2;
        file.write_all_at(&[0x3f; 8], middle).unwrap();
    }),
];

fn open(world: &World, file: &str) -> fs::File {
    OpenOptions::new().write(true).open(world.path(file)).unwrap()
}

/// Runs a command that has read its model when it opens the pipe `late`, does something to the model, and lets it go on.
fn damaged(world: &World, command: &str, model: &str, late: &str, damage: Damage) -> std::process::Output {
    let _ = fs::remove_file(world.path("late"));
    assert!(Command::new("mkfifo").arg(world.path("late")).status().unwrap().success());
    let child = world.command(&command.replace("LATE", "late")).spawn().unwrap();
    // It opens when the other side does.
    let mut late_input = OpenOptions::new().write(true).open(world.path("late")).unwrap();
    damage(world, &format!("{model}/model.safetensors"));
    let _ = late_input.write_all(&world.bytes(late));
    drop(late_input);
    child.wait_with_output().unwrap()
}

#[test]
fn a_model_that_is_cut_or_rewritten_while_it_is_used_is_an_error_and_no_signal() {
    let world = World::new(FULL);
    world.play(0);
    world.assign(1);
    let train = world.train(1, "ann").replace("--state ann.0.moments", "--state LATE") + " -o out";
    let drawn = format!("--val shards/val-00000.safetensors --beacon {}", common::beacon("x"));
    let score = format!("score --recipe r.toml --model theta-0 {drawn} bob.0.update LATE -o out");
    let aggregate = "aggregate --recipe r.toml --model theta-0 bob.0.update LATE -o out".to_owned();
    let replay = world.replay(0, "ann", "LATE") + " -o out";
    for (command, model, late) in [
        (train, "theta-1", "ann.0.moments"),
        (score, "theta-0", "ann.0.update"),
        (aggregate, "theta-0", "ann.0.update"),
        (replay, "theta-0", "ann.0.update"),
    ] {
        assert!(command.contains("LATE"), "{command}");
        // Undamaged, it is done.
        let whole = damaged(&world, &command, model, late, |_, _| ());
        assert!(whole.status.success(), "{command}: {}", talk(&whole));
        let _ = fs::remove_dir_all(world.path("out"));
        let _ = fs::remove_file(world.path("out"));
        for (how, damage) in DAMAGES {
            let truth = world.bytes(&format!("{model}/model.safetensors"));
            let output = damaged(&world, &command, model, late, damage);
            let said = talk(&output);
            assert_eq!(output.status.code(), Some(65), "{how}: {command}: {:?} {said}", output.status);
            assert!(said.contains(&format!("{model}/model.safetensors: ")), "{how}: {command}: {said}");
            assert!(!world.has("out") && leftovers(&world, ".").is_empty(), "{how}: {command}");
            world.write(&format!("{model}/model.safetensors"), &truth);
        }
    }
}
