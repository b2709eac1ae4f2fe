//! Bits one after the other, the first in the lowest bit of the first byte; a field's lowest bit first.

use crate::error::{Error, Result};

/// Bits being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BitWriter {
    words: Vec<u64>,
    /// Bits of `held` in use, fewer than 64.
    used: u32,
    held: u64,
}

impl BitWriter {
    /// Appends the lowest `width` bits of a field, at most 32; the others must be zero.
    pub fn put(&mut self, field: u32, width: u32) {
        debug_assert!(width <= 32 && u64::from(field) >> width == 0);
        self.held |= u64::from(field) << self.used;
        self.used += width;
        if self.used >= 64 {
            self.words.push(self.held);
            self.used -= 64;
            self.held = u64::from(field) >> (width - self.used);
        }
    }

    /// Appends so many ones and a zero.
    pub fn put_unary(&mut self, mut ones: usize) {
        while ones >= 31 {
            self.put(0x7fff_ffff, 31);
            ones -= 31;
        }
        self.put((1 << ones) - 1, ones as u32 + 1);
    }

    /// Appends all bits of another.
    pub fn append(&mut self, other: &BitWriter) {
        for word in &other.words {
            self.put(*word as u32, 32);
            self.put((word >> 32) as u32, 32);
        }
        let low = other.used.min(32);
        self.put((other.held & ((1 << low) - 1)) as u32, low);
        self.put((other.held >> low) as u32, other.used - low);
    }

    /// The number of bits.
    pub fn len(&self) -> usize {
        self.words.len() * 64 + self.used as usize
    }

    /// The bytes, the last one filled up with zero bits.
    pub fn into_bytes(mut self) -> Vec<u8> {
        let len = self.len().div_ceil(8);
        self.words.push(self.held);
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }
}

/// Bits being read.
#[derive(Clone, Copy, Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Bits that are at hand in any case, unless the end is near.
const AT_HAND: usize = 57;

impl<'a> BitReader<'a> {
    /// From the first bit on.
    pub fn new(bytes: &'a [u8]) -> BitReader<'a> {
        BitReader { bytes, at: 0 }
    }

    /// How many bits have been read.
    pub fn position(&self) -> usize {
        self.at
    }

    fn left(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }

    /// The next bits, `AT_HAND` of them at least; zeros behind the end.
    fn peek(&self) -> u64 {
        let rest = &self.bytes[self.at / 8..];
        let word = match rest.first_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        word >> (self.at % 8)
    }

    /// The next field of at most 32 bits.
    pub fn take(&mut self, width: u32) -> Result<u32> {
        if width as usize > self.left() {
            return Err(ended());
        }
        let field = self.peek() & ((1 << width) - 1);
        self.at += width as usize;
        Ok(field as u32)
    }

    /// How many ones stand before the next zero, which is read too; refused above `most`.
    pub fn take_unary(&mut self, most: usize) -> Result<usize> {
        let mut ones = 0;
        loop {
            let sure = AT_HAND.min(self.left());
            let run = (!self.peek()).trailing_zeros() as usize;
            ones += run.min(sure);
            if ones > most {
                return Err(Error::data(format!("expected at most {most} ones in a row, found more")));
            }
            if run < sure {
                self.at += run + 1;
                return Ok(ones);
            }
            if sure < AT_HAND {
                return Err(ended());
            }
            self.at += sure;
        }
    }

    /// Whether nothing is left but zero bits up to the end of the byte.
    pub fn finish(mut self) -> Result<()> {
        let left = self.left();
        if left >= 8 {
            return Err(Error::data(format!("expected the payload to end after {} bits, found {left} more", self.at)));
        }
        if self.take(left as u32)? != 0 {
            return Err(Error::data("expected zero bits as padding, found others"));
        }
        Ok(())
    }
}

fn ended() -> Error {
    Error::data("the payload ends within a chunk")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut fields: Vec<(u32, u32)> = Vec::new();
        let mut state = 7u32;
        for _ in 0..3000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let width = state >> 27;
            fields.push((state & ((1 << width) - 1), width));
        }
        let mut plain = BitWriter::default();
        let mut parts = vec![BitWriter::default(); 7];
        for (i, (field, width)) in fields.iter().enumerate() {
            plain.put(*field, *width);
            parts[i * 7 / 3000].put(*field, *width);
        }
        let mut joined = BitWriter::default();
        parts.iter().for_each(|part| joined.append(part));
        assert_eq!(joined.len(), plain.len());
        let bytes = plain.into_bytes();
        assert_eq!(bytes, joined.into_bytes());
        let mut reader = BitReader::new(&bytes);
        for (field, width) in fields {
            assert_eq!(reader.take(width).unwrap(), field);
        }
        reader.finish().unwrap();
    }

    #[test]
    fn runs_of_ones_have_any_length() {
        let lengths = [0, 1, 30, 31, 32, 55, 56, 57, 58, 62, 63, 64, 65, 200, 4096, 0];
        let mut writer = BitWriter::default();
        lengths.iter().for_each(|n| writer.put_unary(*n));
        let bytes = writer.into_bytes();
        let mut reader = BitReader::new(&bytes);
        for n in lengths {
            assert_eq!(reader.take_unary(n).unwrap(), n);
        }
        assert!(reader.finish().is_ok());
        assert!(
            BitReader::new(&[0xff; 9]).take_unary(10_000).unwrap_err().to_string() == "the payload ends within a chunk"
        );
        assert!(BitReader::new(&[0xff; 90]).take_unary(500).is_err());
        assert!(BitReader::new(&[]).take_unary(500).is_err());
        assert!(BitReader::new(&[1]).take(9).is_err());
        assert!(BitReader::new(&[0, 0]).finish().is_err());
        let padded = BitReader::new(&[2]).finish().unwrap_err().to_string();
        assert_eq!(padded, "expected zero bits as padding, found others");
        assert!(BitReader::new(&[]).finish().is_ok());
    }
}
