//! `l402 replay --against`, `--trace`, `--transcript`: disputes with another party, down to one operator.

mod asked;
mod bench;
mod own;

use std::path::Path;

pub use self::asked::{Asked, DisputeArgs};

use self::bench::Bench;
use self::own::Own;
use super::common::open;
use crate::artifact::record::{Line, Record};
use crate::artifact::{Digest, Reader};
use crate::codec::Update;
use crate::error::{Context, Error, Result};
use crate::fsio::Source;
use crate::optimizer::Moments;
use crate::ui::Ui;
use crate::verify::dispute::{ByDefinition, Files, Outcome, Question, Ruling, Side, check_transcript, settle};
use crate::verify::trace::{Graph, OperandsOf, TraceFile, TraceHead, Value, read_operands, write_operands};
use crate::verify::{Leaf, Leaves, ReplayInput};

/// A file of leaves may not be larger, in bytes.
const MAX_LEAVES: u64 = 1 << 28;
/// The longest header of a file of operands, in bytes: an operator reads a few values, or one of each sequence.
const MAX_OPERANDS: u64 = 1 << 20;

/// Does what is asked for about the work of this input, from these moments (zero without), with their state's digest.
pub fn run(
    asked: &Asked<'_>,
    input: &ReplayInput<'_>,
    moments: Option<(Moments, Digest)>,
    update: &Update,
    ui: &Ui,
) -> Result<()> {
    if asked.args.operands.is_some() && asked.args.trace.is_some() {
        return Err(Error::usage(
            "--operands: expected --against or --transcript beside it, which say whose operands and of which dispute",
        ));
    }
    let bench = Bench::new(asked, input, moments, ui)?;
    match (&asked.args.transcript, asked.args.trace) {
        (Some(path), _) => check(&bench, path, update),
        (None, Some(step)) => write(&bench, step),
        (None, None) => dispute(&bench, update),
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
    let text = read_text(path, MAX_LEAVES)?;
    let file = bench.asked.args.operands.as_deref();
    let mut from_file = |graph: &Graph, place: usize| read_from(file, graph, place);
    let checked = check_transcript(&bench.judge, &name, &text, file.is_some().then_some(&mut from_file))?;
    is_about(update, checked.roots)?;
    tell(bench, &checked.ruling);
    for (party, key) in ["a", "b"].iter().zip(&checked.signers) {
        key.iter().for_each(|key| bench.ui.say(format!("{party}'s trace is that of {key}, which has signed it")));
    }
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
    let path = file.ok_or_else(|| Error::usage("expected --operands FILE: what the operator in dispute reads"))?;
    let reader = Reader::open_within(open(path)?, MAX_OPERANDS)?;
    read_operands(reader, OperandsOf { graph: graph.digest(), operator: place }, graph)
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
    let mut theirs = theirs(bench)?;
    let leaves = match bench.asked.leaves {
        Some(path) => read_leaves(bench, path, &read_text(path, MAX_LEAVES)?)?,
        None => bench.leaves()?,
    };
    let mut ours = Own::new(bench, leaves)?;
    is_about(update, [ours.root(), theirs.root()])?;
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
            other => {
                let asked = serde_json::to_string(&other).map_err(|e| Error::bug(format!("a question: {e}")))?;
                format!("awaited is the other party's answer to {asked}")
            }
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

fn read_text(path: &Path, limit: u64) -> Result<String> {
    let bytes = Source::text(path)?.read_to_end(limit)?;
    String::from_utf8(bytes).map_err(|_| Error::data(format!("{}: not UTF-8", path.display())))
}

fn read_leaves(bench: &Bench<'_>, path: &Path, text: &str) -> Result<Vec<Leaf>> {
    let name = path.display();
    let lines = text.lines().enumerate().map(|(i, line)| Line::parse(&format!("{name}:{}", i + 1), line));
    let (context, leaves) = Leaves::parse(&lines.collect::<Result<Vec<_>>>()?).at(&name)?;
    same_work(bench, path, &context)?;
    Ok(leaves)
}

fn same_work(bench: &Bench<'_>, path: &Path, context: &Leaves) -> Result<()> {
    match bench.work.difference(context) {
        None => Ok(()),
        Some((field, expected, found)) => {
            let what = format!("{}: leaves record: {field}: expected {expected}, found {found}", path.display());
            Err(Error::refused(what))
        }
    }
}

/// The other party, by its leaves and its trace.
fn theirs(bench: &Bench<'_>) -> Result<Files> {
    let graph = bench.judge.graph(0);
    let limit = TraceFile::max_bytes(&graph, bench.segments().every.min(bench.work.steps)).max(MAX_LEAVES);
    let (mut leaves, mut traced) = (None, None);
    for path in &bench.asked.args.against {
        let (name, text) = (path.display().to_string(), read_text(path, limit)?);
        let second = text.lines().nth(1).map(|line| Line::parse(&format!("{name}:2"), line)).transpose()?;
        let twice = || Err(Error::usage(format!("--against: {name}: a second file of its kind")));
        if second.is_some_and(|line| line.kind() == TraceHead::TYPE) {
            let file = TraceFile::parse(&name, &text, &graph)?;
            same_work(bench, path, &file.leaves)?;
            bench.ui.say(match file.signer().at(&name)? {
                Some(key) => format!("{name}: the trace of {key}, which has signed it"),
                None => format!("{name}: anybody may have made this trace: it is not signed"),
            });
            if traced.replace(file).is_some() {
                return twice();
            }
        } else if leaves.replace(read_leaves(bench, path, &text)?).is_some() {
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
