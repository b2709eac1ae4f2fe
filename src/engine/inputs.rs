//! Fixed inputs of every kind of number, for whoever compares operators.

use super::philox::philox;

/// Inputs made from the operator's number, so that no operator's depend on another's.
pub(crate) struct Inputs {
    operator: u32,
    tensors: u32,
}

impl Inputs {
    pub(crate) fn of(operator: u32) -> Inputs {
        Inputs { operator, tensors: 0 }
    }

    pub(crate) fn words(&mut self, count: usize) -> impl Iterator<Item = u32> {
        self.tensors += 1;
        let key = [self.operator, self.tensors];
        (0..count.div_ceil(4) as u32).flat_map(move |block| philox(key, [block, 0, 0, 0])).take(count)
    }

    /// Values within ±2, one in 32 of them a signed zero, a subnormal or as small as 1e-30.
    pub(crate) fn tensor(&mut self, count: usize) -> Vec<f32> {
        let value = |word: u32| {
            let sign = word & 0x8000_0000;
            let plain = (word >> 5) as f32 * (4.0 / 134_217_728.0) - 2.0;
            match word % 128 {
                0 => f32::from_bits(sign),
                1 => f32::from_bits(sign | word >> 9),
                2 | 3 => plain * 1e-30,
                _ => plain,
            }
        };
        self.words(count).map(value).collect()
    }

    /// Numbers below `limit`.
    pub(crate) fn tokens(&mut self, count: usize, limit: u32) -> Vec<u32> {
        self.words(count).map(|word| word % limit).collect()
    }
}
