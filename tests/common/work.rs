//! A worker's round by the library, honest or not: update, leaves, and every state on the way.

use std::collections::BTreeMap;

use l402::artifact::{ArtifactKind, ChunkAt, Digest, Meta, Reader, Recipe, record};
use l402::codec::{Feedback, Update, compress_tensors};
use l402::data::{Assignment, BatchOrder, Shard};
use l402::engine::Engine;
use l402::error::Result;
use l402::fsio::Source;
use l402::model::{Model, ModelFolder, Plan};
use l402::optimizer::{Moments, RoundInput, State, StepReport, run_steps};
use l402::verify::{
    Audit, ChunkIndex, FeedbackOpener, Finding, Leaf, LeafLog, Leaves, OpenedChunk, OpenedLeaf, Openings, ReplayInput,
    Sampling, Segments, States, delta, delta_meta, finish_meta, open_leaves, replay, replay_sampled, write_chunks,
};

use super::World;

/// What one round of one worker is about, read from a world.
pub struct Bench {
    pub recipe: Recipe,
    pub folder: ModelFolder,
    pub model: Model,
    pub plan: Plan,
    pub assignment: Assignment,
    pub shard: Shard,
    pub before: Before,
}

/// What the round before left.
pub struct Before {
    pub moments: Option<Vec<u8>>,
    pub feedback: Option<Vec<u8>>,
    pub previous: Option<Vec<u8>>,
}

fn reader(name: &str, bytes: &[u8]) -> Reader {
    Reader::open(Source::bytes(name, bytes.to_vec()).unwrap()).unwrap()
}

fn feedback(bytes: &[u8]) -> Feedback {
    Feedback::open(Feedback::digest_of(reader("feedback", bytes)).unwrap(), reader("feedback", bytes)).unwrap()
}

/// A round's work as it was done: what is sent, and what can be shown of it.
pub struct Done {
    pub update: Vec<u8>,
    pub context: Leaves,
    pub leaves: Vec<Leaf>,
    /// By how many steps are done.
    pub states: BTreeMap<u32, State>,
    /// The error feedback before and after, as it is shown.
    pub feedback_before: Option<Vec<u8>>,
    pub feedback_after: Vec<u8>,
}

impl Bench {
    /// The worker's round `n` in a world where it was assigned and the rounds before were played.
    pub fn new(world: &World, n: u64, who: &str) -> Bench {
        let recipe = Recipe::load(&world.path("r.toml")).unwrap();
        let folder = ModelFolder::load(&world.path(&format!("theta-{n}"))).unwrap();
        let assignments: Vec<Assignment> = record::read(&world.path(&format!("{n}.assignments.jsonl"))).unwrap();
        let assignment = Assignment::find(&assignments, n, who).unwrap().clone();
        let shard = Shard::open(Source::open(&world.path(&format!("shards/{}", assignment.shard))).unwrap()).unwrap();
        let plan = Plan::of(&recipe, &folder.config, None, 1 << 30);
        let model = folder.model_of(&recipe, Engine::detect()).unwrap();
        let old = |kind: &str| (n > 0).then(|| world.bytes(&format!("{who}.{}.{kind}", n - 1)));
        let before = Before { moments: old("moments"), feedback: old("feedback"), previous: old("update") };
        Bench { recipe, folder, model, plan, assignment, shard, before }
    }

    pub fn replay_input(&self) -> ReplayInput<'_> {
        let Bench { recipe, folder, model, plan, assignment, shard, .. } = self;
        ReplayInput { recipe, folder, model, plan: *plan, assignment, shard }
    }

    pub fn segments(&self) -> Segments {
        Segments::of(&self.recipe)
    }

    /// The honest start: theta and the moments of the round before.
    pub fn start(&self) -> State {
        let layout = &self.folder.layout;
        let moments = self.before.moments.as_ref().map_or_else(
            || Moments::zero(layout),
            |bytes| Moments::read(Source::bytes("moments", bytes.clone()).unwrap(), layout).unwrap().1,
        );
        State { parameters: self.folder.parameters.to_vec().unwrap(), moments }
    }

    fn inner_in(&self) -> String {
        let layout = &self.folder.layout;
        let read = |bytes: &Vec<u8>| Moments::read(Source::bytes("m", bytes.clone()).unwrap(), layout).unwrap().2;
        self.before.moments.as_ref().map_or("zero".to_owned(), |bytes| read(bytes).to_string())
    }

    /// One honest inner step on a shard.
    pub fn step(&self, shard: &Shard, step: u32, state: State) -> (StepReport, State) {
        let order = BatchOrder::new(&self.assignment.order, shard.sequences());
        let Bench { recipe, model, plan, .. } = self;
        let round = self.assignment.round;
        let input = RoundInput { recipe, model, plan: *plan, shard, order: &order, round };
        let mut seen = None;
        let state = run_steps(&input, state, step..step + 1, |report, _| {
            seen = Some(report.clone());
            Ok(())
        })
        .unwrap();
        (seen.unwrap(), state)
    }

    /// The round as `each` takes its steps, sent and shown consistently: leaves of the states that there were, the
    /// codec's work on the delta that came out, with this error feedback.
    pub fn work(
        &self,
        start: State,
        feedback_before: Option<Vec<u8>>,
        each: impl FnMut(u32, State) -> (StepReport, State),
    ) -> Done {
        self.work_with(start, feedback_before, each, |_| {})
    }

    /// The same, with the leaves bent before they are committed to.
    pub fn work_with(
        &self,
        start: State,
        feedback_before: Option<Vec<u8>>,
        mut each: impl FnMut(u32, State) -> (StepReport, State),
        bend: impl FnOnce(&mut Vec<Leaf>),
    ) -> Done {
        let layout = &self.folder.layout;
        let mut meta = delta_meta(&self.recipe, &self.folder, &self.assignment, &self.shard, &self.inner_in()).unwrap();
        let context = Leaves::of(&self.recipe, &meta).unwrap();
        let mut log = LeafLog::new(layout, self.segments());
        let mut states = BTreeMap::from([(0, start.clone())]);
        let mut state = start;
        for step in 0..self.recipe.inner.steps {
            let (report, after) = each(step, state);
            log.observe(&report, &after);
            states.insert(step + 1, after.clone());
            state = after;
        }
        let mut leaves = log.leaves();
        bend(&mut leaves);
        finish_meta(&self.recipe, &mut meta, layout, &leaves, &state.moments).unwrap();
        let delta = delta(self.model.engine, &self.folder.parameters, state.parameters).unwrap();
        let tensors: Vec<_> =
            layout.tensors.iter().map(|t| (t.name.as_str(), &t.shape[..], &delta[t.range()])).collect();
        let state_in = feedback_before.as_deref().map(feedback);
        let done = compress_tensors(&self.recipe, &meta, &tensors, state_in, Vec::new()).unwrap();
        let update = done.update.to_bytes().unwrap().0;
        Done { update, context, leaves, states, feedback_before, feedback_after: done.state }
    }

    /// All steps as they should be.
    pub fn honest(&self) -> Done {
        self.work(self.start(), self.before.feedback.clone(), |step, state| self.step(&self.shard, step, state))
    }

    pub fn update(&self, bytes: &[u8]) -> Update {
        Update::open(&self.recipe, reader("update", bytes)).unwrap()
    }

    fn states(&self, whole: bool) -> States {
        let layout = &self.folder.layout;
        let moments = self.before.moments.as_ref().filter(|_| whole).map(|bytes| {
            let (_, moments, digest) = Moments::read(Source::bytes("m", bytes.clone()).unwrap(), layout).unwrap();
            (moments, digest)
        });
        States {
            moments,
            feedback: self.before.feedback.as_ref().filter(|_| whole).map(|bytes| feedback(bytes)),
            previous: self.before.previous.as_ref().map(|bytes| self.update(bytes)),
            shown: false,
        }
    }

    /// The whole replay's finding.
    pub fn replay(&self, update: &[u8]) -> Finding {
        replay(&self.replay_input(), self.states(true), &self.update(update), |_| {}).unwrap()
    }

    /// A sampled replay's, with what this work shows.
    pub fn sampled(&self, done: &Done, sampling: Sampling) -> Finding {
        self.sampled_with(done, sampling, |_| {})
    }

    /// The same, with what is shown bent first.
    pub fn sampled_with(&self, done: &Done, sampling: Sampling, bend: impl FnOnce(&mut InMemory<'_>)) -> Finding {
        let mut shown = InMemory::new(self, done, sampling);
        bend(&mut shown);
        let update = self.update(&done.update);
        replay_sampled(&self.replay_input(), self.states(false), &update, &sampling, &mut shown, |_| {}).unwrap()
    }

    /// Draws of this worker's round.
    pub fn audit<'a>(&'a self, run: &'a Digest, beacon: &'a Digest) -> Audit<'a> {
        Audit { run, round: self.assignment.round, worker: &self.assignment.worker, beacon }
    }
}

/// What a worker shows of its work, without files.
pub struct InMemory<'a> {
    pub leaves: Vec<OpenedLeaf>,
    pub states: &'a BTreeMap<u32, State>,
    pub bent_state: Option<State>,
    pub chunks: Vec<OpenedChunk>,
    pub feedback: Option<Vec<u8>>,
}

impl<'a> InMemory<'a> {
    fn new(bench: &Bench, done: &'a Done, sampling: Sampling) -> InMemory<'a> {
        let run = bench.recipe.digest();
        let audit = bench.audit(&run, &sampling.beacon);
        let drawn = audit.segments(sampling.segments, bench.segments().count());
        let lines = open_leaves(&done.context, &done.leaves, &drawn).unwrap();
        let lines: Vec<record::Line> = lines.lines().map(|line| record::Line::parse("leaves", line).unwrap()).collect();
        let layout = &bench.folder.layout;
        let index = ChunkIndex::new(layout);
        let at: Vec<ChunkAt> =
            audit.chunks(sampling.chunks, index.total).into_iter().map(|number| index.at(number)).collect();
        let opened = |bytes: &Vec<u8>| {
            let mut feedback = feedback(bytes);
            let mut opener = FeedbackOpener::new(layout, &at);
            layout.tensors.iter().for_each(|t| opener.push(&feedback.next(&t.name, &t.shape).unwrap()));
            opener.finish()
        };
        let feedback = done.feedback_before.clone();
        let mut before = done.feedback_before.as_ref().map(opened).into_iter().flatten();
        let after = opened(&done.feedback_after);
        let chunks = at
            .iter()
            .zip(after)
            .map(|(at, (_, after))| OpenedChunk { at: *at, before: before.next(), after })
            .collect();
        InMemory { leaves: record::select(&lines).unwrap(), states: &done.states, bent_state: None, chunks, feedback }
    }
}

impl Openings for InMemory<'_> {
    fn leaves(&mut self) -> Result<Vec<OpenedLeaf>> {
        Ok(self.leaves.clone())
    }

    fn state(&mut self, step: u32) -> Result<(Meta, State)> {
        Ok((Meta::default(), self.bent_state.take().unwrap_or_else(|| self.states[&step].clone())))
    }

    fn chunks(&mut self) -> Result<Reader> {
        let meta = Meta::new(ArtifactKind::Chunks);
        let bytes = write_chunks("chunks", Vec::new(), meta, &self.chunks)?;
        Ok(reader("chunks", &bytes))
    }

    fn feedback(&mut self) -> Result<Feedback> {
        Ok(feedback(self.feedback.as_ref().expect("it was carried on")))
    }

    fn bytes(&self) -> u64 {
        0
    }
}
