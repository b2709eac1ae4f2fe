//! What a pass runs over: whole sequences, which of their tokens are targets, and where documents begin.

use std::ops::Range;

use crate::engine::NO_TARGET;

/// A micro-batch: sequences of `seq_len + 1` tokens, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Token ids.
    pub tokens: &'a [u32],
    /// 1 where the token is a target, else 0; empty where every token but a sequence's first is one.
    pub mask: &'a [u8],
    /// 1 where a document begins, else 0: no token sees another document's, and positions begin anew. Empty where every
    /// sequence is one document.
    pub starts: &'a [u8],
}

impl<'a> From<&'a [u32]> for Batch<'a> {
    fn from(tokens: &'a [u32]) -> Batch<'a> {
        Batch { tokens, mask: &[], starts: &[] }
    }
}

impl<'a> From<&'a Vec<u32>> for Batch<'a> {
    fn from(tokens: &'a Vec<u32>) -> Batch<'a> {
        Batch::from(&tokens[..])
    }
}

/// The documents of one sequence, by their tokens: the first begins with the sequence, whatever `starts` says of it. `starts` has
/// as many elements as there are inputs, 0 where no document begins.
pub fn documents<T: Copy + PartialEq + Default>(starts: &[T]) -> Vec<Range<usize>> {
    let begins = |at: &usize| *at == 0 || starts[*at] != T::default();
    let begins: Vec<usize> = (0..starts.len()).filter(begins).collect();
    let ends = begins.iter().skip(1).copied().chain([starts.len()]);
    begins.iter().copied().zip(ends).map(|(begin, end)| begin..end).collect()
}

/// The targets of a sequence's inputs: the token after each, where that is one.
pub fn masked_targets(tokens: &[u32], mask: &[u8]) -> Vec<u32> {
    let target = |(token, mask): (&u32, &u8)| if *mask == 0 { NO_TARGET } else { *token };
    tokens.iter().zip(mask).skip(1).map(target).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_cover_a_sequence_and_begin_where_they_are_said_to() {
        assert_eq!(documents(&[1u8, 0, 0, 1, 1, 0]), [0..3, 3..4, 4..6]);
        assert_eq!(documents(&[1u8]).first(), Some(&(0..1)));
        // Whatever is said of the first.
        assert_eq!(documents(&[0u32, 0, 7]), [0..2, 2..3]);
        assert!(documents::<u8>(&[]).is_empty());
    }

    #[test]
    fn a_token_that_is_none_is_no_target() {
        assert_eq!(masked_targets(&[4, 5, 6, 7], &[1, 0, 1, 0]), [NO_TARGET, 6, NO_TARGET]);
    }
}
