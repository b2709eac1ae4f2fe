//! README's path from the Hub and back, on a small model of the same kind.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::desk::{Desk, names, talk};
use super::hub::Repo;

/// Four words; the fixture's vocabulary has room for 32.
const TOKENIZER: &str = r#"{"version": "1.0", "added_tokens": [], "normalizer": null, "truncation": null, "padding": null,
    "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": {"type": "Fuse"},
    "model": {"type": "WordLevel", "vocab": {"</s>": 0, "one": 1, "three": 2, "<unk>": 3}, "unk_token": "<unk>"}}"#;

fn l402(desk: &Desk, args: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_l402"));
    let output = command.args(args.split_whitespace()).current_dir(desk.path(".")).output().unwrap();
    assert!(output.status.success(), "{args}\n{}", talk(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_pulled_is_cut_measured_and_goes_out_again() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/oracle/architectures/qwen2");
    let file = |name: &str, large| (name.to_owned(), fs::read(fixture.join(name)).unwrap(), large);
    let files = vec![
        file("config.json", false),
        file("model.safetensors", true),
        ("tokenizer.json".to_owned(), TOKENIZER.as_bytes().to_vec(), false),
        ("generation_config.json".to_owned(), b"{}".to_vec(), false),
    ];
    let desk = Desk::at(&Repo { files, ..Repo::model() }.serve());
    fs::write(desk.path("corpus.jsonl"), "{\"text\": \"one three one\"}\n".repeat(3000)).unwrap();

    desk.text("org/tiny -o theta-0");
    l402(&desk, "shard corpus.jsonl --tokenizer theta-0/tokenizer.json --seq-len 24 --shards 16 -o shards");
    let said = l402(&desk, "score --model theta-0 --val shards/val-00000.safetensors");
    assert!(said.contains("nats a token") && said.contains("bits a byte"), "{said}");
    let says = l402(&desk, "sample --model theta-0 --prompt one --max-tokens 4");
    assert!(says.ends_with('\n'), "{says}");
    let theta = l402(&desk, "inspect theta-0 --field model");
    // In float32 it is the same model; in bfloat16 another, with what travels with it and without where it was from.
    assert_eq!(l402(&desk, "export theta-0 -o same"), theta);
    let rounded = l402(&desk, "export theta-0 --dtype bfloat16 --max-shard-size 2GB -o out");
    assert_eq!(rounded, l402(&desk, "inspect out --field model"));
    assert_ne!(rounded, theta);
    let taken = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"];
    assert_eq!(names(&desk.path("out")), taken);
}
