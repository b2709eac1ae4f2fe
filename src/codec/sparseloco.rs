//! `sparseloco` (arXiv 2508.15706, the paper's form): the largest values of each chunk, 2 bits each, and where they stand.
//!
//! **Selection.** A tensor is cut into chunks (see `chunks`: blocks of 64 x 64, or runs of 4096; at the edges fewer). Of a
//! chunk of n elements k = ceil(top_k * n / 4096) are kept: those of the largest magnitude (the bits of the absolute
//! value as an integer), of equals those with the smaller index. They are sent by chunk, then by ascending index.
//! So k is scaled to ragged chunks, as in the paper; its published code sends them nearly whole.
//!
//! **Values.** 2 bits each, by one quantiser per tensor (see `quantise`).
//!
//! **Payload.** With K the number of values kept in the whole tensor, which shape and top_k decide:
//!
//! ```text
//! bytes 0..16            bin_0, bin_1, bin_2, bin_3: float32, little-endian
//! ceil(2 K / 8) bytes    codes: value i in bits 2i and 2i+1, counted from the lowest bit of the first byte
//! ceil(12 K / 8) bytes   indices within the chunk, row-major: value i in bits 12i to 12i+11, counted likewise
//! ```
//!
//! Both sections end in zero bits up to a whole byte. What a decoder refuses, because no encoder writes it: another
//! length; an index not above the one before it in the same chunk, or beyond the chunk; a non-zero padding bit; a bin that
//! is not finite or is -0; an unused bin that is not +0; bins in use that do not strictly ascend.
//!
//! Positions that are not sent decode to +0. A payload thus stands for one tensor, and a tensor has one payload, save
//! for the places of values in a bin that is zero.

use std::ops::RangeInclusive;

use rayon::prelude::*;

use super::anatomy::{Anatomy, binomial, entropy};
use super::bits::{pack, packed_len, padding_is_zero, unpack};
use super::contract::{Codec, check_len, check_values};
use super::quantise::quantise;
use super::select::{kept, largest};
use super::shapes::{elements, zeros};
use crate::artifact::chunks::{CHUNK, Chunks};
use crate::error::{Error, Result};

const BINS: usize = 4;
const BINS_LEN: usize = BINS * 4;
const CODE_BITS: u32 = 2;
const INDEX_BITS: u32 = 12;

/// Top-k of every chunk, 2-bit values, 12-bit indices.
#[derive(Clone, Copy, Debug)]
pub struct SparseLoco {
    top_k: usize,
}

impl SparseLoco {
    /// Keeps `top_k` values of every 4096; it must be 1 to 4096, which a recipe's check ensures.
    pub fn new(top_k: usize) -> SparseLoco {
        SparseLoco { top_k: top_k.clamp(1, CHUNK) }
    }

    /// How many of a whole tensor are kept; `None` beyond the limit on elements.
    fn kept_of(&self, shape: &[usize]) -> Option<usize> {
        elements(shape)?;
        Chunks::new(shape).sum_over_lengths(|n| kept(self.top_k, n))
    }

    /// The indices of a chunk's values to keep, ascending.
    fn select(&self, values: &[f32]) -> Vec<u16> {
        let mut keys = Vec::new();
        largest(values, kept(self.top_k, values.len()), &mut keys);
        let mut indices: Vec<u16> = keys.into_iter().map(|key| key.index()).collect();
        indices.sort_unstable();
        indices
    }
}

impl Codec for SparseLoco {
    fn name(&self) -> &'static str {
        "sparseloco"
    }

    fn payload_len(&self, shape: &[usize]) -> Option<RangeInclusive<usize>> {
        let kept = self.kept_of(shape)?;
        let len = BINS_LEN.checked_add(packed_len(kept, CODE_BITS)?)?.checked_add(packed_len(kept, INDEX_BITS)?)?;
        Some(len..=len)
    }

    fn encode(&self, shape: &[usize], values: &[f32]) -> Result<Vec<u8>> {
        check_values(shape, values)?;
        let chunks = Chunks::new(shape);
        let select = |room: &mut Vec<f32>, number| {
            chunks.get(number).copy_to(values, room);
            self.select(room)
        };
        let selected: Vec<Vec<u16>> = (0..chunks.count()).into_par_iter().map_init(Vec::new, select).collect();
        let kept: Vec<f32> = selected
            .iter()
            .enumerate()
            .flat_map(|(number, indices)| {
                let chunk = chunks.get(number);
                indices.iter().map(move |&i| values[chunk.position(i.into())])
            })
            .collect();
        let quantised = quantise(&kept)?;
        let mut payload: Vec<u8> = quantised.bins.iter().flat_map(|b| b.to_le_bytes()).collect();
        pack(quantised.codes.into_iter().map(u16::from), CODE_BITS, &mut payload);
        pack(selected.into_iter().flatten(), INDEX_BITS, &mut payload);
        check_len(self, shape, payload.len()).map_err(|e| Error::bug(e.to_string()))?;
        Ok(payload)
    }

    fn decode(&self, shape: &[usize], payload: &[u8]) -> Result<Vec<f32>> {
        check_len(self, shape, payload.len())?;
        // It is there: the length has been found for this shape.
        let all = self.kept_of(shape).unwrap_or(0);
        let (head, rest) = payload.split_at(BINS_LEN);
        let (codes, indices) = rest.split_at((all * CODE_BITS as usize).div_ceil(8));
        if !padding_is_zero(codes, CODE_BITS, all) || !padding_is_zero(indices, INDEX_BITS, all) {
            return Err(Error::data("expected zero bits as padding, found others"));
        }
        let bins = read_bins(head, unpack(codes, CODE_BITS, all))?;
        let mut values = zeros(shape)?;
        let mut sent = unpack(indices, INDEX_BITS, all).zip(unpack(codes, CODE_BITS, all));
        let chunks = Chunks::new(shape);
        for number in 0..chunks.count() {
            let chunk = chunks.get(number);
            let mut least = 0;
            for (index, code) in sent.by_ref().take(kept(self.top_k, chunk.size())) {
                let index = usize::from(index);
                if index < least || index >= chunk.size() {
                    return Err(Error::data(format!(
                        "chunk {number}: expected an index from {least} to {}, found {index}",
                        chunk.size() - 1
                    )));
                }
                least = index + 1;
                values[chunk.position(index)] = bins[usize::from(code)];
            }
        }
        Ok(values)
    }

    fn anatomy(&self, shape: &[usize], payload: &[u8]) -> Result<Anatomy> {
        check_len(self, shape, payload.len())?;
        let sent = self.kept_of(shape).unwrap_or(0);
        let chunks = Chunks::new(shape);
        let mut counts = [0; BINS];
        unpack(&payload[BINS_LEN..], CODE_BITS, sent).for_each(|code| counts[usize::from(code)] += 1);
        let sizes = (0..chunks.count()).map(|number| chunks.get(number).size());
        Ok(Anatomy {
            sent,
            index_bits: sent * INDEX_BITS as usize,
            value_bits: sent * CODE_BITS as usize,
            index_bound: sizes.map(|n| binomial(n, kept(self.top_k, n))).sum(),
            value_bound: entropy(counts),
        })
    }
}

/// The bins, checked against the codes that use them.
fn read_bins(head: &[u8], codes: impl Iterator<Item = u16>) -> Result<[f32; BINS]> {
    let (words, _) = head.as_chunks::<4>();
    let bins: [f32; BINS] = std::array::from_fn(|q| f32::from_le_bytes(words[q]));
    let mut used = [false; BINS];
    codes.for_each(|code| used[usize::from(code)] = true);
    let mut below: Option<f32> = None;
    for (q, (&bin, used)) in bins.iter().zip(used).enumerate() {
        if !bin.is_finite() || bin.to_bits() == (-0f32).to_bits() {
            return Err(Error::data(format!("bin {q}: expected a finite value other than -0, found {bin:?}")));
        }
        if !used && bin != 0.0 {
            return Err(Error::data(format!("bin {q}: expected 0, as no value is in it, found {bin:?}")));
        }
        if used && below.is_some_and(|b| bin <= b) {
            return Err(Error::data(format!("bin {q}: expected more than the bin below it, found {bin:?}")));
        }
        if used {
            below = Some(bin);
        }
    }
    Ok(bins)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 8 values of which ceil(1536 * 8 / 4096) = 3 are kept.
    const CODEC: SparseLoco = SparseLoco { top_k: 1536 };
    const VALUES: [f32; 8] = [0.5, -4.0, 1.0, 4.0, -1.0, 4.0, 0.0, -4.0];

    #[test]
    fn a_small_tensor_by_hand() {
        // Kept: 1, 3 and 5; 7 is as large as they are, but comes later. mean 4/3, std 3.771, scale 5.657:
        // u = 2 - 5.333/5.657 = 1.057 and 2 + 2.667/5.657 = 2.471: bins 1 and 2.
        let payload = CODEC.encode(&[8], &VALUES).unwrap();
        let mut expected = Vec::new();
        for bin in [0.0f32, -4.0, 4.0, 0.0] {
            expected.extend(bin.to_le_bytes());
        }
        expected.push(0b10_10_01);
        expected.extend([0x01, 0x30, 0x00, 0x05, 0x00]);
        assert_eq!(payload, expected);
        let decoded = CODEC.decode(&[8], &payload).unwrap();
        assert_eq!(decoded, [0.0, -4.0, 0.0, 4.0, 0.0, 4.0, 0.0, 0.0]);
    }

    #[test]
    fn the_published_ratio_holds_for_whole_chunks() {
        let len = *SparseLoco::new(64).payload_len(&[4096, 4096]).unwrap().end();
        assert_eq!(len, 16 + 4096 * (64 * 14 / 8));
        let ratio = (4096.0 * 4096.0 * 4.0) / len as f64;
        assert!((146.2..146.3).contains(&ratio), "{ratio}");
    }

    #[test]
    fn ragged_chunks_keep_their_share_and_at_least_one() {
        let codec = SparseLoco::new(64);
        assert_eq!([1, 63, 64, 65, 4095, 4096].map(|n| kept(64, n)), [1, 1, 1, 2, 64, 64]);
        assert_eq!(kept(4096, 77), 77);
        // Blocks of 4096, 64, 64 and 1.
        assert_eq!(codec.kept_of(&[65, 65]), Some(64 + 1 + 1 + 1));
    }

    #[test]
    fn every_flipped_bit_is_refused_or_means_something_else() {
        let payload = CODEC.encode(&[8], &VALUES).unwrap();
        let decoded = CODEC.decode(&[8], &payload).unwrap();
        let mut refused = 0;
        for bit in 0..payload.len() * 8 {
            let mut hostile = payload.clone();
            hostile[bit / 8] ^= 1 << (bit % 8);
            match CODEC.decode(&[8], &hostile) {
                Err(_) => refused += 1,
                Ok(other) => {
                    assert_ne!(other, decoded, "bit {bit}");
                    assert!(other.iter().all(|v| v.is_finite()), "bit {bit}");
                }
            }
        }
        // At least the unused bins, the padding and the bits of indices above 7.
        assert!(refused > 64 + 2 + 4 + 27, "{refused}");
    }

    #[test]
    fn what_no_encoder_writes_is_refused() {
        let good = CODEC.encode(&[8], &VALUES).unwrap();
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut payload = good.clone();
            change(&mut payload);
            CODEC.decode(&[8], &payload).unwrap_err().to_string()
        };
        let bin =
            |q: usize, value: f32| move |p: &mut Vec<u8>| p[q * 4..q * 4 + 4].copy_from_slice(&value.to_le_bytes());
        assert_eq!(with(&|p| p.truncate(21)), "expected a sparseloco payload of 22 bytes for shape [8], found 21");
        assert!(with(&|p| p.push(0)).contains("22 bytes"));
        assert!(with(&bin(1, f32::NAN)).contains("bin 1"));
        assert!(with(&bin(2, f32::INFINITY)).contains("bin 2"));
        assert!(with(&bin(0, -0.0)).contains("bin 0"));
        assert!(with(&bin(1, -0.0)).contains("bin 1"));
        assert_eq!(with(&bin(3, 5.0)), "bin 3: expected 0, as no value is in it, found 5.0");
        assert!(with(&bin(1, 4.0)).contains("bin 2: expected more than the bin below it, found "));
        assert_eq!(with(&|p| p[16] |= 0x40), "expected zero bits as padding, found others");
        assert!(with(&|p| p[21] |= 0x80).contains("padding"));
        // Twice the same index, descending ones, and one beyond the chunk.
        assert!(with(&|p| p[18] = 0x10).contains("chunk 0"));
        assert!(with(&|p| p[17] = 0x04).contains("chunk 0"));
        assert!(with(&|p| p[20] = 0x08).contains("chunk 0"));
    }

    #[test]
    fn an_impossible_shape_is_refused_before_anything_is_allocated() {
        for shape in [&[usize::MAX, usize::MAX][..], &[1 << 40], &[usize::MAX, 0], &[1; 9]] {
            assert!(CODEC.payload_len(shape).is_none());
            let refused = CODEC.decode(shape, &[0; 22]).unwrap_err().to_string();
            assert!(refused.ends_with(": larger than the 4294967296 elements that a tensor can have"), "{refused}");
        }
    }
}
