//! The k values of a chunk with the largest magnitudes: compared as bits of the absolute value; of equals those with the
//! smaller index. How they are found is free, as no two keys are equal.

use crate::artifact::chunks::CHUNK;

const INDEX_BITS: u32 = 12;

/// How many of a chunk of n elements a density of `top_k` in 4096 keeps: ceil(top_k * n / 4096).
pub fn kept(top_k: usize, n: usize) -> usize {
    (top_k * n).div_ceil(CHUNK)
}

/// Index and magnitude in one number: ascending keys are descending magnitudes, then ascending indices.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(u64);

impl Key {
    fn new(index: usize, value: f32) -> Key {
        Key(u64::from(!magnitude(value)) << INDEX_BITS | index as u64)
    }

    /// The index within the chunk.
    pub fn index(self) -> u16 {
        (self.0 & ((1 << INDEX_BITS) - 1)) as u16
    }

    /// The magnitude.
    pub fn magnitude(self) -> f32 {
        f32::from_bits(!((self.0 >> INDEX_BITS) as u32))
    }
}

fn magnitude(value: f32) -> u32 {
    value.to_bits() & 0x7fff_ffff
}

/// The keys of the `k` largest of at most 4096 values, in no order.
pub fn largest(values: &[f32], k: usize, keys: &mut Vec<Key>) {
    keys.clear();
    let least = floor(values, k);
    for (block, values) in values.chunks(16).enumerate() {
        // Most blocks have none: one test for all of them.
        if values.iter().fold(false, |any, v| any | (magnitude(*v) >= least)) {
            let within = (block * 16..).zip(values).filter(|(_, v)| magnitude(**v) >= least);
            keys.extend(within.map(|(i, v)| Key::new(i, *v)));
        }
    }
    if k < keys.len() {
        keys.select_nth_unstable(k);
        keys.truncate(k);
    }
}

/// A magnitude that at least `k` of the values reach, and not many more.
///
/// Dealt out to g piles, the k-th largest of the piles' maxima is reached by k values at least.
fn floor(values: &[f32], k: usize) -> u32 {
    let n = values.len();
    if k == 0 || k > n / 8 {
        return 0;
    }
    let piles = (4 * k).next_power_of_two().min(n / 4);
    let mut maxima = [0u32; CHUNK / 4];
    let maxima = &mut maxima[..piles];
    for row in values.chunks(piles) {
        for (most, value) in maxima.iter_mut().zip(row) {
            let magnitude = magnitude(*value);
            *most = if magnitude > *most { magnitude } else { *most };
        }
    }
    *maxima.select_nth_unstable_by(k - 1, |a, b| b.cmp(a)).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::philox;

    /// The definition: everything sorted.
    fn plainly(values: &[f32], k: usize) -> Vec<u16> {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by_key(|&i| (std::cmp::Reverse(magnitude(values[i])), i));
        let mut first: Vec<u16> = order[..k].iter().map(|&i| i as u16).collect();
        first.sort_unstable();
        first
    }

    #[test]
    fn it_selects_what_sorting_would() {
        let mut keys = Vec::new();
        for n in [1, 2, 7, 63, 64, 100, 777, 4095, 4096] {
            let normal: Vec<f32> = (0..n).map(|i| philox::normal([1, n as u32], i)).collect();
            let coarse = normal.iter().map(|v| (v * 2.0).round()).collect();
            let same = vec![-1.0; normal.len()];
            let zeros = vec![-0.0; normal.len()];
            let mut one = zeros.clone();
            one[normal.len() / 2] = f32::from_bits(1);
            for values in [normal, coarse, same, zeros, one] {
                for k in [1, 2, 8, 64, 511, 512, 600, 4096].into_iter().filter(|k| *k <= values.len()) {
                    largest(&values, k, &mut keys);
                    let mut found: Vec<u16> = keys.iter().map(|key| key.index()).collect();
                    found.sort_unstable();
                    assert_eq!(found, plainly(&values, k), "{k} of {n}");
                    assert!(keys.iter().all(|k| k.magnitude() == values[usize::from(k.index())].abs()));
                }
            }
        }
    }
}
