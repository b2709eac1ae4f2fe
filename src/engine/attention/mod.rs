//! Causal attention with grouped query heads (Vaswani et al., 2017; Ainslie et al., "GQA", 2023), forward and backward,
//! without the seq_len × seq_len matrix (as in Dao et al., "FlashAttention", 2022, but with the true row maximum).
//!
//! The fast versions run tiles of the matrix kernel over one head at a time and leave out what lies above the diagonal. A task
//! is one key/value head of one sequence with its group of query heads.

mod backward;
pub mod definition;
mod forward;
mod shape;

use super::machine::{Engine, Isa};
use super::scratch;
use rayon::prelude::*;
pub use shape::AttentionShape;
use shape::View;

/// Gives each task of `shape` views of its columns in the tensors of `outputs`, each with its number of columns a task.
///
/// On one thread the views lie in the tensors. On several, each task writes to room of its own, and the columns are
/// brought together afterwards.
fn for_every_task<const N: usize>(
    shape: &AttentionShape,
    outputs: [(&mut [f32], usize); N],
    task: impl Fn(usize, usize, [View<'_>; N]) + Send + Sync,
) {
    let AttentionShape { sequences, seq_len, kv_heads, .. } = *shape;
    let mut outputs = outputs;
    if shape.tokens() == 0 {
        return;
    }
    if !shape.worth_threads() {
        for s in 0..sequences {
            for kv_head in 0..kv_heads {
                let views = outputs.each_mut().map(|(data, columns)| {
                    let ld = kv_heads * *columns;
                    View { data: &mut data[s * seq_len * ld + kv_head * *columns..], ld }
                });
                task(s, kv_head, views);
            }
        }
        return;
    }
    let columns = outputs.each_ref().map(|(_, columns)| *columns);
    let of_a_task = seq_len * columns.iter().sum::<usize>();
    scratch::with(sequences * kv_heads * of_a_task, |room| {
        room.par_chunks_mut(of_a_task).enumerate().for_each(|(i, mut room)| {
            let views = columns.map(|columns| {
                let (data, rest) = std::mem::take(&mut room).split_at_mut(seq_len * columns);
                room = rest;
                View { data, ld: columns }
            });
            task(i / kv_heads, i % kv_heads, views);
        });
        let mut before = 0;
        for (data, columns) in outputs {
            let room = &*room;
            data.par_chunks_mut(kv_heads * columns).enumerate().with_min_len(64).for_each(|(token, row)| {
                let (s, t) = (token / seq_len, token % seq_len);
                for (kv_head, to) in row.chunks_mut(columns).enumerate() {
                    let from = (s * kv_heads + kv_head) * of_a_task + seq_len * before + t * columns;
                    to.copy_from_slice(&room[from..][..columns]);
                }
            });
            before += columns;
        }
    });
}

impl Engine {
    /// Causal attention of `q` \[n × heads·head_dim\] to `k` and `v` \[n × kv_heads·head_dim\], within each sequence: gives `out`
    /// \[n × heads·head_dim\] and, for the backward pass, each row's maximum and sum of exponentials \[n × heads\].
    pub fn attention(
        self,
        shape: &AttentionShape,
        q: &[f32],
        k: &[f32],
        v: &[f32],
        out: &mut [f32],
        row_max: &mut [f32],
        row_sum: &mut [f32],
    ) {
        shape.check([q, out], [k, v], [row_max, row_sum]);
        if self.isa() == Isa::Definition {
            return self.define(|| definition::forward(shape, q, k, v, out, row_max, row_sum));
        }
        let group = shape.group();
        let outputs = [(out, group * shape.head_dim), (row_max, group), (row_sum, group)];
        for_every_task(shape, outputs, |s, kv_head, [out, row_max, row_sum]| match self.isa() {
            Isa::Avx512 => forward::task::<8, 2>(self, shape, q, k, v, s, kv_head, out, row_max, row_sum),
            _ => forward::task::<6, 1>(self, shape, q, k, v, s, kv_head, out, row_max, row_sum),
        });
    }

    /// Gradient of [`Engine::attention`]: overwrites `dq` \[n × heads·head_dim\], `dk` and `dv` \[n × kv_heads·head_dim\].
    pub fn attention_backward(
        self,
        shape: &AttentionShape,
        q: &[f32],
        k: &[f32],
        v: &[f32],
        out: &[f32],
        row_max: &[f32],
        row_sum: &[f32],
        d_out: &[f32],
        dq: &mut [f32],
        dk: &mut [f32],
        dv: &mut [f32],
    ) {
        shape.check([q, out], [k, v], [row_max, row_sum]);
        shape.check([dq, d_out], [dk, dv], [row_max, row_sum]);
        if self.isa() == Isa::Definition {
            return self.define(|| definition::backward(shape, q, k, v, out, row_max, row_sum, d_out, dq, dk, dv));
        }
        let d = shape.head_dim;
        let outputs = [(dq, shape.group() * d), (dk, d), (dv, d)];
        let inputs = backward::Inputs { q, k, v, out, row_max, row_sum, d_out };
        for_every_task(shape, outputs, |s, kv_head, gradients| match self.isa() {
            Isa::Avx512 => backward::task::<8, 2>(self, shape, &inputs, s, kv_head, gradients),
            _ => backward::task::<6, 1>(self, shape, &inputs, s, kv_head, gradients),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{assert_same_bits, assert_slope, on_every_engine};

    /// Outputs and gradients: out, row maxima, row sums, dq, dk, dv.
    fn both_passes(engine: Engine, shape: &AttentionShape, inputs: [&[f32]; 4]) -> [Vec<f32>; 6] {
        let [q, k, v, d_out] = inputs;
        let rows = shape.tokens() * shape.heads;
        let [mut out, mut dq] = [(); 2].map(|()| vec![9.0; q.len()]);
        let [mut row_max, mut row_sum] = [(); 2].map(|()| vec![9.0; rows]);
        let [mut dk, mut dv] = [(); 2].map(|()| vec![9.0; k.len()]);
        engine.attention(shape, q, k, v, &mut out, &mut row_max, &mut row_sum);
        engine.attention_backward(shape, q, k, v, &out, &row_max, &row_sum, d_out, &mut dq, &mut dk, &mut dv);
        [out, row_max, row_sum, dq, dk, dv]
    }

    #[test]
    fn both_passes_equal_their_definitions() {
        on_every_engine(|engine, numbers| {
            for case in 0..14 {
                let kv_heads = numbers.up_to(3);
                let (sequences, seq_len, head_dim) = match case {
                    0 => (1, 1, 1),
                    1 => (2, 300, 32),
                    2 => (2, 70, 64),
                    3 => (3, 33, 80),
                    _ => (numbers.up_to(4), numbers.up_to(100), numbers.up_to(40)),
                };
                let heads = kv_heads * if case == 1 { 1 } else { numbers.up_to(3) };
                let window = [None, Some(numbers.up_to(seq_len + 2))][numbers.up_to(2) - 1];
                let scale = AttentionShape::usual_scale(head_dim) * numbers.up_to(3) as f32;
                let shape = AttentionShape { sequences, seq_len, heads, kv_heads, head_dim, scale, window };
                let sizes = [heads, kv_heads, kv_heads, heads].map(|heads| shape.tokens() * heads * head_dim);
                let mut inputs = sizes.map(|size| numbers.tame(size));
                for input in &mut inputs {
                    // Scores of any size, so that some exponentials vanish.
                    input.iter_mut().filter(|x| x.abs() > 100.0).for_each(|x| *x *= 1e-3);
                }
                let inputs = inputs.each_ref().map(Vec::as_slice);
                let ours = both_passes(engine, &shape, inputs);
                let truth = both_passes(Engine::definition(), &shape, inputs);
                let names = ["out", "row maxima", "row sums", "dq", "dk", "dv"];
                for ((name, ours), truth) in names.iter().zip(&ours).zip(&truth) {
                    assert_same_bits(&format!("{name} of {shape:?}"), ours, truth);
                }
            }
        });
    }

    #[test]
    fn negative_zeros_survive_the_mask() {
        // Chains of -0 products: a masked key multiplied by zero would make +0 of some, and an omitted one must not.
        on_every_engine(|engine, numbers| {
            let shape = AttentionShape {
                sequences: 2,
                seq_len: 37,
                heads: 2,
                kv_heads: 1,
                head_dim: 33,
                scale: AttentionShape::usual_scale(33),
                window: None,
            };
            let size = shape.tokens() * 33;
            let sign = |numbers: &mut crate::engine::testing::Numbers, size| -> Vec<f32> {
                (0..size).map(|_| if numbers.up_to(2) == 1 { -0.0 } else { f32::from_bits(0x8000_0001) }).collect()
            };
            let inputs = [2 * size, size, size, 2 * size].map(|size| sign(numbers, size));
            let inputs = inputs.each_ref().map(Vec::as_slice);
            let ours = both_passes(engine, &shape, inputs);
            let truth = both_passes(Engine::definition(), &shape, inputs);
            for (ours, truth) in ours.iter().zip(&truth) {
                assert_same_bits("attention", ours, truth);
            }
        });
    }

    #[test]
    fn a_window_as_long_as_a_sequence_changes_no_bit() {
        on_every_engine(|engine, numbers| {
            let all = AttentionShape {
                sequences: 2,
                seq_len: 90,
                heads: 4,
                kv_heads: 2,
                head_dim: 24,
                scale: AttentionShape::usual_scale(24),
                window: None,
            };
            let sizes = [4, 2, 2, 4].map(|heads| all.tokens() * heads * 24);
            let inputs = sizes.map(|size| numbers.tame(size));
            let inputs = inputs.each_ref().map(Vec::as_slice);
            let truth = both_passes(engine, &all, inputs);
            for window in [90, 91, usize::MAX] {
                let ours = both_passes(engine, &AttentionShape { window: Some(window), ..all }, inputs);
                for (ours, truth) in ours.iter().zip(&truth) {
                    assert_same_bits("attention", ours, truth);
                }
            }
        });
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_forward_pass() {
        for window in [usize::MAX, 2] {
            the_gradient_is_the_slope_within(window);
        }
    }

    fn the_gradient_is_the_slope_within(window: usize) {
        let scale = AttentionShape::usual_scale(3);
        let shape = AttentionShape {
            sequences: 1,
            seq_len: 4,
            heads: 2,
            kv_heads: 1,
            head_dim: 3,
            scale,
            window: Some(window),
        };
        let (nq, nk) = (4 * 6, 4 * 3);
        let d_out: Vec<f64> = (0..nq).map(|i| (i as f64 * 0.9).sin()).collect();
        let loss = |input: &[f64]| {
            let (q, rest) = input.split_at(nq);
            let (k, v) = rest.split_at(nk);
            let mut total = 0.0;
            for i in 0..4 {
                for head in 0..2 {
                    let at = (i * 2 + head) * 3;
                    let first = (i + 1usize).saturating_sub(window);
                    let e: Vec<f64> = (first..=i)
                        .map(|j| libm::exp((0..3).map(|c| q[at + c] * k[j * 3 + c]).sum::<f64>() / 3f64.sqrt()))
                        .collect();
                    let l: f64 = e.iter().sum();
                    for c in 0..3 {
                        total += d_out[at + c] * (first..=i).map(|j| e[j - first] * v[j * 3 + c]).sum::<f64>() / l;
                    }
                }
            }
            total
        };
        let input: Vec<f32> = (0..nq + 2 * nk).map(|i| (i as f32 * 1.1).cos()).collect();
        let d_out: Vec<f32> = d_out.iter().map(|&x| x as f32).collect();
        let (q, rest) = input.split_at(nq);
        let (k, v) = rest.split_at(nk);
        let [.., dq, dk, dv] = both_passes(Engine::definition(), &shape, [q, k, v, &d_out]);
        assert_slope(loss, &input, &[dq, dk, dv].concat());
    }
}
