//! Small models whose every tensor matters, and what our engine makes of them.

use l402::engine::{Arithmetic, Engine};
use l402::model::{Gradients, Model, ModelConfig, Plan, Workspace, initial_parameters};

/// A model with its parameters and a batch.
pub struct Case {
    pub name: &'static str,
    pub model: Model,
    pub parameters: Vec<f32>,
    pub seq_len: usize,
    /// Sequences of `seq_len + 1` tokens.
    pub tokens: Vec<u32>,
}

impl Case {
    fn new(name: &'static str, config: &str, seq_len: usize, sequences: usize) -> Case {
        let config = ModelConfig::parse(config).unwrap();
        let model = Model::new(config, Engine::detect(), Arithmetic::Float, seq_len);
        let mut parameters = initial_parameters(&model.config, &model.layout, 402);
        // Norm weights begin as ones: other values show where they enter.
        for tensor in model.layout.tensors.iter().filter(|t| !t.decays()) {
            for (i, w) in parameters[tensor.range()].iter_mut().enumerate() {
                *w += 0.3 * ((i * 7 + tensor.offset) as f32).sin();
            }
        }
        let vocabulary = model.config.vocab_size as u64;
        let tokens = (0..(sequences * (seq_len + 1)) as u64)
            .map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) % vocabulary)
            .map(|token| token as u32)
            .collect();
        Case { name, model, parameters, seq_len, tokens }
    }

    /// Tied and untied heads; one key head for several query heads; heads narrower and wider than hidden / heads.
    pub fn all() -> Vec<Case> {
        let untied = r#"{"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 6,
            "num_key_value_heads": 2, "head_dim": 12, "vocab_size": 61, "rms_norm_eps": 1e-5, "rope_theta": 500.0,
            "initializer_range": 0.15}"#;
        let tied = r#"{"hidden_size": 40, "intermediate_size": 56, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 1, "head_dim": 6, "vocab_size": 67, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
            "tie_word_embeddings": true, "initializer_range": 0.2}"#;
        vec![Case::new("untied", untied, 19, 5), Case::new("tied", tied, 33, 3)]
    }

    /// The mean loss and its gradient by our engine, with layers computed twice in micro-batches of two sequences.
    pub fn ours(&self) -> (f64, Vec<f32>) {
        let width = self.seq_len + 1;
        let sequences = self.tokens.len() / width;
        let targets = sequences * self.seq_len;
        let plan = Plan::training(&self.model.config, self.seq_len, sequences, Some(2), 0);
        let mut workspace = Workspace::new(&self.model.device, &self.model.config, plan);
        let mut gradients = Gradients::new(&self.model);
        let parameters = self.model.fix(&self.parameters);
        let mut loss = 0.0;
        for micro in self.tokens.chunks(plan.sequences * width) {
            let scale = 1.0 / targets as f32;
            let losses = self.model.backward(&parameters, micro, scale, &mut gradients, &mut workspace).unwrap();
            loss += losses.iter().map(|&l| f64::from(l)).sum::<f64>();
        }
        gradients.finish(&self.model);
        (loss / targets as f64, gradients.flat.host().to_vec())
    }
}
