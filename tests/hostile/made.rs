//! What hostile files are made of: headers, frames and updates by hand.

use std::collections::BTreeMap;

use l402::artifact::{ArtifactKind, Digest, Dtype, Header, Meta, Recipe, TensorInfo, Writer};
use l402::codec::{codec_for, compress_tensors};
use l402::data::{ShardInfo, Split, TOKENS, to_bytes};
use l402::model::{Layout, ModelConfig};

use serde_json::json;

use super::common;

/// As small as a model can be that knows bytes.
pub const CONFIG: &str = r#"{"model_type":"llama","hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,
"num_attention_heads":2,"num_key_value_heads":1,"head_dim":4,"vocab_size":257,"tie_word_embeddings":true}"#;

pub fn recipe_text() -> String {
    common::recipe(common::FULL, "").replace("top_k = 256", "top_k = 64")
}

pub fn recipe() -> Recipe {
    Recipe::parse(&recipe_text()).unwrap()
}

/// The recipe with another codec.
pub fn recipe_text_of(codec: &str) -> String {
    recipe_text().replace("name = \"sparseloco\"", &format!("name = \"{codec}\""))
}

pub fn layout() -> Layout {
    Layout::new(&ModelConfig::parse(CONFIG).unwrap())
}

/// A safetensors file of these bytes: header as given, padded or not, and data.
pub fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    let padded = format!("{header}{}", " ".repeat((64 - (8 + header.len()) % 64) % 64));
    [&(padded.len() as u64).to_le_bytes(), padded.as_bytes(), data].concat()
}

pub fn meta(kind: ArtifactKind) -> Meta {
    let mut meta = Meta::new(kind);
    meta.set("run", recipe().digest()).set("round", 0).set("worker", "ann");
    meta
}

/// A canonical file: metadata, one tensor, its data.
pub fn one_tensor(meta: &Meta, name: &str, dtype: Dtype, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let info = TensorInfo { name: name.into(), dtype, shape: shape.to_vec() };
    let mut bytes = Header::new(meta.0.clone(), vec![info]).to_bytes();
    bytes.extend(data);
    bytes
}

pub fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub fn delta_of(values: &[f32]) -> Vec<u8> {
    one_tensor(&meta(ArtifactKind::Delta), "w", Dtype::F32, &[values.len()], &floats(values))
}

/// A delta whose header is written by hand: metadata, then `tensors`.
pub fn delta_with(tensors: &str, data: usize) -> Vec<u8> {
    let metadata = json!(meta(ArtifactKind::Delta).0);
    raw(&format!("{{\"__metadata__\":{metadata},{tensors}}}"), &vec![0; data])
}

/// The content of a block of a zstd frame, in bytes.
pub const BLOCK: u64 = 128 << 10;

/// A zstd frame by hand: `window_log` (10 to 41), raw bytes, then so many zeros. Independent of any compressor.
pub fn frame(window_log: u8, content: &[u8], zeros: u64) -> Vec<u8> {
    frame_of(window_log, content, 0, zeros)
}

/// The same, with another byte than zero.
pub fn frame_of(window_log: u8, content: &[u8], byte: u8, count: u64) -> Vec<u8> {
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
pub fn frame_of_pairs(before: &[u8], pair: [u8; 2], blocks: u64, after: &[u8]) -> Vec<u8> {
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
pub fn shape_bomb() -> Vec<u8> {
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
pub fn update() -> (Header, Vec<Vec<u8>>) {
    update_of(&recipe())
}

pub fn update_of(recipe: &Recipe) -> (Header, Vec<Vec<u8>>) {
    let layout = layout();
    let flat: Vec<f32> = (0..layout.total).map(|i| ((i * 37 % 101) as f32 - 50.0) / 1e4).collect();
    let tensors: Vec<_> = layout.tensors.iter().map(|t| (t.name.as_str(), &t.shape[..], &flat[t.range()])).collect();
    let mut meta = meta(ArtifactKind::Delta);
    meta.set("run", recipe.digest());
    let done = compress_tensors(recipe, &meta, &tensors, None, std::io::sink()).unwrap();
    (done.update.header().clone(), done.update.payloads().to_vec())
}

/// The update with other metadata or payloads.
pub fn bent_update(change: impl FnOnce(&mut BTreeMap<String, String>, &mut Vec<Vec<u8>>)) -> Vec<u8> {
    let (mut header, mut payloads) = update();
    change(&mut header.metadata, &mut payloads);
    let mut bytes = header.to_bytes();
    payloads.iter().for_each(|p| bytes.extend(p));
    bytes
}

/// An update that announces sixteen tensors of 2^32 elements, in a frame of a few kilobytes.
pub fn update_bomb() -> Vec<u8> {
    let huge = 1usize << 32;
    let len = *codec_for(&recipe().codec).payload_len(&[huge]).unwrap().start();
    let names: Vec<String> = (0..16).map(|i| format!("w{i:02}")).collect();
    let (mut header, _) = update();
    let shapes: BTreeMap<&String, [usize; 1]> = names.iter().map(|n| (n, [huge])).collect();
    header.metadata.insert("l402.shapes".into(), serde_json::to_string(&shapes).unwrap());
    header.tensors = names.iter().map(|n| TensorInfo::bytes(n, len)).collect();
    frame(20, &header.to_bytes(), header.data_len())
}

pub fn shard_info() -> ShardInfo {
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

pub fn shard_of(tokens: &[u32]) -> Vec<u8> {
    let mut data = Vec::new();
    to_bytes(tokens, 257, &mut data);
    let mut writer = Writer::new("shard", Vec::new(), shard_info().header()).unwrap();
    writer.bytes(TOKENS, &data).unwrap();
    writer.finish().unwrap().0
}

pub fn record(fields: &str) -> Vec<u8> {
    format!("{{{fields}}}\n").into_bytes()
}

/// A configuration with one field more or another.
pub fn config_with(field: &str, value: serde_json::Value) -> Vec<u8> {
    let mut config: serde_json::Value = serde_json::from_str(CONFIG).unwrap();
    config[field] = value;
    let mut text = serde_json::to_string_pretty(&config).unwrap();
    text.push('\n');
    text.into_bytes()
}
