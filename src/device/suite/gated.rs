//! Gated units, and their gradients.

use super::case::{Case, Check};
use crate::device::operators::Gating;
use crate::error::Result;

pub(super) const CHECKS: &[(&str, Check)] = &[("gated", gated)];

fn gated(case: &mut Case<'_>) -> Result<()> {
    for gating in [Gating::Swiglu, Gating::Geglu] {
        for greatest in [1, 1024, 9000, 30_000] {
            let n = case.up_to(greatest);
            let from = case.up_to(5) - 1;
            // Gates over the whole range of the exponential.
            let gate: Vec<f32> = case.tensor(from + n).iter().map(|g| g * g * g * 15.0).collect();
            let [up, dh] = [(); 2].map(|()| case.tensor(from + n));
            case.compare(&format!("{gating:?}, {n} elements from {from} on"), |on| {
                let [mut gate, mut up, mut dh] = [&gate, &up, &dh].map(|values| on.buffer(values));
                let mut hidden = on.zeros(from + n);
                on.gated(gating, gate.part(from..), up.part(from..), hidden.part_mut(from..));
                on.gated_backward(gating, gate.part_mut(from..), up.part_mut(from..), dh.part_mut(from..));
                Ok(vec![hidden, gate, up, dh])
            })?;
        }
    }
    Ok(())
}
