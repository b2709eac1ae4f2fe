//! A layer's operators, in the order in which the model executes them.

use super::build::Pass;
use super::operator::{Form, Kind, ValueId};
use crate::model::{Gate, LayerIds, Linear, Projections};

/// What a layer's forward pass leaves for its backward pass.
pub(super) struct Kept {
    x: ValueId,
    /// What enters attention, and its norm's factors.
    entering1: ValueId,
    rinv1: ValueId,
    /// Queries and keys before their norm; the factors follow what they are normed to.
    raw: [ValueId; 2],
    raw_normed: [ValueId; 2],
    q: ValueId,
    k: ValueId,
    v: ValueId,
    /// Output, row maxima, row sums, one after the other.
    attention: ValueId,
    left1: Left,
    middle: ValueId,
    entering2: ValueId,
    rinv2: ValueId,
    gate: ValueId,
    up: ValueId,
    hidden: ValueId,
    left2: Left,
}

/// A branch as it leaves, before its norm, and the norm's factors.
struct Left {
    x: ValueId,
    rinv: ValueId,
}

impl Pass<'_> {
    /// The normed rows and their factors, which follow them. A token has so many rows of such a width.
    pub fn norm(&mut self, x: ValueId, id: usize, (rows, width): (usize, usize)) -> ValueId {
        let forms = vec![self.rows(rows * width), Form::Floats(vec![self.tokens() * rows])];
        self.op(Kind::RmsNorm, Some(id), vec![Some(x), self.weight(id)], forms)
    }

    /// What an operator within documents reads: these, and last where documents begin, if the sequence has several.
    fn within(&self, values: &[ValueId]) -> Vec<Option<ValueId>> {
        values.iter().copied().map(Some).chain(self.starts.map(Some)).collect()
    }

    /// What enters a branch, and its norm's factors.
    fn enter(&mut self, x: ValueId, norm: Option<usize>) -> (ValueId, ValueId) {
        let d = self.model.config.hidden_size;
        match norm {
            None => (x, x),
            Some(id) => {
                let normed = self.norm(x, id, (1, d));
                (normed, normed + 1)
            }
        }
    }

    fn project(&mut self, x: ValueId, linear: Linear) -> ValueId {
        let form = self.rows(self.shape(linear.weight).0);
        let y =
            self.op(Kind::Project, Some(linear.weight), vec![Some(x), self.weight(linear.weight)], vec![form.clone()]);
        let y = match linear.bias {
            None => y,
            Some(bias) => self.op(Kind::Bias, Some(bias), vec![Some(y), self.weight(bias)], vec![form.clone()]),
        };
        match self.factors(linear) {
            None => y,
            Some([a, b]) => {
                let u = self.low_rank(x, a);
                self.op(Kind::LowRankAdd, Some(b), vec![Some(u), self.weight(b), Some(y)], vec![form])
            }
        }
    }

    /// The numbers of an adapter's factors of a linear layer.
    fn factors(&self, linear: Linear) -> Option<[usize; 2]> {
        let net = &self.model.net;
        net.pair(linear.weight).map(|pair| [pair.a, pair.b].map(|id| net.number(id)))
    }

    /// s · (x · Aᵀ)
    fn low_rank(&mut self, x: ValueId, a: usize) -> ValueId {
        let form = self.rows(self.shape(a).0);
        self.op(Kind::LowRank, Some(a), vec![Some(x), self.weight(a)], vec![form])
    }

    /// The gradient of x · Aᵀ.
    fn low_rank_backward(&mut self, dy: ValueId, b: usize) -> ValueId {
        let form = self.rows(self.shape(b).1);
        self.op(Kind::LowRankBackward, Some(b), vec![Some(dy), self.weight(b)], vec![form])
    }

    fn project_all<const N: usize>(
        &mut self,
        x: ValueId,
        projections: Projections<N>,
        widths: [usize; N],
    ) -> [ValueId; N] {
        match projections {
            Projections::Apart(each) => each.map(|linear| self.project(x, linear)),
            Projections::Fused(linear) => {
                let fused = self.project(x, linear);
                let forms = widths.map(|width| self.rows(width)).to_vec();
                let first = self.op(Kind::Split, None, vec![Some(fused)], forms);
                std::array::from_fn(|i| first + i as ValueId)
            }
        }
    }

    /// A branch leaves, onto the residual stream.
    fn leave(&mut self, x: ValueId, linear: Linear, norm: Option<usize>, stream: ValueId) -> (ValueId, Left) {
        let d = self.model.config.hidden_size;
        let projected = self.project(x, linear);
        let (mut out, rinv) = match norm {
            None => (projected, projected),
            Some(id) => {
                let normed = self.norm(projected, id, (1, d));
                (normed, normed + 1)
            }
        };
        if self.model.residual_factor().is_some() {
            out = self.op(Kind::ResidualScale, None, vec![Some(out)], vec![self.rows(d)]);
        }
        let sum = self.op(Kind::Add, None, vec![Some(stream), Some(out)], vec![self.rows(d)]);
        (sum, Left { x: projected, rinv })
    }

    pub fn layer_forward(&mut self, l: usize, ids: &LayerIds, x: ValueId) -> (ValueId, Kept) {
        let config = &self.model.config;
        let (ff, heads) = (config.intermediate_size, config.num_attention_heads);
        let (qw, kvw) = (config.query_width(), config.key_width());
        let (entering1, rinv1) = self.enter(x, ids.norm1);
        let [mut q, mut k, v] = self.project_all(entering1, ids.qkv, [qw, kvw, kvw]);
        let raw = [q, k];
        if let Some([q_norm, k_norm]) = ids.qk_norm {
            let [q_rows, k_rows] = self.model.qk_norm_rows();
            q = self.norm(q, q_norm, q_rows);
            k = self.norm(k, k_norm, k_rows);
        }
        let raw_normed = [q, k];
        if self.model.rope(l).is_some() {
            q = self.op(Kind::Rope, None, self.within(&[q]), vec![self.rows(qw)]);
            k = self.op(Kind::Rope, None, self.within(&[k]), vec![self.rows(kvw)]);
        }
        let forms = vec![self.rows(qw), self.rows(heads), self.rows(heads)];
        let attention = self.op(Kind::Attention, None, self.within(&[q, k, v]), forms);
        let (middle, left1) = self.leave(attention, ids.o, ids.post_norm1, x);
        let (entering2, rinv2) = self.enter(middle, ids.norm2);
        let [gate, up] = self.project_all(entering2, ids.gate_up, [ff, ff]);
        let kind = match config.variant.gate {
            Gate::Silu => Kind::Swiglu,
            Gate::GeluTanh => Kind::Geglu,
        };
        let hidden = self.op(kind, None, vec![Some(gate), Some(up)], vec![self.rows(ff)]);
        let (out, left2) = self.leave(hidden, ids.down, ids.post_norm2, middle);
        let kept = Kept {
            x,
            entering1,
            rinv1,
            raw,
            raw_normed,
            q,
            k,
            v,
            attention,
            left1,
            middle,
            entering2,
            rinv2,
            gate,
            up,
            hidden,
            left2,
        };
        (out, kept)
    }

    /// dy · W, onto `acc` where there is one.
    fn input_gradient(&mut self, linear: Linear, dy: ValueId, acc: Option<ValueId>) -> ValueId {
        let id = linear.weight;
        let form = self.rows(self.shape(id).1);
        let dx = self.op(Kind::InputGradient, Some(id), vec![Some(dy), self.weight(id), acc], vec![form.clone()]);
        match self.factors(linear) {
            None => dx,
            Some([a, b]) => {
                let du = self.low_rank_backward(dy, b);
                self.op(Kind::InputGradient, Some(a), vec![Some(du), self.weight(a), Some(dx)], vec![form])
            }
        }
    }

    /// dyᵀ · x, onto the weight's gradient so far, and the sum of dy onto the bias's; or the same of an adapter's factors.
    fn weight_gradient(&mut self, linear: Linear, x: ValueId, dy: ValueId) {
        self.gradient(Kind::WeightGradient, linear.weight, vec![Some(dy), Some(x)]);
        if let Some(bias) = linear.bias {
            self.gradient(Kind::BiasBackward, bias, vec![Some(dy)]);
        }
        if let Some([a, b]) = self.factors(linear) {
            let (u, du) = (self.low_rank(x, a), self.low_rank_backward(dy, b));
            self.gradient(Kind::WeightGradient, b, vec![Some(dy), Some(u)]);
            self.gradient(Kind::WeightGradient, a, vec![Some(du), Some(x)]);
        }
    }

    /// The gradient of what several projections take, onto `acc` where there is one.
    fn project_all_backward<const N: usize>(
        &mut self,
        projections: Projections<N>,
        x: ValueId,
        dy: [ValueId; N],
        acc: Option<ValueId>,
    ) -> ValueId {
        match projections {
            Projections::Apart(each) => {
                let mut dx = acc;
                for (linear, dy) in each.into_iter().zip(dy) {
                    dx = Some(self.input_gradient(linear, dy, dx));
                    self.weight_gradient(linear, x, dy);
                }
                dx.expect("there are projections")
            }
            Projections::Fused(linear) => {
                let form = self.rows(self.shape(linear.weight).0);
                let fused = self.op(Kind::Join, None, dy.map(Some).to_vec(), vec![form]);
                let dx = self.input_gradient(linear, fused, acc);
                self.weight_gradient(linear, x, fused);
                dx
            }
        }
    }

    /// The gradient of a norm's input, onto `dx`; `dy` are the parts of its output's gradient, rows ascending.
    pub fn norm_backward(
        &mut self,
        id: usize,
        (rows, width): (usize, usize),
        [x, rinv]: [ValueId; 2],
        dx: Option<ValueId>,
        dy: impl IntoIterator<Item = ValueId>,
    ) -> ValueId {
        let so_far = if self.model.net.whole() { self.gradients[id] } else { None };
        let mut reads = vec![Some(x), self.weight(id), Some(rinv), dx, so_far];
        reads.extend(dy.into_iter().map(Some));
        let forms = vec![self.rows(rows * width), Form::Floats(vec![width])];
        let out = self.op(Kind::RmsNormBackward, Some(id), reads, forms);
        if self.model.net.whole() {
            self.gradients[id] = Some(out + 1);
        }
        out
    }

    /// The gradient of a branch's last projection, from that of the residual stream.
    fn leave_backward(&mut self, norm: Option<usize>, left: &Left, dx: ValueId) -> ValueId {
        let d = self.model.config.hidden_size;
        let mut out = dx;
        if self.model.residual_factor().is_some() {
            out = self.op(Kind::ResidualScale, None, vec![Some(out)], vec![self.rows(d)]);
        }
        match norm {
            None => out,
            Some(id) => self.norm_backward(id, (1, d), [left.x, left.rinv], None, [out]),
        }
    }

    /// The gradient of the residual stream before a branch, from those of what enters the branch's projections.
    fn enter_backward<const N: usize>(
        &mut self,
        norm: Option<usize>,
        projections: Projections<N>,
        [x, entering, rinv]: [ValueId; 3],
        dy: [ValueId; N],
        dx: ValueId,
    ) -> ValueId {
        let d = self.model.config.hidden_size;
        match norm {
            None => self.project_all_backward(projections, entering, dy, Some(dx)),
            Some(id) => {
                let d_normed = self.project_all_backward(projections, entering, dy, None);
                self.norm_backward(id, (1, d), [x, rinv], Some(dx), [d_normed])
            }
        }
    }

    pub fn layer_backward(&mut self, l: usize, ids: &LayerIds, kept: &Kept, dx: ValueId) -> ValueId {
        let config = &self.model.config;
        let (ff, qw, kvw) = (config.intermediate_size, config.query_width(), config.key_width());
        // Feed-forward.
        let d_left = self.leave_backward(ids.post_norm2, &kept.left2, dx);
        let d_hidden = self.input_gradient(ids.down, d_left, None);
        let reads = vec![Some(kept.gate), Some(kept.up), Some(d_hidden)];
        let kind = match config.variant.gate {
            Gate::Silu => Kind::SwigluBackward,
            Gate::GeluTanh => Kind::GegluBackward,
        };
        let d_gate = self.op(kind, None, reads, vec![self.rows(ff), self.rows(ff)]);
        self.weight_gradient(ids.down, kept.hidden, d_left);
        let inputs = [kept.middle, kept.entering2, kept.rinv2];
        let dx = self.enter_backward(ids.norm2, ids.gate_up, inputs, [d_gate, d_gate + 1], dx);

        // Attention.
        let d_left = self.leave_backward(ids.post_norm1, &kept.left1, dx);
        let d_attention = self.input_gradient(ids.o, d_left, None);
        self.weight_gradient(ids.o, kept.attention, d_left);
        let rows = [kept.attention, kept.attention + 1, kept.attention + 2];
        let reads = self.within(&[&[kept.q, kept.k, kept.v][..], &rows, &[d_attention]].concat());
        let forms = vec![self.rows(qw), self.rows(kvw), self.rows(kvw)];
        let mut dq = self.op(Kind::AttentionBackward, None, reads, forms);
        let (mut dk, dv) = (dq + 1, dq + 2);
        if self.model.rope(l).is_some() {
            dq = self.op(Kind::RopeBackward, None, self.within(&[dq]), vec![self.rows(qw)]);
            dk = self.op(Kind::RopeBackward, None, self.within(&[dk]), vec![self.rows(kvw)]);
        }
        if let Some([q_norm, k_norm]) = ids.qk_norm {
            let ([q_rows, k_rows], [raw_q, raw_k]) = (self.model.qk_norm_rows(), kept.raw);
            dq = self.norm_backward(q_norm, q_rows, [raw_q, kept.raw_normed[0] + 1], None, [dq]);
            dk = self.norm_backward(k_norm, k_rows, [raw_k, kept.raw_normed[1] + 1], None, [dk]);
        }
        self.enter_backward(ids.norm1, ids.qkv, [kept.x, kept.entering1, kept.rinv1], [dq, dk, dv], dx)
    }
}
