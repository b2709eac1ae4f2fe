//! Corpora of every form, cut into shards.

use std::collections::BTreeMap;
use std::fs;

use clap::Parser;
use parquet::basic::Compression;

use super::*;
use crate::artifact::record;
use crate::data::{Shard, testing};
use crate::fsio::Source;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

/// Runs the verb in a folder, by its arguments.
pub fn shard(folder: &Path, line: &str) -> Result<()> {
    let words = line.split(' ').map(|word| match word.split_once('@') {
        Some(("", name)) => folder.join(name).into_os_string(),
        _ => word.into(),
    });
    let line = Line::try_parse_from(std::iter::once("shard".into()).chain(words)).unwrap();
    run(&line.args, &Ui::new(true, 0))
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// The sequences of every shard, by the order in which they were dealt out.
fn sequences(folder: &Path) -> Vec<Vec<u32>> {
    let lines = record::read_lines(&folder.join(MANIFEST)).unwrap();
    let manifest = Manifest::parse(&lines).unwrap();
    let shards: Vec<Shard> = manifest
        .entries()
        .iter()
        .map(|entry| {
            let source = Source::open(&folder.join(&entry.file)).unwrap();
            let shard = Shard::open(source).unwrap();
            entry.agrees(shard.info()).unwrap();
            assert_eq!(shard.digest(), entry.digest);
            shard
        })
        .collect();
    let total: usize = shards.iter().map(Shard::sequences).sum();
    (0..total).map(|i| shards[i % shards.len()].sequence(i / shards.len()).collect()).collect()
}

fn documents() -> Vec<String> {
    (0..400).map(|i| format!("document {i}: the worker sends update {}\n", i * i)).collect()
}

#[test]
fn text_json_lines_and_parquet_of_the_same_documents_make_the_same_shards() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let documents = documents();
    let mut texts = String::new();
    for (i, document) in documents.iter().enumerate() {
        fs::write(at(&format!("{i}.txt")), document).unwrap();
        texts += &format!("@{i}.txt ");
    }
    let json: String = documents.iter().map(|d| format!("{}\n", serde_json::json!({"n": 1, "body": d}))).collect();
    let zst = zstd::encode_all(json.as_bytes(), 3).unwrap();
    fs::write(at("c.jsonl.zst"), zst).unwrap();
    let rows: Vec<Option<&str>> = documents.iter().map(|d| Some(d.as_str())).collect();
    let table = testing::parquet(&rows, 150, Compression::SNAPPY);
    fs::write(at("c.parquet"), table).unwrap();
    fs::write(at("bpe.json"), testing::bpe()).unwrap();
    for tokenizer in ["bytes", "@bpe.json"] {
        let rest = format!("--tokenizer {tokenizer} --seq-len 16 --shards 3 --val-shards 2");
        for corpus in [&texts, "@c.jsonl.zst --text-field body ", "@c.parquet "] {
            shard(place.path(), &format!("{corpus}{rest} -o @out")).unwrap();
        }
        let made = files(&at("out"));
        assert_eq!(made.len(), if tokenizer == "bytes" { 6 } else { 7 });
        fs::remove_dir_all(at("out")).unwrap();
    }
}

#[test]
fn the_sequences_are_the_documents_with_their_separators_and_no_two_shards_share_one() {
    let place = tempfile::tempdir().unwrap();
    let text = |n: u32| (0..n).map(|i| format!("{i} ")).collect::<String>();
    fs::write(place.path().join("a"), text(30_000)).unwrap();
    fs::write(place.path().join("b"), text(9)).unwrap();
    shard(place.path(), "@a @b --tokenizer bytes --seq-len 10 --shards 4 -o @out").unwrap();
    let mut expected: Vec<u32> = Vec::new();
    for text in [text(30_000), text(9)] {
        expected.extend(text.bytes().map(u32::from));
        expected.push(256);
    }
    let found = sequences(&place.path().join("out"));
    assert_eq!(found.len(), (expected.len() - 1) / 10);
    for (i, sequence) in found.iter().enumerate() {
        assert_eq!(sequence, &expected[i * 10..i * 10 + 11], "sequence {i}");
    }
    assert!(!place.path().join("out/spool").exists());
}

#[test]
fn sequences_are_dealt_out_in_turn_unless_a_fraction_says_how_many_are_held_out() {
    for (train, val) in [(1, 0), (1, 1), (4, 1), (3, 2)] {
        let deal = Deal { train, val, val_ppm: None };
        assert!((0..200).all(|i| deal.slot(i) as u64 == i % (train + val)), "{train} {val}");
    }
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("a"), "0123456789".repeat(4001)).unwrap();
    let counts = |more: &str| {
        shard(place.path(), &format!("@a --tokenizer bytes --seq-len 10 --shards 2 {more} -o @out")).unwrap();
        let lines = record::read_lines(&place.path().join("out").join(MANIFEST)).unwrap();
        let manifest = Manifest::parse(&lines).unwrap();
        fs::remove_dir_all(place.path().join("out")).unwrap();
        manifest.entries().iter().map(|entry| entry.sequences).collect::<Vec<_>>()
    };
    assert_eq!(counts("--val-shards 1"), [1334, 1334, 1333]);
    assert_eq!(counts("--val-fraction 0.05"), [1901, 1900, 200]);
    assert_eq!(counts("--val-fraction 0.5 --val-shards 3"), [1001, 1000, 667, 667, 666]);
    let refuse = |more: &str, kind: Kind, part: &str| {
        let line = format!("@a --tokenizer bytes --seq-len 10 --shards 2 {more} -o @out");
        let error = shard(place.path(), &line).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    refuse("--val-fraction 0.0001", Kind::Data, "found 4001 sequences, 0 of them held out for 1 validation shards");
    refuse("--val-fraction 0.1 --val-shards 0", Kind::Usage, "--val-fraction");
}

#[test]
fn a_large_vocabulary_takes_32_bits_and_the_tokenizer_goes_along() {
    let place = tempfile::tempdir().unwrap();
    let json = testing::words("null", "</s>", 70_000);
    fs::write(place.path().join("t.json"), &json).unwrap();
    fs::write(place.path().join("a"), "a".repeat(9)).unwrap();
    shard(place.path(), "@a @a --tokenizer @t.json --seq-len 4 --shards 2 --val-shards 0 -o @out").unwrap();
    let out = place.path().join("out");
    let last = [0, 70_000, 0, 0, 0];
    assert_eq!(sequences(&out)[2 - 1], [0, 0, 0, 0, 0]);
    assert_eq!(sequences(&out)[2], last);
    assert_eq!(files(&out)["tokenizer.json"], json.into_bytes());
    assert_eq!(files(&out).len(), 4);
}

#[test]
fn what_cannot_be_sharded_is_refused_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("a"), "few").unwrap();
    fs::write(place.path().join("a.jsonl"), "{").unwrap();
    fs::write(place.path().join("a.parquet"), "PAR1").unwrap();
    fs::write(place.path().join("t.json"), "{}").unwrap();
    for (line, kind, part) in [
        ("@a --tokenizer bytes", Kind::Data, "found 0 sequences"),
        ("@a.jsonl --tokenizer bytes", Kind::Data, "a.jsonl:1: "),
        ("@a.parquet --tokenizer bytes", Kind::Data, "a.parquet: "),
        ("@a --tokenizer @t.json", Kind::Data, "t.json: not a tokenizer"),
        ("@none --tokenizer bytes", Kind::Missing, "none: no such file"),
        ("@a --tokenizer bytes --eod x", Kind::Usage, "--eod"),
    ] {
        let line = format!("{line} --seq-len 8 --shards 2 -o @out");
        let error = shard(place.path(), &line).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 4);
    }
}
