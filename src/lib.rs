//! `l402`: several people who do not trust each other train one language model together and are paid for it.
//!
//! The library behind the command line. Imports run one way: `command` -> `verify`, `score`, `codec`, `model`,
//! `optimizer`, `data`, `hub` -> `engine`, `artifact`; only `command` speaks to people.

pub use l402_base::{civil, error, fsio};

pub mod artifact;
pub mod audit;
pub mod cli;
pub mod codec;
pub mod command;
pub mod data;
pub mod device;
pub mod engine;
pub mod hub;
pub mod model;
pub mod optimizer;
pub mod pay;
pub mod report;
pub mod sample;
pub mod score;
pub mod ui;
pub mod verify;
