//! `dense`: float32 as it is. The payload is the tensor itself, little-endian, with the parameter's shape.

use std::ops::RangeInclusive;

use super::anatomy::{Anatomy, entropy};
use super::contract::{ByChunk, Codec, check_finite, check_len};
use super::shapes::elements;
use crate::artifact::TensorInfo;
use crate::artifact::chunks::Chunks;
use crate::error::{Error, Result};

/// The codec that leaves everything as it is.
#[derive(Clone, Copy, Debug)]
pub struct Dense;

impl Codec for Dense {
    fn name(&self) -> &'static str {
        "dense"
    }

    fn payload_len(&self, shape: &[usize]) -> Option<RangeInclusive<usize>> {
        let len = elements(shape)?.checked_mul(4)?;
        Some(len..=len)
    }

    fn payload_info(&self, name: &str, shape: &[usize], _len: usize) -> TensorInfo {
        TensorInfo::f32(name, shape)
    }

    fn encode(&self, shape: &[usize], values: &[f32]) -> Result<Vec<u8>> {
        let payload: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        check_len(self, shape, payload.len())?;
        Ok(payload)
    }

    fn decode(&self, shape: &[usize], payload: &[u8]) -> Result<Vec<f32>> {
        check_len(self, shape, payload.len())?;
        let (words, _) = payload.as_chunks::<4>();
        let values: Vec<f32> = words.iter().map(|w| f32::from_le_bytes(*w)).collect();
        check_finite(&values)?;
        Ok(values)
    }

    fn by_chunk(&self) -> Option<&dyn ByChunk> {
        Some(self)
    }

    fn anatomy(&self, shape: &[usize], payload: &[u8]) -> Result<Anatomy> {
        check_len(self, shape, payload.len())?;
        let mut words = payload.as_chunks::<4>().0.to_vec();
        words.sort_unstable();
        let counts: Vec<usize> = words.chunk_by(|a, b| a == b).map(<[_]>::len).collect();
        Ok(Anatomy {
            sent: words.len(),
            value_bits: 32 * words.len(),
            value_bound: entropy(counts),
            ..Anatomy::default()
        })
    }
}

impl ByChunk for Dense {
    fn check_chunk(&self, shape: &[usize], payload: &[u8], chunk: usize, values: &[f32]) -> Result<()> {
        let sent = self.decode(shape, payload)?;
        let sent = Chunks::new(shape).get(chunk).values(&sent);
        if sent.map(f32::to_bits).eq(values.iter().map(|v| v.to_bits())) {
            return Ok(());
        }
        Err(Error::refused("expected the values as they are, found others"))
    }
}
