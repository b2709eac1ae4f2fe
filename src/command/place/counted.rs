//! What a worker carries into a round: the states that its last update that counted has left, as the scores of the rounds before
//! say.

use std::path::PathBuf;

use super::run::Run;
use crate::artifact::record;
use crate::error::{Error, Result};
use crate::score::Score;

/// A worker's last update that counted, and the states that it left.
pub struct Carried {
    /// The update.
    pub update: PathBuf,
    /// The error feedback after it, where it is there.
    pub feedback: Option<PathBuf>,
    /// The inner optimiser's moments after it, where they are there.
    pub moments: Option<PathBuf>,
}

/// The last round before this one in which an update of the worker counted. Scores that are not there are an error: without them
/// nobody knows.
pub fn last_round(run: &Run, round: u64, worker: &str) -> Result<Option<u64>> {
    for before in (0..round).rev() {
        let path = run.of(before, "scores.jsonl");
        if !path.is_file() {
            let what = format!("{}: no such file: which state does round {round} begin with?", path.display());
            return Err(Error::missing(what).hint(format!("`l402 score {before}` makes it")));
        }
        let scores: Vec<Score> = record::select(&record::read_lines(&path)?)?;
        if scores.iter().any(|score| score.worker == worker && score.counts) {
            return Ok(Some(before));
        }
    }
    Ok(None)
}

/// What the worker carries into the round; nothing where none of its updates has counted.
pub fn carried(run: &Run, round: u64, worker: &str) -> Result<Option<Carried>> {
    let last = last_round(run, round, worker)?;
    Ok(last.map(|last| Carried {
        update: run.of(last, &format!("{worker}.update")),
        feedback: run.there(last, &format!("{worker}.feedback")),
        moments: run.there(last, &format!("{worker}.moments")),
    }))
}
