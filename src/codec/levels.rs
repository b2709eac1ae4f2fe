//! The two magnitudes that a chunk's kept values are sent as, fitted by squared error.
//!
//! A level is the upper 12 of a positive float32's bits without its sign: 8 of exponent, 4 of mantissa. A magnitude
//! becomes a level by rounding its bits to nearest, ties to even; what would round to infinity is the largest level. So
//! what is below 2^-131 becomes 0, and denormals have steps of 2^-130.
//!
//! From the kept magnitudes a_0 >= a_1 >= ..., c of them sent, the two levels are found so (sums and quotients in f64, the
//! sums running from a_0 on; P_i is the sum of the first i):
//!
//! ```text
//! 1  c = the number of kept magnitudes that are not 0; none: the chunk is sent as zero
//! 2  s = the one of 0..c-1 with the largest P_s^2 / s + (P_c - P_s)^2 / (c - s), the first term left out at s = 0;
//!    of equals the smallest
//! 3  lo = level((P_c - P_s) / (c - s)), hi's mean = P_s / s, both rounded to float32 before
//! 4  where lo is 0, c = s and on with 2; with s = 0 the chunk is sent as zero
//! 5  where a_i < lo / 2 for some i < c, 0 is nearer to it than lo: c = the first such i, and on with 2; this at most 8 times
//! 6  form: with all k values sent, the nearest ratio: the smallest f with 2 P_s / s <= lo (R_f + R_(f+1)), up to 14, and
//!    hi = lo R_f, one float32 multiplication; without such an f, or with c < k, the chunk is wide, and hi = level(P_s / s)
//! 7  a value is sent as hi where it is above (lo + hi) / 2
//! 8  where that makes all values hi or none, or hi is not finite or not above lo, there is one level: lo = level(P_c / c), all
//!    values are sent as lo, and the chunk is sent as zero where that is 0
//! ```

/// hi / lo of the forms 0 to 14: 2^((f + 1) 2.5 / 16), rounded to float32. The last one only ends the range of form 14.
pub const RATIOS: [f32; 16] = [
    1.1143868, 1.2418578, 1.38391, 1.5422108, 1.7186193, 1.9152066, 2.134281, 2.3784142, 2.6504734, 2.9536524,
    3.291511, 3.6680162, 4.087589, 4.5551543, 5.076204, 5.656854,
];
/// Forms with a ratio; the one after them is the wide one.
pub const FORMS: usize = 15;
/// The largest level that is finite.
const LARGEST: u16 = 0xfef;
/// How often a fit may be made again with fewer values.
const TRIES: usize = 8;

/// A level from 0 to 0xfef, as 12 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u16);

impl Level {
    /// The level of a magnitude.
    pub fn of(magnitude: f32) -> Level {
        let bits = magnitude.to_bits();
        let rounded = (bits + 0x3ffff + (bits >> 19 & 1)) >> 19;
        Level((rounded as u16).min(LARGEST))
    }

    /// The level with this code; `None` for an infinity or a NaN.
    pub fn from_code(code: u32) -> Option<Level> {
        (code <= u32::from(LARGEST)).then_some(Level(code as u16))
    }

    /// The code.
    pub fn code(self) -> u32 {
        self.0.into()
    }

    /// What it stands for.
    pub fn value(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 19)
    }
}

/// How the larger values of a chunk are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum High {
    /// As lo times this ratio. Form 0 too where no value is: then there is one level.
    Form(usize),
    /// The chunk is wide, and they are sent as this level; none where no value is.
    Wide(Option<Level>),
}

/// What is sent of a chunk's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels {
    /// How many values are sent, the largest.
    pub count: usize,
    /// The lower level, not 0.
    pub low: Level,
    /// The upper one.
    pub high: High,
    /// Values above are sent as the upper level; infinite where none are.
    pub middle: f64,
}

/// lo times the ratio of a form, where that is finite.
pub fn high_of(low: Level, form: usize) -> Option<f32> {
    Some(low.value() * RATIOS[form]).filter(|high| high.is_finite())
}

/// Where the forms end: a mean above this many halves of lo makes a chunk wide.
fn end_of_forms(form: usize) -> f64 {
    f64::from(RATIOS[form]) + f64::from(RATIOS[form + 1])
}

/// The least upper level of a wide chunk that sends all of its k values.
pub fn least_wide(low: Level) -> Level {
    Level::of((f64::from(low.value()) * end_of_forms(FORMS - 1) / 2.0) as f32)
}

/// Fits the levels of magnitudes in descending order; `None` where the chunk is sent as zero. `sums` is room for their
/// sums.
pub fn fit(magnitudes: &[f32], sums: &mut Vec<f64>) -> Option<Levels> {
    sums.clear();
    sums.push(0.0);
    let mut sum = 0.0;
    for &magnitude in magnitudes.iter().take_while(|m| **m > 0.0) {
        sum += f64::from(magnitude);
        sums.push(sum);
    }
    let mut count = sums.len() - 1;
    let mut tries = 0;
    loop {
        if count == 0 {
            return None;
        }
        let split = split(sums, count);
        let low = Level::of(mean(sums, split, count));
        if low.value() == 0.0 {
            count = split;
            continue;
        }
        let near = |m: &&f32| f64::from(**m) >= f64::from(low.value()) / 2.0;
        let above = magnitudes[..count].iter().take_while(near).count();
        if above < count && tries < TRIES {
            (count, tries) = (above, tries + 1);
            continue;
        }
        return two(magnitudes, sums, count, split, low).or_else(|| one(magnitudes.len(), sums, count));
    }
}

/// Two levels, where they are two.
fn two(magnitudes: &[f32], sums: &[f64], count: usize, split: usize, low: Level) -> Option<Levels> {
    if split == 0 {
        return None;
    }
    let twice = 2.0 * (sums[split] / split as f64);
    let form = (0..FORMS).find(|&form| twice <= f64::from(low.value()) * end_of_forms(form));
    let (high, value) = match form {
        Some(form) if count == magnitudes.len() => (High::Form(form), high_of(low, form)?),
        _ => {
            let level = Level::of(mean(sums, 0, split));
            (High::Wide(Some(level)), level.value())
        }
    };
    let middle = (f64::from(low.value()) + f64::from(value)) / 2.0;
    let above = magnitudes[..count].iter().take_while(|m| f64::from(**m) > middle).count();
    let two = value > low.value() && (1..count).contains(&above);
    two.then_some(Levels { count, low, high, middle })
}

/// One level for all.
fn one(kept: usize, sums: &[f64], count: usize) -> Option<Levels> {
    let low = Level::of(mean(sums, 0, count));
    let high = if count == kept { High::Form(0) } else { High::Wide(None) };
    (low.value() > 0.0).then_some(Levels { count, low, high, middle: f64::INFINITY })
}

fn mean(sums: &[f64], from: usize, to: usize) -> f32 {
    ((sums[to] - sums[from]) / (to - from) as f64) as f32
}

/// How many of the first `count` go to the upper level, so that the squared error is least.
fn split(sums: &[f64], count: usize) -> usize {
    let all = sums[count];
    let (mut best, mut gain) = (0, all * all / count as f64);
    for (s, above) in sums[..count].iter().enumerate().skip(1) {
        let below = all - above;
        let with = above * above / s as f64 + below * below / (count - s) as f64;
        if with > gain {
            (best, gain) = (s, with);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(magnitudes: &[f32]) -> Option<Levels> {
        fit(magnitudes, &mut Vec::new())
    }

    #[test]
    fn the_ratios_are_what_they_are_said_to_be() {
        for (f, ratio) in RATIOS.into_iter().enumerate() {
            assert_eq!(ratio, libm::exp2((f + 1) as f64 * 2.5 / 16.0) as f32);
        }
    }

    #[test]
    fn a_level_is_the_nearest_of_twelve_bits() {
        assert_eq!(Level::of(1.0).value(), 1.0);
        assert_eq!(Level::of(1.03).value(), 1.0);
        assert_eq!(Level::of(1.04).value(), 1.0625);
        // Half between 1 and 1.0625, and between that and 1.125: ties to even.
        assert_eq!(Level::of(1.03125).value(), 1.0);
        assert_eq!(Level::of(1.09375).value(), 1.125);
        assert_eq!(Level::of(f32::MAX).value(), 1.9375 * 2f32.powi(127));
        assert_eq!(Level::of(f32::MAX), Level::from_code(0xfef).unwrap());
        assert_eq!(Level::of(f32::from_bits(1)).value(), 0.0);
        assert_eq!(Level::of(f32::from_bits(1 << 18)).value(), 0.0);
        assert_eq!(Level::of(f32::from_bits((1 << 18) + 1)).value(), f32::from_bits(1 << 19));
        assert!(Level::from_code(0xff0).is_none());
    }

    #[test]
    fn levels_by_hand() {
        // Two groups, means 4 and 2: form 5 is 1.915, form 6 is 2.134, and 2 is nearer to the former.
        let levels = fitted(&[4.0, 4.0, 2.0, 2.0]).unwrap();
        assert_eq!((levels.count, levels.low.value(), levels.high), (4, 2.0, High::Form(5)));
        assert_eq!(levels.middle, (2.0 + f64::from(2.0 * RATIOS[5])) / 2.0);
        // All alike: one level.
        let levels = fitted(&[3.0; 5]).unwrap();
        assert_eq!((levels.low.value(), levels.high, levels.middle), (3.0, High::Form(0), f64::INFINITY));
        // Zeros are not sent; what is far apart is wide.
        let levels = fitted(&[3.0, 3.0, 0.0]).unwrap();
        assert_eq!((levels.count, levels.high), (2, High::Wide(None)));
        let levels = fitted(&[64.0, 1.0, 1.0]).unwrap();
        assert_eq!((levels.count, levels.low.value()), (3, 1.0));
        assert_eq!(levels.high, High::Wide(Some(Level::of(64.0))));
        // 1 is nearer to 0 than to the others' level.
        let levels = fitted(&[1000.0, 900.0, 100.0, 100.0, 100.0, 1.0]).unwrap();
        assert_eq!(levels.count, 5);
        assert!(fitted(&[0.0, 0.0]).is_none() && fitted(&[]).is_none());
        assert!(fitted(&[f32::from_bits(3); 9]).is_none());
    }

    #[test]
    fn the_largest_floats_have_levels() {
        let levels = fitted(&[f32::MAX; 64]).unwrap();
        assert_eq!((levels.low, levels.high), (Level::from_code(0xfef).unwrap(), High::Form(0)));
        let mut some = [f32::MAX / 1.2; 64];
        some[0] = f32::MAX;
        // The ratio would lead beyond the floats.
        assert_eq!(fitted(&some).unwrap().high, High::Form(0));
    }
}
