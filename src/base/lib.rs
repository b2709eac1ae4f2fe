//! What `l402` and its devnet both stand on: errors with their exit codes, and files.

mod civil;
pub mod error;
pub mod fsio;

pub use civil::civil;
