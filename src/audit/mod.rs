//! The audit of a run folder: everything in it again from theta_0, and the first artifact that differs.
//!
//! Who altered what? A signed record is believed before an unsigned one, what is bound by several before what is bound by
//! one; and where two artifacts contradict each other and nothing else decides, a reference that is one character off is
//! itself what was altered (see [`differs::near`]). docs/run.md has the layout and every rule.

mod arrivals;
mod assigned;
mod beacons;
mod chain;
mod differs;
mod evidence;
mod folder;
mod given;
mod layout;
mod lists;
mod outer;
mod paid;
mod pay;
mod replays;
mod rescoring;
mod round;
mod scores;
mod settled;
mod shards;
mod start;
mod summary;
mod theta;
mod validated;

pub use beacons::Blocks;
pub use chain::{Chain, Last};
pub use differs::{Checked, Difference, Stop};
pub use evidence::Evidence;
pub use folder::RunFolder;
pub use layout::{foreign, ground, is_aside, is_folder, most_bytes, rounds};
pub use outer::{is_momentum, momentum_name};
pub use replays::{Depth, StateFile, StateRoom, state_name};
pub use round::{Audit, Totals, audit_round};
pub use start::{Pins, Start, check_keys, check_start};
pub use summary::Summary;
pub use theta::weights_digest;
