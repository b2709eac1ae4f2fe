//! The three products of a linear layer.

use super::case::{Case, Check, all};
use crate::engine::linear::{Arithmetic, Factor};
use crate::engine::matmul::Start;
use crate::error::Result;

pub(super) const CHECKS: &[(&str, Check)] =
    &[("matmul_nn", matmul_nn), ("matmul_nt", matmul_nt), ("matmul_tn", matmul_tn)];

/// Tokens, outputs and inputs: ragged ones, and ones whose rows are on 16 bytes.
fn sizes(case: &mut Case<'_>) -> Vec<[usize; 3]> {
    let mut sizes = vec![[1; 3], [4, 8, 16], [140, 132, 36], [1400, 1148, 7]];
    sizes.extend(TILES.iter().flat_map(|&[m, n]| [[m, n, STEPS], [m, STEPS, n]]));
    for most in [9, 90, 150] {
        sizes.push([most, most, 2 * most].map(|most| case.up_to(most)));
        sizes.push([most, most, 2 * most].map(|most| case.up_to(most).next_multiple_of(4)));
    }
    sizes
}

/// Products that a GPU does in its tiles of 128 × 128, 128 × 64, 64 × 64 and 32 × 32, several of each, over several slabs of k and a
/// part of one.
const TILES: [[usize; 2]; 4] = [[300, 260], [300, 100], [100, 100], [60, 60]];
const STEPS: usize = 56;

/// Where a tensor begins in its buffer: anywhere, or where vectors do, as those of `TILES`.
fn beginnings(case: &mut Case<'_>, sizes: [usize; 3]) -> [usize; 3] {
    if sizes.contains(&STEPS) || case.up_to(2) == 1 { [0; 3] } else { [5; 3].map(|most| case.up_to(most) - 1) }
}

fn matmul_nt(case: &mut Case<'_>) -> Result<()> {
    for [n, out, inner] in sizes(case) {
        let [x_at, w_at, y_at] = beginnings(case, [n, out, inner]);
        let (x, w) = (case.tensor(x_at + n * inner), case.tensor(w_at + out * inner));
        case.compare(&format!("{n} × {out} × {inner}, from {x_at}, {w_at}, {y_at}"), |on| {
            let (x, w, mut y) = (on.buffer(&x), on.buffer(&w), on.zeros(y_at + n * out));
            let (x, w) = (Factor::new(x.part(x_at..), inner), Factor::new(w.part(w_at..), inner));
            on.linear(Arithmetic::Float, x, w, y.part_mut(y_at..));
            Ok(vec![y])
        })?;
    }
    Ok(())
}

fn matmul_nn(case: &mut Case<'_>) -> Result<()> {
    for [n, out, inner] in sizes(case) {
        let [dy_at, w_at, dx_at] = beginnings(case, [n, out, inner]);
        let (dy, w) = (case.tensor(dy_at + n * out), case.tensor(w_at + out * inner));
        let dx = case.tensor(dx_at + n * inner);
        case.compare(&format!("{n} × {inner} × {out}, from {dy_at}, {w_at}, {dx_at}"), |on| {
            let (dy, w, mut carried_on) = (on.buffer(&dy), on.buffer(&w), on.buffer(&dx));
            let mut begun = on.zeros(n * inner);
            let w = Factor::new(w.part(w_at..), inner);
            on.linear_input_gradient(Arithmetic::Float, dy.part(dy_at..), w, begun.part_mut(..), Start::Zero);
            let dx = carried_on.part_mut(dx_at..);
            on.linear_input_gradient(Arithmetic::Float, dy.part(dy_at..), w, dx, Start::Accumulate);
            Ok(vec![begun, carried_on])
        })?;
    }
    Ok(())
}

fn matmul_tn(case: &mut Case<'_>) -> Result<()> {
    for [out, inner, n] in sizes(case) {
        let [x_at, dw_at, _] = beginnings(case, [n, out, inner]);
        let (x, dy) = (case.tensor(x_at + n * inner), case.tensor(n * out));
        let dw = case.tensor(dw_at + out * inner);
        case.compare(&format!("{out} × {inner} × {n}, from {x_at}, 0, {dw_at}"), |on| {
            let (x, dy, mut dw) = (on.buffer(&x), on.buffer(&dy), on.buffer(&dw));
            let x = Factor::new(x.part(x_at..), inner);
            on.linear_weight_gradient(Arithmetic::Float, x, all(&dy), 0..n, n, dw.part_mut(dw_at..));
            Ok(vec![dw])
        })?;
    }
    Ok(())
}
