//! Gated units, element by element: what `swiglu` and `geglu` share.

use super::elementwise::{BLOCK, worth_threads};
use super::machine::{Engine, Isa, Kernel, Simd};
use rayon::prelude::*;
use std::marker::PhantomData;

/// A gated unit's definition. Implementations are `#[inline(always)]`.
pub trait Gated: Send + Sync {
    /// h of gate and up.
    fn element(gate: f32, up: f32) -> f32;
    /// Gate, up and the gradient of h to the gradients of gate and up, and h again.
    fn element_backward(gate: f32, up: f32, d_hidden: f32) -> (f32, f32, f32);
}

struct Forward<'a, G> {
    gate: &'a [f32],
    up: &'a [f32],
    hidden: &'a mut [f32],
    unit: PhantomData<G>,
}

impl<G: Gated> Kernel for Forward<'_, G> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        forward::<G>(self.gate, self.up, self.hidden);
    }
}

struct Backward<'a, G> {
    gate: &'a mut [f32],
    up: &'a mut [f32],
    hidden: &'a mut [f32],
    unit: PhantomData<G>,
}

impl<G: Gated> Kernel for Backward<'_, G> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        backward::<G>(self.gate, self.up, self.hidden);
    }
}

#[inline(always)]
fn forward<G: Gated>(gate: &[f32], up: &[f32], hidden: &mut [f32]) {
    for ((h, g), u) in hidden.iter_mut().zip(gate).zip(up) {
        *h = G::element(*g, *u);
    }
}

#[inline(always)]
fn backward<G: Gated>(gate: &mut [f32], up: &mut [f32], hidden: &mut [f32]) {
    for ((h, g), u) in hidden.iter_mut().zip(gate).zip(up) {
        (*g, *u, *h) = G::element_backward(*g, *u, *h);
    }
}

impl Engine {
    pub(super) fn gated<G: Gated>(self, gate: &[f32], up: &[f32], hidden: &mut [f32]) {
        assert_eq!([gate.len(), up.len()], [hidden.len(); 2], "a gated unit: three tensors of one size");
        if self.isa() == Isa::Definition {
            return self.define(|| forward::<G>(gate, up, hidden));
        }
        let block = |(hidden, (gate, up))| self.dispatch(Forward::<G> { gate, up, hidden, unit: PhantomData });
        if worth_threads(hidden.len()) {
            let inputs = gate.par_chunks(BLOCK).zip(up.par_chunks(BLOCK));
            hidden.par_chunks_mut(BLOCK).zip(inputs).for_each(block);
        } else {
            block((hidden, (gate, up)));
        }
    }

    /// In place: gate and up become their gradients, the gradient of h becomes h.
    pub(super) fn gated_backward<G: Gated>(self, gate: &mut [f32], up: &mut [f32], hidden: &mut [f32]) {
        assert_eq!([gate.len(), up.len()], [hidden.len(); 2], "a gated unit: three tensors of one size");
        if self.isa() == Isa::Definition {
            return self.define(|| backward::<G>(gate, up, hidden));
        }
        let block = |(hidden, (gate, up))| self.dispatch(Backward::<G> { gate, up, hidden, unit: PhantomData });
        if worth_threads(hidden.len()) {
            let inputs = gate.par_chunks_mut(BLOCK).zip(up.par_chunks_mut(BLOCK));
            hidden.par_chunks_mut(BLOCK).zip(inputs).for_each(block);
        } else {
            block((hidden, (gate, up)));
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::engine::testing::{assert_same_bits, on_every_engine};

    type Forward = fn(Engine, &[f32], &[f32], &mut [f32]);
    type Backward = fn(Engine, &mut [f32], &mut [f32], &mut [f32]);

    /// Holds the fast versions against the definitions, and what the backward pass makes again against the forward pass.
    pub fn both_passes_equal_their_definitions(forward: Forward, backward: Backward) {
        on_every_engine(|engine, numbers| {
            for length in [0, 1, numbers.up_to(100), BLOCK + numbers.up_to(1000)] {
                let [gate, up, dh] = [(); 3].map(|()| numbers.tame(length));
                let run = |engine: Engine| {
                    let mut hidden = vec![9.0; length];
                    forward(engine, &gate, &up, &mut hidden);
                    let (mut d_gate, mut d_up, mut again) = (gate.clone(), up.clone(), dh.clone());
                    backward(engine, &mut d_gate, &mut d_up, &mut again);
                    assert_same_bits("hidden", &again, &hidden);
                    [hidden, d_gate, d_up]
                };
                for (ours, truth) in run(engine).iter().zip(&run(Engine::definition())) {
                    assert_same_bits("the gate", ours, truth);
                }
            }
        });
    }
}
