//! Codecs: how a pseudo-gradient becomes an update, and the error feedback that makes up for what was not sent.
//!
//! A codec turns one tensor into a payload and back; [`compress_tensor`] puts the error feedback around it,
//! [`Compressor`] does so for every tensor of a delta and yields the update and the worker's next state, and
//! [`Update`] reads what others have sent. A new codec is one file that implements [`Codec`] and one arm in
//! [`codec_for`]; where each chunk of a payload can be checked alone, it implements [`ByChunk`] as well.
//!
//! Metadata of an update, beside what it takes over from the delta (`run`, `round`, `worker` and any other
//! `l402.*` key): `codec`, the codec's name; `delta`, the delta's content digest; `feedback_in`, the digest
//! (see [`Feedback`]) of the state that was added, or `zero`; `feedback_out`, that of the state it leaves; `shapes`, the
//! canonical JSON object of every parameter's shape by name. One tensor per parameter, of the same name, holds
//! the payload.

mod anatomy;
mod bits;
mod bitstream;
mod blockwise8;
mod build;
mod choice;
mod contract;
mod demo;
mod dense;
mod e3m0;
mod f16;
mod feedback;
mod golomb;
mod int8;
mod l402;
mod levels;
#[cfg(test)]
mod properties;
mod quantise;
mod records;
mod report;
mod select;
mod shapes;
mod sparseloco;
mod update;

pub use anatomy::Anatomy;
pub use blockwise8::Blockwise8;
pub use build::{Compressed, Compressor, EncodedUpdate, compress_stream, compress_tensors};
pub use choice::codec_for;
pub use contract::{ByChunk, Codec};
pub use demo::Demo;
pub use dense::Dense;
pub use e3m0::E3m0;
pub use f16::F16;
pub use feedback::{Feedback, compress_tensor};
pub use int8::Int8;
pub use l402::L402;
pub use report::{Cost, Report, SquaredError};
pub use shapes::{MAX_ELEMENTS, Shapes};
pub use sparseloco::SparseLoco;
pub use update::Update;
