//! Rotary position embedding, and its transpose.

use super::case::{Case, Check};
use crate::engine::rope::RopeTable;
use crate::error::Result;

pub(super) const CHECKS: &[(&str, Check)] = &[("rope", rope)];

fn rope(case: &mut Case<'_>) -> Result<()> {
    for pairs_in_fours in [false, true, false, true] {
        let [sequences, seq_len, heads, pairs] = [3, 40, 4, 20].map(|most| case.up_to(most));
        let (half, from) = if pairs_in_fours { (4 * pairs, 0) } else { (pairs, 1) };
        let width = 2 * half * heads;
        let x = case.tensor(from + sequences * seq_len * width);
        case.compare(&format!("{sequences} sequences of {seq_len}, {heads} heads of {}", 2 * half), |on| {
            let table = on.rope_table(RopeTable::new(seq_len, 2 * half, 1e4, None));
            let [mut turned, mut back] = [(); 2].map(|()| on.buffer(&x));
            on.rope(&table, width, turned.part_mut(from..), false);
            on.rope(&table, width, back.part_mut(from..), true);
            Ok(vec![turned, back])
        })?;
    }
    Ok(())
}
