//! `l402`: the largest values of each chunk, two bits each, two levels a chunk, and where they stand in Golomb's code.
//!
//! After SparseLoCo (arXiv 2508.15706), with another quantiser and another code for places. What is sent of a chunk follows
//! from the chunk's own values alone, so that a chunk can be checked without the rest of its tensor.
//!
//! **Selection.** As in `sparseloco`: of a chunk of n elements the k = ceil(top_k n / 4096) of the largest magnitude, of
//! equals those with the smaller index. Of those, c are sent, the largest: all, unless some are 0 or so small beside the
//! others that 0 is nearer to them than any level (see `levels`).
//!
//! **Payload.** The chunks of the tensor one after the other, as bits, the lowest bit of the first byte first; fields from
//! their lowest bit on. The last byte is filled up with zero bits. A chunk:
//!
//! ```text
//! 12 bits   lo: a level (see `levels`); 0: the chunk is zero, and nothing more follows
//!  4 bits   form: 0 to 14: hi = lo times the form's ratio, c = k; 15: the chunk is wide, and there follow
//!   12 bits   c - 1, below k
//!   12 bits   hi: a level, above lo; 0 where no value has it
//! gaps      c indices, ascending, row-major within the chunk, in Golomb's code for c of n (see `golomb`)
//! c bits    signs, in the order of the indices; 1: negative
//! c bits    levels, likewise; 1: hi
//! ```
//!
//! What is not sent decodes to +0, a value that is sent to ±lo or ±hi. What a decoder refuses, because no encoder writes it:
//! a payload that ends early or goes on; a non-zero padding bit; an infinite level; an index beyond the chunk (a gap cannot
//! descend or repeat); hi in all values of a chunk; a form other than 0, or a level hi, that no value uses; and as wide a
//! chunk that is not: c = k, and no hi above the forms' reach.

use std::ops::RangeInclusive;

use rayon::prelude::*;

use super::anatomy::{Anatomy, binomial, entropy};
use super::bitstream::{BitReader, BitWriter};
use super::contract::{ByChunk, Codec, check_len, check_values};
use super::golomb::Golomb;
use super::levels::{FORMS, High, Level, fit, high_of, least_wide};
use super::select::{Key, kept, largest};
use super::shapes::{elements, zeros};
use crate::artifact::chunks::{CHUNK, Chunk, Chunks};
use crate::engine::Engine;
use crate::error::{Context, Error, Result};

const LEVEL_BITS: u32 = 12;
const FORM_BITS: u32 = 4;
const COUNT_BITS: u32 = 12;
/// Chunks that one thread takes at a time.
const BATCH: usize = 64;

/// Top-k of every chunk, a sign and one of two levels each.
#[derive(Clone, Copy, Debug)]
pub struct L402 {
    top_k: usize,
}

/// Room for the work on one chunk.
struct Room {
    values: Vec<f32>,
    keys: Vec<Key>,
    magnitudes: Vec<f32>,
    sums: Vec<f64>,
}

impl Room {
    fn new() -> Room {
        Room { values: Vec::with_capacity(CHUNK), keys: Vec::new(), magnitudes: Vec::new(), sums: Vec::new() }
    }

    /// Writes the chunk whose values are in `values`.
    fn write(&mut self, top_k: usize, to: &mut BitWriter) {
        let n = self.values.len();
        let k = kept(top_k, n);
        largest(&self.values, k, &mut self.keys);
        self.keys.sort_unstable();
        self.magnitudes.clear();
        self.magnitudes.extend(self.keys.iter().map(|key| key.magnitude()));
        let Some(levels) = fit(&self.magnitudes, &mut self.sums) else {
            to.put(0, LEVEL_BITS);
            return;
        };
        to.put(levels.low.code(), LEVEL_BITS);
        match levels.high {
            High::Form(form) => to.put(form as u32, FORM_BITS),
            High::Wide(high) => {
                to.put(FORMS as u32, FORM_BITS);
                to.put(levels.count as u32 - 1, COUNT_BITS);
                to.put(high.map_or(0, Level::code), LEVEL_BITS);
            }
        }
        let keys = &mut self.keys[..levels.count];
        keys.sort_unstable_by_key(|key| key.index());
        Golomb::new(n, levels.count).write(keys.iter().map(|key| key.index()), to);
        for key in keys.iter() {
            to.put(self.values[usize::from(key.index())].to_bits() >> 31, 1);
        }
        for key in keys.iter() {
            to.put(u32::from(f64::from(key.magnitude()) > levels.middle), 1);
        }
    }
}

/// What a chunk begins with.
struct Head {
    low: Level,
    form: usize,
    /// In a wide chunk, how many values are sent, and the upper level.
    wide: Option<(usize, Level)>,
}

impl Head {
    /// `None` for a chunk of zeros.
    fn read(from: &mut BitReader<'_>) -> Result<Option<Head>> {
        let level =
            |code: u32| Level::from_code(code).ok_or_else(|| Error::data("expected a finite level, found none"));
        let low = level(from.take(LEVEL_BITS)?)?;
        if low.code() == 0 {
            return Ok(None);
        }
        let form = from.take(FORM_BITS)? as usize;
        let wide = match form == FORMS {
            true => Some((from.take(COUNT_BITS)? as usize + 1, level(from.take(LEVEL_BITS)?)?)),
            false => None,
        };
        Ok(Some(Head { low, form, wide }))
    }
}

/// One value that is sent.
type Sent = (u16, f32);

impl L402 {
    /// Keeps `top_k` values of every 4096; it must be 1 to 4096, which a recipe's check ensures.
    pub fn new(top_k: usize) -> L402 {
        L402 { top_k: top_k.clamp(1, CHUNK) }
    }

    /// The most bits of a chunk of n elements.
    fn most_bits(&self, n: usize) -> usize {
        let k = kept(self.top_k, n);
        let gaps = (1..=k).map(|c| Golomb::new(n, c).most_bits() + 2 * c).max().unwrap_or(0);
        (2 * LEVEL_BITS + FORM_BITS + COUNT_BITS) as usize + gaps
    }

    /// Reads a chunk of n elements; what it sends goes to the end of `sent`.
    fn read(&self, n: usize, from: &mut BitReader<'_>, sent: &mut Vec<Sent>) -> Result<()> {
        let Some(Head { low, form, wide }) = Head::read(from)? else { return Ok(()) };
        let k = kept(self.top_k, n);
        let count = wide.map_or(k, |(count, _)| count);
        if count > k {
            return Err(Error::data(format!("expected at most {k} values, found {count}")));
        }
        let wide = wide.map(|(_, high)| high);
        let first = sent.len();
        Golomb::new(n, count).read(from, |index| sent.push((index, low.value())))?;
        let sent = &mut sent[first..];
        for (_, value) in sent.iter_mut() {
            if from.take(1)? == 1 {
                *value = -*value;
            }
        }
        let high = match wide {
            Some(high) => high.value(),
            None => high_of(low, form).unwrap_or(f32::INFINITY),
        };
        let mut above = 0;
        for (_, value) in sent.iter_mut() {
            if from.take(1)? == 1 {
                *value = high.copysign(*value);
                above += 1;
            }
        }
        let refuse = |what: &str| Err(Error::data(format!("not as an encoder writes it: {what}")));
        match wide {
            _ if above == count => refuse("all values have the upper level"),
            None if above == 0 && form > 0 => refuse("no value has the upper level, and the form is not 0"),
            None if above > 0 && !(high.is_finite() && high > low.value()) => {
                refuse("the upper level is infinite, or the lower one")
            }
            Some(high) if (above == 0) != (high.code() == 0) => {
                refuse("an upper level without values, or values without it")
            }
            Some(high) if above > 0 && high <= low => refuse("the upper level is not above the lower one"),
            Some(high) if count == k && high < least_wide(low) => refuse("a wide chunk that need not be one"),
            _ => Ok(()),
        }
    }
}

impl Codec for L402 {
    fn name(&self) -> &'static str {
        "l402"
    }

    fn payload_len(&self, shape: &[usize]) -> Option<RangeInclusive<usize>> {
        elements(shape)?;
        let chunks = Chunks::new(shape);
        let least = chunks.count().checked_mul(LEVEL_BITS as usize)?.div_ceil(8);
        let most = chunks.sum_over_lengths(|n| self.most_bits(n))?.div_ceil(8);
        Some(least..=most)
    }

    fn encode(&self, shape: &[usize], values: &[f32]) -> Result<Vec<u8>> {
        check_values(shape, values)?;
        let chunks = Chunks::new(shape);
        let batch = |number: usize| {
            let (mut bits, mut room) = (BitWriter::default(), Room::new());
            for number in number * BATCH..((number + 1) * BATCH).min(chunks.count()) {
                chunks.get(number).copy_to(values, &mut room.values);
                room.write(self.top_k, &mut bits);
            }
            bits
        };
        // A thread of the pool may have been left in another mode than this one.
        let batches = chunks.count().div_ceil(BATCH);
        let parts: Vec<BitWriter> =
            (0..batches).into_par_iter().map(|number| Engine::detect().define(|| batch(number))).collect();
        let mut bits = BitWriter::default();
        parts.iter().for_each(|part| bits.append(part));
        let payload = bits.into_bytes();
        check_len(self, shape, payload.len()).map_err(|e| Error::bug(e.to_string()))?;
        Ok(payload)
    }

    fn decode(&self, shape: &[usize], payload: &[u8]) -> Result<Vec<f32>> {
        check_len(self, shape, payload.len())?;
        let chunks = Chunks::new(shape);
        let mut values = zeros(shape)?;
        let (mut bits, mut sent) = (BitReader::new(payload), Vec::new());
        for number in 0..chunks.count() {
            let chunk = chunks.get(number);
            sent.clear();
            self.read(chunk.size(), &mut bits, &mut sent).at(format!("chunk {number}"))?;
            scatter(&chunk, &sent, &mut values);
        }
        bits.finish()?;
        Ok(values)
    }

    fn by_chunk(&self) -> Option<&dyn ByChunk> {
        Some(self)
    }

    fn anatomy(&self, shape: &[usize], payload: &[u8]) -> Result<Anatomy> {
        check_len(self, shape, payload.len())?;
        let chunks = Chunks::new(shape);
        let (mut bits, mut sent, mut anatomy, mut symbols) =
            (BitReader::new(payload), Vec::new(), Anatomy::default(), [0; 4]);
        for number in 0..chunks.count() {
            let n = chunks.get(number).size();
            let start = bits;
            sent.clear();
            self.read(n, &mut bits, &mut sent).at(format!("chunk {number}"))?;
            let count = sent.len();
            if count == 0 {
                continue;
            }
            let least = sent.iter().fold(f32::INFINITY, |least, (_, v)| if v.abs() < least { v.abs() } else { least });
            for (_, value) in &sent {
                symbols[usize::from(value.is_sign_negative()) * 2 + usize::from(value.abs() > least)] += 1;
            }
            let mut after = start;
            Head::read(&mut after)?;
            let head = after.position() - start.position();
            anatomy.sent += count;
            anatomy.index_bits += bits.position() - start.position() - head - 2 * count;
            anatomy.value_bits += 2 * count;
            anatomy.index_bound += binomial(n, count);
        }
        anatomy.value_bound = entropy(symbols);
        Ok(anatomy)
    }
}

impl ByChunk for L402 {
    /// The chunk's bits are made again and compared.
    fn check_chunk(&self, shape: &[usize], payload: &[u8], chunk: usize, values: &[f32]) -> Result<()> {
        check_len(self, shape, payload.len())?;
        let chunks = Chunks::new(shape);
        let (mut bits, mut sent) = (BitReader::new(payload), Vec::new());
        for number in 0..chunk {
            sent.clear();
            self.read(chunks.get(number).size(), &mut bits, &mut sent).at(format!("chunk {number}"))?;
        }
        let mut expected = BitWriter::default();
        let mut room = Room::new();
        room.values.extend_from_slice(values);
        room.write(self.top_k, &mut expected);
        let (len, expected) = (expected.len(), expected.into_bytes());
        let mut ours = BitReader::new(&expected);
        while ours.position() < len {
            let width = (len - ours.position()).min(32) as u32;
            let at = ours.position();
            let (ours, theirs) = (ours.take(width)?, bits.take(width)?);
            if ours != theirs {
                return Err(Error::refused(format!("expected {ours:#x} at bit {at} of the chunk, found {theirs:#x}")));
            }
        }
        Ok(())
    }
}

fn scatter(chunk: &Chunk, sent: &[Sent], values: &mut [f32]) {
    for &(index, value) in sent {
        values[chunk.position(index.into())] = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 8 values of which ceil(1536 * 8 / 4096) = 3 are kept.
    const CODEC: L402 = L402 { top_k: 1536 };

    /// The payload of these fields, and what it decodes to in a tensor of 8.
    fn fields(fields: &[(u32, u32)]) -> Result<Vec<f32>> {
        let mut bits = BitWriter::default();
        fields.iter().for_each(|(field, width)| bits.put(*field, *width));
        CODEC.decode(&[8], &bits.into_bytes())
    }

    #[test]
    fn a_small_tensor_by_hand() {
        let payload = CODEC.encode(&[8], &[0.5, -4.0, 1.0, 2.0, -1.0, 4.0, 0.0, -1.5]).unwrap();
        // Kept: 1, 3, 5. lo 2 (bits 0x40000000, level 0x800); 4 is nearest to form 5, 1.915 times that. n 8, c 3: m = 1: the
        // gaps 1, 1, 1 are 10 10 10. Signs 1 0 0, levels 1 0 1, from the lowest bit on.
        let mut bits = BitWriter::default();
        for (field, width) in [(0x800, 12), (5, 4), (0b010101, 6), (0b001, 3), (0b101, 3)] {
            bits.put(field, width);
        }
        assert_eq!(payload, bits.into_bytes());
        let high = 2.0 * super::super::levels::RATIOS[5];
        assert_eq!(CODEC.decode(&[8], &payload).unwrap(), [0.0, -high, 0.0, 2.0, 0.0, high, 0.0, 0.0]);
    }

    #[test]
    fn zero_and_wide_chunks_by_hand() {
        assert_eq!(CODEC.encode(&[8], &[0.0; 8]).unwrap(), [0, 0]);
        // 1 and -64: wide, 2 of 8, lo 1 (0x7f0), hi 64 (0x850); m = 1: gaps 2 and 1.
        let mut values = [0.0; 8];
        (values[2], values[4]) = (1.0, -64.0);
        let wide = [(0x7f0, 12), (15, 4), (1, 12), (0x850, 12), (0b01011, 5), (0b10, 2), (0b10, 2)];
        assert_eq!(fields(&wide).unwrap(), values);
        let mut bits = BitWriter::default();
        wide.iter().for_each(|(field, width)| bits.put(*field, *width));
        assert_eq!(CODEC.encode(&[8], &values).unwrap(), bits.into_bytes());
    }

    #[test]
    fn what_no_encoder_writes_is_refused() {
        let good = [(0x800, 12), (5, 4), (0b010101, 6), (0b001, 3), (0b101, 3)];
        assert!(fields(&good).is_ok());
        let refused = |changed: &[(usize, (u32, u32))], says: &str| {
            let mut bent = good.to_vec();
            for (at, field) in changed {
                if *at < bent.len() { bent[*at] = *field } else { bent.push(*field) }
            }
            let error = fields(&bent).unwrap_err().to_string();
            assert!(error.contains(says), "{changed:?}: {error}");
        };
        refused(&[(5, (0, 12))], "to end after");
        refused(&[(5, (8, 4))], "padding");
        refused(&[(0, (0xff0, 12))], "finite level");
        refused(&[(0, (0xfff, 12))], "finite level");
        refused(&[(4, (0b111, 3))], "not as an encoder writes it: all values have the upper level");
        refused(&[(4, (0b000, 3))], "no value has the upper level, and the form is not 0");
        // A chunk of zeros has nothing behind its 12 bits.
        refused(&[(0, (0, 12))], "to end after");
        // 0, 1, and six further on.
        refused(&[(2, (0b0_1111_1100, 9))], "expected an index of at most 7, found ");
        refused(&[(0, (0xfef, 12))], "the upper level is infinite, or the lower one");
        let wide = |count: u32, high: u32, gaps: (u32, u32), levels: (u32, u32)| {
            fields(&[(0x800, 12), (15, 4), (count - 1, 12), (high, 12), gaps, (0, levels.1), levels])
        };
        let says = |result: Result<Vec<f32>>, says: &str| {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        };
        assert!(wide(2, 0x850, (0, 2), (1, 2)).is_ok());
        assert!(wide(2, 0, (0, 2), (0, 2)).is_ok());
        says(wide(4, 0x850, (0, 4), (1, 4)), "at most 3");
        says(wide(2, 0x850, (0, 2), (0, 2)), "an upper level without values, or values without it");
        says(wide(2, 0, (0, 2), (1, 2)), "an upper level without values, or values without it");
        says(wide(2, 0xff0, (0, 2), (1, 2)), "finite level");
        says(wide(2, 0x800, (0, 2), (1, 2)), "the upper level is not above the lower one");
        says(wide(2, 0x850, (0, 2), (3, 2)), "all values");
        // All three are sent: then it must be a level that no form reaches, 5.37 times the lower one.
        says(wide(3, 0x820, (0, 3), (1, 3)), "a wide chunk that need not be one");
        says(wide(3, 0, (0, 3), (0, 3)), "a wide chunk that need not be one");
        assert!(wide(3, 0x828, (0, 3), (1, 3)).is_ok());
    }
}
