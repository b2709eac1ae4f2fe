//! GEGLU (Shazeer, "GLU variants improve transformer", 2020): the gate through GELU, times the other projection. GELU is the
//! approximation by tanh (Hendrycks and Gimpel, 2016), `0.5 g (1 + tanh(sqrt(2/pi) (g + 0.044715 g^3)))`, which is `g` times the
//! sigmoid of twice what tanh takes.

use super::machine::Engine;
use definition::Geglu;

impl Engine {
    /// `hidden = gelu(gate) * up`, element by element.
    pub fn geglu(self, gate: &[f32], up: &[f32], hidden: &mut [f32]) {
        self.gated::<Geglu>(gate, up, hidden);
    }

    /// Gradient of GEGLU, in place: `gate` and `up` become their gradients, and `hidden`, on entry the gradient of the output,
    /// becomes the output itself.
    pub fn geglu_backward(self, gate: &mut [f32], up: &mut [f32], hidden: &mut [f32]) {
        self.gated_backward::<Geglu>(gate, up, hidden);
    }
}

/// The plain scalar definitions.
pub mod definition {
    use crate::engine::exp::sigmoid;
    use crate::engine::gated::Gated;

    /// 2 sqrt(2/pi)
    const LINEAR: f32 = 1.595_769;
    /// 2 sqrt(2/pi) 0.044715
    const CUBIC: f32 = 0.071_354_814;
    /// Three times that.
    const SLOPE: f32 = 0.214_064_45;

    /// `s = sigmoid(g * fma(CUBIC, g^2, LINEAR))`
    #[inline(always)]
    fn share(g: f32) -> f32 {
        sigmoid(g * CUBIC.mul_add(g * g, LINEAR))
    }

    /// The gate through GELU.
    pub struct Geglu;

    impl Gated for Geglu {
        /// `h = (g * s) * u`.
        #[inline(always)]
        fn element(g: f32, u: f32) -> f32 {
            (g * share(g)) * u
        }

        /// Gate, up and the gradient of h to the gradients of gate and up, and h again.
        ///
        /// With `gelu = g * s`: `du = dh * gelu`, `dg = (dh * u) * fma(gelu * (1 - s), fma(SLOPE, g^2, LINEAR), s)`.
        #[inline(always)]
        fn element_backward(g: f32, u: f32, dh: f32) -> (f32, f32, f32) {
            let s = share(g);
            let gelu = g * s;
            let slope = (gelu * (1.0 - s)).mul_add(SLOPE.mul_add(g * g, LINEAR), s);
            ((dh * u) * slope, dh * gelu, gelu * u)
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
        both_passes_equal_their_definitions(Engine::geglu, Engine::geglu_backward);
    }

    fn gelu(x: f64) -> f64 {
        0.5 * x * (1.0 + libm::tanh(libm::sqrt(2.0 / std::f64::consts::PI) * (x + 0.044715 * x * x * x)))
    }

    #[test]
    fn it_is_the_formula_with_tanh() {
        for i in -600..600 {
            let x = f64::from(i) * 0.02;
            let found = f64::from(Geglu::element(x as f32, 1.0));
            assert!((found - gelu(x)).abs() < 1e-6 * (1.0 + x.abs()), "gelu({x}) is {found}");
        }
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_forward_pass() {
        for (g, u) in [(0.3f32, -1.2f32), (-2.0, 0.7), (4.0, 1.5), (-9.0, 2.0)] {
            let loss = |x: &[f64]| 1.3 * gelu(x[0]) * x[1];
            let (dg, du, _) = Geglu::element_backward(g, u, 1.3);
            assert_slope(loss, &[g, u], &[dg, du]);
        }
    }
}
