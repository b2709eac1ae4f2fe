//! TensorBoard's event files: records of TensorFlow (length, its checksum, data, their checksum), each an `Event` message of
//! protocol buffers. The fields are those of tensorflow/core/util/event.proto and framework/summary.proto.

/// A field's number and how it is coded.
const WALL_TIME: u8 = 1 << 3 | FIXED64;
const STEP: u8 = 2 << 3 | VARINT;
const FILE_VERSION: u8 = 3 << 3 | BYTES;
const SUMMARY: u8 = 5 << 3 | BYTES;
const VALUE: u8 = 1 << 3 | BYTES;
const TAG: u8 = 1 << 3 | BYTES;
const SIMPLE_VALUE: u8 = 2 << 3 | FIXED32;

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// The event that a file begins with.
pub fn version(wall_time: f64) -> Vec<u8> {
    let mut event = timed(wall_time);
    bytes(FILE_VERSION, b"brain.Event:2", &mut event);
    record(&event)
}

/// Numbers of one step.
pub fn scalars(wall_time: f64, step: i64, values: &[(&str, f32)]) -> Vec<u8> {
    let mut event = timed(wall_time);
    event.push(STEP);
    varint(step as u64, &mut event);
    let mut summary = Vec::new();
    for (tag, value) in values {
        let mut one = Vec::new();
        bytes(TAG, tag.as_bytes(), &mut one);
        one.push(SIMPLE_VALUE);
        one.extend(value.to_le_bytes());
        bytes(VALUE, &one, &mut summary);
    }
    bytes(SUMMARY, &summary, &mut event);
    record(&event)
}

fn timed(wall_time: f64) -> Vec<u8> {
    [&[WALL_TIME][..], &wall_time.to_le_bytes()].concat()
}

fn bytes(field: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(field);
    varint(content.len() as u64, out);
    out.extend(content);
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn record(data: &[u8]) -> Vec<u8> {
    let len = (data.len() as u64).to_le_bytes();
    [&len[..], &masked(crc32c(&len)), data, &masked(crc32c(data))].concat()
}

/// Checksums of data that hold checksums would be weak: these are turned and moved.
fn masked(crc: u32) -> [u8; 4] {
    crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// CRC-32C (Castagnoli), bit by bit: some hundred bytes a step.
fn crc32c(data: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in data {
        crc ^= u32::from(*byte);
        (0..8).for_each(|_| crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()));
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn an_event_has_the_bytes_that_tensorflow_writes() {
        let event = scalars(1.0, 300, &[("loss", 2.0)]);
        let data = b"\x09\0\0\0\0\0\0\xf0\x3f\x10\xac\x02\x2a\x0d\x0a\x0b\x0a\x04loss\x15\0\0\0\x40";
        assert_eq!(event[8 + 4..event.len() - 4], data[..]);
        assert_eq!(event[..8], (data.len() as u64).to_le_bytes());
    }
}
