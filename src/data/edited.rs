//! A recipe that was changed after its run had begun: what everybody made since is of another run.

use std::fmt::Display;

use super::Assignment;
use crate::artifact::Digest;
use crate::error::Error;

/// What is wrong with the recipe at `place` where the run's first round was assigned by another; nothing where it is the same, or
/// nothing was assigned yet.
pub fn edited(place: impl Display, run: &Digest, first: &[Assignment]) -> Option<Error> {
    let begun = first.first()?.run;
    if first.iter().any(|assignment| assignment.run == *run) {
        return None;
    }
    let what =
        format!("{place}: edited since the run began: expected run {begun}, as round 0 was assigned, found {run}");
    Some(Error::data(what).hint(
        "put back what everybody else has (`l402 recipe diff` says what two differ in); another recipe is another run: `l402 new`",
    ))
}
