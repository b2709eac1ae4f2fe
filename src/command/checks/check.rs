//! Checks, how they ended and how long they took.

use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it must.
    Passed,
    /// A definite no.
    Failed(String),
    /// It could not be made.
    Broken(String),
    /// There was nothing to check.
    Skipped(String),
}

/// One check.
#[derive(Clone, Debug)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// How long it took.
    pub time: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// The checks of a verb.
pub struct Checks {
    /// The verb that made them.
    pub verb: &'static str,
    /// What they are of: a round, a run.
    pub of: String,
    /// In the order in which they were made.
    pub checks: Vec<Check>,
    since: Instant,
}

impl Checks {
    /// None yet.
    pub fn begin(verb: &'static str, of: impl Into<String>) -> Checks {
        Checks { verb, of: of.into(), checks: Vec::new(), since: Instant::now() }
    }

    /// A check that took all of the time since the last one.
    pub fn add(&mut self, name: impl Into<String>, outcome: Outcome) -> &Check {
        let time = self.since.elapsed();
        self.since = Instant::now();
        self.checks.push(Check { name: name.into(), time, outcome });
        self.checks.last().expect("it was just pushed")
    }

    /// A check that ended with this: a no (1) has failed, any other error has broken it.
    pub fn ended<T>(&mut self, name: impl Into<String>, result: &Result<T>) -> &Check {
        self.add(name, result.as_ref().map_or_else(Outcome::of, |_| Outcome::Passed))
    }
}

impl Outcome {
    fn of(error: &Error) -> Outcome {
        match error.kind() {
            Kind::Refused => Outcome::Failed(error.to_string()),
            _ => Outcome::Broken(error.to_string()),
        }
    }

    /// What went wrong.
    pub fn why(&self) -> Option<&str> {
        match self {
            Outcome::Passed | Outcome::Skipped(_) => None,
            Outcome::Failed(why) | Outcome::Broken(why) => Some(why),
        }
    }
}
