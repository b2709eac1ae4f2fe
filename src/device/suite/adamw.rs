//! The optimiser's step on several tensors of flat arrays.

use super::case::{Case, Check, all};
use crate::engine::adamw::AdamwStep;
use crate::error::Result;

pub(super) const CHECKS: &[(&str, Check)] = &[("adamw", adamw)];

const STEP: AdamwStep = AdamwStep {
    clip: 0.7,
    beta1: 0.9,
    one_minus_beta1: 0.1,
    beta2: 0.95,
    one_minus_beta2: 0.05,
    bias1: 3.69,
    bias2_rsqrt: 2.65,
    eps: 1e-8,
    lr: 1e-3,
    decay: 0.9999,
};

fn adamw(case: &mut Case<'_>) -> Result<()> {
    let plain = AdamwStep { decay: 1.0, ..STEP };
    for infinite in [false, true] {
        // Tensors that begin anywhere, one after the other and with gaps between them; one without elements.
        let ends = [1, 5000, 4, 4096, 300].map(|most| case.up_to(most));
        let mut tensors = vec![(0..0, STEP)];
        let mut n = 0;
        for (i, length) in ends.into_iter().enumerate() {
            n += i;
            tensors.push((n..n + length, if i % 2 == 0 { STEP } else { plain }));
            n += length;
        }
        let [p, mut g, m] = [(); 3].map(|()| case.tensor(n));
        let v: Vec<f32> = case.tensor(n).iter().map(|v| v.abs()).collect();
        if infinite {
            for place in [2, 4].map(|tensor| tensors[tensor].0.clone()) {
                g[place.end - 1] = f32::INFINITY;
            }
        }
        let finite = tensors[..2].to_vec();
        case.compare(&format!("tensors of {ends:?}, infinite gradients: {infinite}"), |on| {
            let [mut p, g, mut m, mut v] = [&p, &g, &m, &v].map(|values| on.buffer(values));
            let mut stepped = Vec::new();
            // All of them up to the first that is not finite: what those after it become is not said.
            for tensors in [&finite, &tensors] {
                let moments = [m.part_mut(..), v.part_mut(..)];
                let first = on.adamw(tensors, p.part_mut(..), all(&g), moments)?;
                stepped.push(first.map_or(-1.0, |tensor| tensor as f32));
            }
            let first = on.buffer(&stepped);
            Ok(if infinite { vec![first] } else { vec![first, p, m, v] })
        })?;
    }
    Ok(())
}
