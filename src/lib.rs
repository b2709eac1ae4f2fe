//! l402

pub mod engine;
