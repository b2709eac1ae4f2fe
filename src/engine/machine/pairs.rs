//! Sums of products of 16-bit integers, two at a time: what integer products are spelled out with.

#![allow(unsafe_code)]

use super::detect::{Engine, Isa};
use super::float_mode::StandardFloatMode;

/// Pairs of a vector.
const WIDTH: usize = 16;

/// Two steps of k of one row or column.
pub(in crate::engine) type Pair = [i16; 2];

impl Engine {
    /// Runs `kernel`, compiled for this engine's instruction set, in the standard floating-point mode.
    #[inline]
    pub(in crate::engine) fn dispatch_pairs<K: PairKernel>(self, kernel: K) -> K::Output {
        let _mode = StandardFloatMode::enter();
        match (self.isa(), self.fused_dot()) {
            // SAFETY: an `Engine` with this `isa`, and with a fused dot product or without, exists only if the features that
            // the function enables were found.
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, Some(_)) => unsafe { run_avx512_vnni(kernel, Avx512Vnni(())) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, None) => unsafe { run_avx512(kernel, Avx512(())) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, Some(_)) => unsafe { run_avx_vnni(kernel, AvxVnni(())) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, None) => unsafe { run_avx2(kernel, Avx2(())) },
            #[cfg(target_arch = "aarch64")]
            (Isa::Neon, _) => run_baseline(kernel, Neon(())),
            _ => run_baseline(kernel, Plain(())),
        }
    }
}

/// A computation on pairs, compiled once for each instruction set; as `Kernel`, everything in `run` must be
/// `#[inline(always)]`.
pub(in crate::engine) trait PairKernel {
    /// What the computation gives back.
    type Output;
    /// The computation; implementations are `#[inline(always)]`.
    fn run<P: Pairs>(self, pairs: P) -> Self::Output;
}

/// Sixteen sums of products, and what enters them. Sums wrap around: whoever adds up keeps them in bounds.
///
/// A value of an implementing type exists only inside [`Engine::dispatch_pairs`]: it is the proof that its instructions may run.
pub(in crate::engine) trait Pairs: Copy {
    /// Sixteen sums.
    type Sums: Copy;
    /// One pair, for all sixteen.
    type Left: Copy;
    /// Sixteen pairs.
    type Right: Copy;
    /// All sums 0.
    fn zero(self) -> Self::Sums;
    /// The pair for all.
    fn left(self, pair: Pair) -> Self::Left;
    /// The pairs in memory.
    fn right(self, pairs: &[Pair; WIDTH]) -> Self::Right;
    /// `sums[i] + left[0] * right[i][0] + left[1] * right[i][1]`
    fn dot(self, sums: Self::Sums, left: Self::Left, right: Self::Right) -> Self::Sums;
    /// The sums to memory.
    fn store(self, sums: Self::Sums, to: &mut [i32; WIDTH]);
    /// Runs `kernel` in a function of its own: a hot loop gets all registers, whatever surrounds it.
    fn apart<K: PairKernel>(self, kernel: K) -> K::Output;
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A pair as the 32 bits that lie in memory.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn word([low, high]: Pair) -> i32 {
    i32::from(high) << 16 | i32::from(low as u16)
}

/// Implements [`Pairs`] with `COUNT` registers of `LANES` pairs each.
#[cfg(target_arch = "x86_64")]
macro_rules! pairs {
    ($name:ident: $count:literal of $register:ty, $lanes:literal lanes,
     $zero:expr, $splat:expr, $load:expr, $store:expr, $dot:expr, $run:expr) => {
        #[derive(Clone, Copy)]
        struct $name(());

        // SAFETY (of all operations): `self` exists only where `dispatch_pairs` found the instructions; loads and stores are of
        // `$lanes` lanes of 32 bits within a chunk of that many, at any alignment.
        impl Pairs for $name {
            type Sums = [$register; $count];
            type Left = $register;
            type Right = [$register; $count];
            #[inline(always)]
            fn zero(self) -> Self::Sums {
                [unsafe { $zero() }; $count]
            }
            #[inline(always)]
            fn left(self, pair: Pair) -> Self::Left {
                unsafe { $splat(word(pair)) }
            }
            #[inline(always)]
            fn right(self, pairs: &[Pair; WIDTH]) -> Self::Right {
                let mut right = self.zero();
                for (right, pairs) in right.iter_mut().zip(pairs.as_chunks::<$lanes>().0) {
                    *right = unsafe { $load(pairs.as_ptr().cast()) };
                }
                right
            }
            #[inline(always)]
            fn dot(self, mut sums: Self::Sums, left: Self::Left, right: Self::Right) -> Self::Sums {
                for i in 0..$count {
                    sums[i] = unsafe { $dot(sums[i], left, right[i]) };
                }
                sums
            }
            #[inline(always)]
            fn store(self, sums: Self::Sums, to: &mut [i32; WIDTH]) {
                for (sums, to) in sums.iter().zip(to.as_chunks_mut::<$lanes>().0) {
                    unsafe { $store(to.as_mut_ptr().cast(), *sums) };
                }
            }
            #[inline(always)]
            fn apart<K: PairKernel>(self, kernel: K) -> K::Output {
                // Of a function with instructions of its own the compiler forgets at times that it is never inlined.
                let run: unsafe fn(K, Self) -> K::Output = std::hint::black_box($run);
                unsafe { run(kernel, self) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
pairs!(
    Avx512Vnni: 1 of __m512i, 16 lanes,
    _mm512_setzero_si512, _mm512_set1_epi32, _mm512_loadu_si512, _mm512_storeu_si512, _mm512_dpwssd_epi32, run_avx512_vnni
);

#[cfg(target_arch = "x86_64")]
pairs!(
    Avx512: 1 of __m512i, 16 lanes,
    _mm512_setzero_si512, _mm512_set1_epi32, _mm512_loadu_si512, _mm512_storeu_si512,
    (|sums, left, right| _mm512_add_epi32(sums, _mm512_madd_epi16(left, right))), run_avx512
);

#[cfg(target_arch = "x86_64")]
pairs!(
    AvxVnni: 2 of __m256i, 8 lanes,
    _mm256_setzero_si256, _mm256_set1_epi32, _mm256_loadu_si256, _mm256_storeu_si256, _mm256_dpwssd_avx_epi32, run_avx_vnni
);

#[cfg(target_arch = "x86_64")]
pairs!(
    Avx2: 2 of __m256i, 8 lanes,
    _mm256_setzero_si256, _mm256_set1_epi32, _mm256_loadu_si256, _mm256_storeu_si256,
    (|sums, left, right| _mm256_add_epi32(sums, _mm256_madd_epi16(left, right))), run_avx2
);

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;

/// Widening multiply-adds take one step of k at a time: pairs are taken apart where they are loaded.
#[cfg(target_arch = "aarch64")]
#[derive(Clone, Copy)]
struct Neon(());

// SAFETY (of all operations): NEON is part of aarch64's baseline; loads and stores are within arrays of known length.
#[cfg(target_arch = "aarch64")]
#[allow(unused_unsafe)]
impl Pairs for Neon {
    type Sums = [int32x4_t; 4];
    type Left = int16x4_t;
    type Right = [[int16x4_t; 4]; 2];
    #[inline(always)]
    fn zero(self) -> Self::Sums {
        [unsafe { vdupq_n_s32(0) }; 4]
    }
    #[inline(always)]
    fn left(self, [low, high]: Pair) -> Self::Left {
        let pair = [low, high, low, high];
        unsafe { vld1_s16(pair.as_ptr()) }
    }
    #[inline(always)]
    fn right(self, pairs: &[Pair; WIDTH]) -> Self::Right {
        let mut right = [[unsafe { vdup_n_s16(0) }; 4]; 2];
        for (i, four) in pairs.as_chunks::<4>().0.iter().enumerate() {
            let both = unsafe { vld2_s16(four.as_ptr().cast()) };
            (right[0][i], right[1][i]) = (both.0, both.1);
        }
        right
    }
    #[inline(always)]
    fn dot(self, mut sums: Self::Sums, left: Self::Left, right: Self::Right) -> Self::Sums {
        for i in 0..4 {
            sums[i] = unsafe { vmlal_lane_s16::<0>(sums[i], right[0][i], left) };
            sums[i] = unsafe { vmlal_lane_s16::<1>(sums[i], right[1][i], left) };
        }
        sums
    }
    #[inline(always)]
    fn store(self, sums: Self::Sums, to: &mut [i32; WIDTH]) {
        for (sums, to) in sums.iter().zip(to.as_chunks_mut::<4>().0) {
            unsafe { vst1q_s32(to.as_mut_ptr(), *sums) };
        }
    }
    #[inline(always)]
    fn apart<K: PairKernel>(self, kernel: K) -> K::Output {
        run_baseline(kernel, self)
    }
}

#[derive(Clone, Copy)]
struct Plain(());

impl Pairs for Plain {
    type Sums = [i32; WIDTH];
    type Left = Pair;
    type Right = [Pair; WIDTH];
    #[inline(always)]
    fn zero(self) -> Self::Sums {
        [0; WIDTH]
    }
    #[inline(always)]
    fn left(self, pair: Pair) -> Self::Left {
        pair
    }
    #[inline(always)]
    fn right(self, pairs: &[Pair; WIDTH]) -> Self::Right {
        *pairs
    }
    #[inline(always)]
    fn dot(self, mut sums: Self::Sums, left: Self::Left, right: Self::Right) -> Self::Sums {
        for (sum, right) in sums.iter_mut().zip(right) {
            let products = [0, 1].map(|i| i32::from(left[i]) * i32::from(right[i]));
            *sum = sum.wrapping_add(products[0]).wrapping_add(products[1]);
        }
        sums
    }
    #[inline(always)]
    fn store(self, sums: Self::Sums, to: &mut [i32; WIDTH]) {
        *to = sums;
    }
    #[inline(always)]
    fn apart<K: PairKernel>(self, kernel: K) -> K::Output {
        run_baseline(kernel, self)
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq,avx512vnni")]
#[inline(never)]
fn run_avx512_vnni<K: PairKernel>(kernel: K, pairs: Avx512Vnni) -> K::Output {
    kernel.run(pairs)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
#[inline(never)]
fn run_avx512<K: PairKernel>(kernel: K, pairs: Avx512) -> K::Output {
    kernel.run(pairs)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avxvnni")]
#[inline(never)]
fn run_avx_vnni<K: PairKernel>(kernel: K, pairs: AvxVnni) -> K::Output {
    kernel.run(pairs)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[inline(never)]
fn run_avx2<K: PairKernel>(kernel: K, pairs: Avx2) -> K::Output {
    kernel.run(pairs)
}

/// Never inlined, so that no arithmetic moves across the change of the floating-point mode.
#[inline(never)]
fn run_baseline<K: PairKernel, P: Pairs>(kernel: K, pairs: P) -> K::Output {
    kernel.run(pairs)
}
