//! A computation compiled for each instruction set, and the vectors that it is spelled out with.

#![allow(unsafe_code)]

use super::detect::{Engine, Isa};
use super::float_mode::StandardFloatMode;
use super::pairs::Pair;

impl Engine {
    /// Runs `kernel`, compiled for this engine's instruction set, in the standard floating-point mode.
    #[inline]
    pub(in crate::engine) fn dispatch<K: Kernel>(self, kernel: K) -> K::Output {
        let _mode = StandardFloatMode::enter();
        match self.isa() {
            // SAFETY: an `Engine` with this `isa` exists only if `has` found the features that the function enables.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { run_avx512(kernel, Avx512(())) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { run_avx2(kernel, Avx2(())) },
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => run_baseline(kernel, Neon(())),
            _ => run_baseline(kernel, Plain(())),
        }
    }
}

/// A computation that is compiled once for each instruction set: everything in `run` must be `#[inline(always)]`,
/// or it stays behind at the baseline.
///
/// Loops over elements become vectors by themselves, sixteen-lane sums and tiles are spelled out with `simd`.
pub(in crate::engine) trait Kernel {
    /// What the computation gives back.
    type Output;
    /// The computation; implementations are `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Declares a [`Kernel`] from its arguments and a call of the function that does the work, which may want the vectors.
macro_rules! kernel {
    ($name:ident<$lt:lifetime> { $($field:ident: $ty:ty),+ $(,)? } -> $out:ty = $call:expr) => {
        kernel!($name<$lt> { $($field: $ty),+ } -> $out, _simd = $call);
    };
    ($name:ident<$lt:lifetime> { $($field:ident: $ty:ty),+ $(,)? } -> $out:ty, $simd:ident = $call:expr) => {
        struct $name<$lt> {
            $($field: $ty),+
        }
        impl $crate::engine::machine::Kernel for $name<'_> {
            type Output = $out;
            #[inline(always)]
            fn run<S: $crate::engine::machine::Simd>(self, $simd: S) -> $out {
                let Self { $($field),+ } = self;
                $call
            }
        }
    };
}
pub(in crate::engine) use kernel;

/// What fills a lane of 32 bits. Moved about in vectors, its bits stay as they are.
///
/// # Safety
/// A type of four bytes, each of whose bit patterns is a value.
pub(in crate::engine) unsafe trait Word: Copy + Default {}

// SAFETY: four bytes, and any bits are a float.
unsafe impl Word for f32 {}
// SAFETY: four bytes, and any bits are two integers.
unsafe impl Word for Pair {}

/// Lanes of a vector.
pub(in crate::engine) const WIDTH: usize = 16;

/// Vectors of sixteen floats, in as many registers as that takes. Every operation is the scalar one, lane by lane.
///
/// A value of an implementing type exists only inside [`Engine::dispatch`]: it is the proof that its instructions may run.
pub(in crate::engine) trait Simd: Copy {
    /// The vector.
    type V: Copy;
    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::V;
    /// The lanes in memory.
    fn load(self, x: &[f32; WIDTH]) -> Self::V;
    /// The lanes to memory.
    fn store(self, v: Self::V, to: &mut [f32; WIDTH]);
    /// a + b
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// a * b
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// a > b ? a : b
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// a * b + c, rounded once
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The transpose of the 16 × 16 square whose rows begin every `ld` elements of `from`, to one whose rows begin every
    /// `to_ld` elements of `to`.
    fn transpose<T: Word>(self, from: &[T], ld: usize, to: &mut [T], to_ld: usize);
    /// Runs `kernel` in a function of its own: a hot loop gets all registers, whatever surrounds it.
    fn apart<K: Kernel>(self, kernel: K) -> K::Output;
}

/// Implements [`Simd`] with `COUNT` registers of `LANES` floats each.
macro_rules! simd {
    (
        $(#[$attribute:meta])* $name:ident: $count:literal of $register:ty, $lanes:literal lanes,
        $splat:expr, $load:expr, $store:expr, $add:expr, $mul:expr, $max:expr, $mul_add:expr,
        $transpose:expr, $run:expr
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy)]
        struct $name(());

        $(#[$attribute])*
        // SAFETY (of all operations): `self` exists only where `dispatch` found the instructions; loads and stores are of
        // `$lanes` floats within a chunk of that many.
        #[allow(unused_unsafe)]
        impl Simd for $name {
            type V = [$register; $count];
            #[inline(always)]
            fn splat(self, x: f32) -> Self::V {
                [unsafe { $splat(x) }; $count]
            }
            #[inline(always)]
            fn load(self, x: &[f32; WIDTH]) -> Self::V {
                let mut v = [unsafe { $splat(0.0) }; $count];
                for (v, x) in v.iter_mut().zip(x.as_chunks::<$lanes>().0) {
                    *v = unsafe { $load(x.as_ptr()) };
                }
                v
            }
            #[inline(always)]
            fn store(self, v: Self::V, to: &mut [f32; WIDTH]) {
                for (v, to) in v.iter().zip(to.as_chunks_mut::<$lanes>().0) {
                    unsafe { $store(to.as_mut_ptr(), *v) };
                }
            }
            #[inline(always)]
            fn add(self, mut a: Self::V, b: Self::V) -> Self::V {
                for i in 0..$count {
                    a[i] = unsafe { $add(a[i], b[i]) };
                }
                a
            }
            #[inline(always)]
            fn mul(self, mut a: Self::V, b: Self::V) -> Self::V {
                for i in 0..$count {
                    a[i] = unsafe { $mul(a[i], b[i]) };
                }
                a
            }
            #[inline(always)]
            fn max(self, mut a: Self::V, b: Self::V) -> Self::V {
                for i in 0..$count {
                    a[i] = unsafe { $max(a[i], b[i]) };
                }
                a
            }
            #[inline(always)]
            fn mul_add(self, a: Self::V, b: Self::V, mut c: Self::V) -> Self::V {
                for i in 0..$count {
                    c[i] = unsafe { $mul_add(a[i], b[i], c[i]) };
                }
                c
            }
            #[inline(always)]
            fn transpose<T: Word>(self, from: &[T], ld: usize, to: &mut [T], to_ld: usize) {
                $transpose(self, from, ld, to, to_ld)
            }
            #[inline(always)]
            fn apart<K: Kernel>(self, kernel: K) -> K::Output {
                unsafe { $run(kernel, self) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

simd!(
    #[cfg(target_arch = "x86_64")]
    Avx512: 1 of __m512, 16 lanes,
    _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_add_ps, _mm512_mul_ps,
    _mm512_max_ps, _mm512_fmadd_ps, transpose_avx512, run_avx512
);

simd!(
    #[cfg(target_arch = "x86_64")]
    Avx2: 2 of __m256, 8 lanes,
    _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_add_ps, _mm256_mul_ps,
    _mm256_max_ps, _mm256_fmadd_ps, transpose_avx2, run_avx2
);

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;

simd!(
    #[cfg(target_arch = "aarch64")]
    Neon: 4 of float32x4_t, 4 lanes,
    vdupq_n_f32, vld1q_f32, vst1q_f32, vaddq_f32, vmulq_f32,
    (|a, b| vbslq_f32(vcgtq_f32(a, b), a, b)), (|a, b, c| vfmaq_f32(c, a, b)),
    transpose_plainly, run_baseline
);

simd!(
    Plain: 16 of f32, 1 lanes,
    (|x: f32| x), (|x: *const f32| *x), (|to: *mut f32, x: f32| *to = x),
    (|a: f32, b: f32| a + b), (|a: f32, b: f32| a * b),
    (|a: f32, b: f32| if a > b { a } else { b }), (|a: f32, b: f32, c: f32| a.mul_add(b, c)),
    transpose_plainly, run_baseline
);

/// A square, element by element.
#[inline(always)]
fn transpose_plainly<S: Simd, T: Word>(_: S, from: &[T], ld: usize, to: &mut [T], to_ld: usize) {
    for i in 0..WIDTH {
        for (j, x) in from[i * ld..][..WIDTH].iter().enumerate() {
            to[j * to_ld + i] = *x;
        }
    }
}

/// A square, turned in registers: 4 × 4 blocks first, then the blocks among each other.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn transpose_avx512<T: Word>(simd: Avx512, from: &[T], ld: usize, to: &mut [T], to_ld: usize) {
    let mut r = [simd.splat(0.0)[0]; WIDTH];
    // SAFETY: an `Avx512` exists only where `dispatch` found the instructions; loads and stores are of a chunk of sixteen words.
    unsafe {
        for (i, r) in r.iter_mut().enumerate() {
            let from = from[i * ld..].first_chunk::<WIDTH>().expect("a row of the square");
            *r = _mm512_loadu_ps(from.as_ptr().cast());
        }
        for i in (0..WIDTH).step_by(4) {
            let (a, b) = (_mm512_unpacklo_ps(r[i], r[i + 1]), _mm512_unpackhi_ps(r[i], r[i + 1]));
            let (c, d) = (_mm512_unpacklo_ps(r[i + 2], r[i + 3]), _mm512_unpackhi_ps(r[i + 2], r[i + 3]));
            r[i] = _mm512_shuffle_ps::<0x44>(a, c);
            r[i + 1] = _mm512_shuffle_ps::<0xee>(a, c);
            r[i + 2] = _mm512_shuffle_ps::<0x44>(b, d);
            r[i + 3] = _mm512_shuffle_ps::<0xee>(b, d);
        }
        for i in 0..4 {
            let (a, b) = (_mm512_shuffle_f32x4::<0x88>(r[i], r[i + 4]), _mm512_shuffle_f32x4::<0xdd>(r[i], r[i + 4]));
            let (c, d) = (r[i + 8], r[i + 12]);
            let (c, d) = (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xdd>(c, d));
            r[i] = _mm512_shuffle_f32x4::<0x88>(a, c);
            r[i + 4] = _mm512_shuffle_f32x4::<0x88>(b, d);
            r[i + 8] = _mm512_shuffle_f32x4::<0xdd>(a, c);
            r[i + 12] = _mm512_shuffle_f32x4::<0xdd>(b, d);
        }
        for (i, r) in r.into_iter().enumerate() {
            let to = to[i * to_ld..].first_chunk_mut::<WIDTH>().expect("a row of the square");
            _mm512_storeu_ps(to.as_mut_ptr().cast(), r);
        }
    }
}

/// A square, turned in registers, a quarter at a time.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn transpose_avx2<T: Word>(simd: Avx2, from: &[T], ld: usize, to: &mut [T], to_ld: usize) {
    const HALF: usize = WIDTH / 2;
    for (row, column) in [(0, 0), (0, HALF), (HALF, 0), (HALF, HALF)] {
        let mut r = [simd.splat(0.0)[0]; HALF];
        // SAFETY: an `Avx2` exists only where `dispatch` found the instructions; loads and stores are of a chunk of eight.
        unsafe {
            for (i, r) in r.iter_mut().enumerate() {
                let from = from[(row + i) * ld + column..].first_chunk::<HALF>().expect("half a row of the square");
                *r = _mm256_loadu_ps(from.as_ptr().cast());
            }
            for i in (0..HALF).step_by(4) {
                let (a, b) = (_mm256_unpacklo_ps(r[i], r[i + 1]), _mm256_unpackhi_ps(r[i], r[i + 1]));
                let (c, d) = (_mm256_unpacklo_ps(r[i + 2], r[i + 3]), _mm256_unpackhi_ps(r[i + 2], r[i + 3]));
                r[i] = _mm256_shuffle_ps::<0x44>(a, c);
                r[i + 1] = _mm256_shuffle_ps::<0xee>(a, c);
                r[i + 2] = _mm256_shuffle_ps::<0x44>(b, d);
                r[i + 3] = _mm256_shuffle_ps::<0xee>(b, d);
            }
            for i in 0..4 {
                let (a, b) = (r[i], r[i + 4]);
                r[i] = _mm256_permute2f128_ps::<0x20>(a, b);
                r[i + 4] = _mm256_permute2f128_ps::<0x31>(a, b);
            }
            for (i, r) in r.into_iter().enumerate() {
                let to = &mut to[(column + i) * to_ld + row..];
                let to = to.first_chunk_mut::<HALF>().expect("half a row of the square");
                _mm256_storeu_ps(to.as_mut_ptr().cast(), r);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
#[inline(never)]
fn run_avx512<K: Kernel>(kernel: K, simd: Avx512) -> K::Output {
    kernel.run(simd)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[inline(never)]
fn run_avx2<K: Kernel>(kernel: K, simd: Avx2) -> K::Output {
    kernel.run(simd)
}

/// Never inlined, so that no arithmetic moves across the change of the floating-point mode.
#[inline(never)]
fn run_baseline<K: Kernel, S: Simd>(kernel: K, simd: S) -> K::Output {
    kernel.run(simd)
}

#[cfg(test)]
mod tests {
    use super::*;

    kernel!(Turn<'a> { from: &'a [f32], to: &'a mut [f32] } -> (), simd = simd.transpose(from, 19, to, 17));

    #[test]
    fn every_engine_transposes() {
        for engine in Engine::available() {
            let from: Vec<f32> = (0..15 * 19 + 16).map(|i| i as f32).collect();
            let mut to = vec![0.0; 15 * 17 + 16];
            engine.dispatch(Turn { from: &from, to: &mut to });
            for i in 0..WIDTH {
                for j in 0..WIDTH {
                    assert_eq!(to[j * 17 + i], from[i * 19 + j], "{engine:?}");
                }
            }
        }
    }
}
