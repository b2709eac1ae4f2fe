//! What any two updates have in common: their inner products, and the places where both send something.

use std::borrow::Borrow;

use crate::codec::Update;
use crate::error::Result;
use crate::model::Layout;

/// The Gram matrix of a round's decoded updates, and how many places they share.
///
/// Inner products are f64. Of each tensor one is a chain of additions over ascending elements, of the products, which are
/// exact, and the tensors' sums are a chain by ascending name.
#[derive(Clone, Debug)]
pub struct Pairs {
    count: usize,
    elements: u64,
    /// Row by row, the lower triangle.
    dots: Vec<f64>,
    common: Vec<u64>,
}

impl Pairs {
    /// Of so many updates, of which nothing is known yet.
    pub fn new(count: usize) -> Pairs {
        let pairs = count * (count + 1) / 2;
        Pairs { count, elements: 0, dots: vec![0.0; pairs], common: vec![0; pairs] }
    }

    /// Of these updates. Memory: what they send of one tensor, decoded.
    pub fn measure<U: Borrow<Update>>(layout: &Layout, updates: &[U]) -> Result<Pairs> {
        let mut pairs = Pairs::new(updates.len());
        for tensor in &layout.tensors {
            let mut sent = Vec::with_capacity(updates.len());
            for update in updates {
                sent.push(Sparse::of(&update.borrow().decode(&tensor.name)?));
            }
            pairs.add_sparse(&sent, tensor.len());
        }
        Ok(pairs)
    }

    /// Takes the next tensor of all updates.
    #[cfg(test)]
    pub(super) fn add(&mut self, sent: Vec<Vec<f32>>) {
        let elements = sent.first().map_or(0, Vec::len);
        self.add_sparse(&sent.iter().map(|values| Sparse::of(values)).collect::<Vec<_>>(), elements);
    }

    fn add_sparse(&mut self, sent: &[Sparse], elements: usize) {
        self.elements += elements as u64;
        let mut dense = vec![0f32; elements];
        let mut at = 0;
        for (i, one) in sent.iter().enumerate() {
            one.0.iter().for_each(|&(place, value)| dense[place] = value);
            for other in &sent[..=i] {
                let (mut dot, mut common) = (0f64, 0);
                for &(place, value) in &other.0 {
                    if dense[place] != 0.0 {
                        dot += f64::from(dense[place]) * f64::from(value);
                        common += 1;
                    }
                }
                self.dots[at] += dot;
                self.common[at] += common;
                at += 1;
            }
            one.0.iter().for_each(|&(place, _)| dense[place] = 0.0);
        }
    }

    fn at(&self, i: usize, j: usize) -> usize {
        let (low, high) = (i.min(j), i.max(j));
        high * (high + 1) / 2 + low
    }

    /// How many updates there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The norm of an update.
    pub fn norm(&self, i: usize) -> f64 {
        self.dots[self.at(i, i)].sqrt()
    }

    /// The cosine of two updates; 0 where one of them is nothing.
    pub fn cosine(&self, i: usize, j: usize) -> f64 {
        let norms = self.norm(i) * self.norm(j);
        if norms > 0.0 { self.dots[self.at(i, j)] / norms } else { 0.0 }
    }

    /// How many of the places that the one sends are among those of the other, of the update that sends fewer, beyond what
    /// chance gives: 0 where they are drawn independently, 1000000 where all of them are. In parts per million, rounded
    /// down, at least 0. Updates that send a quarter of what there is and more are not sparse: rows of tokens that nobody
    /// has seen are zero in all of them, and what is left is shared, whoever made them. Their overlap is 0.
    pub fn overlap_ppm(&self, i: usize, j: usize) -> u64 {
        let sends = |i: usize| i128::from(self.common[self.at(i, i)]);
        let (a, b) = (sends(i), sends(j));
        let (fewer, elements) = (a.min(b), i128::from(self.elements));
        if 4 * a.max(b) >= elements {
            return 0;
        }
        // (common - a b / n) / (fewer - a b / n)
        let most = fewer * elements - a * b;
        let more = i128::from(self.common[self.at(i, j)]) * elements - a * b;
        if most <= 0 || more <= 0 { 0 } else { (more * 1_000_000 / most) as u64 }
    }
}

/// The values that are not zero, by ascending place.
struct Sparse(Vec<(usize, f32)>);

impl Sparse {
    fn of(values: &[f32]) -> Sparse {
        Sparse(values.iter().copied().enumerate().filter(|(_, value)| *value != 0.0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normal, pairs};

    #[test]
    fn by_hand() {
        let mut found = pairs(&[vec![3.0, 0.0, 4.0, 0.0], vec![0.0, 0.0, 2.0, 1.0]]);
        assert_eq!((found.norm(0), found.count()), (5.0, 2));
        assert_eq!(found.cosine(0, 1), 8.0 / (5.0 * 5f64.sqrt()));
        // A half of what there is.
        assert_eq!(found.overlap_ppm(0, 1), 0);
        let nothing = || vec![0.0; 8];
        found.add(vec![nothing(), nothing()]);
        // Of twelve places one is shared of 2 each, and a third of one by chance: (1 - 1/3) / (2 - 1/3).
        assert_eq!(found.overlap_ppm(0, 1), 400_000);
        found.add(vec![vec![1.0, 0.0, 0.0, 0.0], vec![2.0, 0.0, 0.0, 0.0]]);
        // Of sixteen, two of 3: (2 - 9/16) / (3 - 9/16) = 23/39.
        assert_eq!(found.overlap_ppm(1, 0), 589_743);
        assert_eq!(found.cosine(1, 0), 10.0 / (26f64.sqrt() * 9f64.sqrt()));
    }

    #[test]
    fn what_sends_everything_overlaps_nothing_and_nothing_is_like_nothing() {
        let found = pairs(&[normal(1, 100), normal(2, 100), vec![0.0; 100]]);
        assert_eq!(found.overlap_ppm(0, 1), 0);
        assert!(found.cosine(0, 1).abs() < 0.3);
        assert_eq!((found.cosine(0, 2), found.overlap_ppm(0, 2), found.norm(2)), (0.0, 0, 0.0));
    }

    #[test]
    fn the_places_of_a_part_are_all_in_the_whole() {
        let whole: Vec<f32> = normal(3, 1000).iter().map(|v| if *v > 1.0 { *v } else { 0.0 }).collect();
        let part: Vec<f32> = whole.iter().enumerate().map(|(i, v)| if i % 2 == 0 { -*v } else { 0.0 }).collect();
        assert_eq!(pairs(&[whole, part]).overlap_ppm(0, 1), 1_000_000);
    }
}
