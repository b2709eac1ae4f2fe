//! README's paths from the Hub and back, on small models of the same kind.

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

/// A Qwen2 for the tokenizer of the chat templates' oracle.
const CONFIG: &str = r#"{"model_type": "qwen2", "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 404, "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6, "tie_word_embeddings": true, "initializer_range": 0.1}"#;

#[test]
fn what_is_pulled_is_fine_tuned_on_conversations_by_an_adapter_and_speaks() {
    let oracle = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/oracle/chat");
    let first = Desk::to("http://127.0.0.1:1");
    fs::write(first.path("config.json"), CONFIG).unwrap();
    l402(&first, "init --config config.json --seed 1 -o model");
    let of_model = |name: &str| fs::read(first.path("model").join(name)).unwrap();
    let files = vec![
        ("config.json".to_owned(), of_model("config.json"), false),
        ("model.safetensors".to_owned(), of_model("model.safetensors"), true),
        ("tokenizer.json".to_owned(), fs::read(oracle.join("tokenizer.json")).unwrap(), false),
        ("tokenizer_config.json".to_owned(), br#"{"eos_token": "<|im_end|>", "bos_token": null}"#.to_vec(), false),
        ("chat_template.jinja".to_owned(), fs::read(oracle.join("templates/qwen2.5.jinja")).unwrap(), false),
    ];
    let desk = Desk::at(&Repo { files, ..Repo::model() }.serve());
    let talk_of = |n: usize| {
        let (said, answer) = (format!("What comes after {n}?"), format!("After {n} comes {}.", n + 1));
        format!(
            "{{\"messages\": [{{\"role\": \"user\", \"content\": \"{said}\"}}, \
             {{\"role\": \"assistant\", \"content\": \"{answer}\"}}]}}\n"
        )
    };
    fs::write(desk.path("talks.jsonl"), (0..120).map(|i| talk_of(i % 7)).collect::<String>()).unwrap();
    let recipe = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/lora.toml")).unwrap();
    let small = recipe.replace("steps = 15", "steps = 4").replace("batch = 8", "batch = 4");
    fs::write(desk.path("small.toml"), small.replace("lr = 2e-4", "lr = 5e-3")).unwrap();

    let mut play = desk.recipe("finetune.sh", &["org/tiny", "talks.jsonl", "run"]);
    let small = desk.path("small.toml");
    let output = play.env("SEQ_LEN", "96").env("ROUNDS", "2").env("RECIPE", &small).output().unwrap();
    assert!(output.status.success(), "{}", talk(&output));
    let said = String::from_utf8_lossy(&output.stdout);
    let losses: Vec<f64> =
        said.lines().filter_map(|line| line.strip_prefix("loss ")?.split(' ').next()?.parse().ok()).collect();
    assert!(losses.len() == 3 && losses[2] < losses[1] && losses[1] < losses[0], "{said}");
    let theta = ["adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "tokenizer.json"];
    assert_eq!(names(&desk.path("run/theta-2")), [&theta[..], &["tokenizer_config.json"]].concat());
    // Every update counted, in both rounds, and the whole run can be recomputed.
    for round in 0..2 {
        let scores = fs::read_to_string(desk.path(&format!("run/round-{round}/scores.jsonl"))).unwrap();
        assert_eq!(scores.matches("\"counts\":true").count(), 2, "{scores}");
    }
    l402(&desk, "audit run --replay all");
    // It answers a conversation that its template writes, and so does the merged model.
    assert!(said.lines().last().is_some_and(|digest| digest.len() == 64), "{said}");
    fs::write(desk.path("ask.json"), r#"[{"role": "user", "content": "Who are you?"}]"#).unwrap();
    for model in ["run/theta-2", "run/merged"] {
        let record = l402(&desk, &format!("sample --model {model} --chat ask.json --max-tokens 20 --json"));
        assert!(record.contains("\"type\":\"sample\"") && !record.contains("\"prompt_tokens\":0"), "{record}");
        let loss = l402(&desk, &format!("score --model {model} --val run/shards/val-00000.safetensors"));
        let loss: f64 = loss.split(' ').nth(1).unwrap().parse().unwrap();
        // One of them is rounded to bfloat16.
        assert!((loss / losses[2] - 1.0).abs() < 1e-2, "{loss} and {losses:?}");
    }
    // The same command goes on where it stands; a question may have quotation marks; the binary may be on the PATH.
    let path = format!("{}:{}", Path::new(env!("CARGO_BIN_EXE_l402")).parent().unwrap().display(), env!("PATH"));
    let mut on = desk.recipe("finetune.sh", &["org/tiny", "talks.jsonl", "run"]);
    on.env_remove("L402").env("PATH", path).env("ASK", "Say \"hi\"").env("RECIPE", "small.toml");
    let again = on.env("SEQ_LEN", "96").env("ROUNDS", "3").output().unwrap();
    assert!(again.status.success(), "{}", talk(&again));
    assert!(desk.path("run/theta-3").exists());
    let refuse = |args: [&str; 3], variable: (&str, &str), code: i32| {
        let output = desk.recipe("finetune.sh", &args).env(variable.0, variable.1).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{}", talk(&output));
    };
    refuse(["org/tiny", "talks.jsonl", "new"], ("ROUNDS", "x"), 2);
    refuse(["org/tiny", "none.jsonl", "new"], ("ROUNDS", "1"), 66);
    refuse(["org/tiny", "talks.jsonl", "new"], ("L402", "no-such-program"), 66);
    refuse(["org/tiny", "talks.jsonl", "home"], ("ROUNDS", "1"), 73);
    assert!(!desk.path("new").exists());
}
