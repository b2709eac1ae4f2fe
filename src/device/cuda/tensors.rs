//! Tables of a flat array's tensors, for kernels that take all of them in one launch (`kernels/include/tensors.cuh`).

use std::ops::Range;

/// A tensor of the flat array.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where it begins.
    pub begin: i64,
    /// Its elements.
    pub length: i64,
    /// The number of its first block among those of all.
    pub first: i64,
}

/// The table, and how many blocks of so many elements the tensors have together.
pub(super) fn entries(tensors: impl Iterator<Item = Range<usize>>, block: usize) -> (Vec<Entry>, usize) {
    let mut blocks = 0;
    let entry = |tensor: Range<usize>| {
        let first = blocks as i64;
        blocks += tensor.len().div_ceil(block);
        Entry { begin: tensor.start as i64, length: tensor.len() as i64, first }
    };
    let table = tensors.map(entry).collect();
    (table, blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_counted_through_and_tensors_without_elements_have_none() {
        let (table, blocks) = entries([0..10, 10..10, 12..16, 16..17].into_iter(), 4);
        let firsts: Vec<i64> = table.iter().map(|entry| entry.first).collect();
        assert_eq!((firsts, blocks), (vec![0, 3, 3, 4], 5));
        assert_eq!(table[2], Entry { begin: 12, length: 4, first: 3 });
    }
}
