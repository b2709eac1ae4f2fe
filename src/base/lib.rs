//! What `l402` and its devnet both stand on: errors with their exit codes, files, and the calendar.

pub mod civil;
pub mod error;
pub mod fsio;
