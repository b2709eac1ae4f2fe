//! The coordinate-wise trimmed mean (`trimmed_mean`; Yin and others, 1803.01498, definition 2): of every coordinate the f
//! greatest and the f smallest values are dropped, the rest averaged.
//!
//! Values go by their total order (-0 before +0) and are summed ascending, so that the order of the workers is irrelevant. It
//! takes n > 2f; with fewer updates f is lowered to (n - 1) / 2, and the median is left. Memory: the tensors of a group,
//! see [`super::given::groups`]: two models in all, or n of the largest tensor.

use rayon::prelude::*;

use super::direction::Direction;
use super::given::Given;
use crate::engine::Isa;
use crate::error::Result;

/// Coordinates that are sorted together.
const BLOCK: usize = 256;

/// The plain scalar definition.
pub mod definition {
    /// The mean of the values of one coordinate but for the `faulty` smallest and greatest.
    pub fn trimmed(mut values: Vec<f32>, faulty: usize) -> f32 {
        values.sort_by(f32::total_cmp);
        let kept = &values[faulty..values.len() - faulty];
        let mut sum = kept[0];
        kept[1..].iter().for_each(|value| sum += value);
        sum * (1.0 / kept.len() as f32)
    }
}

/// What f comes down to with so many updates.
pub fn withstands(count: usize, faulty: usize) -> usize {
    faulty.min(count.saturating_sub(1) / 2)
}

/// The trimmed mean of all.
pub fn trimmed_mean(given: &mut Given<'_>, faulty: usize) -> Result<Direction> {
    let faulty = withstands(given.count(), faulty);
    let mut out = vec![0.0; given.total()];
    given.read_tensors(|engine, tensor, values| {
        if engine.isa() == Isa::Definition {
            let column = |i: usize| values.iter().map(|values| values[i]).collect();
            let out = out[tensor.range()].iter_mut().enumerate();
            return out.for_each(|(i, out)| *out = definition::trimmed(column(i), faulty));
        }
        let blocks = out[tensor.range()].par_chunks_mut(BLOCK).enumerate();
        blocks.for_each(|(i, out)| engine.define(|| trim(values, i * BLOCK, faulty, out)));
    })?;
    Ok(Direction { values: out, faulty: Some(faulty), chosen: None })
}

/// An integer that orders as the float does, and back: it is its own inverse.
fn key(bits: i32) -> i32 {
    bits ^ ((bits >> 31) as u32 >> 1) as i32
}

/// The coordinates from `start` on: all of a block are sorted at once, by an odd-even transposition network.
fn trim(values: &[Vec<f32>], start: usize, faulty: usize, out: &mut [f32]) {
    let count = values.len();
    let mut rows: Vec<[i32; BLOCK]> = vec![[0; BLOCK]; count];
    for (row, values) in rows.iter_mut().zip(values) {
        row.iter_mut().zip(&values[start..start + out.len()]).for_each(|(k, v)| *k = key(v.to_bits() as i32));
    }
    for pass in 0..count {
        for [low, high] in rows[pass % 2..].as_chunks_mut::<2>().0 {
            for (low, high) in low.iter_mut().zip(high) {
                (*low, *high) = ((*low).min(*high), (*low).max(*high));
            }
        }
    }
    let float = |k: &i32| f32::from_bits(key(*k) as u32);
    let kept = &rows[faulty..count - faulty];
    out.iter_mut().zip(&kept[0]).for_each(|(sum, k)| *sum = float(k));
    for row in &kept[1..] {
        out.iter_mut().zip(row).for_each(|(sum, k)| *sum += float(k));
    }
    let reciprocal = 1.0 / kept.len() as f32;
    out.iter_mut().for_each(|sum| *sum *= reciprocal);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::recipe::{OuterRecipe, OuterRule};
    use crate::optimizer::outer::testing::{InMemory, run, wild};

    fn rule(faulty: u32) -> OuterRecipe {
        OuterRecipe { rule: OuterRule::TrimmedMean, faulty, ..OuterRecipe::default() }
    }

    #[test]
    fn the_greatest_and_the_smallest_of_each_coordinate_are_dropped() {
        // By hand, f = 1: (9, 1, 2, 6) leaves (2 + 6) / 2 = 4; (-1, 0, 1, 100) leaves (0 + 1) / 2 = 0.5.
        let updates = [vec![9.0, -1.0], vec![1.0, 0.0], vec![2.0, 1.0], vec![6.0, 100.0]];
        let made = run(&rule(1), &mut InMemory::of(&updates));
        assert_eq!((made.values, made.faulty), (vec![4.0, 0.5], Some(1)));
    }

    #[test]
    fn with_too_few_updates_the_median_is_left() {
        // n = 3 allows f = 1 of the 3 asked for; n = 2 allows none, and the mean is left; n = 1 is itself.
        let made = run(&rule(3), &mut InMemory::of(&[vec![5.0], vec![-7.0], vec![1.5]]));
        assert_eq!((made.values, made.faulty), (vec![1.5], Some(1)));
        let made = run(&rule(3), &mut InMemory::of(&[vec![5.0], vec![-7.0]]));
        assert_eq!((made.values, made.faulty), (vec![-1.0], Some(0)));
        let made = run(&rule(3), &mut InMemory::of(&[vec![5.0]]));
        assert_eq!((made.values, made.faulty), (vec![5.0], Some(0)));
    }

    #[test]
    fn the_network_equals_the_definition_on_values_of_every_kind() {
        for count in 1..12 {
            let updates: Vec<Vec<f32>> = (0..count).map(|i| wild(i as u32, 3 * BLOCK + 17)).collect();
            for faulty in 0..=(count - 1) / 2 {
                let mut out = vec![0.0; updates[0].len()];
                out.chunks_mut(BLOCK).enumerate().for_each(|(i, out)| trim(&updates, i * BLOCK, faulty, out));
                for (i, found) in out.iter().enumerate() {
                    let column = updates.iter().map(|u| u[i]).collect();
                    assert_eq!(found.to_bits(), definition::trimmed(column, faulty).to_bits(), "{count} {faulty} {i}");
                }
            }
        }
    }

    #[test]
    fn keys_order_as_floats_do() {
        let mut values = wild(1, 500);
        values.extend([0.0, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, -f32::from_bits(1)]);
        values.sort_by(f32::total_cmp);
        let keys: Vec<i32> = values.iter().map(|v| key(v.to_bits() as i32)).collect();
        assert!(keys.is_sorted());
        assert!(values.iter().zip(&keys).all(|(v, k)| key(*k) as u32 == v.to_bits()));
    }
}
