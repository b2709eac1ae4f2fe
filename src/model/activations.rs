//! The memory of a pass over one micro-batch: allocated once, reused by every step.

use super::config::ModelConfig;
use super::layer_acts::LayerActs;
use super::plan::Plan;
use crate::device::Device;
use crate::engine::linear::Integers;
use crate::engine::{Buffer, Words};
use std::ops::Range;

/// All activations and scratch of a micro-batch.
pub struct Workspace {
    pub(super) plan: Plan,
    /// The residual stream before each layer, and after the last one \[layers + 1\]\[n × d\]; without a backward pass the first of
    /// two that take turns.
    pub(super) stream: Vec<Buffer>,
    /// One a layer; a single one where layers are computed again on the way back, or where there is none.
    pub(super) layers: Vec<LayerActs>,
    pub(super) scratch: Scratch,
}

/// Buffers that hold nothing from one operator to the next but one.
pub(super) struct Scratch {
    /// A normed residual stream \[n × d\].
    pub normed: Buffer,
    /// A projection into the residual stream, or the gradient of a normed one \[n × d\].
    pub projected: Buffer,
    /// 1/rms before the head \[n\].
    pub rinv: Buffer,
    /// Feed-forward's hidden values, or their gradient \[n × ff\].
    pub hidden: Buffer,
    /// Gradient of the residual stream \[n × d\].
    pub dx: Buffer,
    /// Gradients of attention \[n × query width\], \[n × key width\] twice, \[n × query width\].
    pub dq: Buffer,
    /// See `dq`.
    pub dk: Buffer,
    /// See `dq`.
    pub dv: Buffer,
    /// See `dq`.
    pub d_attention: Buffer,
    /// The gradient of a branch as it leaves, twice: scaled, and before its norm \[n × d\]. Empty where nothing is done to it.
    pub d_branch: [Buffer; 2],
    /// Gradients of queries and keys before their norm \[n × query width\], \[n × key width\]; empty without one.
    pub d_raw: [Buffer; 2],
    /// What a fused projection gives, or its gradient \[n × its width\]; empty without one.
    pub fused: Buffer,
    /// Logits of a chunk of tokens \[chunk × vocabulary\].
    pub logits: Buffer,
    /// Input tokens \[n\].
    pub inputs: Words,
    /// Target tokens \[n\]; NO_TARGET where there is none.
    pub targets: Words,
    /// The documents, as ranges of tokens; none where every sequence is one.
    pub documents: Vec<Range<usize>>,
    /// Losses \[n\].
    pub losses: Buffer,
    /// Losses or logits that were copied from a device.
    pub seen: Vec<f32>,
    /// Of a linear layer's input that several products take.
    pub integers: Integers,
}

/// The residual stream after all layers.
pub(super) fn last_stream<'s>(plan: &Plan, stream: &'s [Buffer]) -> &'s Buffer {
    let last = if plan.keeps_streams() { stream.last() } else { stream.first() };
    last.expect("there is a stream")
}

impl Workspace {
    /// Allocates what the plan says, where the device computes.
    pub fn new(device: &Device, config: &ModelConfig, plan: Plan) -> Workspace {
        let n = plan.tokens();
        let zeros = |rows: usize, width: usize| device.zeros(rows * width);
        let back = |width: usize| zeros(if plan.backward { n } else { 0 }, width);
        let d = config.hidden_size;
        let kept = if plan.keeps_streams() { config.num_hidden_layers + 1 } else { 2 };
        Workspace {
            stream: (0..kept).map(|_| zeros(n, d)).collect(),
            layers: (0..plan.kept_layers(config)).map(|_| LayerActs::new(device, config, n)).collect(),
            scratch: Scratch {
                normed: zeros(n, d),
                projected: zeros(n, d),
                rinv: zeros(n, 1),
                hidden: zeros(n, config.intermediate_size),
                dx: back(d),
                dq: back(config.query_width()),
                dk: back(config.key_width()),
                dv: back(config.key_width()),
                d_attention: back(config.query_width()),
                d_branch: config.d_branch_widths().map(back),
                d_raw: config.d_raw_widths().map(back),
                fused: zeros(n, config.fused_width()),
                logits: zeros(plan.logit_rows, config.vocab_size),
                inputs: device.words(n),
                targets: device.words(n),
                documents: Vec::new(),
                losses: zeros(n, 1),
                seen: Vec::new(),
                integers: Integers::of_inputs(plan.sequences, plan.seq_len),
            },
            plan,
        }
    }
}
