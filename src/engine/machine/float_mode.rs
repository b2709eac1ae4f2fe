//! The floating-point mode in which all arithmetic happens, whatever mode a caller had set.

#![allow(unsafe_code)]

use std::arch::asm;
use std::hint::black_box;

use super::detect::Engine;

impl Engine {
    /// Runs a plain definition, or what goes on between operators, in the standard floating-point mode.
    #[inline(never)]
    pub fn define<T>(self, definition: impl FnOnce() -> T) -> T {
        let _mode = StandardFloatMode::enter();
        // Arithmetic must not move across the change of the mode, on either side.
        black_box(black_box(definition)())
    }
}

/// While it lives, this thread rounds to nearest even and keeps subnormals, whatever mode the caller had set;
/// dropping it restores the caller's mode.
pub(super) struct StandardFloatMode {
    changed: Option<ControlWord>,
}

impl StandardFloatMode {
    #[inline]
    pub(super) fn enter() -> StandardFloatMode {
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
pub(crate) fn in_a_careless_float_mode<T>(work: impl FnOnce() -> T) -> T {
    let found = read_control();
    write_control(found | NONSTANDARD & CARELESS);
    let result = black_box(work());
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
    use crate::engine::machine::kernel;

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
}
