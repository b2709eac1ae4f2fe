//! The memory of a pass over one micro-batch: allocated once, reused by every step.

use super::config::ModelConfig;
use super::layer_acts::LayerActs;
use super::plan::Plan;
use crate::engine::linear::Integers;
use std::ops::Range;

/// All activations and scratch of a micro-batch.
pub struct Workspace {
    pub(super) plan: Plan,
    /// The residual stream before each layer, and after the last one \[layers + 1\]\[n × d\].
    pub(super) stream: Vec<Vec<f32>>,
    /// One a layer; a single one where layers are computed again on the way back, or where there is none.
    pub(super) layers: Vec<LayerActs>,
    pub(super) scratch: Scratch,
}

/// Buffers that hold nothing from one operator to the next but one.
pub(super) struct Scratch {
    /// A normed residual stream \[n × d\].
    pub normed: Vec<f32>,
    /// A projection into the residual stream, or the gradient of a normed one \[n × d\].
    pub projected: Vec<f32>,
    /// 1/rms before the head \[n\].
    pub rinv: Vec<f32>,
    /// Feed-forward's hidden values, or their gradient \[n × ff\].
    pub hidden: Vec<f32>,
    /// Gradient of the residual stream \[n × d\].
    pub dx: Vec<f32>,
    /// Gradients of attention \[n × query width\], \[n × key width\] twice, \[n × query width\].
    pub dq: Vec<f32>,
    /// See `dq`.
    pub dk: Vec<f32>,
    /// See `dq`.
    pub dv: Vec<f32>,
    /// See `dq`.
    pub d_attention: Vec<f32>,
    /// The gradient of a branch as it leaves, twice: scaled, and before its norm \[n × d\]. Empty where nothing is done to it.
    pub d_branch: [Vec<f32>; 2],
    /// Gradients of queries and keys before their norm \[n × query width\], \[n × key width\]; empty without one.
    pub d_raw: [Vec<f32>; 2],
    /// What a fused projection gives, or its gradient \[n × its width\]; empty without one.
    pub fused: Vec<f32>,
    /// Logits of a chunk of tokens \[chunk × vocabulary\].
    pub logits: Vec<f32>,
    /// Input tokens \[n\].
    pub inputs: Vec<u32>,
    /// Target tokens \[n\]; NO_TARGET where there is none.
    pub targets: Vec<u32>,
    /// The documents, as ranges of tokens; none where every sequence is one.
    pub documents: Vec<Range<usize>>,
    /// Losses \[n\].
    pub losses: Vec<f32>,
    /// Of a linear layer's input that several products take.
    pub integers: Integers,
}

impl Workspace {
    /// Allocates what the plan says.
    pub fn new(config: &ModelConfig, plan: Plan) -> Workspace {
        let n = plan.tokens();
        let zeros = |rows: usize, width: usize| vec![0f32; rows * width];
        let back = |width: usize| if plan.backward { zeros(n, width) } else { Vec::new() };
        let d = config.hidden_size;
        let kept = if plan.keeps_streams() { config.num_hidden_layers + 1 } else { 1 };
        Workspace {
            stream: (0..kept).map(|_| zeros(n, d)).collect(),
            layers: (0..plan.kept_layers(config)).map(|_| LayerActs::new(config, n)).collect(),
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
                inputs: vec![0; n],
                targets: vec![0; n],
                documents: Vec::new(),
                losses: zeros(n, 1),
                integers: Integers::of_inputs(plan.sequences, plan.seq_len),
            },
            plan,
        }
    }
}
