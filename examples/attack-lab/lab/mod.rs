//! A simulator of rounds with honest workers and attackers, in memory, by the library's own functions.

#![allow(dead_code)] // The example and the tests use a part each.

pub mod work;
pub mod world;
