//! Operands as digits in a device's memory.

use crate::engine::memory::Buffer;

/// Vectors' digits and steps, in the order in which `kernels/integer_quantise.cu` leaves them.
#[derive(Debug)]
pub struct Resident {
    /// Of each vector, block after block, the planes of its high digits, of its digits' sums, of its low digits.
    pub digits: Buffer<i8>,
    /// What an integer of each vector is worth, block after block.
    pub steps: Buffer,
}
