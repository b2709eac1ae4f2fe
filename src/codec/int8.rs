//! `int8`: every value in 8 bits, uniform over six standard deviations on either side of the mean (INTELLECT-1,
//! arXiv 2412.01152, section 2.2: 256 buckets, each decoded to the mean of what fell into it).
//!
//! Over the tensor's n values, sums in f64: of each run of 4096 in ascending order, then of the runs in theirs.
//!
//! ```text
//! mean  = float32(sum(v) / n)                        -0 becomes +0
//! scale = float32(12 sqrt(sum((v - mean)^2) / n) / 256)     the differences in f64; +0 unless it is a normal float32
//! u     = (v - mean) / scale + 128                   three float32 operations
//! code  = u rounded to nearest, ties to even, within 0..255; 128 where scale is 0
//! bucket's value = float32(sum of its v / their number)     the sum in row-major order; clamped to its least and
//!                                                    greatest v, -0 becomes +0
//! ```
//!
//! **Payload**, all float32 little-endian: mean, scale, the values of the buckets in use by ascending code, then n codes. So a
//! value within the range comes back within scale of what it was, and what lies beyond as the mean of what lies there. An
//! empty tensor has mean and scale 0. Refused: another length than the codes in use give; a number that is not finite
//! or is -0; a scale that is neither +0 nor positive and normal; a bucket's value that has another code than the bucket.

use std::ops::RangeInclusive;

use rayon::prelude::*;

use super::anatomy::{Anatomy, entropy};
use super::contract::{Codec, check_len, check_values};
use super::shapes::elements;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// 8 bits a value, 256 buckets a tensor.
#[derive(Clone, Copy, Debug)]
pub struct Int8;

const BUCKETS: usize = 256;
const HEAD: usize = 8;
const RUN: usize = 4096;

/// Where the buckets lie.
#[derive(Clone, Copy, Debug)]
struct Grid {
    mean: f32,
    scale: f32,
}

impl Grid {
    fn of(values: &[f32]) -> Grid {
        let n = values.len().max(1) as f64;
        let mean = plus_zero((sum(values, f64::from) / n) as f32);
        let squares = sum(values, |v| (f64::from(v) - f64::from(mean)) * (f64::from(v) - f64::from(mean)));
        let scale = (12.0 * (squares / n).sqrt() / 256.0) as f32;
        Grid { mean, scale: if scale.is_normal() { scale } else { 0.0 } }
    }

    fn code(self, value: f32) -> u8 {
        if self.scale == 0.0 {
            return 128;
        }
        let u = (value - self.mean) / self.scale + 128.0;
        let u = if u > 255.0 { 255.0 } else { u };
        let u = if u > 0.0 { u } else { 0.0 };
        // Rounds to nearest even: behind it there is no place for a fraction.
        const PLACE: f32 = 8_388_608.0;
        ((u + PLACE) - PLACE) as u8
    }
}

/// Run by run.
fn sum(values: &[f32], of: impl Fn(f32) -> f64 + Sync) -> f64 {
    let run = |run: &[f32]| Engine::detect().define(|| run.iter().fold(0.0, |sum, v| sum + of(*v)));
    let sums: Vec<f64> = values.par_chunks(RUN).map(run).collect();
    sums.into_iter().sum::<f64>()
}

fn plus_zero(value: f32) -> f32 {
    if value == 0.0 { 0.0 } else { value }
}

/// A payload's parts.
struct Parts<'a> {
    grid: Grid,
    values: Vec<f32>,
    codes: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(shape: &[usize], payload: &'a [u8]) -> Result<Parts<'a>> {
        check_len(&Int8, shape, payload.len())?;
        let n = elements(shape).unwrap_or(0);
        let (head, codes) = payload.split_at(payload.len() - n);
        if !head.len().is_multiple_of(4) {
            return Err(Error::data(format!("expected whole float32 before {n} codes, found {} bytes", head.len())));
        }
        let mut floats = head.as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word));
        let mut next = || floats.next().unwrap_or(f32::NAN);
        let grid = Grid { mean: next(), scale: next() };
        Ok(Parts { grid, values: floats.collect(), codes })
    }
}

impl Codec for Int8 {
    fn name(&self) -> &'static str {
        "int8"
    }

    fn payload_len(&self, shape: &[usize]) -> Option<RangeInclusive<usize>> {
        let n = elements(shape)?;
        let with = |used: usize| (HEAD + 4 * used).checked_add(n);
        Some(with(n.min(1))?..=with(n.min(BUCKETS))?)
    }

    fn encode(&self, shape: &[usize], values: &[f32]) -> Result<Vec<u8>> {
        check_values(shape, values)?;
        let grid = Grid::of(values);
        let codes: Vec<u8> = values.iter().map(|v| grid.code(*v)).collect();
        let (mut sums, mut counts) = ([0f64; BUCKETS], [0u64; BUCKETS]);
        let (mut least, mut most) = ([f32::INFINITY; BUCKETS], [f32::NEG_INFINITY; BUCKETS]);
        for (&v, code) in values.iter().zip(&codes) {
            let q = usize::from(*code);
            sums[q] += f64::from(v);
            counts[q] += 1;
            least[q] = if v < least[q] { v } else { least[q] };
            most[q] = if v > most[q] { v } else { most[q] };
        }
        let mut payload = Vec::with_capacity(HEAD + 4 * BUCKETS + codes.len());
        payload.extend(grid.mean.to_le_bytes());
        payload.extend(grid.scale.to_le_bytes());
        for q in (0..BUCKETS).filter(|q| counts[*q] > 0) {
            let mean = (sums[q] / counts[q] as f64) as f32;
            let mean = if mean < least[q] { least[q] } else { mean };
            let mean = if mean > most[q] { most[q] } else { mean };
            payload.extend(plus_zero(mean).to_le_bytes());
        }
        payload.extend(codes);
        check_len(self, shape, payload.len()).map_err(|e| Error::bug(e.to_string()))?;
        Ok(payload)
    }

    fn decode(&self, shape: &[usize], payload: &[u8]) -> Result<Vec<f32>> {
        let Parts { grid, values, codes } = Parts::of(shape, payload)?;
        let numbers = [grid.mean, grid.scale];
        if let Some(bad) = numbers.iter().chain(&values).find(|v| !v.is_finite() || v.to_bits() == (-0f32).to_bits()) {
            return Err(Error::data(format!("expected finite numbers other than -0, found {bad:?}")));
        }
        let Grid { mean, scale } = grid;
        if scale != 0.0 && !(scale > 0.0 && scale.is_normal()) || codes.is_empty() && (mean, scale) != (0.0, 0.0) {
            return Err(Error::data(format!("no tensor has the mean {mean:?} and the scale {scale:?}")));
        }
        let mut used = [false; BUCKETS];
        codes.iter().for_each(|code| used[usize::from(*code)] = true);
        let buckets: Vec<usize> = (0..BUCKETS).filter(|q| used[*q]).collect();
        if buckets.len() != values.len() {
            let (expected, found) = (buckets.len(), values.len());
            return Err(Error::data(format!("expected {expected} values, of the buckets in use, found {found}")));
        }
        let mut table = [0f32; BUCKETS];
        for (q, value) in buckets.into_iter().zip(values) {
            if usize::from(grid.code(value)) != q {
                return Err(Error::data(format!("bucket {q}: expected a value within it, found {value:?}")));
            }
            table[q] = value;
        }
        Ok(codes.iter().map(|code| table[usize::from(*code)]).collect())
    }

    fn anatomy(&self, shape: &[usize], payload: &[u8]) -> Result<Anatomy> {
        let Parts { codes, .. } = Parts::of(shape, payload)?;
        let mut counts = [0; BUCKETS];
        codes.iter().for_each(|code| counts[usize::from(*code)] += 1);
        Ok(Anatomy {
            sent: codes.len(),
            value_bits: 8 * codes.len(),
            value_bound: entropy(counts),
            ..Anatomy::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::philox;

    #[test]
    fn a_tensor_by_hand() {
        // mean 0, squares 2 * 64 / 4 = 32: scale 12 * 5.657 / 256 = 0.26517: u = 128 - 30.17, 128 and 128 + 30.17.
        let payload = Int8.encode(&[4], &[-8.0, 0.0, 0.0, 8.0]).unwrap();
        let scale = (12.0 * 32f64.sqrt() / 256.0) as f32;
        let mut expected = Vec::new();
        for number in [0.0, scale, -8.0, 0.0, 8.0] {
            expected.extend(number.to_le_bytes());
        }
        expected.extend([98, 128, 128, 158]);
        assert_eq!(payload, expected);
        assert_eq!(Int8.decode(&[4], &payload).unwrap(), [-8.0, 0.0, 0.0, 8.0]);
    }

    #[test]
    fn values_within_six_deviations_come_back_within_a_step() {
        let mut values: Vec<f32> = (0..9000).map(|i| philox::normal([8, 8], i) * 3.0 - 7.0).collect();
        values[17] = 1e3;
        let payload = Int8.encode(&[9000], &values).unwrap();
        let sent = Int8.decode(&[9000], &payload).unwrap();
        let grid = Grid::of(&values);
        assert_eq!(sent[17], 1e3);
        assert!(values.iter().zip(&sent).all(|(v, s)| (v - s).abs() <= grid.scale), "{grid:?}");
    }

    #[test]
    fn values_that_are_alike_share_a_bucket() {
        for value in [0.0, 0.1, -3.5, f32::from_bits(1), f32::MAX, f32::MIN] {
            let payload = Int8.encode(&[7, 9], &[value; 63]).unwrap();
            assert_eq!(payload.len(), HEAD + 4 + 63);
            assert_eq!(Int8.decode(&[7, 9], &payload).unwrap(), [value; 63]);
        }
    }

    #[test]
    fn what_no_encoder_writes_is_refused() {
        let good = Int8.encode(&[4], &[-8.0, 0.0, 0.0, 8.0]).unwrap();
        let with = |at: usize, number: f32| {
            let mut payload = good.clone();
            payload[at..at + 4].copy_from_slice(&number.to_le_bytes());
            Int8.decode(&[4], &payload).unwrap_err().to_string()
        };
        for number in [f32::NAN, f32::INFINITY, -0.0] {
            for at in [0, 4, 8, 12, 16] {
                assert!(with(at, number).contains("other than -0"), "{at} {number}");
            }
        }
        assert_eq!(with(4, -1.0), "no tensor has the mean 0.0 and the scale -1.0");
        assert!(with(4, 1e-40).contains("scale"));
        assert_eq!(with(8, -7.0), "bucket 98: expected a value within it, found -7.0");
        assert!(with(16, 0.0).contains("bucket 158"));
        let mut payload = good.clone();
        payload[20] = 97;
        assert!(Int8.decode(&[4], &payload).unwrap_err().to_string().contains("bucket 97"));
        payload[20] = 128;
        assert!(Int8.decode(&[4], &payload).unwrap_err().to_string().contains("expected 2 values"));
        payload.push(128);
        let refused = Int8.decode(&[4], &payload).unwrap_err().to_string();
        assert_eq!(refused, "expected whole float32 before 4 codes, found 21 bytes");
        assert!(Int8.decode(&[0], &good[..8]).is_err());
    }
}
