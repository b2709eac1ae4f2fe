//! The operators of training, bit for bit the same on every machine (the arithmetic contract). A recipe's `arithmetic`
//! chooses what a linear layer's products are, float32 chains (1) or exact integers (2); all else is one.
//!
//! Each operator is a file (or a folder) with its plain scalar `definition`, which is the specification, the fast version
//! that equals it to the bit, and the test that holds the two together. Only `+ - * / sqrt fma`, comparisons, integer and
//! bit operations and exact conversions are used, in an order that the definition fixes: so the bits depend neither on
//! the instruction set, nor on the number of threads, nor on how a batch is cut into calls.
//!
//! Everything is a method of [`Engine`], on slices of `f32`, row-major. Shapes that do not fit are programming errors and
//! panic. Threads are those of the current rayon pool. A model's passes go through a device (`crate::device`), which is an engine
//! or a GPU.

pub mod adamw;
pub mod attention;
pub mod bias;
pub mod columns;
pub mod cross_entropy;
pub mod elementwise;
pub mod embedding;
pub mod exp;
pub mod geglu;
pub mod integer;
pub mod linear;
pub mod low_rank;
pub mod machine;
pub mod matmul;
pub mod memory;
pub mod philox;
pub mod rms_norm;
pub mod rope;
pub mod rope_scaling;
pub mod selftest;
pub mod sum;
pub mod swiglu;

mod gated;
pub(crate) mod inputs;
mod scratch;
#[cfg(test)]
mod testing;

pub use adamw::AdamwStep;
pub use attention::AttentionShape;
pub use cross_entropy::NO_TARGET;
pub use linear::Arithmetic;
pub use machine::{Engine, Isa};
pub use matmul::{Mat, MatMut, Start};
pub use memory::{Buffer, Held, Part, PartMut, Words};
pub use rope::RopeTable;
pub use rope_scaling::RopeScaling;
pub use selftest::operator_digests;
