//! `l402 audit`: an honest run is equal, one altered byte names its artifact, a coordinator's lie is found and proved. The
//! files are by what is altered.

#[path = "../common/mod.rs"]
mod common;

mod adapters;
mod bytes;
mod folder;
mod hand;
mod lists;
mod one_verdict;
mod paid;
mod steps;
mod updates;
mod workers;
