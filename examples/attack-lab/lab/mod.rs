//! A simulator of rounds with honest workers and attackers, in memory, by the library's own functions.

#![allow(dead_code)] // The example and the tests use a part each.

pub mod attacks;
pub mod round;
pub mod run;
pub mod vectors;
pub mod work;
pub mod world;
