//! A bias, and its gradient.

use super::case::{Case, Check, all};
use crate::error::Result;

pub(super) const CHECKS: &[(&str, Check)] = &[("bias", bias)];

fn bias(case: &mut Case<'_>) -> Result<()> {
    for quads in [false, true, false, true] {
        let [sequences, seq_len, width] = [3, 150, 80].map(|most| case.up_to(most));
        let (width, from) = if quads { (4 * width, 0) } else { (width, 1) };
        let n = sequences * seq_len * width;
        let [x, dy] = [(); 2].map(|()| case.tensor(from + n));
        let [values, gradient] = [(); 2].map(|()| case.tensor(from + width));
        case.compare(&format!("{sequences} sequences of {seq_len} rows of {width}"), |on| {
            let [mut x, dy, values, mut gradient] = [&x, &dy, &values, &gradient].map(|values| on.buffer(values));
            on.bias(values.part(from..), x.part_mut(from..));
            on.bias_backward(dy.part(from..), seq_len, gradient.part_mut(from..));
            Ok(vec![x, gradient])
        })?;
    }
    // More rows than a tile of the chains has.
    let (dy, rows) = (case.tensor(7 * 700), 700);
    case.compare("one sequence of 700 rows of 7", |on| {
        let (dy, mut gradient) = (on.buffer(&dy), on.zeros(7));
        on.bias_backward(all(&dy), rows, gradient.part_mut(..));
        Ok(vec![gradient])
    })
}
