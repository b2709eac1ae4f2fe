//! `l402 compress`: the codec and its error feedback, there and back.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::common::say_assumed_zero;
use super::files::distinct;
use super::made::made_from;
use crate::artifact::{ArtifactKind, Meta, Reader, Recipe, Writer, canonical};
use crate::codec::{EncodedUpdate, Feedback, Report, Update, compress_stream};
use crate::command::args::OutputArgs;
use crate::error::{Error, Result};
use crate::fsio::{Outcome, Output, Source, Target};
use crate::ui::{Ui, escape};

/// Put a pseudo-gradient through the recipe's codec, with error feedback: a delta becomes an update.
///
/// What the codec leaves out is kept: `--state-out` writes it as the worker's next state, and `--state` adds the state
/// of the round before. Without `--state` it is zero. States are never changed in place, and the update is the same
/// whether `--state-out` is given or not. `-d` undoes the codec: an update becomes a float32 delta.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Undo the codec: IN is an update, the output what it stands for
    #[arg(short, long)]
    decompress: bool,
    /// The run's recipe
    #[arg(long, value_name = "FILE")]
    recipe: PathBuf,
    /// The error feedback of an earlier round [default: zero]
    #[arg(long, value_name = "FILE", conflicts_with = "decompress")]
    state: Option<PathBuf>,
    /// Where the error feedback for the next round goes
    #[arg(long, value_name = "FILE", conflicts_with = "decompress")]
    state_out: Option<PathBuf>,
    /// Say what the update costs and what it loses: ratios to float32 and bfloat16, bits an index and a value beside their
    /// bounds, relative squared errors. A table on standard error, and with a FILE, JSON there
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, conflicts_with = "decompress")]
    report: Option<Option<PathBuf>>,
    /// The delta, as `train` writes it, or the update with `-d`; `-` is standard input
    #[arg(value_name = "IN", default_value = "-")]
    input: PathBuf,
    /// Where the artifact goes.
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let target = args.output.target();
    target.check(true)?;
    let recipe = Recipe::load(&args.recipe)?;
    if args.decompress { decompress(args, &recipe, &target, ui) } else { compress(args, &recipe, &target, ui) }
}

fn compress(args: &Args, recipe: &Recipe, target: &Target, ui: &Ui) -> Result<()> {
    check_paths(args)?;
    let state_out = args.state_out.as_deref().map(|path| Target::new(Some(path), args.output.force));
    let coding = Coding::begin(recipe, args.state.as_deref(), state_out, target)?;
    // Before there is any input to wait for, and when it has said what it is.
    coding.made(&Meta::default())?;
    let delta = Reader::open(Source::open(&args.input)?)?;
    coding.made(&Meta(delta.header().metadata.clone()))?;
    let report_target = args.report.iter().flatten().next().map(|path| Target::new(Some(path), args.output.force));
    let costs = coding.run(delta, args.report.is_some(), ui)?;
    if let Some(costs) = &costs {
        ui.say("what it costs and what it loses");
        ui.lines(&costs.table());
    }
    if let (Some(target), Some(costs)) = (report_target, &costs) {
        target.write_text(&(escape::json(&canonical::json(&costs.to_json())) + "\n"))?;
    }
    Ok(())
}

/// An update in the making: what its delta goes through, and where it and the next state go.
pub(super) struct Coding<'a> {
    recipe: &'a Recipe,
    target: &'a Target,
    feedback: Option<Feedback>,
    state_out: Option<Target>,
}

impl<'a> Coding<'a> {
    /// With the error feedback of a file, or from zero.
    pub fn begin(
        recipe: &'a Recipe,
        state: Option<&Path>,
        state_out: Option<Target>,
        target: &'a Target,
    ) -> Result<Coding<'a>> {
        let feedback = state.map(open_state).transpose()?;
        Ok(Coding { recipe, target, feedback, state_out })
    }

    fn feedback_in(&self) -> String {
        self.feedback.as_ref().map_or("zero".to_owned(), |feedback| feedback.digest().to_string())
    }

    /// The metadata of the update that is in its place already, if one is and is made from a delta that says this; what is made
    /// from other inputs is refused (73), and so is a state.
    pub fn made(&self, delta: &Meta) -> Result<Option<Meta>> {
        let feedback_in = self.feedback_in();
        let mut inputs = Meta::new(ArtifactKind::Update);
        inputs.set("run", self.recipe.digest()).set("feedback_in", &feedback_in);
        let mut state = Feedback::meta_after(&inputs, &feedback_in);
        // What the input says beside what it is.
        let said = delta.0.iter().filter(|(key, _)| !["l402.kind", "l402.format", "format"].contains(&key.as_str()));
        inputs.0.extend(said.map(|(key, value)| (key.clone(), value.clone())));
        let made = made_from(self.target, &inputs)?;
        state.copy(delta, &["round", "worker"]);
        self.state_out.as_ref().map_or(Ok(None), |target| made_from(target, &state))?;
        Ok(made)
    }

    /// Whether the state that an update left is in its place too.
    pub fn left(&self, made: &Meta) -> Result<bool> {
        let Some(target) = &self.state_out else { return Ok(true) };
        let Some(path) = target.kept() else { return Ok(false) };
        let found = Feedback::digest_of(Reader::open(Source::open(path)?)?)?.to_string();
        Ok(made.opt("feedback_out") == Some(&found))
    }

    /// Puts a delta through the codec. A report of what it costs comes back where one is asked for.
    pub fn run(self, delta: Reader, report: bool, ui: &Ui) -> Result<Option<Report>> {
        let Coding { recipe, target, feedback, state_out } = self;
        let state_name = state_out.as_ref().map_or("feedback".to_owned(), Target::name);
        let state = State(state_out.as_ref().map(Target::create).transpose()?);
        let round = delta.header().metadata.get("l402.round").and_then(|round| round.parse().ok()).unwrap_or(0);
        if feedback.is_none() && round > 0 && recipe.codec.feedback > 0.0 {
            say_assumed_zero(ui, round, "the error feedback");
        }
        let progress = ui.progress("compress", delta.header().tensors.len() as u64);
        let done = compress_stream(recipe, delta, feedback, &state_name, state, report, |name| {
            progress.tick(name);
        })?;
        drop(progress);
        // A file waits beside its place until the state is in its own; standard output cannot wait.
        let waiting = if target.is_stdout() {
            None
        } else {
            let output = write(target, &done.update)?;
            output.check_place()?;
            Some(output)
        };
        if let Some(output) = done.state.0 {
            say_outcome(ui, &state_name, output.finish()?);
        }
        let output = match waiting {
            Some(output) => output,
            None => write(target, &done.update)?,
        };
        say_outcome(ui, &target.name(), output.finish()?);
        Ok(done.report)
    }
}

fn decompress(args: &Args, recipe: &Recipe, target: &Target, ui: &Ui) -> Result<()> {
    let update = Update::open(recipe, Reader::open(Source::open(&args.input)?)?)?;
    update.verify()?;
    let mut writer = Writer::new(&target.name(), target.create()?, update.decoded_header())?;
    for name in update.names() {
        writer.f32(name, &update.decode(name)?)?;
    }
    let (output, _) = writer.finish()?;
    say_outcome(ui, &target.name(), output.finish()?);
    Ok(())
}

fn write(target: &Target, update: &EncodedUpdate) -> Result<Output> {
    Ok(update.write_to(&target.name(), target.create()?)?.0)
}

fn say_outcome(ui: &Ui, name: &str, outcome: Outcome) {
    if outcome == Outcome::UpToDate {
        ui.say(format!("{name}: up to date"));
    }
}

/// A state is read twice, first for its digest, which stands in the header of the next state.
pub(super) fn open_state(path: &Path) -> Result<Feedback> {
    let digest = Feedback::digest_of(Reader::open(Source::open(path)?)?)?;
    Feedback::open(digest, Reader::open(Source::open(path)?)?)
}

/// No state is standard input or output, and no output is the state that is read or the other output.
fn check_paths(args: &Args) -> Result<()> {
    for (flag, path) in [("--state", &args.state), ("--state-out", &args.state_out)] {
        if path.as_deref().is_some_and(|p| p.as_os_str() == "-") {
            return Err(Error::usage(format!("{flag}: expected a file, found -")));
        }
    }
    if let Some(path) = &args.state
        && path.exists()
        && !path.is_file()
    {
        return Err(Error::usage(format!("--state {}: expected a regular file, as it is read twice", path.display())));
    }
    let report = args.report.clone().flatten();
    let named = [
        ("--state", &args.state),
        ("--state-out", &args.state_out),
        ("--report", &report),
        ("--output", &args.output.output),
    ];
    distinct(&named.map(|(flag, path)| (flag, path.as_deref())))
}

/// The next state's file, or nothing where only its digest is wanted.
struct State(Option<Output>);

impl Write for State {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Some(output) => output.write(bytes),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), Output::flush)
    }
}
