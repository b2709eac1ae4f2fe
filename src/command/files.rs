//! State files in and out, and what is said of outputs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::artifact::{ArtifactKind, Digest, Meta, Reader, Recipe};
use crate::command::args::OutputDirArgs;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::fsio::{Outcome, Output, Source, Target};
use crate::model::{Kept, Layout, ModelFolder, Plan};
use crate::optimizer::Moments;
use crate::ui::Ui;

/// The inner optimiser's state at the start of a round.
pub struct MomentsIn {
    /// The moments.
    pub moments: Moments,
    /// The state file's digest; `zero` without one.
    pub digest: String,
}

impl MomentsIn {
    /// Zero moments.
    pub fn zero(layout: &Layout) -> MomentsIn {
        MomentsIn { moments: Moments::zero(layout), digest: "zero".to_owned() }
    }

    /// Reads the state that this worker left in an earlier round.
    pub fn read(path: &Path, layout: &Layout, recipe: &Recipe, round: u64, worker: &str) -> Result<MomentsIn> {
        let (meta, moments, digest) = Moments::read(Source::open(path)?, layout)?;
        check_owner(&path.display().to_string(), &meta, &recipe.digest(), round, worker)?;
        Ok(MomentsIn { moments, digest: digest.to_string() })
    }
}

/// The states that a worker goes on from, as `--state` names them, told from one another by what they say they are.
#[derive(Debug, Default)]
pub struct StatesIn {
    /// The inner optimiser's moments.
    pub moments: Option<PathBuf>,
    /// The error feedback.
    pub feedback: Option<PathBuf>,
}

impl StatesIn {
    /// One of each kind at most. What can be read once alone, standard input and pipes, is taken for moments.
    pub fn sort(paths: &[PathBuf], layout: &Layout) -> Result<StatesIn> {
        let mut states = StatesIn::default();
        for path in paths {
            let kind = if path.is_file() { state_kind(path, layout)? } else { ArtifactKind::Moments };
            let place = if kind == ArtifactKind::Moments { &mut states.moments } else { &mut states.feedback };
            if place.is_some() {
                return Err(Error::usage(format!("--state: {}: a second state of kind {kind}", path.display())));
            }
            *place = Some(path.clone());
        }
        Ok(states)
    }
}

/// Which state a file says it is.
fn state_kind(path: &Path, layout: &Layout) -> Result<ArtifactKind> {
    let reader = Reader::open_within(Source::open(path)?, layout.header_room())?;
    let found = reader.header().metadata.get("l402.kind").map_or("", String::as_str);
    let kinds = [ArtifactKind::Feedback, ArtifactKind::Moments];
    kinds.into_iter().find(|kind| kind.as_str() == found).ok_or_else(|| {
        let [feedback, moments] = kinds;
        let what = format!("{}: l402.kind: expected {feedback} or {moments}, found {found:?}", path.display());
        Error::data(what)
    })
}

/// Refuses the error feedback of another run, worker or a later round before there is any work.
pub fn check_feedback(path: &Path, layout: &Layout, recipe: &Recipe, round: u64, worker: &str) -> Result<()> {
    let reader = Reader::open_within(Source::open(path)?, layout.header_room())?;
    let meta = Meta(reader.header().metadata.clone());
    check_owner(&path.display().to_string(), &meta, &recipe.digest(), round, worker)
}

/// A state must be of this run and worker, and of an earlier round.
pub fn check_owner(file: &str, meta: &Meta, run: &Digest, round: u64, worker: &str) -> Result<()> {
    let mut expected = Meta::default();
    expected.set("run", run).set("worker", worker);
    expected.require(format!("{file}: state"), meta, &["run", "worker"])?;
    let found = meta.number(file, "round")?;
    if found >= round {
        return Err(Error::refused(format!(
            "{file}: state: expected one of a round before {round}, found one of round {found}"
        )));
    }
    Ok(())
}

/// Writes the successor moments where a path is given, not yet in their place.
pub fn write_moments(
    path: Option<&Path>,
    force: bool,
    delta: &Meta,
    moments: &Moments,
    layout: &Layout,
) -> Result<Option<Output>> {
    let Some(path) = path else { return Ok(None) };
    let target = Target::new(Some(path), force);
    let (out, _) = moments.write(&target.name(), target.create()?, Moments::meta_after(delta), layout)?;
    out.check_place()?;
    Ok(Some(out))
}

/// Says what is about to be computed, and with how much memory, before the first step.
pub fn describe(ui: &Ui, device: &Device, folder: &ModelFolder, plan: &Plan, grad_groups: usize) {
    let activations = plan.bytes(&folder.config);
    let beside = match &folder.base {
        Some(_) => format!(" of an adapter beside {} that stay", Layout::new(&folder.config).total),
        None => String::new(),
    };
    let place = match device.free() {
        Ok(None) => format!("{} threads", rayon::current_num_threads()),
        _ => device.name(),
    };
    ui.say(format!(
        "{} parameters{beside}, {} sequences of {} tokens at a time{}, on {}; memory: {} MiB, {} of them activations{}",
        folder.layout.total,
        plan.sequences,
        plan.seq_len,
        if plan.recompute { ", layers computed twice" } else { "" },
        place,
        (activations + training_bytes(folder, grad_groups)) >> 20,
        activations >> 20,
        if plan.kept == Kept::All { " and weights' integers" } else { "" },
    ));
}

/// Parameters, gradients and both moments; a tied head's gradient and the sum over groups where there are some; all of a model
/// that an adapter is of. Theta itself stays in its file.
pub fn training_bytes(folder: &ModelFolder, grad_groups: usize) -> u64 {
    let config = &folder.config;
    let more = match &folder.base {
        Some(_) => Layout::new(config).total,
        None if config.tie_word_embeddings => config.vocab_size * config.hidden_size,
        None => 0,
    };
    let arrays = if grad_groups > 1 { 5 } else { 4 };
    4 * (arrays * folder.layout.total + more) as u64
}

/// Says how an output ended.
pub fn finished(ui: &Ui, target: &Target, outcome: Outcome, digest: &Digest) {
    let what = match outcome {
        Outcome::Written => "wrote",
        Outcome::UpToDate => "up to date:",
    };
    if !target.is_stdout() {
        ui.detail(format!("{what} {} {}", target.name(), digest.short()));
    }
}

/// Refuses two flags that name the same file, links followed; `-` is none. States are read only, and two outputs need
/// two places.
pub fn distinct(named: &[(&str, Option<&Path>)]) -> Result<()> {
    let files: Vec<_> =
        named.iter().filter_map(|(flag, path)| Some((flag, (*path)?))).filter(|f| f.1.as_os_str() != "-").collect();
    for (i, (flag, path)) in files.iter().enumerate() {
        for (other_flag, other) in &files[i + 1..] {
            if place(path) == place(other) {
                return Err(Error::usage(format!("{other_flag} {}: the same file as {flag}", other.display()))
                    .hint("states are never changed in place: name a file for each round"));
            }
        }
    }
    Ok(())
}

/// Refuses to replace an input by the output, links followed: nothing would be left of it. Without `--force` what is in the output's
/// place stays anyway.
pub fn not_onto<'p>(output: &OutputDirArgs, inputs: impl IntoIterator<Item = &'p Path>) -> Result<()> {
    let output_place = place(&output.output);
    if output.force && inputs.into_iter().any(|input| place(input) == output_place) {
        let what = format!("--output {}: the same folder as an input", output.output.display());
        return Err(Error::usage(what).hint("a model is never changed in place: name another folder"));
    }
    Ok(())
}

/// The place that a name stands for, links followed as far as there are any.
fn place(path: &Path) -> PathBuf {
    if let Ok(place) = fs::canonicalize(path) {
        return place;
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match (fs::canonicalize(parent), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}
