//! Fields of a few bits, packed without gaps: the first field in the lowest bits of the first byte.

/// The bytes that `count` fields of `width` bits take, the last one padded with zero bits.
pub fn packed_len(count: usize, width: u32) -> Option<usize> {
    Some(count.checked_mul(width as usize)?.div_ceil(8))
}

/// Appends fields of `width` bits (at most 16), padded with zero bits to a whole byte.
pub fn pack(fields: impl IntoIterator<Item = u16>, width: u32, out: &mut Vec<u8>) {
    let (mut held, mut bits) = (0u32, 0);
    for field in fields {
        debug_assert!(u32::from(field) >> width == 0);
        held |= u32::from(field) << bits;
        bits += width;
        while bits >= 8 {
            out.push(held as u8);
            held >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        out.push(held as u8);
    }
}

/// The `count` fields of `width` bits that `bytes` (of [`packed_len`]) holds.
pub fn unpack(bytes: &[u8], width: u32, count: usize) -> impl Iterator<Item = u16> {
    let mut rest = bytes.iter();
    let (mut held, mut bits) = (0u32, 0);
    (0..count).map(move |_| {
        while bits < width {
            held |= u32::from(rest.next().copied().unwrap_or(0)) << bits;
            bits += 8;
        }
        let field = held & ((1 << width) - 1);
        held >>= width;
        bits -= width;
        field as u16
    })
}

/// Whether the bits behind the `count` fields are all zero.
pub fn padding_is_zero(bytes: &[u8], width: u32, count: usize) -> bool {
    let used = (count * width as usize) % 8;
    used == 0 || bytes.last().is_none_or(|last| last >> used == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_fill_bytes_from_the_lowest_bit() {
        let mut bytes = Vec::new();
        pack([1, 2, 3, 0, 2], 2, &mut bytes);
        assert_eq!(bytes, [0b00_11_10_01, 0b10]);
        assert_eq!(unpack(&bytes, 2, 5).collect::<Vec<_>>(), [1, 2, 3, 0, 2]);
        bytes.clear();
        pack([0xabc, 0x123, 0xfff], 12, &mut bytes);
        assert_eq!(bytes, [0xbc, 0x3a, 0x12, 0xff, 0x0f]);
        assert_eq!(unpack(&bytes, 12, 3).collect::<Vec<_>>(), [0xabc, 0x123, 0xfff]);
        assert_eq!(packed_len(3, 12), Some(5));
        assert!(padding_is_zero(&bytes, 12, 3));
        bytes[4] |= 0x10;
        assert!(!padding_is_zero(&bytes, 12, 3));
    }
}
