//! Launches of `kernels/columns.cu`.

use super::driver::{Arg, Grid};
use super::gpu::Cuda;
use crate::engine::memory::{Part, PartMut};

const THREADS: u32 = 256;
/// Threads of a row.
const WARP: usize = 32;

/// Columns of a matrix: where it begins, its width, the first column.
struct Columns(u64, usize, usize);

fn copy(cuda: &Cuda, from: Columns, to: Columns, width: usize, rows: usize) {
    let [from, to] = [from, to].map(|Columns(at, of, first)| [Arg::Address(at), Arg::size(of), Arg::size(first)]);
    let args = [from.as_slice(), &to, &[Arg::size(width), Arg::count(rows)]].concat();
    cuda.launch("copy_columns", Grid::over(rows * WARP, THREADS), &args);
}

pub(super) fn split_columns(cuda: &Cuda, x: Part<'_>, parts: &mut [(PartMut<'_>, usize)]) {
    let width: usize = parts.iter().map(|(_, width)| width).sum();
    let rows = x.len() / width;
    let mut first = 0;
    for (part, columns) in parts {
        assert_eq!(part.len(), rows * *columns, "split_columns: a part of {rows} rows of {columns}");
        copy(cuda, Columns(x.address(), width, first), Columns(part.address(), *columns, 0), *columns, rows);
        first += *columns;
    }
}

pub(super) fn join_columns(cuda: &Cuda, parts: &[(Part<'_>, usize)], x: PartMut<'_>) {
    let width: usize = parts.iter().map(|(_, width)| width).sum();
    let rows = x.len() / width;
    let mut first = 0;
    for &(part, columns) in parts {
        assert_eq!(part.len(), rows * columns, "join_columns: a part of {rows} rows of {columns}");
        copy(cuda, Columns(part.address(), columns, 0), Columns(x.address(), width, first), columns, rows);
        first += columns;
    }
}
