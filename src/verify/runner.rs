//! Who runs the steps that a verifier asks for: straight through, or from where an earlier run of the same was cut short.

use std::ops::Range;

use super::leaves::LeafLog;
use crate::error::Result;
use crate::optimizer::{RoundInput, State, StepReport, run_steps};

/// Runs stretches of a round, in ascending order.
pub trait Runner {
    /// Whether an earlier run had this stretch behind it, and all that is compared after it.
    fn is_behind(&self, steps: &Range<u32>) -> bool;

    /// The state after these steps, from the one before them; the log sees every one of them.
    fn run(&mut self, round: &RoundInput<'_>, start: State, steps: Range<u32>, log: &mut LeafLog<'_>) -> Result<State>;
}

/// From the start to the end, for whoever watches.
pub struct Straight<F>(pub F);

impl<F: FnMut(&StepReport)> Runner for Straight<F> {
    fn is_behind(&self, _: &Range<u32>) -> bool {
        false
    }

    fn run(&mut self, round: &RoundInput<'_>, start: State, steps: Range<u32>, log: &mut LeafLog<'_>) -> Result<State> {
        run_steps(round, start, steps, |report, state| {
            log.follow(report, state)?;
            (self.0)(report);
            Ok(())
        })
    }
}
