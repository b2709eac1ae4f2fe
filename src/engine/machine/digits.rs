//! Sums of products of 8-bit digits, which some aarch64 processors add up faster than those of 16-bit integers.
//!
//! The instructions are spelled out in assembly: `std::arch` has them for unstable Rust only.

#![allow(unsafe_code)]

use super::detect::{Engine, FusedDot};
use super::vectors::WIDTH;

/// Rows of a tile; it has [`WIDTH`] columns.
pub(in crate::engine) const HEIGHT: usize = 6;

/// The instructions that multiply digits.
///
/// The field is private to this file: a value is the proof that the processor has them.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Digits(FusedDot);

impl Engine {
    /// The instructions for digits, if this engine has such.
    pub(in crate::engine) fn digits(self) -> Option<Digits> {
        self.fused_dot().filter(|dot| matches!(dot, FusedDot::Dotprod | FusedDot::I8mm)).map(Digits)
    }
}

impl Digits {
    /// Steps of k that an instruction takes at a time. Operands are in groups of so many: all of one row or column, then those
    /// of the next one, up to the tile's edge, then the next groups.
    pub fn steps(self) -> usize {
        if self.0 == FusedDot::I8mm { 8 } else { 4 }
    }

    /// A tile's sums of products, modulo 2^32. Both operands are whole groups, and as many.
    pub fn tile(self, left: &[i8], right: &[i8]) -> [[i32; WIDTH]; HEIGHT] {
        match self.0 {
            // SAFETY: an `Engine` with this instruction, and a `Digits` of it, exists only if it was found.
            #[cfg(target_arch = "aarch64")]
            FusedDot::I8mm => unsafe { aarch64::tile_i8mm(left, right) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            FusedDot::Dotprod => unsafe { aarch64::tile_dotprod(left, right) },
            other => unreachable!("{other:?} takes no digits ({} and {})", left.len(), right.len()),
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use super::{HEIGHT, WIDTH};
    use std::arch::aarch64::*;
    use std::arch::asm;

    /// Bytes of a register.
    const REGISTER: usize = 16;
    /// Left operands of a tile: two rows each.
    const LEFT: usize = HEIGHT / 2;

    /// Products of two rows with a register of columns, which hold the same steps of k.
    ///
    /// A value exists only in the functions below that enable its instruction: it is the proof that it may run.
    trait Instruction: Copy {
        /// The sums of the products.
        type Sums: Copy;
        /// A group of two rows.
        type Left: Copy;
        /// All sums 0.
        fn zero(self) -> Self::Sums;
        /// The group in memory, which has its length.
        fn left(self, rows: &[i8]) -> Self::Left;
        /// The sums, and the products of every row with every column.
        fn dot(self, sums: Self::Sums, left: Self::Left, right: int8x16_t) -> Self::Sums;
        /// The sums to memory, from a column on.
        fn store(self, sums: Self::Sums, to: &mut [[i32; WIDTH]], column: usize);
    }

    /// `sdot`: four steps of k, four columns in a register.
    #[derive(Clone, Copy)]
    struct Sdot(());

    // SAFETY (of all operations): NEON is part of aarch64's baseline, `self` the proof of the rest; loads and stores are within
    // arrays of known length.
    impl Instruction for Sdot {
        type Sums = [int32x4_t; 2];
        type Left = int8x8_t;
        #[inline(always)]
        fn zero(self) -> Self::Sums {
            [unsafe { vdupq_n_s32(0) }; 2]
        }
        #[inline(always)]
        fn left(self, rows: &[i8]) -> Self::Left {
            let rows: &[i8; 8] = rows.try_into().expect("four steps of two rows");
            unsafe { vld1_s8(rows.as_ptr()) }
        }
        #[inline(always)]
        fn dot(self, [mut first, mut second]: Self::Sums, left: Self::Left, right: int8x16_t) -> Self::Sums {
            unsafe {
                asm!(
                    "sdot {first:v}.4s, {right:v}.16b, {left:v}.4b[0]",
                    "sdot {second:v}.4s, {right:v}.16b, {left:v}.4b[1]",
                    first = inout(vreg) first, second = inout(vreg) second, left = in(vreg) left, right = in(vreg) right,
                    options(pure, nomem, nostack, preserves_flags)
                );
            }
            [first, second]
        }
        #[inline(always)]
        fn store(self, sums: Self::Sums, to: &mut [[i32; WIDTH]], column: usize) {
            for (to, sums) in to.iter_mut().zip(sums) {
                let to: &mut [i32; 4] = to[column..].first_chunk_mut().expect("four columns");
                unsafe { vst1q_s32(to.as_mut_ptr(), sums) };
            }
        }
    }

    /// `smmla`: eight steps of k, two columns in a register.
    #[derive(Clone, Copy)]
    struct Smmla(());

    // SAFETY (of all operations): as above.
    impl Instruction for Smmla {
        type Sums = int32x4_t;
        type Left = int8x16_t;
        #[inline(always)]
        fn zero(self) -> Self::Sums {
            unsafe { vdupq_n_s32(0) }
        }
        #[inline(always)]
        fn left(self, rows: &[i8]) -> Self::Left {
            load(rows.try_into().expect("eight steps of two rows"))
        }
        #[inline(always)]
        fn dot(self, mut sums: Self::Sums, left: Self::Left, right: int8x16_t) -> Self::Sums {
            unsafe {
                asm!(
                    "smmla {sums:v}.4s, {left:v}.16b, {right:v}.16b",
                    sums = inout(vreg) sums, left = in(vreg) left, right = in(vreg) right,
                    options(pure, nomem, nostack, preserves_flags)
                );
            }
            sums
        }
        #[inline(always)]
        fn store(self, sums: Self::Sums, to: &mut [[i32; WIDTH]], column: usize) {
            let halves = unsafe { [vget_low_s32(sums), vget_high_s32(sums)] };
            for (to, sums) in to.iter_mut().zip(halves) {
                let to: &mut [i32; 2] = to[column..].first_chunk_mut().expect("two columns");
                unsafe { vst1_s32(to.as_mut_ptr(), sums) };
            }
        }
    }

    #[inline(always)]
    fn load(bytes: &[i8; REGISTER]) -> int8x16_t {
        // SAFETY: a load of an array of a register's length.
        unsafe { vld1q_s8(bytes.as_ptr()) }
    }

    /// The tile in registers: three times `RIGHT` sums.
    #[inline(always)]
    fn tile<I: Instruction, const STEPS: usize, const RIGHT: usize>(
        instruction: I,
        left: &[i8],
        right: &[i8],
    ) -> [[i32; WIDTH]; HEIGHT] {
        const { assert!(RIGHT * REGISTER == WIDTH * STEPS) };
        let mut sums = [[instruction.zero(); RIGHT]; LEFT];
        let left = left.as_chunks::<STEPS>().0.as_chunks::<2>().0.as_chunks::<LEFT>().0;
        let right = right.as_chunks::<REGISTER>().0.as_chunks::<RIGHT>().0;
        for (left, right) in left.iter().zip(right) {
            let left = left.map(|rows| instruction.left(rows.as_flattened()));
            for (j, right) in right.iter().enumerate() {
                let right = load(right);
                for (sums, left) in sums.iter_mut().zip(left) {
                    sums[j] = instruction.dot(sums[j], left, right);
                }
            }
        }
        let mut to = [[0; WIDTH]; HEIGHT];
        for (to, sums) in to.chunks_exact_mut(2).zip(sums) {
            for (j, sums) in sums.into_iter().enumerate() {
                instruction.store(sums, to, j * (WIDTH / RIGHT));
            }
        }
        to
    }

    #[target_feature(enable = "dotprod")]
    #[inline(never)]
    pub(super) fn tile_dotprod(left: &[i8], right: &[i8]) -> [[i32; WIDTH]; HEIGHT] {
        tile::<_, 4, 4>(Sdot(()), left, right)
    }

    #[target_feature(enable = "i8mm")]
    #[inline(never)]
    pub(super) fn tile_i8mm(left: &[i8], right: &[i8]) -> [[i32; WIDTH]; HEIGHT] {
        tile::<_, 8, 8>(Smmla(()), left, right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::Numbers;

    fn check(digits: Digits, groups: usize, mut draw: impl FnMut() -> i8) {
        let steps = digits.steps();
        let mut draw = |vectors: usize| (0..groups * vectors * steps).map(|_| draw()).collect::<Vec<i8>>();
        let (left, right) = (draw(HEIGHT), draw(WIDTH));
        let sums = digits.tile(&left, &right);
        for (i, row) in sums.into_iter().enumerate() {
            for (j, sum) in row.into_iter().enumerate() {
                let products = (0..groups).flat_map(|group| {
                    let left = &left[(group * HEIGHT + i) * steps..][..steps];
                    let right = &right[(group * WIDTH + j) * steps..][..steps];
                    left.iter().zip(right).map(|(a, b)| i64::from(*a) * i64::from(*b))
                });
                assert_eq!(sum, products.sum::<i64>() as i32, "{:?}, {groups} groups: ({i}, {j})", digits.0);
            }
        }
    }

    #[test]
    fn a_tile_is_the_sum_of_its_products_modulo_32_bits() {
        for digits in Engine::available().into_iter().filter_map(Engine::digits) {
            let mut numbers = Numbers::new(8);
            for groups in [0, 1, 2, 7] {
                check(digits, groups, || (numbers.up_to(256) - 1) as u8 as i8);
            }
            check(digits, (1 << 17) / digits.steps(), || i8::MIN);
        }
    }
}
