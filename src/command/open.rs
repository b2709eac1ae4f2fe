//! `l402 open`: what a sampled replay needs to see of one's work.

use std::path::{Path, PathBuf};

use super::common::{open, say_assumed_zero};
use super::drawn::BeaconArg;
use super::files::{MomentsIn, StatesIn};
use super::kept::{self, last_kept, write_state};
use super::made::shown_state;
use super::train::{Work, WorkArgs};
use crate::artifact::beacon::Purpose;
use crate::artifact::{ArtifactKind, ChunkAt, Digest, Meta, Reader, Recipe, record};
use crate::codec::{Feedback, codec_for};
use crate::error::{Context, Error, Result};
use crate::fsio::Target;
use crate::model::Layout;
use crate::optimizer::{Moments, run_steps};
use crate::ui::Ui;
use crate::verify::{
    Audit, CHUNKS, ChunkIndex, FEEDBACK, FeedbackOpener, LEAVES, Leaf, Leaves, OpenedChunk, Sampling, Segments,
    open_leaves, segments_for, state_file, states_needed, write_chunks,
};

/// Show what was drawn of one's own work: the state at the start of each drawn segment, and the drawn codec chunks, with
/// what proves them.
///
/// For `replay --segments`. Of a codec with parameters of whole tensors (`sparseloco`, `int8`) no chunk shows enough: all of the
/// error feedback before is shown instead. What `train --openings` did not keep is computed again from the last state that it
/// kept. The beacon is one that appeared after the commitments were closed; it draws the same for whoever asks.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    work: WorkArgs,
    /// The states at the start of the round: error feedback, moments, or both in two flags; zero without
    #[arg(long, value_name = "FILE")]
    state: Vec<PathBuf>,
    /// The error feedback after the round
    #[arg(long, value_name = "FILE")]
    feedback: PathBuf,
    /// The folder of `train --openings`
    #[arg(long, value_name = "DIR")]
    openings: PathBuf,
    #[command(flatten)]
    draw: DrawArgs,
    /// The folder that is shown to others
    #[arg(short, long, value_name = "DIR", help_heading = "Output")]
    output: PathBuf,
    /// Replace files that exist and differ
    #[arg(long, help_heading = "Output")]
    force: bool,
}

/// What is drawn, and how much.
#[derive(clap::Args, Debug)]
pub struct DrawArgs {
    /// What nobody knew when the commitments were closed, and draws what is looked at: a file of `l402 beacon b`, or 32 bytes in hex,
    /// which are taken on trust
    #[arg(long, value_name = "HEX|FILE", requires = "drawn")]
    pub beacon: Option<BeaconArg>,
    /// How many segments, the last one always among them
    #[arg(help_heading = "What is drawn", long, value_name = "K", group = "drawn", value_parser = clap::value_parser!(u32).range(1..), requires = "beacon")]
    pub segments: Option<u32>,
    /// As many segments as catch a cheat in N of them [default: one] with this chance, in percent
    #[arg(help_heading = "What is drawn", long, value_name = "PERCENT[/N]", group = "drawn", value_parser = chance, requires = "beacon")]
    pub catch: Option<Chance>,
    /// How many codec chunks [default: the recipe's]
    #[arg(help_heading = "What is drawn", long, value_name = "N", requires = "beacon")]
    pub chunks: Option<u32>,
}

/// A chance of being missed, and of what.
#[derive(Clone, Copy, Debug)]
pub struct Chance {
    missed_ppm: u64,
    cheated: u32,
}

fn chance(text: &str) -> std::result::Result<Chance, String> {
    let (percent, cheated) = text.split_once('/').unwrap_or((text, "1"));
    let percent = percent.trim_end_matches('%').parse::<f64>().ok().filter(|p| (0.0..=100.0).contains(p));
    match (percent, cheated.parse::<u32>()) {
        (Some(percent), Ok(cheated)) if cheated > 0 => {
            Ok(Chance { missed_ppm: ((100.0 - percent) * 10_000.0).round() as u64, cheated })
        }
        _ => Err("expected a chance in percent, as 95, or 95/2 for a cheat in two segments".into()),
    }
}

impl DrawArgs {
    /// What a replay of this round draws; nothing where all is to be replayed.
    pub fn sampling(&self, recipe: &Recipe, round: u64, ui: &Ui) -> Result<Option<Sampling>> {
        let (Some(segments), Some(beacon)) = (self.count(Segments::of(recipe).count()), &self.beacon) else {
            return Ok(None);
        };
        let chunks = self.chunks.unwrap_or(recipe.verify.chunks) as usize;
        let beacon = beacon.draw(recipe, round, Purpose::B, ui)?.value;
        Ok(Some(Sampling { beacon, segments, chunks }))
    }

    /// How many segments of this many.
    fn count(&self, count: u32) -> Option<u32> {
        match (self.segments, self.catch) {
            (Some(segments), _) => Some(segments),
            (None, Some(chance)) => Some(segments_for(count, chance.cheated, chance.missed_ppm)),
            (None, None) => None,
        }
    }
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let work = args.work.load(ui)?;
    let segments = Segments::of(&work.recipe);
    let sampling = args.draw.sampling(&work.recipe, work.assignment.round, ui)?;
    let sampling =
        sampling.ok_or_else(|| Error::usage("expected --beacon with --segments or --catch: what is to be shown?"))?;
    let layout = &work.folder.layout;
    let (moments, feedback) = read_states(&args.state, &work, layout)?;
    let round = work.assignment.round;
    if round > 0 && work.carries() && moments.digest == "zero" {
        say_assumed_zero(ui, round, "the state of the inner optimiser");
    }
    if round > 0 && work.recipe.codec.feedback > 0.0 && feedback.is_none() {
        say_assumed_zero(ui, round, "the error feedback");
    }
    let meta = work.meta(&moments.digest)?;
    let path = args.openings.join(kept::LEAVES);
    let (context, leaves) =
        Leaves::parse(&record::read_lines_within(&path, segments.leaves_room())?).at(path.display())?;
    if context != Leaves::of(&work.recipe, &meta)? {
        return Err(Error::refused(format!("{}: leaves of other work than this", path.display())));
    }
    let run = work.recipe.digest();
    let audit = Audit { run: &run, round, worker: &work.assignment.worker, beacon: &sampling.beacon };
    let drawn = audit.segments(sampling.segments, segments.count());

    std::fs::create_dir_all(&args.output).map_err(|e| Error::io(args.output.display(), &e))?;
    let target = |name: &str| Target::new(Some(&args.output.join(name)), args.force);
    target(LEAVES).write_text(&open_leaves(&context, &leaves, &drawn)?)?;
    let carried = moments.digest != "zero";
    write_states(args, &work, moments.moments, &states_needed(segments, &drawn, carried), &leaves, &meta, ui)?;

    // Where the feedback was zero, whoever replays has all of it.
    if let Some(before) = feedback {
        if codec_for(&work.recipe.codec).by_chunk().is_some() {
            let index = ChunkIndex::new(layout);
            let drawn = audit.chunks(sampling.chunks, index.total).into_iter().map(|number| index.at(number)).collect();
            write_drawn(args, drawn, &before, layout, &meta)?;
        } else {
            let mut out = target(FEEDBACK).create()?;
            std::io::copy(&mut open(&before)?, &mut out).map_err(|e| Error::io(before.display(), &e))?;
            out.finish()?;
        }
    }
    ui.say(format!("{}: segments {drawn:?} of {}", args.output.display(), segments.count()));
    Ok(())
}

/// Writes the drawn chunks of the error feedback before and after.
fn write_drawn(args: &Args, drawn: Vec<ChunkAt>, before: &Path, layout: &Layout, delta: &Meta) -> Result<()> {
    let (before, after) = (opened(before, layout, &drawn)?, opened(&args.feedback, layout, &drawn)?);
    let shown = |((at, before), (_, after))| OpenedChunk { at, before: Some(before), after };
    let chunks: Vec<OpenedChunk> = drawn.into_iter().zip(before).zip(after).map(shown).collect();
    let mut of = Meta::new(ArtifactKind::Chunks);
    of.copy(delta, &["run", "round", "worker"]);
    let target = Target::new(Some(&args.output.join(CHUNKS)), args.force);
    write_chunks(&target.name(), target.create()?, of, &chunks)?.finish().map(drop)
}

/// Values and paths of the drawn chunks of an error feedback.
fn opened(path: &Path, layout: &Layout, drawn: &[ChunkAt]) -> Result<Vec<(Vec<f32>, Vec<Digest>)>> {
    let reader = Reader::open_within(open(path)?, layout.header_room())?;
    let mut feedback = Feedback::open(Digest([0; 32]), reader)?;
    let mut opener = FeedbackOpener::new(layout, drawn);
    for tensor in &layout.tensors {
        opener.push(&feedback.next(&tensor.name, &tensor.shape)?);
    }
    Ok(opener.finish())
}

/// The moments, and the path of the error feedback.
fn read_states(paths: &[PathBuf], work: &Work, layout: &Layout) -> Result<(MomentsIn, Option<PathBuf>)> {
    let given = StatesIn::sort(paths, layout)?;
    let Work { recipe, assignment, .. } = work;
    let moments = match &given.moments {
        Some(path) => MomentsIn::read(path, layout, recipe, assignment.round, &assignment.worker)?,
        None => MomentsIn::zero(layout),
    };
    Ok((moments, given.feedback))
}

/// Writes the states before these steps, ascending: kept ones as they are, others computed from the last one before, kept or
/// shown. What is shown already stays, and is known by its leaf.
fn write_states(
    args: &Args,
    work: &Work,
    moments: Moments,
    steps: &[u32],
    leaves: &[Leaf],
    meta: &Meta,
    ui: &Ui,
) -> Result<()> {
    let layout = &work.folder.layout;
    let mut held = (0, work.start(moments)?);
    let shown = |step: u32| {
        let leaf = leaves.iter().find(|leaf| leaf.step == step);
        let path = args.output.join(state_file(step));
        leaf.map_or(Ok(None), |leaf| shown_state(&path, args.force, leaf, meta, layout))
    };
    let mut before = None;
    let mut missing = Vec::new();
    for &step in steps {
        match shown(step)? {
            Some(_) => before = Some(step),
            None => missing.push((step, before)),
        }
    }
    for (step, before) in missing {
        if let Some(before) = before.filter(|before| *before > held.0)
            && let Some(state) = shown(before)?
        {
            held = (before, state);
        }
        if let Some((found, state)) = last_kept(&args.openings, step, meta, layout)?
            && found > held.0
        {
            held = (found, state);
        }
        if held.0 < step {
            let bar = ui.progress("open", u64::from(step - held.0));
            let state = run_steps(&work.input(), held.1, held.0..step, |report, _| {
                bar.tick(format!("loss {:.3}", report.loss));
                Ok(())
            })?;
            held = (step, state);
        }
        write_state(&args.output.join(state_file(step)), args.force, step, &held.1, meta, layout)?;
    }
    Ok(())
}
