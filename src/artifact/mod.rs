//! What travels between people: canonical safetensors, digests, signed records, recipes.

pub mod canonical;
mod digest;
pub mod key;
mod meta;
pub mod recipe;
pub mod record;
mod tensors;

pub use digest::Digest;
pub use meta::{ArtifactKind, Meta, valid_worker_id};
pub use recipe::Recipe;
pub use tensors::{Header, Reader, TensorInfo, Writer, digest_of};

pub use safetensors::Dtype;
