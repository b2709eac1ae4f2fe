//! Launches of `kernels/embedding.cu`.

use super::driver::{Arg, Grid};
use super::gpu::Cuda;
use crate::engine::memory::{Part, PartMut};

const THREADS: u32 = 256;
/// Threads of a row that is gathered.
const WARP: usize = 32;
/// Threads of a row of the table that rows are added to.
const SCATTER_THREADS: u32 = 128;

pub(super) fn embedding(cuda: &Cuda, table: Part<'_>, width: usize, tokens: Part<'_, u32>, x: PartMut<'_>) {
    assert!(width > 0 && table.len().is_multiple_of(width), "embedding: a table of rows of {width}");
    assert_eq!(x.len(), tokens.len() * width, "embedding: a row of {width} for each token");
    let n = tokens.len();
    let [table, tokens, x] = [table.address(), tokens.address(), x.address()].map(Arg::Address);
    let args = [table, Arg::size(width), tokens, x, Arg::size(n)];
    cuda.launch("embedding", Grid::over(n * WARP, THREADS), &args);
}

/// Where each token stands, tokens ascending and of one token the positions ascending.
#[derive(Debug, PartialEq, Eq)]
struct Scatter {
    /// All positions.
    positions: Vec<u32>,
    /// Where each distinct token's begin, and the end of all.
    begins: Vec<u32>,
    /// The distinct tokens.
    rows: Vec<u32>,
}

impl Scatter {
    fn of(tokens: &[u32]) -> Scatter {
        let mut keys: Vec<u64> = tokens.iter().zip(0..).map(|(&token, at)| u64::from(token) << 32 | at).collect();
        keys.sort_unstable();
        let (mut begins, mut rows) = (Vec::new(), Vec::new());
        for (key, at) in keys.iter().zip(0..) {
            let token = (key >> 32) as u32;
            if rows.last() != Some(&token) {
                begins.push(at);
                rows.push(token);
            }
        }
        begins.push(tokens.len() as u32);
        Scatter { positions: keys.into_iter().map(|key| key as u32).collect(), begins, rows }
    }
}

pub(super) fn embedding_backward(cuda: &Cuda, dx: Part<'_>, width: usize, tokens: &[u32], d_table: PartMut<'_>) {
    assert!(width > 0 && d_table.len().is_multiple_of(width), "embedding: a table of rows of {width}");
    assert_eq!(dx.len(), tokens.len() * width, "embedding: a row of {width} for each token");
    let table_rows = d_table.len() / width;
    let scatter = Scatter::of(tokens);
    if let Some(token) = scatter.rows.last().filter(|&&token| token as usize >= table_rows) {
        panic!("embedding: token {token} in a table of {table_rows} rows");
    }
    let distinct = scatter.rows.len();
    let words = [scatter.positions, scatter.begins, scatter.rows].map(|words| cuda.upload(&words));
    let [positions, begins, rows] = words.each_ref().map(|words| Arg::Address(words.part(..).address()));
    let [dx, to] = [dx.address(), d_table.address()].map(Arg::Address);
    let args = [dx, Arg::size(width), positions, begins, rows, Arg::size(distinct), to];
    cuda.launch("embedding_backward", Grid::over(distinct * SCATTER_THREADS as usize, SCATTER_THREADS), &args);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_a_token_keep_their_order() {
        let scatter = Scatter::of(&[7, 2, 7, u32::MAX, 2, 7]);
        let expected =
            Scatter { positions: vec![1, 4, 0, 2, 5, 3], begins: vec![0, 2, 5, 6], rows: vec![2, 7, u32::MAX] };
        assert_eq!(scatter, expected);
        assert_eq!(Scatter::of(&[]), Scatter { positions: vec![], begins: vec![0], rows: vec![] });
    }
}
