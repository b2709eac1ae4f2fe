//! Columns taken apart and put together.

use super::case::{Case, Check};
use crate::error::Result;

pub(super) const CHECKS: &[(&str, Check)] = &[("columns", columns)];

fn columns(case: &mut Case<'_>) -> Result<()> {
    for multiple in [1, 4, 1, 4] {
        let rows = case.up_to(70);
        let widths = [40, 10, 50].map(|most| multiple * case.up_to(most));
        let width: usize = widths.iter().sum();
        let from = case.up_to(4) - 1;
        let x = case.tensor(from + rows * width);
        case.compare(&format!("{rows} rows of {widths:?}, from {from} on"), |on| {
            let x = on.buffer(&x);
            let mut parts = widths.map(|width| on.zeros(from + rows * width));
            let mut joined = on.zeros(from + rows * width);
            let mut to: Vec<_> = parts.iter_mut().zip(widths).map(|(part, w)| (part.part_mut(from..), w)).collect();
            on.split_columns(x.part(from..), &mut to);
            // Put together in another order.
            let again: Vec<_> = parts.iter().zip(widths).rev().map(|(part, w)| (part.part(from..), w)).collect();
            on.join_columns(&again, joined.part_mut(from..));
            Ok(parts.into_iter().chain([joined]).collect())
        })?;
    }
    Ok(())
}
