//! Tokens: a shard holds what Python's `tokenizers` makes of the same corpus, by tokenizers of every family.
//!
//! `testdata/oracle/tokens.py` makes the tokenizers, the documents and what is expected of them.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::World;
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
