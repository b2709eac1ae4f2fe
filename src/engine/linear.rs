//! A linear layer's three products, by the arithmetic that a recipe chooses. Everything else is the same in both.

use super::integer::{Resident, Side, Slot};
use super::machine::Engine;
use super::matmul::{Mat, MatMut, Operand, Start};
use super::memory::Part;
use std::cell::OnceCell;
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
pub(crate) fn blocks(tokens: Range<usize>, seq_len: usize) -> impl Iterator<Item = Range<usize>> {
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

/// A linear layer's input \[tokens × in\] or weight \[out × in\], as its products take it.
#[derive(Clone, Copy)]
pub struct Factor<'a> {
    values: Part<'a>,
    inner: usize,
    integers: Option<&'a Integers>,
}

impl<'a> Factor<'a> {
    /// For one product.
    pub fn new(values: impl Into<Part<'a>>, inner: usize) -> Factor<'a> {
        Factor { values: values.into(), inner, integers: None }
    }

    /// The values, row-major.
    pub fn values(self) -> Part<'a> {
        self.values
    }

    /// The values in host memory.
    pub(super) fn host(self) -> &'a [f32] {
        self.values.host()
    }

    /// Inputs: elements of a row.
    pub fn inner(self) -> usize {
        self.inner
    }

    /// Tokens of an input, outputs of a weight.
    pub fn rows(self) -> usize {
        self.values.len() / self.inner
    }

    /// Where a device keeps the digits of its rows, where they are kept.
    pub(crate) fn resident_rows(self) -> Option<&'a OnceCell<Resident>> {
        self.integers.map(|integers| &integers.resident_rows)
    }

    /// And of its columns: all of a weight's; an input's by block of tokens.
    pub(crate) fn resident_columns(self) -> Option<&'a OnceCell<Resident>> {
        self.integers.map(|integers| &integers.resident_columns)
    }

    fn mat(self) -> Mat<'a> {
        Mat::new(self.host(), self.rows(), self.inner)
    }

    fn side(self, operand: Operand<'a>, slot: impl FnOnce(&'a Integers) -> Option<&'a Slot>) -> Side<'a> {
        Side { operand, slot: self.integers.and_then(slot) }
    }
}

/// Room for the integers of a factor that several products take: the first makes them, the others find them.
pub struct Integers {
    /// Of its rows, as a left operand.
    left: Slot,
    /// Of its rows, as a right operand.
    right: Slot,
    /// Of its columns: all of a weight's; an input's by block of tokens.
    columns: Vec<Slot>,
    /// Of its rows, in a device's memory.
    resident_rows: OnceCell<Resident>,
    /// Of its columns.
    resident_columns: OnceCell<Resident>,
}

impl Integers {
    /// Of weights, one after the other.
    pub fn of_weights() -> Integers {
        Integers::with(vec![Slot::default()])
    }

    /// Of inputs of up to so many sequences, one after the other.
    pub fn of_inputs(sequences: usize, seq_len: usize) -> Integers {
        let blocks = sequences * seq_len.div_ceil(TOKENS);
        Integers::with(std::iter::repeat_with(Slot::default).take(blocks).collect())
    }

    fn with(columns: Vec<Slot>) -> Integers {
        Integers {
            left: Slot::default(),
            right: Slot::default(),
            columns,
            resident_rows: OnceCell::new(),
            resident_columns: OnceCell::new(),
        }
    }

    /// The factor of these values, an input's for the same tokens in each product. What was made of others is forgotten.
    pub fn of<'a>(&'a mut self, values: impl Into<Part<'a>>, inner: usize) -> Factor<'a> {
        self.forget();
        self.go_on(values, inner)
    }

    /// Forgets what was made.
    pub fn forget(&mut self) {
        [&mut self.left, &mut self.right].into_iter().chain(&mut self.columns).for_each(Slot::forget);
        [&mut self.resident_rows, &mut self.resident_columns].into_iter().for_each(|made| drop(made.take()));
    }

    /// The factor of the values that it was of before, or of any where it is of none: what was made of them is kept.
    pub fn go_on<'a>(&'a self, values: impl Into<Part<'a>>, inner: usize) -> Factor<'a> {
        Factor { values: values.into(), inner, integers: Some(self) }
    }
}

impl Engine {
    /// y = x · Wᵀ: `x` \[n × inner\], `w` \[out × inner\], `y` \[n × out\].
    pub fn linear(self, arithmetic: Arithmetic, x: Factor<'_>, w: Factor<'_>, y: &mut [f32]) {
        let y = MatMut::new(y, x.rows(), w.rows());
        match arithmetic {
            Arithmetic::Float => self.matmul_nt(x.mat(), w.mat(), y, Start::Zero),
            Arithmetic::Integer => {
                let left = x.side(Operand::along(x.mat()), |integers| Some(&integers.left));
                let right = w.side(Operand::along(w.mat()), |integers| Some(&integers.right));
                self.integer_product("linear", left, right, y, Start::Zero);
            }
        }
    }

    /// dx (+)= dy · W: `dy` \[n × out\], `w` \[out × inner\], `dx` \[n × inner\].
    pub fn linear_input_gradient(
        self,
        arithmetic: Arithmetic,
        dy: &[f32],
        w: Factor<'_>,
        dx: &mut [f32],
        start: Start,
    ) {
        let n = dx.len() / w.inner;
        let (dy, dx) = (Mat::new(dy, n, w.rows()), MatMut::new(dx, n, w.inner));
        match arithmetic {
            Arithmetic::Float => self.matmul_nn(dy, w.mat(), dx, start),
            Arithmetic::Integer => {
                let right = w.side(Operand::down(w.mat()), |integers| integers.columns.first());
                self.integer_product("linear_input_gradient", Operand::along(dy).into(), right, dx, start);
            }
        }
    }

    /// dW += dyᵀ · x: `x` \[n × inner\], `dy` \[n × out\], `dw` \[out × inner\]. The rows are those of `tokens`, counted from the
    /// first token of a sequence of `seq_len` on; they begin and end with a block.
    pub fn linear_weight_gradient(
        self,
        arithmetic: Arithmetic,
        x: Factor<'_>,
        dy: &[f32],
        tokens: Range<usize>,
        seq_len: usize,
        dw: &mut [f32],
    ) {
        let inner = x.inner;
        let (n, out) = (tokens.len(), dw.len() / inner);
        assert_eq!([x.values.len(), dy.len()], [n * inner, n * out], "linear_weight_gradient: x and dy of {n} tokens");
        let cuts = [tokens.start, tokens.end];
        assert_eq!(cuts.map(|cut| block_start(cut, seq_len)), cuts, "linear_weight_gradient: whole blocks of tokens");
        match arithmetic {
            Arithmetic::Float => {
                let dw = MatMut::new(dw, out, inner);
                self.matmul_tn(Mat::new(dy, n, out), x.mat(), dw, Start::Accumulate);
            }
            Arithmetic::Integer => {
                for (i, block) in blocks(tokens, seq_len).enumerate() {
                    let n = block.len();
                    let dy = Mat::new(&dy[block.start * out..block.end * out], n, out);
                    let rows = Mat::new(&x.host()[block.start * inner..block.end * inner], n, inner);
                    let right = x.side(Operand::down(rows), |integers| integers.columns.get(i));
                    let dw = MatMut::new(dw, out, inner);
                    self.integer_product(
                        "linear_weight_gradient",
                        Operand::down(dy).into(),
                        right,
                        dw,
                        Start::Accumulate,
                    );
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
    fn products_that_share_integers_equal_products_that_do_not() {
        on_every_engine(|engine, numbers| {
            let mut weight = Integers::of_weights();
            let (seq_len, sequences) = (TOKENS + 3, 2);
            let n = seq_len * sequences;
            let mut input = Integers::of_inputs(sequences, seq_len);
            // Of another size each time, in the same room.
            for (inner, out) in [(37, 50), (20, 30), (64, 70)] {
                let (x, w, w2) = (numbers.tame(n * inner), numbers.tame(out * inner), numbers.tame(out * inner));
                let (dy, dx, dw) = (numbers.tame(n * out), numbers.tame(n * inner), numbers.tame(out * inner));
                let run = |x: Factor<'_>, w: Factor<'_>| {
                    let (mut y, mut dx, mut dw) = (vec![0.0; n * out], dx.clone(), dw.clone());
                    engine.linear(Arithmetic::Integer, x, w, &mut y);
                    engine.linear_input_gradient(Arithmetic::Integer, &dy, w, &mut dx, Start::Accumulate);
                    engine.linear_weight_gradient(Arithmetic::Integer, x, &dy, 0..n, seq_len, &mut dw);
                    [y, dx, dw].concat()
                };
                let x_alone = Factor::new(&x, inner);
                let x = input.of(&x, inner);
                for w in [&w, &w2] {
                    let alone = run(x_alone, Factor::new(w, inner));
                    let w = weight.of(w, inner);
                    assert_same_bits("the first", &run(x, w), &alone);
                    assert_same_bits("the second", &run(x, w), &alone);
                }
            }
        });
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
                        engine.linear_weight_gradient(arithmetic, Factor::new(x, inner), dy, a..b, seq_len, &mut dw);
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
