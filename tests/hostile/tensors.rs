//! Hostile files of tensors: deltas, updates, shards, states, models.

use l402::artifact::{ArtifactKind, Dtype, Meta};
use l402::data::ShardInfo;
use serde_json::json;

use super::made::*;
use super::{COMPRESS, Hostile, MODEL, SCORE, TRAIN, TRAIN_STATE, UNDO};

pub fn hostile_tensors() -> Vec<Hostile> {
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
