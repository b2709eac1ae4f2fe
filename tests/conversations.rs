//! Conversations: only what the mask names is trained, and those that share a sequence know nothing of each other.

use l402::engine::{Arithmetic, Engine};
use l402::model::{Batch, Gradients, Model, ModelConfig, Plan, Workspace, initial_parameters};

const SEQ_LEN: usize = 90;
const VOCABULARY: u32 = 61;

/// Llama, sliding windows with a RoPE of their own, and layers without RoPE.
fn configs() -> Vec<ModelConfig> {
    let oracle = |name: &str| {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/oracle/architectures");
        std::fs::read_to_string(root.join(name).join("config.json")).unwrap()
    };
    let llama = r#"{"model_type": "llama", "hidden_act": "silu", "hidden_size": 24, "intermediate_size": 40,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "vocab_size": 61,
        "rms_norm_eps": 1e-05, "initializer_range": 0.2}"#;
    let of = |text: String| {
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        config["vocab_size"] = VOCABULARY.into();
        ModelConfig::parse(&config.to_string()).unwrap()
    };
    [llama.to_owned(), oracle("gemma3"), oracle("smollm3"), oracle("qwen3")].into_iter().map(of).collect()
}

/// The tokens of a conversation of this length.
fn conversation(seed: u32, length: usize) -> Vec<u32> {
    (0..length as u32).map(|i| (i * i * 7 + i * seed + seed) % VOCABULARY).collect()
}

fn padded(mut tokens: Vec<u32>) -> Vec<u32> {
    tokens.resize(SEQ_LEN + 1, 0);
    tokens
}

/// Losses of one sequence, and the gradient of their sum.
fn both(model: &Model, parameters: &[f32], batch: Batch<'_>) -> (Vec<f32>, Vec<f32>) {
    let plan = Plan::training(&model.config, SEQ_LEN, 1, None, 1 << 30);
    let mut workspace = Workspace::new(&model.device, &model.config, plan);
    let parameters = model.fix(parameters);
    let losses = model.losses(&parameters, batch, &mut workspace).unwrap().to_vec();
    let mut gradients = Gradients::new(model);
    let again = model.backward(&parameters, batch, 1.0, &mut gradients, &mut workspace).unwrap().to_vec();
    assert_eq!(losses, again);
    gradients.finish(model);
    (losses, gradients.flat.host().to_vec())
}

#[test]
fn a_packed_conversation_has_the_losses_that_it_has_alone_to_the_bit() {
    let lengths = [33, 1, 20, 37];
    for config in configs() {
        for arithmetic in [Arithmetic::Float, Arithmetic::Integer] {
            for engine in [Engine::detect(), Engine::definition()] {
                let model = Model::new(config.clone(), engine, arithmetic, SEQ_LEN);
                let parameters = initial_parameters(&model.config, &model.layout, 5);
                let documents: Vec<Vec<u32>> =
                    lengths.iter().enumerate().map(|(i, length)| conversation(i as u32 + 3, *length)).collect();
                let tokens = documents.concat();
                assert_eq!(tokens.len(), SEQ_LEN + 1);
                let starts: Vec<u8> = lengths.iter().flat_map(|n| (0..*n).map(|t| u8::from(t == 0))).collect();
                let mask: Vec<u8> = starts.iter().map(|start| 1 - start).collect();
                let (losses, _) = both(&model, &parameters, Batch { tokens: &tokens, mask: &mask, starts: &starts });
                let mut at = 0;
                for document in documents {
                    let length = document.len();
                    let (alone, _) = both(&model, &parameters, Batch::from(&padded(document)));
                    let bits = |losses: &[f32]| losses.iter().map(|loss| loss.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&losses[at..at + length - 1]), bits(&alone[..length - 1]));
                    at += length;
                    // What comes after its last token is another's, and no target.
                    assert!(at > SEQ_LEN || losses[at - 1].to_bits() == 0);
                }
            }
        }
    }
}

#[test]
fn the_gradient_of_a_packed_sequence_is_the_sum_of_those_alone() {
    for config in configs() {
        let model = Model::new(config, Engine::detect(), Arithmetic::Float, SEQ_LEN);
        let parameters = initial_parameters(&model.config, &model.layout, 5);
        let documents = [conversation(3, 40), conversation(8, 51)];
        let starts: Vec<u8> = (0..=SEQ_LEN).map(|t| u8::from(t == 0 || t == 40)).collect();
        let mask: Vec<u8> = starts.iter().map(|start| 1 - start).collect();
        let tokens = documents.concat();
        let (_, packed) = both(&model, &parameters, Batch { tokens: &tokens, mask: &mask, starts: &starts });
        let mut sum = vec![0f64; packed.len()];
        for document in documents {
            let mask: Vec<u8> = (0..=SEQ_LEN).map(|t| u8::from(t > 0 && t < document.len())).collect();
            let (_, alone) = both(&model, &parameters, Batch { tokens: &padded(document), mask: &mask, starts: &[] });
            sum.iter_mut().zip(alone).for_each(|(sum, x)| *sum += f64::from(x));
        }
        let norm = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
        let error = packed.iter().zip(&sum).map(|(x, y)| (f64::from(*x) - y).powi(2)).sum::<f64>().sqrt();
        assert!(norm > 0.0 && error < 1e-5 * norm, "{error} of {norm}");
    }
}

#[test]
fn a_token_that_is_no_target_has_no_loss_and_its_value_no_effect_but_as_an_input() {
    let config = configs().remove(0);
    for arithmetic in [Arithmetic::Float, Arithmetic::Integer] {
        let model = Model::new(config.clone(), Engine::detect(), arithmetic, SEQ_LEN);
        let parameters = initial_parameters(&model.config, &model.layout, 5);
        let tokens = conversation(3, SEQ_LEN + 1);
        let mask: Vec<u8> = (0..=SEQ_LEN).map(|t| u8::from(t > 0 && t < 60 && t % 4 == 1)).collect();
        let (losses, gradient) = both(&model, &parameters, Batch { tokens: &tokens, mask: &mask, starts: &[] });
        let (whole, other) = both(&model, &parameters, Batch::from(&tokens));
        for (t, loss) in losses.iter().enumerate() {
            let expected = if mask[t + 1] == 1 { whole[t].to_bits() } else { 0 };
            assert_eq!(loss.to_bits(), expected);
        }
        assert_ne!(gradient, other);
        // The last tokens are neither targets nor seen by one.
        let mut changed = tokens.clone();
        changed[60..].fill(9);
        let (again, same) = both(&model, &parameters, Batch { tokens: &changed, mask: &mask, starts: &[] });
        assert_eq!(losses, again);
        // Integers of weight gradients have a scale for a block of tokens, targets or not.
        let moved = gradient.iter().zip(&same).map(|(x, y)| (x - y).abs()).fold(0f32, f32::max);
        let largest = gradient.iter().fold(0f32, |largest, x| largest.max(x.abs()));
        assert!(moved <= if arithmetic == Arithmetic::Float { 0.0 } else { largest * 1e-2 }, "{moved} of {largest}");
    }
}
