//! Files: outputs are complete or absent whenever a program is killed, pipes end as they should, and nothing is
//! overwritten unasked.

mod common;

use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{FULL, WORKERS, World, draw, talk};

const TEMPORARY: &str = ".l402-tmp.";

/// What a name holds, file or folder; nothing where it is absent.
fn content(world: &World, name: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let path = world.path(name);
    match (path.is_dir(), path.is_file()) {
        (true, _) => Some(world.tree(name)),
        (_, true) => Some(vec![(String::new(), world.bytes(name))]),
        _ => None,
    }
}

fn remove(world: &World, name: &str) {
    let path = world.path(name);
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

fn leftovers(world: &World) -> Vec<String> {
    world.listing(".").into_iter().filter(|name| name.contains(TEMPORARY)).collect()
}

/// Kills `command` again and again at seeded moments of its run: its outputs are always complete or absent. Then the
/// same command completes them, with the same bytes, and leaves nothing beside them.
fn survives_kills(world: &World, command: &str, outputs: &[&str]) {
    let begin = Instant::now();
    world.ok(command);
    let takes = begin.elapsed();
    let truth: Vec<_> = outputs.iter().map(|name| content(world, name).expect(name)).collect();
    let (mut cut, mut left) = (0, 0);
    for k in 0..24 {
        outputs.iter().for_each(|name| remove(world, name));
        let mut child = world.command(command).spawn().unwrap();
        let part = draw(&format!("{command} {k}"), 1000) as u32;
        sleep(takes * part / 900);
        // SIGKILL: nothing in the program can answer to it.
        child.kill().unwrap();
        let status = child.wait().unwrap();
        cut += u32::from(!status.success());
        left += u32::from(!leftovers(world).is_empty());
        for (name, truth) in outputs.iter().zip(&truth) {
            let found = content(world, name);
            assert!(found.is_none_or(|found| found == *truth), "{command}: {name} was cut by kill {k}");
        }
        if k % 3 == 0 {
            world.ok(command);
            for (name, truth) in outputs.iter().zip(&truth) {
                assert!(content(world, name).as_ref() == Some(truth), "{command}: {name} is another after kill {k}");
            }
            assert_eq!(leftovers(world), [""; 0], "{command} after kill {k}");
        }
    }
    println!("{command}: {takes:?}, killed {cut} of 24 times, {left} times with something left beside");
    assert!(cut > 0, "{command} was never killed in time");
    world.ok(command);
    assert_eq!(leftovers(world), [""; 0], "{command}");
}

#[test]
fn a_killed_train_leaves_its_outputs_complete_or_absent() {
    let world = World::new(FULL);
    world.assign(0);
    survives_kills(&world, &format!("{} --state-out moments -o delta", world.train(0, "ann")), &["moments", "delta"]);
}

#[test]
fn a_killed_compress_leaves_its_outputs_complete_or_absent() {
    let world = World::new(FULL);
    world.assign(0);
    world.ok(&format!("{} -o delta", world.train(0, "ann")));
    survives_kills(&world, "compress --recipe r.toml delta --state-out state -o update.zst", &["state", "update.zst"]);
}

#[test]
fn a_killed_shard_leaves_its_folder_complete_or_absent() {
    let world = World::new(FULL);
    world.write("corpus.txt", &common::corpus()[..400_000]);
    let shard = "shard corpus.txt --tokenizer bytes --seq-len 16 --shards 7 --val-shards 2 -o out";
    survives_kills(&world, shard, &["out"]);
}

#[test]
fn a_killed_init_leaves_its_folder_complete_or_absent() {
    let world = World::new(FULL);
    survives_kills(&world, "init --config config.json --seed 5 -o out", &["out"]);
}

#[test]
fn a_killed_export_leaves_its_folder_complete_or_absent() {
    let world = World::new(FULL);
    survives_kills(&world, "export theta-0 --dtype bfloat16 --max-shard-size 8KB -o out", &["out"]);
}

#[test]
fn a_killed_aggregate_leaves_its_folder_complete_or_absent() {
    let world = World::new(FULL);
    world.assign(0);
    WORKERS.iter().for_each(|who| world.work(0, who));
    let updates = WORKERS.map(|who| format!("{who}.0.update")).join(" ");
    survives_kills(&world, &format!("aggregate --recipe r.toml --model theta-0 {updates} -o out"), &["out"]);
}

#[test]
fn a_killed_aggregate_with_a_momentum_leaves_both_outputs_complete_or_absent() {
    let world = World::new(FULL);
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    world.write("r.toml", format!("{recipe}[outer]\nrule = \"median_norm\"\nmomentum = 0.9\n").as_bytes());
    world.assign(0);
    WORKERS.iter().for_each(|who| world.work(0, who));
    let updates = WORKERS.map(|who| format!("{who}.0.update")).join(" ");
    let aggregate = format!("aggregate --recipe r.toml --model theta-0 {updates} --state-out state -o out");
    survives_kills(&world, &aggregate, &["state", "out"]);
}

#[test]
fn what_a_killed_writer_left_is_swept_whatever_it_had_come_to() {
    let world = World::new(FULL);
    let temporary = |name: &str| format!(".{name}{TEMPORARY}abcdef");
    // A folder with nothing in it, one with files, and one with a folder, as `shard` has while it reads.
    for (suffix, files) in [("1", &[][..]), ("2", &["config.json"]), ("3", &["spool/0", "config.json"])] {
        let folder = temporary("out") + suffix;
        fs::create_dir_all(world.path(&folder)).unwrap();
        for file in files {
            fs::create_dir_all(world.path(&format!("{folder}/{file}")).parent().unwrap()).unwrap();
            world.write(&format!("{folder}/{file}"), b"half of i");
        }
    }
    world.write(&temporary("delta"), b"half of i");
    world.write(&temporary("other"), b"another's");
    world.ok("init --config config.json --seed 5 -o out");
    world.ok(
        "train --recipe r.toml --model theta-0 --shard shards/train-00000.safetensors --round 0 --worker ann -o delta",
    );
    assert_eq!(leftovers(&world), [temporary("other")]);
}

// ---- Existing outputs ----

#[test]
fn an_equal_output_is_up_to_date_and_another_is_kept_unless_forced() {
    let world = World::new(FULL);
    world.assign(0);
    world.work(0, "ann");
    let verbs = [
        (format!("{} -o out", world.train(0, "ann")), "out"),
        (format!("{} -o out.zst", world.train(0, "ann")), "out.zst"),
        ("compress --recipe r.toml delta -o out".into(), "out"),
        ("compress -d --recipe r.toml ann.0.update -o out".into(), "out"),
        ("commit ann.0.update --round 0 --worker ann --key ann.key -o out".into(), "out"),
        (format!("{} -o out", world.replay(0, "ann", "ann.0.update")), "out"),
        ("score --recipe r.toml --model theta-0 --val shards/val-00000.safetensors -o out".into(), "out"),
        (
            "assign --recipe r.toml --round 0 --shards shards --workers ann,bob --beacon ".to_owned()
                + &common::beacon("x")
                + " -o out",
            "out",
        ),
    ];
    world.ok(&format!("{} -o delta", world.train(0, "ann")));
    for (command, name) in verbs {
        world.ok(&command);
        let truth = world.bytes(name);
        world.ok(&command);
        world.write(name, b"another's work");
        world.expect(&command, 73, &format!("{name}: exists"));
        assert_eq!(world.bytes(name), b"another's work", "{command}");
        world.ok(&format!("{command} --force"));
        assert_eq!(world.bytes(name), truth, "{command}");
        assert_eq!(leftovers(&world), [""; 0], "{command}");
        remove(&world, name);
    }
}

#[test]
fn an_equal_folder_is_up_to_date_and_another_is_kept_unless_forced() {
    let world = World::new(FULL);
    world.assign(0);
    world.work(0, "ann");
    for command in [
        "init --config config.json --seed 5 -o out",
        "shard corpus.txt --tokenizer bytes --seq-len 16 --shards 2 -o out",
        "aggregate --recipe r.toml --model theta-0 ann.0.update -o out",
    ] {
        world.ok(command);
        let truth = world.tree("out");
        world.expect(command, 0, "up to date");
        let name = format!("out/{}", truth[0].0);
        world.write(&name, b"another's work");
        world.expect(command, 73, "out: exists");
        assert_eq!(world.bytes(&name), b"another's work");
        world.ok(&format!("{command} --force"));
        assert_eq!(world.tree("out"), truth);
        // One file more is another folder.
        world.write("out/extra", b"");
        world.expect(command, 73, "out: exists");
        fs::remove_dir_all(world.path("out")).unwrap();
        // An empty folder is nobody's work.
        fs::create_dir(world.path("out")).unwrap();
        world.ok(command);
        assert_eq!(world.tree("out"), truth);
        fs::remove_dir_all(world.path("out")).unwrap();
        world.write("out", b"a file");
        world.expect(&format!("{command} --force"), 73, "out: exists");
        assert_eq!(world.bytes("out"), b"a file");
        assert_eq!(leftovers(&world), [""; 0], "{command}");
        remove(&world, "out");
    }
}

// ---- Compressed files and pipes ----

#[test]
fn compressed_files_have_the_content_and_the_digests_of_plain_ones() {
    let world = World::new(FULL);
    world.assign(0);
    let train = world.train(0, "ann");
    world.ok(&format!("{train} --state-out moments -o delta"));
    world.ok(&format!("{train} --state-out moments.zst -o delta.zst"));
    world.ok("compress --recipe r.toml delta --state-out feedback -o update");
    world.ok("compress --recipe r.toml delta.zst --state-out feedback.zst -o update.zst");
    for name in ["moments", "delta", "feedback", "update"] {
        let framed = world.bytes(&format!("{name}.zst"));
        assert_eq!(zstd::decode_all(&framed[..]).unwrap(), world.bytes(name), "{name}");
        assert_eq!(world.digest(&format!("{name}.zst")), world.digest(name));
    }
    // Tensors may be a frame whatever the name of their file, text where its name says so and nowhere else.
    let frame = |name: &str, to: &str| world.write(to, &zstd::encode_all(&world.bytes(name)[..], 1).unwrap());
    frame("r.toml", "framed.toml.zst");
    frame("0.assignments.jsonl", "framed.jsonl.zst");
    world.copy_folder("shards", "framed-shards");
    for (name, _) in world.tree("shards").iter().filter(|(name, _)| name.ends_with(".safetensors")) {
        frame(&format!("shards/{name}"), &format!("framed-shards/{name}"));
    }
    let replay = world.replay_with(0, "ann", "framed.toml.zst", "theta-0", "framed.jsonl.zst", "update.zst");
    let replay = replay.replace("--shards shards", "--shards framed-shards");
    world.ok(&replay);
    for name in ["framed.toml", "framed.jsonl"] {
        fs::rename(world.path(&format!("{name}.zst")), world.path(name)).unwrap();
        world.expect(&replay.replace(&format!("{name}.zst"), name), 65, name);
        fs::rename(world.path(name), world.path(&format!("{name}.zst"))).unwrap();
    }
    // Equal content is up to date, whichever way it was framed.
    world.write("delta.zst", &zstd::encode_all(&world.bytes("delta")[..], 19).unwrap());
    world.ok(&format!("{train} -o delta.zst"));
}

#[test]
fn a_dash_is_standard_input_and_output() {
    let world = World::new(FULL);
    world.assign(0);
    let train = world.train(0, "ann");
    let delta = world.ok(&format!("{train} -o -")).stdout;
    assert_eq!(delta, world.ok(&train).stdout);
    world.write("delta", &delta);
    let (_, update) = world.pipe(&format!("{train} -o -"), "compress --recipe r.toml -o - -");
    world.ok("compress --recipe r.toml delta -o update");
    assert_eq!(update.stdout, world.bytes("update"));
    let from = |name: &str, args: &str| {
        let file = fs::File::open(world.path(name)).unwrap();
        let output = world.command(args).stdin(file).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args}: {}", talk(&output));
        output.stdout
    };
    let back = world.ok("compress -d --recipe r.toml update").stdout;
    assert_eq!(from("update", "compress -d --recipe r.toml -"), back);
    let commit = |name: &str| format!("commit {name} --round 0 --worker ann --key ann.key");
    assert_eq!(from("update", &commit("-")), world.ok(&commit("update")).stdout);
    assert_eq!(
        from("update", &world.replay(0, "ann", "-")),
        world.ok(&world.replay(0, "ann", "update")).stdout,
        "replay"
    );
    let shard = world.shard_of(0, "ann");
    assert_eq!(from(&format!("shards/{shard}"), &train.replace(&format!("shards/{shard}"), "-")), delta);
    assert_eq!(
        from("config.json", "init --config - --seed 3 -o theta"),
        world.ok("init --config config.json --seed 3 -o theta").stdout
    );
    from("corpus.txt", "shard - --tokenizer bytes --seq-len 16 --shards 4 --val-shards 1 -o piped");
    assert_eq!(world.tree("piped"), world.tree("shards"));
    from("0.assignments.jsonl", &world.replay(0, "ann", "update").replace("0.assignments.jsonl", "-"));
}

#[test]
fn a_reader_that_goes_away_in_the_middle_ends_the_writer_with_74() {
    let world = World::new(FULL);
    // More than a pipe holds, so that the writer is in the middle when its reader goes away.
    let config = common::CONFIG.replace("\"hidden_size\": 32", "\"hidden_size\": 256");
    world.write("large.json", config.as_bytes());
    world.ok("init --config large.json --seed 1 -o large");
    world.write("r.toml", common::recipe(FULL, "").as_bytes());
    let train = "train --recipe r.toml --model large --shard shards/train-00000.safetensors --round 0 --worker ann";
    let mut child = world.command(train).spawn().unwrap();
    let mut some = [0; 1000];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(74), "{}", talk(&output));
}

#[test]
fn a_verb_behind_a_killed_writer_refuses_the_cut_pipe_and_writes_nothing() {
    let world = World::new(FULL);
    world.assign(0);
    let delta = world.ok(&world.train(0, "ann")).stdout;
    let compress = "compress --recipe r.toml --state-out state -o update";
    let before = world.listing(".");
    for k in 0..12 {
        let cut = draw(&format!("cut {k}"), delta.len());
        let mut child = world.command(compress).stdin(Stdio::piped()).spawn().unwrap();
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), &delta[..cut]);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(65), "cut at {cut}: {}", talk(&output));
        assert!(talk(&output).contains("standard input"), "{}", talk(&output));
        assert_eq!(world.listing("."), before, "cut at {cut}");
    }
    // And the real thing: the writer is killed while it works.
    for k in 0..8 {
        let mut writer = world.command(&world.train(0, "ann")).spawn().unwrap();
        let between = writer.stdout.take().unwrap();
        let reader = world.command("compress --recipe r.toml").stdin(between).spawn().unwrap();
        sleep(Duration::from_millis(draw(&format!("kill {k}"), 12) as u64));
        writer.kill().unwrap();
        let killed = !writer.wait().unwrap().success();
        let output = reader.wait_with_output().unwrap();
        match output.status.code() {
            Some(65) => assert!(output.stdout.is_empty() && killed),
            // All of it had gone through the pipe.
            Some(0) => assert!(!output.stdout.is_empty()),
            other => panic!("{other:?}: {}", talk(&output)),
        }
    }
}

// ---- What is not there, what makes no sense ----

#[test]
fn a_missing_input_is_66_and_named() {
    let world = World::new(FULL);
    world.play(0);
    let train = world.train(0, "ann");
    let replay = world.replay(0, "ann", "ann.0.update");
    let score = world.score(0, &["ann.0.update"]);
    let swaps = [
        (&train, "--recipe r.toml", "--recipe nil"),
        (&train, "--model theta-0", "--model nil"),
        (&train, "0.assignments.jsonl", "nil"),
        (&train, "--shard shards", "--shard nil"),
        (&replay, "--recipe r.toml", "--recipe nil"),
        (&replay, "--model theta-0", "--model nil"),
        (&replay, "0.assignments.jsonl", "nil"),
        (&replay, "--shards shards", "--shards nil"),
        (&replay, "ann.0.update", "nil"),
        (&replay, "--worker ann", "--worker nil"),
        (&score, "--val shards", "--val nil"),
        (&score, "0.findings.jsonl", "nil"),
        (&score, "0.commitments.jsonl", "nil"),
        (&score, "ann.0.update", "nil"),
    ];
    for (command, from, to) in swaps {
        let missing = command.replacen(from, to, 1);
        assert_ne!(missing, *command, "{from}");
        let output = world.expect(&missing, 66, "nil");
        assert!(output.stdout.is_empty());
    }
    let others = [
        "inspect nil",
        "init --config nil --seed 1 -o x",
        "shard nil --tokenizer bytes --seq-len 8 --shards 1 -o x",
        "shard corpus.txt --tokenizer nil --seq-len 8 --shards 1 -o x",
        "assign --recipe r.toml --round 0 --shards nil --workers a --beacon 00",
        "compress --recipe r.toml nil",
        "compress -d --recipe r.toml nil",
        "compress --recipe nil ann.0.update",
        "commit nil --round 0 --worker ann --key ann.key",
        "commit ann.0.update --round 0 --worker ann --key nil",
        "aggregate --recipe r.toml --model theta-0 nil -o x",
        "aggregate --recipe r.toml --model theta-0 --scores nil ann.0.update -o x",
        "init --config config.json --seed 1 -o nil/x",
        "compress --recipe r.toml ann.0.update -o nil/x",
    ];
    for args in others {
        let args = args.replace("--beacon 00", &format!("--beacon {}", common::beacon("x")));
        world.expect(&args, 66, "nil");
    }
    let kept = world.listing(".");
    assert!(!kept.contains(&"x".to_owned()) && leftovers(&world).is_empty(), "{kept:?}");
}

#[test]
fn a_command_line_that_makes_no_sense_is_2() {
    let world = World::new(FULL);
    world.assign(0);
    let train = world.train(0, "ann");
    for args in [
        "",
        "trian",
        "train",
        "train --recipe",
        "inspect",
        "inspect --nonsense r.toml",
        "init --config config.json --seed -1 -o x",
        "init --config config.json --seed 1",
        "init --config config.json --seed 1 -o -",
        "init --config config.json --seed 1 -o x --threads 0",
        "shard corpus.txt --tokenizer bytes --seq-len 0 --shards 1 -o x",
        "shard corpus.txt --tokenizer bytes --seq-len 8 --shards 0 -o x",
        "shard corpus.txt --tokenizer bytes --eod x --seq-len 8 --shards 1 -o x",
        "assign --recipe r.toml --round 0 --shards shards --workers ann",
        "assign --recipe r.toml --round 0 --shards shards --workers ann --beacon 1234",
        "assign --recipe r.toml --round 0 --shards shards --workers a,a --beacon BEACON",
        "assign --recipe r.toml --round 0 --shards shards --workers A --beacon BEACON",
        "compress --recipe r.toml -d --state s",
        "commit u --round 0 --worker ../ann --key ann.key",
        "commit u --round x --worker ann --key ann.key",
        "replay --recipe r.toml --model theta-0 --shards shards --update u --worker ann",
        "aggregate --recipe r.toml --model theta-0 -o x",
        "inspect -q -v r.toml",
        &format!("{train} --micro-batch 0"),
        &train.replace("--worker ann", "--worker Ann"),
        &train.replace(&world.coordinator, "02"),
    ] {
        let args = args.replace("BEACON", &common::beacon("x"));
        let output = world.expect(&args, 2, "");
        assert!(output.stdout.is_empty() && !talk(&output).is_empty(), "{args}");
    }
    assert!(!world.has("x"));
}
