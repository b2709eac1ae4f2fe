//! Digests of tensors and states as Merkle roots over chunks (see [`Chunks`]), so that one chunk can be shown and
//! checked without the rest.
//!
//! ```text
//! chunk   merkle::leaf(its float32 in the order of their indices, little-endian)
//! tensor  root over its chunks
//! part    root over the tensors of a model by ascending name: parameters, first or second moments, error feedback
//! ```

use rayon::prelude::*;

use super::chunks::{CHUNK, Chunk, Chunks};
use super::digest::Digest;
use super::merkle::{self, climb};

/// Chunks below which a tensor is hashed by one thread.
const WORTH_THREADS: usize = 8;

/// The hash of a chunk's values, in the order of their indices.
pub fn chunk_hash(values: impl IntoIterator<Item = f32>) -> Digest {
    let mut bytes = [0u8; 4 * CHUNK];
    let mut len = 0;
    for (place, value) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(values) {
        *place = value.to_le_bytes();
        len += 4;
    }
    merkle::leaf(&bytes[..len])
}

fn hash_rows(chunk: &Chunk, tensor: &[f32]) -> Digest {
    let mut bytes = [0u8; 4 * CHUNK];
    let mut places = bytes.as_chunks_mut::<4>().0.iter_mut();
    for row in chunk.rows_of(tensor) {
        for (value, place) in row.iter().zip(places.by_ref()) {
            *place = value.to_le_bytes();
        }
    }
    merkle::leaf(&bytes[..4 * chunk.size()])
}

/// The hashes of a tensor's chunks; one of nothing for a tensor without elements.
pub fn chunk_hashes(shape: &[usize], values: &[f32]) -> Vec<Digest> {
    let chunks = Chunks::new(shape);
    let one = |number| hash_rows(&chunks.get(number), values);
    match chunks.count() {
        0 => vec![merkle::leaf(&[])],
        count if count < WORTH_THREADS => (0..count).map(one).collect(),
        count => (0..count).into_par_iter().map(one).collect(),
    }
}

/// The digest of a tensor: the root over its chunks.
pub fn tensor_root(shape: &[usize], values: &[f32]) -> Digest {
    merkle::root(chunk_hashes(shape, values))
}

/// A chunk of one tensor among the tensors of a part, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkAt {
    /// The tensor, by ascending name.
    pub tensor: usize,
    /// The chunk within it.
    pub chunk: usize,
}

/// The part's root that a chunk's hash and its path lead to; `chunks` is how many the tensor has, `tensors` how many
/// there are. `None` where path and numbers do not fit.
pub fn climb_chunk(hash: Digest, at: ChunkAt, chunks: usize, tensors: usize, path: &[Digest]) -> Option<Digest> {
    let inner = merkle::path_len(at.chunk, chunks);
    let (within, among) = (path.get(..inner)?, &path[inner..]);
    climb(climb(hash, at.chunk, chunks, within)?, at.tensor, tensors, among)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::merkle::Tree;

    #[test]
    fn every_chunk_of_every_tensor_climbs_to_the_parts_root() {
        let shapes: [&[usize]; 4] = [&[70, 130], &[5000], &[3, 3], &[1]];
        let tensors: Vec<Vec<f32>> = shapes
            .iter()
            .enumerate()
            .map(|(t, s)| (0..s.iter().product()).map(|i: usize| (i + t) as f32).collect())
            .collect();
        let roots: Vec<Digest> = shapes.iter().zip(&tensors).map(|(s, v)| tensor_root(s, v)).collect();
        let part = merkle::root(roots.clone());
        for (tensor, (shape, values)) in shapes.iter().zip(&tensors).enumerate() {
            let chunks = Chunks::new(shape);
            for chunk in 0..chunks.count() {
                let at = ChunkAt { tensor, chunk };
                let mut path = Tree::new(chunk_hashes(shape, values)).path(chunk);
                path.extend(Tree::new(roots.clone()).path(tensor));
                let shown = chunks.get(chunk).values(values);
                let climbed = climb_chunk(chunk_hash(shown), at, chunks.count(), shapes.len(), &path);
                assert_eq!(climbed, Some(part), "{at:?}");
                let bent = chunks.get(chunk).values(values).map(|v| v + 1.0);
                assert_ne!(climb_chunk(chunk_hash(bent), at, chunks.count(), shapes.len(), &path), Some(part));
                assert_eq!(climb_chunk(Digest([0; 32]), at, chunks.count(), shapes.len(), &[]), None);
            }
        }
    }

    #[test]
    fn one_bit_anywhere_changes_a_tensors_root() {
        let values: Vec<f32> = (0..70 * 90).map(|i| i as f32).collect();
        let truth = tensor_root(&[70, 90], &values);
        for i in [0, 63, 64, 5759, 5760, 6299] {
            let mut bent = values.clone();
            bent[i] = f32::from_bits(bent[i].to_bits() ^ 1);
            assert_ne!(tensor_root(&[70, 90], &bent), truth);
        }
        assert_ne!(tensor_root(&[90, 70], &values), truth);
    }
}
