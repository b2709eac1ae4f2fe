//! How often something is tried again, and how long one waits before.

use std::thread;
use std::time::Duration;

use super::watch::Watch;
use crate::error::{Error, Result};

/// Tries in a row that may fail.
const TRIES: u32 = 5;
/// The wait after the first of them; each further one doubles it.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait that a hub may ask for.
const LONGEST: Duration = Duration::from_secs(60);

/// Why something did not come.
#[derive(Debug)]
pub enum Failure {
    /// Trying again does not help.
    Final(Error),
    /// Trying again may help, after the time that the hub asks for.
    Passing {
        /// What is said in the end, where it did not help.
        error: Error,
        /// The wait that the hub asks for.
        after: Option<Duration>,
    },
}

impl Failure {
    /// One that may pass by itself.
    pub fn passing(error: Error) -> Failure {
        Failure::Passing { error, after: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Final(error)
    }
}

/// Counts failures in a row.
pub struct Patience<'a> {
    failures: u32,
    watch: &'a dyn Watch,
}

impl<'a> Patience<'a> {
    /// For something that has not failed yet.
    pub fn new(watch: &'a dyn Watch) -> Patience<'a> {
        Patience { failures: 0, watch }
    }

    /// Something went well: failures are counted from here.
    pub fn restore(&mut self) {
        self.failures = 0;
    }

    /// Waits until it is time to try again, or gives up.
    pub fn after(&mut self, failure: Failure) -> Result<()> {
        let (error, after) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Passing { error, after } => (error, after),
        };
        self.failures += 1;
        let Some(wait) = wait(self.failures, after) else {
            return Err(match after.filter(|after| *after > LONGEST) {
                Some(after) => error.hint(format!("the hub asks to wait {} s", after.as_secs())),
                None => error,
            });
        };
        self.watch.note(&format!("{error}; trying again in {:.1} s", wait.as_secs_f64()));
        thread::sleep(wait);
        Ok(())
    }
}

/// The wait after so many failures in a row; none where one gives up.
fn wait(failures: u32, asked: Option<Duration>) -> Option<Duration> {
    if failures >= TRIES {
        return None;
    }
    match asked {
        Some(asked) => (asked <= LONGEST).then_some(asked),
        None => Some(FIRST * 2u32.pow(failures - 1)),
    }
}

/// Does something until it succeeds, or patience ends.
pub fn persist<T>(watch: &dyn Watch, mut attempt: impl FnMut() -> std::result::Result<T, Failure>) -> Result<T> {
    let mut patience = Patience::new(watch);
    loop {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(failure) => patience.after(failure)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end() {
        let waits: Vec<Option<u128>> = (1..=5).map(|n| wait(n, None).map(|wait| wait.as_millis())).collect();
        assert_eq!(waits, [Some(500), Some(1000), Some(2000), Some(4000), None]);
    }

    #[test]
    fn a_hub_is_waited_for_as_it_asks_within_reason() {
        let asked = |seconds| wait(1, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(3), Some(Duration::from_secs(3)));
        assert_eq!(asked(60), Some(LONGEST));
        assert_eq!(asked(61), None);
        assert_eq!(wait(5, Some(Duration::from_secs(1))), None);
    }
}
