//! A decoder's parameters: their names and shapes by the configuration, and which of them is what.

use super::config::ModelConfig;
use super::layout::Layout;
use super::variant::{Norms, QkNorm, Variant};

/// A linear layer's tensors, as indices into the [`Decoder`]'s layout.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    /// \[out × in\]
    pub weight: usize,
    /// \[out\]
    pub bias: Option<usize>,
}

/// Projections of one input.
#[derive(Clone, Copy, Debug)]
pub enum Projections<const N: usize> {
    /// Each by itself.
    Apart([Linear; N]),
    /// All by one, one after the other.
    Fused(Linear),
}

impl<const N: usize> Projections<N> {
    /// Each by itself; `None` where they are one.
    pub fn apart(self) -> Option<[Linear; N]> {
        match self {
            Projections::Apart(each) => Some(each),
            Projections::Fused(_) => None,
        }
    }
}

/// The tensors of one layer, as indices into the [`Decoder`]'s layout.
#[derive(Clone, Copy, Debug)]
pub struct LayerIds {
    /// The norm of what enters attention: `input_layernorm`.
    pub norm1: Option<usize>,
    /// `q_proj`, `k_proj`, `v_proj`; `qkv_proj`
    pub qkv: Projections<3>,
    /// `q_norm`, `k_norm`
    pub qk_norm: Option<[usize; 2]>,
    /// `o_proj`
    pub o: Linear,
    /// The norm of what leaves attention.
    pub post_norm1: Option<usize>,
    /// The norm of what enters the feed-forward layer: `post_attention_layernorm` of Llama.
    pub norm2: Option<usize>,
    /// `gate_proj`, `up_proj`; `gate_up_proj`
    pub gate_up: Projections<2>,
    /// `down_proj`
    pub down: Linear,
    /// The norm of what leaves the feed-forward layer.
    pub post_norm2: Option<usize>,
}

/// A layer's weights where it is one of Llama's, as indices into the [`Decoder`]'s layout.
#[derive(Clone, Copy, Debug)]
pub struct LlamaLayer {
    /// `input_layernorm`
    pub norm1: usize,
    /// `q_proj`, `k_proj`, `v_proj`
    pub qkv: [usize; 3],
    /// `o_proj`
    pub o: usize,
    /// `post_attention_layernorm`
    pub norm2: usize,
    /// `gate_proj`, `up_proj`
    pub gate_up: [usize; 2],
    /// `down_proj`
    pub down: usize,
}

impl LayerIds {
    /// The layer as one of Llama's, without biases and other norms; `None` where it is another.
    pub fn of_llama(&self) -> Option<LlamaLayer> {
        Some(LlamaLayer {
            norm1: self.norm1?,
            qkv: self.qkv.apart()?.map(|linear| linear.weight),
            o: self.o.weight,
            norm2: self.norm2?,
            gate_up: self.gate_up.apart()?.map(|linear| linear.weight),
            down: self.down.weight,
        })
    }
}

/// The parameters of a whole model.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// Where they lie.
    pub layout: Layout,
    /// By layer.
    pub layers: Vec<LayerIds>,
    /// `embed_tokens`
    pub embedding: usize,
    /// The final norm.
    pub norm: usize,
    /// `lm_head`; the embedding where they are tied.
    pub head: usize,
}

impl Decoder {
    /// Those of a configuration.
    pub fn new(config: &ModelConfig) -> Decoder {
        let (d, v, variant) = (config.hidden_size, config.vocab_size, &config.variant);
        let mut shapes: Vec<(String, Vec<usize>)> =
            vec![("model.embed_tokens.weight".into(), vec![v, d]), ("model.norm.weight".into(), vec![d])];
        if !config.tie_word_embeddings {
            shapes.push(("lm_head.weight".into(), vec![v, d]));
        }
        for layer in 0..config.num_hidden_layers {
            for (part, [out, inner], bias) in linear_parts(config) {
                shapes.push((layer_name(layer, part, "weight"), vec![out, inner]));
                if bias {
                    shapes.push((layer_name(layer, part, "bias"), vec![out]));
                }
            }
            let qk_norms = qk_norm_widths(config).into_iter().flat_map(|widths| QK_NORMS.into_iter().zip(widths));
            let norms = norm_names(variant.norms).into_iter().flatten().map(|part| (part, d));
            shapes.extend(norms.chain(qk_norms).map(|(part, width)| (layer_name(layer, part, "weight"), vec![width])));
        }
        let layout = Layout::of_shapes(shapes);
        let maybe = |name: &str| layout.id(name);
        let find = |name: &str| maybe(name).expect("every part of a layer is in the list");
        let layers = (0..config.num_hidden_layers)
            .map(|layer| {
                let id = |part: &str| find(&layer_name(layer, part, "weight"));
                let linear = |part: &str| Linear { weight: id(part), bias: maybe(&layer_name(layer, part, "bias")) };
                let [norm1, post_norm1, norm2, post_norm2] = norm_names(variant.norms).map(|part| part.map(id));
                LayerIds {
                    norm1,
                    qkv: match variant.fused {
                        true => Projections::Fused(linear(QKV)),
                        false => Projections::Apart([Q, K, V].map(linear)),
                    },
                    qk_norm: variant.qk_norm.map(|_| QK_NORMS.map(id)),
                    o: linear(O),
                    post_norm1,
                    norm2,
                    gate_up: match variant.fused {
                        true => Projections::Fused(linear(GATE_UP)),
                        false => Projections::Apart([GATE, UP].map(linear)),
                    },
                    down: linear(DOWN),
                    post_norm2,
                }
            })
            .collect();
        let embedding = find("model.embed_tokens.weight");
        Decoder {
            layers,
            embedding,
            norm: find("model.norm.weight"),
            head: if config.tie_word_embeddings { embedding } else { find("lm_head.weight") },
            layout,
        }
    }

    /// Whether head and embedding are one tensor.
    pub fn tied(&self) -> bool {
        self.head == self.embedding
    }
}

impl Layout {
    /// The layout of a model's parameters.
    pub fn new(config: &ModelConfig) -> Layout {
        Decoder::new(config).layout
    }
}

const Q: &str = "self_attn.q_proj";
const K: &str = "self_attn.k_proj";
const V: &str = "self_attn.v_proj";
const QKV: &str = "self_attn.qkv_proj";
const O: &str = "self_attn.o_proj";
const GATE: &str = "mlp.gate_proj";
const UP: &str = "mlp.up_proj";
const GATE_UP: &str = "mlp.gate_up_proj";
const DOWN: &str = "mlp.down_proj";
const QK_NORMS: [&str; 2] = ["self_attn.q_norm", "self_attn.k_norm"];

/// Name, shape \[out × in\] and whether there is a bias, of every linear layer of a layer.
fn linear_parts(config: &ModelConfig) -> Vec<(&'static str, [usize; 2], bool)> {
    let (d, ff) = (config.hidden_size, config.intermediate_size);
    let (q, kv) = (config.query_width(), config.key_width());
    let Variant { qkv_bias, o_bias, mlp_bias, fused, .. } = config.variant;
    let mut parts = match fused {
        true => vec![(QKV, [q + 2 * kv, d], qkv_bias), (GATE_UP, [2 * ff, d], mlp_bias)],
        false => vec![
            (Q, [q, d], qkv_bias),
            (K, [kv, d], qkv_bias),
            (V, [kv, d], qkv_bias),
            (GATE, [ff, d], mlp_bias),
            (UP, [ff, d], mlp_bias),
        ],
    };
    parts.extend([(O, [d, q], o_bias), (DOWN, [d, ff], mlp_bias)]);
    parts
}

/// The names of a layer's norms: before and after attention, before and after the feed-forward layer. `post_attention_layernorm`
/// is what the family's first models called theirs.
fn norm_names(norms: Norms) -> [Option<&'static str>; 4] {
    const OF_LLAMA: &str = "post_attention_layernorm";
    match norms {
        Norms::Before => [Some("input_layernorm"), None, Some(OF_LLAMA), None],
        Norms::After => [None, Some(OF_LLAMA), None, Some("post_feedforward_layernorm")],
        Norms::Both => [
            Some("input_layernorm"),
            Some(OF_LLAMA),
            Some("pre_feedforward_layernorm"),
            Some("post_feedforward_layernorm"),
        ],
    }
}

fn qk_norm_widths(config: &ModelConfig) -> Option<[usize; 2]> {
    config.variant.qk_norm.map(|norm| match norm {
        QkNorm::Head => [config.head_dim; 2],
        QkNorm::Whole => [config.query_width(), config.key_width()],
    })
}

fn layer_name(layer: usize, part: &str, tensor: &str) -> String {
    format!("model.layers.{layer}.{part}.{tensor}")
}
