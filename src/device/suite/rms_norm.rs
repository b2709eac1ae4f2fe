//! RMSNorm, its output again, and its gradients.

use super::case::{Case, Check};
use crate::device::operators::NormWeight;
use crate::error::Result;

pub(super) const CHECKS: &[(&str, Check)] = &[("rms_norm", rms_norm)];

fn rms_norm(case: &mut Case<'_>) -> Result<()> {
    let shapes =
        [(1, 1, 1), (3, 5, case.up_to(300)), (2, 65, 64), (1, 200, 100), (case.up_to(9), 7, 4 * case.up_to(80))];
    for (i, (sequences, seq_len, d)) in shapes.into_iter().enumerate() {
        let (rows, plus_one, from) = (sequences * seq_len, i % 2 == 1, i % 3);
        let [x, dy, dx] = [(); 3].map(|()| case.tensor(from + rows * d));
        let [weight, d_weight] = [(); 2].map(|()| case.tensor(from + d));
        case.compare(&format!("{sequences} sequences of {seq_len} rows of {d}, from {from} on"), |on| {
            let [x, dy, mut dx, weight, mut d_weight] =
                [&x, &dy, &dx, &weight, &d_weight].map(|values| on.buffer(values));
            let [mut y, mut again] = [(); 2].map(|()| on.zeros(from + rows * d));
            let mut rinv = on.zeros(rows);
            let norm = NormWeight { parameter: weight.part(from..), plus_one };
            let inputs = x.part(from..);
            on.rms_norm(inputs, norm, 1e-5, y.part_mut(from..), rinv.part_mut(..));
            on.rms_scale(inputs, norm, rinv.part(..), again.part_mut(from..));
            let all = [inputs, rinv.part(..), dy.part(from..)];
            on.rms_norm_backward(all, norm, seq_len, dx.part_mut(from..), Some(d_weight.part_mut(from..)));
            on.rms_norm_backward(all, norm, seq_len, dx.part_mut(from..), None);
            Ok(vec![y, again, rinv, dx, d_weight])
        })?;
    }
    Ok(())
}
