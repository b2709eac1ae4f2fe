//! `l402 log`: what `train --log` wrote, in the form of other programs.

mod events;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::metrics::{self, BEGIN, STEP};
use crate::error::{Error, Result};
use crate::fsio::{Outcome, Target, read_text_within};
use crate::ui::Ui;

/// Turn logs of `train --log` into event files for TensorBoard.
///
/// Each worker gets a folder, and each number a curve: loss, learning rate, norm of the gradient, tokens a second, memory. Steps
/// are counted through all rounds. Logs of several rounds, workers and runs may be given together. See docs/metrics.md for wandb,
/// trackio and MLflow.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Logs
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The folder that TensorBoard is shown (`tensorboard --logdir DIR`); made if need be
    #[arg(long, value_name = "DIR")]
    tensorboard: PathBuf,
    /// Replace event files that exist and differ, as those of a log that has grown
    #[arg(long, help_heading = "Output")]
    force: bool,
}

/// A longer log is refused, in bytes.
const MAX: u64 = 1 << 32;
/// The numbers that are shown.
const SHOWN: [&str; 5] = ["gradient_norm", "loss", "lr", "memory_bytes", "tokens_per_second"];

/// What is drawn of one worker in one run: by its round and step.
type Curve = BTreeMap<(u64, u64), Point>;

/// What a log says of a step.
struct Point {
    /// Inner steps of a round.
    steps: u64,
    /// Seconds since 1970.
    time: f64,
    values: Vec<(&'static str, f32)>,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let mut curves: BTreeMap<(String, String), Curve> = BTreeMap::new();
    args.files.iter().try_for_each(|path| read(path, &mut curves))?;
    let runs = curves.keys().map(|(run, _)| run).collect::<std::collections::BTreeSet<_>>().len();
    for ((run, worker), curve) in &curves {
        let Some(first) = curve.values().next() else { continue };
        let folder = if runs > 1 { format!("{}-{worker}", &run[..8]) } else { worker.clone() };
        let path = args.tensorboard.join(folder).join(format!("events.out.tfevents.{:010}.l402", first.time as u64));
        let target = Target::new(Some(&path), args.force);
        target.make_folder()?;
        let mut out = target.create()?;
        let mut write = |event: Vec<u8>| out.write_all(&event).map_err(|e| Error::io(target.name(), &e));
        write(events::version(first.time))?;
        for ((round, step), point) in curve {
            write(events::scalars(point.time, (round * point.steps + step) as i64, &point.values))?;
        }
        let outcome = out.finish()?;
        let up_to_date = if outcome == Outcome::UpToDate { ", up to date" } else { "" };
        ui.say(format!("{}: {} steps{up_to_date}", path.display(), curve.len()));
    }
    Ok(())
}

/// Reads a log; of a step that stands there twice the later line counts.
fn read(path: &Path, curves: &mut BTreeMap<(String, String), Curve>) -> Result<()> {
    let (mut begun, mut steps) = (0.0, 0);
    for (i, line) in read_text_within(path, MAX)?.split_inclusive('\n').enumerate() {
        let place = format!("{}:{}", path.display(), i + 1);
        let Some(line) = metrics::parse(&place, line)? else { continue };
        let missing = |key: &str| Error::data(format!("{place}: expected a field {key:?} as `train --log` writes it"));
        let text = |key: &str, fits: fn(&str) -> bool| {
            line[key].as_str().filter(|text| fits(text)).map(str::to_owned).ok_or_else(|| missing(key))
        };
        let number = |key: &str| line[key].as_u64().filter(|n| *n <= u32::MAX.into()).ok_or_else(|| missing(key));
        if line["type"] == BEGIN {
            begun = line["time"].as_f64().ok_or_else(|| missing("time"))?;
            steps = number("steps")?;
        }
        if line["type"] != STEP {
            continue;
        }
        let run = text("run", |run| run.len() == 64 && run.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let of = (run, text("worker", crate::artifact::valid_worker_id)?);
        let seconds = line["seconds"].as_f64().ok_or_else(|| missing("seconds"))?;
        let value = |key: &'static str| line.get(key).and_then(Value::as_f64).map(|value| (key, value as f32));
        let values = SHOWN.into_iter().filter_map(value).collect();
        let point = Point { steps, time: begun + seconds, values };
        curves.entry(of).or_default().insert((number("round")?, number("step")?), point);
    }
    Ok(())
}
