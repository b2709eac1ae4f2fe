//! Replay: the whole submission again, from the signed assignment to the update's bytes, and the first difference.

use std::io::Write;

use crate::artifact::recipe::InnerState;
use crate::artifact::{ArtifactKind, Digest, Meta, Recipe};
use crate::codec::{Compressed, Feedback, Update, compress_tensors};
use crate::data::{Assignment, BatchOrder, Shard};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::{Model, ModelFolder, Plan};
use crate::optimizer::{Moments, RoundInput, StepReport, run_round};

use super::finding::{Difference, Finding, Verdict};

/// What the verifier holds: its own recipe, model and shard, and the signed assignment.
pub struct ReplayInput<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// The model at the start of the round.
    pub folder: &'a ModelFolder,
    /// The model's shape with an engine.
    pub model: &'a Model,
    /// The memory plan.
    pub plan: Plan,
    /// Whose work on what, as the coordinator signed it.
    pub assignment: &'a Assignment,
    /// The assigned shard.
    pub shard: &'a Shard,
}

/// The worker's states at the start of the round.
#[derive(Default)]
pub struct States {
    /// The inner optimiser's, with its digest; zero without.
    pub moments: Option<(Moments, Digest)>,
    /// The codec's; zero without.
    pub feedback: Option<Feedback>,
    /// The worker's last update that counted: its states are what this round must begin with. Without one, from zero.
    pub previous: Option<Update>,
}

/// The metadata of the delta that a round's work makes; `inner_out` is added when the work is done.
pub fn delta_meta(
    recipe: &Recipe,
    folder: &ModelFolder,
    assignment: &Assignment,
    shard: &Shard,
    inner_in: &str,
) -> Result<Meta> {
    let mut meta = Meta::new(ArtifactKind::Delta);
    meta.set("run", recipe.digest())
        .set("round", assignment.round)
        .set("worker", &assignment.worker)
        .set("theta", folder.digest)
        .set("shard", shard.digest())
        .set("assignment", assignment.digest()?);
    if recipe.inner.state == InnerState::Carry {
        meta.set("inner_in", inner_in);
    }
    Ok(meta)
}

/// The pseudo-gradient, theta minus the worker's parameters, in the latter's memory.
pub fn delta(engine: Engine, theta: &[f32], mut parameters: Vec<f32>) -> Vec<f32> {
    engine.sub_from(&mut parameters, theta);
    parameters
}

/// Metadata in the order in which differences are looked for, with the names that findings use.
const INPUTS: [(&str, &str); 7] = [
    ("run", "recipe"),
    ("round", "round"),
    ("worker", "worker"),
    ("theta", "model"),
    ("assignment", "assignment"),
    ("shard", "shard"),
    ("inner_in", "state (inner optimiser)"),
];

/// Where a replay leaves the states that the worker's next round begins with: the files that an honest worker has.
pub struct StatesOut<'a> {
    /// The inner optimiser's, where the recipe carries them.
    pub moments: &'a mut dyn Write,
    /// The codec's.
    pub feedback: &'a mut dyn Write,
}

/// Recomputes an update and compares it, every byte of it.
pub fn replay(
    input: &ReplayInput<'_>,
    states: States,
    update: &Update,
    watch: impl FnMut(&StepReport),
) -> Result<Finding> {
    let out = StatesOut { moments: &mut std::io::sink(), feedback: &mut std::io::sink() };
    replay_into(input, states, update, out, watch)
}

/// The same, with the successor states kept. Nothing is written where the inputs differ already.
pub fn replay_into(
    input: &ReplayInput<'_>,
    states: States,
    update: &Update,
    out: StatesOut<'_>,
    watch: impl FnMut(&StepReport),
) -> Result<Finding> {
    let zero = "zero".to_owned();
    let (moments, inner_in) = match states.moments {
        Some((moments, digest)) => (moments, digest.to_string()),
        None => (Moments::zero(&input.folder.layout), zero.clone()),
    };
    let feedback_in = states.feedback.as_ref().map_or(zero, |f| f.digest().to_string());
    let mut meta = delta_meta(input.recipe, input.folder, input.assignment, input.shard, &inner_in)?;
    let previous = states.previous.as_ref();
    let finding = |steps: u64, difference: Option<Difference>| finding(input, update, previous, steps, difference);
    let carries = input.recipe.inner.state == InnerState::Carry;
    let broken = chain_broken(previous, carries.then_some(&inner_in), &feedback_in);
    if let Some(difference) = broken.or_else(|| inputs_differ(&meta, &feedback_in, update)) {
        return Ok(finding(0, Some(difference)));
    }

    let order = BatchOrder::new(&input.assignment.order, input.shard.sequences());
    let round = RoundInput {
        recipe: input.recipe,
        model: input.model,
        plan: input.plan,
        shard: input.shard,
        order: &order,
        round: input.assignment.round,
    };
    let theta = &input.folder.parameters;
    let output = run_round(&round, theta.to_vec(), moments, watch)?;
    let layout = &input.folder.layout;
    if input.recipe.inner.state == InnerState::Carry {
        let (_, digest) = output.moments.write("state", out.moments, Moments::meta_after(&meta), layout)?;
        meta.set("inner_out", digest);
    }
    let delta = delta(input.model.engine, theta, output.parameters);
    let tensors: Vec<_> = layout.tensors.iter().map(|t| (t.name.as_str(), &t.shape[..], &delta[t.range()])).collect();
    let compressed = compress_tensors(input.recipe, &meta, &tensors, states.feedback, out.feedback)?;
    Ok(finding(input.recipe.inner.steps.into(), first_difference(&compressed, update)))
}

/// A state must be the one that the worker's last counting update left, else a forged one would pass for work.
fn chain_broken(previous: Option<&Update>, inner_in: Option<&String>, feedback_in: &str) -> Option<Difference> {
    let left = |key: &str| previous.map_or("zero", |update| update.meta().opt(key).unwrap_or("none"));
    let inner = inner_in.and_then(|found| Difference::between("state (inner optimiser)", left("inner_out"), found));
    inner.or_else(|| Difference::between("state (error feedback)", left("feedback_out"), feedback_in))
}

fn inputs_differ(expected: &Meta, feedback_in: &str, update: &Update) -> Option<Difference> {
    let says = |key: &str| update.meta().opt(key).unwrap_or("none").to_owned();
    let inputs = INPUTS
        .iter()
        .filter_map(|(key, what)| Difference::between(what, expected.opt(key).unwrap_or("none"), says(key)));
    let feedback = Difference::between("state (error feedback)", feedback_in, says("feedback_in"));
    inputs.chain(feedback).next()
}

fn first_difference<W>(expected: &Compressed<W>, update: &Update) -> Option<Difference> {
    let header = expected.update.header();
    for (info, payload) in header.tensors.iter().zip(expected.update.payloads()) {
        let what = format!("tensor {}", info.name);
        match update.payload(&info.name) {
            None => return Difference::between(&what, "present", "missing"),
            Some(found) if found != payload => {
                return Difference::between(&what, Digest::of(payload), Digest::of(found));
            }
            Some(_) => {}
        }
    }
    if let Some(name) = update.names().find(|name| header.tensor(name).is_none()) {
        return Difference::between(&format!("tensor {name}"), "none", "present");
    }
    let keys = header.metadata.keys().chain(update.meta().0.keys());
    for key in keys {
        let (ours, theirs) = (header.metadata.get(key), update.meta().0.get(key));
        let text = |value: Option<&String>| value.map_or("none", String::as_str).to_owned();
        if let Some(difference) = Difference::between(&format!("metadata {key}"), text(ours), text(theirs)) {
            return Some(difference);
        }
    }
    None
}

fn finding(
    input: &ReplayInput<'_>,
    update: &Update,
    previous: Option<&Update>,
    steps: u64,
    difference: Option<Difference>,
) -> Finding {
    let verdict = if difference.is_none() { Verdict::Exact } else { Verdict::Mismatch };
    let (differs, expected, found) = match difference {
        Some(d) => (Some(d.what), Some(printable(&d.expected)), Some(printable(&d.found))),
        None => (None, None, None),
    };
    Finding {
        run: input.recipe.digest(),
        round: input.assignment.round,
        worker: input.assignment.worker.clone(),
        update: update.digest(),
        previous: previous.map(Update::digest),
        finding: verdict,
        differs: differs.map(|what| printable(&what)),
        expected,
        found,
        steps,
    }
}

/// The finding on an update that cannot be read. `update` is the digest of what is there, `file` the name that `error`
/// may begin with.
pub fn malformed_finding(run: Digest, assignment: &Assignment, update: Digest, file: &str, error: &Error) -> Finding {
    let what = error.to_string();
    let what = what.strip_prefix(file).and_then(|what| what.strip_prefix(": ")).unwrap_or(&what);
    Finding {
        run,
        round: assignment.round,
        worker: assignment.worker.clone(),
        update,
        previous: None,
        finding: Verdict::Mismatch,
        differs: Some("the update is malformed".into()),
        expected: Some("a canonical update of the recipe's codec".into()),
        found: Some(printable(what)),
        steps: 0,
    }
}

/// What another party wrote, cut and made fit for a record and a terminal.
fn printable(text: &str) -> String {
    let clean = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
    text.chars().take(160).map(clean).collect()
}
