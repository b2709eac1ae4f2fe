//! Launches of `kernels/adamw.cu`: every tensor in one.

use std::ops::Range;

use super::driver::{Arg, Grid};
use super::gpu::Cuda;
use super::tensors::{self, Entry};
use crate::engine::adamw::AdamwStep;
use crate::engine::memory::{Part, PartMut};
use crate::error::Result;

const THREADS: u32 = 256;
/// Elements of a block: four slices of 1024.
const BLOCK: usize = 4096;

/// The kernel's `SteppedTensor`.
#[repr(C)]
#[derive(Clone, Copy)]
struct SteppedTensor {
    tensor: Entry,
    step: [f32; 10],
}

/// The step's scalars, in the order of the kernel's structure.
fn scalars(step: &AdamwStep) -> [f32; 10] {
    let AdamwStep { clip, beta1, one_minus_beta1, beta2, one_minus_beta2, bias1, bias2_rsqrt, eps, lr, decay } = *step;
    [clip, beta1, one_minus_beta1, beta2, one_minus_beta2, bias1, bias2_rsqrt, eps, lr, decay]
}

pub(super) fn adamw(
    cuda: &Cuda,
    tensors: &[(Range<usize>, AdamwStep)],
    parameters: PartMut<'_>,
    gradients: Part<'_>,
    [first, second]: [PartMut<'_>; 2],
) -> Result<Option<usize>> {
    let n = parameters.len();
    assert_eq!([gradients.len(), first.len(), second.len()], [n; 3], "adamw: flat arrays of one length");
    assert!(tensors.iter().all(|(tensor, _)| tensor.end <= n), "adamw: tensors of {n} elements");
    let (entries, blocks) = tensors::entries(tensors.iter().map(|(tensor, _)| tensor.clone()), BLOCK);
    let steps = tensors.iter().map(|(_, step)| scalars(step));
    let table: Vec<_> = entries.into_iter().zip(steps).map(|(tensor, step)| SteppedTensor { tensor, step }).collect();
    let (table, not_finite) = (cuda.upload(&table), cuda.upload(&[u32::MAX]));
    let arrays = [parameters.address(), gradients.address(), first.address(), second.address()];
    let [p, g, m, v] = arrays.map(Arg::Address);
    let flag = not_finite.part(..).address();
    let args = [p, g, m, v, Arg::Address(table.part(..).address()), Arg::size(table.len()), Arg::Address(flag)];
    cuda.launch("adamw", Grid::over(blocks * THREADS as usize, THREADS), &args);
    let mut number = [u32::MAX];
    cuda.driver.copy_out(flag, &mut number)?;
    Ok((number[0] != u32::MAX).then_some(number[0] as usize))
}
