//! `demo`: the largest coefficients of a cosine transform, a sign each (DeMo, arXiv 2411.19870, and DisTrO after it).
//!
//! DeMo's momentum, of which what was sent is taken away, is the error feedback here, and its decay the recipe's
//! `codec.feedback`. As in the 1-bit form that Psyche trains with, a coefficient is sent as its sign; beside it stands one scale a
//! chunk, the mean magnitude, so that feedback has a unit. DeMo takes the sign of the workers' mean once more: that
//! would be the outer step's to do, and is not done.
//!
//! **Transform.** A chunk of a matrix, at most 64 x 64, r rows and c columns: Y = C_r X C_c', first X C_c', then C_r times
//! that. A run of n elements that is longer than 64: as rows of 64, each times C_64', and a rest of fewer by its own
//! table. Back: C_r' (Y C_c). All products are chains of fma (A2). The table of the orthonormal DCT-II of size N, in f64 by
//! libm's cosine and sqrt, rounded once:
//!
//! ```text
//! C_N[u][j] = sqrt((u = 0 ? 1 : 2) / N) cos((2 j + 1) u mod 4 N  *  pi / (2 N))
//! ```
//!
//! **Record** of a chunk of n values, of which the k = ceil(top_k n / 4096) coefficients of the largest magnitude are sent, of equals
//! those with the smaller index, by ascending index (their order is that of the chunk's elements):
//!
//! ```text
//! 16 bits   scale: bfloat16 of the mean magnitude, sum in f64 by ascending index
//! 12 k      indices      k   signs, 1 is negative       then zero bits up to a whole byte
//! ```
//!
//! Bits fill bytes from the lowest on. Where the scale is 0, all bits are. What comes back is no further from the chunk than
//! zero is, up to rounding. Refused: an infinite or negative scale or a NaN; an index beyond the chunk or not above
//! the one before; bits other than zero behind the signs, or where the scale is 0; values that are not finite.

use std::sync::OnceLock;

use half::bf16;

use super::anatomy::{Anatomy, binomial, entropy};
use super::bitstream::{BitReader, BitWriter};
use super::records::Records;
use super::select::{kept, largest};
use crate::artifact::chunks::{CHUNK, Chunk, Chunks};
use crate::engine::{Engine, Mat, MatMut, Start};
use crate::error::{Error, Result};

const SIDE: usize = 64;
const SCALE_BITS: u32 = 16;
const INDEX_BITS: u32 = 12;

/// Top-k of each chunk's cosine transform, a sign each.
#[derive(Clone, Copy, Debug)]
pub struct Demo {
    top_k: usize,
}

impl Demo {
    /// Keeps `top_k` coefficients of every 4096; it must be 1 to 4096, which a recipe's check ensures.
    pub fn new(top_k: usize) -> Demo {
        Demo { top_k: top_k.clamp(1, CHUNK) }
    }
}

/// The table of size N, \[N x N\].
fn table(size: usize) -> &'static [f32] {
    static TABLES: [OnceLock<Vec<f32>>; SIDE + 1] = [const { OnceLock::new() }; SIDE + 1];
    TABLES[size].get_or_init(|| {
        let element = |u: usize, j: usize| {
            let norm = (if u == 0 { 1.0 } else { 2.0 } / size as f64).sqrt();
            let angle = ((2 * j + 1) * u % (4 * size)) as f64 * (std::f64::consts::PI / (2 * size) as f64);
            (norm * libm::cos(angle)) as f32
        };
        (0..size).flat_map(|u| (0..size).map(move |j| element(u, j))).collect()
    })
}

/// There, or back.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Forward,
    Back,
}

/// Transforms a chunk's values in place.
fn transform(chunk: &Chunk, values: &mut [f32], way: Way) {
    let (rows, columns) = chunk.sides();
    if columns <= SIDE {
        return block(rows, columns, values, way);
    }
    let whole = values.len() / SIDE * SIDE;
    let (whole, rest) = values.split_at_mut(whole);
    lines(whole.len() / SIDE, SIDE, whole, way);
    if !rest.is_empty() {
        lines(1, rest.len(), rest, way);
    }
}

/// Every row by itself: X C', or X C.
fn lines(rows: usize, columns: usize, values: &mut [f32], way: Way) {
    let input = values.to_vec();
    let (x, y) = (Mat::new(&input, rows, columns), MatMut::new(values, rows, columns));
    let c = Mat::new(table(columns), columns, columns);
    match way {
        Way::Forward => Engine::detect().matmul_nt(x, c, y, Start::Zero),
        Way::Back => Engine::detect().matmul_nn(x, c, y, Start::Zero),
    }
}

fn block(rows: usize, columns: usize, values: &mut [f32], way: Way) {
    lines(rows, columns, values, way);
    let input = values.to_vec();
    let (x, y) = (Mat::new(&input, rows, columns), MatMut::new(values, rows, columns));
    let c = Mat::new(table(rows), rows, rows);
    match way {
        Way::Forward => Engine::detect().matmul_nn(c, x, y, Start::Zero),
        Way::Back => Engine::detect().matmul_tn(c, x, y, Start::Zero),
    }
}

fn finite(values: &[f32]) -> Result<()> {
    match values.iter().all(|v| v.is_finite()) {
        true => Ok(()),
        false => Err(Error::data("its cosine transform overflows float32")),
    }
}

impl Records for Demo {
    const NAME: &'static str = "demo";

    fn record_len(&self, n: usize) -> usize {
        (SCALE_BITS as usize + kept(self.top_k, n) * (INDEX_BITS as usize + 1)).div_ceil(8)
    }

    fn write(&self, chunk: &Chunk, values: &[f32], record: &mut Vec<u8>) -> Result<()> {
        let mut coefficients = values.to_vec();
        transform(chunk, &mut coefficients, Way::Forward);
        finite(&coefficients)?;
        let k = kept(self.top_k, values.len());
        let mut keys = Vec::new();
        largest(&coefficients, k, &mut keys);
        keys.sort_unstable_by_key(|key| key.index());
        let sum = keys.iter().fold(0.0, |sum, key| sum + f64::from(key.magnitude()));
        let scale = bf16::from_f32((sum / k as f64) as f32);
        let scale = if scale.is_finite() { scale } else { bf16::MAX };
        let end = record.len() + self.record_len(values.len());
        if scale != bf16::ZERO {
            let mut bits = BitWriter::default();
            bits.put(scale.to_bits().into(), SCALE_BITS);
            keys.iter().for_each(|key| bits.put(key.index().into(), INDEX_BITS));
            for key in &keys {
                bits.put(coefficients[usize::from(key.index())].to_bits() >> 31, 1);
            }
            record.extend(bits.into_bytes());
        }
        record.resize(end, 0);
        Ok(())
    }

    fn read(&self, chunk: &Chunk, record: &[u8], values: &mut [f32]) -> Result<()> {
        let (n, k) = (values.len(), kept(self.top_k, values.len()));
        let mut bits = BitReader::new(record);
        let scale = bf16::from_bits(bits.take(SCALE_BITS)? as u16);
        if !scale.is_finite() || scale.is_sign_negative() {
            return Err(Error::data(format!("expected a finite scale, found {scale:?}")));
        }
        if scale == bf16::ZERO {
            return match record.iter().all(|byte| *byte == 0) {
                true => Ok(()),
                false => Err(Error::data("expected zero bits beside a scale of 0, found others")),
            };
        }
        let mut indices = Vec::with_capacity(k);
        let mut least = 0;
        for _ in 0..k {
            let index = bits.take(INDEX_BITS)? as usize;
            if index < least || index >= n {
                return Err(Error::data(format!("expected an index from {least} to {}, found {index}", n - 1)));
            }
            least = index + 1;
            indices.push(index);
        }
        let scale = scale.to_f32();
        for index in indices {
            values[index] = if bits.take(1)? == 1 { -scale } else { scale };
        }
        bits.finish()?;
        transform(chunk, values, Way::Back);
        finite(values)
    }

    fn anatomy(&self, chunks: &Chunks, records: &[u8]) -> Result<Anatomy> {
        let (mut anatomy, mut signs, mut rest) = (Anatomy::default(), [0; 2], records);
        for number in 0..chunks.count() {
            let n = chunks.get(number).size();
            let (record, after) = rest.split_at(self.record_len(n));
            rest = after;
            let (k, mut bits) = (kept(self.top_k, n), BitReader::new(record));
            if bits.take(SCALE_BITS)? == 0 {
                continue;
            }
            (0..k).try_for_each(|_| bits.take(INDEX_BITS).map(drop))?;
            for _ in 0..k {
                signs[bits.take(1)? as usize] += 1;
            }
            anatomy.sent += k;
            anatomy.index_bits += k * INDEX_BITS as usize;
            anatomy.value_bits += k;
            anatomy.index_bound += binomial(n, k);
        }
        anatomy.value_bound = entropy(signs);
        Ok(anatomy)
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract::Codec;
    use super::*;
    use crate::engine::philox;

    #[test]
    fn the_tables_are_orthonormal() {
        for size in [1, 2, 3, 17, 63, 64] {
            let c = table(size);
            for u in 0..size {
                for w in 0..size {
                    let dot: f64 = (0..size).map(|j| f64::from(c[u * size + j]) * f64::from(c[w * size + j])).sum();
                    let expected = f64::from(u8::from(u == w));
                    assert!((dot - expected).abs() < 1e-6, "{size} {u} {w}: {dot}");
                }
            }
        }
        assert_eq!(table(2)[0], 0.5f64.sqrt() as f32);
    }

    #[test]
    fn the_transform_is_its_definition_and_undone_by_its_inverse() {
        for shape in [&[13usize, 64][..], &[64, 64], &[5, 1], &[300], &[17]] {
            let chunk = Chunks::new(shape).get(0);
            let n = chunk.size();
            let values: Vec<f32> = (0..n as u64).map(|i| philox::normal([2, n as u32], i)).collect();
            let mut made = values.clone();
            transform(&chunk, &mut made, Way::Forward);
            // By the formula, in f64.
            let (rows, columns) = if shape == [300] { (4, 64) } else { chunk.sides() };
            let (rows_table, columns_table) = (table(rows), table(columns));
            for (u, w) in [(0, 0), (rows - 1, columns - 1), (rows / 2, columns / 3)] {
                let mut expected = 0.0;
                for i in 0..rows {
                    for j in 0..columns {
                        let over_rows = if shape == [300] {
                            f64::from(u8::from(i == u))
                        } else {
                            f64::from(rows_table[u * rows + i])
                        };
                        expected +=
                            over_rows * f64::from(columns_table[w * columns + j]) * f64::from(values[i * columns + j]);
                    }
                }
                assert!((f64::from(made[u * columns + w]) - expected).abs() < 1e-4, "{shape:?}");
            }
            transform(&chunk, &mut made, Way::Back);
            assert!(made.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-5), "{shape:?}");
        }
    }

    #[test]
    fn one_wave_is_one_coefficient() {
        // The third row of the table, in a block of 8 rows: coefficient (0, 2), sent by its sign and its size.
        let codec = Demo::new(64);
        let wave: Vec<f32> = (0..8).flat_map(|_| table(8)[16..24].iter().map(|v| v * -2.0)).collect();
        let payload = codec.encode(&[8, 8], &wave).unwrap();
        // -2 sqrt(8) = -5.66, as bfloat16 0x40b5; index 2 in 12 bits, then the sign.
        assert_eq!(payload, [0xb5, 0x40, 0x02, 0x10]);
        let back = codec.decode(&[8, 8], &payload).unwrap();
        assert!(back.iter().zip(&wave).all(|(a, b)| (a - b).abs() < 0.004));
    }

    #[test]
    fn what_no_encoder_writes_is_refused() {
        let codec = Demo::new(128);
        let values: Vec<f32> = (0..64).map(|i| philox::normal([5, 5], i)).collect();
        let good = codec.encode(&[64], &values).unwrap();
        // 16 + 2 * 13 bits in 6 bytes.
        assert_eq!(good.len(), 6);
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut payload = good.clone();
            change(&mut payload);
            codec.decode(&[64], &payload).unwrap_err().to_string()
        };
        assert!(with(&|p| p[1] = 0x7f).contains("overflows") || with(&|p| p[1] = 0xff).contains("finite scale"));
        assert!(with(&|p| p[..2].copy_from_slice(&0x7f80u16.to_le_bytes())).contains("finite scale"));
        assert!(with(&|p| p[1] |= 0x80).contains("finite scale"));
        assert!(with(&|p| p[..2].fill(0)) == "chunk 0: expected zero bits beside a scale of 0, found others");
        assert!(with(&|p| p[2..5].fill(0)).contains("an index from 1"));
        assert!(with(&|p| p[3] |= 0x08).contains("an index from"));
        assert!(with(&|p| p[5] |= 0x80).contains("padding"));
    }

    #[test]
    fn waves_that_add_up_beyond_float32_are_refused_both_ways() {
        let codec = Demo::new(4096);
        let refused = codec.encode(&[8, 8], &[f32::MAX; 64]).unwrap_err().to_string();
        assert_eq!(refused, "chunk 0: its cosine transform overflows float32");
    }
}
