//! `l402 replay --against`, `--trace`, `--transcript`: disputes with another party, down to one operator.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::common::open;
use super::kept::last_kept;
use crate::artifact::record::{Line, Record};
use crate::artifact::{Digest, Meta, Reader, record};
use crate::cli::OutputArgs;
use crate::codec::Update;
use crate::data::BatchOrder;
use crate::error::{Context, Error, Result};
use crate::optimizer::{Moments, RoundInput, State, run_steps};
use crate::ui::Ui;
use crate::verify::dispute::{
    Answer, Begin, ByDefinition, Files, Judge, Outcome, Party, Question, Ruling, Side, check_transcript, settle,
};
use crate::verify::trace::{
    Graph, OperandsOf, Step, TraceFile, TraceHead, Value, operands, read_operands, trace, write_operands,
};
use crate::verify::{Leaf, LeafLog, Leaves, ReplayInput, Segments, delta_meta};

/// A file of leaves may not be larger, in bytes.
const MAX_LEAVES: u64 = 1 << 28;

/// What of a dispute is asked for.
#[derive(clap::Args, Debug)]
pub struct DisputeArgs {
    /// Settle a dispute: the other party's leaves, and, when the step is known, its trace of that step. One's own leaves
    /// are `--leaves`, or are computed
    #[arg(long, value_name = "FILE", conflicts_with = "beacon")]
    against: Vec<PathBuf>,
    /// Write the trace of this inner step, counted from 0, for the other party
    #[arg(long, value_name = "STEP", conflicts_with_all = ["against", "beacon"])]
    trace: Option<u32>,
    /// With --trace: instead, write what this operator of the step reads, as safetensors
    #[arg(long, value_name = "N", requires = "trace")]
    operator: Option<usize>,
    /// Check the transcript of a dispute that others had: no step is run
    #[arg(long, value_name = "FILE", conflicts_with_all = ["against", "trace", "beacon"])]
    transcript: Option<PathBuf>,
    /// What the one operator reads, as --operator wrote it: for --transcript, to execute it; for --against, instead of
    /// computing it
    #[arg(long, value_name = "FILE")]
    operands: Option<PathBuf>,
}

impl DisputeArgs {
    /// Whether any of it is asked for.
    pub fn any(&self) -> bool {
        !self.against.is_empty() || self.trace.is_some() || self.transcript.is_some()
    }
}

/// What else the command line says.
pub struct Asked<'a> {
    /// What of a dispute is asked for.
    pub args: &'a DisputeArgs,
    /// The leaves of who asks.
    pub leaves: Option<&'a Path>,
    /// The folder of kept states, to begin at the last one before a step.
    pub openings: Option<&'a Path>,
    /// Where the trace, the operands or the transcript goes.
    pub output: &'a OutputArgs,
}

/// Does what is asked for about the work of this input, from these moments (zero without), with their state's digest.
pub fn run(
    asked: &Asked<'_>,
    input: &ReplayInput<'_>,
    moments: Option<(Moments, Digest)>,
    update: &Update,
    ui: &Ui,
) -> Result<()> {
    if asked.args.operands.is_some() && asked.args.trace.is_some() {
        return Err(Error::usage("--operands: for --against or --transcript"));
    }
    let bench = Bench::new(asked, input, moments, ui)?;
    match (&asked.args.transcript, asked.args.trace) {
        (Some(path), _) => check(&bench, path, update),
        (None, Some(step)) => write(&bench, step),
        (None, None) => dispute(&bench, update),
    }
}

/// The work in dispute, and the means to do any part of it again.
struct Bench<'a> {
    asked: &'a Asked<'a>,
    input: &'a ReplayInput<'a>,
    /// Zero without.
    moments: Option<Moments>,
    order: BatchOrder,
    meta: Meta,
    work: Leaves,
    judge: Judge<'a>,
    ui: &'a Ui,
}

impl<'a> Bench<'a> {
    fn new(
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
        let begin = match &moments {
            Some(moments) => Begin::new(layout, &input.folder.parameters, moments),
            None => Begin::new(layout, &input.folder.parameters, &Moments::zero(layout)),
        };
        let judge = Judge::new(input.recipe, input.model, input.shard, &order, work.clone(), begin);
        Ok(Bench { asked, input, moments, order, meta, work, judge, ui })
    }

    fn segments(&self) -> Segments {
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
        Ok((0, State { parameters: folder.parameters.to_vec(), moments }))
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
                log.observe(report, state);
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
    fn leaves(&self) -> Result<Vec<Leaf>> {
        let mut log = LeafLog::new(&self.input.folder.layout, self.segments());
        self.before(0, self.work.steps, &mut log)?;
        Ok(log.leaves())
    }

    fn every_step(&self) -> LeafLog<'a> {
        LeafLog::new(&self.input.folder.layout, self.judge.every_step().segments())
    }

    /// The states after each step of a segment.
    fn segment(&self, segment: u32) -> Result<Vec<Leaf>> {
        let range = self.segments().range(segment);
        let mut log = self.every_step();
        self.before(range.start, range.end, &mut log)?;
        Ok(log.leaves())
    }

    /// The trace of a step, and its graph.
    fn trace(&self, at: u32) -> Result<(Graph, TraceFile)> {
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
        let file = TraceFile::new(&self.work, log.leaves(), &graph, &values)?;
        Ok((graph, file))
    }

    /// What an operator of a step reads.
    fn operands(&self, graph: &Graph, place: usize) -> Result<Vec<Option<Value>>> {
        let before = self.before(graph.at.step, graph.at.step, &mut self.every_step())?;
        let bar = self.ui.progress("trace", place as u64);
        let mut step = Step::new(self.input.model, graph, self.input.shard, before);
        operands(graph, place, |operator, inputs| step.execute(operator, inputs), |done| bar.at(done as u64))
    }
}

/// Writes a trace, or an operator's operands.
fn write(bench: &Bench<'_>, step: u32) -> Result<()> {
    let steps = bench.work.steps;
    if step >= steps {
        return Err(Error::usage(format!("--trace: expected a step from 0 to {}, found {step}", steps - 1)));
    }
    let target = bench.asked.output.target();
    let Some(place) = bench.asked.args.operator else {
        let (graph, file) = bench.trace(step)?;
        let lines = file.lines(&graph).collect::<Result<Vec<_>>>()?;
        return target.write_text(&lines.concat()).map(drop);
    };
    let graph = bench.judge.graph(step);
    let operator = graph.operators.get(place).ok_or_else(|| {
        Error::usage(format!("--operator: expected a number from 0 to {}, found {place}", graph.len() - 1))
    })?;
    if operator.kind.is_source() || operator.kind.works_on_digests() {
        return Err(Error::usage(format!("--operator: {}: reads no values: hashes decide", operator.describe())));
    }
    target.check(true)?;
    let values = bench.operands(&graph, place)?;
    let of = OperandsOf { graph: graph.digest(), operator: place };
    let (out, _) = write_operands(&target.name(), target.create()?, of, &graph, &values)?;
    out.finish().map(drop)
}

/// Checks a transcript.
fn check(bench: &Bench<'_>, path: &Path, update: &Update) -> Result<()> {
    let name = path.display().to_string();
    let bytes = open(path)?.read_to_end(MAX_LEAVES)?;
    let text = String::from_utf8(bytes).map_err(|_| Error::data(format!("{name}: not UTF-8")))?;
    let file = bench.asked.args.operands.as_deref();
    let mut from_file = |graph: &Graph, place: usize| read_from(file, graph, place);
    let checked = check_transcript(&bench.judge, &name, &text, file.is_some().then_some(&mut from_file))?;
    is_about(update, checked.roots)?;
    tell(bench, &checked.ruling);
    bench.ui.say(match checked.proven {
        true => format!("{name}: holds: {} is right", checked.ruling.stands),
        false => format!(
            "{name}: holds, if operator {} of step {} writes what the ruling says: --operands executes it",
            checked.ruling.operator.unwrap_or_default(),
            checked.ruling.step.unwrap_or_default()
        ),
    });
    Ok(())
}

fn read_from(file: Option<&Path>, graph: &Graph, place: usize) -> Result<Vec<Option<Value>>> {
    let path = file.ok_or_else(|| Error::usage("expected --operands"))?;
    read_operands(Reader::open(open(path)?)?, OperandsOf { graph: graph.digest(), operator: place }, graph)
}

/// One of the two must be whoever made the update.
fn is_about(update: &Update, roots: [Digest; 2]) -> Result<()> {
    match update.meta().opt("leaves") {
        Some(root) if !roots.iter().any(|ours| ours.to_string() == root) => Err(Error::refused(format!(
            "expected a party whose leaves are the update's, with root {root}, found {} and {}",
            roots[0], roots[1]
        ))),
        _ => Ok(()),
    }
}

/// Settles the dispute between who asks (a) and the other party (b).
fn dispute(bench: &Bench<'_>, update: &Update) -> Result<()> {
    let theirs = theirs(bench)?;
    let leaves = match bench.asked.leaves {
        Some(path) => read_leaves(bench, path)?,
        None => bench.leaves()?,
    };
    let mut ours = Own { bench, files: Some(Files::new(&bench.work, leaves)?) };
    is_about(update, [ours.root(), theirs.root()])?;
    let mut theirs = theirs;
    let mut referee = ByDefinition(|graph: &Graph, place: usize| {
        let values = match &bench.asked.args.operands {
            Some(path) => read_from(Some(path), graph, place)?,
            None => bench.operands(graph, place)?,
        };
        Ok(Some(values))
    });
    match settle(&bench.judge, &mut ours, &mut theirs, &mut referee)? {
        Outcome::Agreed => {
            bench.ui.say("both parties have the same leaves: there is nothing to dispute");
            Ok(())
        }
        Outcome::Awaited { question, .. } => Err(Error::try_again(match question {
            Question::Trace { step } => format!("step {step} differs: awaited is the other party's trace of it"),
            Question::Steps { segment } => {
                let range = bench.segments().range(segment);
                format!(
                    "a step from {} to {} differs: awaited is the other party's trace of one",
                    range.start,
                    range.end - 1
                )
            }
            other => format!("awaited is the other party's answer to {other:?}"),
        })
        .hint("`replay --trace STEP` writes it; it is given as a further --against")),
        Outcome::Operands { step, operator } => {
            Err(Error::bug(format!("step {step}: operator {operator} without operands")))
        }
        Outcome::Settled(settled) => {
            bench.asked.output.target().write_text(&settled.transcript)?;
            tell(bench, &settled.ruling);
            match settled.ruling.stands {
                Side::A => Ok(()),
                Side::B => Err(Error::refused("the other party is right")),
                Side::Neither => Err(Error::refused("neither party is right")),
            }
        }
    }
}

fn tell(bench: &Bench<'_>, ruling: &Ruling) {
    bench.ui.say(format!(
        "{} is right: {} ({} exchanges, {} bytes, {} operator{} executed)",
        ruling.stands,
        ruling.why,
        ruling.exchanges,
        ruling.bytes,
        ruling.executed,
        if ruling.executed == 1 { "" } else { "s" }
    ));
}

fn read_leaves(bench: &Bench<'_>, path: &Path) -> Result<Vec<Leaf>> {
    let (context, leaves) = Leaves::parse(&record::read_lines(path)?).at(path.display())?;
    same_work(bench, path, &context)?;
    Ok(leaves)
}

fn same_work(bench: &Bench<'_>, path: &Path, context: &Leaves) -> Result<()> {
    if *context == bench.work {
        return Ok(());
    }
    Err(Error::refused(format!(
        "{}: leaves record: expected {}, found {}",
        path.display(),
        record::line(&bench.work)?.trim_end(),
        record::line(context)?.trim_end()
    )))
}

/// The other party, by its leaves and its trace.
fn theirs(bench: &Bench<'_>) -> Result<Files> {
    let graph = bench.judge.graph(0);
    let limit = TraceFile::max_bytes(&graph, bench.segments().every.min(bench.work.steps)).max(MAX_LEAVES);
    let (mut leaves, mut traced) = (None, None);
    for path in &bench.asked.args.against {
        let name = path.display().to_string();
        let bytes = open(path)?.read_to_end(limit)?;
        let text = String::from_utf8(bytes).map_err(|_| Error::data(format!("{name}: not UTF-8")))?;
        let second = text.lines().nth(1).map(|line| Line::parse(&format!("{name}:2"), line)).transpose()?;
        let twice = || Err(Error::usage(format!("--against: {name}: a second file of its kind")));
        if second.is_some_and(|line| line.kind() == TraceHead::TYPE) {
            let file = TraceFile::parse(&name, &text, &graph)?;
            same_work(bench, path, &file.leaves)?;
            if traced.replace(file).is_some() {
                return twice();
            }
        } else if leaves.replace(read_leaves(bench, path)?).is_some() {
            return twice();
        }
    }
    let leaves = leaves.ok_or_else(|| Error::usage("--against: expected the other party's leaves, found none"))?;
    let files = Files::new(&bench.work, leaves)?;
    match traced {
        Some(file) => files.with_trace(file, &graph),
        None => Ok(files),
    }
}

/// Who asks: what is not at hand is computed.
struct Own<'a> {
    bench: &'a Bench<'a>,
    files: Option<Files>,
}

impl Own<'_> {
    fn root(&self) -> Digest {
        self.files.as_ref().expect("it is put back").root()
    }

    fn ask(&mut self, question: &Question) -> Result<Option<Answer>> {
        self.files.as_mut().expect("it is put back").answer(question)
    }
}

impl Party for Own<'_> {
    fn answer(&mut self, question: &Question) -> Result<Option<Answer>> {
        if let Some(answer) = self.ask(question)? {
            return Ok(Some(answer));
        }
        let files = self.files.take().expect("it is put back");
        self.files = Some(match question {
            Question::Steps { segment } => {
                files.with_steps(&self.bench.work, *segment, self.bench.segment(*segment)?)?
            }
            Question::Trace { step } => {
                let (graph, file) = self.bench.trace(*step)?;
                files.with_trace(file, &graph)?
            }
            _ => files,
        });
        self.ask(question)
    }
}
