//! Where each parameter lies in one flat array: tensors by ascending Hugging Face name.

use super::config::ModelConfig;
use crate::artifact::{Digest, MULTIPLE, TensorInfo, tensor_root};

/// Name, shape and place of one parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// The Hugging Face name.
    pub name: String,
    /// The shape, row-major: `[out, in]` for matrices.
    pub shape: Vec<usize>,
    /// The first element's place in the flat array.
    pub offset: usize,
}

impl TensorSpec {
    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its elements' places.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }

    /// Weight decay is for matrices.
    pub fn decays(&self) -> bool {
        self.shape.len() > 1
    }
}

/// The tensors of one layer, as indices into [`Layout::tensors`].
#[derive(Clone, Copy, Debug)]
pub struct LayerIds {
    /// `input_layernorm`
    pub norm1: usize,
    /// `q_proj`
    pub q: usize,
    /// `k_proj`
    pub k: usize,
    /// `v_proj`
    pub v: usize,
    /// `o_proj`
    pub o: usize,
    /// `post_attention_layernorm`
    pub norm2: usize,
    /// `gate_proj`
    pub gate: usize,
    /// `up_proj`
    pub up: usize,
    /// `down_proj`
    pub down: usize,
}

/// All parameters of a model.
#[derive(Clone, Debug)]
pub struct Layout {
    /// By ascending name.
    pub tensors: Vec<TensorSpec>,
    /// By layer.
    pub layers: Vec<LayerIds>,
    /// `embed_tokens`
    pub embedding: usize,
    /// The final norm.
    pub norm: usize,
    /// `lm_head`; the embedding where they are tied.
    pub head: usize,
    /// All elements together.
    pub total: usize,
}

impl Layout {
    /// Name and shape of every parameter, ascending.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|t| (t.name.as_str(), &t.shape[..]))
    }

    /// The longest header, in bytes, of a file with up to three tensors a parameter, or with their shapes in its metadata:
    /// [`MULTIPLE`] times what ours can take.
    pub fn header_room(&self) -> u64 {
        const TENSOR: usize = 128;
        const METADATA: u64 = 4 << 10;
        let names: u64 = self.tensors.iter().map(|t| 3 * (t.name.len() + TENSOR) as u64).sum();
        MULTIPLE * (names + METADATA)
    }

    /// The most bytes of a file with so many float32 values a parameter.
    pub fn file_room(&self, values: u64) -> u64 {
        (4 * values).saturating_mul(self.total as u64).saturating_add(self.header_room())
    }

    /// The layout of a configuration.
    pub fn new(config: &ModelConfig) -> Layout {
        let (d, ff, v) = (config.hidden_size, config.intermediate_size, config.vocab_size);
        let (q, kv) = (config.query_width(), config.key_width());
        let mut shapes: Vec<(String, Vec<usize>)> =
            vec![("model.embed_tokens.weight".into(), vec![v, d]), ("model.norm.weight".into(), vec![d])];
        if !config.tie_word_embeddings {
            shapes.push(("lm_head.weight".into(), vec![v, d]));
        }
        for layer in 0..config.num_hidden_layers {
            let mut add = |part: &str, shape: &[usize]| {
                shapes.push((layer_name(layer, part), shape.to_vec()));
            };
            add("input_layernorm", &[d]);
            add("self_attn.q_proj", &[q, d]);
            add("self_attn.k_proj", &[kv, d]);
            add("self_attn.v_proj", &[kv, d]);
            add("self_attn.o_proj", &[d, q]);
            add("post_attention_layernorm", &[d]);
            add("mlp.gate_proj", &[ff, d]);
            add("mlp.up_proj", &[ff, d]);
            add("mlp.down_proj", &[d, ff]);
        }
        shapes.sort();
        let mut total = 0;
        let tensors: Vec<TensorSpec> = shapes
            .into_iter()
            .map(|(name, shape)| {
                let offset = total;
                total += shape.iter().product::<usize>();
                TensorSpec { name, shape, offset }
            })
            .collect();
        let find = |name: &str| {
            tensors.binary_search_by(|t| t.name.as_str().cmp(name)).expect("every part of a layer is in the list")
        };
        let layers = (0..config.num_hidden_layers)
            .map(|layer| {
                let id = |part: &str| find(&layer_name(layer, part));
                LayerIds {
                    norm1: id("input_layernorm"),
                    q: id("self_attn.q_proj"),
                    k: id("self_attn.k_proj"),
                    v: id("self_attn.v_proj"),
                    o: id("self_attn.o_proj"),
                    norm2: id("post_attention_layernorm"),
                    gate: id("mlp.gate_proj"),
                    up: id("mlp.up_proj"),
                    down: id("mlp.down_proj"),
                }
            })
            .collect();
        let embedding = find("model.embed_tokens.weight");
        Layout {
            layers,
            embedding,
            norm: find("model.norm.weight"),
            head: if config.tie_word_embeddings { embedding } else { find("lm_head.weight") },
            tensors,
            total,
        }
    }

    /// Float32 tensors of these shapes, their names behind a prefix.
    pub fn infos(&self, prefix: &str) -> Vec<TensorInfo> {
        self.tensors.iter().map(|t| TensorInfo::f32(format!("{prefix}{}", t.name), &t.shape)).collect()
    }

    /// The Merkle root of every tensor of a flat array, see [`tensor_root`].
    pub fn tensor_roots(&self, flat: &[f32]) -> Vec<Digest> {
        self.tensors.iter().map(|t| tensor_root(&t.shape, &flat[t.range()])).collect()
    }

    /// The tensor of that name.
    pub fn find(&self, name: &str) -> Option<&TensorSpec> {
        self.tensors.binary_search_by(|t| t.name.as_str().cmp(name)).ok().map(|i| &self.tensors[i])
    }

    /// Whether head and embedding are one tensor.
    pub fn tied(&self) -> bool {
        self.head == self.embedding
    }

    /// A tensor's elements in a flat array.
    pub fn of<'a>(&self, id: usize, flat: &'a [f32]) -> &'a [f32] {
        &flat[self.tensors[id].range()]
    }

    /// A tensor's elements in a flat array, to write.
    pub fn of_mut<'a>(&self, id: usize, flat: &'a mut [f32]) -> &'a mut [f32] {
        &mut flat[self.tensors[id].range()]
    }

    /// The tensor that an element of the flat array belongs to.
    pub fn tensor_at(&self, element: usize) -> &TensorSpec {
        let after = self.tensors.partition_point(|t| t.offset <= element);
        &self.tensors[after - 1]
    }
}

fn layer_name(layer: usize, part: &str) -> String {
    format!("model.layers.{layer}.{part}.weight")
}
