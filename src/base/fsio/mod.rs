//! Files: transparent input, atomic output. The only module that writes to disk, and that asks the system for its own size.

mod append;
mod beside;
mod ending;
mod found;
mod gzip;
mod input;
mod lines;
mod memory;
mod outdir;
mod output;
mod partial;
mod pieces;
mod pointer;
mod private;
mod spool;
mod started;
mod stored;
mod temp;

pub use append::{AppendFile, LockedDir};
pub use beside::beside;
pub use ending::{Deferred, leave_nothing_behind, wait_if_ending};
pub use found::found;
pub use input::{Source, read_text, read_text_within};
pub use lines::Lines;
pub use memory::resident;
pub use outdir::OutDir;
pub use output::{Claim, Outcome, Output, Target, content_digest, content_digest_within, write_secret};
pub use partial::Partial;
pub use pieces::Pieces;
pub use pointer::point;
pub use private::{private_dir, random, read_private};
pub use spool::Spool;
pub use stored::Stored;
pub use temp::ScratchDir;
