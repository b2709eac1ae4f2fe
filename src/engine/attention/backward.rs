//! Attention's backward pass: blocks of scores are computed again from the row maxima, and their gradients carried on to
//! queries (over ascending keys), keys and values (over ascending queries).

use super::shape::{AttentionShape, View};
use crate::engine::exp::exp;
use crate::engine::machine::{Engine, Kernel, Simd, WIDTH};
use crate::engine::matmul::kernel::{self, Edge};
use crate::engine::matmul::pack;
use crate::engine::{scratch, sum};

/// Queries in a block: a multiple of every tile's rows.
const QUERIES: usize = 48;
/// Keys in a block: a multiple of every tile's rows and columns.
const KEYS: usize = 192;

/// What the backward pass reads.
pub(super) struct Inputs<'a> {
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    pub out: &'a [f32],
    pub row_max: &'a [f32],
    pub row_sum: &'a [f32],
    pub d_out: &'a [f32],
}

/// The query heads of one key/value head of one sequence.
pub(super) fn task<const MR: usize, const NV: usize>(
    engine: Engine,
    shape: &AttentionShape,
    inputs: &Inputs<'_>,
    s: usize,
    kv_head: usize,
    gradients: [View<'_>; 3],
) {
    let (t, d) = (shape.seq_len, shape.head_dim);
    let (padded_t, padded_d) = (t.next_multiple_of(NV * WIDTH), d.next_multiple_of(NV * WIDTH));
    let sizes = [
        padded_t * d,
        padded_t * d,
        t * padded_d,
        t.next_multiple_of(MR) * padded_d,
        t.next_multiple_of(MR) * padded_d,
        QUERIES * KEYS,
        QUERIES * KEYS,
        QUERIES * d,
        QUERIES * padded_d,
        QUERIES * padded_d,
        QUERIES * padded_d,
    ];
    scratch::with(sizes.iter().sum(), |mut room| {
        let room = sizes.map(|size| {
            let (part, rest) = std::mem::take(&mut room).split_at_mut(size);
            room = rest;
            part
        });
        let [keys_t, values_t, keys, dk, dv, e, ds, scaled, scaled_panels, query_panels, dq] = room;
        engine.dispatch(Backward::<MR, NV> {
            shape,
            inputs,
            first_token: s * t,
            kv_head,
            gradients,
            keys_t,
            values_t,
            keys,
            dk,
            dv,
            e,
            ds,
            scaled,
            scaled_panels,
            query_panels,
            dq,
        });
    });
}

struct Backward<'a, const MR: usize, const NV: usize> {
    shape: &'a AttentionShape,
    inputs: &'a Inputs<'a>,
    first_token: usize,
    kv_head: usize,
    gradients: [View<'a>; 3],
    /// K and V transposed, in panels of a tile's width; K itself so.
    keys_t: &'a mut [f32],
    values_t: &'a mut [f32],
    keys: &'a mut [f32],
    /// Chains of one query head, \[seq_len × padded head_dim\].
    dk: &'a mut [f32],
    dv: &'a mut [f32],
    /// A block of exponentials and of score gradients, \[QUERIES × KEYS\].
    e: &'a mut [f32],
    ds: &'a mut [f32],
    /// The output's gradient over the row sum, a block of rows; the same in panels of a tile's width, and the queries so.
    scaled: &'a mut [f32],
    scaled_panels: &'a mut [f32],
    query_panels: &'a mut [f32],
    /// Chains of a block of queries.
    dq: &'a mut [f32],
}

impl<const MR: usize, const NV: usize> Kernel for Backward<'_, MR, NV> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let AttentionShape { seq_len: t, kv_heads, head_dim: d, .. } = *self.shape;
        let scale = self.shape.scale;
        let padded_d = d.next_multiple_of(NV * WIDTH);
        let start = (self.first_token * kv_heads + self.kv_head) * d;
        pack::rows(simd, &self.inputs.k[start..], kv_heads * d, d, t, NV * WIDTH, self.keys_t);
        pack::rows(simd, &self.inputs.v[start..], kv_heads * d, d, t, NV * WIDTH, self.values_t);
        pack::columns(&self.inputs.k[start..], kv_heads * d, t, d, NV * WIDTH, self.keys);
        for head in 0..self.shape.group() {
            self.dk.fill(0.0);
            self.dv.fill(0.0);
            for i in (0..t).step_by(QUERIES) {
                self.block_of_queries(simd, head, i, QUERIES.min(t - i));
            }
            let [_, dk, dv] = &mut self.gradients;
            for j in 0..t {
                let (dk, dv) = (dk.row(j, 0, d), dv.row(j, 0, d));
                let (dk_head, dv_head) = (&self.dk[j * padded_d..][..d], &self.dv[j * padded_d..][..d]);
                for (((dk, dv), dk_head), dv_head) in dk.iter_mut().zip(dv).zip(dk_head).zip(dv_head) {
                    let dk_head = dk_head * scale;
                    *dk = if head == 0 { dk_head } else { *dk + dk_head };
                    *dv = if head == 0 { *dv_head } else { *dv + dv_head };
                }
            }
        }
    }
}

impl<const MR: usize, const NV: usize> Backward<'_, MR, NV> {
    /// Queries i to i + rows of a head, against all keys up to each.
    #[inline(always)]
    fn block_of_queries<S: Simd>(&mut self, simd: S, head: usize, i: usize, rows: usize) {
        let AttentionShape { heads, head_dim: d, .. } = *self.shape;
        let scale = self.shape.scale;
        let padded_d = d.next_multiple_of(NV * WIDTH);
        let row = |r: usize| (self.first_token + i + r) * heads + self.kv_head * self.shape.group() + head;
        let queries = &self.inputs.q[row(0) * d..];
        let (mut maxima, mut deltas) = ([0.0; QUERIES], [0.0; QUERIES]);
        for r in 0..rows {
            let scaled = &mut self.scaled[r * d..][..d];
            let l = self.inputs.row_sum[row(r)];
            for (scaled, d_out) in scaled.iter_mut().zip(&self.inputs.d_out[row(r) * d..][..d]) {
                *scaled = d_out / l;
            }
            deltas[r] = sum::dot(simd, scaled, &self.inputs.out[row(r) * d..][..d]);
            maxima[r] = self.inputs.row_max[row(r)];
        }
        pack::columns(queries, heads * d, rows, d, NV * WIDTH, &mut self.query_panels[..rows * padded_d]);
        pack::columns(self.scaled, d, rows, d, NV * WIDTH, &mut self.scaled_panels[..rows * padded_d]);
        self.dq.fill(0.0);
        for j in (0..i + rows).step_by(KEYS) {
            let keys = KEYS.min(i + rows - j);
            self.scores(simd, queries, i, rows, j, keys, &maxima, &deltas);
            self.queries(simd, i, rows, j, keys);
            self.keys_and_values(simd, i, rows, j, keys);
        }
        for r in 0..rows {
            let dq = self.gradients[0].row(i + r, head * d, d);
            for (dq, chain) in dq.iter_mut().zip(&self.dq[r * padded_d..]) {
                *dq = chain * scale;
            }
        }
    }

    /// A block of `e` and `ds`. What lies above the diagonal is never read.
    #[inline(always)]
    fn scores<S: Simd>(
        &mut self,
        simd: S,
        queries: &[f32],
        i: usize,
        rows: usize,
        j: usize,
        keys: usize,
        maxima: &[f32; QUERIES],
        deltas: &[f32; QUERIES],
    ) {
        let AttentionShape { heads, head_dim: d, .. } = *self.shape;
        let scale = self.shape.scale;
        for r in (0..rows).step_by(MR) {
            let end = keys.min((i + r + MR).saturating_sub(j)).next_multiple_of(NV * WIDTH);
            let sides = [
                (queries, heads * d, &*self.keys_t, &mut *self.e, Some(scale)),
                (&*self.scaled, d, &*self.values_t, &mut *self.ds, None),
            ];
            for (left, ld, panels, to, scale) in sides {
                simd.apart(kernel::Strip::<_, MR, NV> {
                    a: kernel::Rows::<MR>::new(left, ld, r, rows, 0, d),
                    panels: &panels[j * d..],
                    k: d,
                    first: 0,
                    steps: d,
                    c: &mut to[r * KEYS..],
                    ld: KEYS,
                    rows: MR,
                    cols: end,
                    from_c: false,
                    scale,
                });
            }
            for r in r..rows.min(r + MR) {
                let (e, ds) = (&mut self.e[r * KEYS..][..end], &mut self.ds[r * KEYS..][..end]);
                let (m, delta) = (maxima[r], deltas[r]);
                e[..self.shape.unseen(i + r).saturating_sub(j).min(end)].fill(f32::NEG_INFINITY);
                for (e, ds) in e.as_chunks_mut::<WIDTH>().0.iter_mut().zip(ds.as_chunks_mut::<WIDTH>().0) {
                    for (e, ds) in e.iter_mut().zip(ds) {
                        *e = exp(*e - m);
                        *ds = *e * (*ds - delta);
                    }
                }
            }
        }
    }

    /// Carries dq on over a block of keys.
    #[inline(always)]
    fn queries<S: Simd>(&mut self, simd: S, i: usize, rows: usize, j: usize, keys: usize) {
        let (t, padded_d) = (self.shape.seq_len, self.shape.head_dim.next_multiple_of(NV * WIDTH));
        for r in (0..rows).step_by(MR) {
            let count = MR.min(rows - r);
            // Keys that all rows of the tile see, and those that only its later rows see.
            let all = keys.min((i + r + 1).saturating_sub(j));
            let some = keys.min((i + r + count).saturating_sub(j));
            if some == 0 {
                continue;
            }
            // Where the tile's diagonal lies before this block of keys, some steps have passed already.
            let passed = (j + all).saturating_sub(i + r + 1);
            let ds = kernel::Rows::<MR>::new(self.ds, KEYS, r, rows, 0, some);
            let mut strip = kernel::Strip::<_, MR, NV> {
                a: ds,
                panels: self.keys,
                k: t,
                first: j,
                steps: some,
                c: &mut self.dq[r * padded_d..],
                ld: padded_d,
                rows: count,
                cols: padded_d,
                from_c: true,
                scale: None,
            };
            if all > 0 {
                simd.apart(strip.part(0, all));
            }
            if some > all {
                let strip = strip.part(all, some);
                simd.apart(kernel::Diagonal { strip, passed, rows: Edge::TaperingOff });
            }
        }
    }

    /// Carries dk and dv on over a block of queries.
    #[inline(always)]
    fn keys_and_values<S: Simd>(&mut self, simd: S, i: usize, rows: usize, j: usize, keys: usize) {
        let padded_d = self.shape.head_dim.next_multiple_of(NV * WIDTH);
        for c in (0..keys).step_by(MR) {
            // The first query of the block that sees any key of the tile, and the first that sees all.
            let any = (j + c).saturating_sub(i).min(rows);
            let all = (j + c + MR - 1).saturating_sub(i).clamp(any, rows);
            let passed = (i + any).saturating_sub(j + c);
            let sides =
                [(&*self.e, &*self.scaled_panels, &mut *self.dv), (&*self.ds, &*self.query_panels, &mut *self.dk)];
            for (left, panels, chains) in sides {
                let mut strip = kernel::Strip::<_, MR, NV> {
                    a: kernel::Strided { data: &left[any * KEYS + c..], ld: KEYS },
                    panels,
                    k: rows,
                    first: any,
                    steps: rows - any,
                    c: &mut chains[(j + c) * padded_d..],
                    ld: padded_d,
                    rows: MR,
                    cols: padded_d,
                    from_c: true,
                    scale: None,
                };
                if all > any {
                    let strip = strip.part(0, all - any);
                    simd.apart(kernel::Diagonal { strip, passed, rows: Edge::SettingIn });
                }
                if rows > all {
                    simd.apart(strip.part(all - any, rows - any));
                }
            }
        }
    }
}
