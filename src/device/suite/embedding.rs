//! Rows gathered from a table, and added to it.

use super::case::{Case, Check};
use crate::error::Result;

pub(super) const CHECKS: &[(&str, Check)] = &[("embedding", embedding)];

fn embedding(case: &mut Case<'_>) -> Result<()> {
    for (multiple, rows) in [(1, 60), (4, 60), (1, 2), (4, 1)] {
        let (width, count) = (multiple * case.up_to(150), case.up_to(150));
        let from = if multiple == 1 { 1 } else { 0 };
        let table = case.tensor(from + rows * width);
        let dx = case.tensor(from + count * width);
        let tokens = case.tokens(count + 3, rows);
        case.compare(&format!("{count} tokens of {rows}, rows of {width}, from {from} on"), |on| {
            let (table, tokens, dx) = (on.buffer(&table), on.ids(&tokens), on.buffer(&dx));
            let (mut x, mut gradient) = (on.zeros(from + count * width), on.zeros(from + rows * width));
            let range = 2..count + 2;
            on.embedding(table.part(from..), width, &tokens, range.clone(), x.part_mut(from..));
            on.embedding_backward(dx.part(from..), width, &tokens, range.clone(), gradient.part_mut(from..));
            // A second micro-batch adds to what the first left.
            on.embedding_backward(x.part(from..), width, &tokens, range, gradient.part_mut(from..));
            Ok(vec![x, gradient])
        })?;
    }
    Ok(())
}
