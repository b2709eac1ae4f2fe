//! The plain scalar definitions (A9): no score is ever multiplied by a mask. Keys after a query are left out; those before its
//! window have a score of -infinity, and so the exponential +0, and take part in every sum.

use super::shape::AttentionShape;
use crate::engine::cross_entropy::definition::row_max as max;
use crate::engine::exp::exp;
use crate::engine::sum::definition::{dot, sum};

/// Σ x y as one chain, products entering by fma.
fn chain(terms: impl Iterator<Item = (f32, f32)>) -> f32 {
    terms.fold(0.0, |acc, (x, y)| x.mul_add(y, acc))
}

fn zip<'a>(x: &'a [f32], y: &'a [f32]) -> impl Iterator<Item = (f32, f32)> + 'a {
    x.iter().copied().zip(y.iter().copied())
}

impl AttentionShape {
    /// Head `head` of token `t` of sequence `s` in a tensor with `heads` heads.
    fn head<'a>(&self, x: &'a [f32], heads: usize, s: usize, t: usize, head: usize) -> &'a [f32] {
        &x[((s * self.seq_len + t) * heads + head) * self.head_dim..][..self.head_dim]
    }

    /// The scores of query i: `(q_i · k_j) * scale` for j = 0 to i, -infinity before its window.
    fn scores(&self, q: &[f32], k: &[f32], s: usize, i: usize, head: usize) -> Vec<f32> {
        let q = self.head(q, self.heads, s, i, head);
        let key = |j| self.head(k, self.kv_heads, s, j, head / self.group());
        let score = |j| if j < self.unseen(i) { f32::NEG_INFINITY } else { chain(zip(q, key(j))) * self.scale };
        (0..=i).map(score).collect()
    }
}

/// `o_i = (Σ_j e_ij v_j) / l_i` with `e_ij = exp(s_ij - m_i)`, `m_i = max_j s_ij`, `l_i = Σ_j e_ij`.
pub fn forward(
    shape: &AttentionShape,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    out: &mut [f32],
    row_max: &mut [f32],
    row_sum: &mut [f32],
) {
    let d = shape.head_dim;
    for (s, i, head) in shape.every_query() {
        let scores = shape.scores(q, k, s, i, head);
        let m = max(&scores);
        let e: Vec<f32> = scores.iter().map(|s| exp(s - m)).collect();
        let l = sum(&e);
        let row = (s * shape.seq_len + i) * shape.heads + head;
        (row_max[row], row_sum[row]) = (m, l);
        let value = |j| shape.head(v, shape.kv_heads, s, j, head / shape.group());
        for c in 0..d {
            out[row * d + c] = chain((0..=i).map(|j| (e[j], value(j)[c]))) / l;
        }
    }
}

/// With `do' = dO / l`, `D_i = do'_i · o_i`, `dp_ij = do'_i · v_j` and `ds_ij = e_ij (dp_ij - D_i)`:
/// `dq_i = (Σ_j ds_ij k_j) * scale`; for each query head `dk_j = (Σ_i ds_ij q_i) * scale` and `dv_j = Σ_i e_ij do'_i`, and then the
/// heads of a group added up in ascending order.
pub fn backward(
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
    let (d, t) = (shape.head_dim, shape.seq_len);
    for s in 0..shape.sequences {
        for head in 0..shape.heads {
            let kv_head = head / shape.group();
            let (mut dk_head, mut dv_head) = (vec![0.0f32; t * d], vec![0.0f32; t * d]);
            for i in 0..t {
                let row = (s * t + i) * shape.heads + head;
                let query = shape.head(q, shape.heads, s, i, head);
                let (m, l) = (row_max[row], row_sum[row]);
                let scaled: Vec<f32> = d_out[row * d..][..d].iter().map(|x| x / l).collect();
                let delta = dot(&scaled, &out[row * d..][..d]);
                let key = |j| shape.head(k, shape.kv_heads, s, j, kv_head);
                let value = |j| shape.head(v, shape.kv_heads, s, j, kv_head);
                let e: Vec<f32> = shape.scores(q, k, s, i, head).iter().map(|s| exp(s - m)).collect();
                let ds: Vec<f32> = (0..=i).map(|j| e[j] * (chain(zip(&scaled, value(j))) - delta)).collect();
                for c in 0..d {
                    dq[row * d + c] = chain((0..=i).map(|j| (ds[j], key(j)[c]))) * shape.scale;
                }
                for j in 0..=i {
                    for c in 0..d {
                        let (dk, dv) = (&mut dk_head[j * d + c], &mut dv_head[j * d + c]);
                        *dk = ds[j].mul_add(query[c], *dk);
                        *dv = e[j].mul_add(scaled[c], *dv);
                    }
                }
            }
            let first = head % shape.group() == 0;
            for j in 0..t {
                for c in 0..d {
                    let to = ((s * t + j) * shape.kv_heads + kv_head) * d + c;
                    let (dk_head, dv_head) = (dk_head[j * d + c] * shape.scale, dv_head[j * d + c]);
                    dk[to] = if first { dk_head } else { dk[to] + dk_head };
                    dv[to] = if first { dv_head } else { dv[to] + dv_head };
                }
            }
        }
    }
}
