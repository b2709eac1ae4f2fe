//! The shapes, and what a step of them costs.

use l402::model::{Decoder, Layout, ModelConfig};
use serde_json::{Value, json};

/// A model and a batch.
#[derive(Clone)]
pub struct Shape {
    pub name: String,
    pub config: ModelConfig,
    pub seq_len: usize,
    pub batch: usize,
}

impl Shape {
    /// From benches/shapes.json.
    pub fn named(name: &str, seq_len: Option<usize>) -> Shape {
        let shapes: Value = serde_json::from_str(include_str!("../shapes.json")).expect("the shapes are JSON");
        let found = shapes.get(name).unwrap_or_else(|| panic!("no shape {name:?} in benches/shapes.json"));
        let number = |key: &str| found[key].as_u64().expect("a shape has its batch") as usize;
        let config = ModelConfig::parse(&found["config"].to_string()).expect("a shape is a model");
        let (own, batch) = (number("seq_len"), number("batch"));
        Shape { name: name.to_owned(), config, seq_len: seq_len.unwrap_or(own), batch }
    }

    /// Tokens of a step.
    pub fn tokens(&self) -> usize {
        self.batch * self.seq_len
    }

    /// Operations of a step: 2 a weight and token for each product, forward, and twice that backward, over all matrices but
    /// an untied embedding; and 12 · heads · head_dim · T (T + 1) / 2 a layer and sequence for the scores and the values that
    /// causal attention needs. Nothing for what an engine computes twice, and nothing for all that is no product.
    pub fn flops(&self) -> f64 {
        let decoder = Decoder::new(&self.config);
        let matrices = decoder.layout.tensors.iter().enumerate().filter(|(id, t)| {
            let only_looked_up = *id == decoder.embedding && !decoder.tied();
            t.shape.len() == 2 && !only_looked_up
        });
        let weights: usize = matrices.map(|(_, t)| t.len()).sum();
        let pairs = self.batch * self.seq_len * (self.seq_len + 1) / 2;
        let attention = 12 * self.config.query_width() * pairs * self.config.num_hidden_layers;
        (6 * weights * self.tokens() + attention) as f64
    }

    /// What stays the same from step to step.
    pub fn describe(&self, engine: &str) -> Value {
        json!({
            "engine": engine, "shape": self.name, "parameters": Layout::new(&self.config).total, "seq_len": self.seq_len,
            "batch": self.batch, "tokens": self.tokens(), "flops": self.flops(),
        })
    }

    /// Sequences of `seq_len + 1` tokens that nothing can be learnt from.
    pub fn sequences(&self, count: usize) -> Vec<u32> {
        (0..(count * (self.seq_len + 1)) as u64)
            .map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32)
            .map(|x| (x % self.config.vocab_size as u64) as u32)
            .collect()
    }
}
