//! The Hugging Face Hub: what a repository holds, and its files, each checked by its digest, in the cache that Python's
//! `huggingface_hub` shares.
//!
//! Names of repositories, their web addresses and the cache's layout are `hf-hub`'s. What that crate's own downloads lack is
//! here, on the HTTP client that it brings along: a commit that is resolved once, transfers that resume and are bounded, digests
//! that are checked, a token that no other host sees.

mod address;
mod answer;
mod cache;
mod client;
mod commit;
mod env;
mod fetch;
mod glob;
mod listing;
mod name;
mod oid;
mod patience;
mod pickle;
mod record;
mod repository;
mod select;
mod snapshot;
mod token;
mod watch;

pub use commit::Commit;
pub use env::Settings;
pub use glob::Glob;
pub use record::{RECORD, Record};
pub use repository::{Repository, Type};
pub use select::Selection;
pub use snapshot::{Held, Snapshot};
pub use watch::Watch;
