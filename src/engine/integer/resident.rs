//! Operands as digits in a device's memory.

use crate::engine::memory::Buffer;

/// What a product takes of a vector: high digits, sums of digits, low digits.
pub(crate) const PLANES: usize = 3;
/// Digits of a plane come in multiples of so many.
const PLANE_UNIT: usize = 64;
/// Rows of which a block finds the largest of each column, and the squares.
pub(crate) const PIECE: usize = 256;

/// Vectors' digits and steps, in the order in which `kernels/integer_quantise.cu` leaves them.
#[derive(Debug)]
pub struct Resident {
    /// Of each vector, block after block, the planes of its high digits, of its digits' sums, of its low digits.
    pub digits: Buffer<i8>,
    /// What an integer of each vector is worth, block after block.
    pub steps: Buffer,
}

impl Resident {
    /// Digits of a plane of `k` values.
    pub fn depth(k: usize) -> usize {
        k.next_multiple_of(PLANE_UNIT)
    }

    /// Bytes of so many vectors, each of so many blocks of `k` values.
    pub fn bytes(vectors: usize, blocks: usize, k: usize) -> u64 {
        (vectors * blocks) as u64 * (PLANES * Resident::depth(k) + size_of::<f32>()) as u64
    }

    /// Bytes that are needed to make those of a matrix's columns: the largest of each piece, and the squares.
    pub fn pieces_bytes(rows: usize, columns: usize) -> u64 {
        (rows.div_ceil(PIECE) * columns * (size_of::<u32>() + size_of::<u64>())) as u64
    }
}
