//! Where a worker's training goes: the delta as it is, or the update that the codec makes of it at once.

use std::path::{Path, PathBuf};

use super::compress::Coding;
use super::files;
use super::made::made_from;
use crate::artifact::{Meta, Reader, Recipe};
use crate::command::args::OutputArgs;
use crate::error::Result;
use crate::fsio::{Output, Source, Target};
use crate::model::{Layout, write_flat};
use crate::ui::Ui;

/// The update in place of the delta.
#[derive(clap::Args, Debug)]
pub struct CodedArgs {
    /// Put the pseudo-gradient through the recipe's codec at once, as `compress` does, and write the update in its place
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    pub update: Option<PathBuf>,
    /// Write the error feedback after the round, with --update
    #[arg(long, value_name = "FILE", requires = "update")]
    pub feedback: Option<PathBuf>,
}

impl CodedArgs {
    /// Where the artifact of the training goes.
    pub fn target(&self, output: &OutputArgs) -> Target {
        self.update.as_deref().map_or_else(|| output.target(), |path| Target::new(Some(path), output.force))
    }

    /// How it gets there. `state` is the error feedback at the start of the round.
    pub fn begin<'a>(
        &self,
        recipe: &'a Recipe,
        state: Option<&Path>,
        target: &'a Target,
        force: bool,
    ) -> Result<Destination<'a>> {
        if self.update.is_none() {
            return Ok(Destination::Delta(target));
        }
        let feedback = self.feedback.as_deref().map(|path| Target::new(Some(path), force));
        Coding::begin(recipe, state, feedback, target).map(|coding| Destination::Update(Box::new(coding)))
    }
}

/// What becomes of a delta.
pub enum Destination<'a> {
    /// It is written.
    Delta(&'a Target),
    /// It is put through the codec, and the update is written.
    Update(Box<Coding<'a>>),
}

impl Destination<'_> {
    /// The metadata of what is in its place already and was made from the same inputs; with what else it leaves, or not.
    pub fn made(&self, delta: &Meta) -> Result<Option<(Meta, bool)>> {
        match self {
            Destination::Delta(target) => Ok(made_from(target, delta)?.map(|made| (made, true))),
            Destination::Update(coding) => {
                let Some(made) = coding.made(delta)? else { return Ok(None) };
                let left = coding.left(&made)?;
                Ok(Some((made, left)))
            }
        }
    }

    /// Writes it. `moments` are an output that goes to its place first, but not where the delta could not follow; standard output
    /// cannot wait.
    pub fn put(self, meta: Meta, layout: &Layout, delta: &[f32], mut moments: Option<Output>, ui: &Ui) -> Result<()> {
        match self {
            Destination::Delta(target) => {
                if target.is_stdout() {
                    moments.take().map(Output::finish).transpose()?;
                }
                let (out, digest) = write_flat(&target.name(), target.create()?, meta, layout, delta)?;
                out.check_place()?;
                moments.map(Output::finish).transpose()?;
                let outcome = out.finish()?;
                files::finished(ui, target, outcome, &digest);
            }
            Destination::Update(coding) => {
                // By now gradients and activations are gone: the file's bytes take no more than they did.
                let (bytes, _) = write_flat("delta", Vec::new(), meta, layout, delta)?;
                let delta = Reader::open(Source::bytes("delta", bytes)?)?;
                moments.map(Output::finish).transpose()?;
                coding.run(delta, false, ui)?;
            }
        }
        Ok(())
    }
}
