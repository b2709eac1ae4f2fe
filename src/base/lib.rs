//! What `l402` and its devnet both stand on: errors with their exit codes, and files.

pub mod civil;
pub mod error;
pub mod fsio;
