//! How many steps of k fit one 32-bit sum. By Cauchy and Schwarz a sum of products is at most the product of the norms; norms
//! are known for pieces of k of several lengths, and a tile takes the longest for which its sums stay in bounds.
//!
//! Nothing of this decides a bit: the sums are exact either way.

use super::scale::LARGEST;

/// Steps of k that are safe whatever the numbers are: 32 * 8127^2 < 2^31.
pub(super) const ALWAYS: usize = 32;
/// The shortest piece whose norms are known. Further ones are twice as long each, and the last is the whole.
pub(super) const PIECE: usize = 128;
/// Lengths of pieces: 128, 256, 512, all of k.
pub(super) const LENGTHS: usize = 4;

const _: () = assert!(ALWAYS as i64 * (LARGEST as i64 * LARGEST as i64) < 1 << 31);

/// What is known of the numbers of some rows (or columns).
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// The largest sum of squares over a piece of each length, rounded up.
    pub squares: [f32; LENGTHS],
    /// The least and the largest step.
    pub steps: [f32; 2],
}

impl Facts {
    /// Of no row.
    pub const NONE: Facts = Facts { squares: [0.0; LENGTHS], steps: [f32::INFINITY, 0.0] };

    /// One row's. Where a number is not finite the sums do not matter: its products are no numbers.
    #[inline(always)]
    pub fn of(squares: [f32; LENGTHS], step: f32) -> Facts {
        if step.is_nan() { Facts::NONE } else { Facts { squares, steps: [step; 2] } }
    }

    /// One row's, from the sums of squares over its pieces of [`PIECE`] steps.
    #[inline(always)]
    pub fn of_row(pieces: impl Iterator<Item = f32>, step: f32) -> Facts {
        let mut sums = Sums::default();
        pieces.for_each(|squares| sums.add(squares));
        Facts::of(sums.largest, step)
    }

    /// Those of these rows and others.
    #[inline(always)]
    pub fn join(&mut self, other: &Facts) {
        for (mine, other) in self.squares.iter_mut().zip(other.squares) {
            *mine = mine.max(other);
        }
        self.steps = [self.steps[0].min(other.steps[0]), self.steps[1].max(other.steps[1])];
    }

    /// Steps of k that a 32-bit sum of products of these rows with those columns takes.
    #[inline(always)]
    pub fn steps_in_a_sum(&self, columns: &Facts, k: usize) -> usize {
        // (2^31)^2, less what the sums of squares were rounded by: at k = 2^20 at most 2^-10 of each.
        const LIMIT: f64 = 4.6e18;
        let fits = |i: &usize| f64::from(self.squares[*i]) * f64::from(columns.squares[*i]) < LIMIT;
        match (0..LENGTHS).rev().find(fits) {
            None => ALWAYS,
            Some(i) if i == LENGTHS - 1 => k,
            Some(i) => PIECE << i,
        }
    }

    /// Whether a sum rounded to float may be multiplied by the steps in floats: the results are normal, or zero, or too large
    /// either way.
    #[inline(always)]
    pub fn floats_scale(&self, columns: &Facts) -> bool {
        let product = |i: usize| f64::from(self.steps[i]) * f64::from(columns.steps[i]);
        product(0) >= f64::from(f32::MIN_POSITIVE) && product(1) <= 2f64.powi(127)
    }
}

/// Sums of squares over pieces that follow each other.
#[derive(Clone, Copy, Default)]
struct Sums {
    pieces: usize,
    open: [f32; LENGTHS],
    largest: [f32; LENGTHS],
}

impl Sums {
    #[inline(always)]
    fn add(&mut self, squares: f32) {
        self.pieces += 1;
        for (i, (open, largest)) in self.open.iter_mut().zip(&mut self.largest).enumerate() {
            *open += squares;
            *largest = largest.max(*open);
            if i < LENGTHS - 1 && self.pieces.is_multiple_of(1 << i) {
                *open = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_takes_as_many_steps_as_the_norms_allow() {
        let row = |squares: &[f32]| Facts::of_row(squares.iter().copied(), 1.0);
        let worst = (LARGEST * LARGEST) as f32 * PIECE as f32;
        assert_eq!(row(&[worst]).steps_in_a_sum(&row(&[worst]), 128), ALWAYS);
        let typical = 128.0 * 1570.0 * 1570.0;
        let six = row(&[typical; 6]);
        assert_eq!(six.squares, [1, 2, 4, 6].map(|n| n as f32 * typical));
        assert_eq!(six.steps_in_a_sum(&six, 768), 768);
        let twelve = row(&[typical; 12]);
        assert_eq!(twelve.steps_in_a_sum(&twelve, 1500), 512);
        let one_long = row(&[typical, worst, typical]);
        assert_eq!(one_long.steps_in_a_sum(&row(&[1e6; 3]), 300), 300);
        assert_eq!(one_long.steps_in_a_sum(&six, 300), 128);
    }

    #[test]
    fn joined_facts_keep_the_worst_of_each() {
        let mut facts = Facts::NONE;
        facts.join(&Facts::of_row([4.0, 1.0].into_iter(), 0.5));
        facts.join(&Facts::of_row([2.0, 3.0].into_iter(), 2.0));
        assert_eq!((facts.squares, facts.steps), ([4.0, 5.0, 5.0, 5.0], [0.5, 2.0]));
        facts.join(&Facts::of_row([f32::NAN].into_iter(), f32::NAN));
        assert_eq!((facts.squares, facts.steps), ([4.0, 5.0, 5.0, 5.0], [0.5, 2.0]));
    }
}
