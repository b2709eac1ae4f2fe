//! The worth of coalitions, each evaluated once.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// The most workers: a coalition is a mask of 64 bits.
const MAX_WORKERS: usize = 64;

/// The largest worth or harm of a coalition, so that sums over orders fit 128 bits.
const MAX_WORTH: u128 = 1 << 96;

/// A game: what every coalition of workers is worth, found by `F` from ascending indices and remembered.
pub struct Coalitions<F> {
    workers: usize,
    worth: F,
    known: BTreeMap<u64, i128>,
}

impl<F: FnMut(&[usize]) -> Result<i128>> Coalitions<F> {
    /// A game of so many workers, 64 at most.
    pub fn new(workers: usize, worth: F) -> Result<Self> {
        if workers > MAX_WORKERS {
            let count = format!("expected at most {MAX_WORKERS} workers for Shapley values, found {workers}");
            return Err(Error::data(count));
        }
        Ok(Coalitions { workers, worth, known: BTreeMap::new() })
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// How many coalitions were evaluated so far.
    pub fn evaluations(&self) -> u64 {
        self.known.len() as u64
    }

    /// The mask of all workers.
    pub fn everyone(&self) -> u64 {
        u64::MAX.checked_shr(64 - self.workers as u32).unwrap_or(0)
    }

    /// The worth of the workers whose bits are set: bit i is worker i.
    pub fn worth(&mut self, members: u64) -> Result<i128> {
        debug_assert_eq!(members & !self.everyone(), 0);
        if let Some(&worth) = self.known.get(&members) {
            return Ok(worth);
        }
        let indices: Vec<usize> = (0..self.workers).filter(|i| members >> i & 1 == 1).collect();
        let worth = (self.worth)(&indices)?;
        if worth.unsigned_abs() > MAX_WORTH {
            return Err(Error::data(format!("a coalition of {} workers is worth {worth}: too much", indices.len())));
        }
        self.known.insert(members, worth);
        Ok(worth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_is_everyone() {
        let everyone = |workers| Coalitions::new(workers, |_: &[usize]| Ok(0)).unwrap().everyone();
        assert_eq!([0, 1, 3, 64].map(everyone), [0, 1, 7, u64::MAX]);
    }

    #[test]
    fn exact_values_are_of_few_workers() {
        let mut many = Coalitions::new(super::super::EXACT + 1, |_: &[usize]| Ok(0)).unwrap();
        let refused = super::super::exact::exact(&mut many).err().unwrap().to_string();
        assert_eq!(refused, "expected at most 10 workers for exact Shapley values, found 11");
    }
}
