//! The machine under the operators: which instruction sets it has, what is compiled for them, and the floating-point mode.
//!
//! Four of these files are the only ones of the engine with `unsafe` code, for what the language cannot check:
//! - `vectors`, `pairs` and `digits`: calling code compiled for an instruction set, after the processor was asked whether it has
//!   it, and its vector instructions therein, on floats, on 16-bit integers, and on 8-bit ones;
//! - `float_mode`: reading and writing the floating-point control register, so that a caller's flush-to-zero or rounding
//!   mode can never change an operator's bits.

mod detect;
mod digits;
mod float_mode;
mod pairs;
mod vectors;

pub use detect::{Engine, Isa};
pub(super) use digits::{Digits, HEIGHT};
#[cfg(test)]
pub(crate) use float_mode::in_a_careless_float_mode;
pub(super) use pairs::{Pair, PairKernel, Pairs};
pub(super) use vectors::{Kernel, Simd, WIDTH, Word, kernel};
