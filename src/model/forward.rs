//! The forward pass over one micro-batch of whole sequences.

use super::activations::{Scratch, Workspace};
use super::config::ModelConfig;
use super::fixed::Fixed;
use super::layer_acts::LayerActs;
use super::layout::{LayerIds, Layout};
use super::plan::arithmetic_of;
use crate::artifact::Recipe;
use crate::engine::linear::{Factor, block_start};
use crate::engine::{Arithmetic, AttentionShape, Engine, RopeTable};
use std::ops::Range;

/// A model's shape with what its passes need: layout, RoPE table, engine.
pub struct Model {
    /// The architecture.
    pub config: ModelConfig,
    /// Where parameters lie.
    pub layout: Layout,
    /// The operators.
    pub engine: Engine,
    /// What the linear layers' products are.
    pub arithmetic: Arithmetic,
    pub(super) rope: RopeTable,
    pub(super) eps: f32,
    pub(super) seq_len: usize,
}

/// The sum of per-token losses as 32.32 fixed point, each rounded towards zero (A8); the index of the first that is not
/// finite or not below 2^31.
pub fn sum_q32(losses: &[f32]) -> Result<i128, usize> {
    const BOUND: f32 = 2_147_483_648.0;
    match losses.iter().position(|loss| !(*loss > -BOUND && *loss < BOUND)) {
        Some(bad) => Err(bad),
        None => Ok(losses.iter().map(|&loss| (f64::from(loss) * 4_294_967_296.0) as i128).sum()),
    }
}

impl Model {
    /// A model for sequences of `seq_len` tokens.
    pub fn new(config: ModelConfig, engine: Engine, arithmetic: Arithmetic, seq_len: usize) -> Model {
        let scaling = config.rope_scaling.as_ref().map(|s| crate::engine::RopeScaling {
            factor: s.factor,
            low_freq_factor: s.low_freq_factor,
            high_freq_factor: s.high_freq_factor,
            original_max_position_embeddings: s.original_max_position_embeddings,
        });
        Model {
            rope: RopeTable::new(seq_len, config.head_dim, config.rope_theta, scaling),
            eps: config.rms_norm_eps as f32,
            layout: Layout::new(&config),
            seq_len,
            engine,
            arithmetic,
            config,
        }
    }

    /// The model that a recipe trains.
    pub fn of(recipe: &Recipe, config: ModelConfig, engine: Engine) -> Model {
        Model::new(config, engine, arithmetic_of(recipe), recipe.data.seq_len)
    }

    /// RoPE's table, for the model's sequences.
    pub fn rope(&self) -> &RopeTable {
        &self.rope
    }

    /// RMSNorm's epsilon, rounded once.
    pub fn eps(&self) -> f32 {
        self.eps
    }

    /// Tokens of a sequence.
    pub fn seq_len(&self) -> usize {
        self.seq_len
    }

    pub(super) fn attention_shape(&self, sequences: usize) -> AttentionShape {
        AttentionShape {
            sequences,
            seq_len: self.seq_len,
            heads: self.config.num_attention_heads,
            kv_heads: self.config.num_key_value_heads,
            head_dim: self.config.head_dim,
        }
    }

    /// y = x · Wᵀ for the parameter `id` \[out × in\].
    pub(super) fn project(&self, parameters: &Fixed<'_>, id: usize, x: Factor<'_>, y: &mut [f32]) {
        self.engine.linear(self.arithmetic, x, parameters.factor(id), y);
    }

    /// What the gradient of a linear layer's input is. The head's stays in float32 under either contract: of a softmax over a large
    /// vocabulary most values are too small beside the largest for a scale in common.
    pub fn input_gradient_arithmetic(&self, id: usize) -> Arithmetic {
        if id == self.layout.head { Arithmetic::Float } else { self.arithmetic }
    }

    /// Runs of at most `rows` tokens, of which there are `n`, each of whole blocks: what the head works on at a time.
    pub fn runs(&self, n: usize, rows: usize) -> impl Iterator<Item = Range<usize>> {
        let end = move |start: usize| if start + rows < n { block_start(start + rows, self.seq_len) } else { n };
        let starts = std::iter::successors((n > 0).then_some(0), move |start| Some(end(*start)).filter(|end| *end < n));
        starts.map(move |start| start..end(start))
    }

    /// One layer: `x` is the residual stream before it, `out` the one after it.
    pub(super) fn layer_forward(
        &self,
        parameters: &Fixed<'_>,
        ids: &LayerIds,
        x: &[f32],
        acts: &mut LayerActs,
        scratch: &mut Scratch,
        out: Option<&mut [f32]>,
    ) {
        let engine = self.engine;
        let n = x.len() / self.config.hidden_size;
        let (q, kv) = (self.config.query_width(), self.config.key_width());
        let (d, ff) = (self.config.hidden_size, self.config.intermediate_size);
        let weight = |id: usize| parameters.factor(id).values();
        let normed = &mut scratch.normed[..x.len()];
        let projected = &mut scratch.projected[..x.len()];

        engine.rms_norm(x, weight(ids.norm1), self.eps, normed, &mut acts.rinv1[..n]);
        let input = scratch.integers.of(normed, d);
        self.project(parameters, ids.q, input, &mut acts.q[..n * q]);
        self.project(parameters, ids.k, input, &mut acts.k[..n * kv]);
        self.project(parameters, ids.v, input, &mut acts.v[..n * kv]);
        engine.rope(&self.rope, q, &mut acts.q[..n * q]);
        engine.rope(&self.rope, kv, &mut acts.k[..n * kv]);
        let heads = n * self.config.num_attention_heads;
        engine.attention(
            &self.attention_shape(n / self.seq_len),
            &acts.q[..n * q],
            &acts.k[..n * kv],
            &acts.v[..n * kv],
            &mut acts.attention[..n * q],
            &mut acts.row_max[..heads],
            &mut acts.row_sum[..heads],
        );
        self.project(parameters, ids.o, Factor::new(&acts.attention[..n * q], q), projected);
        let middle = &mut acts.middle[..x.len()];
        engine.add(x, projected, middle);

        engine.rms_norm(middle, weight(ids.norm2), self.eps, normed, &mut acts.rinv2[..n]);
        let input = scratch.integers.of(normed, d);
        let (gate, up) = (&mut acts.gate[..n * ff], &mut acts.up[..n * ff]);
        self.project(parameters, ids.gate, input, gate);
        self.project(parameters, ids.up, input, up);
        // A backward pass needs gate and up alone; what follows them is for the next layer.
        let Some(out) = out else { return };
        let hidden = &mut scratch.hidden[..n * ff];
        engine.swiglu(gate, up, hidden);
        self.project(parameters, ids.down, Factor::new(hidden, ff), projected);
        engine.add(middle, projected, out);
    }

    /// Splits sequences of `seq_len + 1` tokens into inputs and targets. Returns the number of tokens.
    pub(super) fn set_tokens(&self, tokens: &[u32], scratch: &mut Scratch) -> usize {
        let t = self.seq_len;
        let sequences = tokens.len() / (t + 1);
        assert_eq!(tokens.len(), sequences * (t + 1), "whole sequences of {} tokens", t + 1);
        for (s, sequence) in tokens.chunks_exact(t + 1).enumerate() {
            scratch.inputs[s * t..(s + 1) * t].copy_from_slice(&sequence[..t]);
            scratch.targets[s * t..(s + 1) * t].copy_from_slice(&sequence[1..]);
        }
        sequences * t
    }

    /// All layers, from the tokens in the scratch to the last residual stream.
    pub(super) fn layers_forward(&self, parameters: &Fixed<'_>, n: usize, ws: &mut Workspace) {
        let d = self.config.hidden_size;
        let table = parameters.factor(self.layout.embedding).values();
        self.engine.embedding(table, d, &ws.scratch.inputs[..n], &mut ws.stream[0][..n * d]);
        for (l, ids) in self.layout.layers.iter().enumerate() {
            let acts = if ws.plan.recompute { &mut ws.layers[0] } else { &mut ws.layers[l] };
            if ws.plan.keeps_streams() {
                let (before, after) = ws.stream.split_at_mut(l + 1);
                let out = &mut after[0][..n * d];
                self.layer_forward(parameters, ids, &before[l][..n * d], acts, &mut ws.scratch, Some(out));
            } else {
                // One stream: it is taken out while it is read, and written at the end.
                let mut stream = std::mem::take(&mut ws.stream[0]);
                let mut out = std::mem::take(&mut ws.scratch.dx);
                out.resize(stream.len(), 0.0);
                let x = &stream[..n * d];
                self.layer_forward(parameters, ids, x, acts, &mut ws.scratch, Some(&mut out[..n * d]));
                std::mem::swap(&mut stream, &mut out);
                ws.stream[0] = stream;
                ws.scratch.dx = out;
            }
        }
    }

    /// The losses of the targets, in nats: sequences of `seq_len + 1` tokens, at most the plan's number.
    pub fn losses<'w>(&self, parameters: &Fixed<'_>, tokens: &[u32], ws: &'w mut Workspace) -> &'w [f32] {
        let n = self.set_tokens(tokens, &mut ws.scratch);
        self.layers_forward(parameters, n, ws);
        let (d, v) = (self.config.hidden_size, self.config.vocab_size);
        let scratch = &mut ws.scratch;
        let last = ws.stream.last().expect("there is a stream");
        let weight = parameters.factor(self.layout.norm).values();
        let normed = &mut scratch.normed[..n * d];
        self.engine.rms_norm(&last[..n * d], weight, self.eps, normed, &mut scratch.rinv[..n]);
        for rows in self.runs(n, ws.plan.logit_rows) {
            let logits = &mut scratch.logits[..rows.len() * v];
            let input = scratch.integers.of(&normed[rows.start * d..rows.end * d], d);
            self.project(parameters, self.layout.head, input, logits);
            let targets = &scratch.targets[rows.clone()];
            self.engine.cross_entropy_loss(logits, v, targets, &mut scratch.losses[rows]);
        }
        &scratch.losses[..n]
    }
}
