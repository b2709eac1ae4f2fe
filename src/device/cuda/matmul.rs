//! Launches of `kernels/matmul.cu`: which tile serves which product. The choice changes no bit.

use super::driver::{Arg, Grid};
use super::gpu::Cuda;
use crate::engine::matmul::Start;
use crate::engine::memory::{Part, PartMut};

/// A block's part of c, as the kernels' names say it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tile {
    rows: usize,
    cols: usize,
    /// Issue slots of a step of k for a warp, by the kernels' static figures (`kernels/figures.tsv`).
    step: f64,
    /// What a multiprocessor idles with one block of it on its own, as a share: warps that wait for each other and for memory.
    idle: f64,
    /// Kernels of the layouts nt, nn and tn.
    kernels: [&'static str; 3],
    /// Their dynamic shared memory.
    shared: [u32; 3],
}

const LARGE: Tile = Tile {
    rows: 128,
    cols: 128,
    step: 144.0,
    idle: 0.15,
    kernels: ["matmul_nt_128x128", "matmul_nn_128x128", "matmul_tn_128x128"],
    shared: [33_792, 33_280, 32_768],
};
const TALL: Tile = Tile {
    rows: 128,
    cols: 64,
    step: 74.0,
    idle: 0.3,
    kernels: ["matmul_nt_128x64", "matmul_nn_128x64", "matmul_tn_128x64"],
    shared: [25_600, 25_088, 24_576],
};
const MEDIUM: Tile = Tile {
    rows: 64,
    cols: 64,
    step: 39.0,
    idle: 0.6,
    kernels: ["matmul_nt_64x64", "matmul_nn_64x64", "matmul_tn_64x64"],
    shared: [26_112, 25_344, 24_576],
};
const SMALL: Tile = Tile {
    rows: 32,
    cols: 32,
    step: 14.0,
    idle: 1.0,
    kernels: ["matmul_nt_32x32", "matmul_nn_32x32", "matmul_tn_32x32"],
    shared: [36_864, 34_816, 32_768],
};
/// Up to this k a product is most of all the writing of c, which every tile does: its size alone says which, so that checks on small
/// matrices reach all of them on every GPU.
const SHORT: usize = 64;
/// Where rows do not begin on 16 bytes.
const SINGLY: Tile = Tile { kernels: ["matmul_nt_64x64", "matmul_nn_singly", "matmul_tn_singly"], ..MEDIUM };

impl Tile {
    fn blocks(self, m: usize, n: usize) -> usize {
        m.div_ceil(self.rows) * n.div_ceil(self.cols)
    }

    /// Issue slots of the multiprocessor with the most blocks, for a step of k.
    fn cost(self, m: usize, n: usize, multiprocessors: usize) -> f64 {
        let most = self.blocks(m, n).div_ceil(multiprocessors) as f64;
        most * self.step * (1.0 + self.idle / most)
    }

    /// The fastest for c \[m × n\].
    fn of(m: usize, n: usize, multiprocessors: usize) -> Tile {
        let cost = |tile: &Tile| tile.cost(m, n, multiprocessors);
        let tiles = [LARGE, TALL, MEDIUM, SMALL];
        tiles.into_iter().min_by(|a, b| cost(a).total_cmp(&cost(b))).expect("there are tiles")
    }

    /// The largest of which c \[m × n\] has more than one each way.
    fn within(m: usize, n: usize) -> Tile {
        [LARGE, TALL, MEDIUM].into_iter().find(|tile| m > tile.rows && n > tile.cols).unwrap_or(SMALL)
    }
}

#[derive(Clone, Copy)]
enum Layout {
    Nt,
    Nn,
    Tn,
}

/// c [m × n] (+)= a [m × k] · bᵀ, b [n × k]; the sizes are m, n, k.
pub(super) fn matmul_nt(cuda: &Cuda, a: Part<'_>, b: Part<'_>, c: PartMut<'_>, sizes: [usize; 3], start: Start) {
    product(cuda, Layout::Nt, a, b, c, sizes, start);
}

/// c [m × n] (+)= a [m × k] · b [k × n]; the sizes are m, n, k.
pub(super) fn matmul_nn(cuda: &Cuda, a: Part<'_>, b: Part<'_>, c: PartMut<'_>, sizes: [usize; 3], start: Start) {
    product(cuda, Layout::Nn, a, b, c, sizes, start);
}

/// c [m × n] (+)= aᵀ · b, a [k × m], b [k × n]; the sizes are m, n, k.
pub(super) fn matmul_tn(cuda: &Cuda, a: Part<'_>, b: Part<'_>, c: PartMut<'_>, sizes: [usize; 3], start: Start) {
    product(cuda, Layout::Tn, a, b, c, sizes, start);
}

fn product(cuda: &Cuda, layout: Layout, a: Part<'_>, b: Part<'_>, c: PartMut<'_>, [m, n, k]: [usize; 3], start: Start) {
    assert_eq!([a.len(), b.len(), c.len()], [m * k, n * k, m * n], "a product of {m} × {n} × {k}");
    let fours = |part: &Part<'_>, row: usize| row.is_multiple_of(4) && part.address().is_multiple_of(16);
    let together = match layout {
        Layout::Nt => true,
        Layout::Nn => fours(&b, n),
        Layout::Tn => fours(&a, m) && fours(&b, n),
    };
    let tile = match together {
        true if k <= SHORT => Tile::within(m, n),
        true => Tile::of(m, n, cuda.driver.multiprocessors()),
        false => SINGLY,
    };
    let blocks = u32::try_from(tile.blocks(m, n)).expect("a grid's blocks");
    let grid = Grid { blocks: [blocks, 1, 1], threads: 128, shared: tile.shared[layout as usize] };
    let [a, b, c] = [a.address(), b.address(), c.address()].map(Arg::Address);
    let accumulate = Arg::Int(i32::from(start == Start::Accumulate));
    let kernel = tile.kernels[layout as usize];
    cuda.launch(kernel, grid, &[a, b, c, Arg::size(m), Arg::size(n), Arg::size(k), accumulate]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_products_take_large_tiles_and_small_ones_all_of_the_gpu() {
        assert_eq!(Tile::of(8192, 4864, 132), LARGE);
        assert_eq!(Tile::of(16_384, 151_936, 108), LARGE);
        assert_eq!(Tile::of(7, 5, 108), SMALL);
        // 49 blocks of the largest tile would leave more than half of it idle, 7 of them nearly all of it.
        assert_ne!(Tile::of(896, 896, 132), LARGE);
        assert_eq!(Tile::of(128, 896, 132), SMALL);
    }
}
