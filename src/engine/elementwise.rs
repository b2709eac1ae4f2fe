//! Adding one tensor into another, the search for a non-finite value, and how long slices are shared out to threads.

use super::machine::{Engine, Isa, kernel};
use rayon::prelude::*;

/// The plain scalar definitions.
pub mod definition {
    /// `acc[i] = acc[i] + x[i]`.
    pub fn add_into(acc: &mut [f32], x: &[f32]) {
        for (acc, x) in acc.iter_mut().zip(x) {
            *acc += *x;
        }
    }

    /// `acc[i] = x[i] - acc[i]`.
    pub fn sub_from(acc: &mut [f32], x: &[f32]) {
        for (acc, x) in acc.iter_mut().zip(x) {
            *acc = *x - *acc;
        }
    }

    /// `acc[i] = fma(factor, x[i], acc[i])`.
    pub fn fma_into(acc: &mut [f32], factor: f32, x: &[f32]) {
        for (acc, x) in acc.iter_mut().zip(x) {
            *acc = factor.mul_add(*x, *acc);
        }
    }

    /// `out[i] = x[i] + y[i]`.
    pub fn add(x: &[f32], y: &[f32], out: &mut [f32]) {
        for ((x, y), out) in x.iter().zip(y).zip(out) {
            *out = x + y;
        }
    }

    /// `x[i] = x[i] * factor`.
    pub fn scale(x: &mut [f32], factor: f32) {
        for x in x {
            *x *= factor;
        }
    }

    /// The least index of a NaN or an infinity.
    pub fn first_non_finite(x: &[f32]) -> Option<usize> {
        x.iter().position(|x| !x.is_finite())
    }
}

/// Elements that one task handles: long enough that starting a task costs nothing beside it.
pub(super) const BLOCK: usize = 1 << 15;

/// Whether work on `elements` elements is worth sharing out to the threads of the current pool.
pub(super) fn worth_threads(elements: usize) -> bool {
    elements > BLOCK && rayon::current_num_threads() > 1
}

/// Runs `work` over `x` in blocks, on all threads where that pays.
pub(super) fn in_blocks(x: &mut [f32], work: impl Fn(&mut [f32]) + Send + Sync) {
    if worth_threads(x.len()) {
        x.par_chunks_mut(BLOCK).for_each(work);
    } else {
        x.chunks_mut(BLOCK).for_each(work);
    }
}

/// Runs `work` over `acc` and `x` in blocks, on all threads where that pays.
fn in_block_pairs(acc: &mut [f32], x: &[f32], work: impl Fn(&mut [f32], &[f32]) + Send + Sync) {
    if worth_threads(acc.len()) {
        acc.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(acc, x)| work(acc, x));
    } else {
        acc.chunks_mut(BLOCK).zip(x.chunks(BLOCK)).for_each(|(acc, x)| work(acc, x));
    }
}

#[inline(always)]
fn add_into(acc: &mut [f32], x: &[f32]) {
    for (acc, x) in acc.iter_mut().zip(x) {
        *acc += *x;
    }
}

#[inline(always)]
fn sub_from(acc: &mut [f32], x: &[f32]) {
    for (acc, x) in acc.iter_mut().zip(x) {
        *acc = *x - *acc;
    }
}

#[inline(always)]
fn fma_into(acc: &mut [f32], factor: f32, x: &[f32]) {
    for (acc, x) in acc.iter_mut().zip(x) {
        *acc = factor.mul_add(*x, *acc);
    }
}

#[inline(always)]
fn add(x: &[f32], y: &[f32], out: &mut [f32]) {
    for ((x, y), out) in x.iter().zip(y).zip(out) {
        *out = x + y;
    }
}

#[inline(always)]
fn scale(x: &mut [f32], factor: f32) {
    for x in x {
        *x *= factor;
    }
}

/// The largest magnitude as an integer: at least the bits of infinity if any element is not finite.
#[inline(always)]
fn greatest_magnitude(x: &[f32]) -> u32 {
    x.iter().fold(0, |greatest, x| greatest.max(x.to_bits() & 0x7fff_ffff))
}

kernel!(AddInto<'a> { acc: &'a mut [f32], x: &'a [f32] } -> () = add_into(acc, x));
kernel!(SubFrom<'a> { acc: &'a mut [f32], x: &'a [f32] } -> () = sub_from(acc, x));
kernel!(FmaInto<'a> { acc: &'a mut [f32], factor: f32, x: &'a [f32] } -> () = fma_into(acc, factor, x));
kernel!(Add<'a> { x: &'a [f32], y: &'a [f32], out: &'a mut [f32] } -> () = add(x, y, out));
kernel!(Scale<'a> { x: &'a mut [f32], factor: f32 } -> () = scale(x, factor));
kernel!(GreatestMagnitude<'a> { x: &'a [f32] } -> u32 = greatest_magnitude(x));

impl Engine {
    /// `acc[i] = acc[i] + x[i]`.
    pub fn add_into(self, acc: &mut [f32], x: &[f32]) {
        assert_eq!(acc.len(), x.len(), "add_into: tensors of different sizes");
        if self.isa() == Isa::Definition {
            return self.define(|| definition::add_into(acc, x));
        }
        in_block_pairs(acc, x, |acc, x| self.dispatch(AddInto { acc, x }));
    }

    /// `acc[i] = x[i] - acc[i]`.
    pub fn sub_from(self, acc: &mut [f32], x: &[f32]) {
        assert_eq!(acc.len(), x.len(), "sub_from: tensors of different sizes");
        if self.isa() == Isa::Definition {
            return self.define(|| definition::sub_from(acc, x));
        }
        in_block_pairs(acc, x, |acc, x| self.dispatch(SubFrom { acc, x }));
    }

    /// `acc[i] = fma(factor, x[i], acc[i])`.
    pub fn fma_into(self, acc: &mut [f32], factor: f32, x: &[f32]) {
        assert_eq!(acc.len(), x.len(), "fma_into: tensors of different sizes");
        if self.isa() == Isa::Definition {
            return self.define(|| definition::fma_into(acc, factor, x));
        }
        in_block_pairs(acc, x, |acc, x| self.dispatch(FmaInto { acc, factor, x }));
    }

    /// `out[i] = x[i] + y[i]`.
    pub fn add(self, x: &[f32], y: &[f32], out: &mut [f32]) {
        assert_eq!([x.len(), y.len()], [out.len(); 2], "add: tensors of different sizes");
        if self.isa() == Isa::Definition {
            return self.define(|| definition::add(x, y, out));
        }
        let block = |((x, y), out): ((&[f32], &[f32]), &mut [f32])| self.dispatch(Add { x, y, out });
        if worth_threads(out.len()) {
            x.par_chunks(BLOCK).zip(y.par_chunks(BLOCK)).zip(out.par_chunks_mut(BLOCK)).for_each(block);
        } else {
            x.chunks(BLOCK).zip(y.chunks(BLOCK)).zip(out.chunks_mut(BLOCK)).for_each(block);
        }
    }

    /// `x[i] = x[i] * factor`.
    pub fn scale(self, x: &mut [f32], factor: f32) {
        if self.isa() == Isa::Definition {
            return self.define(|| definition::scale(x, factor));
        }
        in_blocks(x, |x| self.dispatch(Scale { x, factor }));
    }

    /// The least index of a NaN or an infinity in `x`, by an integer test on the exponents.
    pub fn first_non_finite(self, x: &[f32]) -> Option<usize> {
        if self.isa() == Isa::Definition {
            return definition::first_non_finite(x);
        }
        let bad = |x: &[f32]| self.dispatch(GreatestMagnitude { x }) >= f32::INFINITY.to_bits();
        let block = if worth_threads(x.len()) {
            x.par_chunks(BLOCK).position_first(bad)
        } else {
            x.chunks(BLOCK).position(bad)
        }?;
        let start = block * BLOCK;
        definition::first_non_finite(&x[start..]).map(|index| start + index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{assert_same_bits, on_every_engine};

    #[test]
    fn adding_and_scaling_equal_their_definitions() {
        on_every_engine(|engine, numbers| {
            for length in [0, 1, numbers.up_to(100), 2 * BLOCK + numbers.up_to(100)] {
                let (acc, x) = (numbers.wild(length), numbers.wild(length));
                let run = |engine: Engine| {
                    let mut acc = acc.clone();
                    engine.add_into(&mut acc, &x);
                    engine.scale(&mut acc, 0.37);
                    engine.fma_into(&mut acc, -0.83, &x);
                    let mut out = vec![0.0; length];
                    engine.add(&acc, &x, &mut out);
                    engine.sub_from(&mut acc, &out);
                    [acc, out].concat()
                };
                assert_same_bits("add_into", &run(engine), &run(Engine::definition()));
            }
        });
    }

    #[test]
    fn the_first_non_finite_value_is_found() {
        on_every_engine(|engine, numbers| {
            let length = BLOCK + 100 + numbers.up_to(2 * BLOCK);
            let mut x = numbers.wild(length);
            assert_eq!(engine.first_non_finite(&x), None);
            let (a, b) = (numbers.up_to(length) - 1, numbers.up_to(length) - 1);
            x[a] = f32::NAN;
            x[b] = f32::NEG_INFINITY;
            assert_eq!(engine.first_non_finite(&x), Some(a.min(b)));
        });
    }
}
