//! What no encoder writes, by each codec.

use l402::artifact::Recipe;

use super::Hostile;
use super::made::{recipe_text_of, update_of};

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
pub fn hostile_payloads() -> Vec<Hostile> {
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
