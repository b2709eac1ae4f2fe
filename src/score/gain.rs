//! Losses on held-out data, exact: per-token losses become 32.32 fixed point and add up in 128 bits (A8).

use crate::artifact::Digest;
use crate::data::{Gathered, Shard};
use crate::engine::philox;
use crate::error::{Error, Result};
use crate::model::{Batch, Fixed, Model, Plan, Workspace, sum_q32};

/// The held-out sequences of a round: all of them for `count` 0, else that many, drawn by the beacon.
pub fn draw_sequences(
    run: &Digest,
    round: u64,
    beacon: Option<&Digest>,
    count: u64,
    available: usize,
) -> Result<Vec<usize>> {
    if count == 0 || count >= available as u64 {
        return Ok((0..available).collect());
    }
    let beacon = beacon.ok_or_else(|| {
        Error::usage(format!(
            "the recipe scores on {count} of {available} held-out sequences, drawn by a beacon: none given"
        ))
        .hint("--beacon HEX, a value that nobody knew before the commitments were signed")
    })?;
    let purpose = Digest::of_parts("l402/score/held-out/1", &[&run.0, &round.to_le_bytes(), &beacon.0]);
    let mut drawn = philox::permutation(purpose.philox_key(), available);
    drawn.truncate(count as usize);
    drawn.sort_unstable();
    Ok(drawn)
}

/// The summed loss of each of these sequences in nats, 32.32 fixed point. `watch` is told of every micro-batch.
pub fn sequence_losses(
    model: &Model,
    plan: &Plan,
    workspace: &mut Workspace,
    parameters: &Fixed<'_>,
    shard: &Shard,
    sequences: &[usize],
    mut watch: impl FnMut(),
) -> Result<Vec<i128>> {
    let mut gathered = Gathered::default();
    let mut sums = Vec::with_capacity(sequences.len());
    for micro in sequences.chunks(plan.sequences) {
        shard.gather(micro, &mut gathered);
        let Gathered { tokens, mask, starts } = &gathered;
        let losses = model.losses(parameters, Batch { tokens, mask, starts }, workspace)?;
        for (losses, sequence) in losses.chunks(plan.seq_len).zip(micro) {
            sums.push(sum_q32(losses).map_err(|_| {
                let split = shard.info().split;
                Error::data(format!("the loss of {split} sequence {sequence} is not finite, or above 2^31"))
            })?);
        }
        watch();
    }
    Ok(sums)
}
