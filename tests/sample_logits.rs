//! Who computes the logits that text is drawn from: candle-transformers where it computes what we and transformers do, ours where
//! not. Either is held against the other, and against what transformers made of the committed checkpoints.

#[path = "oracle_common/curve.rs"]
#[allow(dead_code)] // Its batches alone.
mod curve;

use std::collections::BTreeMap;
use std::path::Path;

use l402::artifact::{Reader, Recipe, f32_from_le};
use l402::data::PromptTokenizer;
use l402::engine::{Engine, philox};
use l402::fsio::Source;
use l402::model::{Layout, ModelConfig, ModelFolder, initial_parameters};
use l402::sample::{By, Decoder, Finish, Request, Rule, say};

const RECIPE: &str = r#"
arithmetic = 1
name = "architectures"
[model]
[data]
tokenizer = "bytes"
seq_len = 24
[inner]
steps = 1
batch = 4
lr = 3e-3
"#;

/// Who serves the committed checkpoints, and of how many tokens: where there is a window candle serves as many as fit into it.
const CHECKPOINTS: [(&str, &str, usize); 14] = [
    ("gemma3", "RoPE scaled by linear", 6),
    ("granite", "llama", 24),
    ("llama-biases-linear", "RoPE scaled by linear", 24),
    ("llama-llama3", "RoPE scaled by llama3", 24),
    ("llama-yarn", "RoPE scaled by yarn", 24),
    ("mistral", "llama", 7),
    ("mistral", "a window of 7", 24),
    ("olmo2", "olmo2", 24),
    ("phi3", "phi3", 11),
    ("phi3", "a window of 11", 24),
    ("qwen2", "qwen2", 9),
    ("qwen2", "a window of 9", 24),
    ("qwen3", "qwen3", 24),
    ("smollm3", "smollm3", 24),
];

/// |a - b| / |b|
fn relative(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |x: f64| x * x;
    let difference: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    (difference / b.iter().map(|b| square((*b).into())).sum::<f64>()).sqrt()
}

/// The loss of a target, in nats.
fn loss(logits: &[f32], target: u32) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::MIN, f32::max));
    let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - largest).exp()).sum();
    sum.ln() + largest - f64::from(logits[target as usize])
}

#[track_caller]
fn check_who(name: &str, by: &By, expected: &str) {
    match by {
        By::Candle(peer) => assert_eq!(peer.name(), expected, "{name}"),
        By::Own(why) => assert!(why.starts_with(expected), "{name}: expected {expected}, found: {why}"),
    }
}

#[test]
fn logits_and_loss_of_each_checkpoint_are_those_of_transformers() {
    let recipe = Recipe::parse(RECIPE).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/oracle/architectures");
    let tested: std::collections::BTreeSet<&str> = CHECKPOINTS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(tested.len(), std::fs::read_dir(&root).unwrap().count(), "each of them");
    for (name, who, length) in CHECKPOINTS {
        let folder = ModelFolder::load(&root.join(name)).unwrap();
        let mut reader = Reader::open(Source::open(&root.join(name).join("expected.safetensors")).unwrap()).unwrap();
        let mut expected = BTreeMap::new();
        while let Some((info, data)) = reader.next_tensor().unwrap() {
            if info.name != "tokens" {
                expected.insert(info.name.clone(), f32_from_le(&info.name, &data).unwrap());
            }
        }
        let (ModelFolder { config, layout, parameters, .. }, seq_len) = (folder, recipe.data.seq_len);
        let (by, vocab) = (By::of(&config, length), config.vocab_size);
        check_who(name, &by, who);
        let values = parameters.into_vec().unwrap();
        let shard = curve::batch(0, &recipe, vocab as u64);
        let mut sum = 0.0;
        for row in 0..recipe.inner.batch {
            let tokens: Vec<u32> = shard.sequence(row).collect();
            let mut decoder =
                Decoder::new(&config, &layout, values.clone(), by.clone(), length, Engine::detect().into()).unwrap();
            // A part of it at once, as a prompt, and the others one by one.
            let prompt = 4;
            for at in prompt - 1..length {
                let new = if at < prompt { &tokens[..prompt] } else { &tokens[at..=at] };
                let found = decoder.push(new).unwrap();
                let logits = &expected["logits"][(row * seq_len + at) * vocab..][..vocab];
                let error = relative(&found, logits);
                assert!(error < 1e-5, "{name} by {by:?}: row {row}: the logits at {at} differ by {error:e}");
                sum += loss(&found, tokens[at + 1]) - loss(logits, tokens[at + 1]);
            }
        }
        // All of them together are the recorded loss, but for the difference.
        let recorded = f64::from(expected["loss"][0]);
        let error = sum / (recipe.inner.batch * seq_len) as f64 / recorded;
        assert!(error.abs() < 1e-5, "{name} by {by:?}: the loss differs by {error:e} of {recorded}");
    }
}

/// What is computed otherwise by each model of candle's, and by whom it is.
fn shapes() -> Vec<(&'static str, &'static str, &'static str)> {
    vec![
        ("llama", "llama", r#""model_type": "llama""#),
        ("llama of narrow heads", "llama", r#""num_attention_heads": 12, "num_key_value_heads": 12"#),
        (
            "llama, tied and stretched",
            "llama",
            r#""tie_word_embeddings": true, "rope_theta": 500.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
            "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}"#,
        ),
        ("llama of wide heads", "mistral", r#""head_dim": 10, "tie_word_embeddings": true"#),
        ("llama with biases", "smollm3", r#""attention_bias": true, "mlp_bias": true"#),
        ("qwen2", "qwen2", r#""model_type": "qwen2", "tie_word_embeddings": true"#),
        ("qwen3", "qwen3", r#""model_type": "qwen3", "head_dim": 8, "attention_bias": true"#),
        (
            "smollm3",
            "smollm3",
            r#""model_type": "smollm3", "num_key_value_heads": 2, "no_rope_layers": [1, 0, 1], "attention_bias": true"#,
        ),
        ("olmo2", "olmo2", r#""model_type": "olmo2", "attention_bias": true"#),
        ("phi3", "phi3", r#""model_type": "phi3", "sliding_window": 200"#),
        (
            "granite",
            "llama",
            r#""model_type": "granite", "tie_word_embeddings": true, "embedding_multiplier": 12.0,
            "residual_multiplier": 0.22, "logits_scaling": 8.0, "attention_multiplier": 0.3"#,
        ),
        (
            "granite with biases",
            "smollm3",
            r#""model_type": "granite", "attention_bias": true, "mlp_bias": true, "embedding_multiplier": 3.0,
            "residual_multiplier": 0.5, "logits_scaling": 2.0, "attention_multiplier": 0.2"#,
        ),
        (
            "gemma3",
            "gemma3",
            r#""model_type": "gemma3_text", "head_dim": 8, "num_key_value_heads": 2, "query_pre_attn_scalar": 12,
            "sliding_window": 200, "sliding_window_pattern": 2, "rope_theta": 10000.0, "rope_local_base_freq": 100.0"#,
        ),
    ]
}

/// A random model in which everything matters: norms and biases too.
fn model(fields: &str) -> (ModelConfig, Layout, Vec<f32>) {
    let text = format!(
        r#"{{"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "vocab_size": 32, {}
        "max_position_embeddings": 256, "initializer_range": 0.2, {fields}}}"#,
        match fields.contains("num_attention_heads") {
            true => "",
            false => r#""num_attention_heads": 4,"#,
        }
    );
    let text = match fields.contains("num_key_value_heads") {
        true => text,
        false => text.replacen('{', r#"{"num_key_value_heads": 2, "#, 1),
    };
    let config = ModelConfig::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let layout = Layout::new(&config);
    let mut values = initial_parameters(&config, &layout, 402);
    for tensor in layout.tensors.iter().filter(|tensor| !tensor.decays()) {
        for at in tensor.range() {
            values[at] += 0.2 * philox::normal([4, 2], at as u64);
        }
    }
    (config, layout, values)
}

#[test]
fn candles_logits_are_ours_whichever_model_of_it_serves() {
    let (context, prompt) = (180, 150);
    let tokens: Vec<u32> = (0..context as u32).map(|i| philox::philox([7, 7], [i, 0, 0, 0])[0] % 32).collect();
    for (name, who, fields) in shapes() {
        let (config, layout, values) = model(fields);
        let by = By::of(&config, context);
        check_who(name, &by, who);
        let decoder =
            |by| Decoder::new(&config, &layout, values.clone(), by, context, Engine::detect().into()).unwrap();
        let (mut candles, mut ours) = (decoder(by), decoder(By::Own(String::new())));
        // A prompt that is read in several pieces, then token after token.
        let pieces = std::iter::once(&tokens[..prompt]).chain(tokens[prompt..].chunks(1));
        for (at, piece) in pieces.enumerate() {
            let (found, expected) = (candles.push(piece).unwrap(), ours.push(piece).unwrap());
            let error = relative(&found, &expected);
            assert!(error < 1e-5, "{name}: {at} tokens after the prompt the logits differ by {error:e}");
        }
    }
}

#[test]
fn a_model_of_more_heads_than_a_text_has_tokens_is_read_right() {
    let (config, layout, values) = model(r#""num_attention_heads": 12, "num_key_value_heads": 12"#);
    let decoder = |by| Decoder::new(&config, &layout, values.clone(), by, 6, Engine::detect().into()).unwrap();
    let (mut candles, mut ours) = (decoder(By::of(&config, 6)), decoder(By::Own(String::new())));
    for tokens in [&[3][..], &[1, 4], &[1], &[5], &[9]] {
        assert!(relative(&candles.push(tokens).unwrap(), &ours.push(tokens).unwrap()) < 1e-5);
    }
}

#[test]
fn the_likeliest_text_is_the_same_by_either() {
    for (name, _, fields) in shapes() {
        let (config, layout, values) = model(fields);
        let text = |by: By| {
            let mut decoder = Decoder::new(&config, &layout, values.clone(), by, 60, Engine::detect().into()).unwrap();
            let prompt = [1, 2, 3];
            let logits = decoder.push(&prompt).unwrap();
            let rule = Rule { temperature: 0.0, ..Rule::PLAIN };
            let request = Request { prompt: &prompt, rule, seed: 0, most: 57, ends: &[], stops: Vec::new() };
            let said = say(&mut decoder, &PromptTokenizer::Bytes, request, logits, |_| Ok(())).unwrap();
            assert_eq!((said.tokens, said.finish), (57, Finish::Length));
            said.text
        };
        assert_eq!(text(By::of(&config, 60)), text(By::Own(String::new())), "{name}");
    }
}
