//! Where tensors live, and who computes: the operators as a model's passes use them, over memory of the host or of a device.
//!
//! Forward, backward and optimiser are written once over [`Operators`]. On the host an [`Engine`] does them on slices. On a GPU
//! they are launches of kernels, which nobody waits for: what fails there is kept, everything after it does nothing, and the next
//! [`Operators::read`] says so. All give the same bits.

pub mod cuda;
mod host;
mod operators;
pub mod suite;

pub use operators::{Attended, Device, Gating, NormWeight, Operators, Pace, Rope};
