//! A linear layer's products in integers.

use super::case::{Case, Check, all};
use crate::engine::linear::{Arithmetic, Factor, Integers};
use crate::engine::matmul::Start;
use crate::error::Result;

pub(super) const CHECKS: &[(&str, Check)] = &[("integer", integer)];

/// Tokens of a sequence, sequences, inputs, outputs; what the inputs are multiplied by. More than a tile of each, several blocks of
/// tokens, products of either size of tiles, vectors whose squares do not fit and vectors of one number; some infinite, some of
/// subnormal numbers alone.
const SHAPES: [(usize, usize, [usize; 2], f32); 5] = [
    (7, 2, [1, 1], 1.0),
    (300, 2, [37, 41], 1.0),
    (150, 1, [270, 140], 1.0),
    (9, 1, [70, 20], 2e38),
    (40, 1, [70, 33], 1e-41),
];

fn integer(case: &mut Case<'_>) -> Result<()> {
    for (seq_len, sequences, [inner, out], factor) in SHAPES {
        let n = seq_len * sequences;
        let [x, w, dx, dw] = [n * inner, out * inner, n * inner, out * inner].map(|count| case.tensor(count));
        // A part that begins anywhere.
        let from = case.up_to(5);
        let dy = case.tensor(from + n * out);
        case.compare(
            &format!("{sequences} sequences of {seq_len}, {inner} inputs, {out} outputs, × {factor}"),
            |on| {
                let [mut x, w, dy] = [&x, &w, &dy].map(|values| on.buffer(values));
                on.scale(x.part_mut(..), factor);
                let dy = dy.part(from..);
                let mut outputs = Vec::new();
                // By themselves, and with integers that several products take.
                let mut kept = [Integers::of_inputs(sequences, seq_len), Integers::of_weights()];
                let [kept_x, kept_w] = &mut kept;
                let alone = (Factor::new(all(&x), inner), Factor::new(all(&w), inner));
                for (x, w) in [alone, (kept_x.of(all(&x), inner), kept_w.of(all(&w), inner))] {
                    let (mut y, mut dx, mut dw) = (on.zeros(n * out), on.buffer(&dx), on.buffer(&dw));
                    on.linear(Arithmetic::Integer, x, w, y.part_mut(..));
                    on.linear_input_gradient(Arithmetic::Integer, dy, w, dx.part_mut(..), Start::Accumulate);
                    on.linear_weight_gradient(Arithmetic::Integer, x, dy, 0..n, seq_len, dw.part_mut(..));
                    on.linear_input_gradient(Arithmetic::Integer, dy, w, dx.part_mut(..), Start::Accumulate);
                    outputs.extend([y, dx, dw]);
                }
                Ok(outputs)
            },
        )?;
    }
    Ok(())
}
