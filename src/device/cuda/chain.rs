//! The grid of kernels that chain columns over the rows of a sequence (`kernels/include/chain.cuh`).

use super::driver::Grid;

/// Columns of a block.
const COLUMNS: usize = 32;
/// Eight warps that load, and one that keeps the chains.
const THREADS: u32 = 288;

/// Blocks for this many sequences of rows of this width.
pub(super) fn grid(sequences: usize, width: usize) -> Grid {
    Grid::over(sequences * width.div_ceil(COLUMNS) * THREADS as usize, THREADS)
}
