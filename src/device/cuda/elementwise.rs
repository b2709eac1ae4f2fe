//! Launches of `kernels/elementwise.cu`.

use super::driver::{Arg, Grid};
use super::gpu::Cuda;
use crate::engine::memory::{Part, PartMut};

const THREADS: u32 = 256;

pub(super) fn add_into(cuda: &Cuda, acc: PartMut<'_>, x: Part<'_>) {
    assert_eq!(acc.len(), x.len(), "add_into: as many elements on both sides");
    let args = [Arg::Address(acc.address()), Arg::Address(x.address()), Arg::count(x.len())];
    cuda.launch("add_into", Grid::over(x.len(), THREADS), &args);
}

pub(super) fn add(cuda: &Cuda, x: Part<'_>, y: Part<'_>, out: PartMut<'_>) {
    assert_eq!([y.len(), out.len()], [x.len(); 2], "add: as many elements in all three");
    let [x_at, y_at, out_at] = [x.address(), y.address(), out.address()].map(Arg::Address);
    cuda.launch("add", Grid::over(x.len(), THREADS), &[x_at, y_at, out_at, Arg::count(x.len())]);
}

pub(super) fn scale(cuda: &Cuda, x: PartMut<'_>, factor: f32) {
    let args = [Arg::Address(x.address()), Arg::Float(factor), Arg::count(x.len())];
    cuda.launch("scale", Grid::over(x.len(), THREADS), &args);
}
