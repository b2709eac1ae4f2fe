//! The tensors of a network, and which of them are trained: all of them, or an adapter's beside a model that stays.

use std::sync::Arc;

use super::adapter::{Adapter, Pair};
use super::decoder::Decoder;
use super::layout::{Layout, TensorSpec};

/// A decoder's tensors, and its adapter where it has one.
#[derive(Clone, Debug)]
pub struct Net {
    /// The whole model's.
    pub decoder: Decoder,
    /// What is trained in its place.
    pub adapted: Option<Adapted>,
}

/// An adapter, and the parameters of the model that it is of.
#[derive(Clone, Debug)]
pub struct Adapted {
    /// The adapter.
    pub adapter: Adapter,
    /// The model's parameters, by the decoder's layout: they stay as they are.
    pub base: Arc<Vec<f32>>,
}

impl Net {
    /// Where the trained parameters lie.
    pub fn trained(&self) -> &Layout {
        self.adapted.as_ref().map_or(&self.decoder.layout, |adapted| &adapted.adapter.layout)
    }

    /// Whether the decoder's own tensors are trained.
    pub fn whole(&self) -> bool {
        self.adapted.is_none()
    }

    /// The adapter's factors of a linear layer, by its weight.
    pub fn pair(&self, weight: usize) -> Option<Pair> {
        self.adapted.as_ref()?.adapter.pair(weight)
    }

    /// The number of a trained tensor: the decoder's tensors come first where an adapter's are others.
    pub fn number(&self, trained: usize) -> usize {
        if self.whole() { trained } else { self.decoder.layout.tensors.len() + trained }
    }

    /// The place in the layout of what is trained of the tensor with a number.
    pub fn place(&self, number: usize) -> usize {
        number - self.number(0)
    }

    /// The tensor with a number.
    pub fn tensor(&self, number: usize) -> &TensorSpec {
        let own = &self.decoder.layout.tensors;
        own.get(number).unwrap_or_else(|| &self.trained().tensors[self.place(number)])
    }

    /// Whether an accumulator of its own is needed for a head that is tied to the embedding.
    pub fn trains_tied_head(&self) -> bool {
        self.whole() && self.decoder.tied()
    }
}
