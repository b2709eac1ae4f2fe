//! Launches of `kernels/swiglu.cu` and `kernels/geglu.cu`.

use super::driver::{Arg, Grid};
use super::gpu::Cuda;
use crate::device::operators::Gating;
use crate::engine::memory::{Part, PartMut};

const THREADS: u32 = 256;
/// Elements of a thread.
const EACH: usize = 4;

fn launch(cuda: &Cuda, kernel: &'static str, gate: Part<'_>, up: Part<'_>, hidden: Part<'_>) {
    let n = hidden.len();
    assert_eq!([gate.len(), up.len()], [n; 2], "a gated unit: three tensors of one size");
    let [gate, up, hidden] = [gate, up, hidden].map(|part| Arg::Address(part.address()));
    cuda.launch(kernel, Grid::over(n.div_ceil(EACH), THREADS), &[gate, up, hidden, Arg::count(n)]);
}

pub(super) fn gated(cuda: &Cuda, gating: Gating, gate: Part<'_>, up: Part<'_>, hidden: PartMut<'_>) {
    let kernel = match gating {
        Gating::Swiglu => "swiglu",
        Gating::Geglu => "geglu",
    };
    launch(cuda, kernel, gate, up, hidden.into_shared());
}

pub(super) fn gated_backward(cuda: &Cuda, gating: Gating, gate: PartMut<'_>, up: PartMut<'_>, hidden: PartMut<'_>) {
    let kernel = match gating {
        Gating::Swiglu => "swiglu_backward",
        Gating::Geglu => "geglu_backward",
    };
    launch(cuda, kernel, gate.into_shared(), up.into_shared(), hidden.into_shared());
}
