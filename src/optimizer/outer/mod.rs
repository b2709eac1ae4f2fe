//! The outer step: many updates become one direction by the recipe's rule, and theta moves against it (SparseLoCo,
//! 2508.15706; DiLoCo, 2311.08105).
//!
//! ```text
//! g      = rule(sent_1, ..., sent_n)             by ascending worker id (A8)
//! b'     = fma(mu, b, g)                         only with a momentum; b is +0 in the first round
//! d      = b', or fma(mu, b', g) with Nesterov's; g without a momentum
//! theta' = fma(-alpha, d, theta)
//! ```
//!
//! A rule is a file: its definition, its memory, what it does where there are too few updates for it. Sums over a tensor are
//! A3, those over tensors a chain by ascending name, averages multiply by the reciprocal of their number (A8).

mod centered_clip;
mod direction;
mod given;
mod krum;
mod mean;
mod median_norm;
mod momentum;
mod norms;
mod senders;
mod sign;
#[cfg(test)]
mod testing;
mod trimmed_mean;

use crate::artifact::recipe::{OuterRecipe, OuterRule};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::TensorSpec;

pub use direction::Direction;
use given::Given;
pub use given::Sent;
pub use momentum::Momentum;

/// Makes one of many: at least one update, of these tensors by ascending name.
pub fn aggregate(
    engine: Engine,
    recipe: &OuterRecipe,
    tensors: &[TensorSpec],
    sent: &mut dyn Sent,
) -> Result<Direction> {
    let mut given = Given::new(engine, tensors, sent);
    if given.count() == 0 {
        return Err(Error::bug("no update to aggregate"));
    }
    // What stands between operators of the engine is in the standard floating-point mode too.
    engine.define(|| match recipe.rule {
        OuterRule::Mean => mean::mean(&mut given).map(Direction::plain),
        OuterRule::Senders => senders::senders(&mut given).map(Direction::plain),
        OuterRule::MedianNorm => median_norm::median_norm(&mut given).map(Direction::plain),
        OuterRule::TrimmedMean => trimmed_mean::trimmed_mean(&mut given, recipe.faulty as usize),
        OuterRule::Krum => krum::krum(&mut given, recipe.faulty as usize, recipe.select as usize),
        OuterRule::CenteredClip => {
            centered_clip::centered_clip(&mut given, recipe.clip_iterations, recipe.clip_tau as f32)
                .map(Direction::plain)
        }
        OuterRule::Sign => sign::sign(&mut given).map(Direction::plain),
    })
}

/// How many updates a rule reads, each again counted, for whoever shows how far it is.
pub fn reads(recipe: &OuterRecipe, tensors: &[TensorSpec], count: usize) -> u64 {
    let grouped = || given::groups(tensors, count).len();
    let passes = match recipe.rule {
        OuterRule::Mean | OuterRule::Senders | OuterRule::Sign => 1,
        OuterRule::MedianNorm => 2,
        OuterRule::TrimmedMean => grouped(),
        OuterRule::Krum => grouped() + 1,
        OuterRule::CenteredClip => 2 * recipe.clip_iterations as usize,
    };
    (passes * count) as u64
}

/// Moves theta against a direction, through the momentum where the recipe has one: `momentum` is b before, and b' after.
pub fn descend(
    engine: Engine,
    recipe: &OuterRecipe,
    tensors: &[TensorSpec],
    theta: &mut [f32],
    mut direction: Vec<f32>,
    momentum: Option<&mut [f32]>,
) -> Result<()> {
    let (alpha, mu) = (recipe.lr as f32, recipe.momentum as f32);
    if let Some(buffer) = momentum {
        for tensor in tensors {
            let (buffer, direction) = (&mut buffer[tensor.range()], &mut direction[tensor.range()]);
            let mut next = direction.to_vec();
            engine.fma_into(&mut next, mu, buffer);
            buffer.copy_from_slice(&next);
            match recipe.nesterov {
                true => engine.fma_into(direction, mu, buffer),
                false => direction.copy_from_slice(buffer),
            }
        }
    }
    for tensor in tensors {
        let range = tensor.range();
        step(engine, &tensor.name, &mut theta[range.clone()], &direction[range], alpha)?;
    }
    Ok(())
}

/// The step of one tensor.
fn step(engine: Engine, tensor: &str, theta: &mut [f32], direction: &[f32], alpha: f32) -> Result<()> {
    engine.fma_into(theta, -alpha, direction);
    match engine.first_non_finite(theta) {
        None => Ok(()),
        Some(i) => Err(Error::data(format!("tensor {tensor}: element {i} is not finite after the outer step"))),
    }
}

/// One tensor's outer step by the plain mean, without a momentum. `sent` are the decoded updates by ascending worker id: the
/// bits of [`aggregate`] with [`OuterRule::Mean`] and [`descend`].
///
/// Without any update theta stays as it is.
pub fn outer_step(engine: Engine, tensor: &str, theta: &mut [f32], sent: Vec<Vec<f32>>, alpha: f32) -> Result<()> {
    let count = sent.len();
    let mut sent = sent.into_iter();
    let Some(mut sum) = sent.next() else { return Ok(()) };
    sent.for_each(|update| engine.add_into(&mut sum, &update));
    engine.scale(&mut sum, 1.0 / count as f32);
    step(engine, tensor, theta, &sum, alpha)
}

#[cfg(test)]
mod tests;
