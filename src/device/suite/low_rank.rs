//! An adapter's part of a linear layer.

use super::case::{Case, Check, all};
use crate::engine::linear::Factor;
use crate::error::Result;

pub(super) const CHECKS: &[(&str, Check)] = &[("low_rank", low_rank)];

fn low_rank(case: &mut Case<'_>) -> Result<()> {
    for _ in 0..3 {
        let [n, inner, out, rank] = [90, 200, 150, 9].map(|most| case.up_to(most));
        let [x, a, b] = [n * inner, rank * inner, out * rank].map(|count| case.tensor(count));
        let [y, dy] = [(); 2].map(|()| case.tensor(n * out));
        case.compare(&format!("{n} rows of {inner}, {out} outputs, rank {rank}"), |on| {
            let [x, a, b, dy] = [&x, &a, &b, &dy].map(|values| on.buffer(values));
            let [mut u, mut du] = [(); 2].map(|()| on.zeros(n * rank));
            let mut y = on.buffer(&y);
            on.low_rank(Factor::new(all(&x), inner), Factor::new(all(&a), inner), 0.71, u.part_mut(..));
            on.low_rank_add(all(&u), Factor::new(all(&b), rank), y.part_mut(..));
            on.low_rank_backward(all(&dy), Factor::new(all(&b), rank), 0.71, du.part_mut(..));
            Ok(vec![u, y, du])
        })?;
    }
    Ok(())
}
