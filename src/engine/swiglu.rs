//! SwiGLU (Shazeer, "GLU variants improve transformer", 2020): the gate through SiLU, times the other projection.

use super::elementwise::{BLOCK, worth_threads};
use super::machine::{Engine, Isa, kernel};
use rayon::prelude::*;

/// The plain scalar definitions.
pub mod definition {
    use crate::engine::exp::sigmoid;

    /// `h = (g * sigmoid(g)) * u`.
    #[inline(always)]
    pub fn element(g: f32, u: f32) -> f32 {
        (g * sigmoid(g)) * u
    }

    /// Gate, up and the gradient of h to the gradients of gate and up, and h again.
    ///
    /// With `s = sigmoid(g)` and `silu = g * s`: `du = dh * silu`, `dg = (dh * u) * fma(silu, 1 - s, s)`.
    #[inline(always)]
    pub fn element_backward(g: f32, u: f32, dh: f32) -> (f32, f32, f32) {
        let s = sigmoid(g);
        let silu = g * s;
        let slope = silu.mul_add(1.0 - s, s);
        ((dh * u) * slope, dh * silu, silu * u)
    }

    /// Every element in turn.
    pub fn forward(gate: &[f32], up: &[f32], hidden: &mut [f32]) {
        for i in 0..hidden.len() {
            hidden[i] = element(gate[i], up[i]);
        }
    }

    /// Every element in turn, in place: gate and up become their gradients, the gradient of h becomes h.
    pub fn backward(gate: &mut [f32], up: &mut [f32], hidden: &mut [f32]) {
        for i in 0..hidden.len() {
            (gate[i], up[i], hidden[i]) = element_backward(gate[i], up[i], hidden[i]);
        }
    }
}

#[inline(always)]
fn forward(gate: &[f32], up: &[f32], hidden: &mut [f32]) {
    for ((h, g), u) in hidden.iter_mut().zip(gate).zip(up) {
        *h = definition::element(*g, *u);
    }
}

#[inline(always)]
fn backward(gate: &mut [f32], up: &mut [f32], hidden: &mut [f32]) {
    for ((h, g), u) in hidden.iter_mut().zip(gate).zip(up) {
        (*g, *u, *h) = definition::element_backward(*g, *u, *h);
    }
}

kernel!(Forward<'a> { gate: &'a [f32], up: &'a [f32], hidden: &'a mut [f32] } -> () = forward(gate, up, hidden));
kernel!(Backward<'a> { gate: &'a mut [f32], up: &'a mut [f32], hidden: &'a mut [f32] } -> () =
    backward(gate, up, hidden));

impl Engine {
    /// `hidden = (gate * sigmoid(gate)) * up`, element by element.
    pub fn swiglu(self, gate: &[f32], up: &[f32], hidden: &mut [f32]) {
        assert_eq!([gate.len(), up.len()], [hidden.len(); 2], "swiglu: three tensors of one size");
        if self.isa() == Isa::Definition {
            return self.define(|| definition::forward(gate, up, hidden));
        }
        if worth_threads(hidden.len()) {
            let inputs = gate.par_chunks(BLOCK).zip(up.par_chunks(BLOCK));
            let blocks = hidden.par_chunks_mut(BLOCK).zip(inputs);
            blocks.for_each(|(hidden, (gate, up))| self.dispatch(Forward { gate, up, hidden }));
        } else {
            self.dispatch(Forward { gate, up, hidden });
        }
    }

    /// Gradient of SwiGLU, in place: `gate` and `up` become their gradients, and `hidden`, on entry the gradient of the
    /// output, becomes the output itself, so that the forward pass need not keep it.
    pub fn swiglu_backward(self, gate: &mut [f32], up: &mut [f32], hidden: &mut [f32]) {
        assert_eq!([gate.len(), up.len()], [hidden.len(); 2], "swiglu: three tensors of one size");
        if self.isa() == Isa::Definition {
            return self.define(|| definition::backward(gate, up, hidden));
        }
        if worth_threads(hidden.len()) {
            let inputs = gate.par_chunks_mut(BLOCK).zip(up.par_chunks_mut(BLOCK));
            let blocks = hidden.par_chunks_mut(BLOCK).zip(inputs);
            blocks.for_each(|(hidden, (gate, up))| self.dispatch(Backward { gate, up, hidden }));
        } else {
            self.dispatch(Backward { gate, up, hidden });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{assert_same_bits, assert_slope, on_every_engine};

    #[test]
    fn both_passes_equal_their_definitions() {
        on_every_engine(|engine, numbers| {
            for length in [0, 1, numbers.up_to(100), BLOCK + numbers.up_to(1000)] {
                let [gate, up, dh] = [(); 3].map(|()| numbers.tame(length));
                let run = |engine: Engine| {
                    let mut hidden = vec![9.0; length];
                    engine.swiglu(&gate, &up, &mut hidden);
                    let (mut d_gate, mut d_up, mut again) = (gate.clone(), up.clone(), dh.clone());
                    engine.swiglu_backward(&mut d_gate, &mut d_up, &mut again);
                    assert_same_bits("hidden", &again, &hidden);
                    [hidden, d_gate, d_up]
                };
                for (ours, truth) in run(engine).iter().zip(&run(Engine::definition())) {
                    assert_same_bits("swiglu", ours, truth);
                }
            }
        });
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_forward_pass() {
        for (g, u) in [(0.3f32, -1.2f32), (-2.0, 0.7), (4.0, 1.5), (-9.0, 2.0)] {
            let loss = |x: &[f64]| 1.3 * x[0] / (1.0 + libm::exp(-x[0])) * x[1];
            let (dg, du, _) = definition::element_backward(g, u, 1.3);
            assert_slope(loss, &[g, u], &[dg, du]);
        }
    }
}
