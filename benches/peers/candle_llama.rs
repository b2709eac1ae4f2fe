//! A Llama of candle's differentiable operators: the benchmark's peer, and the tests' oracle for gradients.
//!
//! candle's fused operators (`rms_norm`, `rope`, `softmax_last_dim`, and with them all of candle-transformers' models) have
//! no backward pass and cut gradients silently; those used here have one.

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::ops::{log_softmax, rms_norm_slow, silu, softmax};
use candle_nn::rotary_emb::rope_slow;
use l402::model::{Decoder, ModelConfig};

/// The model; its parameters are in the order of the layout.
pub struct CandleLlama {
    config: ModelConfig,
    decoder: Decoder,
    variables: Vec<Var>,
    cos: Tensor,
    sin: Tensor,
    mask: Tensor,
    seq_len: usize,
}

impl CandleLlama {
    /// A model with these parameters.
    pub fn new(config: &ModelConfig, parameters: &[f32], seq_len: usize) -> Result<CandleLlama> {
        let device = &Device::Cpu;
        let decoder = Decoder::new(config);
        let variables = decoder
            .layout
            .tensors
            .iter()
            .map(|t| Var::from_tensor(&Tensor::from_slice(&parameters[t.range()], &t.shape[..], device)?))
            .collect::<Result<_>>()?;
        let half = config.head_dim / 2;
        let angles = (0..seq_len * half).map(|i| {
            let exponent = (2 * (i % half)) as f64 / config.head_dim as f64;
            (i / half) as f64 / config.rope_theta.powf(exponent)
        });
        let (cos, sin): (Vec<f32>, Vec<f32>) = angles.map(|a| (a.cos() as f32, a.sin() as f32)).unzip();
        let mask: Vec<f32> =
            (0..seq_len * seq_len).map(|i| if i % seq_len > i / seq_len { f32::NEG_INFINITY } else { 0.0 }).collect();
        Ok(CandleLlama {
            cos: Tensor::from_vec(cos, (seq_len, half), device)?,
            sin: Tensor::from_vec(sin, (seq_len, half), device)?,
            mask: Tensor::from_vec(mask, (seq_len, seq_len), device)?,
            config: config.clone(),
            decoder,
            variables,
            seq_len,
        })
    }

    /// The parameters, in the order of the layout.
    pub fn variables(&self) -> &[Var] {
        &self.variables
    }

    fn linear(&self, x: &Tensor, id: usize) -> Result<Tensor> {
        x.matmul(&self.variables[id].t()?)
    }

    fn norm(&self, x: &Tensor, id: usize) -> Result<Tensor> {
        rms_norm_slow(x, &self.variables[id], self.config.rms_norm_eps as f32)
    }

    /// \[tokens × heads·size\] to \[sequences × heads × positions × size\].
    fn split(&self, x: Tensor, heads: usize) -> Result<Tensor> {
        let sequences = x.dim(0)? / self.seq_len;
        x.reshape((sequences, self.seq_len, heads, self.config.head_dim))?.transpose(1, 2)?.contiguous()
    }

    /// Key and value heads repeated, so that there is one a query head.
    fn repeat(&self, x: Tensor) -> Result<Tensor> {
        let (b, kv, t, size) = x.dims4()?;
        let heads = self.config.num_attention_heads;
        if kv == heads {
            return Ok(x);
        }
        x.unsqueeze(2)?.expand((b, kv, heads / kv, t, size))?.contiguous()?.reshape((b, heads, t, size))
    }

    /// The mean loss over sequences of `seq_len + 1` tokens.
    pub fn loss(&self, tokens: &[u32]) -> Result<Tensor> {
        let (t, heads) = (self.seq_len, self.config.num_attention_heads);
        let sequences = tokens.chunks_exact(t + 1);
        let inputs: Vec<u32> = sequences.clone().flat_map(|s| &s[..t]).copied().collect();
        let targets: Vec<u32> = sequences.flat_map(|s| &s[1..]).copied().collect();
        let n = inputs.len();
        let inputs = Tensor::from_vec(inputs, n, &Device::Cpu)?;
        let targets = Tensor::from_vec(targets, (n, 1), &Device::Cpu)?;

        let mut x = self.variables[self.decoder.embedding].index_select(&inputs, 0)?;
        for layer in &self.decoder.layers {
            let layer = layer.of_llama().expect("the shapes are Llamas");
            let ([q, k, v], [gate, up]) = (layer.qkv, layer.gate_up);
            let normed = self.norm(&x, layer.norm1)?;
            let head = |id, heads| self.split(self.linear(&normed, id)?, heads);
            let kv_heads = self.config.num_key_value_heads;
            let q = rope_slow(&head(q, heads)?, &self.cos, &self.sin)?;
            let k = self.repeat(rope_slow(&head(k, kv_heads)?, &self.cos, &self.sin)?)?;
            let v = self.repeat(head(v, kv_heads)?)?;
            let scale = 1.0 / (self.config.head_dim as f64).sqrt();
            let scores = (q.matmul(&k.t()?)? * scale)?.broadcast_add(&self.mask)?;
            let attention = softmax(&scores, D::Minus1)?.matmul(&v)?;
            let attention = attention.transpose(1, 2)?.reshape((n, heads * self.config.head_dim))?;
            x = (x + self.linear(&attention, layer.o)?)?;

            let normed = self.norm(&x, layer.norm2)?;
            let hidden = (silu(&self.linear(&normed, gate)?)? * self.linear(&normed, up)?)?;
            x = (x + self.linear(&hidden, layer.down)?)?;
        }
        let logits = self.linear(&self.norm(&x, self.decoder.norm)?, self.decoder.head)?;
        debug_assert_eq!(logits.dtype(), DType::F32);
        log_softmax(&logits, D::Minus1)?.gather(&targets, 1)?.mean_all()?.neg()
    }
}
