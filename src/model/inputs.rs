//! A micro-batch, as the passes take it.

use super::activations::Scratch;
use super::batch::{Batch, documents};
use super::forward::Model;
use crate::engine::NO_TARGET;

impl Model {
    /// Splits sequences into inputs, targets and documents. Returns the number of inputs.
    pub(super) fn set_batch(&self, batch: Batch<'_>, scratch: &mut Scratch) -> usize {
        let (t, Batch { tokens, mask, starts }) = (self.seq_len, batch);
        let sequences = tokens.len() / (t + 1);
        assert_eq!(tokens.len(), sequences * (t + 1), "whole sequences of {} tokens", t + 1);
        assert!(mask.is_empty() || mask.len() == tokens.len(), "a mask of as many tokens as there are");
        assert!(starts.is_empty() || starts.len() == tokens.len(), "as many starts as tokens");
        for (s, sequence) in tokens.chunks_exact(t + 1).enumerate() {
            scratch.inputs.host[s * t..(s + 1) * t].copy_from_slice(&sequence[..t]);
            scratch.targets.host[s * t..(s + 1) * t].copy_from_slice(&sequence[1..]);
        }
        for (s, mask) in mask.chunks_exact(t + 1).enumerate() {
            let targets = scratch.targets.host[s * t..(s + 1) * t].iter_mut().zip(&mask[1..]);
            targets.filter(|(_, mask)| **mask == 0).for_each(|(target, _)| *target = NO_TARGET);
        }
        scratch.documents.clear();
        for (s, starts) in starts.chunks_exact(t + 1).enumerate() {
            let of_sequence = documents(&starts[..t]).into_iter();
            scratch.documents.extend(of_sequence.map(|tokens| s * t + tokens.start..s * t + tokens.end));
        }
        for words in [&mut scratch.inputs, &mut scratch.targets] {
            self.device.show(words, 0..sequences * t);
        }
        sequences * t
    }
}
