//! A GPU as a device: every operator a launch of a kernel that keeps its definition's order, to the bit.
//!
//! A file here is an operator's launches, under the name of its definition and of its kernel (`kernels/`). The driver is
//! loaded when a GPU is asked for: nothing of CUDA is needed to build, or to run on the host.

mod adamw;
mod attention;
mod bias;
mod blake3;
mod chain;
mod columns;
mod cross_entropy;
mod driver;
mod elementwise;
mod embedding;
mod gated;
mod gpu;
mod integer;
mod kernels;
mod linear;
mod matmul;
mod modules;
mod operators;
mod pool;
mod rms_norm;
mod rope;
mod staging;
mod sum;
mod tensors;

pub use gpu::Cuda;
