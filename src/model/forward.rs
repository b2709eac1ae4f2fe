//! The forward pass over one micro-batch of whole sequences.

use super::activations::{Scratch, Workspace, last_stream};
use super::batch::Batch;
use super::config::ModelConfig;
use super::decoder::Decoder;
use super::fixed::{Fixed, KeptWeights};
use super::layer_acts::LayerActs;
use super::layout::Layout;
use super::net::{Adapted, Net};
use super::plan::arithmetic_of;
use super::variant::QkNorm;
use crate::artifact::Recipe;
use crate::device::{Device, NormWeight, Rope};
use crate::engine::linear::block_start;
use crate::engine::{Arithmetic, AttentionShape, Buffer, Engine, Held, Part, PartMut, RopeTable};
use crate::error::Result;
use std::borrow::Cow;
use std::ops::Range;

/// A model's shape with what its passes need: layout, RoPE table, device.
pub struct Model {
    /// The architecture.
    pub config: ModelConfig,
    /// Where the trained parameters lie.
    pub layout: Layout,
    /// All tensors, and which of them are trained.
    pub net: Net,
    /// Where its passes run.
    pub device: Device,
    /// The same on other devices, which take groups of each batch (`grad_groups`): never a matter of bits.
    pub beside: Vec<Model>,
    /// The operators on the host.
    pub engine: Engine,
    /// What the linear layers' products are.
    pub arithmetic: Arithmetic,
    pub(super) eps: f32,
    pub(super) seq_len: usize,
    rope: Rope,
    /// RoPE in sliding layers, where it is another.
    local_rope: Option<Rope>,
    /// The model beside an adapter in the device's memory, where the host's is another.
    base: Option<Buffer>,
}

/// The sum of per-token losses as 32.32 fixed point, each rounded towards zero (A8); the index of the first that is not
/// finite or not below 2^31.
pub fn sum_q32(losses: &[f32]) -> std::result::Result<i128, usize> {
    const BOUND: f32 = 2_147_483_648.0;
    match losses.iter().position(|loss| !(*loss > -BOUND && *loss < BOUND)) {
        Some(bad) => Err(bad),
        None => Ok(losses.iter().map(|&loss| (f64::from(loss) * 4_294_967_296.0) as i128).sum()),
    }
}

impl Model {
    /// A whole model for sequences of `seq_len` tokens.
    pub fn new(config: ModelConfig, device: impl Into<Device>, arithmetic: Arithmetic, seq_len: usize) -> Model {
        let net = Net { decoder: Decoder::new(&config), adapted: None };
        Model::of_net(config, net, device, arithmetic, seq_len)
    }

    /// A model of these tensors, which are the configuration's, for sequences of `seq_len` tokens.
    pub fn of_net(
        config: ModelConfig,
        net: Net,
        device: impl Into<Device>,
        arithmetic: Arithmetic,
        seq_len: usize,
    ) -> Model {
        let device = device.into();
        let rope = |theta, scaling| device.rope_table(RopeTable::new(seq_len, config.head_dim, theta, scaling));
        let base = net.adapted.as_ref().map(|adapted| device.hold(&adapted.base));
        let base = base.and_then(|held| match held {
            Held::Copy(buffer) => Some(buffer),
            Held::Caller(_) => None,
        });
        Model {
            rope: rope(config.rope_theta, config.rope_scaling),
            local_rope: config.variant.local_rope_theta.map(|theta| rope(theta, None)),
            eps: config.rms_norm_eps as f32,
            layout: net.trained().clone(),
            net,
            seq_len,
            beside: Vec::new(),
            base,
            engine: device.engine(),
            device,
            arithmetic,
            config,
        }
    }

    /// The whole model that a recipe trains.
    pub fn of(recipe: &Recipe, config: ModelConfig, device: impl Into<Device>) -> Model {
        Model::new(config, device, arithmetic_of(recipe), recipe.data.seq_len)
    }

    /// The same model on another device.
    pub fn on(&self, device: impl Into<Device>) -> Model {
        Model::of_net(self.config.clone(), self.net.clone(), device, self.arithmetic, self.seq_len)
    }

    /// The same, with these devices beside its own.
    pub fn with_beside(self, devices: Vec<Device>) -> Model {
        let beside = devices.into_iter().map(|device| self.on(device)).collect();
        Model { beside, ..self }
    }

    /// What an adapter's part of a linear layer is multiplied by.
    pub fn adapter_scale(&self) -> f32 {
        self.net.adapted.as_ref().map_or(0.0, |Adapted { adapter, .. }| adapter.recipe.scale())
    }

    /// RoPE's table of a layer, for the model's sequences; `None` where the layer turns nothing.
    pub fn rope(&self, layer: usize) -> Option<&Rope> {
        let variant = &self.config.variant;
        let local = self.local_rope.as_ref().filter(|_| variant.slides(layer));
        variant.turns(layer).then_some(local.unwrap_or(&self.rope))
    }

    /// RMSNorm's epsilon, rounded once.
    pub fn eps(&self) -> f32 {
        self.eps
    }

    /// Tokens of a sequence.
    pub fn seq_len(&self) -> usize {
        self.seq_len
    }

    /// The sizes of a layer's attention.
    pub fn attention_shape(&self, layer: usize, sequences: usize) -> AttentionShape {
        let ModelConfig { num_attention_heads, num_key_value_heads, head_dim, variant, .. } = &self.config;
        AttentionShape {
            sequences,
            seq_len: self.seq_len,
            heads: *num_attention_heads,
            kv_heads: *num_key_value_heads,
            head_dim: *head_dim,
            scale: variant.attention_multiplier.map_or(AttentionShape::usual_scale(*head_dim), |scale| scale as f32),
            window: variant.window(layer),
        }
    }

    /// Rows that the norm of queries and keys makes of a token, and what it norms together, for both.
    pub fn qk_norm_rows(&self) -> [(usize, usize); 2] {
        let config = &self.config;
        match config.variant.qk_norm {
            Some(QkNorm::Head) => {
                [config.num_attention_heads, config.num_key_value_heads].map(|n| (n, config.head_dim))
            }
            _ => [(1, config.query_width()), (1, config.key_width())],
        }
    }

    /// The parameters of the model beside an adapter, where passes read them.
    pub fn base(&self) -> Option<Part<'_>> {
        let adapted = self.net.adapted.as_ref()?;
        Some(self.base.as_ref().map_or(Part::from(&*adapted.base), |buffer| buffer.part(..)))
    }

    /// These parameters for one micro-batch.
    pub fn fix<'a>(&'a self, parameters: impl Into<Part<'a>>) -> Fixed<'a> {
        Fixed::new(&self.net, self.base(), parameters.into())
    }

    /// These parameters for as long as they stay, with what was made of them.
    pub fn fix_in<'a>(&'a self, kept: &'a mut KeptWeights, parameters: impl Into<Part<'a>>) -> Fixed<'a> {
        kept.fix(&self.net, self.base(), parameters.into(), false)
    }

    /// The parameters of the last [`Model::fix_in`] again: nothing has changed them since, and what was made of them is kept.
    pub fn fix_again<'a>(&'a self, kept: &'a mut KeptWeights, parameters: impl Into<Part<'a>>) -> Fixed<'a> {
        kept.fix(&self.net, self.base(), parameters.into(), true)
    }

    /// A norm's weight, as a device takes it.
    pub(super) fn norm_parameter<'a>(&self, parameter: Part<'a>) -> NormWeight<'a> {
        NormWeight { parameter, plus_one: self.config.variant.norm_plus_one }
    }

    /// A norm's weight, as its operator takes it.
    pub fn norm_weight<'a>(&self, weight: &'a [f32]) -> Cow<'a, [f32]> {
        match self.config.variant.norm_plus_one {
            false => Cow::Borrowed(weight),
            true => Cow::Owned(weight.iter().map(|w| 1.0 + w).collect()),
        }
    }

    /// What logits are multiplied by, and their gradients.
    pub fn logits_factor(&self) -> Option<f32> {
        self.config.variant.logits_scaling.map(|scaling| (1.0 / scaling) as f32)
    }

    /// What embeddings are multiplied by, and their gradients.
    pub fn embedding_factor(&self) -> Option<f32> {
        self.config.variant.embedding_multiplier.map(|factor| factor as f32)
    }

    /// What branches are multiplied by before they are added, and their gradients.
    pub fn residual_factor(&self) -> Option<f32> {
        self.config.variant.residual_multiplier.map(|factor| factor as f32)
    }

    /// What the gradient of a linear layer's input is. The head's stays in float32 under either contract: of a softmax over a large
    /// vocabulary most values are too small beside the largest for a scale in common.
    pub fn input_gradient_arithmetic(&self, id: usize) -> Arithmetic {
        if id == self.net.decoder.head { Arithmetic::Float } else { self.weight_gradient_arithmetic(id) }
    }

    /// What the gradient of a matrix is, by its number: an adapter's factors are worked on in float32 under either contract.
    pub fn weight_gradient_arithmetic(&self, id: usize) -> Arithmetic {
        if id < self.net.decoder.layout.tensors.len() { self.arithmetic } else { Arithmetic::Float }
    }

    /// Runs of at most `rows` tokens, of which there are `n`, each of whole blocks: what the head works on at a time.
    pub fn runs(&self, n: usize, rows: usize) -> impl Iterator<Item = Range<usize>> {
        let end = move |start: usize| if start + rows < n { block_start(start + rows, self.seq_len) } else { n };
        let starts = std::iter::successors((n > 0).then_some(0), move |start| Some(end(*start)).filter(|end| *end < n));
        starts.map(move |start| start..end(start))
    }

    /// One layer: `x` is the residual stream before it, `out` the one after it. Without `out` as far as a backward pass needs it.
    pub(super) fn layer_forward(
        &self,
        parameters: &Fixed<'_>,
        layer: usize,
        x: Part<'_>,
        acts: &mut LayerActs,
        scratch: &mut Scratch,
        out: Option<PartMut<'_>>,
    ) {
        self.attention_forward(parameters, layer, x, acts, scratch);
        self.feed_forward(parameters, layer, x.len() / self.config.hidden_size, acts, scratch, out);
    }

    /// All layers, from the tokens in the scratch to the last residual stream.
    pub(super) fn layers_forward(&self, parameters: &Fixed<'_>, n: usize, ws: &mut Workspace) {
        let d = self.config.hidden_size;
        let table = parameters.factor(self.net.decoder.embedding).values();
        self.device.embedding(table, d, &ws.scratch.inputs, 0..n, ws.stream[0].part_mut(..n * d));
        if let Some(factor) = self.embedding_factor() {
            self.device.scale(ws.stream[0].part_mut(..n * d), factor);
        }
        for l in 0..self.net.decoder.layers.len() {
            let acts = if ws.plan.recompute { &mut ws.layers[0] } else { &mut ws.layers[l] };
            if ws.plan.keeps_streams() {
                let (before, after) = ws.stream.split_at_mut(l + 1);
                let out = after[0].part_mut(..n * d);
                self.layer_forward(parameters, l, before[l].part(..n * d), acts, &mut ws.scratch, Some(out));
            } else {
                // One is read, the other written.
                let [x, out] = &mut ws.stream[..] else { unreachable!("there are two streams") };
                let x = x.part(..n * d);
                self.layer_forward(parameters, l, x, acts, &mut ws.scratch, Some(out.part_mut(..n * d)));
                ws.stream.swap(0, 1);
            }
        }
    }

    /// The losses of the targets, in nats, +0 where there is none: sequences of `seq_len + 1` tokens, at most the plan's number.
    pub fn losses<'b, 'w>(
        &self,
        parameters: &Fixed<'_>,
        batch: impl Into<Batch<'b>>,
        ws: &'w mut Workspace,
    ) -> Result<&'w [f32]> {
        let n = self.set_batch(batch.into(), &mut ws.scratch);
        self.layers_forward(parameters, n, ws);
        let (d, v) = (self.config.hidden_size, self.config.vocab_size);
        let scratch = &mut ws.scratch;
        let last = last_stream(&ws.plan, &ws.stream).part(..n * d);
        let mut normed = scratch.normed.part_mut(..n * d);
        self.norm(parameters, self.net.decoder.norm, last, normed.again(), scratch.rinv.part_mut(..n));
        for rows in self.runs(n, ws.plan.logit_rows) {
            let mut logits = scratch.logits.part_mut(..rows.len() * v);
            let input = scratch.integers.of(normed.shared().part(rows.start * d..rows.end * d), d);
            self.logits(parameters, input, logits.again());
            let losses = scratch.losses.part_mut(rows.clone());
            self.device.cross_entropy_loss(logits.shared(), v, &scratch.targets, rows, losses);
        }
        self.device.seen(&scratch.losses, n, &mut scratch.seen)
    }
}
