//! Columns of a fused projection taken apart, and put together again: copies, no arithmetic.

use super::elementwise::worth_threads;
use super::machine::Engine;
use rayon::prelude::*;

impl Engine {
    /// `x` \[rows × the parts' widths together\] into its parts, each \[rows × its width\].
    pub fn split_columns(self, x: &[f32], parts: &mut [(&mut [f32], usize)]) {
        let width: usize = parts.iter().map(|(_, width)| width).sum();
        let rows = x.len() / width;
        let mut first = 0;
        for (part, columns) in parts.iter_mut().map(|(part, columns)| (&mut **part, *columns)) {
            assert_eq!(part.len(), rows * columns, "split_columns: a part of {rows} rows of {columns}");
            let copy = |(part, x): (&mut [f32], &[f32])| part.copy_from_slice(&x[first..][..columns]);
            if worth_threads(part.len()) {
                part.par_chunks_mut(columns).zip(x.par_chunks(width)).with_min_len(64).for_each(copy);
            } else {
                part.chunks_mut(columns).zip(x.chunks(width)).for_each(copy);
            }
            first += columns;
        }
    }

    /// The transpose of [`Engine::split_columns`], for gradients.
    pub fn join_columns(self, parts: &[(&[f32], usize)], x: &mut [f32]) {
        let width: usize = parts.iter().map(|(_, width)| width).sum();
        let rows = x.len() / width;
        let mut first = 0;
        for &(part, columns) in parts {
            assert_eq!(part.len(), rows * columns, "join_columns: a part of {rows} rows of {columns}");
            let copy = |(part, x): (&[f32], &mut [f32])| x[first..][..columns].copy_from_slice(part);
            if worth_threads(part.len()) {
                part.par_chunks(columns).zip(x.par_chunks_mut(width)).with_min_len(64).for_each(copy);
            } else {
                part.chunks(columns).zip(x.chunks_mut(width)).for_each(copy);
            }
            first += columns;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::testing::on_every_engine;

    #[test]
    fn columns_come_apart_and_together_again() {
        on_every_engine(|engine, numbers| {
            for rows in [1, 3, 900] {
                let widths = [numbers.up_to(90), numbers.up_to(50), numbers.up_to(50)];
                let width: usize = widths.iter().sum();
                let x = numbers.wild(rows * width);
                let mut parts = widths.map(|width| vec![9.0; rows * width]);
                let [a, b, c] = &mut parts;
                engine.split_columns(
                    &x,
                    &mut [(&mut a[..], widths[0]), (&mut b[..], widths[1]), (&mut c[..], widths[2])],
                );
                for row in 0..rows {
                    assert_eq!(parts[1][row * widths[1]].to_bits(), x[row * width + widths[0]].to_bits());
                }
                let mut again = vec![9.0; x.len()];
                let [a, b, c] = &parts;
                engine.join_columns(&[(&a[..], widths[0]), (&b[..], widths[1]), (&c[..], widths[2])], &mut again);
                assert!(again.iter().zip(&x).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
        });
    }
}
