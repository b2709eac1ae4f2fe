//! stand-in until merged
pub fn clipped_median(weights: &[u64], amounts: &[u64], of: u64, kappa_ppm: u64) -> u64 {
    let mut order: Vec<(u64, u64)> = amounts.iter().copied().zip(weights.iter().copied()).collect();
    order.sort_unstable_by(|a, b| b.cmp(a));
    let mut votes = 0u128;
    for (amount, weight) in order {
        votes += u128::from(weight);
        if votes * 1_000_000 >= u128::from(of) * u128::from(kappa_ppm) {
            return amount;
        }
    }
    0
}
