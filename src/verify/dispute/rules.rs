//! What a leaf must say whatever the values are, and must fit in of the same party's other claims: who breaks a rule
//! loses by that alone.

use std::ops::Range;

use super::judge::{Begin, Judge};
use crate::verify::leaves::{Leaf, batches_digest};
use crate::verify::trace::sum_digest;

use crate::artifact::{Digest, canonical};

/// What is wrong with a leaf after these steps, if anything is.
pub(super) fn leaf(judge: &Judge<'_>, leaf: &Leaf, steps: Range<u32>) -> Option<String> {
    let batches = batches_digest(steps.clone().flat_map(|step| judge.batch(step)));
    let seen = judge.begin.optimizer_steps + u64::from(steps.end);
    let differs = |what: &str, expected: String, found: String| {
        (expected != found)
            .then(|| format!("leaf after {} steps: {what}: expected {expected}, found {found}", steps.end))
    };
    differs("step", steps.end.to_string(), leaf.step.to_string())
        .or_else(|| differs("optimizer_steps", seen.to_string(), leaf.optimizer_steps.to_string()))
        .or_else(|| differs("losses", steps.len().to_string(), leaf.losses_q32.len().to_string()))
        .or_else(|| differs("batches", batches.to_string(), leaf.batches.to_string()))
        .or_else(|| {
            let bad = leaf.losses_q32.iter().find(|loss| parse_loss(loss).is_none())?;
            let shown: String = bad.chars().take(50).collect();
            Some(format!("leaf after {} steps: a loss is no canonical number: {shown:?}", steps.end))
        })
}

/// What a segment's last step must have in common with the leaf that ends the segment.
pub(super) fn last_step(leaf: &Leaf, last: &Leaf) -> Option<String> {
    (Begin::claimed(leaf) != Begin::claimed(last))
        .then(|| format!("the segment's last step does not end in the leaf after {} steps", leaf.step))
}

/// The loss of the step at a place of its segment, as the leaf that ends the segment has it.
pub(super) fn loss_of(leaf: &Leaf, step: &Leaf, place: usize) -> Option<String> {
    let last = leaf.losses_q32.len().saturating_sub(1);
    let number = (leaf.step as usize).saturating_sub(1 + last.saturating_sub(place));
    (leaf.losses_q32.get(place) != step.losses_q32.first())
        .then(|| format!("step {number}: its loss is not the one in the leaf after {} steps", leaf.step))
}

/// What a trace must end in: the state and loss of its owner's own leaf.
pub(super) fn trace_end(leaf: &Leaf, outputs: &[Digest]) -> Option<String> {
    let loss = leaf.losses_q32.first().and_then(|loss| parse_loss(loss)).map(sum_digest);
    let parts = Begin::claimed(leaf).parts();
    let fits = outputs.len() == 4 && outputs[..3] == parts && Some(outputs[3]) == loss;
    (!fits).then(|| format!("the trace does not end in its own leaf after {} steps", leaf.step))
}

fn parse_loss(text: &str) -> Option<i128> {
    canonical::integer(text)
}
