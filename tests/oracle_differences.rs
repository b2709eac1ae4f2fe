//! Our loss and gradients against central differences of a plain model in float64, which shares no code with the engine.

mod oracle_common;

use l402::engine::philox::philox;
use l402::model::{Decoder, ModelConfig};
use oracle_common::Case;

/// The forward pass, one token and one scalar at a time.
struct Scalar<'a> {
    config: &'a ModelConfig,
    decoder: &'a Decoder,
    parameters: &'a [f64],
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(x: &mut [f64], y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

impl Scalar<'_> {
    fn tensor(&self, id: usize) -> &[f64] {
        &self.parameters[self.decoder.layout.tensors[id].range()]
    }

    fn linear(&self, id: usize, x: &[f64]) -> Vec<f64> {
        self.tensor(id).chunks_exact(x.len()).map(|row| dot(row, x)).collect()
    }

    fn norm(&self, id: usize, x: &[f64]) -> Vec<f64> {
        let rms = (dot(x, x) / x.len() as f64 + self.config.rms_norm_eps).sqrt();
        x.iter().zip(self.tensor(id)).map(|(x, w)| x / rms * w).collect()
    }

    fn rope(&self, position: usize, mut x: Vec<f64>) -> Vec<f64> {
        let size = self.config.head_dim;
        for head in x.chunks_exact_mut(size) {
            for i in 0..size / 2 {
                let angle = position as f64 / self.config.rope_theta.powf(2.0 * i as f64 / size as f64);
                let (sin, cos) = angle.sin_cos();
                let (low, high) = (head[i], head[i + size / 2]);
                head[i] = low * cos - high * sin;
                head[i + size / 2] = low * sin + high * cos;
            }
        }
        x
    }

    /// What the last of the `keys` attends to.
    fn attend(&self, q: &[f64], keys: &[Vec<f64>], values: &[Vec<f64>]) -> Vec<f64> {
        let size = self.config.head_dim;
        let group = self.config.num_attention_heads / self.config.num_key_value_heads;
        let mut out = vec![0.0; q.len()];
        for (h, (q, out)) in q.chunks_exact(size).zip(out.chunks_exact_mut(size)).enumerate() {
            let part = h / group * size..(h / group + 1) * size;
            let weights: Vec<f64> =
                keys.iter().map(|k| (dot(q, &k[part.clone()]) / (size as f64).sqrt()).exp()).collect();
            let sum: f64 = weights.iter().sum();
            for (weight, v) in weights.iter().zip(values) {
                out.iter_mut().zip(&v[part.clone()]).for_each(|(out, v)| *out += weight / sum * v);
            }
        }
        out
    }

    /// The losses of a sequence, added.
    fn sequence(&self, tokens: &[u32]) -> f64 {
        let d = self.config.hidden_size;
        let (inputs, targets) = (&tokens[..tokens.len() - 1], &tokens[1..]);
        let table = self.tensor(self.decoder.embedding);
        let mut stream: Vec<Vec<f64>> =
            inputs.iter().map(|&t| table[t as usize * d..(t as usize + 1) * d].to_vec()).collect();
        for ids in &self.decoder.layers {
            let ids = ids.of_llama().expect("a Llama");
            let ([q, k, v], [gate, up]) = (ids.qkv, ids.gate_up);
            let (mut keys, mut values) = (Vec::new(), Vec::new());
            for (position, x) in stream.iter_mut().enumerate() {
                let normed = self.norm(ids.norm1, x);
                keys.push(self.rope(position, self.linear(k, &normed)));
                values.push(self.linear(v, &normed));
                let q = self.rope(position, self.linear(q, &normed));
                add(x, &self.linear(ids.o, &self.attend(&q, &keys, &values)));
                let normed = self.norm(ids.norm2, x);
                let (gate, up) = (self.linear(gate, &normed), self.linear(up, &normed));
                let hidden: Vec<f64> = gate.iter().zip(&up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
                add(x, &self.linear(ids.down, &hidden));
            }
        }
        let loss = |(x, &target): (&Vec<f64>, &u32)| {
            let logits = self.linear(self.decoder.head, &self.norm(self.decoder.norm, x));
            logits.iter().map(|z| z.exp()).sum::<f64>().ln() - logits[target as usize]
        };
        stream.iter().zip(targets).map(loss).sum()
    }
}

/// The mean loss in float64.
fn loss(case: &Case, parameters: &[f64]) -> f64 {
    let model = Scalar { config: &case.model.config, decoder: &case.model.net.decoder, parameters };
    let sequences = case.tokens.chunks_exact(case.seq_len + 1);
    let targets = sequences.len() * case.seq_len;
    sequences.map(|s| model.sequence(s)).sum::<f64>() / targets as f64
}

/// Elements of each tensor that are tried.
const SAMPLE: u32 = 12;
/// The step of the differences: their own error, h² f''' and 2^-53 / h, is about 1e-9.
const H: f64 = 1e-5;
/// What float32 may do to an element of a gradient: a few dozen roundings of 2^-24 ≈ 6e-8 on the way, on terms of the size
/// of the tensor's root mean square, which is why the error is measured against that and not against the element.
const TOLERANCE: f64 = 1e-5;

#[test]
fn gradients_are_central_differences_of_the_loss_in_float64() {
    for case in Case::all() {
        let (ours, gradients) = case.ours();
        let mut parameters: Vec<f64> = case.parameters.iter().map(|&p| p.into()).collect();
        let exact = loss(&case, &parameters);
        assert!((ours / exact - 1.0).abs() < 1e-6, "{}: loss {ours}, in float64 {exact}", case.name);

        for (id, tensor) in case.model.layout.tensors.iter().enumerate() {
            let gradient = &gradients[tensor.range()];
            let rms = (gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>() / gradient.len() as f64).sqrt();
            for draw in 0..SAMPLE {
                let element = philox([402, id as u32], [draw, 0, 0, 0])[0] as usize % gradient.len();
                let place = tensor.offset + element;
                let at = parameters[place];
                let mut moved = |to: f64| {
                    parameters[place] = to;
                    loss(&case, &parameters)
                };
                let difference = (moved(at + H) - moved(at - H)) / (2.0 * H);
                parameters[place] = at;
                let error = (difference - f64::from(gradient[element])).abs() / rms;
                let name = &tensor.name;
                let found = gradient[element];
                assert!(
                    error < TOLERANCE,
                    "{}: {name}: element {element}: expected {difference:e}, found {found:e}, {error:e} of the rms",
                    case.name
                );
            }
        }
    }
}
