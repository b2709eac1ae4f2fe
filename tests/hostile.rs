//! Hostile files: `testdata/hostile/` holds one of each, and no verb panics on one, or takes memory for what it announces.
//!
//! The files are made here, and compared with what is committed. `L402_REGENERATE=1 cargo test --test hostile` remakes
//! them; their version is that of this file.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use common::{World, records, talk};
use l402::artifact::{ArtifactKind, Digest, Dtype, Header, Meta, Recipe, TensorInfo, Writer};
use l402::codec::{codec_for, compress_tensors};
use l402::data::{ShardInfo, Split, TOKENS, to_bytes};
use l402::model::{Layout, ModelConfig};
use serde_json::json;

/// As small as a model can be that knows bytes.
const CONFIG: &str = r#"{"model_type":"llama","hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,
"num_attention_heads":2,"num_key_value_heads":1,"head_dim":4,"vocab_size":257,"tie_word_embeddings":true}"#;

/// The memory that a program may have: less than any of the bombs holds.
const MEMORY_KIB: u64 = 3 << 18;

fn recipe_text() -> String {
    common::recipe(common::FULL, "").replace("top_k = 256", "top_k = 64")
}

fn recipe() -> Recipe {
    Recipe::parse(&recipe_text()).unwrap()
}

/// The recipe with another codec.
fn recipe_text_of(codec: &str) -> String {
    recipe_text().replace("name = \"sparseloco\"", &format!("name = \"{codec}\""))
}

fn layout() -> Layout {
    Layout::new(&ModelConfig::parse(CONFIG).unwrap())
}

// ---- The generator ----

/// A safetensors file of these bytes: header as given, padded or not, and data.
fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    let padded = format!("{header}{}", " ".repeat((64 - (8 + header.len()) % 64) % 64));
    [&(padded.len() as u64).to_le_bytes(), padded.as_bytes(), data].concat()
}

fn meta(kind: ArtifactKind) -> Meta {
    let mut meta = Meta::new(kind);
    meta.set("run", recipe().digest()).set("round", 0).set("worker", "ann");
    meta
}

/// A canonical file: metadata, one tensor, its data.
fn one_tensor(meta: &Meta, name: &str, dtype: Dtype, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let info = TensorInfo { name: name.into(), dtype, shape: shape.to_vec() };
    let mut bytes = Header::new(meta.0.clone(), vec![info]).to_bytes();
    bytes.extend(data);
    bytes
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn delta_of(values: &[f32]) -> Vec<u8> {
    one_tensor(&meta(ArtifactKind::Delta), "w", Dtype::F32, &[values.len()], &floats(values))
}

/// A delta whose header is written by hand: metadata, then `tensors`.
fn delta_with(tensors: &str, data: usize) -> Vec<u8> {
    let metadata = json!(meta(ArtifactKind::Delta).0);
    raw(&format!("{{\"__metadata__\":{metadata},{tensors}}}"), &vec![0; data])
}

/// The content of a block of a zstd frame, in bytes.
const BLOCK: u64 = 128 << 10;

/// A zstd frame by hand: `window_log` (10 to 41), raw bytes, then so many zeros. Independent of any compressor.
fn frame(window_log: u8, content: &[u8], zeros: u64) -> Vec<u8> {
    frame_of(window_log, content, 0, zeros)
}

/// The same, with another byte than zero.
fn frame_of(window_log: u8, content: &[u8], byte: u8, count: u64) -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3];
    let mut block = |kind: u32, last: bool, size: u64, body: &[u8]| {
        let head = (size as u32) << 3 | kind << 1 | u32::from(last);
        out.extend(&head.to_le_bytes()[..3]);
        out.extend(body);
    };
    assert!((content.len() as u64) < BLOCK);
    block(0, count == 0, content.len() as u64, content);
    let mut left = count;
    while left > 0 {
        let size = left.min(BLOCK);
        left -= size;
        block(1, left == 0, size, &[byte]);
    }
    out
}

/// A zstd frame by hand: raw bytes, then so many blocks full of two bytes again and again, then raw bytes.
fn frame_of_pairs(before: &[u8], pair: [u8; 2], blocks: u64, after: &[u8]) -> Vec<u8> {
    // One sequence: the pair as it is, and a match at distance 2 over the rest of the block. All three codes stand by
    // themselves (2 literals; offset 2 + 3, two bits; lengths from 65539, sixteen bits), then the bits, from behind.
    let bits = (BLOCK as u32 - 2 - 65539) | 1 << 16 | 1 << 18;
    let mut body = vec![2 << 3, pair[0], pair[1], 1, 0b01_01_01_00, 2, 2, 52];
    body.extend(&bits.to_le_bytes()[..3]);
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (20 - 10) << 3];
    let mut block = |kind: u32, last: bool, body: &[u8]| {
        let head = (body.len() as u32) << 3 | kind << 1 | u32::from(last);
        out.extend(&head.to_le_bytes()[..3]);
        out.extend(body);
    };
    block(0, false, before);
    (0..blocks).for_each(|_| block(2, false, &body));
    block(0, true, after);
    out
}

/// An update with a tensor of a hundred million bytes of shape, 0, 1, 1, ...
fn shape_bomb() -> Vec<u8> {
    let (header, _) = update();
    let begin = format!(
        "{{\"__metadata__\":{},\"w\":{{\"data_offsets\":[0,0],\"dtype\":\"U8\",\"shape\":[0,",
        json!(header.metadata)
    );
    let blocks = 99_000_000 / BLOCK;
    let len = begin.len() as u64 + blocks * BLOCK + 4;
    frame_of_pairs(&[&len.to_le_bytes()[..], begin.as_bytes()].concat(), *b"1,", blocks, b"1]}}")
}

/// The update that a delta of small values becomes.
fn update() -> (Header, Vec<Vec<u8>>) {
    update_of(&recipe())
}

fn update_of(recipe: &Recipe) -> (Header, Vec<Vec<u8>>) {
    let layout = layout();
    let flat: Vec<f32> = (0..layout.total).map(|i| ((i * 37 % 101) as f32 - 50.0) / 1e4).collect();
    let tensors: Vec<_> = layout.tensors.iter().map(|t| (t.name.as_str(), &t.shape[..], &flat[t.range()])).collect();
    let mut meta = meta(ArtifactKind::Delta);
    meta.set("run", recipe.digest());
    let done = compress_tensors(recipe, &meta, &tensors, None, std::io::sink()).unwrap();
    (done.update.header().clone(), done.update.payloads().to_vec())
}

/// The update with other metadata or payloads.
fn bent_update(change: impl FnOnce(&mut BTreeMap<String, String>, &mut Vec<Vec<u8>>)) -> Vec<u8> {
    let (mut header, mut payloads) = update();
    change(&mut header.metadata, &mut payloads);
    let mut bytes = header.to_bytes();
    payloads.iter().for_each(|p| bytes.extend(p));
    bytes
}

/// An update that announces sixteen tensors of 2^32 elements, in a frame of a few kilobytes.
fn update_bomb() -> Vec<u8> {
    let huge = 1usize << 32;
    let len = *codec_for(&recipe().codec).payload_len(&[huge]).unwrap().start();
    let names: Vec<String> = (0..16).map(|i| format!("w{i:02}")).collect();
    let (mut header, _) = update();
    let shapes: BTreeMap<&String, [usize; 1]> = names.iter().map(|n| (n, [huge])).collect();
    header.metadata.insert("l402.shapes".into(), serde_json::to_string(&shapes).unwrap());
    header.tensors = names.iter().map(|n| TensorInfo::bytes(n, len)).collect();
    frame(20, &header.to_bytes(), header.data_len())
}

fn shard_info() -> ShardInfo {
    ShardInfo {
        tokenizer: "bytes".into(),
        vocab_size: 257,
        seq_len: 16,
        split: Split::Train,
        index: 0,
        of: 1,
        corpus: Digest::of(b"corpus"),
        sequences: 3,
        trained: Default::default(),
    }
}

fn shard_of(tokens: &[u32]) -> Vec<u8> {
    let mut data = Vec::new();
    to_bytes(tokens, 257, &mut data);
    let mut writer = Writer::new("shard", Vec::new(), shard_info().header()).unwrap();
    writer.bytes(TOKENS, &data).unwrap();
    writer.finish().unwrap().0
}

fn record(fields: &str) -> Vec<u8> {
    format!("{{{fields}}}\n").into_bytes()
}

/// A configuration with one field more or another.
fn config_with(field: &str, value: serde_json::Value) -> Vec<u8> {
    let mut config: serde_json::Value = serde_json::from_str(CONFIG).unwrap();
    config[field] = value;
    let mut text = serde_json::to_string_pretty(&config).unwrap();
    text.push('\n');
    text.into_bytes()
}

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

/// An update by another codec, its first payload bent.
fn payload(
    name: &'static str,
    codec: &'static str,
    undo: &'static str,
    change: impl FnOnce(&mut Vec<u8>),
    says: &'static str,
) -> Hostile {
    assert!(undo.contains(&format!("r-{codec}.toml")));
    let (header, mut payloads) = update_of(&Recipe::parse(&recipe_text_of(codec)).unwrap());
    change(&mut payloads[0]);
    let mut bytes = header.to_bytes();
    payloads.iter().for_each(|p| bytes.extend(p));
    Hostile { name, bytes, verb: undo, code: 65, says }
}

/// What no encoder of each codec writes.
fn hostile_payloads() -> Vec<Hostile> {
    const DENSE: &str = "compress -d --recipe r-dense.toml FILE";
    const F16: &str = "compress -d --recipe r-f16.toml FILE";
    const INT8: &str = "compress -d --recipe r-int8.toml FILE";
    const BLOCKWISE8: &str = "compress -d --recipe r-blockwise8.toml FILE";
    const E3M0: &str = "compress -d --recipe r-e3m0.toml FILE";
    const DEMO: &str = "compress -d --recipe r-demo.toml FILE";
    const L402: &str = "compress -d --recipe r-l402.toml FILE";
    vec![
        payload("dense-nan.safetensors", "dense", DENSE, |p| p[..4].fill(0xff), "expected finite"),
        payload("f16-minus-zero.safetensors", "f16", F16, |p| p[..2].copy_from_slice(&[0, 0x80]), "other than -0"),
        payload(
            "int8-infinite-scale.safetensors",
            "int8",
            INT8,
            |p| p[4..8].copy_from_slice(&[0, 0, 0x80, 0x7f]),
            "finite",
        ),
        payload(
            "int8-unused-bucket.safetensors",
            "int8",
            INT8,
            |p| p.iter_mut().rev().take(2056).for_each(|c| *c = 128),
            "buckets",
        ),
        payload(
            "blockwise8-nan-scale.safetensors",
            "blockwise8",
            BLOCKWISE8,
            |p| p[..4].copy_from_slice(&[0, 0, 0xc0, 0x7f]),
            "largest magnitude",
        ),
        payload("e3m0-exponent-255.safetensors", "e3m0", E3M0, |p| p[0] = 255, "exponent 255"),
        payload("demo-nan-scale.safetensors", "demo", DEMO, |p| p[..2].copy_from_slice(&[0xc0, 0x7f]), "finite scale"),
        payload("demo-descending.safetensors", "demo", DEMO, |p| p[2..5].fill(0xff), "an index from"),
        payload("l402-infinite-level.safetensors", "l402", L402, |p| p[..2].fill(0xff), "finite level"),
        payload("l402-goes-on.safetensors", "l402", L402, |p| p.fill(0), "to end after"),
        payload("l402-ends-early.safetensors", "l402", L402, |p| p[2..].fill(0xff), "chunk 0"),
    ]
}

fn hostile_tensors() -> Vec<Hostile> {
    let delta = delta_of(&[0.5, -1.0, 2.0, 0.25]);
    let case = |name, bytes, verb, code, says| Hostile { name, bytes, verb, code, says };
    let w = |offsets: &str, shape: &str| {
        format!("\"w\":{{\"data_offsets\":{offsets},\"dtype\":\"F32\",\"shape\":{shape}}}")
    };
    let two =
        |a: &str, b: &str| format!("\"v\":{{\"data_offsets\":{a},\"dtype\":\"F32\",\"shape\":[4]}},{}", w(b, "[4]"));
    let mut version = meta(ArtifactKind::Delta);
    version.set("format", 2);
    let metadata = json!(meta(ArtifactKind::Delta).0).to_string();
    let header_bytes = u64::from_le_bytes(delta[..8].try_into().unwrap()) as usize;
    vec![
        case("empty.safetensors", Vec::new(), COMPRESS, 65, "too short"),
        case("truncated-header.safetensors", delta[..100].to_vec(), COMPRESS, 65, "announces a header"),
        case("truncated-data.safetensors", delta[..delta.len() - 3].to_vec(), COMPRESS, 65, "truncated"),
        case("oversized.safetensors", [&delta[..], b"and more"].concat(), COMPRESS, 65, "oversized"),
        case("overlapping.safetensors", delta_with(&two("[0,16]", "[8,24]"), 24), COMPRESS, 65, "offset"),
        case("hole.safetensors", delta_with(&two("[0,16]", "[32,48]"), 48), COMPRESS, 65, "offset"),
        case("offsets-backwards.safetensors", delta_with(&w("[16,0]", "[4]"), 16), COMPRESS, 65, "offset"),
        case(
            "header-of-2-to-the-63.safetensors",
            [&(1u64 << 63).to_le_bytes(), &delta[8..]].concat(),
            COMPRESS,
            65,
            "9223372036854775808",
        ),
        case(
            "shape-overflows.safetensors",
            delta_with(&w("[0,0]", "[4294967296,4294967296,4294967296]"), 0),
            COMPRESS,
            65,
            "overflow",
        ),
        case(
            "shape-overflow-hidden-by-zero.safetensors",
            delta_with(&w("[0,0]", "[0,4294967296,4294967296]"), 0),
            COMPRESS,
            65,
            "tensor w",
        ),
        case(
            "shape-of-100-dimensions.safetensors",
            delta_with(&w("[0,4]", &format!("[{}1]", "1,".repeat(99))), 4),
            COMPRESS,
            65,
            "tensor w",
        ),
        case("nested-header.safetensors", raw(&"{\"w\":[".repeat(5000), b""), COMPRESS, 65, "does not parse"),
        case("header-not-utf8.safetensors", raw("", &[]).into_iter().chain([0xff]).collect(), COMPRESS, 65, ""),
        case("nan.safetensors", delta_of(&[0.5, f32::NAN, 1.0]), COMPRESS, 65, "tensor w: element 1 is NaN"),
        case("infinite.safetensors", delta_of(&[0.5, 1.0, f32::NEG_INFINITY]), COMPRESS, 65, "element 2 is infinite"),
        case(
            "wrong-dtype.safetensors",
            one_tensor(&meta(ArtifactKind::Delta), "w", Dtype::F16, &[2], &[0; 4]),
            COMPRESS,
            65,
            "tensor w: expected F32",
        ),
        case(
            "wrong-kind.safetensors",
            one_tensor(&meta(ArtifactKind::Feedback), "w", Dtype::F32, &[1], &[0; 4]),
            COMPRESS,
            65,
            "expected delta, found feedback",
        ),
        case(
            "wrong-version.safetensors",
            one_tensor(&version, "w", Dtype::F32, &[1], &[0; 4]),
            COMPRESS,
            65,
            "expected version 1, found 2",
        ),
        case(
            "unsorted-header.safetensors",
            raw(&format!("{{{},\"__metadata__\":{metadata}}}", w("[0,16]", "[4]")), &[0; 16]),
            COMPRESS,
            65,
            "canonical form",
        ),
        case(
            "duplicate-tensor.safetensors",
            delta_with(&format!("{},{}", w("[0,16]", "[4]"), w("[0,16]", "[4]")), 16),
            COMPRESS,
            65,
            "",
        ),
        case(
            "padding-is-missing.safetensors",
            {
                let json = String::from_utf8(delta[8..8 + header_bytes].to_vec()).unwrap();
                let json = json.trim_end();
                [&(json.len() as u64).to_le_bytes(), json.as_bytes(), &delta[8 + header_bytes..]].concat()
            },
            COMPRESS,
            65,
            "canonical form",
        ),
        case(
            "terabyte-of-zeros.safetensors.zst",
            frame(20, &one_tensor(&meta(ArtifactKind::Delta), "w", Dtype::F32, &[1 << 32], &[]), 64 << 20),
            COMPRESS,
            65,
            "truncated: tensor w",
        ),
        case("window-of-2-to-the-31.safetensors.zst", frame(31, &delta, 0), COMPRESS, 65, "zstd frame"),
        case("truncated-frame.safetensors.zst", frame(20, &delta, 4096)[..delta.len() / 2].to_vec(), COMPRESS, 65, ""),
        case("update-bomb.safetensors.zst", update_bomb(), SCORE, 1, "left out: FILE"),
        case("shape-bomb.safetensors.zst", shape_bomb(), SCORE, 1, "expected a header of at most"),
        case(
            "header-of-spaces.safetensors.zst",
            {
                let begin = format!("{{\"__metadata__\":{}", json!(update().0.metadata));
                let len = begin.len() as u64 + (100 << 20);
                frame_of(20, &[&len.to_le_bytes()[..], begin.as_bytes()].concat(), b' ', 100 << 20)
            },
            COMPRESS,
            65,
            "expected a header of at most",
        ),
        case(
            "update-wrong-shape.safetensors",
            bent_update(|meta, _| {
                let shapes = meta.get_mut("l402.shapes").unwrap();
                *shapes = shapes.replace("[257,8]", "[8,257]");
            }),
            SCORE,
            1,
            "expected shape [257, 8]",
        ),
        case(
            "update-infinite-bin.safetensors",
            bent_update(|_, payloads| payloads[0][12..16].copy_from_slice(&f32::INFINITY.to_le_bytes())),
            UNDO,
            65,
            "bin 3",
        ),
        case(
            "update-index-beyond-the-chunk.safetensors",
            bent_update(|_, payloads| {
                let end = payloads[0].len();
                payloads[0][end - 3..end - 1].fill(0xff);
            }),
            UNDO,
            65,
            "chunk",
        ),
        case(
            "update-of-a-worker-with-a-path.safetensors",
            bent_update(|meta, _| {
                meta.insert("l402.worker".into(), "../../ann".into());
            }),
            SCORE,
            1,
            "not a worker id",
        ),
        case(
            "update-of-round-minus-one.safetensors",
            bent_update(|meta, _| {
                meta.insert("l402.round".into(), "-1".into());
            }),
            SCORE,
            1,
            "l402.round",
        ),
        case("token-beyond-the-vocabulary.safetensors", shard_of(&[257; 51]), TRAIN, 65, "token id below 257"),
        case(
            "shard-bomb.safetensors.zst",
            {
                let info = ShardInfo { sequences: 1 << 25, ..shard_info() };
                frame(20, &info.header().to_bytes(), info.header().data_len())
            },
            TRAIN,
            65,
            "too large for this machine's memory",
        ),
        case(
            "moments-bomb.safetensors.zst",
            {
                let mut meta = meta(ArtifactKind::Moments);
                meta.set("steps", 3);
                let name = format!("first.{}", layout().tensors[0].name);
                frame(20, &one_tensor(&meta, &name, Dtype::F32, &[1 << 28], &[]), 1 << 30)
            },
            TRAIN_STATE,
            65,
            "expected F32 [",
        ),
        case(
            "weights-bomb.safetensors.zst",
            {
                let header = one_tensor(&Meta::default(), &layout().tensors[0].name, Dtype::F32, &[1 << 28], &[]);
                frame(20, &header, 1 << 30)
            },
            MODEL,
            65,
            "expected shape",
        ),
    ]
}

fn hostile_texts() -> Vec<Hostile> {
    let case = |name, bytes, verb, code, says| Hostile { name, bytes, verb, code, says };
    let roster = |fields: &str| record(fields);
    let key = "0279BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798";
    vec![
        case("float.jsonl", roster(r#""type":"roster","v":1,"weight":0.5,"worker":"ann""#), ASSIGN, 65, "found 0.5"),
        case("negative.jsonl", roster(r#""type":"roster","v":1,"weight":-1,"worker":"ann""#), ASSIGN, 65, "found -1"),
        case(
            "integer-beyond-2-to-the-53.jsonl",
            roster(r#""type":"roster","v":1,"weight":9007199254740992,"worker":"ann""#),
            ASSIGN,
            65,
            "9007199254740992",
        ),
        case("null.jsonl", roster(r#""key":null,"type":"roster","v":1,"worker":"ann""#), ASSIGN, 65, "nulls"),
        case(
            "duplicate-key.jsonl",
            roster(r#""type":"roster","v":1,"worker":"ann","worker":"bob""#),
            ASSIGN,
            65,
            "canonical form",
        ),
        case("unsorted.jsonl", roster(r#""worker":"ann","type":"roster","v":1"#), ASSIGN, 65, "canonical form"),
        case("white-space.jsonl", roster(r#""type": "roster","v":1,"worker":"ann""#), ASSIGNED, 65, "canonical form"),
        case(
            "unknown-field.jsonl",
            roster(r#""type":"roster","v":1,"worker":"ann","zeal":1"#),
            ASSIGN,
            65,
            "unknown field",
        ),
        case(
            "uppercase-hex.jsonl",
            roster(&format!(r#""key":"{key}","type":"roster","v":1,"worker":"ann""#)),
            ASSIGN,
            65,
            "66 hex digits",
        ),
        case("version-2.jsonl", roster(r#""type":"roster","v":2,"worker":"ann""#), ASSIGN, 65, "expected \"v\" 1"),
        case("no-type.jsonl", roster(r#""v":1,"worker":"ann""#), ASSIGN, 65, "no \"type\""),
        case(
            "control-character.jsonl",
            roster(r#""type":"roster","v":1,"worker":"\u001b[2Jann""#),
            ASSIGN,
            65,
            "ASCII",
        ),
        case(
            "not-utf8.jsonl",
            b"{\"type\":\"roster\",\"v\":1,\"worker\":\"\xff\"}\n".to_vec(),
            ASSIGN,
            65,
            "not UTF-8",
        ),
        case("nested.jsonl", "[".repeat(100_000).into_bytes(), ASSIGN, 65, "not a JSON record"),
        case("array.jsonl", b"[1,2]\n".to_vec(), ASSIGN, 65, "no \"type\""),
        case(
            "worker-twice.jsonl",
            [roster(r#""type":"roster","v":1,"worker":"ann""#), roster(r#""type":"roster","v":1,"worker":"ann""#)]
                .concat(),
            ASSIGN,
            65,
            "worker ann: listed twice",
        ),
        case("worker-with-a-path.jsonl", roster(r#""type":"roster","v":1,"worker":"../ann""#), ASSIGN, 65, "../ann"),
        case("text-bomb.jsonl.zst", frame(20, b"{", 1 << 27), ASSIGN, 65, "expected at most 67108864 bytes"),
        case(
            "lines-bomb.jsonl.zst",
            frame_of_pairs(b"", *b"x\n", 2289, b""),
            COMMITTED,
            65,
            "expected at most 16384 lines",
        ),
        case("empty-lines-bomb.jsonl.zst", frame_of(20, b"", b'\n', 1 << 30), COMMITTED, 65, "at most 16384 lines"),
        case(
            "two-frames.jsonl.zst",
            [frame(20, b"{\"type\":\"roster\",\"v\":1,\"worker\":\"ann\"}\n", 0), frame(20, b"x", 0)].concat(),
            ASSIGN,
            65,
            "expected one frame and nothing after it",
        ),
        case(
            "skips-the-rest.jsonl.zst",
            [
                frame(20, b"{\"type\":\"roster\",\"v\":1,\"worker\":\"ann\"}\n", 0),
                vec![0x50, 0x2a, 0x4d, 0x18, 9, 0, 0, 0],
            ]
            .concat(),
            ASSIGN,
            65,
            "expected one frame and nothing after it",
        ),
        case("no-frame.jsonl.zst", roster(r#""type":"roster","v":1,"worker":"ann""#), ASSIGN, 65, "as its name says"),
        case(
            "frame-without-a-name.jsonl",
            frame(20, b"{\"type\":\"roster\",\"v\":1,\"worker\":\"ann\"}\n", 0),
            ASSIGN,
            65,
            "not UTF-8",
        ),
        case("huge.config.json", config_with("hidden_size", json!(1u64 << 32)), INIT, 65, "FILE"),
        case("layers.config.json", config_with("num_hidden_layers", json!(1u64 << 32)), INIT, 65, "num_hidden_layers"),
        case("overflowing.config.json", config_with("vocab_size", json!(u64::MAX)), INIT, 65, "vocab_size"),
        case("zero-heads.config.json", config_with("num_attention_heads", json!(0)), INIT, 65, "num_attention_heads"),
        case(
            "zero-key-heads.config.json",
            config_with("num_key_value_heads", json!(0)),
            INIT,
            65,
            "num_key_value_heads",
        ),
        case("odd-head-dim.config.json", config_with("head_dim", json!(3)), INIT, 65, "head_dim"),
        case("negative-width.config.json", config_with("intermediate_size", json!(-8)), INIT, 65, "intermediate_size"),
        case("fractional-width.config.json", config_with("hidden_size", json!(8.5)), INIT, 65, "hidden_size"),
        case("another-family.config.json", config_with("model_type", json!("mamba")), INIT, 65, "model_type"),
        case("zero-epsilon.config.json", config_with("rms_norm_eps", json!(0.0)), INIT, 65, "rms_norm_eps"),
        case("array.config.json", b"[]\n".to_vec(), INIT, 65, ""),
        case("nested.config.json", "{\"a\":".repeat(10_000).into_bytes(), INIT, 65, "not a model configuration"),
        case(
            "normalizers.tokenizer.json.zst",
            frame_of_pairs(b"{\"normalizer\":[", *b"0,", 2, b"0]}"),
            SHARD,
            65,
            "normalizer: expected at most 4096",
        ),
        case(
            "merges.tokenizer.json.zst",
            frame_of_pairs(b"{\"model\":{\"merges\":[", *b"0,", 24, b"0]}}"),
            SHARD,
            65,
            "model.merges: expected at most 1048576 elements",
        ),
        case(
            "tokenizer-bomb.json.zst",
            frame_of(20, b"", b' ', 65 << 20),
            SHARD,
            65,
            "expected at most 67108864 bytes",
        ),
        case(
            "path.safetensors.index.json",
            b"{\"weight_map\":{\"lm_head.weight\":\"../../secret.safetensors\"}}\n".to_vec(),
            MODEL,
            65,
            "../../secret.safetensors",
        ),
        case(
            "absolute-path.safetensors.index.json",
            b"{\"weight_map\":{\"lm_head.weight\":\"/dev/zero\"}}\n".to_vec(),
            MODEL,
            65,
            "/dev/zero",
        ),
        case("empty.safetensors.index.json", b"{\"weight_map\":{}}\n".to_vec(), MODEL, 65, "lists no file"),
        case("array.safetensors.index.json", b"[]\n".to_vec(), MODEL, 65, "not a weight index"),
        case(
            "steps.toml",
            recipe_text().replace("steps = 3", "steps = 4294967296").into_bytes(),
            INSPECT,
            65,
            "recipe",
        ),
        case("batch.toml", recipe_text().replace("batch = 4", "batch = 0").into_bytes(), INSPECT, 65, "inner.batch"),
        case("rate.toml", recipe_text().replace("lr = 5e-3", "lr = nan").into_bytes(), INSPECT, 65, "inner.lr"),
        case("unknown.toml", recipe_text().replace("seed = 7", "sede = 7").into_bytes(), INSPECT, 65, "sede"),
        case("nested.toml", ("a = ".to_owned() + &"[".repeat(50_000)).into_bytes(), INSPECT, 65, "not a recipe"),
    ]
}

fn all() -> Vec<Hostile> {
    hostile_tensors().into_iter().chain(hostile_payloads()).chain(hostile_texts()).collect()
}

// ---- The tests ----

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
