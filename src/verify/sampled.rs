//! Sampled replay: the drawn segments again, from states that the worker opens, and the drawn codec chunks.
//!
//! The last segment is always among them. It ends in the worker's parameters, so delta, moments and whatever follows
//! from them are exact; what is left to chance is the other segments, and which codec chunks are looked at.

use std::collections::BTreeMap;
use std::io::sink;

use super::difference::Difference;
use super::finding::{Finding, Sample, Verdict};
use super::leaves::{Leaf, LeafLog, Leaves};
use super::openings::{ChunkIndex, OpenedChunk, OpenedLeaf, check_leaves, read_chunks, states_needed};
use super::replay::{ReplayInput, Start, States, compress, delta, first_difference, metadata_differs};
use super::runner::{Runner, Straight};
use super::segments::{Audit, Segments, missed_ppm, missed_segments_ppm};
use crate::artifact::chunks::Chunks;
use crate::artifact::recipe::InnerState;
use crate::artifact::{ArtifactKind, ChunkAt, Digest, Meta, Reader, chunk_hash, climb_chunk, digest_of, merkle};
use crate::codec::{Feedback, Shapes, Update, codec_for};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::optimizer::{Moments, Reach, State, StepReport};

/// How much is drawn, and by what.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// Nobody knew it when the commitments were signed.
    pub beacon: Digest,
    /// Segments, the last one among them.
    pub segments: u32,
    /// Codec chunks; of no concern where the whole error feedback is at hand.
    pub chunks: usize,
}

/// What the worker shows, read when it is needed.
pub trait Openings {
    /// The leaves at the ends of the drawn segments.
    fn leaves(&mut self) -> Result<Vec<OpenedLeaf>>;
    /// The state when this many steps are done.
    fn state(&mut self, step: u32) -> Result<(Meta, State)>;
    /// The file of drawn chunks.
    fn chunks(&mut self) -> Result<Reader>;
    /// The whole error feedback before the round, for codecs of which a chunk does not show everything.
    fn feedback(&mut self) -> Result<Feedback>;
    /// How many bytes have been opened so far.
    fn bytes(&self) -> u64;
}

/// Recomputes what the beacon draws of an update's work. What a worker opened that is malformed, or does not fit, is a
/// mismatch like other work; what cannot be read at all is an error.
pub fn replay_sampled(
    input: &ReplayInput<'_>,
    states: States,
    update: &Update,
    sampling: &Sampling,
    opened: &mut impl Openings,
    watch: impl FnMut(&StepReport),
) -> Result<Finding> {
    replay_sampled_by(input, states, update, sampling, opened, &mut Straight(watch))
}

/// The same with who runs the steps. What an earlier run had behind it was equal.
pub fn replay_sampled_by(
    input: &ReplayInput<'_>,
    mut states: States,
    update: &Update,
    sampling: &Sampling,
    opened: &mut impl Openings,
    runner: &mut impl Runner,
) -> Result<Finding> {
    states.shown = true;
    let segments = Segments::of(input.recipe);
    let index = ChunkIndex::new(&input.folder.layout);
    let run = input.recipe.digest();
    let (round, worker) = (input.assignment.round, input.assignment.worker.as_str());
    let audit = Audit { run: &run, round, worker, beacon: &sampling.beacon };
    let drawn = audit.segments(sampling.segments, segments.count());
    // The zero state is at hand without being shown. What is the whole tensor's is checked on the whole tensor.
    let by_chunk = codec_for(&input.recipe.codec).by_chunk().is_some();
    let whole_codec = states.feedback.is_some() || states.previous.is_none() || !by_chunk;
    let chunks: Vec<ChunkAt> = match whole_codec {
        true => Vec::new(),
        false => audit.chunks(sampling.chunks, index.total).into_iter().map(|number| index.at(number)).collect(),
    };
    let mut replay = Replay { input, update, segments, index: &index, opened, runner, steps: 0, whole_codec };
    let previous = states.previous.as_ref().map(Update::digest);
    let difference = match Start::check(input, &states, update)? {
        Err(difference) => Some(difference),
        Ok(start) => match replay.run(start.meta, states, &drawn, &chunks) {
            Ok(()) => None,
            Err(Stop::Differs(difference)) => Some(difference),
            // What others sent and cannot be used is their failure to show it.
            Err(Stop::Error(error)) if matches!(error.kind(), Kind::Data | Kind::Refused) => {
                let found = error.to_string();
                Some(Difference { what: "openings".into(), expected: "what was drawn".into(), found })
            }
            Err(Stop::Error(error)) => return Err(error),
        },
    };
    let holds = difference.is_none();
    let mut finding = Finding::of(input, update, None, replay.steps, difference);
    finding.previous = previous;
    if holds {
        finding.finding = Verdict::Sampled;
    }
    let checked = if whole_codec { index.total } else { chunks.len() } as u64;
    finding.sample = Some(sample(sampling, drawn, segments, checked, index.total as u64, replay.opened.bytes()));
    Ok(finding)
}

/// Numbers of cheated segments that a finding names the chance for, at the most.
const NAMED: u32 = 10;

fn sample(
    sampling: &Sampling,
    segments: Vec<u32>,
    cut: Segments,
    chunks: u64,
    of_chunks: u64,
    opened_bytes: u64,
) -> Sample {
    let (drawn, count) = (segments.len() as u32, cut.count());
    let missed_ppm_of = |bad| missed_segments_ppm(count, drawn, bad);
    let tens = std::iter::successors(Some(1u64), |bad| bad.checked_mul(10)).take_while(|bad| *bad <= of_chunks);
    Sample {
        beacon: sampling.beacon,
        segments,
        of_segments: count,
        chunks,
        of_chunks,
        opened_bytes,
        missed_ppm: (1..count.min(NAMED + 1)).map(missed_ppm_of).collect(),
        missed_chunks_ppm: tens.map(|bad| missed_ppm(of_chunks, chunks, bad)).collect(),
    }
}

/// Metadata that is compared for itself.
const COMPARED: [&str; 3] = ["delta", "feedback_in", "feedback_out"];

/// Why a replay ends early.
enum Stop {
    Differs(Difference),
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Error(error)
    }
}

type Step<T> = std::result::Result<T, Stop>;

/// Goes on where both are equal.
fn equal(what: impl Into<String>, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Step<()> {
    Difference::between(&what.into(), expected, found).map_or(Ok(()), |difference| Err(Stop::Differs(difference)))
}

struct Replay<'a, O, R> {
    input: &'a ReplayInput<'a>,
    update: &'a Update,
    segments: Segments,
    index: &'a ChunkIndex,
    opened: &'a mut O,
    runner: &'a mut R,
    steps: u64,
    whole_codec: bool,
}

impl<O: Openings, R: Runner> Replay<'_, O, R> {
    fn run(&mut self, mut meta: Meta, states: States, drawn: &[u32], chunks: &[ChunkAt]) -> Step<()> {
        let layout = &self.input.folder.layout;
        let root: Digest = self.update.meta().digest(self.update.file(), "leaves")?;
        let context = Leaves::of(self.input.recipe, &meta)?;
        let leaves = check_leaves(&context, &root, self.opened.leaves()?)?;

        let carried = meta.opt("inner_in").is_some_and(|inner| inner != "zero");
        self.steps_seen(&leaves, carried)?;
        let needed = states_needed(self.segments, drawn, carried && states.moments.is_none());
        let mut held: Option<(u32, State)> = None;
        let mut start = states.moments.map(|(moments, _)| moments);
        for &segment in drawn {
            let range = self.segments.range(segment);
            let before = match held.take() {
                Some((step, state)) if step == range.start => state,
                _ if needed.contains(&range.start) => {
                    let previous = states.previous.as_ref();
                    self.opened_state(range.start, segment, &leaves, &meta, previous)?
                }
                _ => {
                    let moments = start.take().unwrap_or_else(|| Moments::zero(layout));
                    State { parameters: self.input.folder.parameters.to_vec()?, moments }
                }
            };
            held = Some((range.end, self.segment(segment, before, &leaves)?));
        }

        let Some((_, state)) = held else { return Err(Error::bug("the last segment is always drawn").into()) };
        self.within_reach(self.segments.steps, &state)?;
        if self.input.recipe.inner.state == InnerState::Carry {
            let digest = state.moments.digest(Moments::meta_after(&meta), layout);
            equal("metadata l402.inner_out", digest, self.says("inner_out"))?;
            meta.set("inner_out", digest);
        }
        meta.set("leaves", root);
        drop(state.moments);
        let delta = delta(self.input.model.engine, &self.input.folder.parameters, state.parameters)?;
        let tensors: Vec<_> =
            layout.tensors.iter().map(|t| (t.name.as_str(), &t.shape[..], &delta[t.range()])).collect();
        equal("metadata l402.delta", digest_of(meta.0.clone(), &tensors), self.says("delta"))?;
        match (states.feedback, &states.previous) {
            (None, Some(previous)) if !self.whole_codec => self.codec_chunks(&meta, &delta, previous, chunks),
            (None, Some(_)) => {
                let shown = self.opened.feedback()?;
                equal("error feedback before", self.says("feedback_in"), shown.digest())?;
                self.codec_whole(&meta, &delta, Some(shown))
            }
            (feedback, _) => self.codec_whole(&meta, &delta, feedback),
        }
    }

    /// The moments have seen the steps of this round and, where they are carried, of whole rounds before it: bias
    /// corrections, and how far AdamW reaches, depend on it.
    fn steps_seen(&self, leaves: &BTreeMap<u32, Leaf>, carried: bool) -> Step<()> {
        let a_round = u64::from(self.segments.steps);
        let mut before: Option<u64> = None;
        for (index, leaf) in leaves {
            let seen = leaf.optimizer_steps.checked_sub(leaf.step.into());
            let fits = |seen: u64| match (carried, before) {
                (_, Some(before)) => seen == before,
                (false, None) => seen == 0,
                (true, None) => {
                    let most = self.input.assignment.round.saturating_mul(a_round);
                    (a_round..=most).contains(&seen) && seen.is_multiple_of(a_round)
                }
            };
            if !seen.is_some_and(fits) {
                let expected = "the steps of this round, and of whole rounds that were carried on".into();
                let found = leaf.optimizer_steps.to_string();
                return Err(Stop::Differs(Difference { what: format!("segment {index}: steps"), expected, found }));
            }
            before = seen;
        }
        Ok(())
    }

    fn says(&self, key: &str) -> &str {
        self.update.meta().opt(key).unwrap_or("none")
    }

    /// The state that the worker shows for the start of a segment: the one that its leaf commits to, or, before the first
    /// step, theta with the moments that its last update left.
    fn opened_state(
        &mut self,
        step: u32,
        segment: u32,
        leaves: &BTreeMap<u32, Leaf>,
        delta: &Meta,
        previous: Option<&Update>,
    ) -> Step<State> {
        let layout = &self.input.folder.layout;
        let (_, state) = self.opened.state(step)?;
        let what = format!("state at step {step}");
        if let Some(before) = segment.checked_sub(1) {
            let leaf = leaf(leaves, before)?;
            let parameters = merkle::root(layout.tensor_roots(&state.parameters));
            let [first, second] = state.moments.roots(layout);
            equal(format!("{what}: parameters"), leaf.parameters, parameters)?;
            equal(format!("{what}: first moments"), leaf.first, first)?;
            equal(format!("{what}: second moments"), leaf.second, second)?;
            equal(format!("{what}: steps"), leaf.optimizer_steps, state.moments.steps)?;
        } else {
            let mut same = true;
            self.input.folder.parameters.each(|at, theta| {
                same &= theta.iter().zip(&state.parameters[at..]).all(|(a, b)| a.to_bits() == b.to_bits());
            })?;
            let found = if same { "theta" } else { "others" };
            equal(format!("{what}: parameters"), "theta", found)?;
            let left = previous.map_or_else(Meta::default, |update| Moments::meta_after(update.meta()));
            let digest = state.moments.digest(left, layout);
            equal("state (inner optimiser)", delta.opt("inner_in").unwrap_or("none"), digest)?;
        }
        self.within_reach(step, &state)?;
        Ok(state)
    }

    /// No parameter is further from theta than AdamW can have moved it in these steps.
    fn within_reach(&self, step: u32, state: &State) -> Step<()> {
        let recipe = &self.input.recipe.inner;
        let seen = state.moments.steps.saturating_sub(step.into());
        let reach = Reach::new(recipe, self.input.assignment.round, step, seen);
        let mut beyond = None;
        self.input.folder.parameters.each(|at, theta| {
            let here = || reach.first_beyond(theta, &state.parameters[at..]).map(|i| (at + i, theta[i]));
            beyond = beyond.or_else(here);
        })?;
        let Some((i, theta)) = beyond else { return Ok(()) };
        let tensor = self.input.folder.layout.tensor_at(i);
        Err(Stop::Differs(Difference {
            what: format!("tensor {}: element {}", tensor.name, i - tensor.offset),
            expected: format!("within what {step} steps of AdamW can reach from {theta:?}"),
            found: format!("{:?}", state.parameters[i]),
        }))
    }

    /// Runs a segment and compares its leaf; returns the state at its end, which is of no matter where it lies behind: what goes
    /// on from it does too, or goes on from elsewhere.
    fn segment(&mut self, segment: u32, before: State, leaves: &BTreeMap<u32, Leaf>) -> Step<State> {
        let input = self.input;
        let order = input.order();
        let range = self.segments.range(segment);
        let mut log = LeafLog::new(&input.folder.layout, self.segments);
        self.steps += u64::from(range.end - range.start);
        if self.runner.is_behind(&range) {
            return Ok(before);
        }
        let state = self.runner.run(&input.round(&order), before, range, &mut log)?;
        let made = log.leaves().pop().ok_or_else(|| Error::bug("a segment ends in a leaf"))?;
        let found = leaf(leaves, segment)?;
        let what = |part: &str| format!("segment {segment}: {part}");
        equal(what("batches"), made.batches, found.batches)?;
        equal(what("losses"), made.losses_q32.join(" "), found.losses_q32.join(" "))?;
        equal(what("parameters"), made.parameters, found.parameters)?;
        equal(what("first moments"), made.first, found.first)?;
        equal(what("second moments"), made.second, found.second)?;
        equal(what("steps"), made.optimizer_steps, found.optimizer_steps)?;
        Ok(state)
    }

    /// The whole codec, where the verifier has the error feedback.
    fn codec_whole(&self, meta: &Meta, delta: &[f32], feedback: Option<Feedback>) -> Step<()> {
        let compressed = compress(self.input, meta, delta, feedback, sink())?;
        first_difference(&compressed, self.update).map_or(Ok(()), |difference| Err(Stop::Differs(difference)))
    }

    /// The drawn chunks: residual in, delta, sent, residual out. That the rest is a payload at all is seen without drawing it.
    fn codec_chunks(&mut self, delta_meta: &Meta, delta: &[f32], previous: &Update, drawn: &[ChunkAt]) -> Step<()> {
        let layout = &self.input.folder.layout;
        let zero = self.says("feedback_in") == "zero";
        let after = Feedback::meta_after(delta_meta, self.says("feedback_in"));
        let before = Feedback::meta_after(previous.meta(), previous.meta().opt("feedback_in").unwrap_or("none"));
        let mut expected = delta_meta.clone();
        let shapes = Shapes(layout.shapes().map(|(name, shape)| (name.to_owned(), shape.to_vec())).collect());
        expected.set("kind", ArtifactKind::Update).set("codec", self.says("codec")).set("shapes", shapes.to_json());
        let beside = metadata_differs(&expected.0, self.update, &COMPARED);
        beside.map_or(Ok(()), |difference| Err(Stop::Differs(difference)))?;
        let mut opened = match drawn {
            [] => Vec::new(),
            _ => read_chunks(self.opened.chunks()?, layout, drawn, zero)?,
        }
        .into_iter()
        .peekable();
        for (number, tensor) in layout.tensors.iter().enumerate() {
            let sent = self.update.decode(&tensor.name).map_err(|error| Difference {
                what: format!("tensor {}: sent", tensor.name),
                expected: "what the codec writes".into(),
                found: error.to_string(),
            });
            let sent = sent.map_err(Stop::Differs)?;
            while let Some(shown) = opened.next_if(|shown| shown.at.tensor == number) {
                self.codec_chunk(shown, &delta[tensor.range()], &sent, [&before, &after])?;
            }
        }
        Ok(())
    }

    /// One of them, of a tensor's `delta`, and what is `sent` of it. The metadata are those of the states before and after.
    fn codec_chunk(&self, shown: OpenedChunk, delta: &[f32], sent: &[f32], [before, after]: [&Meta; 2]) -> Step<()> {
        let OpenedChunk { at, before: residual, after: path } = shown;
        let layout = &self.input.folder.layout;
        let tensor = &layout.tensors[at.tensor];
        let what = |part: &str| format!("tensor {} chunk {}: {part}", tensor.name, at.chunk);
        let climbed = |hash, meta: &Meta, path: &[Digest]| {
            let root = climb_chunk(hash, at, self.index.count(at.tensor), layout.tensors.len(), path);
            root.map_or("no path".to_owned(), |root| meta.state_digest(&[root]).to_string())
        };
        let chunk = Chunks::new(&tensor.shape).get(at.chunk);
        let mut values: Vec<f32> = chunk.values(delta).collect();
        let residual = match residual {
            None => vec![0.0; values.len()],
            Some((residual, path)) => {
                let found = climbed(chunk_hash(residual.iter().copied()), before, &path);
                equal(what("error feedback before"), self.says("feedback_in"), found)?;
                residual
            }
        };
        let engine = Engine::detect();
        engine.fma_into(&mut values, self.input.recipe.codec.feedback as f32, &residual);
        if let Err(error) = self.update.check_chunk(&tensor.name, at.chunk, &values) {
            let found = error.to_string();
            return Err(Stop::Differs(Difference { what: what("sent"), expected: "as drawn".into(), found }));
        }
        let sent: Vec<f32> = chunk.values(sent).collect();
        engine.fma_into(&mut values, -1.0, &sent);
        let found = climbed(chunk_hash(values), after, &path);
        equal(what("error feedback after"), self.says("feedback_out"), found)
    }
}

fn leaf(leaves: &BTreeMap<u32, Leaf>, index: u32) -> Result<&Leaf> {
    leaves.get(&index).ok_or_else(|| Error::data(format!("leaf {index}: it was drawn, and is not shown")))
}
