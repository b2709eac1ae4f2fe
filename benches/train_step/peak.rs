//! What the machine can do at most: fused multiply-adds in registers, on as many independent chains as hide their latency.

use std::hint::black_box;
use std::time::Instant;

/// Independent chains: at least latency times units on every processor of today (4 cycles, 5 before Zen 3, on two units), and
/// with both factors no more than AVX2's sixteen registers: spilled sums would cost a third of the peak.
const CHAINS: usize = 12;
const ROUNDS: u64 = 1 << 20;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::CHAINS;
    use std::arch::x86_64::*;

    /// Lanes of a vector, then a run of `rounds`.
    macro_rules! chains {
        ($name:ident, $features:literal, $splat:ident, $fma:ident, $low:ident) => {
            #[target_feature(enable = $features)]
            pub fn $name(rounds: u64, x: f32) -> f32 {
                let (a, b) = ($splat(x), $splat(1.0 - x));
                // Each from another value: of equal chains the compiler makes one.
                let mut sums: [_; CHAINS] = std::array::from_fn(|i| $splat(x + i as f32));
                for _ in 0..rounds {
                    for sum in &mut sums {
                        *sum = $fma(*sum, a, b);
                    }
                }
                sums.iter().map(|&sum| $low(sum)).sum()
            }
        };
    }

    chains!(avx512, "avx512f", _mm512_set1_ps, _mm512_fmadd_ps, _mm512_cvtss_f32);
    chains!(avx2, "avx2,fma", _mm256_set1_ps, _mm256_fmadd_ps, _mm256_cvtss_f32);
}

/// For the compiler to make vectors of.
fn baseline(rounds: u64, x: f32) -> f32 {
    let mut sums: [_; CHAINS] = std::array::from_fn(|i| [x + i as f32; 4]);
    for _ in 0..rounds {
        for sum in sums.as_flattened_mut() {
            *sum = sum.mul_add(x, 1.0 - x);
        }
    }
    sums.as_flattened().iter().sum()
}

/// The widest vectors, none wider than AVX2's where that is asked for, their lanes, and the chains on them.
fn widest(avx2: bool) -> (&'static str, usize, fn(u64, f32) -> f32) {
    #[cfg(target_arch = "x86_64")]
    {
        if !avx2 && std::is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has just been asked.
            return ("avx512", 16, |rounds, x| unsafe { x86::avx512(rounds, x) });
        }
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            // SAFETY: the processor has just been asked.
            return ("avx2", 8, |rounds, x| unsafe { x86::avx2(rounds, x) });
        }
    }
    ("baseline", 4, baseline)
}

/// The instructions that are measured.
pub fn name(avx2: bool) -> &'static str {
    widest(avx2).0
}

/// GFLOP/s over about a fifth of a second.
pub fn measure(avx2: bool) -> f64 {
    let (_, lanes, chains) = widest(avx2);
    let began = Instant::now();
    let mut rounds = 0;
    while began.elapsed().as_secs_f64() < 0.2 {
        black_box(chains(ROUNDS, black_box(0.999)));
        rounds += ROUNDS;
    }
    (2 * rounds * (lanes * CHAINS) as u64) as f64 / began.elapsed().as_secs_f64() / 1e9
}
