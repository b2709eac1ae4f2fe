//! What travels between people: canonical safetensors, digests, signed records, recipes.

pub mod beacon;
pub mod canonical;
pub mod chunks;
mod commitment;
mod digest;
pub mod hex32;
pub mod key;
pub mod merkle;
mod meta;
pub mod recipe;
pub mod recipe_text;
pub mod record;
mod room;
mod roots;
mod tensors;
mod tensors_json;

pub use commitment::{Commitment, Reveal, commit};
pub use digest::Digest;
pub use meta::{ArtifactKind, FORMAT_VERSION, KeyDiffers, Meta, WORK, WORKER_ID, valid_worker_id};
pub use recipe::Recipe;
pub use room::{MAX_WORKERS, MULTIPLE, Room};
pub use roots::{ChunkAt, chunk_hash, chunk_hashes, climb_chunk, tensor_root};
pub use tensors::{Header, Reader, TensorInfo, Writer, digest_of, f32_from_le};
pub use tensors_json::MAX_RANK;

pub use safetensors::Dtype;
