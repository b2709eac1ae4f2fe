//! exp, log and sigmoid from fused multiply-adds: the same bits on every machine, under 1.0 ULP.
//!
//! Each function is a straight line of A1 operations on one number, so the vectors of a fast version are lanes of the
//! definition. `worst_ulp` measures them against `libm` in f64.

use super::elementwise;
use super::machine::{Engine, kernel};
use rayon::prelude::*;

/// The least x with exp(x) >= 2^-126: below it exp and sigmoid are +0.
pub const SMALLEST: f32 = -87.336_54;
/// The greatest x with a finite exp(x).
const LARGEST: f32 = 88.722_83;
/// 1.5 * 2^23: adding it rounds to an integer and leaves that integer in the low bits.
const ROUND: f32 = 12_582_912.0;
const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 in two parts; the high one has 12 bits less than a float holds, so its multiples here are exact.
const LN2_HIGH: f32 = 0.693_145_75;
const LN2_LOW: f32 = 1.428_606_8e-6;

/// exp(x) = 2^n exp(r) with |r| <= ln(2)/2: gives n in the low bits of a float, r, and (exp(r) - 1 - r) / r^2.
#[inline(always)]
fn reduce(x: f32) -> (f32, f32, f32) {
    let shifted = x.mul_add(LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_HIGH, x);
    let r = n.mul_add(-LN2_LOW, r);
    let q = 1.987_547_8e-4f32;
    let q = q.mul_add(r, 1.393_625_6e-3);
    let q = q.mul_add(r, 8.333_078e-3);
    let q = q.mul_add(r, 4.166_648_5e-2);
    let q = q.mul_add(r, 0.166_666_67);
    let q = q.mul_add(r, 0.5);
    (shifted, r, q)
}

/// e to the power of `x`: +0 where that is below 2^-126, infinity where it overflows.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let (shifted, r, q) = reduce(x);
    let p = q.mul_add(r, 1.0);
    let p = p.mul_add(r, 1.0);
    // Adds n to the exponent of p.
    let scaled = f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23));
    let scaled = if x < SMALLEST { 0.0 } else { scaled };
    // Not `x > LARGEST`: NaN goes this way too.
    if x <= LARGEST { scaled } else { x + f32::INFINITY }
}

/// 1 / (1 + exp(-x)): +0 where that is below 2^-126.
///
/// The exponential is kept in two parts and the quotient is corrected: the plain formula is off by more than 1 ULP.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let y = -x.abs();
    let y = if y < SMALLEST { SMALLEST } else { y };
    let (shifted, r, q) = reduce(y);
    // exp(r) = high + low, as 1 + t.
    let t = (r * r).mul_add(q, r);
    let high = 1.0 + t;
    let low = t - (high - 1.0);
    // -126 <= n <= 0, so 2^n is normal.
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    let high = high * power;
    let low = low * power;
    // 1 + exp(y) = sum + rest, and its reciprocal = quotient + correction.
    let sum = 1.0 + high;
    let rest = (high - (sum - 1.0)) + low;
    let quotient = 1.0 / sum;
    let remainder = (-sum).mul_add(quotient, 1.0);
    let remainder = (-rest).mul_add(quotient, remainder);
    let correction = quotient * remainder;
    let negative = x < 0.0;
    let high = if negative { high } else { 1.0 };
    let low = if negative { low } else { 0.0 };
    let result = high.mul_add(quotient, high.mul_add(correction, low * quotient));
    if x < SMALLEST { 0.0 } else { result }
}

/// The natural logarithm: -infinity at zero, NaN below it.
#[inline(always)]
pub fn log(x: f32) -> f32 {
    // Subnormals are scaled up by 2^23 first.
    let tiny = x < f32::MIN_POSITIVE;
    let scaled = if tiny { x * 8_388_608.0 } else { x };
    let bias = if tiny { -23.0 } else { 0.0 };
    // x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)).
    let bits = scaled.to_bits();
    let e = (bits.wrapping_sub(0x3f35_04f3) as i32) >> 23;
    let f = f32::from_bits(bits.wrapping_sub((e as u32) << 23)) - 1.0;
    let e = e as f32 + bias;
    // ln(1 + f) = f - f^2/2 + f^3 p(f); coefficients of Cephes' logf.
    let p = 7.037_683_6e-2f32;
    let p = p.mul_add(f, -1.151_461e-1);
    let p = p.mul_add(f, 1.167_699_9e-1);
    let p = p.mul_add(f, -1.242_014_1e-1);
    let p = p.mul_add(f, 1.424_932_3e-1);
    let p = p.mul_add(f, -1.666_805_8e-1);
    let p = p.mul_add(f, 2.000_071_5e-1);
    let p = p.mul_add(f, -2.499_999_4e-1);
    let p = p.mul_add(f, 3.333_333e-1);
    let square = f * f;
    let tail = (p * f) * square;
    let tail = e.mul_add(-2.121_944_4e-4, tail);
    let tail = square.mul_add(-0.5, tail);
    let result = e.mul_add(0.693_359_4, f + tail);
    if x > 0.0 && x < f32::INFINITY {
        result
    } else if x == 0.0 {
        f32::NEG_INFINITY
    } else if x > 0.0 {
        x
    } else {
        f32::NAN
    }
}

#[inline(always)]
fn exp_all(x: &mut [f32]) {
    for x in x {
        *x = exp(*x);
    }
}

#[inline(always)]
fn log_all(x: &mut [f32]) {
    for x in x {
        *x = log(*x);
    }
}

#[inline(always)]
fn sigmoid_all(x: &mut [f32]) {
    for x in x {
        *x = sigmoid(*x);
    }
}

kernel!(ExpAll<'a> { x: &'a mut [f32] } -> () = exp_all(x));
kernel!(LogAll<'a> { x: &'a mut [f32] } -> () = log_all(x));
kernel!(SigmoidAll<'a> { x: &'a mut [f32] } -> () = sigmoid_all(x));

impl Engine {
    /// [`exp`] of each element, in place.
    pub fn exp(self, x: &mut [f32]) {
        elementwise::in_blocks(x, |x| self.dispatch(ExpAll { x }));
    }

    /// [`log`] of each element, in place.
    pub fn log(self, x: &mut [f32]) {
        elementwise::in_blocks(x, |x| self.dispatch(LogAll { x }));
    }

    /// [`sigmoid`] of each element, in place.
    pub fn sigmoid(self, x: &mut [f32]) {
        elementwise::in_blocks(x, |x| self.dispatch(SigmoidAll { x }));
    }
}

/// One of the functions of this file, for measuring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// [`exp`]
    Exp,
    /// [`log`]
    Log,
    /// [`sigmoid`]
    Sigmoid,
}

impl Function {
    /// The true value, to f64's precision.
    fn truth(self, x: f32) -> f64 {
        let x = f64::from(x);
        match self {
            Function::Exp => libm::exp(x),
            Function::Log => libm::log(x),
            // Without cancellation on either side.
            Function::Sigmoid if x < 0.0 => {
                let e = libm::exp(x);
                e / (1.0 + e)
            }
            Function::Sigmoid => 1.0 / (1.0 + libm::exp(-x)),
        }
    }

    fn all(self, engine: Engine, x: &mut [f32]) {
        match self {
            Function::Exp => engine.dispatch(ExpAll { x }),
            Function::Log => engine.dispatch(LogAll { x }),
            Function::Sigmoid => engine.dispatch(SigmoidAll { x }),
        }
    }
}

/// The largest error of `function` in units in the last place, and where, over every `step`-th of the 2^32 inputs
/// (1: all of them). Inputs whose true value is below 2^-126 must give +0, those above the largest float infinity, and
/// NaN must stay NaN: anything else counts as an infinite error.
pub fn worst_ulp(engine: Engine, function: Function, step: u32) -> (f64, f32) {
    const BLOCK: u64 = 1 << 16;
    let step = u64::from(step.max(1));
    let blocks = (1u64 << 32).div_ceil(BLOCK * step);
    (0..blocks)
        .into_par_iter()
        .map(|block| {
            let first = block * BLOCK * step;
            let inputs: Vec<f32> = (0..BLOCK)
                .map(|i| first + i * step)
                .take_while(|&bits| bits < 1 << 32)
                .map(|bits| f32::from_bits(bits as u32))
                .collect();
            let mut values = inputs.clone();
            function.all(engine, &mut values);
            let errors = inputs.iter().zip(&values).map(|(&x, &y)| (ulps(y, function.truth(x)), x));
            errors.fold((0.0, 0.0), worse)
        })
        .reduce(|| (0.0, 0.0), worse)
}

fn worse(a: (f64, f32), b: (f64, f32)) -> (f64, f32) {
    if b.0 > a.0 { b } else { a }
}

/// The distance of `value` from `truth`, in units in the last place of the truth rounded to f32.
fn ulps(value: f32, truth: f64) -> f64 {
    let rounded = truth as f32;
    let as_expected = if truth.is_nan() {
        value.is_nan()
    } else if rounded.is_infinite() {
        value == rounded
    } else if truth != 0.0 && truth.abs() < f64::from(f32::MIN_POSITIVE) {
        value.to_bits() == 0
    } else if truth == 0.0 {
        value == 0.0
    } else {
        let exponent = (rounded.to_bits() >> 23 & 0xff) as i32 - 150;
        return if value.is_finite() {
            (f64::from(value) - truth).abs() * libm::scalbn(1.0, -exponent)
        } else {
            f64::INFINITY
        };
    };
    if as_expected { 0.0 } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{assert_same_bits, on_every_engine};

    #[test]
    fn all_three_are_under_one_ulp_on_a_dense_sample() {
        for function in [Function::Exp, Function::Log, Function::Sigmoid] {
            let (error, at) = worst_ulp(Engine::detect(), function, 509);
            assert!(error < 1.0, "{function:?} is off by {error} ULP at {at:e}");
        }
    }

    #[test]
    fn special_values_are_as_documented() {
        let tiny = f32::from_bits(1);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY).to_bits(), 0);
        assert_eq!(exp(-87.4).to_bits(), 0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(88.73), f32::INFINITY);
        assert!(exp(LARGEST).is_finite() && exp(SMALLEST) >= f32::MIN_POSITIVE);
        assert!(exp(LARGEST.next_up()).is_infinite() && libm::exp(f64::from(LARGEST.next_up())) > 3.402_823_6e38);
        assert!(libm::exp(f64::from(SMALLEST)) > 1.175_494_4e-38);
        assert!(libm::exp(f64::from(SMALLEST.next_down())) < 1.175_494_4e-38);
        assert_eq!(exp(SMALLEST.next_down()).to_bits(), 0);
        assert_eq!(log(0.0), f32::NEG_INFINITY);
        assert_eq!(log(-0.0), f32::NEG_INFINITY);
        assert_eq!(log(1.0).to_bits(), 0);
        assert_eq!(log(f32::INFINITY), f32::INFINITY);
        assert!(log(-1.0).is_nan() && log(-tiny).is_nan() && log(f32::NEG_INFINITY).is_nan());
        assert!((log(tiny) - -103.278_93).abs() < 1e-5);
        assert_eq!(sigmoid(0.0), 0.5);
        assert_eq!(sigmoid(100.0), 1.0);
        assert_eq!(sigmoid(f32::INFINITY), 1.0);
        assert_eq!(sigmoid(f32::NEG_INFINITY).to_bits(), 0);
        for bits in [0x7fc0_0000, 0xffc0_0000, 0x7f80_0001, 0x7fff_ffff, 0xffff_ffff] {
            let nan = f32::from_bits(bits);
            assert!(exp(nan).is_nan() && log(nan).is_nan() && sigmoid(nan).is_nan());
        }
    }

    #[test]
    fn vectors_are_lanes_of_the_definition() {
        on_every_engine(|engine, numbers| {
            let length = 1000 + numbers.up_to(100);
            let x = numbers.wild(length);
            let (mut e, mut l, mut s) = (x.clone(), x.clone(), x.clone());
            engine.exp(&mut e);
            engine.log(&mut l);
            engine.sigmoid(&mut s);
            assert_same_bits("exp", &e, &x.iter().map(|&x| exp(x)).collect::<Vec<_>>());
            assert_same_bits("log", &l, &x.iter().map(|&x| log(x)).collect::<Vec<_>>());
            assert_same_bits("sigmoid", &s, &x.iter().map(|&x| sigmoid(x)).collect::<Vec<_>>());
        });
    }
}
