//! What the bits of a payload are spent on. For people: computed in f64, and no bits of an artifact depend on it.

/// What a payload's bits are spent on. The rest of them are scales, tables and padding.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Anatomy {
    /// Values that are sent.
    pub sent: usize,
    /// Bits for where they stand.
    pub index_bits: usize,
    /// Bits for what they are: signs, levels, codes.
    pub value_bits: usize,
    /// The bits that say which of a chunk's elements are sent, at the least: log2 of the number of choices, all alike.
    pub index_bound: f64,
    /// The entropy of the codes, each taken as drawn by their frequencies, in bits.
    pub value_bound: f64,
}

/// log2 of the number of ways to choose c of n.
pub fn binomial(n: usize, c: usize) -> f64 {
    let log = |n: usize| libm::lgamma(n as f64 + 1.0) / std::f64::consts::LN_2;
    log(n) - log(c) - log(n - c)
}

/// The entropy in bits of all symbols together, by how often each occurs.
pub fn entropy(counts: impl AsRef<[usize]>) -> f64 {
    let counts = counts.as_ref();
    let total = counts.iter().sum::<usize>() as f64;
    counts.iter().filter(|n| **n > 0).map(|n| *n as f64 * libm::log2(total / *n as f64)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_by_hand() {
        assert!((binomial(4, 2) - 6f64.log2()).abs() < 1e-9);
        assert!((binomial(4096, 64) / 64.0 - 7.36).abs() < 0.005);
        assert_eq!(binomial(7, 7), 0.0);
        assert!((entropy([2, 2, 0, 4]) - 12.0).abs() < 1e-9);
        assert_eq!(entropy([5]), 0.0);
        assert_eq!(entropy([]), 0.0);
    }
}
