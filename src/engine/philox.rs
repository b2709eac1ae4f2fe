//! Philox4x32-10, the counter-based random generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
//! SC 2011), and standard normal variates from it.
//!
//! Nothing is drawn in sequence: a number is a function of its key (what it is for) and its counter (which one).

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// The 128-bit block of Philox4x32-10 under `key` at `counter`.
pub fn philox(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    let [mut k0, mut k1] = key;
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    for _ in 0..10 {
        let p0 = u64::from(MULTIPLIERS[0]) * u64::from(c0);
        let p1 = u64::from(MULTIPLIERS[1]) * u64::from(c2);
        (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [c0, c1, c2, c3]
}

/// The numbers below `count` in the order of 64 bits of the block at each, under `key`.
pub fn permutation(key: [u32; 2], count: usize) -> Vec<usize> {
    let mut drawn: Vec<(u64, usize)> = (0..count)
        .map(|index| {
            let wide = index as u64;
            let [low, high, ..] = philox(key, [wide as u32, (wide >> 32) as u32, 0, 0]);
            (u64::from(high) << 32 | u64::from(low), index)
        })
        .collect();
    drawn.sort_unstable();
    drawn.into_iter().map(|(_, index)| index).collect()
}

/// The `index`-th standard normal variate under `key`: Box-Muller in f64 with `libm`, rounded once.
///
/// Two 64-bit words of the block at counter `index` give u in (0, 1] and v in [0, 1), 53 bits each; the variate is
/// sqrt(-2 ln u) cos(2 pi v).
pub fn normal(key: [u32; 2], index: u64) -> f32 {
    let block = philox(key, [index as u32, (index >> 32) as u32, 0, 0]);
    let unit = |low: u32, high: u32| (u64::from(high) << 32 | u64::from(low)) >> 11;
    let scale = 1.0 / (1u64 << 53) as f64;
    let u = (unit(block[0], block[1]) + 1) as f64 * scale;
    let v = unit(block[2], block[3]) as f64 * scale;
    let radius = libm::sqrt(-2.0 * libm::log(u));
    (radius * libm::cos(2.0 * std::f64::consts::PI * v)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `kat_vectors` of Random123.
    #[test]
    fn the_published_vectors_come_out() {
        let vectors = [
            ([0; 2], [0; 4], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([!0; 2], [!0; 4], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0xa409_3822, 0x299f_31d0],
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (key, counter, block) in vectors {
            assert_eq!(philox(key, counter), block);
        }
    }

    #[test]
    fn normals_have_mean_zero_variance_one_and_light_tails() {
        let count = 1 << 16;
        let (mut sum, mut squares, mut beyond) = (0.0, 0.0, 0);
        for index in 0..count {
            let x = f64::from(normal([4, 2], index));
            sum += x;
            squares += x * x;
            beyond += usize::from(x.abs() > 2.0);
        }
        let n = count as f64;
        assert!((sum / n).abs() < 0.015);
        assert!((squares / n - 1.0).abs() < 0.02);
        assert!((beyond as f64 / n - 0.0455).abs() < 0.003);
    }
}
