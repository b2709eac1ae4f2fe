//! The work in dispute: any part of it is done again here.

use std::ops::Range;

use super::asked::Asked;
use crate::artifact::{Digest, Meta};
use crate::command::kept::last_kept;
use crate::data::BatchOrder;
use crate::error::Result;
use crate::optimizer::{Moments, RoundInput, State, run_steps};
use crate::ui::Ui;
use crate::verify::dispute::{Begin, Judge};
use crate::verify::trace::{Graph, Step, TraceFile, Value, operands, trace};
use crate::verify::{Leaf, LeafLog, Leaves, ReplayInput, Segments, delta_meta};

/// The work in dispute, and the means to do any part of it again.
pub(super) struct Bench<'a> {
    pub(super) asked: &'a Asked<'a>,
    input: &'a ReplayInput<'a>,
    /// Zero without.
    moments: Option<Moments>,
    order: BatchOrder,
    meta: Meta,
    pub(super) work: Leaves,
    pub(super) judge: Judge<'a>,
    pub(super) ui: &'a Ui,
}

impl<'a> Bench<'a> {
    pub(super) fn new(
        asked: &'a Asked<'a>,
        input: &'a ReplayInput<'a>,
        moments: Option<(Moments, Digest)>,
        ui: &'a Ui,
    ) -> Result<Bench<'a>> {
        let (moments, inner_in) = match moments {
            Some((moments, digest)) => (Some(moments), digest.to_string()),
            None => (None, "zero".to_owned()),
        };
        let meta = delta_meta(input.recipe, input.folder, input.assignment, input.shard, &inner_in)?;
        let work = Leaves::of(input.recipe, &meta)?;
        let order = BatchOrder::new(&input.assignment.order, input.shard.sequences());
        let layout = &input.folder.layout;
        let theta = input.folder.parameters.to_vec()?;
        let begin = match &moments {
            Some(moments) => Begin::new(layout, &theta, moments),
            None => Begin::new(layout, &theta, &Moments::zero(layout)),
        };
        drop(theta);
        let judge = Judge::new(input.recipe, input.model, input.shard, &order, work.clone(), begin);
        Ok(Bench { asked, input, moments, order, meta, work, judge, ui })
    }

    pub(super) fn segments(&self) -> Segments {
        self.work.segments()
    }

    /// The state before a step that is at hand: the last kept one at or before it, else the start of the round.
    fn start(&self, step: u32) -> Result<(u32, State)> {
        let folder = self.input.folder;
        if let Some(path) = self.asked.openings
            && let Some(kept) = last_kept(path, step, &self.meta, &folder.layout)?
        {
            return Ok(kept);
        }
        let moments = self.moments.clone().unwrap_or_else(|| Moments::zero(&folder.layout));
        Ok((0, State { parameters: folder.parameters.to_vec()?, moments }))
    }

    /// Runs these steps, and shows the states after those from `from` on to the log.
    fn run(&self, state: State, steps: Range<u32>, from: u32, log: &mut LeafLog<'_>) -> Result<State> {
        let ReplayInput { recipe, model, plan, assignment, shard, .. } = *self.input;
        let order = &self.order;
        let input = RoundInput { recipe, model, plan, shard, order, round: assignment.round };
        let bar = self.ui.progress("replay", steps.len() as u64);
        run_steps(&input, state, steps, |report, state| {
            bar.tick(format!("loss {:.3}", report.loss));
            if report.step >= from {
                log.follow(report, state)?;
            }
            Ok(())
        })
    }

    /// The state before step `to`; the states after steps from `from` on are shown to the log.
    fn before(&self, from: u32, to: u32, log: &mut LeafLog<'_>) -> Result<State> {
        let (first, state) = self.start(from)?;
        self.run(state, first..to, from, log)
    }

    /// All leaves of the round.
    pub(super) fn leaves(&self) -> Result<Vec<Leaf>> {
        let mut log = LeafLog::new(&self.input.folder.layout, self.segments());
        self.before(0, self.work.steps, &mut log)?;
        Ok(log.leaves())
    }

    fn every_step(&self) -> LeafLog<'a> {
        LeafLog::new(&self.input.folder.layout, self.judge.every_step().segments())
    }

    /// The states after each step of a segment.
    pub(super) fn segment(&self, segment: u32) -> Result<Vec<Leaf>> {
        let range = self.segments().range(segment);
        let mut log = self.every_step();
        self.before(range.start, range.end, &mut log)?;
        Ok(log.leaves())
    }

    /// The trace of a step, signed where that is asked for, and its graph.
    pub(super) fn trace(&self, at: u32) -> Result<(Graph, TraceFile)> {
        let segments = self.segments();
        let range = segments.range(at / segments.every);
        let graph = self.judge.graph(at);
        let mut log = self.every_step();
        let before = self.before(range.start, at, &mut log)?;
        let bar = self.ui.progress("trace", graph.len() as u64);
        let mut step = Step::new(self.input.model, &graph, self.input.shard, before);
        let values = trace(&graph, |operator, inputs| step.execute(operator, inputs), |done| bar.at(done as u64))?;
        drop(bar);
        let (report, after) = step.finish();
        log.observe(&report, &after);
        self.run(after, at + 1..range.end, at + 1, &mut log)?;
        let mut file = TraceFile::new(&self.work, log.leaves(), &graph, &values)?;
        (self.asked.sign)(&mut file)?;
        Ok((graph, file))
    }

    /// What an operator of a step reads.
    pub(super) fn operands(&self, graph: &Graph, place: usize) -> Result<Vec<Option<Value>>> {
        let before = self.before(graph.at.step, graph.at.step, &mut self.every_step())?;
        let bar = self.ui.progress("trace", place as u64);
        let mut step = Step::new(self.input.model, graph, self.input.shard, before);
        operands(graph, place, |operator, inputs| step.execute(operator, inputs), |done| bar.at(done as u64))
    }
}
