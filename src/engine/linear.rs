//! A linear layer's three products, by the arithmetic that a recipe chooses. Everything else is the same in both.

use super::machine::Engine;
use super::matmul::{Mat, MatMut, Start};
use std::ops::Range;

/// The arithmetic contract: what a linear layer's products are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// 1: chains of fused multiply-adds in float32.
    Float,
    /// 2: exact products of 14-bit integers.
    Integer,
}

impl Arithmetic {
    /// By its number in a recipe.
    pub fn numbered(number: u32) -> Option<Arithmetic> {
        [Arithmetic::Float, Arithmetic::Integer].into_iter().find(|arithmetic| arithmetic.number() == number)
    }

    /// Its number in a recipe.
    pub fn number(self) -> u32 {
        match self {
            Arithmetic::Float => 1,
            Arithmetic::Integer => 2,
        }
    }
}

/// Tokens of a block: the gradient of a weight is summed exactly within one, and block after block in float32.
pub const TOKENS: usize = 256;

/// Where a run of tokens may be cut, at or before `token`: sequences are cut into blocks from their first token on.
pub fn block_start(token: usize, seq_len: usize) -> usize {
    token - token % seq_len % TOKENS
}

/// The blocks of some tokens, which begin and end with a block, counted from the first of them.
fn blocks(tokens: Range<usize>, seq_len: usize) -> impl Iterator<Item = Range<usize>> {
    let (first, end) = (tokens.start, tokens.end);
    let next = move |start: &usize| {
        let in_sequence = start % seq_len;
        let length = TOKENS.min(seq_len - in_sequence);
        (start + length < end).then_some(start + length)
    };
    let starts = std::iter::successors((first < end).then_some(first), next);
    starts.map(move |start| {
        let end = next(&start).unwrap_or(end);
        start - first..end - first
    })
}

impl Engine {
    /// y = x · Wᵀ: `x` \[n × inner\], `w` \[out × inner\], `y` \[n × out\].
    pub fn linear(self, arithmetic: Arithmetic, x: &[f32], w: &[f32], inner: usize, y: &mut [f32]) {
        let (n, out) = (x.len() / inner, w.len() / inner);
        let (x, w, y) = (Mat::new(x, n, inner), Mat::new(w, out, inner), MatMut::new(y, n, out));
        match arithmetic {
            Arithmetic::Float => self.matmul_nt(x, w, y, Start::Zero),
            Arithmetic::Integer => self.integer_nt(x, w, y, Start::Zero),
        }
    }

    /// dx (+)= dy · W: `dy` \[n × out\], `w` \[out × inner\], `dx` \[n × inner\].
    pub fn linear_input_gradient(
        self,
        arithmetic: Arithmetic,
        dy: &[f32],
        w: &[f32],
        inner: usize,
        dx: &mut [f32],
        start: Start,
    ) {
        let (n, out) = (dx.len() / inner, w.len() / inner);
        let (dy, w, dx) = (Mat::new(dy, n, out), Mat::new(w, out, inner), MatMut::new(dx, n, inner));
        match arithmetic {
            Arithmetic::Float => self.matmul_nn(dy, w, dx, start),
            Arithmetic::Integer => self.integer_nn(dy, w, dx, start),
        }
    }

    /// dW += dyᵀ · x: `x` \[n × inner\], `dy` \[n × out\], `dw` \[out × inner\]. The rows are those of `tokens`, counted from the
    /// first token of a sequence of `seq_len` on; they begin and end with a block.
    pub fn linear_weight_gradient(
        self,
        arithmetic: Arithmetic,
        x: &[f32],
        dy: &[f32],
        inner: usize,
        tokens: Range<usize>,
        seq_len: usize,
        dw: &mut [f32],
    ) {
        let (n, out) = (tokens.len(), dw.len() / inner);
        assert_eq!([x.len(), dy.len()], [n * inner, n * out], "linear_weight_gradient: x and dy of {n} tokens");
        let cuts = [tokens.start, tokens.end];
        assert_eq!(cuts.map(|cut| block_start(cut, seq_len)), cuts, "linear_weight_gradient: whole blocks of tokens");
        match arithmetic {
            Arithmetic::Float => {
                let dw = MatMut::new(dw, out, inner);
                self.matmul_tn(Mat::new(dy, n, out), Mat::new(x, n, inner), dw, Start::Accumulate);
            }
            Arithmetic::Integer => {
                for block in blocks(tokens, seq_len) {
                    let n = block.len();
                    let dy = Mat::new(&dy[block.start * out..block.end * out], n, out);
                    let x = Mat::new(&x[block.start * inner..block.end * inner], n, inner);
                    self.integer_tn(dy, x, MatMut::new(dw, out, inner), Start::Accumulate);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{assert_same_bits, on_every_engine};

    #[test]
    fn blocks_are_those_of_whole_sequences() {
        let of = |tokens: Range<usize>, seq_len| blocks(tokens, seq_len).collect::<Vec<_>>();
        assert!(of(0..0, 7).is_empty());
        assert_eq!(of(0..14, 7), [0..7, 7..14]);
        assert_eq!(of(0..600, 600), [0..256, 256..512, 512..600]);
        assert_eq!(of(512..1200, 600), [0..88, 88..344, 344..600, 600..688]);
        assert_eq!([0, 255, 256, 599, 600, 860, 1199].map(|t| block_start(t, 600)), [0, 0, 256, 512, 600, 856, 1112]);
    }

    #[test]
    fn micro_batches_and_chunks_of_blocks_do_not_change_a_weight_gradient() {
        on_every_engine(|engine, numbers| {
            let (seq_len, sequences, inner, out) = (300, 3, 20, 30);
            let n = seq_len * sequences;
            let (x, dy, dw) = (numbers.tame(n * inner), numbers.tame(n * out), numbers.tame(out * inner));
            for arithmetic in [Arithmetic::Float, Arithmetic::Integer] {
                let by = |cuts: &[usize]| {
                    let mut dw = dw.clone();
                    for cut in cuts.windows(2) {
                        let (a, b) = (cut[0], cut[1]);
                        let (x, dy) = (&x[a * inner..b * inner], &dy[a * out..b * out]);
                        engine.linear_weight_gradient(arithmetic, x, dy, inner, a..b, seq_len, &mut dw);
                    }
                    dw
                };
                let whole = by(&[0, n]);
                assert_same_bits("a sequence at a time", &by(&[0, 300, 600, 900]), &whole);
                assert_same_bits("chunks of blocks", &by(&[0, 256, 556, 600, 900]), &whole);
            }
        });
    }
}
