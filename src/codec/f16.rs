//! `f16`: every value as an IEEE binary16, in a tensor of that type with the parameter's shape (as Hivemind sends them).
//!
//! Rounded to nearest, ties to even, gradual underflow; beyond ±65504 the largest finite one is sent, and -0 as +0. So
//! a value v of up to 65504 comes back within 2^-11 |v| + 2^-25. Refused: an infinity, a NaN and -0.

use std::ops::RangeInclusive;

use half::f16;

use super::anatomy::{Anatomy, entropy};
use super::contract::{ByChunk, Codec, check_len, check_values};
use super::shapes::elements;
use crate::artifact::chunks::Chunks;
use crate::artifact::{Dtype, TensorInfo};
use crate::error::{Error, Result};

/// Half precision.
#[derive(Clone, Copy, Debug)]
pub struct F16;

const MOST: f32 = 65504.0;

/// The bits of a value. The conversion is the integer one of the `half` crate, which no floating-point mode changes.
fn bits(value: f32) -> u16 {
    let within = if value > MOST { MOST } else { value };
    let within = if within < -MOST { -MOST } else { within };
    match f16::from_f32_const(within).to_bits() {
        0x8000 => 0,
        bits => bits,
    }
}

fn words(payload: &[u8]) -> impl Iterator<Item = u16> {
    payload.as_chunks::<2>().0.iter().map(|word| u16::from_le_bytes(*word))
}

impl Codec for F16 {
    fn name(&self) -> &'static str {
        "f16"
    }

    fn payload_len(&self, shape: &[usize]) -> Option<RangeInclusive<usize>> {
        let len = elements(shape)?.checked_mul(2)?;
        Some(len..=len)
    }

    fn payload_info(&self, name: &str, shape: &[usize], _len: usize) -> TensorInfo {
        TensorInfo { name: name.to_owned(), dtype: Dtype::F16, shape: shape.to_vec() }
    }

    fn encode(&self, shape: &[usize], values: &[f32]) -> Result<Vec<u8>> {
        check_values(shape, values)?;
        Ok(values.iter().flat_map(|v| bits(*v).to_le_bytes()).collect())
    }

    fn decode(&self, shape: &[usize], payload: &[u8]) -> Result<Vec<f32>> {
        check_len(self, shape, payload.len())?;
        if let Some((i, word)) = (0..).zip(words(payload)).find(|(_, word)| *word == 0x8000 || word & 0x7c00 == 0x7c00)
        {
            let found = f16::from_bits(word);
            return Err(Error::data(format!("expected finite values other than -0, found {found:?} at element {i}")));
        }
        Ok(words(payload).map(|word| f16::from_bits(word).to_f32_const()).collect())
    }

    fn by_chunk(&self) -> Option<&dyn ByChunk> {
        Some(self)
    }

    fn anatomy(&self, shape: &[usize], payload: &[u8]) -> Result<Anatomy> {
        check_len(self, shape, payload.len())?;
        let mut counts = vec![0; 1 << 16];
        words(payload).for_each(|word| counts[usize::from(word)] += 1);
        let sent = payload.len() / 2;
        Ok(Anatomy { sent, value_bits: 16 * sent, value_bound: entropy(counts), ..Anatomy::default() })
    }
}

impl ByChunk for F16 {
    fn check_chunk(&self, shape: &[usize], payload: &[u8], chunk: usize, values: &[f32]) -> Result<()> {
        check_len(self, shape, payload.len())?;
        let chunk = Chunks::new(shape).get(chunk);
        let (words, _) = payload.as_chunks::<2>();
        let sent = |i: usize| u16::from_le_bytes(words[chunk.position(i)]);
        match (0..).zip(values).find(|(i, v)| sent(*i) != bits(**v)) {
            None => Ok(()),
            Some((i, v)) => {
                let (expected, found) = (bits(*v), sent(i));
                Err(Error::refused(format!("expected {expected:#06x} at index {i}, found {found:#06x}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_hand() {
        let values = [1.0, -2.5, 65504.0, 1e30, -1e30, 6e-8, 2.9e-8, -2.9e-8, -0.0, 65519.0];
        let payload = F16.encode(&[10], &values).unwrap();
        let words: Vec<u16> = words(&payload).collect();
        assert_eq!(words, [0x3c00, 0xc100, 0x7bff, 0x7bff, 0xfbff, 1, 0, 0, 0, 0x7bff]);
        assert_eq!(F16.decode(&[10], &payload).unwrap()[..3], values[..3]);
        for word in [0x7c00u16, 0xfc00, 0x7e00, 0x8000] {
            assert!(F16.decode(&[1], &word.to_le_bytes()).is_err());
        }
        assert!(F16.decode(&[2], &payload).is_err());
    }
}
