//! Replay: the whole submission again, from the signed assignment to the update's bytes, and the first difference.

use std::collections::BTreeMap;
use std::io::Write;

use super::difference::Difference;
use super::finding::{Finding, Verdict};
use super::leaves::{Leaf, LeafLog, Leaves};
use super::near::nearness;
use super::runner::{Runner, Straight};
use super::segments::Segments;
use crate::artifact::recipe::InnerState;
use crate::artifact::{ArtifactKind, Digest, Meta, Recipe};
use crate::codec::{Compressed, Feedback, Update, compress_tensors};
use crate::data::{Assignment, BatchOrder, Shard};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::{Layout, Model, ModelFolder, Parameters, Plan};
use crate::optimizer::{Moments, RoundInput, State, StepReport};

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
    /// Whether states that are not here are the ones that `previous` left, of which the worker shows what is drawn.
    pub shown: bool,
}

impl ReplayInput<'_> {
    /// The order of the shard's sequences.
    pub(super) fn order(&self) -> BatchOrder {
        BatchOrder::new(&self.assignment.order, self.shard.sequences())
    }

    /// The round's steps.
    pub(super) fn round<'a>(&'a self, order: &'a BatchOrder) -> RoundInput<'a> {
        let ReplayInput { recipe, model, plan, assignment, shard, .. } = *self;
        RoundInput { recipe, model, plan, shard, order, round: assignment.round }
    }
}

/// The metadata of the delta that a round's work makes; [`finish_meta`] adds the rest when the work is done.
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
pub fn delta(engine: Engine, theta: &Parameters, mut parameters: Vec<f32>) -> Result<Vec<f32>> {
    theta.each(|at, theta| engine.sub_from(&mut parameters[at..at + theta.len()], theta))?;
    Ok(parameters)
}

/// Metadata in the order in which differences are looked for.
const INPUTS: [&str; 8] = ["run", "round", "worker", "theta", "assignment", "shard", "inner_in", "feedback_in"];

/// What findings and scores call an input that the metadata has under this key.
pub fn input_name(key: &str) -> &str {
    match key {
        "run" => "recipe",
        "theta" => "model",
        "workers" => "set of updates",
        "inner_in" => "state (inner optimiser)",
        "feedback_in" => "state (error feedback)",
        other => other,
    }
}

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
    replay_by(input, states, update, None, &mut Straight(watch))
}

/// The same with who runs the steps, and within a tolerance where one is given ([`replay_near`]).
pub fn replay_by(
    input: &ReplayInput<'_>,
    states: States,
    update: &Update,
    tolerance_ppm: Option<u64>,
    runner: &mut impl Runner,
) -> Result<Finding> {
    let out = StatesOut { moments: &mut std::io::sink(), feedback: &mut std::io::sink() };
    match tolerance_ppm {
        None => whole(input, states, update, out, runner),
        Some(tolerance_ppm) => near(input, states, update, tolerance_ppm, out, runner),
    }
}

/// The same, with the successor states kept. Nothing is written where the inputs differ already.
pub fn replay_into(
    input: &ReplayInput<'_>,
    states: States,
    update: &Update,
    out: StatesOut<'_>,
    watch: impl FnMut(&StepReport),
) -> Result<Finding> {
    whole(input, states, update, out, &mut Straight(watch))
}

fn whole(
    input: &ReplayInput<'_>,
    mut states: States,
    update: &Update,
    out: StatesOut<'_>,
    runner: &mut impl Runner,
) -> Result<Finding> {
    let (steps, difference) = match recompute(input, &mut states, update, out, runner)? {
        Err(inputs) => (0, Some(inputs)),
        Ok(made) => (input.recipe.inner.steps, first_difference(&made, update)),
    };
    Ok(Finding::of(input, update, states.previous.as_ref(), steps.into(), difference))
}

/// Metadata that a foreign engine's work has digests of its own for. Nothing compares what they stand for, so a recipe that
/// lets near updates count carries no state on.
const FOREIGN: [&str; 4] = ["delta", "leaves", "inner_out", "feedback_out"];

/// Recomputes an update that a foreign engine may have made. What is not equal, but within the tolerance in every
/// tensor, is near; inputs and states must be the same all the same.
pub fn replay_near(
    input: &ReplayInput<'_>,
    states: States,
    update: &Update,
    tolerance_ppm: u64,
    watch: impl FnMut(&StepReport),
) -> Result<Finding> {
    replay_by(input, states, update, Some(tolerance_ppm), &mut Straight(watch))
}

fn near(
    input: &ReplayInput<'_>,
    mut states: States,
    update: &Update,
    tolerance_ppm: u64,
    out: StatesOut<'_>,
    runner: &mut impl Runner,
) -> Result<Finding> {
    let (mut steps, mut near, mut difference) = (input.recipe.inner.steps, None, None);
    match recompute(input, &mut states, update, out, runner)? {
        Err(inputs) => (steps, difference) = (0, Some(inputs)),
        Ok(made) if first_difference(&made, update).is_none() => {}
        Ok(made) => match nearness(input.recipe, &made.update, update, tolerance_ppm)? {
            Ok(within) => match metadata_differs(&made.update.header().metadata, update, &FOREIGN) {
                None => near = Some(within),
                beside => difference = beside,
            },
            Err(beyond) => difference = Some(beyond),
        },
    }
    let mut finding = Finding::of(input, update, states.previous.as_ref(), steps.into(), difference);
    if near.is_some() {
        finding.finding = Verdict::Near;
        finding.near = near;
    }
    Ok(finding)
}

/// The work again, from the inputs to the update; or the input in which the update differs already.
fn recompute<'o>(
    input: &ReplayInput<'_>,
    states: &mut States,
    update: &Update,
    out: StatesOut<'o>,
    runner: &mut impl Runner,
) -> Result<std::result::Result<Compressed<&'o mut dyn Write>, Difference>> {
    let mut meta = match Start::check(input, states, update)? {
        Err(difference) => return Ok(Err(difference)),
        Ok(start) => start.meta,
    };
    let layout = &input.folder.layout;
    let moments = states.moments.take().map_or_else(|| Moments::zero(layout), |(moments, _)| moments);
    let theta = &input.folder.parameters;
    let order = input.order();
    let mut log = LeafLog::new(layout, Segments::of(input.recipe));
    let state = State { parameters: theta.to_vec()?, moments };
    let state = runner.run(&input.round(&order), state, 0..input.recipe.inner.steps, &mut log)?;
    if input.recipe.inner.state == InnerState::Carry {
        state.moments.write("state", out.moments, Moments::meta_after(&meta), layout)?;
    }
    finish_meta(input.recipe, &mut meta, layout, &log.leaves(), &state.moments)?;
    let delta = delta(input.model.engine, theta, state.parameters)?;
    compress(input, &meta, &delta, states.feedback.take(), out.feedback).map(Ok)
}

/// Adds to a delta's metadata what is known when the work is done: the root over the leaves, and the state that it
/// leaves where the recipe carries it.
pub fn finish_meta(
    recipe: &Recipe,
    meta: &mut Meta,
    layout: &Layout,
    leaves: &[Leaf],
    moments: &Moments,
) -> Result<()> {
    let root = Leaves::of(recipe, meta)?.tree(leaves)?.root();
    if recipe.inner.state == InnerState::Carry {
        let digest = moments.digest(Moments::meta_after(meta), layout);
        meta.set("inner_out", digest);
    }
    meta.set("leaves", root);
    Ok(())
}

/// The update that a delta in memory makes.
pub(super) fn compress<W: Write>(
    input: &ReplayInput<'_>,
    meta: &Meta,
    delta: &[f32],
    feedback: Option<Feedback>,
    state: W,
) -> Result<Compressed<W>> {
    let layout = &input.folder.layout;
    let tensors: Vec<_> = layout.tensors.iter().map(|t| (t.name.as_str(), &t.shape[..], &delta[t.range()])).collect();
    compress_tensors(input.recipe, meta, &tensors, feedback, state)
}

/// The agreed beginning of a round's work.
pub(super) struct Start {
    /// The delta's metadata, as far as it is known before the work.
    pub meta: Meta,
}

impl Start {
    /// Whether the update says that it was made from what it should be made from; else the first difference.
    pub fn check(
        input: &ReplayInput<'_>,
        states: &States,
        update: &Update,
    ) -> Result<std::result::Result<Start, Difference>> {
        let zero = "zero".to_owned();
        let carries = input.recipe.inner.state == InnerState::Carry;
        let left = |key: &str| states.previous.as_ref().and_then(|u| u.meta().opt(key)).unwrap_or("zero").to_owned();
        let given = |digest: Option<Digest>, key: &str| match (digest, states.shown) {
            (Some(digest), _) => digest.to_string(),
            // What is drawn of it will be shown.
            (None, true) => left(key),
            (None, false) => zero.clone(),
        };
        let inner_in = given(states.moments.as_ref().map(|m| m.1), "inner_out");
        let feedback_in = given(states.feedback.as_ref().map(Feedback::digest), "feedback_out");
        let meta = delta_meta(input.recipe, input.folder, input.assignment, input.shard, &inner_in)?;
        let inner = carries.then(|| Difference::between("state (inner optimiser)", left("inner_out"), &inner_in));
        let feedback = || Difference::between("state (error feedback)", left("feedback_out"), &feedback_in);
        let inputs = || {
            let mut expected = meta.clone();
            expected.set("feedback_in", &feedback_in);
            let found = expected.first_difference(update.meta(), &INPUTS)?;
            Difference::between(input_name(found.key), found.expected, found.found)
        };
        let broken = inner.flatten().or_else(feedback).or_else(inputs);
        Ok(broken.map_or(Ok(Start { meta }), Err))
    }
}

pub(super) fn first_difference<W>(expected: &Compressed<W>, update: &Update) -> Option<Difference> {
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
    metadata_differs(&header.metadata, update, &[])
}

/// The first metadata in which an update is not as it should be, but for the keys `aside`.
pub(super) fn metadata_differs(
    expected: &BTreeMap<String, String>,
    update: &Update,
    aside: &[&str],
) -> Option<Difference> {
    let found = &update.meta().0;
    let aside: Vec<String> = aside.iter().map(|key| format!("l402.{key}")).collect();
    let text = |value: Option<&String>| value.map_or("none", String::as_str).to_owned();
    let keys = expected.keys().chain(found.keys()).filter(|key| !aside.contains(key));
    keys.map(|key| (key, text(expected.get(key)), text(found.get(key))))
        .find_map(|(key, ours, theirs)| Difference::between(&format!("metadata {key}"), ours, theirs))
}

impl Finding {
    /// What a replay of this work arrives at.
    pub fn of(
        input: &ReplayInput<'_>,
        update: &Update,
        previous: Option<&Update>,
        steps: u64,
        difference: Option<Difference>,
    ) -> Finding {
        let finding = if difference.is_none() { Verdict::Exact } else { Verdict::Mismatch };
        let (differs, expected, found) = match difference {
            Some(d) => (Some(printable(&d.what)), Some(printable(&d.expected)), Some(printable(&d.found))),
            None => (None, None, None),
        };
        Finding {
            run: input.recipe.digest(),
            round: input.assignment.round,
            worker: input.assignment.worker.clone(),
            update: update.digest(),
            previous: previous.map(Update::digest),
            state: None,
            finding,
            differs,
            expected,
            found,
            steps,
            sample: None,
            near: None,
            validator: None,
            sig: None,
        }
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
        state: None,
        finding: Verdict::Mismatch,
        differs: Some("the update is malformed".into()),
        expected: Some("a canonical update of the recipe's codec".into()),
        found: Some(printable(what)),
        steps: 0,
        sample: None,
        near: None,
        validator: None,
        sig: None,
    }
}

/// What another party wrote, cut and made fit for a record and a terminal.
fn printable(text: &str) -> String {
    let clean = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
    text.chars().take(160).map(clean).collect()
}
