//! The verbs: one file each, with its arguments and its `run`. Only this module speaks to files and people.

pub mod assign;
pub mod key;
pub mod shard;
