//! Operands as pairs of 16-bit integers, in the order in which the kernel reads them.

use super::scale::{MAGNITUDE, Scale, quantise};
use crate::engine::machine::{Pair, Simd, WIDTH};
use crate::engine::matmul::pack;

/// Squares of integers that 32 bits hold the sum of.
const SQUARES_IN_A_SUM: usize = 64;

/// A row `x` \[k\] as pairs, the last one with a zero where k is odd; its step.
#[inline(always)]
pub(super) fn row(x: &[f32], pairs: &mut [Pair]) -> f32 {
    let largest = x.iter().fold(0, |largest, x| (x.to_bits() & MAGNITUDE).max(largest));
    let finest = Scale::of(largest);
    let integers = pairs.as_flattened_mut();
    if let Some(last) = integers.get_mut(x.len()) {
        *last = 0;
    }
    let (scale, coarser) = finest.coarsened(integers_of(x, finest.up, integers));
    if coarser {
        for (x, q) in x.iter().zip(integers) {
            *q = quantise(*x, scale.up);
        }
    }
    scale.step
}

/// Numbers as integers, and the sum of their squares.
#[inline(always)]
fn integers_of(x: &[f32], up: f32, integers: &mut [i16]) -> u64 {
    let mut squares = 0;
    for (x, integers) in x.chunks(SQUARES_IN_A_SUM * WIDTH).zip(integers.chunks_mut(SQUARES_IN_A_SUM * WIDTH)) {
        let mut lanes = [0u32; WIDTH];
        let (chunks, rest) = x.as_chunks::<WIDTH>();
        let (to, to_rest) = integers.split_at_mut(chunks.len() * WIDTH);
        for (x, to) in chunks.iter().zip(to.as_chunks_mut::<WIDTH>().0) {
            for ((x, q), lane) in x.iter().zip(to).zip(&mut lanes) {
                *q = quantise(*x, up);
                *lane = lane.wrapping_add(square(*q));
            }
        }
        for ((x, q), lane) in rest.iter().zip(to_rest).zip(&mut lanes) {
            *q = quantise(*x, up);
            *lane = lane.wrapping_add(square(*q));
        }
        squares += lanes.iter().map(|lane| u64::from(*lane)).sum::<u64>();
    }
    squares
}

/// What is made of a number that is not finite may be anything: sums with it wrap around, and do not matter.
#[inline(always)]
fn square(q: i16) -> u32 {
    (i32::from(q) * i32::from(q)) as u32
}

/// Rows `x` \[rows × k\] as a panel of `width` rows, pair after pair of k; beyond the last row, zeros. The width is a multiple of
/// a vector's. `room` is as large as a panel.
#[inline(always)]
pub(super) fn rows<S: Simd>(
    simd: S,
    x: &[f32],
    ld: usize,
    k: usize,
    width: usize,
    room: &mut [Pair],
    panel: &mut [Pair],
    steps: &mut [f32],
) {
    let pairs = k.div_ceil(2);
    for (i, (step, room)) in steps.iter_mut().zip(room.chunks_exact_mut(pairs)).enumerate() {
        *step = row(&x[i * ld..][..k], room);
    }
    pack::rows(simd, room, pairs, pairs, steps.len(), width, panel);
}

/// Columns at a time: some cache lines of each row.
const STRIP: usize = 64;

/// Columns of `x` \[k × cols\] as panels of W columns, pair after pair of k; beyond the last column, zeros. Gives each column's
/// step.
#[inline(always)]
pub(super) fn columns<const W: usize>(x: &[f32], ld: usize, k: usize, panels: &mut [Pair], steps: &mut [f32]) {
    let strip = STRIP / W * W;
    let panels = panels.chunks_mut(strip * k.div_ceil(2));
    for (i, (steps, panels)) in steps.chunks_mut(strip).zip(panels).enumerate() {
        self::strip::<W>(&x[i * strip..], ld, k, panels, steps);
    }
}

/// At most [`STRIP`] columns.
#[inline(always)]
fn strip<const W: usize>(x: &[f32], ld: usize, k: usize, panels: &mut [Pair], steps: &mut [f32]) {
    let cols = steps.len();
    let mut largest = [0; STRIP];
    for p in 0..k {
        for (largest, x) in largest.iter_mut().zip(&x[p * ld..][..cols]) {
            *largest = (x.to_bits() & MAGNITUDE).max(*largest);
        }
    }
    let mut scales = largest.map(Scale::of);
    let mut squares = [0u64; STRIP];
    pack_strip::<W>(x, ld, k, cols, &scales.map(|scale| scale.up), panels, |sums| {
        for (squares, sum) in squares.iter_mut().zip(sums) {
            *squares += u64::from(std::mem::take(sum));
        }
    });
    let mut any = false;
    for (scale, squares) in scales.iter_mut().zip(squares) {
        let coarser;
        (*scale, coarser) = scale.coarsened(squares);
        any |= coarser;
    }
    if any {
        pack_strip::<W>(x, ld, k, cols, &scales.map(|scale| scale.up), panels, |_| ());
    }
    for (step, scale) in steps.iter_mut().zip(scales) {
        *step = scale.step;
    }
}

/// Writes a strip's pairs; `sums` takes the sums of squares of each column whenever they may not grow any further, and at the
/// end.
#[inline(always)]
fn pack_strip<const W: usize>(
    x: &[f32],
    ld: usize,
    k: usize,
    cols: usize,
    up: &[f32; STRIP],
    panels: &mut [Pair],
    mut sums: impl FnMut(&mut [u32; STRIP]),
) {
    let pairs = k.div_ceil(2);
    let panels = panels.as_chunks_mut::<W>().0;
    let mut line = [[0; 2]; STRIP];
    let mut squares = [0u32; STRIP];
    for p in 0..pairs {
        let first = &x[2 * p * ld..][..cols];
        let second = if 2 * p + 1 < k { &x[(2 * p + 1) * ld..][..cols] } else { &ZEROS[..cols] };
        let columns = first.iter().zip(second).zip(up);
        for ((((first, second), up), pair), squares) in columns.zip(&mut line).zip(&mut squares) {
            *pair = [quantise(*first, *up), quantise(*second, *up)];
            *squares = squares.wrapping_add(square(pair[0])).wrapping_add(square(pair[1]));
        }
        for (i, columns) in line.as_chunks::<W>().0.iter().enumerate().take(cols.div_ceil(W)) {
            panels[i * pairs + p] = *columns;
        }
        if (2 * p + 2).is_multiple_of(SQUARES_IN_A_SUM) || p + 1 == pairs {
            sums(&mut squares);
        }
    }
}

const ZEROS: [f32; STRIP] = [0.0; STRIP];
