//! A low-rank adapter's part of a linear layer (LoRA, 2106.09685): y += u · Bᵀ with u = s · (x · Aᵀ), and the gradient of u.
//! Chains of float32 under either arithmetic: a rank is too few terms for integers of a common scale to gain anything.

use super::linear::Factor;
use super::machine::Engine;
use super::matmul::{Mat, MatMut, Start};

/// The plain scalar definitions.
pub mod definition {
    use super::Factor;

    /// `u[i][r] = s * chain over ascending k of x[i][k] * a[r][k]` from +0.
    pub fn low_rank(x: Factor<'_>, a: Factor<'_>, scale: f32, u: &mut [f32]) {
        let (inner, rank) = (a.host().len() / a.rows(), a.rows());
        for (x, u) in x.host().chunks(inner).zip(u.chunks_mut(rank)) {
            for (a, u) in a.host().chunks(inner).zip(u) {
                *u = x.iter().zip(a).fold(0f32, |chain, (x, a)| x.mul_add(*a, chain)) * scale;
            }
        }
    }

    /// `y[i][j] = chain over ascending r of u[i][r] * b[j][r]` from `y[i][j]`.
    pub fn low_rank_add(u: &[f32], b: Factor<'_>, y: &mut [f32]) {
        let (out, rank) = (b.rows(), b.host().len() / b.rows());
        for (u, y) in u.chunks(rank).zip(y.chunks_mut(out)) {
            for (b, y) in b.host().chunks(rank).zip(y) {
                *y = u.iter().zip(b).fold(*y, |chain, (u, b)| u.mul_add(*b, chain));
            }
        }
    }

    /// `du[i][r] = s * chain over ascending j of dy[i][j] * b[j][r]` from +0.
    pub fn low_rank_backward(dy: &[f32], b: Factor<'_>, scale: f32, du: &mut [f32]) {
        let (out, rank) = (b.rows(), b.host().len() / b.rows());
        for (dy, du) in dy.chunks(out).zip(du.chunks_mut(rank)) {
            for (r, du) in du.iter_mut().enumerate() {
                let terms = dy.iter().zip(b.host().chunks(rank));
                *du = terms.fold(0f32, |chain, (dy, b)| dy.mul_add(b[r], chain)) * scale;
            }
        }
    }
}

impl Engine {
    /// u = s · (x · Aᵀ): `x` \[n × in\], `a` \[rank × in\], `u` \[n × rank\].
    pub fn low_rank(self, x: Factor<'_>, a: Factor<'_>, scale: f32, u: &mut [f32]) {
        let (n, rank, inner) = (x.rows(), a.rows(), a.host().len() / a.rows());
        self.matmul_nt(
            Mat::new(x.host(), n, inner),
            Mat::new(a.host(), rank, inner),
            MatMut::new(u, n, rank),
            Start::Zero,
        );
        self.scale(u, scale);
    }

    /// y += u · Bᵀ: `u` \[n × rank\], `b` \[out × rank\], `y` \[n × out\].
    pub fn low_rank_add(self, u: &[f32], b: Factor<'_>, y: &mut [f32]) {
        let (out, rank) = (b.rows(), b.host().len() / b.rows());
        let n = u.len() / rank;
        let (u, b) = (Mat::new(u, n, rank), Mat::new(b.host(), out, rank));
        self.matmul_nt(u, b, MatMut::new(y, n, out), Start::Accumulate);
    }

    /// du = s · (dy · B): `dy` \[n × out\], `b` \[out × rank\], `du` \[n × rank\]. It is the gradient of x · Aᵀ.
    pub fn low_rank_backward(self, dy: &[f32], b: Factor<'_>, scale: f32, du: &mut [f32]) {
        let (out, rank) = (b.rows(), b.host().len() / b.rows());
        let n = dy.len() / out;
        let (dy, b) = (Mat::new(dy, n, out), Mat::new(b.host(), out, rank));
        self.matmul_nn(dy, b, MatMut::new(du, n, rank), Start::Zero);
        self.scale(du, scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{assert_same_bits, on_every_engine};

    #[test]
    fn an_adapters_products_equal_their_definitions() {
        on_every_engine(|engine, numbers| {
            for (n, inner, out, rank) in [(1, 1, 1, 1), (7, 33, 50, 3), (40, 65, 17, 8), (130, 20, 96, 16)] {
                let (x, a, b) = (numbers.tame(n * inner), numbers.tame(rank * inner), numbers.tame(out * rank));
                let (y, dy, scale) = (numbers.tame(n * out), numbers.tame(n * out), 1.7);
                let (x, a, b) = (Factor::new(&x, inner), Factor::new(&a, inner), Factor::new(&b, rank));
                let (mut u, mut truth) = (vec![0.0; n * rank], vec![0.0; n * rank]);
                engine.low_rank(x, a, scale, &mut u);
                definition::low_rank(x, a, scale, &mut truth);
                assert_same_bits("low_rank", &u, &truth);
                let (mut ours, mut truth) = (y.clone(), y);
                engine.low_rank_add(&u, b, &mut ours);
                definition::low_rank_add(&u, b, &mut truth);
                assert_same_bits("low_rank_add", &ours, &truth);
                let (mut du, mut truth) = (vec![0.0; n * rank], vec![0.0; n * rank]);
                engine.low_rank_backward(&dy, b, scale, &mut du);
                definition::low_rank_backward(&dy, b, scale, &mut truth);
                assert_same_bits("low_rank_backward", &du, &truth);
            }
        });
    }
}
