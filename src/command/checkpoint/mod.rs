//! Work that goes on where it was killed, with the bytes that it would have had.

mod due;
mod file;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use due::{Every, Since};
use file::Begun;

use crate::artifact::{Meta, WORK};
use crate::error::{Error, Kind, Result};
use crate::fsio::{Deferred, LockedDir};
use crate::model::Layout;
use crate::optimizer::{Resident, RoundInput, State, StepReport, run_steps};
use crate::ui::Ui;
use crate::verify::{Leaf, LeafLog, Runner, input_name};

/// Where the steps of a round are kept while they are run.
#[derive(clap::Args, Debug)]
pub struct CheckpointArgs {
    /// Keep the work in a folder as it goes: killed, the same command goes on there, and makes the same bytes. A signal then
    /// ends it after the step that it is at, with a checkpoint; a second one ends it at once
    #[arg(long, value_name = "DIR")]
    checkpoint: Option<PathBuf>,
    /// From checkpoint to checkpoint: steps, as 50, or a time, as 30s, 5min or 1h
    #[arg(long, value_name = "STEPS|TIME", default_value = "5min", requires = "checkpoint")]
    every: Every,
}

impl CheckpointArgs {
    /// Opens the folder for the work that is made from these inputs, if one is named. Another process that works in it is a
    /// matter of trying again (75).
    pub fn open(&self, inputs: Meta, force: bool, ui: &Ui) -> Result<Option<Checkpoints>> {
        let Some(folder) = &self.checkpoint else { return Ok(None) };
        let folder = own_folder(folder)?;
        let mut of = Meta::default();
        of.copy_all(&inputs);
        let since = Since::begin(0);
        Ok(Some(Checkpoints { folder, inputs: of, force, every: self.every, begun: None, since, ui: *ui }))
    }

    /// The folder, if one is named.
    pub fn folder(&self) -> Option<&Path> {
        self.checkpoint.as_deref()
    }
}

/// A folder that is believed, and this process's alone meanwhile. One that another process works in is a matter of trying again.
pub fn own_folder(folder: &Path) -> Result<LockedDir> {
    let folder = LockedDir::open(folder, true).map_err(|error| match error.kind() {
        Kind::TryAgain => error.hint("wait until it is done, or end it; every work has a folder of its own"),
        _ => error,
    })?;
    folder.require_own()?;
    Ok(folder)
}

/// The checkpoints of one work, in a folder that is this process's alone meanwhile.
pub struct Checkpoints {
    folder: LockedDir,
    inputs: Meta,
    force: bool,
    every: Every,
    begun: Option<(Begun, State)>,
    since: Since,
    ui: Ui,
}

impl Checkpoints {
    /// Reads the last checkpoint that is whole; how many steps were done by then. One of other inputs is refused (73) and, with
    /// `force`, replaced.
    pub fn resume(&mut self, layout: &Layout) -> Result<u32> {
        let folder = self.folder.path();
        let mut damaged: Option<Error> = None;
        for step in file::steps(folder)? {
            let read = file::read(folder, step).and_then(|begun| {
                self.require(&begun)?;
                let state = begun.state(folder, layout)?;
                Ok((begun, state))
            });
            match read {
                Ok(begun) => {
                    self.begun = Some(begun);
                    break;
                }
                Err(error) if error.kind() == Kind::Data => {
                    self.ui.say(format!("damaged checkpoint passed over: {error}"));
                    damaged = damaged.or(Some(error));
                }
                Err(error) if error.kind() == Kind::Exists && self.force => {
                    self.ui.say(format!("replaced: {error}"));
                    file::remove_but(folder, None)?;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        match (&self.begun, damaged) {
            (None, Some(error)) if !self.force => {
                return Err(error.hint("there is no other checkpoint; --force begins at the start"));
            }
            _ => file::sweep(folder)?,
        }
        let Some((begun, _)) = &self.begun else { return Ok(0) };
        self.since = Since::begin(begun.step);
        self.ui.say(format!("goes on after step {}, at the checkpoint in {}", begun.step, folder.display()));
        Ok(begun.step)
    }

    fn require(&self, begun: &Begun) -> Result<()> {
        let [ours, theirs] = [&self.inputs, &begun.inputs];
        let others = ours.0.keys().chain(theirs.0.keys()).filter_map(|key| key.strip_prefix("l402."));
        let keys: Vec<&str> = WORK.into_iter().chain(others).collect();
        let Some(differs) = ours.first_difference(theirs, &keys) else { return Ok(()) };
        let place = file::record_path(self.folder.path(), begun.step);
        let (what, expected, found) = (input_name(differs.key), differs.expected, differs.found);
        let what = format!("{}: of another {what}: expected {expected}, found {found}", place.display());
        Err(Error::new(Kind::Exists, what).hint("every work has a folder of its own; --force begins this one here"))
    }

    /// The states that were to be kept beside are not those of the work that was begun: it begins again.
    pub fn begin_again(&mut self, why: &str) {
        (self.begun, self.since) = (None, Since::begin(0));
        self.ui.say(format!("begins at the start: {why}"));
    }

    /// Removes the checkpoints of this work, which is done. Those of others stay.
    pub fn remove(&self) -> Result<()> {
        let folder = self.folder.path();
        let others = |step: &u32| file::read(folder, *step).is_ok_and(|begun| self.require(&begun).is_err());
        match file::steps(folder)?.iter().any(others) {
            true => Ok(()),
            false => file::remove_but(folder, None),
        }
    }

    /// Where these steps go on, if they were begun.
    fn take(&mut self, steps: &Range<u32>) -> Option<(Begun, State)> {
        self.begun.take_if(|(begun, _)| steps.start < begun.step && begun.step <= steps.end)
    }

    /// What there is to do when `step` steps are done: perhaps a checkpoint; the end, if a signal asked for it.
    fn after(
        &mut self,
        step: u32,
        last: bool,
        state: &mut Resident,
        log: &LeafLog<'_>,
        layout: &Layout,
        signal: &Deferred,
    ) -> Result<()> {
        let asked = signal.asked();
        if asked || !last && self.every.is_due(step, &self.since) {
            let begun = Instant::now();
            let (leaves, losses) = log.so_far();
            file::write(self.folder.path(), step, &self.inputs, state.state()?, leaves, losses, layout)?;
            file::remove_but(self.folder.path(), Some(step))?;
            self.since = Since::written(step, begun);
            let took = begun.elapsed().as_secs_f64();
            self.ui.detail(format!("checkpoint after step {step}, in {took:.2} s"));
        }
        if asked {
            self.ui.say(format!("asked to end: the same command goes on after step {step}"));
            signal.settle();
        }
        Ok(())
    }
}

/// Runs steps for whoever watches: each step, the state after it, and its leaf where one is due. With checkpoints they go on
/// where they were cut short.
pub struct Steps<'c, W> {
    /// None where none are asked for.
    pub checkpoints: Option<&'c mut Checkpoints>,
    /// Who watches.
    pub watch: W,
}

impl<W: FnMut(&StepReport, &mut Resident, Option<&Leaf>) -> Result<()>> Runner for Steps<'_, W> {
    fn is_behind(&self, steps: &Range<u32>) -> bool {
        let begun = self.checkpoints.as_ref().and_then(|checkpoints| checkpoints.begun.as_ref());
        begun.is_some_and(|(begun, _)| begun.step > steps.end)
    }

    fn run(
        &mut self,
        round: &RoundInput<'_>,
        mut start: State,
        mut steps: Range<u32>,
        log: &mut LeafLog<'_>,
    ) -> Result<State> {
        let Steps { checkpoints, watch } = self;
        let Some(checkpoints) = checkpoints else {
            return run_steps(round, start, steps, |report, state| {
                let leaf = log.follow(report, state)?;
                watch(report, state, leaf)
            });
        };
        if let Some((begun, state)) = checkpoints.take(&steps) {
            start = state;
            log.resume(round, steps.start..begun.step, begun.leaves, begun.losses)?;
            steps.start = begun.step;
        }
        let (last, layout) = (round.recipe.inner.steps, &round.model.layout);
        let signal = Deferred::new();
        let state = run_steps(round, start, steps, |report, state| {
            let leaf = log.follow(report, state)?;
            watch(report, state, leaf)?;
            let done = report.step + 1;
            checkpoints.after(done, done == last, state, log, layout, &signal)
        })?;
        signal.settle();
        Ok(state)
    }
}
