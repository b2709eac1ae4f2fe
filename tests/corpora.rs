//! Corpora: files, folders, patterns and standard input, compressed or not, and the tokens around their documents.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{World, gzip, sane, talk};
use l402::data::Shard;
use l402::fsio::Source;

const REST: &str = "--tokenizer bytes --seq-len 8 --shards 2 -o out --force";

fn shards(world: &World) -> BTreeMap<String, Vec<u8>> {
    world.tree("out").into_iter().collect()
}

fn oracle(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/oracle/tokens").join(name)
}

fn with_input(world: &World, args: &str, input: &[u8]) -> Output {
    let mut child = world.command(args).stdin(Stdio::piped()).spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    // What is refused before it is read closes the pipe.
    let _ = to.write_all(input);
    drop(to);
    let output = child.wait_with_output().unwrap();
    sane(args, &output);
    output
}

/// All tokens of a corpus in one shard of sequences of one token.
fn tokens(world: &World, args: &str) -> Vec<u32> {
    world.ok(&format!("shard {args} --seq-len 1 --shards 1 --val-shards 0 -o all"));
    let shard = Shard::open(Source::open(&world.path("all/train-00000.safetensors")).unwrap()).unwrap();
    let first = shard.sequence(0).next();
    let all = first.into_iter().chain((0..shard.sequences()).map(|i| shard.sequence(i).last().unwrap())).collect();
    fs::remove_dir_all(world.path("all")).unwrap();
    all
}

#[test]
fn the_same_documents_make_the_same_shards_whatever_holds_them() {
    let world = World::empty();
    let texts =
        ["first text, of some length\n", "second: naïve — 你好\n", "", "third and last, a little longer than that"];
    let lines: Vec<String> = texts.iter().map(|text| format!("{}\n", serde_json::json!({ "text": text }))).collect();
    for (i, text) in texts.iter().enumerate() {
        world.write(&format!("{i}.txt"), text.as_bytes());
    }
    fs::create_dir_all(world.path("data/a/deep")).unwrap();
    world.write("data/a/deep/0.txt.gz", &gzip(texts[0].as_bytes()));
    world.write("data/a/one.jsonl.gz", &[gzip(lines[1].as_bytes()), gzip(lines[2].as_bytes())].concat());
    world.write("data/b.txt.zst", &zstd::encode_all(texts[3].as_bytes(), 3).unwrap());
    world.write("data/c.png", b"\x89PNG");
    world.write("data/.hidden.txt", b"not this one");
    world.ok(&format!("shard 0.txt 1.txt 2.txt 3.txt {REST}"));
    let expected = shards(&world);
    for corpus in ["data", "data/a data/b.txt.zst", "data/**/*.gz data/*.zst", "data/a/** data/?.txt.zst"] {
        let output = world.ok(&format!("shard {corpus} {REST}"));
        assert_eq!(shards(&world), expected, "{corpus}");
        assert!(talk(&output).contains("corpus files: "), "{}", talk(&output));
    }
    let said = talk(&world.ok(&format!("shard data {REST}")));
    assert!(said.contains("found 3 corpus files: 2 of text, 1 of JSON Lines; passed over: 1 of other kinds"), "{said}");
    for (args, input) in [("0.txt - 3.txt --format jsonl", &lines[1..3]), ("- --format jsonl", &lines[..])] {
        let output = with_input(&world, &format!("shard {args} {REST}"), input.concat().as_bytes());
        assert_eq!(output.status.code(), Some(0), "{}", talk(&output));
        assert_eq!(shards(&world), expected, "{args}");
    }
    let output = with_input(&world, &format!("shard - 1.txt 2.txt 3.txt --format text {REST}"), texts[0].as_bytes());
    assert_eq!((output.status.code(), shards(&world)), (Some(0), expected.clone()));
    // The shards that are made are no corpus, wherever they lie.
    world.ok(&format!("shard data {} -o data/out", REST.replace("-o out --force", "")));
    world.ok(&format!("shard data {} -o data/out", REST.replace("-o out --force", "")));
    assert_eq!(world.tree("data/out").into_iter().collect::<BTreeMap<_, _>>(), expected);
}

#[test]
fn what_is_no_corpus_is_refused_before_anything_is_made() {
    let world = World::empty();
    fs::create_dir(world.path("empty")).unwrap();
    world.write("a.txt", b"a text that is long enough for some shards of it");
    let good = gzip(&world.bytes("a.txt"));
    world.write("cut.txt.gz", &good[..good.len() - 5]);
    world.write("more.txt.gz", &[&good[..], b"more"].concat());
    world.write("none.txt.gz", b"plain");
    let mut wrong = good.clone();
    wrong[14] ^= 1;
    world.write("wrong.txt.gz", &wrong);
    for (corpus, code, says) in [
        ("cut.txt.gz", 65, "cut.txt.gz: gzip: ends before"),
        ("more.txt.gz", 65, "more.txt.gz: gzip: "),
        ("none.txt.gz", 65, "none.txt.gz: gzip: "),
        ("wrong.txt.gz", 65, "wrong.txt.gz: gzip: "),
        ("*.csv", 66, "*.csv: no file matches"),
        ("b*/**/*.txt", 66, "no file matches"),
        ("[a].txt", 66, "[a].txt: no such file"),
        ("*.[tx]", 2, "brackets"),
        ("empty", 66, "empty: no corpus file"),
        ("a.txt --format jsonl", 2, "--format"),
        ("- -", 2, "read once"),
        ("a.txt --bos x", 2, "--bos"),
    ] {
        world.expect(&format!("shard {corpus} {REST}"), code, says);
        assert!(!world.has("out"), "{corpus}");
    }
    world.expect("shard - --train-tokenizer 300 --seq-len 8 --shards 1 -o out", 2, "cannot be read twice");
    world.expect("shard a.txt --train-tokenizer 256 --seq-len 8 --shards 1 -o out", 2, "257");
    world.expect("shard a.txt --train-tokenizer 300 --tokenizer bytes --seq-len 8 --shards 1 -o out", 2, "--tokenizer");
    world.expect("shard a.txt --seq-len 8 --shards 1 -o out", 2, "--tokenizer");
    world.expect("shard a.txt --train-tokenizer 5000 --seq-len 8 --shards 1 -o out", 65, "expected 5000 tokens");
    assert!(!world.has("out"));
}

#[test]
fn folders_with_pipes_and_circles_are_read_to_their_end() {
    let world = World::empty();
    fs::create_dir_all(world.path("data/in")).unwrap();
    world.write("data/in/a.txt", b"a text that is long enough for two shards of sequences");
    std::os::unix::fs::symlink("..", world.path("data/in/up")).unwrap();
    std::os::unix::fs::symlink("up/in/up", world.path("data/in/round")).unwrap();
    std::os::unix::fs::symlink("self.txt", world.path("data/in/self.bin")).unwrap();
    // A pipe that nobody writes to: whoever opens it waits for ever.
    assert!(Command::new("mkfifo").arg(world.path("data/in/pipe.txt")).status().unwrap().success());
    for corpus in ["data", "data/**/*.txt", "data/**/in/**/*.txt"] {
        let said = talk(&world.ok(&format!("shard {corpus} {REST}")));
        assert!(said.contains("1 that are neither files nor folders"), "{said}");
    }
}

#[test]
fn documents_begin_and_end_as_the_configuration_beside_the_tokenizer_says() {
    let world = World::empty();
    world.write("a.jsonl", b"{\"text\":\"to be\"}\n{\"text\":\"\"}\n");
    world.write("tokenizer.json", &fs::read(oracle("sentencepiece.json")).unwrap());
    world.write("other.json", &fs::read(oracle("sentencepiece.json")).unwrap());
    let with = |args: &str| tokens(&world, &format!("a.jsonl --tokenizer {args}"));
    let around = |begin: &[u32], end: u32, text: &[u32]| [begin, text, &[end], begin, &[end]].concat();
    // Nothing beside it: as ever.
    let plain = with("tokenizer.json");
    let text = plain[..plain.len() - 2].to_vec();
    assert_eq!(plain, around(&[], 2, &text));
    world.write("special_tokens_map.json", br#"{"bos_token":"<s>","eos_token":"<unk>"}"#);
    assert_eq!(with("tokenizer.json"), around(&[], 0, &text));
    world.write("tokenizer_config.json", br#"{"add_bos_token":true,"eos_token":{"content":"</s>"}}"#);
    assert_eq!(with("tokenizer.json"), around(&[1], 2, &text));
    assert_eq!(with("tokenizer.json --bos none"), plain);
    assert_eq!(with("tokenizer.json --eod <unk>"), around(&[1], 0, &text));
    assert_eq!(with("tokenizer.json --eod <s> --bos <unk>"), around(&[0], 1, &text));
    // They are those of the file of that name alone.
    assert_eq!(with("other.json"), plain);

    let rest = "a.jsonl --tokenizer tokenizer.json --seq-len 2 --shards 1 --val-shards 0";
    let said = talk(&world.ok(&format!("shard {rest} -o begins")));
    assert!(
        said.contains("documents begin with \"<s>\" (1), by the configuration beside it, and end with \"</s>\" (2)"),
        "{said}"
    );
    world.ok(&format!("shard {rest} --bos none -o plain"));
    let header = |folder: &str| world.text(&format!("inspect {folder}/train-00000.safetensors"));
    assert!(header("begins").contains("bos"), "{}", header("begins"));
    assert!(!header("plain").contains("bos"), "{}", header("plain"));

    for (config, says) in [
        (&b"[1]"[..], "tokenizer_config.json: not a tokenizer's configuration"),
        (br#"{"eos_token":"<none>"}"#, "no token \"<none>\""),
        (br#"{"eos_token":"</s>","add_bos_token":true,"bos_token":"<none>"}"#, "no token \"<none>\""),
    ] {
        world.write("tokenizer_config.json", config);
        world.expect(&format!("shard {rest} -o out"), 65, says);
        assert!(!world.has("out"));
    }
    // Who names both asks nobody.
    world.write("tokenizer_config.json", b"[1]");
    assert_eq!(with("tokenizer.json --eod </s> --bos none"), plain);
}

#[test]
fn a_trained_tokenizer_is_the_committed_one_that_python_reads_whatever_the_threads() {
    let world = World::empty();
    world.write("a.txt", &common::corpus()[..150_000]);
    world.write("b.jsonl", &fs::read(oracle("documents.jsonl")).unwrap());
    let rest = "a.txt b.jsonl --train-tokenizer 600 --seq-len 32 --shards 2";
    let said = talk(&world.ok(&format!("shard {rest} --threads 1 -o one")));
    assert!(said.contains("tokenizer.json: 600 tokens, trained on this corpus"), "{said}");
    world.ok(&format!("shard {rest} --threads 2 -o two"));
    assert_eq!(world.tree("one"), world.tree("two"));
    let said = talk(&world.ok(&format!("shard {rest} --threads 2 -o one")));
    assert!(said.contains("up to date"), "{said}");
    let committed = oracle("trained.json");
    if std::env::var_os("L402_REGENERATE").is_some() {
        fs::write(&committed, world.bytes("one/tokenizer.json")).unwrap();
    }
    assert!(world.bytes("one/tokenizer.json") == fs::read(&committed).unwrap(), "trained.json differs");
    // Its shards are those that it makes when it is named.
    world.ok(&format!(
        "shard {} --tokenizer one/tokenizer.json -o two --force",
        rest.replace("--train-tokenizer 600", "")
    ));
    let trained = world.tree("one").into_iter().filter(|(name, _)| name != "tokenizer_config.json");
    assert_eq!(trained.collect::<Vec<_>>(), world.tree("two"));
}

/// A gzip member by hand, without its end: one byte again and again, 258 of them in thirteen bits.
fn gzip_bomb(byte: u8, matches: usize) -> Vec<u8> {
    let mut bits = vec![true, true, false];
    // Literals below 144 and lengths from 280 on have eight bits, distance 1 has five, the highest first.
    let mut code = |code: u8, count: u32| (0..count).rev().for_each(|i| bits.push(code >> i & 1 == 1));
    assert!(byte < 144);
    code(0x30 + byte, 8);
    for _ in 0..matches {
        code(0b1100_0101, 8);
        code(0, 5);
    }
    let bytes = bits.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit)));
    [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255].into_iter().chain(bytes).collect()
}

#[test]
fn a_gzip_bomb_costs_the_memory_of_its_longest_line() {
    let world = World::empty();
    // 300 MB of one line, in two megabytes.
    world.write("line.jsonl.gz", &gzip_bomb(b'x', 1_170_000));
    world.write("blank.jsonl.gz", &gzip_bomb(b'\n', 100_000));
    world.write("text.txt.gz", &gzip_bomb(b'x', 20_000));
    world.write("tokenizer.json", &fs::read(oracle("gpt2.json")).unwrap());
    for (args, says) in [
        ("line.jsonl.gz --tokenizer bytes", "line.jsonl.gz:1: the line is longer than 268435456 bytes"),
        ("blank.jsonl.gz --tokenizer bytes", "blank.jsonl.gz: gzip: ends before"),
        ("text.txt.gz --tokenizer tokenizer.json", "text.txt.gz: gzip: ends before"),
    ] {
        let limited = "ulimit -v 1048576; exec \"$0\" \"$@\"";
        let output = Command::new("sh")
            .args(["-c", limited, env!("CARGO_BIN_EXE_l402"), "shard"])
            .args(format!("{args} --seq-len 8 --shards 1 --threads 1 -o out").split(' '))
            .current_dir(world.path("."))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(65), "{args}: {}", talk(&output));
        assert!(talk(&output).contains(says), "{args}: {}", talk(&output));
        assert!(!world.has("out"));
    }
}
