//! The simulated chain: a process that keeps blocks and hands them on. It checks that coins exist, are spent once and in
//! time; signatures it does not check.

mod client;
mod ledger;
mod server;

pub use client::{ChainClient, Tip, follow};
pub use server::run;

/// Blocks that a new chain begins with.
pub const FIRST_BLOCKS: u32 = 100;
/// What the transaction ids of faucet coins begin with: their transactions are nowhere.
pub const FAUCET_MARK: [u8; 4] = *b"l402";
