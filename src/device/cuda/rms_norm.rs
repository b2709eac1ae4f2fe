//! Launches of `kernels/rms_norm.cu`.

use super::driver::{Arg, Grid};
use super::gpu::Cuda;
use super::{chain, sum};
use crate::device::operators::NormWeight;
use crate::engine::memory::{Part, PartMut};

const THREADS: u32 = 256;
/// Threads of a row.
const WARP: usize = 32;

fn grid(rows: usize) -> Grid {
    Grid::over(rows * WARP, THREADS)
}

/// The weight as two arguments: the parameter, and whether it is one less.
fn weight_args(weight: NormWeight<'_>) -> [Arg<'static>; 2] {
    [Arg::Address(weight.parameter.address()), Arg::Int(weight.plus_one.into())]
}

pub(super) fn rms_norm(cuda: &Cuda, x: Part<'_>, weight: NormWeight<'_>, eps: f32, y: PartMut<'_>, rinv: PartMut<'_>) {
    let (d, rows) = (weight.parameter.len(), rinv.len());
    assert!(d > 0, "rms_norm: rows of at least one element");
    assert_eq!([x.len(), y.len()], [rows * d; 2], "rms_norm: x and y of {rows} rows of {d}");
    let [w, plus_one] = weight_args(weight);
    let [x, y, rinv] = [x.address(), y.address(), rinv.address()].map(Arg::Address);
    let args = [x, w, plus_one, Arg::Float(eps), y, rinv, Arg::size(d), Arg::count(rows)];
    cuda.launch("rms_norm", grid(rows), &args);
}

pub(super) fn rms_scale(cuda: &Cuda, x: Part<'_>, weight: NormWeight<'_>, rinv: Part<'_>, y: PartMut<'_>) {
    let (d, rows) = (weight.parameter.len(), rinv.len());
    assert!(d > 0, "rms_scale: rows of at least one element");
    assert_eq!([x.len(), y.len()], [rows * d; 2], "rms_scale: x and y of {rows} rows of {d}");
    let [w, plus_one] = weight_args(weight);
    let [x, rinv, y] = [x.address(), rinv.address(), y.address()].map(Arg::Address);
    cuda.launch("rms_scale", grid(rows), &[x, w, plus_one, rinv, y, Arg::size(d), Arg::count(rows)]);
}

pub(super) fn rms_norm_backward(
    cuda: &Cuda,
    [x, rinv, dy]: [Part<'_>; 3],
    weight: NormWeight<'_>,
    seq_len: usize,
    dx_acc: PartMut<'_>,
    d_weight: Option<PartMut<'_>>,
) {
    let (d, rows) = (weight.parameter.len(), rinv.len());
    assert!(d > 0 && seq_len > 0 && rows.is_multiple_of(seq_len), "rms_norm: whole sequences of {seq_len} rows");
    let sizes = [x.len(), dy.len(), dx_acc.len()];
    assert_eq!(sizes, [rows * d; 3], "rms_norm: x, dy and dx of {rows} rows of {d}");
    let [w, plus_one] = weight_args(weight);
    let [x, rinv, dy, dx] = [x.address(), rinv.address(), dy.address(), dx_acc.address()].map(Arg::Address);
    let args = [x, w, plus_one, rinv, dy, dx, Arg::size(d), Arg::count(rows)];
    cuda.launch("rms_norm_backward", grid(rows), &args);
    let Some(d_weight) = d_weight else { return };
    assert_eq!(d_weight.len(), d, "rms_norm: a gradient as large as the weight");
    let sequences = rows / seq_len;
    let partials = cuda.room::<f32>(sequences * d);
    let to = Arg::Address(partials.part(..).address());
    let args = [x, rinv, dy, Arg::size(seq_len), Arg::size(sequences), Arg::size(d), to];
    cuda.launch("rms_norm_partial", chain::grid(sequences, d), &args);
    sum::add_sequences(cuda, partials.part(..), d_weight);
}
