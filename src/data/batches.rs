//! The order in which a worker goes through its shard.
//!
//! Every epoch is a permutation of the shard's sequences: their indices sorted by (u64 of Philox, index), under a key
//! derived from the assignment's `order` and the epoch. Batches are taken from the endless concatenation of epochs.

use crate::artifact::Digest;
use crate::engine::philox;

/// The order of a shard's sequences in one round of one worker.
#[derive(Clone, Debug)]
pub struct BatchOrder {
    order: Digest,
    sequences: usize,
    /// The epoch that was asked for last.
    epoch: u64,
    permutation: Vec<usize>,
}

impl BatchOrder {
    /// For a shard of this many sequences, at least one; `order` is the assignment's.
    pub fn new(order: &Digest, sequences: usize) -> BatchOrder {
        assert!(sequences > 0, "a shard has at least one sequence");
        BatchOrder { order: *order, sequences, epoch: 0, permutation: permutation(order, 0, sequences) }
    }

    /// The sequences of inner step `step` of the round, counted from 0, with `batch` sequences a step.
    pub fn indices(&mut self, step: u64, batch: usize) -> Vec<usize> {
        let first = u128::from(step) * batch as u128;
        (0..batch as u128)
            .map(|i| {
                let position = first + i;
                let epoch = (position / self.sequences as u128) as u64;
                if epoch != self.epoch {
                    self.permutation = permutation(&self.order, epoch, self.sequences);
                    self.epoch = epoch;
                }
                self.permutation[(position % self.sequences as u128) as usize]
            })
            .collect()
    }
}

/// The order of one epoch.
fn permutation(order: &Digest, epoch: u64, sequences: usize) -> Vec<usize> {
    philox::permutation(Digest::of_parts("l402/epoch/1", &[&order.0, &epoch.to_le_bytes()]).philox_key(), sequences)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(order: &[u8], sequences: usize, batch: usize, steps: u64) -> Vec<usize> {
        let mut order = BatchOrder::new(&Digest::of(order), sequences);
        (0..steps).flat_map(|step| order.indices(step, batch)).collect()
    }

    #[test]
    fn every_epoch_covers_every_sequence_once_and_in_another_order() {
        let all = stream(b"a", 100, 7, 100);
        let mut epochs: Vec<Vec<usize>> = all.chunks_exact(100).map(<[_]>::to_vec).collect();
        assert_ne!(epochs[0], epochs[1]);
        for epoch in &mut epochs {
            epoch.sort_unstable();
            assert!(epoch.iter().copied().eq(0..100));
        }
    }

    #[test]
    fn the_order_depends_on_the_assignment_and_not_on_the_batch_or_on_what_was_asked_before() {
        assert_ne!(stream(b"a", 100, 10, 10), stream(b"b", 100, 10, 10));
        assert_eq!(stream(b"a", 10, 35, 2), stream(b"a", 10, 7, 10));
        let mut order = BatchOrder::new(&Digest::of(b"a"), 10);
        let late = order.indices(9, 7);
        assert_eq!(order.indices(0, 7), stream(b"a", 10, 7, 1));
        assert_eq!(order.indices(9, 7), late);
    }

    #[test]
    fn a_shard_of_one_sequence_gives_it_again_and_again() {
        assert_eq!(stream(b"a", 1, 3, 2), [0; 6]);
    }

    #[test]
    fn the_order_is_the_same_forever() {
        assert_eq!(stream(b"golden", 8, 8, 2), GOLDEN);
    }

    const GOLDEN: [usize; 16] = [3, 0, 4, 2, 7, 6, 1, 5, 4, 3, 6, 1, 2, 7, 0, 5];
}
