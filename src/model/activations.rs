//! The memory of a pass over one micro-batch: allocated once, reused by every step.

use super::config::ModelConfig;
use super::plan::Plan;

/// What a layer's forward pass leaves for its backward pass. `n` tokens.
pub(super) struct LayerActs {
    /// 1/rms of the layer's input \[n\].
    pub rinv1: Vec<f32>,
    /// Queries, turned by RoPE \[n × query width\].
    pub q: Vec<f32>,
    /// Keys, turned by RoPE \[n × key width\].
    pub k: Vec<f32>,
    /// Values \[n × key width\].
    pub v: Vec<f32>,
    /// Attention's output before its projection \[n × query width\].
    pub attention: Vec<f32>,
    /// Row maxima of the scores \[n × heads\].
    pub row_max: Vec<f32>,
    /// Row sums of their exponentials \[n × heads\].
    pub row_sum: Vec<f32>,
    /// The residual stream between attention and feed-forward \[n × d\].
    pub middle: Vec<f32>,
    /// 1/rms of `middle` \[n\].
    pub rinv2: Vec<f32>,
    /// Gate projection \[n × ff\].
    pub gate: Vec<f32>,
    /// Up projection \[n × ff\].
    pub up: Vec<f32>,
}

impl LayerActs {
    fn new(config: &ModelConfig, n: usize) -> LayerActs {
        let zeros = |width: usize| vec![0f32; n * width];
        LayerActs {
            rinv1: zeros(1),
            q: zeros(config.query_width()),
            k: zeros(config.key_width()),
            v: zeros(config.key_width()),
            attention: zeros(config.query_width()),
            row_max: zeros(config.num_attention_heads),
            row_sum: zeros(config.num_attention_heads),
            middle: zeros(config.hidden_size),
            rinv2: zeros(1),
            gate: zeros(config.intermediate_size),
            up: zeros(config.intermediate_size),
        }
    }

    /// Floats a token.
    pub(super) fn floats(config: &ModelConfig) -> usize {
        2 + 2 * config.query_width()
            + 2 * config.key_width()
            + 2 * config.num_attention_heads
            + config.hidden_size
            + 2 * config.intermediate_size
    }
}

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
    /// Logits of a chunk of tokens \[chunk × vocabulary\].
    pub logits: Vec<f32>,
    /// Input tokens \[n\].
    pub inputs: Vec<u32>,
    /// Target tokens \[n\].
    pub targets: Vec<u32>,
    /// Losses \[n\].
    pub losses: Vec<f32>,
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
                logits: zeros(plan.logit_rows, config.vocab_size),
                inputs: vec![0; n],
                targets: vec![0; n],
                losses: zeros(n, 1),
            },
            plan,
        }
    }
}
