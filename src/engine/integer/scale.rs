//! How the numbers that a product runs over become integers: one power of two for all of them, of the largest magnitude's
//! exponent.

/// The largest magnitude of a quantised number: both balanced base-128 digits of all from -8127 to 8127 lie in \[-64, 63\].
pub const LARGEST: i32 = 8127;

/// Added to a float's bits, it carries into the exponent where the float times 2^(12 - e) would round beyond [`LARGEST`]:
/// from a significand of 8127.5 / 4096 on.
const CARRY: u32 = (1 << 23) - ((2 * LARGEST as u32 + 1 - 8192) << 10);

/// The least exponent: below it the factor 2^(12 - e) is no float.
const LEAST: i32 = -115;

/// The bits of a float's magnitude.
pub(super) const MAGNITUDE: u32 = 0x7fff_ffff;

/// The largest sum of squares of a row's integers. By Cauchy and Schwarz a sum of products is then below 2^31, and so is every
/// part of it: ‖q‖² stays below 2^31 when numbers are rounded again, up to [`LONGEST`] of them.
const SQUARES: u64 = 15 << 27;

/// The most numbers that a product may run over.
pub const LONGEST: usize = 1 << 20;

/// What numbers are multiplied by before they are rounded, and what an integer is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    /// 2^(12 - e)
    pub up: f32,
    /// 2^(e - 12); NaN where a number is not finite.
    pub step: f32,
}

impl Scale {
    /// The finest scale of numbers whose largest magnitude has the bits `largest`.
    #[inline(always)]
    pub fn of(largest: u32) -> Scale {
        let exponent = (((largest + CARRY) >> 23) as i32 - 127).max(LEAST);
        let up = f32::from_bits(((12 - exponent + 127) as u32) << 23);
        let finite = largest < f32::INFINITY.to_bits();
        Scale { up, step: if finite { 1.0 / up } else { f32::NAN } }
    }

    /// Half as fine until the sum of squares, which is `squares` here, is within its bound; and whether it was not.
    #[inline(always)]
    pub fn coarsened(self, squares: u64) -> (Scale, bool) {
        let (mut scale, mut bound) = (self, SQUARES);
        while bound < squares {
            scale = Scale { up: scale.up * 0.5, step: scale.step * 2.0 };
            bound *= 4;
        }
        (scale, bound > SQUARES)
    }
}

/// 1.5 * 2^23: a float within ±2^22 plus this one is rounded to the nearest integer, even on a tie, and has the integer's low
/// bits.
const SHIFT: f32 = 12_582_912.0;

/// A number as an integer.
#[inline(always)]
pub(super) fn quantise(x: f32, up: f32) -> i16 {
    (x * up + SHIFT).to_bits() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_number_takes_the_most_of_fourteen_bits_and_no_more() {
        for mantissa in (0..1 << 23).step_by(61).chain(8_256_500..8_256_530).chain([(1 << 23) - 1]) {
            for exponent in [1u32, 12, 100, 127, 200, 254] {
                let bits = exponent << 23 | mantissa;
                let (x, scale) = (f32::from_bits(bits), Scale::of(bits));
                let q = quantise(x, scale.up);
                if exponent > 12 {
                    assert!((4063..=LARGEST).contains(&i32::from(q)), "{x:e} becomes {q}");
                }
                assert_eq!(f64::from(scale.up) * f64::from(scale.step), 1.0);
                assert!((f64::from(q) * f64::from(scale.step) - f64::from(x)).abs() <= f64::from(scale.step) / 2.0);
            }
        }
        // On the edge: 8127.5 would round to 8128.
        let edge = 8127.5f32;
        assert_eq!(quantise(edge, Scale::of(edge.to_bits()).up), 4064);
        let below = f32::from_bits(edge.to_bits() - 1);
        assert_eq!(quantise(below, Scale::of(below.to_bits()).up), 8127);
    }

    #[test]
    fn ties_go_to_the_even_integer_and_signs_are_kept() {
        let cases = [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (-2.5, -2), (-8126.5, -8126), (8126.5, 8126)];
        for (x, q) in cases {
            assert_eq!(quantise(x, 1.0), q, "{x}");
        }
    }

    #[test]
    fn zeros_subnormals_and_what_is_not_finite() {
        assert_eq!(quantise(0.0, Scale::of(0).up), 0);
        assert_eq!(Scale::of(1).step, 2f32.powi(-127));
        let largest = f32::from_bits(0x007f_ffff);
        assert_eq!(quantise(largest, Scale::of(largest.to_bits()).up), 2);
        for bad in [f32::INFINITY, f32::NAN, f32::from_bits(MAGNITUDE)] {
            assert!(Scale::of(bad.to_bits() & MAGNITUDE).step.is_nan());
        }
    }

    #[test]
    fn no_sum_of_products_leaves_32_bits() {
        // The longest row of the worst numbers: all at the largest integer, or where rounding again adds the most.
        let rows = [8127.0, 8126.5, 5000.5, 44.9, 41.5, 0.5, 1.5, 3.0].map(|x: f32| vec![x; LONGEST]);
        for row in rows {
            let largest = row[0].to_bits();
            let scale = Scale::of(largest);
            let squares =
                |scale: Scale| row.iter().map(|x| u64::from(quantise(*x, scale.up).unsigned_abs()).pow(2)).sum();
            let (scale, _) = scale.coarsened(squares(scale));
            assert!(squares(scale) < 1 << 31, "{}: {}", row[0], squares(scale));
        }
        // In general: what rounding adds to the norm is at most half a unit a number, twice.
        let norm = (SQUARES as f64).sqrt() + (LONGEST as f64).sqrt();
        assert!(norm * norm < f64::from(1u32 << 31));
    }

    #[test]
    fn a_scale_is_no_coarser_than_the_bound_asks_for() {
        let scale = Scale::of(1f32.to_bits());
        assert_eq!(scale.coarsened(SQUARES), (scale, false));
        let (coarse, changed) = scale.coarsened(SQUARES + 1);
        assert_eq!((coarse.up, coarse.step, changed), (scale.up / 2.0, scale.step * 2.0, true));
        assert_eq!(scale.coarsened(SQUARES * 4 + 1).0.step, scale.step * 4.0);
    }
}
