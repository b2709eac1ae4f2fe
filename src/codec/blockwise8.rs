//! `blockwise8`: every value in 8 bits beside the largest magnitude of its chunk (Dettmers et al., 8-bit optimizers via
//! block-wise quantization, arXiv 2110.02861; blocks of 4096 as there and in Hivemind's averaging).
//!
//! A block is a chunk: 64 x 64 of a matrix, or a run of 4096. Record:
//!
//! ```text
//! bytes 0..4   most: the largest magnitude, float32, little-endian
//! n bytes      codes, in the order of the indices
//! ```
//!
//! The code of v is that of the value in the table nearest to v / most (one float32 division), of two equally near ones the
//! lower. It decodes to the table's value times most, one multiplication. The table is the paper's signed dynamic one:
//! code 127 is 0, code 255 is 1, and for each exponent i of 0..6 there are 2^i values of each sign,
//!
//! ```text
//! 10^(i - 6) (0.1 + 0.9 (j + 1/2) / 2^i),  j = 0..2^i - 1
//! ```
//!
//! in f64, rounded once; the codes ascend with the values. So a value comes back within 0.0071 most, values below a tenth
//! of most more closely. A chunk of zeros has most = 0 and all codes 127. Refused: a largest magnitude that is not finite or
//! has a sign; codes other than 127 where it is 0; and, where it is not, no code of 0 or 255, which that value has.

use std::sync::OnceLock;

use super::anatomy::{Anatomy, entropy};
use super::records::Records;
use crate::artifact::chunks::{Chunk, Chunks};
use crate::error::{Error, Result};

const ZERO: u8 = 127;
const HEAD: usize = 4;

/// 8 bits a value, a scale a chunk.
#[derive(Clone, Copy, Debug)]
pub struct Blockwise8;

/// The values of the codes, ascending.
fn table() -> &'static [f32; 256] {
    static TABLE: OnceLock<[f32; 256]> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = [0.0; 256];
        let (mut at, mut unit) = (1, 1e-6);
        for i in 0..7u32 {
            let count = 1u32 << i;
            for j in 0..count {
                let value = (unit * (0.1 + 0.9 * (f64::from(j) + 0.5) / f64::from(count))) as f32;
                table[usize::from(ZERO) + at] = value;
                table[usize::from(ZERO) - at] = -value;
                at += 1;
            }
            // Powers of ten, each the nearest float64.
            unit = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 0.0][i as usize];
        }
        table[255] = 1.0;
        table
    })
}

/// The code of a value from -1 to 1.
fn code(table: &[f32; 256], x: f32) -> u8 {
    let twice = 2.0 * f64::from(x);
    // How many of the 255 borders between codes lie below.
    let (mut low, mut step) = (0usize, 128);
    while step > 0 {
        let border = f64::from(table[low + step - 1]) + f64::from(table[low + step]);
        low += if border < twice { step } else { 0 };
        step /= 2;
    }
    low as u8
}

impl Records for Blockwise8 {
    const NAME: &'static str = "blockwise8";

    fn record_len(&self, n: usize) -> usize {
        HEAD + n
    }

    fn write(&self, _chunk: &Chunk, values: &[f32], record: &mut Vec<u8>) -> Result<()> {
        let most = values.iter().fold(0f32, |most, v| if v.abs() > most { v.abs() } else { most });
        record.extend(most.to_le_bytes());
        if most == 0.0 {
            record.resize(record.len() + values.len(), ZERO);
        } else {
            let table = table();
            record.extend(values.iter().map(|v| code(table, v / most)));
        }
        Ok(())
    }

    fn read(&self, _chunk: &Chunk, record: &[u8], values: &mut [f32]) -> Result<()> {
        let (most, codes) = record.split_first_chunk::<HEAD>().expect("a record has its length");
        let most = f32::from_le_bytes(*most);
        if !most.is_finite() || most.is_sign_negative() {
            return Err(Error::data(format!("expected a finite largest magnitude, found {most:?}")));
        }
        let fits = match most {
            0.0 => codes.iter().all(|c| *c == ZERO),
            _ => codes.iter().any(|c| *c == 0 || *c == 255),
        };
        if !fits {
            return Err(Error::data(format!("the codes are not of values of which {most:?} is the largest magnitude")));
        }
        let table = table();
        for (value, code) in values.iter_mut().zip(codes) {
            // A product that underflows is +0.
            *value = table[usize::from(*code)] * most + 0.0;
        }
        Ok(())
    }

    fn anatomy(&self, chunks: &Chunks, records: &[u8]) -> Result<Anatomy> {
        let (mut rest, mut counts) = (records, [0usize; 256]);
        for number in 0..chunks.count() {
            let n = chunks.get(number).size();
            rest[HEAD..HEAD + n].iter().for_each(|code| counts[usize::from(*code)] += 1);
            rest = &rest[HEAD + n..];
        }
        let sent = counts.iter().sum();
        Ok(Anatomy { sent, value_bits: 8 * sent, value_bound: entropy(counts), ..Anatomy::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract::Codec;
    use super::*;

    #[test]
    fn the_table_ascends_and_is_the_papers() {
        let table = table();
        assert!(table.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!((table[127], table[255], table[128]), (0.0, 1.0, 0.55e-6));
        assert_eq!(table[0], -table[254]);
        assert_eq!(table[254], (0.1 + 0.9 * 63.5 / 64.0) as f32);
        for (i, value) in table.iter().enumerate() {
            assert_eq!(usize::from(code(table, *value)), i);
        }
        assert_eq!((code(table, -1.0), code(table, 1.0), code(table, -0.0), code(table, 1e-30)), (0, 255, 127, 127));
    }

    #[test]
    fn a_record_by_hand() {
        let payload = Blockwise8.encode(&[3], &[-2.0, 0.0, 1.0]).unwrap();
        // 1 / 2 lies between 0.1 + 0.9 28.5 / 64 = 0.50078 (code 191 + 28) and the one below, 0.4867.
        assert_eq!(payload, [&2f32.to_le_bytes()[..], &[0, 127, 219]].concat());
        let values = Blockwise8.decode(&[3], &payload).unwrap();
        assert_eq!(values, [-2.0 * table()[254], 0.0, 2.0 * table()[219]]);
    }

    #[test]
    fn what_no_encoder_writes_is_refused() {
        let refused = |most: f32, codes: [u8; 2]| {
            Blockwise8.decode(&[2], &[&most.to_le_bytes()[..], &codes].concat()).unwrap_err().to_string()
        };
        for most in [f32::NAN, f32::INFINITY, -1.0, -0.0] {
            assert!(refused(most, [127, 255]).contains("finite largest magnitude"));
        }
        for (most, codes) in [(0.0, [127, 128]), (1.0, [1, 254])] {
            let says = format!("the codes are not of values of which {most:?} is the largest magnitude");
            assert!(refused(most, codes).ends_with(&says), "{}", refused(most, codes));
        }
    }
}
