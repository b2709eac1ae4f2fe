//! The verbs: one file each, with its arguments and its `run`. Only this module speaks to files and people.

pub mod aggregate;
pub mod assign;
pub mod audit;
pub mod commit;
mod common;
pub mod completions;
pub mod compress;
pub mod devnet;
mod dispute;
mod escrow;
mod files;
pub mod init;
pub mod inspect;
pub mod invoice;
mod kept;
pub mod key;
pub mod man;
mod node;
pub mod open;
pub mod replay;
pub mod score;
pub mod selftest;
pub mod settle;
pub mod shard;
mod shown;
pub mod train;
mod updates;
