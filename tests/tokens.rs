//! Tokens: a shard holds what Python's `tokenizers` makes of the same corpus, by tokenizers of every family.
//!
//! `testdata/oracle/tokens.py` makes the tokenizers, the documents and what is expected of them. And what was encoded before a kill is
//! not encoded again.

mod common;

use std::fs::{self, DirBuilder};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::Instant;

use common::{World, draw, talk};
use l402::data::Shard;
use l402::fsio::Source;
use lightning::bitcoin::hashes::{Hash, sha256};

/// Every kind with the token that ends its documents.
const KINDS: [(&str, &str); 6] = [
    ("gpt2", "<|endoftext|>"),
    ("pattern", "<|endoftext|>"),
    ("sentencepiece", "</s>"),
    ("wordpiece", "[SEP]"),
    ("unigram", "</s>"),
    ("trained", "<|endoftext|>"),
];

fn oracle(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/oracle/tokens").join(name)
}

/// The tokens of a corpus, all of them: sequences of one token and its target, in one shard. With the end-of-document token.
fn tokens(world: &World, corpus: &str, kind: &str, eod: &str) -> (Vec<u32>, u32) {
    let tokenizer = oracle(&format!("{kind}.json"));
    world.ok(&format!(
        "shard {corpus} --tokenizer {} --eod {eod} --seq-len 1 --shards 1 --val-shards 0 --threads 2 -o {kind}",
        tokenizer.display()
    ));
    let shard = Shard::open(Source::open(&world.path(&format!("{kind}/train-00000.safetensors"))).unwrap()).unwrap();
    fs::remove_dir_all(world.path(kind)).unwrap();
    let first = shard.sequence(0).next().unwrap();
    let rest = (0..shard.sequences()).map(|i| shard.sequence(i).last().unwrap());
    let all: Vec<u32> = std::iter::once(first).chain(rest).collect();
    let end = *all.last().unwrap();
    (all, end)
}

#[test]
fn every_document_of_a_corpus_has_the_tokens_that_python_gives_it() {
    let world = World::empty();
    let documents = oracle("documents.jsonl");
    let texts = fs::read_to_string(&documents).unwrap();
    for (kind, eod) in KINDS {
        let (found, end) = tokens(&world, &documents.display().to_string(), kind, eod);
        let found: Vec<&[u32]> = found.split_inclusive(|id| *id == end).collect();
        let expected = fs::read_to_string(oracle(&format!("{kind}.ids"))).unwrap();
        let expected: Vec<Vec<u32>> =
            expected.lines().map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect()).collect();
        assert_eq!(found.len(), expected.len(), "{kind}");
        for ((text, found), expected) in texts.lines().zip(found).zip(&expected) {
            assert_eq!(&found[..found.len() - 1], expected, "{kind}: {text}");
        }
    }
}

#[test]
fn documents_longer_than_a_piece_have_the_tokens_that_python_gives_to_the_whole() {
    let world = World::empty();
    let speech = String::from_utf8(common::corpus()).unwrap();
    let article: Vec<String> = fs::read_to_string(oracle("documents.jsonl"))
        .unwrap()
        .lines()
        .take(9)
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_owned())
        .collect();
    let documents = [
        ("carriage returns", speech.replace('\n', "\r\n")),
        ("one line", speech.replace('\n', " ")),
        ("many scripts", (article.join("\n") + "\n").repeat(700)),
    ];
    let expected: serde_json::Value = serde_json::from_slice(&fs::read(oracle("long.json")).unwrap()).unwrap();
    for (what, text) in &documents {
        assert!(text.len() > 1 << 20, "{what}");
        world.write("long.txt", text.as_bytes());
        for (kind, eod) in KINDS {
            let (found, _) = tokens(&world, "long.txt", kind, eod);
            let (_, found) = found.split_last().unwrap();
            let expected = &expected["documents"][kind][what];
            assert_eq!(found.len() as u64, expected["ids"].as_u64().unwrap(), "{kind}, {what}");
            let bytes: Vec<u8> = found.iter().flat_map(|id| id.to_le_bytes()).collect();
            let digest = sha256::Hash::hash(&bytes).to_string();
            assert_eq!(digest, expected["sha256"].as_str().unwrap(), "{kind}, {what}");
        }
    }
}

/// So many documents of real text, one a line: what is encoded together, and kept together, are 4096 of them.
fn documents(lines: usize) -> String {
    let text = String::from_utf8(common::corpus()).unwrap();
    let verses: Vec<&str> = text.split("\n\n").collect();
    (0..lines)
        .map(|i| format!("{}\n", serde_json::json!({ "text": format!("{i}: {}", verses[i % verses.len()]) })))
        .collect()
}

/// The corpus `c.jsonl` into `out`.
fn shard(kind: &str, more: &str) -> String {
    let tokenizer = oracle(&format!("{kind}.json"));
    format!("shard c.jsonl --tokenizer {} --seq-len 64 --shards 3 --threads 2 -o out {more}", tokenizer.display())
}

#[test]
fn a_corpus_that_is_killed_at_any_moment_becomes_the_shards_that_it_becomes_undisturbed() {
    let world = World::empty();
    world.write("c.jsonl", documents(40_000).as_bytes());
    let begun = Instant::now();
    world.ok(&shard("gpt2", ""));
    let takes = begun.elapsed();
    let truth = world.tree("out");
    let (mut killed, mut resumed, mut begun) = (0, 0, 0u32);
    while killed < 6 {
        fs::remove_dir_all(world.path("out")).unwrap();
        loop {
            let mut child = world.command(&shard("gpt2", "--checkpoint own")).spawn().unwrap();
            begun += 1;
            sleep(takes * draw(&format!("shard {begun}"), 1000) as u32 / 1000 * (8 + begun) / 9);
            let _ = child.kill();
            let output = child.wait_with_output().unwrap();
            resumed += usize::from(talk(&output).contains("goes on with "));
            match output.status.signal() {
                Some(9) => killed += 1,
                other => {
                    assert_eq!((other, output.status.code()), (None, Some(0)), "{}", talk(&output));
                    break;
                }
            }
        }
        assert!(world.tree("out") == truth);
        assert_eq!(world.listing("own"), [""; 0]);
        assert!(world.listing(".").iter().all(|name| !name.contains(".l402-tmp.")), "{:?}", world.listing("."));
    }
    assert!(resumed > 0, "killed {killed} times, and it never went on");
}

/// Leaves kept tokens of the first 4096 documents, as a kill in the middle of a corpus does.
fn cut_short(world: &World, corpus: &str) {
    let mut command = world.command(&shard("gpt2", "--checkpoint own").replace("c.jsonl", "- --format jsonl"));
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(corpus.as_bytes()).unwrap();
    let kept = world.path("own/checkpoint.tokens");
    while !fs::metadata(&kept).is_ok_and(|meta| meta.len() > 10_000) {
        assert!(child.try_wait().unwrap().is_none());
        sleep(std::time::Duration::from_millis(5));
    }
    world.expect(&shard("gpt2", "--checkpoint own"), 75, "another process works in this folder");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn tokens_that_are_kept_serve_their_corpus_and_tokenizer_alone() {
    let world = World::empty();
    let corpus = documents(6000);
    world.write("c.jsonl", corpus.as_bytes());
    world.ok(&shard("gpt2", ""));
    let truth = world.tree("out");
    fs::remove_dir_all(world.path("out")).unwrap();
    cut_short(&world, &corpus);
    let kept = world.bytes("own/checkpoint.tokens");

    // Another tokenizer, another version's kept tokens; another corpus, from its first document on and in its last one.
    world.expect(&shard("wordpiece", "--eod [SEP] --checkpoint own"), 73, "made with another: expected \"l402 ");
    world.write("c.jsonl", corpus.replacen("0: ", "zero: ", 1).as_bytes());
    world.expect(&shard("gpt2", "--checkpoint own"), 73, "piece 0: made from another input: expected ");
    assert!(!world.has("out"));
    assert_eq!(world.bytes("own/checkpoint.tokens"), kept);
    let own = world.ok(&shard("gpt2", "--checkpoint own --force"));
    assert!(talk(&own).contains("goes on with "), "{}", talk(&own));
    let forced = world.tree("out");
    world.ok(&shard("gpt2", "--force"));
    assert!(world.tree("out") == forced && forced != truth);
    fs::remove_dir_all(world.path("out")).unwrap();

    // A bent file is passed over from there on, a whole one used.
    world.write("c.jsonl", corpus.as_bytes());
    let mut bent = kept.clone();
    bent[kept.len() - 100] ^= 1;
    for content in [&bent[..], &kept[..kept.len() - 1], &kept, b""] {
        world.write("own/checkpoint.tokens", content);
        fs::set_permissions(world.path("own/checkpoint.tokens"), fs::Permissions::from_mode(0o600)).unwrap();
        world.ok(&shard("gpt2", "--checkpoint own"));
        assert!(world.tree("out") == truth);
        assert!(!world.has("own/checkpoint.tokens"));
        fs::remove_dir_all(world.path("out")).unwrap();
    }

    // Whose folder it is, and where it may be.
    world.expect(&shard("gpt2", "--checkpoint out/own"), 2, "--checkpoint: out/own is inside of the output, out");
    DirBuilder::new().mode(0o755).create(world.path("open")).unwrap();
    fs::set_permissions(world.path("open"), fs::Permissions::from_mode(0o755)).unwrap();
    world.expect(&shard("gpt2", "--checkpoint open"), 65, "expected a folder for its owner alone, found mode 755");
    let bytes = "shard c.jsonl --tokenizer bytes --seq-len 64 --shards 1 -o out --checkpoint own";
    world.expect(bytes, 2, "--checkpoint: bytes are their own tokens, there is nothing to keep of them");
}
