//! Parameters that stay as they are for some passes.

use super::layout::Layout;
use super::plan::Plan;
use crate::engine::linear::{Factor, Integers};

/// A model's parameters while they are borrowed: what products make of its weights can be kept, for nothing changes them.
pub struct Fixed<'a> {
    factors: Vec<Factor<'a>>,
}

impl<'a> Fixed<'a> {
    /// For one micro-batch, by the layout.
    pub fn new(layout: &Layout, parameters: &'a [f32]) -> Fixed<'a> {
        let factor = |id: usize| Factor::new(layout.of(id, parameters), inner(layout, id));
        Fixed { factors: (0..layout.tensors.len()).map(factor).collect() }
    }

    /// A parameter.
    pub(super) fn factor(&self, id: usize) -> Factor<'a> {
        self.factors[id]
    }
}

/// Room for the integers of all weights, where the plan keeps them from one micro-batch to the next.
pub struct KeptWeights {
    /// By the layout, or none.
    integers: Vec<Integers>,
}

impl KeptWeights {
    /// Nothing is made or allocated yet.
    pub fn new(layout: &Layout, plan: &Plan) -> KeptWeights {
        let count = if plan.keep_weights { layout.tensors.len() } else { 0 };
        KeptWeights { integers: std::iter::repeat_with(Integers::of_weights).take(count).collect() }
    }

    /// These parameters, for as long as they stay.
    pub fn fix<'a>(&'a mut self, layout: &Layout, parameters: &'a [f32]) -> Fixed<'a> {
        if self.integers.is_empty() {
            return Fixed::new(layout, parameters);
        }
        let factor =
            |(id, integers): (usize, &'a mut Integers)| integers.of(layout.of(id, parameters), inner(layout, id));
        Fixed { factors: self.integers.iter_mut().enumerate().map(factor).collect() }
    }
}

fn inner(layout: &Layout, id: usize) -> usize {
    *layout.tensors[id].shape.last().expect("a parameter has a shape")
}
