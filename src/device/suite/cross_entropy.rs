//! Losses over a vocabulary, and their gradients.

use super::case::{Case, Check};
use crate::engine::cross_entropy::NO_TARGET;
use crate::error::Result;

pub(super) const CHECKS: &[(&str, Check)] = &[("cross_entropy", cross_entropy)];

fn cross_entropy(case: &mut Case<'_>) -> Result<()> {
    // Around the tiles of the kernel, and of no special size.
    let sizes = [(1, 1), (3, 31), (2, 3968), (2, 3969), (1, 8192), (case.up_to(6), case.up_to(20_000)), (20, 257)];
    for (tokens, vocabulary) in sizes {
        let from = case.up_to(4) - 1;
        let logits: Vec<f32> = case.tensor(from + tokens * vocabulary).iter().map(|z| z * 6.0).collect();
        let mut targets = case.tokens(tokens + 1, vocabulary);
        if tokens > 2 {
            targets[2] = NO_TARGET;
        }
        case.compare(&format!("{tokens} tokens, a vocabulary of {vocabulary}, from {from} on"), |on| {
            let (mut gradients, targets) = (on.buffer(&logits), on.ids(&targets));
            let [mut losses, mut alone] = [(); 2].map(|()| on.zeros(tokens));
            on.cross_entropy_loss(gradients.part(from..), vocabulary, &targets, 1..tokens + 1, alone.part_mut(..));
            let (z, scale) = (gradients.part_mut(from..), 0.013);
            on.cross_entropy(z, vocabulary, &targets, 1..tokens + 1, scale, losses.part_mut(..));
            Ok(vec![gradients, losses, alone])
        })?;
    }
    Ok(())
}
