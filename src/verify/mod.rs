//! Verification: the same work again, and equality.

mod finding;
mod machine;
mod replay;
pub mod trace;

pub use finding::{Difference, Finding, Verdict};
pub use machine::{OperatorCheck, check_machine, require_machine};
pub use replay::{ReplayInput, States, delta, delta_meta, replay};
