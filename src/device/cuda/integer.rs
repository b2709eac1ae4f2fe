//! Launches of `kernels/integer_quantise.cu` and `kernels/integer_product.cu`.

use super::driver::{Arg, Grid};
use super::gpu::Cuda;
use crate::engine::integer::{LONGEST, PIECE, PLANES, Resident};
use crate::engine::linear::{Factor, TOKENS, blocks};
use crate::engine::matmul::Start;
use crate::engine::memory::{Part, PartMut};
use std::cell::OnceCell;
use std::ops::{Deref, Range};

/// Threads of a block of every kernel but the small product's.
const THREADS: u32 = 256;
/// Columns that a block quantises, and rows of them at most.
const STRIP: [usize; 2] = [32, PIECE];
/// Tiles of 256 × 128 below which a product is cut into twice as many: of more, each multiprocessor has one or two to do.
const FEW: usize = 216;
/// Up to this k a product is most of all the writing of C, which tiles of either size do: the larger ones, so that checks on
/// small matrices reach both.
const SHORT: usize = 256;

/// y = x · Wᵀ: x \[n × inner\], W \[out × inner\].
pub(super) fn linear(cuda: &Cuda, x: Factor<'_>, w: Factor<'_>, y: PartMut<'_>) {
    let (a, b) = (rows_of(cuda, x), rows_of(cuda, w));
    product(cuda, &a, &b, y, [x.rows(), w.rows(), x.inner()], Start::Zero);
}

/// dx (+)= dy · W: dy \[n × out\].
pub(super) fn linear_input_gradient(cuda: &Cuda, dy: Part<'_>, w: Factor<'_>, dx: PartMut<'_>, start: Start) {
    let (out, inner) = (w.rows(), w.inner());
    let a = rows(cuda, dy, out);
    let b = made(w.resident_columns(), || columns(cuda, w.values(), inner));
    let n = dx.len() / inner;
    product(cuda, &a, &b, dx, [n, inner, out], start);
}

/// dW += dyᵀ · x, block of tokens after block.
pub(super) fn linear_weight_gradient(
    cuda: &Cuda,
    x: Factor<'_>,
    dy: Part<'_>,
    tokens: Range<usize>,
    seq_len: usize,
    dw: PartMut<'_>,
) {
    let (n, inner) = (tokens.len(), x.inner());
    let out = dw.len() / inner;
    if n == 0 {
        return;
    }
    let cut = Blocks { tokens, seq_len };
    let a = columns_of_blocks(cuda, dy, out, &cut);
    let b = made(x.resident_columns(), || columns_of_blocks(cuda, x.values(), inner, &cut));
    let (count, depth) = (cut.count(), cut.depth());
    let tile = [128, 192];
    assert!(PLANES * count * depth * tile[1] <= i32::MAX as usize, "linear_weight_gradient: fewer than {n} tokens");
    let [at, a_steps, bt, b_steps] = [
        a.digits.part(..).address(),
        a.steps.part(..).address(),
        b.digits.part(..).address(),
        b.steps.part(..).address(),
    ]
    .map(Arg::Address);
    let [m, n, count, depth] = [out, inner, count, depth].map(Arg::size);
    let args = [at, a_steps, bt, b_steps, Arg::Address(dw.address()), m, n, count, depth];
    let shared = (80 << 10) + 4 * (tile[0] + tile[1]) as u32;
    cuda.launch("integer_gradient", Grid { blocks: [tiles(out, inner, tile), 1, 1], threads: THREADS, shared }, &args);
}

/// An operand that is kept for other products, or was made for one.
enum Digits<'a> {
    Kept(&'a Resident),
    Made(Resident),
}

impl Deref for Digits<'_> {
    type Target = Resident;

    fn deref(&self) -> &Resident {
        match self {
            Digits::Kept(resident) => resident,
            Digits::Made(resident) => resident,
        }
    }
}

fn made(kept: Option<&OnceCell<Resident>>, make: impl FnOnce() -> Resident) -> Digits<'_> {
    match kept {
        Some(cell) => Digits::Kept(cell.get_or_init(make)),
        None => Digits::Made(make()),
    }
}

fn rows_of<'a>(cuda: &Cuda, factor: Factor<'a>) -> Digits<'a> {
    made(factor.resident_rows(), || rows(cuda, factor.values(), factor.inner()))
}

/// Room for the digits of so many vectors, each of so many blocks.
fn room(cuda: &Cuda, vectors: usize, blocks: usize, depth: usize) -> Resident {
    Resident { digits: cuda.room(vectors * blocks * PLANES * depth), steps: cuda.room(vectors * blocks) }
}

/// Rows of x \[.. × k\].
fn rows(cuda: &Cuda, x: Part<'_>, k: usize) -> Resident {
    let (n, depth) = (x.len() / k, Resident::depth(k));
    let to = room(cuda, n, 1, depth);
    let [digits, steps] = [to.digits.part(..).address(), to.steps.part(..).address()].map(Arg::Address);
    let blocks = [u32::try_from(n).expect("a grid's blocks"), 1, 1];
    let args = [Arg::Address(x.address()), Arg::size(k), Arg::size(depth), digits, steps];
    cuda.launch("integer_quantise_rows", Grid { blocks, threads: THREADS, shared: 0 }, &args);
    to
}

/// A grid over strips of columns.
fn strips(cols: usize, pieces: usize) -> Grid {
    let blocks = [cols.div_ceil(STRIP[0]), pieces].map(|count| u32::try_from(count).expect("a grid's blocks"));
    Grid { blocks: [blocks[0], blocks[1], 1], threads: THREADS, shared: 0 }
}

/// Columns of x \[.. × cols\], in three launches over pieces of them.
fn columns(cuda: &Cuda, x: Part<'_>, cols: usize) -> Resident {
    let rows = x.len() / cols;
    let (depth, pieces) = (Resident::depth(rows), rows.div_ceil(STRIP[1]));
    let to = room(cuda, cols, 1, depth);
    let (largest, squares) = (cuda.room::<u32>(pieces * cols), cuda.room::<u64>(pieces * cols));
    let [digits, steps] = [to.digits.part(..).address(), to.steps.part(..).address()].map(Arg::Address);
    let [largest, squares] = [largest.part(..).address(), squares.part(..).address()].map(Arg::Address);
    let (x, size, grid) = (Arg::Address(x.address()), [cols, rows].map(Arg::size), strips(cols, pieces));
    cuda.launch("integer_column_largest", grid, &[x, size[0], size[1], largest]);
    cuda.launch("integer_column_squares", grid, &[x, size[0], size[1], largest, squares]);
    let args = [x, size[0], size[1], largest, squares, Arg::size(depth), digits, steps];
    cuda.launch("integer_column_digits", grid, &args);
    to
}

/// Tokens, counted from the first one of a sequence of `seq_len` on; they begin and end with a block.
struct Blocks {
    tokens: Range<usize>,
    seq_len: usize,
}

impl Blocks {
    fn count(&self) -> usize {
        blocks(self.tokens.clone(), self.seq_len).count()
    }

    /// Digits of a plane of a block, as many for each of them.
    fn depth(&self) -> usize {
        Resident::depth(TOKENS.min(self.seq_len))
    }
}

/// Columns of x \[tokens × cols\], block of tokens by block.
fn columns_of_blocks(cuda: &Cuda, x: Part<'_>, cols: usize, cut: &Blocks) -> Resident {
    let (count, depth) = (cut.count(), cut.depth());
    let to = room(cuda, cols, count, depth);
    let [digits, steps] = [to.digits.part(..).address(), to.steps.part(..).address()].map(Arg::Address);
    let skipped = cut.tokens.start % cut.seq_len;
    let [cols_, tokens, seq_len, skipped, depth] = [cols, cut.tokens.len(), cut.seq_len, skipped, depth].map(Arg::size);
    let args = [Arg::Address(x.address()), cols_, tokens, seq_len, skipped, depth, digits, steps];
    cuda.launch("integer_quantise_blocks", strips(cols, count), &args);
    to
}

fn tiles(m: usize, n: usize, tile: [usize; 2]) -> u32 {
    u32::try_from(m.div_ceil(tile[0]) * n.div_ceil(tile[1])).expect("a grid's blocks")
}

/// c \[m × n\] (+)= a · bᵀ; the sizes are m, n, k.
fn product(cuda: &Cuda, a: &Resident, b: &Resident, c: PartMut<'_>, [m, n, k]: [usize; 3], start: Start) {
    assert!(k <= LONGEST, "an integer product runs over at most {LONGEST} steps, not {k}");
    let wide = tiles(m, n, [256, 128]);
    let (kernel, grid) = match k <= SHORT || wide as usize >= FEW {
        true => ("integer_product", Grid { blocks: [wide, 1, 1], threads: THREADS, shared: 96 << 10 }),
        false => {
            let blocks = [tiles(m, n, [128, 128]), 1, 1];
            ("integer_product_small", Grid { blocks, threads: 128, shared: 48 << 10 })
        }
    };
    let [at, a_steps, bt, b_steps] = [
        a.digits.part(..).address(),
        a.steps.part(..).address(),
        b.digits.part(..).address(),
        b.steps.part(..).address(),
    ]
    .map(Arg::Address);
    let [m, n, depth, accumulate] = [m, n, Resident::depth(k), usize::from(start == Start::Accumulate)].map(Arg::size);
    cuda.launch(kernel, grid, &[at, a_steps, bt, b_steps, Arg::Address(c.address()), m, n, depth, accumulate]);
}
