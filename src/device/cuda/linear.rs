//! A linear layer's three products, by the arithmetic: `matmul` or `integer`.

use std::ops::Range;

use super::gpu::Cuda;
use super::{integer, matmul};
use crate::engine::linear::{Arithmetic, Factor};
use crate::engine::matmul::Start;
use crate::engine::memory::{Part, PartMut};

pub(super) fn linear(cuda: &Cuda, arithmetic: Arithmetic, x: Factor<'_>, w: Factor<'_>, y: PartMut<'_>) {
    let (n, out, inner) = (x.rows(), w.rows(), w.inner());
    assert_eq!([x.inner(), y.len()], [inner, n * out], "linear: {n} rows of {inner}, {out} outputs");
    match arithmetic {
        Arithmetic::Float => matmul::matmul_nt(cuda, x.values(), w.values(), y, [n, out, inner], Start::Zero),
        Arithmetic::Integer => integer::linear(cuda, x, w, y),
    }
}

pub(super) fn linear_input_gradient(
    cuda: &Cuda,
    arithmetic: Arithmetic,
    dy: Part<'_>,
    w: Factor<'_>,
    dx: PartMut<'_>,
    start: Start,
) {
    let (out, inner) = (w.rows(), w.inner());
    let n = dy.len() / out;
    assert_eq!(dx.len(), n * inner, "linear_input_gradient: {n} rows of {inner}");
    match arithmetic {
        Arithmetic::Float => matmul::matmul_nn(cuda, dy, w.values(), dx, [n, inner, out], start),
        Arithmetic::Integer => integer::linear_input_gradient(cuda, dy, w, dx, start),
    }
}

pub(super) fn linear_weight_gradient(
    cuda: &Cuda,
    arithmetic: Arithmetic,
    x: Factor<'_>,
    dy: Part<'_>,
    tokens: Range<usize>,
    seq_len: usize,
    dw: PartMut<'_>,
) {
    let (n, inner) = (tokens.len(), x.inner());
    let out = dw.len() / inner;
    assert_eq!([x.rows(), dy.len()], [n, n * out], "linear_weight_gradient: x and dy of {n} tokens");
    match arithmetic {
        Arithmetic::Float => matmul::matmul_tn(cuda, dy, x.values(), dw, [out, inner, n], Start::Accumulate),
        Arithmetic::Integer => integer::linear_weight_gradient(cuda, x, dy, tokens, seq_len, dw),
    }
}
