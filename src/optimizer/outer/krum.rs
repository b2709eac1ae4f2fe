//! Multi-Krum (`krum`; Blanchard and others, 1703.02757): the mean of the updates that lie closest together.
//!
//! An update's score is the sum of its squared distances to the n - f - 2 nearest others, and the n - f updates with the
//! smallest scores are averaged (`select` of them where the recipe says so; 1 is Krum proper). It takes n >= 2f + 3; with
//! fewer updates f is lowered to (n - 3) / 2; of one or two nobody can say which is the faulty one, and all are averaged.
//!
//! A squared distance is A3 over the differences of a tensor, a chain over tensors by ascending name; a score a chain over
//! ascending distances. What overflows is infinite, and far away. Equal scores go by ascending worker id. Memory: the tensors
//! of a group, see [`super::given::groups`], and n^2 numbers: two models in all, or n of the largest tensor.

use super::direction::Direction;
use super::given::Given;
use super::mean::weighted;
use crate::error::Result;

/// What f comes down to with so many updates.
pub fn withstands(count: usize, faulty: usize) -> usize {
    faulty.min(count.saturating_sub(3) / 2)
}

/// The mean of the chosen.
pub fn krum(given: &mut Given<'_>, faulty: usize, select: usize) -> Result<Direction> {
    let count = given.count();
    let faulty = withstands(count, faulty);
    let most = count - faulty;
    let selected = if select == 0 || count < 3 { most } else { select.min(most) };
    let chosen = nearest(&distances(given)?, faulty, selected);
    let values = weighted(given, &chosen, |_, _| 1.0)?;
    Ok(Direction { values, faulty: Some(faulty), chosen: Some(chosen) })
}

/// Squared distances, symmetric.
fn distances(given: &mut Given<'_>) -> Result<Vec<Vec<f32>>> {
    let count = given.count();
    let mut squares = vec![vec![0f32; count]; count];
    given.read_tensors(|engine, _, values| {
        let mut difference = Vec::new();
        for i in 0..count {
            for j in i + 1..count {
                difference.clone_from(&values[j]);
                engine.sub_from(&mut difference, &values[i]);
                squares[i][j] += engine.tensor_sum_squares(&difference);
                squares[j][i] = squares[i][j];
            }
        }
    })?;
    Ok(squares)
}

/// The `selected` updates with the smallest scores, ascending by worker.
fn nearest(squares: &[Vec<f32>], faulty: usize, selected: usize) -> Vec<usize> {
    let count = squares.len();
    let score = |i: usize| {
        let mut others: Vec<f32> = (0..count).filter(|j| *j != i).map(|j| squares[i][j]).collect();
        others.sort_by(f32::total_cmp);
        others.iter().take(count.saturating_sub(faulty + 2)).fold(0f32, |sum, square| sum + square)
    };
    let scores: Vec<f32> = (0..count).map(score).collect();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    order.truncate(selected);
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::recipe::{OuterRecipe, OuterRule};
    use crate::optimizer::outer::testing::{InMemory, run};

    fn rule(faulty: u32, select: u32) -> OuterRecipe {
        OuterRecipe { rule: OuterRule::Krum, faulty, select, ..OuterRecipe::default() }
    }

    /// Five points in the plane, the last one far away.
    ///
    /// ```text
    /// squared distances     a(0,0)  b(1,0)  c(0,2)  d(1,1)  e(9,9)    the 5 - 1 - 2 = 2 nearest
    /// a                        -       1       4       2     162       1 + 2 = 3
    /// b                        1       -       5       1     145       1 + 1 = 2
    /// c                        4       5       -       2     130       2 + 4 = 6
    /// d                        2       1       2       -     128       1 + 2 = 3
    /// e                      162     145     130     128       -     128 + 130 = 258
    /// ```
    const POINTS: [[f32; 2]; 5] = [[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [9.0, 9.0]];

    fn points() -> InMemory {
        InMemory::of(&POINTS.map(Vec::from))
    }

    #[test]
    fn the_hand_worked_scores_choose() {
        // Krum proper: b alone. Of a and d, both 3, a comes first. Multi-Krum: all but e, (2 / 4, 3 / 4).
        let one = run(&rule(1, 1), &mut points());
        assert_eq!((one.values, one.chosen, one.faulty), (vec![1.0, 0.0], Some(vec![1]), Some(1)));
        let two = run(&rule(1, 2), &mut points());
        assert_eq!((two.values, two.chosen), (vec![0.5, 0.0], Some(vec![0, 1])));
        let all = run(&rule(1, 0), &mut points());
        assert_eq!((all.values, all.chosen), (vec![0.5, 0.75], Some(vec![0, 1, 2, 3])));
        assert_eq!(run(&rule(1, 99), &mut points()).chosen, Some(vec![0, 1, 2, 3]));
    }

    #[test]
    fn one_of_any_size_is_never_chosen() {
        for size in [1e3, 1e19, 1e30, f32::MAX] {
            let mut points = POINTS.map(Vec::from);
            points[4] = vec![size, -size];
            let made = run(&rule(1, 0), &mut InMemory::of(&points));
            assert_eq!((made.values, made.chosen), (vec![0.5, 0.75], Some(vec![0, 1, 2, 3])), "{size:e}");
        }
    }

    #[test]
    fn with_too_few_updates_f_is_what_their_number_allows() {
        // Four updates allow f = 0: scores are of the two nearest, and all are averaged, unless fewer are asked for:
        // (0), (1), (2), (9) have 1 + 4, 1 + 1, 1 + 4, 49 + 64.
        let four = [vec![0.0], vec![1.0], vec![2.0], vec![9.0]];
        let made = run(&rule(1, 0), &mut InMemory::of(&four));
        assert_eq!((made.values, made.faulty), (vec![3.0], Some(0)));
        assert_eq!(run(&rule(1, 1), &mut InMemory::of(&four)).chosen, Some(vec![1]));
        let made = run(&rule(2, 1), &mut InMemory::of(&four[..2]));
        assert_eq!((made.values, made.chosen, made.faulty), (vec![0.5], Some(vec![0, 1]), Some(0)));
        let made = run(&rule(2, 1), &mut InMemory::of(&four[3..]));
        assert_eq!((made.values, made.chosen), (vec![9.0], Some(vec![0])));
        assert_eq!([5, 6, 7, 9].map(|n| withstands(n, 3)), [1, 1, 2, 3]);
    }
}
