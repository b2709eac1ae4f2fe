//! Where c of n elements stand: the gaps between ascending indices in Golomb's code (Golomb 1966), truncated binary.
//!
//! A gap g is the number of elements left out before the next one, g = q m + r. Written: q ones and a zero, then r:
//!
//! ```text
//! m = max(1, floor((45426 (n - c) / (c + 1) + 32768) / 65536))     45426 / 65536 = ln 2: m is ln 2 times the mean gap
//! b = the least number of bits with 2^b >= m, u = 2^b - m
//! r <  u    r in b - 1 bits
//! r >= u    floor((r + u) / 2) in b - 1 bits, then (r + u) mod 2 in one
//! ```
//!
//! With m = 1 there is no r, and with c = n there are no gaps to write. A gap has one code, and a code one gap. A gap of
//! uniformly drawn places takes 7.46 bits at c = 64 of n = 4096; log2 C(4096, 64) / 64 = 7.36 is the least possible.

use super::bitstream::{BitReader, BitWriter};
use crate::error::{Error, Result};

/// The code for c of n elements, 0 < c <= n.
#[derive(Clone, Copy, Debug)]
pub struct Golomb {
    n: usize,
    c: usize,
    m: u32,
    /// b - 1, where m > 1.
    low_bits: u32,
    /// u.
    short: u32,
}

impl Golomb {
    /// The code for `c` of at most 4096 elements.
    pub fn new(n: usize, c: usize) -> Golomb {
        debug_assert!(0 < c && c <= n && n <= 4096);
        let m = ((45426 * (n - c) / (c + 1) + 32768) >> 16).max(1) as u32;
        let b = m.next_power_of_two().trailing_zeros();
        Golomb { n, c, m, low_bits: b.saturating_sub(1), short: (1 << b) - m }
    }

    /// Writes `c` ascending indices below `n`.
    pub fn write(&self, indices: impl IntoIterator<Item = u16>, to: &mut BitWriter) {
        if self.c == self.n {
            return;
        }
        let mut next = 0;
        for index in indices {
            let gap = u32::from(index) - next;
            next = u32::from(index) + 1;
            let (q, r) = (gap / self.m, gap % self.m);
            to.put_unary(q as usize);
            if self.m > 1 {
                if r < self.short {
                    to.put(r, self.low_bits);
                } else {
                    let long = r + self.short;
                    to.put(long >> 1, self.low_bits);
                    to.put(long & 1, 1);
                }
            }
        }
    }

    /// Reads `c` indices, each of them given to `each`. Refuses one that is not below `n`.
    pub fn read(&self, from: &mut BitReader<'_>, mut each: impl FnMut(u16)) -> Result<()> {
        if self.c == self.n {
            (0..self.n).for_each(|i| each(i as u16));
            return Ok(());
        }
        let mut next = 0;
        for left in (0..self.c).rev() {
            // Each one that follows needs a place.
            let room = (self.n - next).saturating_sub(left);
            let mut gap = from.take_unary(room / self.m as usize)? as u32 * self.m;
            if self.m > 1 {
                let low = from.take(self.low_bits)?;
                gap += if low < self.short { low } else { (low << 1 | from.take(1)?) - self.short };
            }
            if gap as usize >= room {
                let (most, found) = ((next + room).saturating_sub(1), next + gap as usize);
                return Err(Error::data(format!("expected an index of at most {most}, found {found}")));
            }
            each((next as u32 + gap) as u16);
            next += gap as usize + 1;
        }
        Ok(())
    }

    /// The most bits that the indices can take.
    pub fn most_bits(&self) -> usize {
        if self.c == self.n {
            return 0;
        }
        let m = self.m as usize;
        let rest = if m > 1 { self.low_bits as usize + 1 } else { 0 };
        self.c * (1 + rest) + (self.n - self.c) / m
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::philox;

    fn bytes_of(n: usize, indices: &[u16]) -> (usize, Vec<u8>) {
        let mut writer = BitWriter::default();
        Golomb::new(n, indices.len()).write(indices.iter().copied(), &mut writer);
        (writer.len(), writer.into_bytes())
    }

    #[test]
    fn a_gap_by_hand() {
        // n 4096, c 64: m = (45426 * 4032 / 65 + 32768) >> 16 = 43, b = 6, u = 21.
        let golomb = Golomb::new(4096, 64);
        assert_eq!((golomb.m, golomb.low_bits, golomb.short), (43, 5, 21));
        let mut writer = BitWriter::default();
        // 63 = 1 * 43 + 20 -> 1 0, then 20 in five bits; 107 - 64 = 43 = 1 * 43 + 0;
        // 140 - 108 = 32 -> 0, then 53 = 26, 1.
        golomb.write([63, 107, 140], &mut writer);
        assert_eq!(writer.len(), 7 + 7 + 7);
        let bits = 0b01 | 20 << 2 | 0b01 << 7 | (26 << 15) | 1 << 20;
        assert_eq!(writer.into_bytes(), u32::to_le_bytes(bits)[..3]);
    }

    #[test]
    fn every_set_of_places_comes_back() {
        for n in [1, 2, 3, 10, 64, 100, 4095, 4096] {
            for c in [1, 2, 3, 5, 63, 64, 100, 2000, 4000, 4095, 4096].into_iter().filter(|c| *c <= n) {
                let drawn = philox::permutation([n as u32, c as u32], n);
                let mut drawn: Vec<u16> = drawn[..c].iter().map(|i| *i as u16).collect();
                drawn.sort_unstable();
                let first: Vec<u16> = (0..c as u16).collect();
                let last: Vec<u16> = ((n - c) as u16..n as u16).collect();
                let mut ends = first.clone();
                ends[c - 1] = n as u16 - 1;
                for indices in [drawn, first, last, ends] {
                    let (bits, bytes) = bytes_of(n, &indices);
                    assert!(bits <= Golomb::new(n, c).most_bits(), "{c} of {n}");
                    let (mut found, mut reader) = (Vec::new(), BitReader::new(&bytes));
                    Golomb::new(n, c).read(&mut reader, |i| found.push(i)).unwrap();
                    assert_eq!(found, indices, "{c} of {n}");
                    assert_eq!(reader.position(), bits);
                }
            }
        }
    }

    #[test]
    fn uniform_places_take_little_more_than_they_must() {
        let mut bits = 0;
        for key in 0..400 {
            let mut drawn = philox::permutation([3, key], 4096);
            drawn.truncate(64);
            drawn.sort_unstable();
            let drawn: Vec<u16> = drawn.into_iter().map(|i| i as u16).collect();
            bits += bytes_of(4096, &drawn).0;
        }
        let each = bits as f64 / (400.0 * 64.0);
        assert!((7.40..7.47).contains(&each), "{each}");
    }

    #[test]
    fn a_place_beyond_the_end_is_refused() {
        let (_, bytes) = bytes_of(4096, &[4094, 4095]);
        let refused = Golomb::new(4095, 2).read(&mut BitReader::new(&bytes), |_| {}).unwrap_err().to_string();
        assert_eq!(refused, "expected an index of at most 4093, found 4094");
        assert!(Golomb::new(64, 2).read(&mut BitReader::new(&[0xff; 64]), |_| {}).is_err());
    }
}
