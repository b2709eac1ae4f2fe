//! Launches of `kernels/bias.cu`.

use super::driver::{Arg, Grid};
use super::gpu::Cuda;
use super::{chain, sum};
use crate::engine::memory::{Part, PartMut};

const THREADS: u32 = 256;
/// Threads of a row.
const WARP: usize = 32;

pub(super) fn bias(cuda: &Cuda, bias: Part<'_>, x: PartMut<'_>) {
    let width = bias.len();
    assert!(width > 0 && x.len().is_multiple_of(width), "bias: whole rows of {width}");
    let rows = x.len() / width;
    let [bias, x] = [bias.address(), x.address()].map(Arg::Address);
    cuda.launch("bias", Grid::over(rows * WARP, THREADS), &[bias, x, Arg::size(width), Arg::count(rows)]);
}

pub(super) fn bias_backward(cuda: &Cuda, dy: Part<'_>, seq_len: usize, d_bias: PartMut<'_>) {
    let width = d_bias.len();
    assert!(
        width > 0 && seq_len > 0 && dy.len().is_multiple_of(seq_len * width),
        "bias_backward: whole sequences of {seq_len} rows of {width}"
    );
    let sequences = dy.len() / (seq_len * width);
    let partials = cuda.room::<f32>(sequences * width);
    let [dy, to] = [dy.address(), partials.part(..).address()].map(Arg::Address);
    let args = [dy, Arg::size(seq_len), Arg::size(sequences), Arg::size(width), to];
    cuda.launch("bias_partial", chain::grid(sequences, width), &args);
    sum::add_sequences(cuda, partials.part(..), d_bias);
}
