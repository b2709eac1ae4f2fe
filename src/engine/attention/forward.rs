//! Attention's forward pass: for some query rows at a time, all their scores, the softmax, and the weighted values.

use super::shape::{AttentionShape, View};
use crate::engine::cross_entropy::row_max;
use crate::engine::exp::exp;
use crate::engine::machine::{Engine, Kernel, Simd, WIDTH};
use crate::engine::matmul::kernel::{self, Edge};
use crate::engine::matmul::pack;
use crate::engine::scratch;
use crate::engine::sum::{self, LANES, Lanes};

/// The query heads of one key/value head of one sequence. The tile is MR rows of NV vectors, which
/// divide the lanes of a row sum.
pub(super) fn task<const MR: usize, const NV: usize>(
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
    let (padded_t, padded_d) = (t.next_multiple_of(LANES), d.next_multiple_of(NV * WIDTH));
    scratch::with(padded_t * d + t * padded_d + MR * padded_t, |room| {
        let (keys, room) = room.split_at_mut(padded_t * d);
        let (values, scores) = room.split_at_mut(t * padded_d);
        let (keys_start, queries_start) =
            (s * t * shape.kv_heads + kv_head, s * t * shape.heads + kv_head * shape.group());
        engine.dispatch(Forward::<MR, NV> {
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

struct Forward<'a, const MR: usize, const NV: usize> {
    shape: &'a AttentionShape,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    out: View<'a>,
    row_max: View<'a>,
    row_sum: View<'a>,
    /// Room for K transposed, in panels of a tile's width.
    keys: &'a mut [f32],
    /// Room for V, in panels of a tile's width.
    values: &'a mut [f32],
    /// Room for MR rows of scores.
    scores: &'a mut [f32],
}

impl<const MR: usize, const NV: usize> Kernel for Forward<'_, MR, NV> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let AttentionShape { seq_len: t, heads, kv_heads, head_dim: d, .. } = *self.shape;
        let scale = self.shape.scale;
        let nr = NV * WIDTH;
        let padded_t = t.next_multiple_of(LANES);
        pack::rows(simd, self.k, kv_heads * d, d, t, nr, self.keys);
        pack::columns(self.v, kv_heads * d, t, d, nr, self.values);
        for head in 0..self.shape.group() {
            let q = &self.q[head * d..];
            for i in (0..t).step_by(MR) {
                let rows = MR.min(t - i);
                let queries = kernel::Rows::<MR>::new(q, heads * d, i, t, 0, d);
                simd.apart(kernel::Strip::<_, MR, NV> {
                    a: queries,
                    panels: self.keys,
                    k: d,
                    first: 0,
                    steps: d,
                    c: self.scores,
                    ld: padded_t,
                    rows: MR,
                    cols: (i + rows).next_multiple_of(nr),
                    from_c: false,
                    scale: Some(scale),
                });
                let mut sums = [0.0; MR];
                for r in 0..rows {
                    let width = (i + r + 1).next_multiple_of(LANES);
                    let row = &mut self.scores[r * padded_t..][..width];
                    row[..self.shape.unseen(i + r)].fill(f32::NEG_INFINITY);
                    row[i + r + 1..].fill(f32::NEG_INFINITY);
                    let m;
                    (m, sums[r]) = softmax(simd, row);
                    self.row_max.row(i + r, head, 1)[0] = m;
                    self.row_sum.row(i + r, head, 1)[0] = sums[r];
                }
                let weights = kernel::Rows::<MR>::new(self.scores, padded_t, 0, MR, 0, i + rows);
                let out_ld = self.out.ld;
                let mut strip = kernel::Strip::<_, MR, NV> {
                    a: weights,
                    panels: self.values,
                    k: t,
                    first: 0,
                    steps: i + rows,
                    c: &mut self.out.data[i * out_ld + head * d..],
                    ld: out_ld,
                    rows,
                    cols: d,
                    from_c: false,
                    scale: None,
                };
                // The first row of the tile sees the keys up to i, each further row one more.
                simd.apart(strip.part(0, i + 1));
                let strip = strip.part(i + 1, i + rows);
                simd.apart(kernel::Diagonal { strip, passed: 0, rows: Edge::TaperingOff });
                for (r, sum) in sums.iter().enumerate().take(rows) {
                    for out in self.out.row(i + r, head * d, d) {
                        *out /= sum;
                    }
                }
            }
        }
    }
}

/// Turns scores into their exponentials; gives the row's maximum and sum. Scores of -infinity beyond the row's end become +0.
#[inline(always)]
fn softmax<S: Simd>(simd: S, row: &mut [f32]) -> (f32, f32) {
    let m = row_max(simd, row);
    let mut lanes = Lanes::new(simd);
    for x in row.as_chunks_mut::<LANES>().0 {
        for x in x.iter_mut() {
            *x = exp(*x - m);
        }
        // Lanes of exponentials are never -0, so that adding +0 beyond the row's end changes nothing.
        lanes.add(x);
    }
    (m, sum::fold(&lanes.values()))
}
