//! Operands as pairs of 16-bit integers, in the order in which the kernel reads them.

use super::bound::{Facts, LENGTHS, PIECE};
use super::scale::{MAGNITUDE, Scale, quantise};
use crate::engine::machine::{Pair, Simd, WIDTH};
use crate::engine::matmul::pack;

/// A row `x` \[k\] as pairs, the last one with a zero where k is odd; its step and facts.
#[inline(always)]
pub(super) fn row(x: &[f32], pairs: &mut [Pair]) -> (f32, Facts) {
    let largest = x.iter().fold(0, |largest, x| (x.to_bits() & MAGNITUDE).max(largest));
    let scale = Scale::of(largest);
    let integers = pairs.as_flattened_mut();
    if let Some(last) = integers.get_mut(x.len()) {
        *last = 0;
    }
    let pieces = x.chunks(PIECE).zip(integers.chunks_mut(PIECE)).map(|(x, integers)| {
        let mut lanes = [0.0; WIDTH];
        let (chunks, rest) = x.as_chunks::<WIDTH>();
        let (to, to_rest) = integers.split_at_mut(chunks.len() * WIDTH);
        for (x, to) in chunks.iter().zip(to.as_chunks_mut::<WIDTH>().0) {
            for ((x, to), lane) in x.iter().zip(to).zip(&mut lanes) {
                let (q, float) = quantise(*x, scale.up);
                *to = q;
                *lane += float * float;
            }
        }
        for ((x, to), lane) in rest.iter().zip(to_rest).zip(&mut lanes) {
            let (q, float) = quantise(*x, scale.up);
            *to = q;
            *lane += float * float;
        }
        lanes.iter().sum()
    });
    (scale.step, Facts::of_row(pieces, scale.step))
}

/// Rows `x` \[rows × k\] as panels of `width` rows, pair after pair of k; beyond the last row, zeros. The width is a multiple of
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
) -> Facts {
    let pairs = k.div_ceil(2);
    let mut facts = Facts::NONE;
    for (i, (step, room)) in steps.iter_mut().zip(room.chunks_exact_mut(pairs)).enumerate() {
        let of_row;
        (*step, of_row) = row(&x[i * ld..][..k], room);
        facts.join(&of_row);
    }
    pack::rows(simd, room, pairs, pairs, steps.len(), width, panel);
    facts
}

/// Columns at a time: some cache lines of each row.
const STRIP: usize = 64;

/// Columns of `x` \[k × cols\] as panels of W columns, pair after pair of k; beyond the last column, zeros. Gives each column's
/// step, and each panel's facts.
#[inline(always)]
pub(super) fn columns<const W: usize>(
    x: &[f32],
    ld: usize,
    k: usize,
    panels: &mut [Pair],
    steps: &mut [f32],
    facts: &mut [Facts],
) {
    let pairs = k.div_ceil(2);
    let strip = STRIP / W * W;
    let panels = panels.chunks_mut(strip * pairs).zip(facts.chunks_mut(strip / W));
    for (i, (steps, (panels, facts))) in steps.chunks_mut(strip).zip(panels).enumerate() {
        self::strip::<W>(&x[i * strip..], ld, k, panels, steps, facts);
    }
}

/// At most [`STRIP`] columns.
#[inline(always)]
fn strip<const W: usize>(
    x: &[f32],
    ld: usize,
    k: usize,
    panels: &mut [Pair],
    steps: &mut [f32],
    facts: &mut [Facts],
) {
    let (cols, pairs) = (steps.len(), k.div_ceil(2));
    let mut largest = [0; STRIP];
    for p in 0..k {
        for (largest, x) in largest.iter_mut().zip(&x[p * ld..][..cols]) {
            *largest = (x.to_bits() & MAGNITUDE).max(*largest);
        }
    }
    let mut up = [0.0; STRIP];
    for ((up, step), largest) in up.iter_mut().zip(steps.iter_mut()).zip(largest) {
        let scale = Scale::of(largest);
        (*up, *step) = (scale.up, scale.step);
    }
    let panels = panels.as_chunks_mut::<W>().0;
    let mut line = [[0; 2]; STRIP];
    let mut squares = Squares::default();
    for p in 0..pairs {
        let first = &x[2 * p * ld..][..cols];
        let second = if 2 * p + 1 < k { &x[(2 * p + 1) * ld..][..cols] } else { &ZEROS[..cols] };
        let columns = first.iter().zip(second).zip(&up);
        for ((((first, second), up), pair), squares) in columns.zip(&mut line).zip(&mut squares.open[0]) {
            let ((first, x), (second, y)) = (quantise(*first, *up), quantise(*second, *up));
            *pair = [first, second];
            *squares += x * x + y * y;
        }
        for (i, columns) in line.as_chunks::<W>().0.iter().enumerate().take(cols.div_ceil(W)) {
            panels[i * pairs + p] = *columns;
        }
        if (2 * p + 2).is_multiple_of(PIECE) || p + 1 == pairs {
            squares.piece_ends();
        }
    }
    for (i, facts) in facts.iter_mut().enumerate() {
        *facts = Facts::NONE;
        for j in i * W..((i + 1) * W).min(cols) {
            let of_column = squares.largest.map(|largest| largest[j]);
            facts.join(&Facts::of(of_column, steps[j]));
        }
    }
}

const ZEROS: [f32; STRIP] = [0.0; STRIP];

/// Sums of squares over pieces that follow each other, of a strip's columns.
struct Squares {
    pieces: usize,
    open: [[f32; STRIP]; LENGTHS],
    largest: [[f32; STRIP]; LENGTHS],
}

impl Default for Squares {
    #[inline(always)]
    fn default() -> Self {
        Squares { pieces: 0, open: [[0.0; STRIP]; LENGTHS], largest: [[0.0; STRIP]; LENGTHS] }
    }
}

impl Squares {
    #[inline(always)]
    fn piece_ends(&mut self) {
        self.pieces += 1;
        let piece = self.open[0];
        for i in 0..LENGTHS {
            for j in 0..STRIP {
                let open = if i == 0 { piece[j] } else { self.open[i][j] + piece[j] };
                let ends = i < LENGTHS - 1 && self.pieces.is_multiple_of(1 << i);
                self.open[i][j] = if ends { 0.0 } else { open };
                self.largest[i][j] = self.largest[i][j].max(open);
            }
        }
    }
}
