//! The inner optimiser (AdamW), the steps of a round, and the outer step.

mod bound;
mod inner;
mod input;
mod moments;
mod outer;
mod place;
mod resident;
mod round;
mod state;

pub use bound::Reach;
pub use inner::{InnerStep, inner_step};
pub use input::RoundInput;
pub use moments::Moments;
pub use outer::{Direction, Momentum, Sent, aggregate, descend, outer_step, reads as outer_reads};
pub use resident::{Resident, State};
pub use round::{RoundOutput, StepReport, run_round, run_steps};
