//! Hostile files: `testdata/hostile/` holds one of each, and no verb panics on one, or takes memory for what it announces.
//!
//! The files are made here, and compared with what is committed. `L402_REGENERATE=1 cargo test --test hostile` remakes
//! them; their version is that of this file.

#[path = "../common/mod.rs"]
mod common;
mod made;
mod payloads;
mod tensors;
mod texts;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use common::{World, records, talk};
use made::{CONFIG, recipe_text, recipe_text_of};
use payloads::hostile_payloads;
use tensors::hostile_tensors;
use texts::hostile_texts;

/// The memory that a program may have: less than any of the bombs holds.
const MEMORY_KIB: u64 = 3 << 18;

/// A file, the verb that it is made for, its exit status and what it says.
struct Hostile {
    name: &'static str,
    bytes: Vec<u8>,
    verb: &'static str,
    code: i32,
    says: &'static str,
}

const COMPRESS: &str = "compress --recipe r.toml FILE";
const UNDO: &str = "compress -d --recipe r.toml FILE";
const SCORE: &str = "score --recipe r.toml --model theta-0 --val shards/val-00000.safetensors --beacon BEACON FILE";
const COMMITTED: &str = "score --recipe r.toml --model theta-0 --val shards/val-00000.safetensors --beacon BEACON \
                         --commitments FILE";
const TRAIN: &str = "train --recipe r.toml --model theta-0 --round 0 --worker ann --shard FILE";
const TRAIN_STATE: &str = "train --recipe r.toml --model theta-0 --round 0 --worker ann \
                           --shard shards/train-00000.safetensors --state FILE";
const INIT: &str = "init --seed 1 -o out --config FILE";
const ASSIGN: &str = "assign --recipe r.toml --round 0 --shards shards --beacon BEACON --workers ./FILE";
/// Unlike a roster, which people write, a list of assignments has one form.
const ASSIGNED: &str = "replay --recipe r.toml --model theta-0 --shards shards --assignments FILE --update update";
const INSPECT: &str = "inspect FILE";
const SHARD: &str = "shard corpus.txt --tokenizer ./FILE --seq-len 8 --shards 1 -o out";
/// The model's folder, with FILE in the place of its weights or index.
const MODEL: &str = "inspect MODEL";

fn all() -> Vec<Hostile> {
    hostile_tensors().into_iter().chain(hostile_payloads()).chain(hostile_texts()).collect()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/hostile")
}

#[test]
fn the_committed_files_are_those_that_the_generator_makes() {
    let folder = folder();
    let made: BTreeMap<String, Vec<u8>> = all().into_iter().map(|h| (h.name.to_owned(), h.bytes)).collect();
    if std::env::var_os("L402_REGENERATE").is_some() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        made.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
    }
    let entries = fs::read_dir(&folder).unwrap().map(|e| e.unwrap());
    let found: BTreeMap<String, Vec<u8>> =
        entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect();
    assert!(found.keys().eq(made.keys()), "{:?}\n{:?}", found.keys(), made.keys());
    for (name, bytes) in &made {
        assert!(found[name] == *bytes, "{name} differs: L402_REGENERATE=1 cargo test --test hostile");
        assert!(bytes.len() <= 1 << 18, "{name} is not small: {} bytes", bytes.len());
    }
}

/// Everything that the verbs need beside the hostile file.
fn world() -> World {
    let world = World::empty();
    world.write("corpus.txt", &common::corpus()[..6000]);
    world.write("config.json", CONFIG.as_bytes());
    world.write("r.toml", recipe_text().as_bytes());
    for codec in ["dense", "f16", "int8", "blockwise8", "e3m0", "demo", "l402"] {
        world.write(&format!("r-{codec}.toml"), recipe_text_of(codec).as_bytes());
    }
    world.ok("key ann.key");
    world.ok("shard corpus.txt --tokenizer bytes --seq-len 16 --shards 2 --val-shards 1 -o shards");
    world.ok("init --config config.json --seed 3 -o theta-0");
    let beacon = common::beacon("x");
    world.ok(&format!(
        "assign --recipe r.toml --round 0 --shards shards --workers ann --beacon {beacon} -o assignments.jsonl"
    ));
    world.copy_folder("theta-0", "bent");
    world
}

/// Runs a verb on the file, with the memory of a small machine.
fn run(world: &World, verb: &str, file: &str) -> Output {
    let place = if verb.contains("MODEL") {
        let name = match file {
            _ if file.ends_with("index.json") => "model.safetensors.index.json",
            _ if file.ends_with(".config.json") => "config.json",
            _ => "model.safetensors",
        };
        fs::remove_dir_all(world.path("bent")).unwrap();
        world.copy_folder("theta-0", "bent");
        world.write(&format!("bent/{name}"), &world.bytes(file));
        "bent"
    } else {
        file
    };
    let args = verb.replace("FILE", file).replace("MODEL", place).replace("BEACON", &common::beacon("x"));
    let limited = format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\"");
    let output = Command::new("sh")
        .args(["-c", &limited, env!("CARGO_BIN_EXE_l402")])
        .args(args.split_whitespace())
        .args(["--threads", "2"])
        .current_dir(world.path("."))
        .output()
        .unwrap();
    assert_eq!(output.status.signal(), None, "{args}: {}", talk(&output));
    common::sane(&args, &output);
    output
}

#[test]
fn every_hostile_file_is_refused_by_the_verb_that_it_was_made_for() {
    let world = world();
    let mut wrong = Vec::new();
    for Hostile { name, bytes, verb, code, says } in all() {
        world.write(name, &bytes);
        let output = run(&world, verb, name);
        let said = talk(&output);
        let place = if verb == MODEL { "bent" } else { name };
        let refused = output.status.code() == Some(code) && (code == 0 || output.stdout.is_empty());
        if !refused || !said.contains(place) || !said.contains(&says.replace("FILE", name)) || world.has("out") {
            wrong.push(format!("{name}: expected {code} and {says:?}, found {:?}\n{said}", output.status.code()));
        }
        fs::remove_file(world.path(name)).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every place where a verb takes a file of tensors, and whether it may still end with 0: what only looks, and what
/// leaves one update out.
const TENSOR_PLACES: [(&str, bool); 14] = [
    (INSPECT, true),
    (COMPRESS, false),
    (UNDO, true),
    ("compress --recipe r.toml --state FILE delta", false),
    ("commit FILE --round 0 --worker ann --key ann.key", true),
    (TRAIN, false),
    (TRAIN_STATE, false),
    ("replay --recipe r.toml --model theta-0 --shards shards --assignments assignments.jsonl --update FILE", false),
    (
        "replay --recipe r.toml --model theta-0 --shards shards --assignments assignments.jsonl --update update --previous update --state FILE",
        false,
    ),
    (SCORE, true),
    ("score --recipe r.toml --model theta-0 --val FILE", false),
    ("aggregate --recipe r.toml --model theta-0 FILE -o next --force", true),
    (MODEL, false),
    ("train --recipe r.toml --model MODEL --round 0 --worker ann --shard shards/train-00000.safetensors", false),
];

/// The same for records, configurations and recipes.
const TEXT_PLACES: [(&str, bool); 12] = [
    (INSPECT, true),
    (ASSIGN, true),
    (INIT, false),
    ("assign --recipe FILE --round 0 --shards shards --beacon BEACON --workers ann", false),
    (ASSIGNED, false),
    ("replay --recipe FILE --model theta-0 --shards shards --assignments assignments.jsonl --update update", false),
    (
        "score --recipe r.toml --model theta-0 --val shards/val-00000.safetensors --beacon BEACON --findings FILE update",
        true,
    ),
    (
        "score --recipe r.toml --model theta-0 --val shards/val-00000.safetensors --beacon BEACON --commitments FILE update",
        true,
    ),
    ("aggregate --recipe r.toml --model theta-0 --scores FILE update -o next --force", true),
    ("train --recipe FILE --model theta-0 --round 0 --worker ann --shard shards/train-00000.safetensors", false),
    ("compress --recipe FILE delta", false),
    ("shard corpus.txt --tokenizer ./FILE --seq-len 8 --shards 1 -o next --force", false),
];

fn feed(all: Vec<Hostile>, places: &[(&str, bool)]) {
    let world = world();
    let shard = records(&world.bytes("assignments.jsonl"), "assignment")[0]["shard"].as_str().unwrap().to_owned();
    let train = "train --recipe r.toml --model theta-0 --round 0 --worker ann --assignments assignments.jsonl";
    world.ok(&format!("{train} --shard shards/{shard} -o delta"));
    world.ok("compress --recipe r.toml delta -o update");
    for hostile in all {
        world.write(hostile.name, &hostile.bytes);
        for (verb, tolerant) in places {
            let output = run(&world, verb, hostile.name);
            let said = talk(&output);
            let what = format!("{}: {verb}: {said}", hostile.name);
            match output.status.code() {
                Some(1 | 65) => {
                    let named = said.contains(hostile.name)
                        || verb.contains("MODEL") && said.contains("bent")
                        || verb.contains("--state") && said.contains("mismatch: state")
                        || verb.contains("--previous") && said.contains("from a round before");
                    assert!(named, "{what}");
                    assert!(output.stdout.is_empty() || verb.starts_with("replay"), "{what}");
                }
                // Records of other types are passed over, and then there is none of the type that is needed.
                Some(66) => assert!(verb.contains("assignments FILE"), "{what}"),
                Some(0) => assert!(tolerant, "{what}"),
                other => panic!("{other:?}: {what}"),
            }
        }
        fs::remove_file(world.path(hostile.name)).unwrap();
    }
}

#[test]
fn no_verb_trips_over_a_hostile_file_of_tensors() {
    feed(hostile_tensors().into_iter().chain(hostile_payloads()).collect(), &TENSOR_PLACES);
}

#[test]
fn no_verb_trips_over_a_hostile_text() {
    feed(hostile_texts(), &TEXT_PLACES);
}
