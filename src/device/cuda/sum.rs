//! Launches of `kernels/sum.cu`: A3 over blocks of whole tensors, level by level, all tensors in one launch a level.

use std::ops::Range;

use super::driver::{Arg, Grid};
use super::gpu::Cuda;
use super::tensors::{self, Entry};
use crate::engine::memory::{Buffer, Part, PartMut};
use crate::engine::sum::BLOCK;
use crate::error::Result;

const THREADS: u32 = 256;
/// Threads that sum a block.
const WARP: usize = 32;

/// The sums of the tensors' blocks, or of their squares.
fn block_sums(cuda: &Cuda, x: Part<'_>, table: &[Entry], blocks: usize, squares: bool) -> Buffer {
    let (on_device, sums) = (cuda.upload(table), cuda.room(blocks));
    let addresses = [x.address(), on_device.part(..).address(), sums.part(..).address()];
    let [x, entries, out] = addresses.map(Arg::Address);
    let args = [x, entries, Arg::size(table.len()), Arg::count(blocks), Arg::Int(squares.into()), out];
    cuda.launch("block_sums", Grid::over(blocks * WARP, THREADS), &args);
    sums
}

pub(super) fn tensor_sums_squares(cuda: &Cuda, flat: Part<'_>, tensors: &[Range<usize>]) -> Result<Vec<f32>> {
    assert!(tensors.iter().all(|tensor| tensor.end <= flat.len()), "sums of tensors of {} elements", flat.len());
    let filled = tensors.iter().filter(|tensor| !tensor.is_empty()).cloned();
    let (mut table, mut blocks) = tensors::entries(filled, BLOCK);
    let mut sums = block_sums(cuda, flat, &table, blocks, true);
    while blocks > table.len() {
        let own = table.iter().map(|entry| {
            let first = entry.first as usize;
            first..first + (entry.length as usize).div_ceil(BLOCK)
        });
        (table, blocks) = tensors::entries(own, BLOCK);
        sums = block_sums(cuda, sums.part(..), &table, blocks, false);
    }
    let mut values = vec![0.0; blocks];
    cuda.driver.copy_out(sums.part(..).address(), &mut values)?;
    let mut values = values.into_iter();
    // A tensor without elements has the sum +0.
    let sum = |tensor: &Range<usize>| if tensor.is_empty() { None } else { values.next() };
    Ok(tensors.iter().map(sum).map(Option::unwrap_or_default).collect())
}

/// `acc` and the sequences' parts, in their order.
pub(super) fn add_sequences(cuda: &Cuda, partials: Part<'_>, acc: PartMut<'_>) {
    let width = acc.len();
    let sequences = partials.len() / width;
    let [from, to] = [partials.address(), acc.address()].map(Arg::Address);
    let args = [from, Arg::size(sequences), Arg::size(width), to];
    cuda.launch("add_sequences", Grid::over(width, THREADS), &args);
}
