//! Codecs: how a pseudo-gradient becomes an update, and the error feedback that makes up for what was not sent.
//!
//! A codec turns one tensor into a payload and back; [`compress_tensor`] puts the error feedback around it,
//! [`Compressor`] does so for every tensor of a delta and yields the update and the worker's next state, and
//! [`Update`] reads what others have sent. A new codec is one file that implements [`Codec`] and one arm in
//! [`codec_for`].
//!
//! Metadata of an update, beside what it takes over from the delta (`run`, `round`, `worker` and any other
//! `l402.*` key): `codec`, the codec's name; `delta`, the delta's content digest; `feedback_in`, the digest
//! (see [`Feedback`]) of the state that was added, or `zero`; `feedback_out`, that of the state it leaves; `shapes`, the
//! canonical JSON object of every parameter's shape by name. One tensor per parameter, of the same name, holds
//! the payload.

mod bits;
mod bitstream;
mod blockwise8;
mod build;
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

use std::ops::RangeInclusive;

use crate::artifact::TensorInfo;
use crate::artifact::recipe::{CodecName, CodecRecipe};
use crate::error::{Error, Result};

pub use blockwise8::Blockwise8;
pub use build::{Compressed, Compressor, EncodedUpdate, compress_stream, compress_tensors};
pub use demo::Demo;
pub use dense::Dense;
pub use e3m0::E3m0;
pub use f16::F16;
pub use feedback::{Feedback, compress_tensor};
pub use int8::Int8;
pub use l402::L402;
pub use report::{Anatomy, Cost, Report, SquaredError};
pub use shapes::{MAX_ELEMENTS, Shapes};
pub use sparseloco::SparseLoco;
pub use update::Update;

/// Turns one tensor into a payload and back. The same values give the same payload on every machine, and a
/// payload that the codec would not have written for any values is refused.
pub trait Codec: Send + Sync {
    /// The name, as recipes and the metadata of updates have it.
    fn name(&self) -> &'static str;

    /// How many bytes a payload for this shape can have; `None` where no payload could be that large.
    fn payload_len(&self, shape: &[usize]) -> Option<RangeInclusive<usize>>;

    /// Type and shape of the tensor that holds a payload of `len` bytes.
    fn payload_info(&self, name: &str, shape: &[usize], len: usize) -> TensorInfo {
        let _ = shape;
        TensorInfo::bytes(name, len)
    }

    /// The payload of a tensor of finite values, row-major. Fails where a statistic overflows.
    fn encode(&self, shape: &[usize], values: &[f32]) -> Result<Vec<u8>>;

    /// The values of a payload: finite, row-major. Fails on every payload that is not in canonical form.
    fn decode(&self, shape: &[usize], payload: &[u8]) -> Result<Vec<f32>>;

    /// Whether a payload sends of one chunk (see [`crate::artifact::chunks`]) what `values`, the chunk's own in the order
    /// of their indices, lead to, as far as a chunk alone can show; else what is wrong.
    fn check_chunk(&self, shape: &[usize], payload: &[u8], chunk: usize, values: &[f32]) -> Result<()>;

    /// What the bits of a payload that decodes are spent on.
    fn anatomy(&self, shape: &[usize], payload: &[u8]) -> Result<Anatomy>;
}

/// The codec that a recipe names.
pub fn codec_for(recipe: &CodecRecipe) -> Box<dyn Codec> {
    match recipe.name {
        CodecName::Dense => Box::new(Dense),
        CodecName::F16 => Box::new(F16),
        CodecName::Int8 => Box::new(Int8),
        CodecName::Blockwise8 => Box::new(Blockwise8),
        CodecName::E3m0 => Box::new(E3m0),
        CodecName::Demo => Box::new(Demo::new(recipe.top_k)),
        CodecName::SparseLoco => Box::new(SparseLoco::new(recipe.top_k)),
        CodecName::L402 => Box::new(L402::new(recipe.top_k)),
    }
}

/// Checks type, shape and length of the tensor that holds a payload, before its bytes are read.
fn check_payload(codec: &dyn Codec, shape: &[usize], payload: &TensorInfo) -> Result<()> {
    let len = payload.size();
    check_len(codec, shape, len).map_err(|e| e.at(format!("tensor {}", payload.name)))?;
    let expected = codec.payload_info(&payload.name, shape, len);
    payload.expect(expected.dtype, &expected.shape)
}

fn check_len(codec: &dyn Codec, shape: &[usize], len: usize) -> Result<()> {
    let Some(range) = codec.payload_len(shape) else {
        return Err(Error::data(format!(
            "shape {shape:?}: larger than the {MAX_ELEMENTS} elements that a tensor can have"
        )));
    };
    if range.contains(&len) {
        return Ok(());
    }
    let (least, most) = (range.start(), range.end());
    let expected = if least == most { least.to_string() } else { format!("{least} to {most}") };
    Err(Error::data(format!(
        "expected a {} payload of {expected} bytes for shape {shape:?}, found {len}",
        codec.name()
    )))
}

/// As many values as the shape has elements; who calls sees to it.
fn check_values(shape: &[usize], values: &[f32]) -> Result<()> {
    if shapes::elements(shape) == Some(values.len()) {
        return Ok(());
    }
    Err(Error::bug(format!("{} values for shape {shape:?}", values.len())))
}

fn check_finite(values: &[f32]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(i) => Err(Error::data(format!("expected finite values, found {} at element {i}", values[i]))),
    }
}
