//! Launches of `kernels/blake3.cu`: Merkle roots of tensors, of which 32 bytes each come to the host.

use blake3::hazmat::hash_derive_key_context;

use super::driver::{Arg, Grid};
use super::gpu::Cuda;
use crate::engine::memory::Part;
use crate::error::Result;

/// Threads of a leaf: one for each of BLAKE3's own chunks.
const LEAF: usize = 16;
const LEAF_THREADS: u32 = 256;
const ROOT_THREADS: u32 = 512;
/// Words of a digest.
const WORDS: usize = 8;

/// The kernel's `HashedTensor`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct HashedTensor {
    begin: i64,
    first: i64,
    columns: i64,
    rows: i32,
    row_side: i32,
}

impl HashedTensor {
    /// A tensor cut as files of tensors cut it: blocks of 64 x 64 for two dimensions, else runs of 4096; the number of its first
    /// leaf comes later.
    fn new(begin: usize, shape: &[usize]) -> HashedTensor {
        let [rows, columns, row_side] = match *shape {
            [rows, columns] => [rows, columns, 64],
            _ => [1, shape.iter().product(), 1],
        };
        let rows = i32::try_from(rows).expect("rows of a kernel");
        HashedTensor { begin: begin as i64, first: 0, columns: columns as i64, rows, row_side: row_side as i32 }
    }

    fn leaves(&self) -> usize {
        let column_side = 4096 / self.row_side as usize;
        (self.rows as usize).div_ceil(self.row_side as usize) * (self.columns as usize).div_ceil(column_side)
    }

    fn end(&self) -> usize {
        self.begin as usize + self.rows as usize * self.columns as usize
    }
}

/// A domain's key, as words.
fn key(context: &str) -> [u32; WORDS] {
    let bytes = hash_derive_key_context(context);
    std::array::from_fn(|i| u32::from_le_bytes(std::array::from_fn(|j| bytes[4 * i + j])))
}

pub(super) fn tensor_roots(cuda: &Cuda, flat: Part<'_>, tensors: &[(usize, &[usize])]) -> Result<Vec<[u8; 32]>> {
    let mut table: Vec<_> = tensors.iter().map(|&(begin, shape)| HashedTensor::new(begin, shape)).collect();
    assert!(table.iter().all(|tensor| tensor.end() <= flat.len()), "tensors of {} elements", flat.len());
    let mut leaves = 0;
    for tensor in &mut table {
        tensor.first = leaves as i64;
        leaves += tensor.leaves();
    }
    let empty: Vec<bool> = table.iter().map(|tensor| tensor.leaves() == 0).collect();
    table.push(HashedTensor { begin: 0, first: leaves as i64, columns: 0, rows: 0, row_side: 1 });
    let (table, count) = (cuda.upload(&table), Arg::size(tensors.len()));
    let [digests, roots] = [leaves, tensors.len()].map(|count| cuda.room::<u32>(WORDS * count));
    let addresses = [flat.address(), table.part(..).address(), digests.part(..).address(), roots.part(..).address()];
    let [x, entries, digests, out] = addresses.map(Arg::Address);
    let [leaf, node] = ["l402/merkle/leaf/1", "l402/merkle/node/1"].map(key);
    let args = [x, entries, count, Arg::count(leaves), Arg::Struct(&leaf), digests];
    cuda.launch("leaf_digests", Grid::over(leaves * LEAF, LEAF_THREADS), &args);
    let args = [digests, entries, count, Arg::Struct(&node), out];
    cuda.launch("merkle_roots", Grid::over(tensors.len() * ROOT_THREADS as usize, ROOT_THREADS), &args);
    let mut values = vec![[0; 32]; tensors.len()];
    cuda.driver.copy_out(roots.part(..).address(), &mut values)?;
    // A tensor without elements has one leaf, of nothing.
    let nothing = *blake3::Hasher::new_derive_key("l402/merkle/leaf/1").finalize().as_bytes();
    Ok(values.into_iter().zip(empty).map(|(root, empty)| if empty { nothing } else { root }).collect())
}
