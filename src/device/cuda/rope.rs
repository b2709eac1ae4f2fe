//! Launches of `kernels/rope.cu`.

use super::driver::{Arg, Grid};
use super::gpu::Cuda;
use crate::device::operators::Rope;
use crate::engine::memory::PartMut;

const THREADS: u32 = 256;
/// Threads of a row.
const WARP: usize = 32;

pub(super) fn rope(cuda: &Cuda, rope: &Rope, width: usize, x: PartMut<'_>, back: bool) {
    let (seq_len, head_dim) = (rope.table.seq_len(), rope.table.head_dim());
    assert!(width > 0 && width.is_multiple_of(head_dim), "rope: a row of {width} in heads of {head_dim}");
    assert!(x.len().is_multiple_of(width), "rope: whole rows of {width}");
    assert!(x.is_empty() || seq_len > 0, "rope: a table of at least one position");
    let rows = x.len() / width;
    let table = rope.device.as_ref().expect("a table that the device can read");
    let [cos, sin] = table.each_ref().map(|values| Arg::Address(values.part(..).address()));
    let sizes = [seq_len, head_dim, width].map(Arg::size);
    let to = Arg::Address(x.address());
    let args = [&[cos, sin], sizes.as_slice(), &[to, Arg::count(rows), Arg::Int(back.into())]].concat();
    cuda.launch("rope", Grid::over(rows * WARP, THREADS), &args);
}
