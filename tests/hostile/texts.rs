//! Hostile texts: records, rosters, configurations, tokenizers, recipes.

use serde_json::json;

use super::made::*;
use super::{ASSIGN, ASSIGNED, COMMITTED, Hostile, INIT, INSPECT, MODEL, SHARD};

pub fn hostile_texts() -> Vec<Hostile> {
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
