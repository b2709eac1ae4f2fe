//! Verification: the same work again, and equality.

mod finding;
mod replay;

pub use finding::{Difference, Finding, Verdict};
pub use replay::{ReplayInput, States, delta, delta_meta, replay};
