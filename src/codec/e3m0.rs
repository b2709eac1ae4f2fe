//! `e3m0`: a sign and three bits of exponent a value, no mantissa (Streaming DiLoCo, arXiv 2501.18512, section 3.3), beside
//! one exponent a chunk, which the paper leaves open. Record of a chunk of n values:
//!
//! ```text
//! byte 0            e, 0 to 254: the largest value sent is 2^(e - 127)
//! ceil(n / 2) bytes codes of 4 bits, the first in the low half: bit 3 is the sign, bits 0..2 are j
//! ```
//!
//! j = 0 is zero, 1..7 are 2^(e - 134 + j). A magnitude goes to the power of two nearest to it (from 1.5 times a power on
//! to the next; the largest power is 2^127), from half of the smallest one on to that, below to zero. e is the exponent of
//! the largest magnitude's power, at least 1; it is 0 where every code is 0. So what comes back is within a third of a value,
//! or half of one above 1.5 times 2^127, or within 2^(e - 134), half the smallest power. Refused: e = 255; a sign on zero; where e > 1,
//! no j of 7; where e = 1, no j above 0; where e = 0, any; a padding that is not zero.

use super::anatomy::{Anatomy, entropy};
use super::records::Records;
use crate::artifact::chunks::{Chunk, Chunks};
use crate::error::{Error, Result};

/// 4 bits a value, an exponent a chunk.
#[derive(Clone, Copy, Debug)]
pub struct E3m0;

/// The biased exponent of the power of two nearest to a magnitude that is not 0; below 1 for denormal powers.
fn power(magnitude: f32) -> i32 {
    let bits = magnitude.to_bits();
    if bits >= 1 << 23 {
        return (((bits + (1 << 22)) >> 23) as i32).min(254);
    }
    let top = 31 - bits.leading_zeros() as i32;
    let up = top > 0 && bits >> (top - 1) & 1 == 1;
    top - 22 + i32::from(up)
}

/// 2^(exponent - 127), for -22 to 254.
fn power_of_two(exponent: i32) -> f32 {
    if exponent > 0 { f32::from_bits((exponent as u32) << 23) } else { f32::from_bits(1 << (22 + exponent)) }
}

fn codes_of(record: &[u8], n: usize) -> impl Iterator<Item = u8> {
    (0..n).map(move |i| record[1 + i / 2] >> (4 * (i % 2)) & 15)
}

impl Records for E3m0 {
    const NAME: &'static str = "e3m0";

    fn record_len(&self, n: usize) -> usize {
        1 + n.div_ceil(2)
    }

    fn write(&self, _chunk: &Chunk, values: &[f32], record: &mut Vec<u8>) -> Result<()> {
        let most = values.iter().fold(0f32, |most, v| if v.abs() > most { v.abs() } else { most });
        let top = if most == 0.0 { 1 } else { power(most).max(1) };
        let least = power_of_two(top - 7);
        let code = |v: &f32| {
            if v.abs() < least {
                return 0;
            }
            let j = (7 - (top - power(v.abs()))).max(1) as u8;
            j | u8::from(v.is_sign_negative()) << 3
        };
        let start = record.len();
        record.push(top as u8);
        record.extend(values.chunks(2).map(|pair| code(&pair[0]) | pair.get(1).map_or(0, code) << 4));
        if record[start + 1..].iter().all(|pair| *pair == 0) {
            record[start] = 0;
        }
        Ok(())
    }

    fn read(&self, _chunk: &Chunk, record: &[u8], values: &mut [f32]) -> Result<()> {
        let (top, n) = (i32::from(record[0]), values.len());
        let most = codes_of(record, n).map(|code| code & 7).max().unwrap_or(0);
        let fits = match top {
            0 => most == 0,
            1 => most > 0,
            2..255 => most == 7,
            _ => false,
        };
        if !fits {
            return Err(Error::data(format!("the exponent {top} is not that of the largest value, with code {most}")));
        }
        if codes_of(record, n).any(|code| code == 8) || n % 2 == 1 && record[n.div_ceil(2)] > 15 {
            return Err(Error::data("expected no sign on zero and zero bits as padding, found others"));
        }
        for (value, code) in values.iter_mut().zip(codes_of(record, n)) {
            if code > 0 {
                let magnitude = power_of_two(top - 7 + i32::from(code & 7));
                *value = if code > 7 { -magnitude } else { magnitude };
            }
        }
        Ok(())
    }

    fn anatomy(&self, chunks: &Chunks, records: &[u8]) -> Result<Anatomy> {
        let (mut rest, mut counts) = (records, [0usize; 16]);
        for number in 0..chunks.count() {
            let n = chunks.get(number).size();
            let (record, after) = rest.split_at(self.record_len(n));
            codes_of(record, n).for_each(|code| counts[usize::from(code)] += 1);
            rest = after;
        }
        let sent = counts.iter().sum();
        Ok(Anatomy { sent, value_bits: 4 * sent, value_bound: entropy(counts), ..Anatomy::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract::Codec;
    use super::*;

    #[test]
    fn powers_are_the_nearest() {
        for (value, expected) in [(1.0, 127), (1.49, 127), (1.5, 128), (2.0, 128), (f32::MAX, 254), (0.75, 127)] {
            assert_eq!(power(value), expected, "{value}");
        }
        for exponent in -22..=254 {
            let value = power_of_two(exponent);
            assert_eq!(power(value), exponent);
            assert_eq!(f64::from(value), libm::exp2(f64::from(exponent - 127)));
        }
        // Three steps above zero are nearest to two, by this rule to four.
        assert_eq!(power(f32::from_bits(3)), -20);
        assert_eq!(power(f32::from_bits(5)), -20);
        assert_eq!(power(f32::from_bits(6)), -19);
    }

    #[test]
    fn a_record_by_hand() {
        let values = [1.0, -0.5, 0.0, 0.01, 0.0078125, 0.0078, -0.3];
        let payload = E3m0.encode(&[7], &values).unwrap();
        // The top is 2^0; 0.01 and 2^-7 go to the smallest, 2^-6; 0.0078 is less than half of that.
        assert_eq!(payload, [127, 0xe7, 0x10, 0x01, 0x0d]);
        let expected = [1.0, -0.5, 0.0, 0.015625, 0.015625, 0.0, -0.25];
        assert_eq!(E3m0.decode(&[7], &payload).unwrap(), expected);
    }

    #[test]
    fn what_no_encoder_writes_is_refused() {
        for (payload, shape) in [
            ([255, 0x07, 0], 3),
            ([127, 0x06, 0], 3),
            ([1, 0, 0], 3),
            ([0, 1, 0], 3),
            ([127, 0x87, 0], 3),
            ([127, 0x07, 0x10], 3),
        ] {
            assert!(E3m0.decode(&[shape], &payload).is_err(), "{payload:?}");
        }
        let refused = E3m0.decode(&[3], &[127, 0x87, 0]).unwrap_err().to_string();
        assert_eq!(refused, "chunk 0: expected no sign on zero and zero bits as padding, found others");
        assert!(E3m0.decode(&[3], &[1, 1, 0]).is_ok());
        assert!(E3m0.decode(&[3], &[127, 0x07]).is_err());
    }
}
