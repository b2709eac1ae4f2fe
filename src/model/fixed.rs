//! Parameters that stay as they are for some passes.

use std::sync::Arc;

use super::layout::Layout;
use super::net::Net;
use super::plan::Plan;
use crate::engine::Part;
use crate::engine::linear::{Factor, Integers};

/// A model's parameters while they are borrowed: what products make of its weights can be kept, for nothing changes them.
pub struct Fixed<'a> {
    /// By the decoder's layout.
    factors: Vec<Factor<'a>>,
    /// By the adapter's; none without one.
    adapter: Vec<Factor<'a>>,
}

impl<'a> Fixed<'a> {
    /// For one micro-batch; `parameters` are the trained ones, `base` those of the model beside an adapter.
    pub(super) fn new(net: &Net, base: Option<Part<'a>>, parameters: Part<'a>) -> Fixed<'a> {
        match net.adapted.as_ref().zip(base) {
            None => Fixed { factors: factors(&net.decoder.layout, parameters), adapter: Vec::new() },
            Some((adapted, base)) => Fixed {
                factors: factors(&net.decoder.layout, base),
                adapter: factors(&adapted.adapter.layout, parameters),
            },
        }
    }

    /// A parameter of the decoder.
    pub(super) fn factor(&self, id: usize) -> Factor<'a> {
        self.factors[id]
    }

    /// A parameter of the adapter.
    pub(super) fn adapter(&self, id: usize) -> Factor<'a> {
        self.adapter[id]
    }
}

/// Room for the integers of all weights of a decoder, where the plan keeps them from one micro-batch to the next; those of a
/// model beside an adapter are kept for as long as it stays the same one.
pub struct KeptWeights {
    /// By the decoder's layout, or none.
    integers: Vec<Integers>,
    /// Whose integers these are.
    base: Option<Arc<Vec<f32>>>,
}

impl KeptWeights {
    /// Nothing is made or allocated yet.
    pub fn new(net: &Net, plan: &Plan) -> KeptWeights {
        let count = if plan.keep_weights { net.decoder.layout.tensors.len() } else { 0 };
        KeptWeights { integers: std::iter::repeat_with(Integers::of_weights).take(count).collect(), base: None }
    }

    /// See [`super::Model::fix_in`].
    pub(super) fn fix<'a>(
        &'a mut self,
        net: &Net,
        beside: Option<Part<'a>>,
        parameters: Part<'a>,
        again: bool,
    ) -> Fixed<'a> {
        if self.integers.is_empty() {
            return Fixed::new(net, beside, parameters);
        }
        let (values, base) = (beside.unwrap_or(parameters), net.adapted.as_ref().map(|adapted| &adapted.base));
        let same = again || base.zip(self.base.as_ref()).is_some_and(|(now, before)| Arc::ptr_eq(now, before));
        self.base = base.cloned();
        let layout = &net.decoder.layout;
        let factor = |(id, integers): (usize, &'a mut Integers)| {
            if !same {
                integers.forget();
            }
            integers.go_on(layout.part(id, values), inner(layout, id))
        };
        let own = self.integers.iter_mut().enumerate().map(factor).collect();
        let adapter = net.adapted.as_ref().map_or(Vec::new(), |adapted| factors(&adapted.adapter.layout, parameters));
        Fixed { factors: own, adapter }
    }
}

fn factors<'a>(layout: &Layout, parameters: Part<'a>) -> Vec<Factor<'a>> {
    let factor = |id: usize| Factor::new(layout.part(id, parameters), inner(layout, id));
    (0..layout.tensors.len()).map(factor).collect()
}

fn inner(layout: &Layout, id: usize) -> usize {
    *layout.tensors[id].shape.last().expect("a parameter has a shape")
}
