//! Attention's forward pass: for some query rows at a time, all their scores, the softmax, and the weighted values.

use super::{AttentionShape, View};
use crate::engine::exp::exp;
use crate::engine::machine::{Engine, Kernel};
use crate::engine::matmul::{kernel, pack};
use crate::engine::{scratch, sum};

const LANES: usize = sum::LANES;

/// The query heads of one key/value head of one sequence. MR × NR is the tile; NR divides the lanes of a row sum.
pub(super) fn task<const MR: usize, const NR: usize>(
    engine: Engine,
    shape: &AttentionShape,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    s: usize,
    kv_head: usize,
    out: View<'_>,
    row_max: View<'_>,
    row_sum: View<'_>,
) {
    let (t, d) = (shape.seq_len, shape.head_dim);
    let (padded_t, padded_d) = (t.next_multiple_of(LANES), d.next_multiple_of(NR));
    scratch::with(padded_t * d + t * padded_d + MR * padded_t, |room| {
        let (keys, room) = room.split_at_mut(padded_t * d);
        let (values, scores) = room.split_at_mut(t * padded_d);
        let (keys_start, queries_start) =
            (s * t * shape.kv_heads + kv_head, s * t * shape.heads + kv_head * shape.group());
        engine.dispatch(Forward::<MR, NR> {
            shape,
            q: &q[queries_start * d..],
            k: &k[keys_start * d..],
            v: &v[keys_start * d..],
            out,
            row_max,
            row_sum,
            keys,
            values,
            scores,
        });
    });
}

struct Forward<'a, const MR: usize, const NR: usize> {
    shape: &'a AttentionShape,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    out: View<'a>,
    row_max: View<'a>,
    row_sum: View<'a>,
    /// Room for K transposed, in panels of NR keys.
    keys: &'a mut [f32],
    /// Room for V, in panels of NR columns.
    values: &'a mut [f32],
    /// Room for MR rows of scores.
    scores: &'a mut [f32],
}

impl<const MR: usize, const NR: usize> Kernel for Forward<'_, MR, NR> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let AttentionShape { seq_len: t, heads, kv_heads, head_dim: d, .. } = *self.shape;
        let scale = self.shape.scale();
        let padded_t = t.next_multiple_of(LANES);
        pack::rows::<NR>(self.k, kv_heads * d, d, t, &mut self.keys[..t.next_multiple_of(NR) * d]);
        pack::columns::<NR>(self.v, kv_heads * d, t, d, self.values);
        for head in 0..self.shape.group() {
            let q = &self.q[head * d..];
            for i in (0..t).step_by(MR) {
                let rows = MR.min(t - i);
                let queries = kernel::Rows::<MR>::new(q, heads * d, i, t, 0, d);
                for (panel, j) in self.keys.chunks_exact(d * NR).zip((0..i + rows).step_by(NR)) {
                    let mut acc = kernel::tile([[0.0; NR]; MR], queries, 0, panel.as_chunks().0);
                    for acc in acc.as_flattened_mut() {
                        *acc *= scale;
                    }
                    kernel::store(&acc, &mut self.scores[j..], padded_t, MR, NR);
                }
                let mut sums = [1.0; MR];
                for r in 0..rows {
                    let width = (i + r + 1).next_multiple_of(LANES);
                    let row = &mut self.scores[r * padded_t..][..width];
                    row[i + r + 1..].fill(f32::NEG_INFINITY);
                    let m;
                    (m, sums[r]) = softmax(row.as_chunks_mut().0);
                    self.row_max.row(i + r, head, 1)[0] = m;
                    self.row_sum.row(i + r, head, 1)[0] = sums[r];
                }
                let weights = kernel::Rows::<MR>::new(self.scores, padded_t, 0, MR, 0, i + rows);
                for (panel, c) in self.values.chunks_exact(t * NR).zip((0..d).step_by(NR)) {
                    let values = panel.as_chunks::<NR>().0;
                    let acc = kernel::tile([[0.0; NR]; MR], weights, 0, &values[..i + 1]);
                    let mut acc = kernel::tile_tapering_off(acc, weights, i + 1, &values[i + 1..i + rows], 0);
                    for (acc, l) in acc.iter_mut().zip(sums) {
                        for acc in acc {
                            *acc /= l;
                        }
                    }
                    let width = NR.min(d - c);
                    kernel::store(&acc, &mut self.out.data[i * self.out.ld + head * d + c..], self.out.ld, rows, width);
                }
            }
        }
    }
}

/// Turns scores into their exponentials; gives the row's maximum and sum. Scores of -infinity beyond the row's end become +0.
#[inline(always)]
fn softmax(row: &mut [[f32; LANES]]) -> (f32, f32) {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for x in &*row {
        for j in 0..LANES {
            lanes[j] = if x[j] > lanes[j] { x[j] } else { lanes[j] };
        }
    }
    let m = lanes.iter().fold(f32::NEG_INFINITY, |m, &x| if x > m { x } else { m }) + 0.0;
    let mut lanes = [0.0; LANES];
    for x in row {
        for x in x.iter_mut() {
            *x = exp(*x - m);
        }
        // Lanes of exponentials are never -0, so that adding +0 beyond the row's end changes nothing.
        for j in 0..LANES {
            lanes[j] += x[j];
        }
    }
    (m, sum::fold(&lanes))
}
