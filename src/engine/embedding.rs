//! Embedding: gathering rows of a table, and scattering their gradient back.

use super::elementwise::worth_threads;
use super::machine::{Engine, Isa, kernel};
use rayon::prelude::*;

/// The plain scalar definitions.
pub mod definition {
    /// `x[t] = table[tokens[t]]`, rows of `width`.
    pub fn forward(table: &[f32], width: usize, tokens: &[u32], x: &mut [f32]) {
        for (x, &token) in x.chunks_mut(width).zip(tokens) {
            x.copy_from_slice(&table[token as usize * width..][..width]);
        }
    }

    /// `d_table[tokens[t]] += dx[t]`, in ascending token position t.
    pub fn backward(dx: &[f32], width: usize, tokens: &[u32], d_table: &mut [f32]) {
        for (dx, &token) in dx.chunks(width).zip(tokens) {
            for (acc, dx) in d_table[token as usize * width..][..width].iter_mut().zip(dx) {
                *acc += dx;
            }
        }
    }
}

/// Adds the rows of `dx` whose token lies in the part of the table that starts at row `first`.
#[inline(always)]
fn scatter(dx: &[f32], width: usize, tokens: &[u32], part: &mut [f32], first: usize) {
    let rows = part.len() / width;
    for (dx, &token) in dx.chunks_exact(width).zip(tokens) {
        let Some(row) = (token as usize).checked_sub(first).filter(|&row| row < rows) else {
            continue;
        };
        for (acc, dx) in part[row * width..][..width].iter_mut().zip(dx) {
            *acc += dx;
        }
    }
}

kernel!(Scatter<'a> { dx: &'a [f32], width: usize, tokens: &'a [u32], part: &'a mut [f32], first: usize } -> () =
    scatter(dx, width, tokens, part, first));

fn check(table: &[f32], width: usize, tokens: &[u32], x: &[f32]) {
    assert!(width > 0 && table.len().is_multiple_of(width), "embedding: a table of rows of {width}");
    assert_eq!(x.len(), tokens.len() * width, "embedding: a row of {width} for each token");
    let rows = table.len() / width;
    if let Some(token) = tokens.iter().find(|&&token| token as usize >= rows) {
        panic!("embedding: token {token} in a table of {rows} rows");
    }
}

impl Engine {
    /// `x[t] = table[tokens[t]]`: `table` \[vocabulary × width\], `x` \[tokens × width\].
    pub fn embedding(self, table: &[f32], width: usize, tokens: &[u32], x: &mut [f32]) {
        check(table, width, tokens, x);
        definition::forward(table, width, tokens, x);
    }

    /// `d_table[tokens[t]] += dx[t]`, each row in ascending token position: `dx` \[tokens × width\].
    pub fn embedding_backward(self, dx: &[f32], width: usize, tokens: &[u32], d_table: &mut [f32]) {
        check(d_table, width, tokens, dx);
        if self.isa() == Isa::Definition {
            return self.define(|| definition::backward(dx, width, tokens, d_table));
        }
        let rows = d_table.len() / width;
        if worth_threads(dx.len()) {
            // Each task owns a range of rows, and looks for its tokens among all.
            let share = rows.div_ceil(4 * rayon::current_num_threads()).max(1);
            let parts = d_table.par_chunks_mut(share * width).enumerate();
            parts.for_each(|(i, part)| {
                self.dispatch(Scatter { dx, width, tokens, part, first: i * share });
            });
        } else {
            self.dispatch(Scatter { dx, width, tokens, part: d_table, first: 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{assert_same_bits, on_every_engine};

    #[test]
    fn gathering_and_scattering_equal_their_definitions() {
        on_every_engine(|engine, numbers| {
            for count in [0, 3, 50, 1500] {
                let (rows, width) = (numbers.up_to(40), numbers.up_to(70));
                let table = numbers.wild(rows * width);
                let tokens: Vec<u32> = (0..count).map(|_| numbers.up_to(rows) as u32 - 1).collect();
                let dx = numbers.wild(count * width);
                let run = |engine: Engine| {
                    let mut x = vec![9.0; count * width];
                    engine.embedding(&table, width, &tokens, &mut x);
                    let mut d_table = table.clone();
                    engine.embedding_backward(&dx, width, &tokens, &mut d_table);
                    (x, d_table)
                };
                let (ours, truth) = (run(engine), run(Engine::definition()));
                assert_same_bits("rows", &ours.0, &truth.0);
                assert_same_bits("gradient", &ours.1, &truth.1);
            }
        });
    }

    #[test]
    #[should_panic(expected = "token 7 in a table of 7 rows")]
    fn a_token_outside_the_table_is_refused() {
        Engine::detect().embedding(&[0.0; 21], 3, &[6, 7], &mut [0.0; 6]);
    }
}
