//! `l402 sample`: a model that was made to say one thing says it, in whole characters, up to what ends it.

mod common;

use std::path::Path;
use std::process::{Output, Stdio};

use common::{World, talk};
use l402::artifact::Meta;
use l402::model::{self, ModelConfig, initial_parameters, write_flat};
use l402::sample::{By, Decoder, Rule, uniform};
use serde_json::{Value, json};

/// What the model says after an `a`: each of its bytes follows another one, and the end of the document follows the last.
const SAYING: &str = "é!你.";

/// A random model, and one in which each token of the saying is sure of the next.
fn config(vocabulary: usize, context: usize) -> String {
    format!(
        r#"{{"model_type": "llama", "hidden_size": 64, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": {vocabulary}, "rms_norm_eps": 1e-05,
        "max_position_embeddings": {context}, "initializer_range": 0.5, "eos_token_id": null}}"#
    )
}

/// Writes a model folder with these parameters.
fn write_model(world: &World, name: &str, config: &str, change: impl Fn(&model::Decoder, &mut [f32])) {
    let parsed = ModelConfig::parse(config).unwrap();
    let decoder = model::Decoder::new(&parsed);
    let layout = &decoder.layout;
    let mut values = initial_parameters(&parsed, layout, 402);
    change(&decoder, &mut values);
    std::fs::create_dir_all(world.path(name)).unwrap();
    world.write(&format!("{name}/config.json"), config.as_bytes());
    let (bytes, _) = write_flat("model", Vec::new(), Meta::default(), layout, &values).unwrap();
    world.write(&format!("{name}/model.safetensors"), &bytes);
}

/// Writes the model of the saying: its layers add nothing, and the head has each token's embedding where the next one is.
fn write_saying(world: &World, name: &str) {
    write_model(world, name, &config(257, 64), |decoder, values| {
        let layout = &decoder.layout;
        for tensor in layout.tensors.iter().filter(|t| t.name.contains("o_proj") || t.name.contains("down_proj")) {
            values[tensor.range()].fill(0.0);
        }
        let row = |tensor: usize, token: u32| layout.tensors[tensor].offset + token as usize * 64;
        let mut tokens = vec![u32::from(b'a')];
        tokens.extend(SAYING.bytes().map(u32::from));
        tokens.push(256);
        layout.of_mut(decoder.head, values).fill(0.0);
        for pair in tokens.windows(2) {
            let (from, to) = (row(decoder.embedding, pair[0]), row(decoder.head, pair[1]));
            let embedding = values[from..from + 64].to_vec();
            values[to..to + 64].copy_from_slice(&embedding);
        }
    });
}

/// A `tokenizer.json` as GPT-2 has it, without merges: a byte's token is the byte, and 256 ends a document.
fn byte_level(post_processor: Value) -> Vec<u8> {
    let mut others = 256..;
    let letter = |byte: u32| match byte {
        33..=126 | 161..=172 | 174..=255 => byte,
        _ => others.next().unwrap(),
    };
    let mut letters: Vec<u32> = (0..256).map(letter).collect();
    letters.push(0);
    let entry = |(id, letter): (usize, u32)| match id {
        256 => ("<|endoftext|>".to_owned(), json!(256)),
        id => (char::from_u32(letter).unwrap().to_string(), json!(id)),
    };
    let vocab: serde_json::Map<String, Value> = letters.into_iter().enumerate().map(entry).collect();
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let special = json!({"id": 256, "content": "<|endoftext|>", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true});
    json!({"version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": post_processor,
        "pre_tokenizer": level, "decoder": level, "added_tokens": [special],
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": []}})
    .to_string()
    .into_bytes()
}

/// Runs `sample` on a model with a prompt and other words.
fn sample(world: &World, model: &str, prompt: &str, args: &str) -> Output {
    let mut command = world.command("sample --model");
    command.arg(model).args(["--prompt", prompt]).args(args.split_whitespace());
    let output = command.output().unwrap();
    common::sane(args, &output);
    output
}

#[track_caller]
fn said(world: &World, model: &str, prompt: &str, args: &str) -> String {
    let output = sample(world, model, prompt, args);
    assert_eq!(output.status.code(), Some(0), "{args}: {}", talk(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn record(world: &World, model: &str, prompt: &str, args: &str) -> Value {
    let text = said(world, model, prompt, &format!("{args} --json"));
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[track_caller]
fn refused(world: &World, model: &str, prompt: &str, args: &str, code: i32, says: &str) {
    let output = sample(world, model, prompt, args);
    assert_eq!(output.status.code(), Some(code), "{args}: {}", talk(&output));
    assert!(talk(&output).contains(says), "{args}: expected {says:?} in {}", talk(&output));
    assert!(output.stdout.is_empty(), "{args}");
}

/// The saying by the bytes themselves, and by a tokenizer.
fn sayings(world: &World) -> [&'static str; 2] {
    write_saying(world, "bytes");
    write_saying(world, "tokens");
    world.write("tokens/tokenizer.json", &byte_level(Value::Null));
    ["bytes", "tokens"]
}

#[test]
fn it_says_whole_characters_until_a_token_ends_the_text() {
    let world = World::empty();
    for model in sayings(&world) {
        assert_eq!(said(&world, model, "a", "--temperature 0"), format!("{SAYING}\n"), "{model}");
        // What is cut within a character is replaced, at the end alone.
        assert_eq!(said(&world, model, "a", "--temperature 0 --max-tokens 5"), "é!\u{fffd}\n", "{model}");
        let found = record(&world, model, "a", "--temperature 0");
        assert_eq!((&found["text"], &found["finish"], &found["tokens"]), (&json!(SAYING), &json!("end"), &json!(7)));
        assert_eq!((&found["type"], &found["v"], &found["prompt_tokens"]), (&json!("sample"), &json!(1), &json!(1)));
        assert_eq!(
            (&found["temperature"], &found["seed"], &found["forward"]),
            (&json!("0"), &json!(0), &json!("candle llama"))
        );
        assert_eq!(found["model"], json!(world.text(&format!("inspect {model} --field model")).trim()));
        let cut = record(&world, model, "a", "--temperature 0 --max-tokens 2");
        assert_eq!((&cut["text"], &cut["finish"]), (&json!("é"), &json!("length")));
    }
}

#[test]
fn a_stop_over_several_tokens_ends_it_and_is_not_said() {
    let world = World::empty();
    for model in sayings(&world) {
        assert_eq!(said(&world, model, "a", "--temperature 0 --stop !你"), "é\n", "{model}");
        assert_eq!(said(&world, model, "a", "--temperature 0 --stop !好 --stop 你."), "é!\n", "{model}");
        // What only began like a stop is said.
        assert_eq!(said(&world, model, "a", "--temperature 0 --stop .x"), format!("{SAYING}\n"), "{model}");
        let found = record(&world, model, "a", "--temperature 0 --stop 你");
        assert_eq!((&found["text"], &found["finish"]), (&json!("é!"), &json!("stop")));
    }
}

#[test]
fn the_folder_says_how_text_is_drawn_and_where_it_ends() {
    let world = World::empty();
    let [model, _] = sayings(&world);
    world.write(&format!("{model}/generation_config.json"), br#"{"temperature": 0, "eos_token_id": [33, 34]}"#);
    let found = record(&world, model, "a", "");
    assert_eq!((&found["text"], &found["finish"], &found["temperature"]), (&json!("é"), &json!("end"), &json!("0")));
    assert_eq!(record(&world, model, "a", "--temperature 0.5 --top-k 3 --top-p 0.9")["temperature"], json!("0.5"));
    world.write(&format!("{model}/generation_config.json"), br#"{"top_k": "x"}"#);
    refused(&world, model, "a", "", 65, "generation_config.json: top_k: expected 0 or above");
    std::fs::remove_file(world.path(&format!("{model}/generation_config.json"))).unwrap();
    // Before there was such a file config.json said it.
    let text = String::from_utf8(world.bytes(&format!("{model}/config.json"))).unwrap();
    world.write(&format!("{model}/config.json"), text.replace("null}", "46}").as_bytes());
    assert_eq!(said(&world, model, "a", "--temperature 0"), "é!你\n");
}

#[test]
fn what_begins_a_text_is_the_tokenizers() {
    let world = World::empty();
    let [_, model] = sayings(&world);
    assert_eq!(record(&world, model, "xa", "--temperature 0")["prompt_tokens"], json!(2));
    refused(&world, model, "", "", 65, "prompt: expected a token at least, found none");
    let template = json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [256], "tokens": ["<|endoftext|>"]}},
    });
    world.write("with.json", &byte_level(template));
    let found = record(&world, model, "xa", "--temperature 0 --tokenizer with.json");
    assert_eq!((&found["prompt_tokens"], &found["text"]), (&json!(3), &json!(SAYING)));
    assert_eq!(record(&world, model, "", "--max-tokens 1 --tokenizer with.json")["prompt_tokens"], json!(1));
    // Bytes begin after the end of another document.
    assert_eq!(record(&world, "bytes", "", "--max-tokens 1")["prompt_tokens"], json!(1));
}

#[test]
fn a_prompt_may_come_from_a_file_or_a_pipe_and_need_be_no_text_for_bytes() {
    let world = World::empty();
    let [model, tokens] = sayings(&world);
    world.write("prompt", b"\xff\x00a");
    let file = format!("sample --model {model} --temperature 0 --prompt-file");
    assert_eq!(world.text(&format!("{file} prompt")), format!("{SAYING}\n"));
    let mut command = world.command(&format!("{file} -"));
    let output = command.stdin(std::fs::File::open(world.path("prompt")).unwrap()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{SAYING}\n"));
    world.expect(&format!("sample --model {tokens} --prompt-file prompt"), 65, "prompt: expected UTF-8");
    world.expect(&format!("sample --model {model} --prompt-file none"), 66, "none: no such file");
    world.expect(&format!("sample --model {model} --prompt-file prompt --prompt a"), 2, "--prompt");
    world.expect(&format!("sample --model {model}"), 2, "--prompt");
}

/// A random model of bytes.
fn random(world: &World) -> &'static str {
    write_model(world, "random", &config(257, 64), |_, _| ());
    "random"
}

#[test]
fn the_same_seed_says_the_same_and_another_another() {
    let world = World::empty();
    let model = random(&world);
    let text = |args: &str| record(&world, model, "The ", &format!("--max-tokens 24 {args}"))["text"].clone();
    let first = text("");
    assert_eq!(text("--seed 0"), first);
    assert_eq!(text("--threads 1"), first);
    assert_ne!(text("--seed 1"), first);
    let greedy = text("--temperature 0");
    assert_ne!(greedy, first);
    for same in
        ["--top-k 1", "--top-k 1 --seed 9", "--top-p 0.000001", "--temperature 0.000001", "--temperature 0 --top-k 5"]
    {
        assert_eq!(text(same), greedy, "{same}");
    }
}

/// What the model in the folder says, drawn from our own forward pass.
fn by_our_own(folder: &Path, prompt: &[u8], rule: Rule, seed: u64, count: u64) -> String {
    let folder = model::ModelFolder::load(folder).unwrap();
    let values = folder.parameters.to_vec().unwrap();
    let mut decoder = Decoder::new(
        &folder.config,
        &folder.layout,
        values,
        By::Own(String::new()),
        64,
        l402::engine::Engine::detect().into(),
    )
    .unwrap();
    let prompt: Vec<u32> = prompt.iter().map(|byte| u32::from(*byte)).collect();
    let (mut bytes, mut logits) = (Vec::new(), decoder.push(&prompt).unwrap());
    for index in 0..count {
        let token = rule.pick(&logits, uniform(seed, index)).unwrap();
        bytes.push(u8::try_from(token).expect("no end"));
        logits = decoder.push(&[token]).unwrap();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn it_is_what_our_forward_pass_says() {
    let world = World::empty();
    let model = random(&world);
    let greedy = Rule { temperature: 0.0, ..Rule::PLAIN };
    let drawn = Rule { temperature: 0.7, top_k: Some(20), top_p: 0.9 };
    for (rule, args) in [(greedy, "--temperature 0"), (drawn, "--temperature 0.7 --top-k 20 --top-p 0.9 --seed 5")] {
        let found = record(&world, model, "The ", &format!("--max-tokens 20 {args}"));
        let tokens = found["tokens"].as_u64().unwrap();
        assert_eq!(found["text"], json!(by_our_own(&world.path(model), b"The ", rule, 5, tokens)), "{args}");
    }
}

#[test]
fn who_computes_is_said_and_how_fast() {
    let world = World::empty();
    let model = random(&world);
    let output = sample(&world, model, "The ", "--max-tokens 3 -v");
    let told = talk(&output);
    assert!(told.contains("logits by candle-transformers' llama"), "{told}");
    assert!(told.contains("prompt: 4 tokens in ") && told.contains("tokens/s; text: 3 tokens in "), "{told}");
    assert!(sample(&world, model, "The ", "--max-tokens 3").stderr.is_empty());
    // What candle has not is ours.
    let stretched = config(257, 64).replacen('{', r#"{"rope_scaling": {"rope_type": "linear", "factor": 2.0},"#, 1);
    write_model(&world, "stretched", &stretched, |_, _| ());
    let told = talk(&sample(&world, "stretched", "The ", "--max-tokens 3 -v"));
    assert!(told.contains("our own forward pass, for candle-transformers has not: RoPE scaled by linear"), "{told}");
    let found = record(&world, "stretched", "The ", "--max-tokens 20 --temperature 0");
    assert_eq!(found["forward"], json!("own"));
    let greedy = Rule { temperature: 0.0, ..Rule::PLAIN };
    let tokens = found["tokens"].as_u64().unwrap();
    assert_eq!(found["text"], json!(by_our_own(&world.path("stretched"), b"The ", greedy, 0, tokens)));
}

#[test]
fn a_text_ends_where_the_context_does() {
    let world = World::empty();
    let model = random(&world);
    let prompt = "x".repeat(60);
    let found = record(&world, model, &prompt, "--top-k 3");
    assert_eq!((&found["tokens"], &found["finish"]), (&json!(4), &json!("length")), "{found}");
    let full = record(&world, model, &"x".repeat(64), "");
    assert_eq!((&full["tokens"], &full["finish"], &full["text"]), (&json!(0), &json!("length"), &json!("")));
    let long = "x".repeat(65);
    refused(&world, model, &long, "", 65, "prompt: expected at most 64 tokens (max_position_embeddings), found 65");
}

#[test]
fn what_makes_no_sense_is_refused_in_a_line() {
    let world = World::empty();
    let model = random(&world);
    for (args, says) in [
        ("--temperature -1", "temperature: expected 0 or above"),
        ("--temperature NaN", "temperature: expected 0 or above"),
        ("--temperature hot", "expected a number"),
        ("--top-p 0", "top_p: expected above 0 and at most 1"),
        ("--top-p 1.5", "top_p: expected above 0 and at most 1"),
        ("--top-k -1", "--top-k"),
        ("--max-tokens 0", "--max-tokens"),
        ("--stop=", "--stop"),
        ("--seed 9007199254740992", "--seed"),
    ] {
        refused(&world, model, "a", args, 2, says);
    }
    refused(&world, "none", "a", "", 66, "none/config.json: no such file");
    refused(&world, model, "a", "--tokenizer none.json", 66, "none.json: no such file");
    world.write("bad.json", b"{}");
    refused(&world, model, "a", "--tokenizer bad.json", 65, "bad.json: not a tokenizer.json");
    write_model(&world, "small", &config(40, 64), |_, _| ());
    refused(&world, "small", "a", "", 66, "small/tokenizer.json: no such file, and the model's 40 tokens are no bytes");
    refused(
        &world,
        "small",
        "a",
        "--tokenizer bytes",
        1,
        "tokenizer: expected at most the model's 40 tokens, found 257",
    );
    world.write("small/tokenizer.json", &byte_level(Value::Null));
    refused(&world, "small", "a", "", 1, "tokenizer: expected at most the model's 40 tokens");
    // Weights whose sums overflow are found by what they give.
    write_model(&world, "huge", &config(257, 64), |it, values| it.layout.of_mut(it.head, values).fill(3e38));
    refused(&world, "huge", "a", "", 65, "logit of token");
}

#[test]
fn nobody_who_listens_ends_it() {
    let world = World::empty();
    let model = random(&world);
    let mut command = world.command(&format!("sample --model {model} --prompt-file - --top-k 1"));
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    // Only now it has a prompt.
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"The ").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(74), "{}", talk(&output));
    assert!(talk(&output).contains("standard output"), "{}", talk(&output));
}
