//! Largest remainders: how parts that were rounded down are completed to an exact sum (Hamilton's method).

/// The indices of the `count` largest keys, ties to the smaller index.
pub(super) fn largest<K: Ord>(keys: &[K], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by(|&a, &b| keys[b].cmp(&keys[a]).then(a.cmp(&b)));
    order.truncate(count);
    order
}

/// Quotient and remainder of `weight * amount / total`, exact where the product passes 128 bits.
///
/// `weight <= total`, so that the quotient is at most `amount`, and `0 < total < 2^126`.
pub(super) fn multiply_divide(weight: u128, amount: u64, total: u128) -> (u64, u128) {
    debug_assert!(weight <= total && total > 0 && total < 1 << 126);
    let (mut quotient, mut rest) = (0u64, 0u128);
    for bit in (0..u64::BITS).rev() {
        // Horner over the bits of `amount`; `rest` is below `total`, so this is below 3 * total.
        rest = 2 * rest + if amount >> bit & 1 == 1 { weight } else { 0 };
        quotient = 2 * quotient + (rest / total) as u64;
        rest %= total;
    }
    (quotient, rest)
}

/// `numerators / denominator`, each rounded to a neighbouring integer so that their sum is the exact sum of the
/// quotients, which must be an integer: largest remainder, ties to the smaller index. Negative ones are rounded by the
/// same rule from below.
pub(super) fn divide_exactly(numerators: &[i128], denominator: i128) -> Vec<i128> {
    debug_assert!(denominator > 0);
    let mut quotients: Vec<i128> = numerators.iter().map(|n| n.div_euclid(denominator)).collect();
    let rests: Vec<i128> = numerators.iter().map(|n| n.rem_euclid(denominator)).collect();
    let missing = rests.iter().sum::<i128>() / denominator;
    largest(&rests, missing as usize).into_iter().for_each(|i| quotients[i] += 1);
    quotients
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::philox::philox;

    #[test]
    fn a_product_over_128_bits_divides_exactly() {
        assert_eq!(multiply_divide(3, 10, 7), (4, 2));
        assert_eq!(multiply_divide(0, u64::MAX, 7), (0, 0));
        let total = (1 << 126) - 1;
        assert_eq!(multiply_divide(total, u64::MAX, total), (u64::MAX, 0));
        for case in 0..500 {
            let [a, b, c, d] = philox([1, 2], [case, 0, 0, 0]);
            let total = u128::from(a) << 28 | u128::from(b) | 1;
            let weight = (u128::from(c) << 20) % (total + 1);
            let product = weight * u128::from(d);
            assert_eq!(multiply_divide(weight, u64::from(d), total), ((product / total) as u64, product % total));
            // The same with both a power of two larger.
            let (quotient, rest) = multiply_divide(weight << 60, u64::from(d), total << 60);
            assert_eq!((quotient, rest), ((product / total) as u64, (product % total) << 60));
        }
    }

    #[test]
    fn quotients_add_up_whatever_their_signs() {
        assert_eq!(divide_exactly(&[1, 1, 1], 3), [1, 0, 0]);
        assert_eq!(divide_exactly(&[5, -2, 0], 3), [2, -1, 0]);
        assert_eq!(divide_exactly(&[-1, -1, -1], 3), [0, 0, -1]);
        assert_eq!(divide_exactly(&[], 3), []);
    }
}
