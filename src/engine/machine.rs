//! The machine under the operators: which instruction set runs them, and in which floating-point mode.
//!
//! This is the only file of the engine with `unsafe` code, for two things that the language cannot check:
//! - calling code compiled for an instruction set, after the processor was asked whether it has it;
//! - reading and writing the floating-point control register, so that a caller's flush-to-zero or rounding
//!   mode can never change an operator's bits.

#![allow(unsafe_code)]

use std::arch::asm;

/// How an [`Engine`] computes. All give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// The plain scalar definitions, as written: slow, single-threaded, the specification itself.
    Definition,
    /// The fast versions compiled for the target's baseline.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 (F, VL, BW, DQ).
    Avx512,
    /// aarch64, whose baseline has fused multiply-add.
    Neon,
}

/// The operators, on one instruction set that this processor has.
///
/// The field is private to this file: holding an `Engine` is the proof that its instruction set was detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine {
    isa: Isa,
}

impl Engine {
    /// The fastest engine that this processor has.
    pub fn detect() -> Engine {
        [Isa::Avx512, Isa::Avx2, Isa::Neon]
            .into_iter()
            .find_map(Engine::with_isa)
            .unwrap_or(Engine { isa: Isa::Portable })
    }

    /// The engine for `isa`, or `None` where the processor lacks it.
    pub fn with_isa(isa: Isa) -> Option<Engine> {
        has(isa).then_some(Engine { isa })
    }

    /// Every fast engine that this processor has, slowest first. The definitions are not among them.
    pub fn available() -> Vec<Engine> {
        [Isa::Portable, Isa::Avx2, Isa::Avx512, Isa::Neon].into_iter().filter_map(Engine::with_isa).collect()
    }

    /// The engine that runs the plain scalar definitions.
    pub fn definition() -> Engine {
        Engine { isa: Isa::Definition }
    }

    /// The instruction set of this engine.
    pub fn isa(self) -> Isa {
        self.isa
    }

    /// Runs `kernel`, compiled for this engine's instruction set, in the standard floating-point mode.
    #[inline]
    pub(super) fn dispatch<K: Kernel>(self, kernel: K) -> K::Output {
        let _mode = StandardFloatMode::enter();
        match self.isa {
            // SAFETY: an `Engine` with this `isa` exists only if `has` found the features that the function enables.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { run_avx512(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { run_avx2(kernel) },
            _ => run_baseline(kernel),
        }
    }

    /// Runs a plain definition in the standard floating-point mode.
    #[inline(never)]
    pub(super) fn define<T>(self, definition: impl FnOnce() -> T) -> T {
        let _mode = StandardFloatMode::enter();
        std::hint::black_box(definition)()
    }
}

/// A computation that is compiled once for each instruction set: everything in `run` must be `#[inline(always)]`,
/// or it stays behind at the baseline.
pub(super) trait Kernel {
    /// What the computation gives back.
    type Output;
    /// The computation; implementations are `#[inline(always)]`.
    fn run(self) -> Self::Output;
}

/// Declares a [`Kernel`] from its arguments and a call of the function that does the work.
macro_rules! kernel {
    ($name:ident<$lt:lifetime> { $($field:ident: $ty:ty),+ $(,)? } -> $out:ty = $call:expr) => {
        struct $name<$lt> {
            $($field: $ty),+
        }
        impl $crate::engine::machine::Kernel for $name<'_> {
            type Output = $out;
            #[inline(always)]
            fn run(self) -> $out {
                let Self { $($field),+ } = self;
                $call
            }
        }
    };
}
pub(super) use kernel;

#[cfg(target_arch = "x86_64")]
fn has(isa: Isa) -> bool {
    let avx2 = || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    match isa {
        Isa::Definition | Isa::Portable => true,
        Isa::Avx2 => avx2(),
        Isa::Avx512 => {
            avx2()
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
        }
        Isa::Neon => false,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn has(isa: Isa) -> bool {
    match isa {
        Isa::Definition | Isa::Portable => true,
        Isa::Neon => cfg!(target_arch = "aarch64"),
        Isa::Avx2 | Isa::Avx512 => false,
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

/// Never inlined, so that no arithmetic moves across the change of the floating-point mode.
#[inline(never)]
fn run_baseline<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

/// While it lives, this thread rounds to nearest even and keeps subnormals, whatever mode the caller had set;
/// dropping it restores the caller's mode.
struct StandardFloatMode {
    changed: Option<ControlWord>,
}

impl StandardFloatMode {
    #[inline]
    fn enter() -> StandardFloatMode {
        let found = read_control();
        if found & NONSTANDARD == 0 {
            return StandardFloatMode { changed: None };
        }
        write_control(found & !NONSTANDARD);
        StandardFloatMode { changed: Some(found) }
    }
}

impl Drop for StandardFloatMode {
    #[inline]
    fn drop(&mut self) {
        if let Some(found) = self.changed {
            write_control(found);
        }
    }
}

/// MXCSR, with flush-to-zero (bit 15), rounding control (14, 13) and denormals-are-zero (6).
#[cfg(target_arch = "x86_64")]
type ControlWord = u32;
#[cfg(target_arch = "x86_64")]
const NONSTANDARD: ControlWord = 1 << 15 | 0b11 << 13 | 1 << 6;

#[cfg(target_arch = "x86_64")]
#[inline]
fn read_control() -> ControlWord {
    let mut word: ControlWord = 0;
    // SAFETY: stores MXCSR into the four bytes of `word`.
    unsafe { asm!("stmxcsr [{}]", in(reg) &mut word, options(nostack, preserves_flags)) };
    word
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn write_control(word: ControlWord) {
    // SAFETY: `word` is MXCSR as it was read, up to the bits of `NONSTANDARD`, all of them valid either way.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &word, options(nostack, readonly)) };
}

/// FPCR, with flush-to-zero (bit 24), rounding mode (23, 22), flush-to-zero of half precision (19) and the alternate
/// behaviours of later processors (AH, FIZ, NEP: 1, 0, 2).
#[cfg(target_arch = "aarch64")]
type ControlWord = u64;
#[cfg(target_arch = "aarch64")]
const NONSTANDARD: ControlWord = 1 << 24 | 0b11 << 22 | 1 << 19 | 0b111;

#[cfg(target_arch = "aarch64")]
#[inline]
fn read_control() -> ControlWord {
    let word: ControlWord;
    // SAFETY: reads FPCR.
    unsafe { asm!("mrs {}, fpcr", out(reg) word, options(nostack, preserves_flags)) };
    word
}

#[cfg(target_arch = "aarch64")]
#[inline]
fn write_control(word: ControlWord) {
    // SAFETY: `word` is FPCR as it was read, up to the bits of `NONSTANDARD`, all of them valid either way.
    unsafe { asm!("msr fpcr, {}", in(reg) word, options(nostack)) };
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the floating-point mode of this architecture is not known to the engine");

/// Runs `work` with flush-to-zero and rounding towards zero switched on, as a careless library would leave them.
#[cfg(test)]
pub(super) fn in_a_careless_float_mode<T>(work: impl FnOnce() -> T) -> T {
    let found = read_control();
    write_control(found | NONSTANDARD & CARELESS);
    let result = work();
    write_control(found);
    result
}

#[cfg(all(test, target_arch = "x86_64"))]
const CARELESS: ControlWord = NONSTANDARD;
#[cfg(all(test, target_arch = "aarch64"))]
const CARELESS: ControlWord = 1 << 24 | 0b11 << 22;

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    kernel!(Halve<'a> { x: &'a [f32], y: &'a mut [f32] } -> () = {
        for (y, x) in y.iter_mut().zip(x) {
            *y = *x * 0.5;
        }
    });

    #[test]
    fn the_careless_mode_does_flush_outside_the_engine() {
        let subnormal = in_a_careless_float_mode(|| black_box(f32::MIN_POSITIVE) * black_box(0.5));
        assert_eq!(subnormal, 0.0);
        assert!(black_box(f32::MIN_POSITIVE) * black_box(0.5) > 0.0);
    }

    #[test]
    fn every_engine_keeps_subnormals_and_restores_the_mode() {
        for engine in Engine::available() {
            let x = [f32::MIN_POSITIVE, f32::from_bits(3), 1.0];
            let mut y = [9.0; 3];
            let after = in_a_careless_float_mode(|| {
                engine.dispatch(Halve { x: &x, y: &mut y });
                read_control() & NONSTANDARD
            });
            assert_eq!(after, CARELESS, "{engine:?}");
            assert_eq!(y.map(f32::to_bits), [0x0040_0000, 2, 0x3f00_0000], "{engine:?}");
            assert_eq!(read_control() & NONSTANDARD, 0);
        }
    }

    #[test]
    fn the_detected_engine_is_the_last_available_one() {
        assert_eq!(Engine::available().last(), Some(&Engine::detect()));
        assert!(Engine::with_isa(Isa::Neon).is_none() || Engine::with_isa(Isa::Avx2).is_none());
    }
}
