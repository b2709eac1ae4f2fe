//! The 2-bit quantiser of SparseLoCo (2508.15706 and its published code): four uniform bins over three standard deviations
//! around the mean, each decoded to the mean of what fell into it.
//!
//! Over the kept values v_0, v_1, ... of a tensor, n of them, in float32 and in this order of operations:
//!
//! ```text
//! shift = sum(v) / n                           sum: A3 over the tensor, in the order sent; n as float32
//! c_i   = v_i - shift
//! std   = sqrt(sum(c_i * c_i) / n)             squares enter by fma
//! scale = (6 * std) / 4
//! u_i   = c_i / scale + 2                      one division, one addition
//! q_i   = [u_i > 0.5] + [u_i >= 1.5] + [u_i > 2.5]
//! bin_q = clamp(sum(v_i : q_i = q) / count_q, min(v_i : q_i = q), max(v_i : q_i = q))
//! ```
//!
//! q is u rounded to the nearest integer, ties to even, clamped to 0..3. Where scale is not a normal number (all values
//! alike, or squares that overflow) every q is 2. An empty bin is +0, and so is a mean of -0. The clamp undoes
//! what rounding may do to a mean, so that the bins in use strictly ascend. Averages divide by the count.

use crate::engine::Engine;
use crate::error::{Error, Result};

/// Codes from 0 to 3, and what they stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantised {
    /// The values of the four bins.
    pub bins: [f32; 4],
    /// A bin for each value.
    pub codes: Vec<u8>,
}

/// Quantises the kept values of a tensor. Fails where a sum overflows.
pub fn quantise(values: &[f32]) -> Result<Quantised> {
    let codes = codes(values)?;
    let mut bins = [0f32; 4];
    for (q, bin) in bins.iter_mut().enumerate() {
        let members: Vec<f32> =
            values.iter().zip(&codes).filter(|&(_, &code)| usize::from(code) == q).map(|(&v, _)| v).collect();
        if !members.is_empty() {
            *bin = center(&members)?;
        }
    }
    Ok(Quantised { bins, codes })
}

fn codes(values: &[f32]) -> Result<Vec<u8>> {
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let shift = mean(Engine::detect().tensor_sum(values), values.len())?;
    let centered: Vec<f32> = values.iter().map(|v| v - shift).collect();
    let std = (Engine::detect().tensor_sum_squares(&centered) / count(values.len())).sqrt();
    let scale = 6.0 * std / 4.0;
    if !scale.is_normal() {
        return Ok(vec![2; values.len()]);
    }
    let code = |c: f32| {
        let u = c / scale + 2.0;
        u8::from(u > 0.5) + u8::from(u >= 1.5) + u8::from(u > 2.5)
    };
    Ok(centered.into_iter().map(code).collect())
}

/// The mean of a bin's members, within their range, never -0.
fn center(members: &[f32]) -> Result<f32> {
    let mean = mean(Engine::detect().tensor_sum(members), members.len())?;
    let low = members.iter().fold(members[0], |a, &v| if v < a { v } else { a });
    let high = members.iter().fold(members[0], |a, &v| if v > a { v } else { a });
    let mean = if mean < low { low } else { mean };
    let mean = if mean > high { high } else { mean };
    Ok(if mean == 0.0 { 0.0 } else { mean })
}

fn mean(sum: f32, n: usize) -> Result<f32> {
    if sum.is_finite() {
        return Ok(sum / count(n));
    }
    Err(Error::data("the sum of its largest values overflows float32"))
}

/// A count as float32: exact up to 2^24, then rounded to nearest even.
fn count(n: usize) -> f32 {
    n as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_bins_by_hand() {
        // mean 0, mean square (4*16 + 4*1 + 4*1 + 4*16) / 16 = 8.5, std 2.915, scale 4.373:
        // u = 2 + v / 4.373 = 1.085, 1.771, 2.229, 2.915.
        let values: Vec<f32> = [-4.0, -1.0, 1.0, 4.0].repeat(4);
        let q = quantise(&values).unwrap();
        assert_eq!(q.codes, [1, 2, 2, 3].repeat(4));
        assert_eq!(q.bins, [0.0, -4.0, 0.0, 4.0]);
        // One far below: mean -1, std sqrt(15), scale 5.81: u = -0.58 (bin 0) and 2.17.
        let mut values = vec![0.0; 15];
        values.push(-16.0);
        let q = quantise(&values).unwrap();
        assert_eq!((q.codes[0], q.codes[15]), (2, 0));
        assert_eq!(q.bins, [-16.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn values_that_are_alike_share_one_bin() {
        for value in [0.0, -0.0, 1.0, -3.5, 0.1, f32::from_bits(1), 1e30, -1e30] {
            for n in [1, 2, 3, 31, 33, 5000] {
                let q = quantise(&vec![value; n]).unwrap();
                assert!(q.codes.iter().all(|&c| c == q.codes[0]));
                let bin = q.bins[usize::from(q.codes[0])];
                assert_eq!(bin, value);
                assert!(value != 0.0 || bin.to_bits() == 0);
            }
        }
    }

    #[test]
    fn a_sum_that_overflows_is_an_error_and_a_square_that_does_is_not() {
        let refused = quantise(&[3e38; 2]).unwrap_err().to_string();
        assert_eq!(refused, "the sum of its largest values overflows float32");
        let q = quantise(&[1e30, -1e30]).unwrap();
        assert_eq!(q.codes, [2, 2]);
        assert_eq!(q.bins, [0.0; 4]);
    }

    #[test]
    fn no_values_have_four_empty_bins() {
        let q = quantise(&[]).unwrap();
        assert_eq!((q.bins, q.codes.len()), ([0.0; 4], 0));
    }
}
