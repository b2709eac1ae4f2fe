//! Parameters that stay as they are for some passes.

use std::sync::Arc;

use super::layout::Layout;
use super::net::Net;
use super::plan::Plan;
use crate::engine::linear::{Factor, Integers};

/// A model's parameters while they are borrowed: what products make of its weights can be kept, for nothing changes them.
pub struct Fixed<'a> {
    /// By the decoder's layout.
    factors: Vec<Factor<'a>>,
    /// By the adapter's; none without one.
    adapter: Vec<Factor<'a>>,
}

impl<'a> Fixed<'a> {
    /// For one micro-batch; `parameters` are the trained ones.
    pub fn new(net: &'a Net, parameters: &'a [f32]) -> Fixed<'a> {
        match &net.adapted {
            None => Fixed { factors: factors(&net.decoder.layout, parameters), adapter: Vec::new() },
            Some(adapted) => Fixed {
                factors: factors(&net.decoder.layout, &adapted.base),
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

    /// These parameters, for as long as they stay.
    pub fn fix<'a>(&'a mut self, net: &'a Net, parameters: &'a [f32]) -> Fixed<'a> {
        if self.integers.is_empty() {
            return Fixed::new(net, parameters);
        }
        let (values, base) = match &net.adapted {
            None => (parameters, None),
            Some(adapted) => (&adapted.base[..], Some(&adapted.base)),
        };
        let same = base.zip(self.base.as_ref()).is_some_and(|(now, before)| Arc::ptr_eq(now, before));
        self.base = base.cloned();
        let layout = &net.decoder.layout;
        let factor = |(id, integers): (usize, &'a mut Integers)| {
            if !same {
                integers.forget();
            }
            integers.go_on(layout.of(id, values), inner(layout, id))
        };
        let own = self.integers.iter_mut().enumerate().map(factor).collect();
        let adapter = net.adapted.as_ref().map_or(Vec::new(), |adapted| factors(&adapted.adapter.layout, parameters));
        Fixed { factors: own, adapter }
    }
}

fn factors<'a>(layout: &Layout, parameters: &'a [f32]) -> Vec<Factor<'a>> {
    let factor = |id: usize| Factor::new(layout.of(id, parameters), inner(layout, id));
    (0..layout.tensors.len()).map(factor).collect()
}

fn inner(layout: &Layout, id: usize) -> usize {
    *layout.tensors[id].shape.last().expect("a parameter has a shape")
}
