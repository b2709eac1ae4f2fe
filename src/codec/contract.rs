//! What every codec is, and what is checked of all of them.

use std::ops::RangeInclusive;

use super::anatomy::Anatomy;
use super::shapes::{MAX_ELEMENTS, elements};
use crate::artifact::TensorInfo;
use crate::error::{Error, Result};

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

    /// How one chunk is checked without the others. `None` where a payload says something of the whole tensor, such as bins or
    /// a mean, which no chunk shows: then nothing but the whole codec done again does.
    fn by_chunk(&self) -> Option<&dyn ByChunk> {
        None
    }

    /// What the bits of a payload that decodes are spent on.
    fn anatomy(&self, shape: &[usize], payload: &[u8]) -> Result<Anatomy>;
}

/// A codec whose payload is made of what each chunk's own values lead to, and of nothing else.
pub trait ByChunk {
    /// Whether a payload that decodes sends of one chunk (see [`crate::artifact::chunks`]) what `values`, the chunk's own in the
    /// order of their indices, lead to, to the last bit; else what is wrong.
    fn check_chunk(&self, shape: &[usize], payload: &[u8], chunk: usize, values: &[f32]) -> Result<()>;
}

/// Checks type, shape and length of the tensor that holds a payload, before its bytes are read.
pub(super) fn check_payload(codec: &dyn Codec, shape: &[usize], payload: &TensorInfo) -> Result<()> {
    let len = payload.size();
    check_len(codec, shape, len).map_err(|e| e.at(format!("tensor {}", payload.name)))?;
    let expected = codec.payload_info(&payload.name, shape, len);
    payload.expect(expected.dtype, &expected.shape)
}

pub(super) fn check_len(codec: &dyn Codec, shape: &[usize], len: usize) -> Result<()> {
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
pub(super) fn check_values(shape: &[usize], values: &[f32]) -> Result<()> {
    if elements(shape) == Some(values.len()) {
        return Ok(());
    }
    Err(Error::bug(format!("{} values for shape {shape:?}", values.len())))
}

pub(super) fn check_finite(values: &[f32]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(i) => Err(Error::data(format!("expected finite values, found {} at element {i}", values[i]))),
    }
}
