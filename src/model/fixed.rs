//! Parameters that stay as they are for some passes.

use std::sync::Arc;

use super::layout::Layout;
use super::net::Net;
use super::plan::Plan;
use super::transient::Kept;
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

/// Room for the integers of a decoder's weights that the plan keeps from one product to the next; those of a model beside an
/// adapter are kept for as long as it stays the same one.
pub struct KeptWeights {
    /// By the decoder's layout, of those that are kept; or none.
    integers: Vec<Option<Integers>>,
    /// Whose integers these are.
    base: Option<Arc<Vec<f32>>>,
}

impl KeptWeights {
    /// Nothing is made or allocated yet.
    pub fn new(net: &Net, plan: &Plan) -> KeptWeights {
        let count = if plan.kept == Kept::Nothing { 0 } else { net.decoder.layout.tensors.len() };
        let keeps = |id: usize| plan.kept == Kept::All || id == net.decoder.head;
        KeptWeights { integers: (0..count).map(|id| keeps(id).then(Integers::of_weights)).collect(), base: None }
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
        let factor = |(id, integers): (usize, &'a mut Option<Integers>)| {
            let (values, inner) = (layout.part(id, values), inner(layout, id));
            let Some(integers) = integers else { return Factor::new(values, inner) };
            if !same {
                integers.forget();
            }
            integers.go_on(values, inner)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Arithmetic, Engine};
    use crate::model::{Gradients, Model, ModelConfig, Workspace, initial_parameters};

    #[test]
    fn a_head_that_is_kept_for_all_chunks_of_logits_changes_no_bit() {
        let config = ModelConfig::parse(include_str!("../../recipes/quickstart.json")).unwrap();
        let (seq_len, sequences) = (40, 3);
        let model = Model::new(config.clone(), Engine::detect(), Arithmetic::Integer, seq_len);
        let parameters = initial_parameters(&config, &model.layout, 5);
        let tokens: Vec<u32> = (0..sequences * (seq_len + 1)).map(|i| (i * i % 251) as u32).collect();
        let made = |kept, logit_rows| {
            let plan = Plan { kept, logit_rows, ..Plan::training(&config, seq_len, sequences, None, 1 << 30) };
            let mut weights = KeptWeights::new(&model.net, &plan);
            let (mut gradients, mut ws) = (Gradients::new(&model), Workspace::new(&model.device, &config, plan));
            let fixed = model.fix_in(&mut weights, &parameters);
            let losses = model.backward(&fixed, &tokens[..], 1.0, &mut gradients, &mut ws).unwrap().to_vec();
            let bits: Vec<u32> = losses.iter().chain(gradients.flat.host()).map(|x| x.to_bits()).collect();
            (bits, weights.integers.iter().flatten().count())
        };
        let (bits, none) = made(Kept::Nothing, sequences * seq_len);
        assert_eq!(none, 0);
        assert_eq!(made(Kept::Head, seq_len), (bits.clone(), 1));
        assert_eq!(made(Kept::All, seq_len), (bits, model.layout.tensors.len()));
    }
}
