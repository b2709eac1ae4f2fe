//! The log of a training: a line of JSON for each step, for people, plots and dashboards. It is talk and proves nothing, so
//! numbers are floats, and a log that cannot be written ends no training.

use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::artifact::{Recipe, canonical};
use crate::data::Assignment;
use crate::error::{Error, Result};
use crate::fsio::{Lines, resident};
use crate::optimizer::{RoundInput, StepReport, inner_step};
use crate::ui::Ui;

/// The type of a process's first line.
pub const BEGIN: &str = "begin";
/// The type of a step's line.
pub const STEP: &str = "step";

/// A log in the making.
pub struct Metrics<'w> {
    /// None after a line that could not be written.
    lines: Option<Lines>,
    recipe: &'w Recipe,
    assignment: &'w Assignment,
    begun: Instant,
    /// The end of the step before.
    last: f64,
    ui: Ui,
}

impl<'w> Metrics<'w> {
    /// Opens the log of a work of which `done` steps are done: what it says of later ones goes, as they are done again.
    pub fn begin(
        path: &Path,
        round: &RoundInput<'w>,
        assignment: &'w Assignment,
        done: u32,
        ui: &Ui,
    ) -> Result<Metrics<'w>> {
        if path.as_os_str() == "-" {
            return Err(Error::usage("--log -: expected a file: standard output is for the delta"));
        }
        let of = of_work(assignment);
        let mut number = 0;
        let lines = Lines::open(path, |line| {
            number += 1;
            let place = format!("{}:{number}", path.display());
            let Some(line) = parse(&place, line)? else { return Ok(false) };
            let same = ["run", "round", "worker"].iter().all(|key| line.get(key) == of.get(key));
            let again = match line["step"].as_u64() {
                Some(step) if line["type"] == BEGIN => step >= done.into(),
                Some(step) => step > done.into(),
                None => false,
            };
            Ok(!(same && again))
        })?;
        let RoundInput { recipe, plan, model, .. } = *round;
        let mut metrics = Metrics { lines: Some(lines), recipe, assignment, begun: Instant::now(), last: 0.0, ui: *ui };
        metrics.add(
            BEGIN,
            json!({
                "step": done,
                "steps": recipe.inner.steps,
                "time": SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()),
                "parameters": model.layout.total,
                "threads": rayon::current_num_threads(),
                "micro_batch": plan.sequences,
                "seq_len": plan.seq_len,
                "recompute": plan.recompute,
                "activation_bytes": plan.bytes(&model.config),
                "version": env!("CARGO_PKG_VERSION"),
            }),
        );
        Ok(metrics)
    }

    /// A step is done.
    pub fn step(&mut self, report: &StepReport) {
        let inner = &self.recipe.inner;
        let global = self.assignment.round * u64::from(inner.steps) + u64::from(report.step);
        let tokens = report.sequences.len() * self.recipe.data.seq_len;
        let seconds = self.begun.elapsed().as_secs_f64();
        let mut line = json!({
            "step": report.step + 1,
            "loss": report.loss,
            "lr": inner_step(inner, global, 1, 1.0).plain.lr,
            "gradient_norm": report.gradient_norm,
            "tokens": tokens,
            "seconds": seconds,
            "tokens_per_second": tokens as f64 / (seconds - self.last).max(1e-9),
        });
        if let Some(bytes) = resident() {
            line["memory_bytes"] = bytes.into();
        }
        self.last = seconds;
        self.add(STEP, line);
    }

    fn add(&mut self, kind: &str, mut line: Value) {
        let Some(lines) = &mut self.lines else { return };
        line["type"] = kind.into();
        line["v"] = 1.into();
        for (key, value) in of_work(self.assignment).as_object().into_iter().flatten() {
            line[key] = value.clone();
        }
        if let Err(error) = lines.add(&canonical::json(&line)) {
            self.ui.say(format!("the log ends here, the training goes on: {error}"));
            self.lines = None;
        }
    }
}

fn of_work(of: &Assignment) -> Value {
    json!({ "run": of.run.to_string(), "round": of.round, "worker": of.worker })
}

/// A line of a log: none where it was torn when its writer was killed. What is no log is malformed (65).
pub fn parse(place: &str, line: &str) -> Result<Option<Value>> {
    match serde_json::from_str::<Value>(line) {
        Ok(value) if value["type"] == BEGIN || value["type"] == STEP => Ok(Some(value)),
        Err(_) if !line.ends_with('\n') && line.starts_with('{') => Ok(None),
        _ => Err(Error::data(format!("{place}: expected a line of a log that `train --log` wrote"))),
    }
}
