//! Sums, products and copies of elements.

use super::case::{Case, Check, all};
use crate::error::Result;

pub(super) const CHECKS: &[(&str, Check)] = &[("elementwise", elementwise)];

fn elementwise(case: &mut Case<'_>) -> Result<()> {
    for greatest in [1, 40, 5000, 100_000] {
        let n = case.up_to(greatest);
        let (x, y) = (case.tensor(n), case.tensor(n));
        // A part that begins anywhere: nothing is aligned on more than an element.
        let from = case.up_to(n) - 1;
        case.compare(&format!("{n} elements from {from} on"), |on| {
            let (x, mut acc, mut scaled) = (on.buffer(&x), on.buffer(&y), on.buffer(&x));
            let (mut sum, mut copied) = (on.zeros(n), on.buffer(&y));
            on.add(x.part(from..), acc.part(from..), sum.part_mut(from..));
            on.add_into(acc.part_mut(from..), x.part(from..));
            on.scale(scaled.part_mut(from..), -0.37);
            on.copy(all(&x), copied.part_mut(..));
            on.clear(copied.part_mut(from..));
            Ok(vec![sum, acc, scaled, copied])
        })?;
    }
    Ok(())
}
