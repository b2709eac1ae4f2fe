//! Every decoder under seeded mutations of a small corpus: what `just fuzz` does with libFuzzer, bounded and on any
//! toolchain.

#[path = "../fuzz/harness.rs"]
mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use l402::artifact::recipe::CodecName;
use l402::artifact::{ArtifactKind, Meta};
use l402::codec::compress_tensors;
use l402::engine::philox;

/// Mutations of each codec's payloads, and of each kind of file.
const MUTATIONS: u64 = 40_000;

fn name_of(codec: CodecName) -> String {
    serde_json::json!(codec).as_str().unwrap().to_owned()
}

fn values(kind: u32, n: usize) -> Vec<f32> {
    let value = |i: u64| match kind {
        0 => philox::normal([7, kind], i),
        1 if i % 50 == 3 => philox::normal([7, kind], i) * 100.0,
        2 => -0.25,
        3 => f32::from_bits(philox::philox([7, 3], [i as u32, 0, 0, 0])[0] & 0x8000_03ff),
        _ => 0.0,
    };
    (0..n as u64).map(value).collect()
}

/// Payloads as encoders write them, each behind the two bytes that choose its shape and density.
fn payloads(codec: CodecName) -> BTreeMap<String, Vec<u8>> {
    let mut made = BTreeMap::new();
    for (shape_at, top_k_at, kind) in
        [(1, 0, 0), (3, 0, 0), (3, 2, 1), (4, 0, 1), (4, 3, 0), (5, 0, 2), (6, 2, 3), (6, 0, 4)]
    {
        let head = [shape_at, top_k_at];
        let (coder, shape, _) = harness::split(codec, &head).unwrap();
        let data = values(kind, shape.iter().product());
        let payload = coder.encode(shape, &data).unwrap();
        made.insert(format!("{shape_at}-{top_k_at}-{kind}"), [&head[..], &payload].concat());
    }
    made
}

/// One file of each codec, behind the byte that chooses it.
fn updates() -> BTreeMap<String, Vec<u8>> {
    let file = |(at, codec): (u8, CodecName)| {
        let recipe = harness::recipe(codec);
        let mut meta = Meta::new(ArtifactKind::Delta);
        meta.set("run", recipe.digest()).set("round", 3).set("worker", "ann");
        let (a, b) = (values(0, 360), values(1, 300));
        let tensors = [("a", &[40usize, 9][..], &a[..]), ("b", &[300], &b)];
        let done = compress_tensors(&recipe, &meta, &tensors, None, std::io::sink()).unwrap();
        (name_of(codec), [&[at], &done.update.to_bytes().unwrap().0[..]].concat())
    };
    (0..).zip(CodecName::ALL).map(file).collect()
}

fn corpora() -> BTreeMap<String, BTreeMap<String, Vec<u8>>> {
    let codecs = CodecName::ALL.into_iter().map(|codec| (name_of(codec), payloads(codec)));
    codecs.chain([("update".to_owned(), updates())]).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/fuzz")
}

#[test]
fn the_committed_corpus_is_what_encoders_write() {
    for (target, corpus) in corpora() {
        let folder = folder().join(&target);
        if std::env::var_os("L402_REGENERATE").is_some() {
            fs::create_dir_all(&folder).unwrap();
            corpus.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
        }
        for (name, bytes) in &corpus {
            let found = fs::read(folder.join(name)).unwrap();
            assert!(found == *bytes, "{target}/{name} differs: L402_REGENERATE=1 cargo test --test fuzz");
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), corpus.len(), "{target}");
    }
}

/// The n-th mutation of an input: a few bits, bytes, cuts, repeats or another input's end.
fn mutated(inputs: &[&Vec<u8>], target: u32, n: u64) -> Vec<u8> {
    let mut drawn = 0;
    let mut draw = |below: usize| {
        drawn += 1;
        let [value, ..] = philox::philox([402, target], [n as u32, drawn, 0, 0]);
        value as usize % below.max(1)
    };
    let mut input = inputs[draw(inputs.len())].clone();
    for _ in 0..=draw(4) {
        let at = draw(input.len());
        match (draw(8), input.is_empty()) {
            (0, _) => input.truncate(at),
            (1, _) => input.insert(at, draw(256) as u8),
            (2, _) => {
                let other = inputs[draw(inputs.len())];
                input.truncate(at);
                input.extend(&other[draw(other.len())..]);
            }
            (3, _) => input.extend_from_within(at..),
            (_, true) => {}
            (4, _) => input[at] = [0, 0x7f, 0x80, 0xff][draw(4)],
            (5, _) => input[at] = draw(256) as u8,
            (_, _) => input[at] ^= 1 << draw(8),
        }
    }
    input
}

#[test]
fn no_decoder_trips_over_anything() {
    for (number, (target, corpus)) in (0..).zip(corpora()) {
        let inputs: Vec<&Vec<u8>> = corpus.values().collect();
        let codec = CodecName::ALL.into_iter().find(|codec| name_of(*codec) == target);
        let run = |input: &[u8]| codec.map_or_else(|| harness::update(input), |codec| harness::payload(codec, input));
        inputs.iter().for_each(|input| run(input));
        (0..MUTATIONS).for_each(|n| run(&mutated(&inputs, number, n)));
    }
}
