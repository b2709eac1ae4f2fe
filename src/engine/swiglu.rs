//! SwiGLU (Shazeer, "GLU variants improve transformer", 2020): the gate through SiLU, times the other projection.

use super::machine::Engine;
use definition::Swiglu;

impl Engine {
    /// `hidden = (gate * sigmoid(gate)) * up`, element by element.
    pub fn swiglu(self, gate: &[f32], up: &[f32], hidden: &mut [f32]) {
        self.gated::<Swiglu>(gate, up, hidden);
    }

    /// Gradient of SwiGLU, in place: `gate` and `up` become their gradients, and `hidden`, on entry the gradient of the
    /// output, becomes the output itself, so that the forward pass need not keep it.
    pub fn swiglu_backward(self, gate: &mut [f32], up: &mut [f32], hidden: &mut [f32]) {
        self.gated_backward::<Swiglu>(gate, up, hidden);
    }
}

/// The plain scalar definitions.
pub mod definition {
    use crate::engine::exp::sigmoid;
    use crate::engine::gated::Gated;

    /// The gate through SiLU.
    pub struct Swiglu;

    impl Gated for Swiglu {
        /// `h = (g * sigmoid(g)) * u`.
        #[inline(always)]
        fn element(g: f32, u: f32) -> f32 {
            (g * sigmoid(g)) * u
        }

        /// Gate, up and the gradient of h to the gradients of gate and up, and h again.
        ///
        /// With `s = sigmoid(g)` and `silu = g * s`: `du = dh * silu`, `dg = (dh * u) * fma(silu, 1 - s, s)`.
        #[inline(always)]
        fn element_backward(g: f32, u: f32, dh: f32) -> (f32, f32, f32) {
            let s = sigmoid(g);
            let silu = g * s;
            let slope = silu.mul_add(1.0 - s, s);
            ((dh * u) * slope, dh * silu, silu * u)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gated::Gated;
    use crate::engine::gated::testing::both_passes_equal_their_definitions;
    use crate::engine::testing::assert_slope;

    #[test]
    fn it_equals_its_definition() {
        both_passes_equal_their_definitions(Engine::swiglu, Engine::swiglu_backward);
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_forward_pass() {
        for (g, u) in [(0.3f32, -1.2f32), (-2.0, 0.7), (4.0, 1.5), (-9.0, 2.0)] {
            let loss = |x: &[f64]| 1.3 * x[0] / (1.0 + libm::exp(-x[0])) * x[1];
            let (dg, du, _) = Swiglu::element_backward(g, u, 1.3);
            assert_slope(loss, &[g, u], &[dg, du]);
        }
    }
}
