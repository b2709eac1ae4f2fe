//! What the rules' tests share: updates in memory.

use super::{Direction, Sent, aggregate};
use crate::artifact::recipe::OuterRecipe;
use crate::engine::{Engine, philox};
use crate::error::Result;
use crate::model::TensorSpec;

/// Updates by ascending worker, flat.
pub struct InMemory {
    pub tensors: Vec<TensorSpec>,
    pub updates: Vec<Vec<f32>>,
    /// Updates that were read.
    pub reads: u64,
}

/// Tensors of these lengths, one after the other.
pub fn tensors(lengths: &[usize]) -> Vec<TensorSpec> {
    let mut offset = 0;
    let mut next = |(i, len): (usize, &usize)| {
        offset += len;
        TensorSpec { name: format!("t{i:03}"), shape: vec![*len], offset: offset - len }
    };
    lengths.iter().enumerate().map(&mut next).collect()
}

impl InMemory {
    /// Updates of one tensor.
    pub fn of(updates: &[Vec<f32>]) -> InMemory {
        InMemory::cut(updates, &[updates[0].len()])
    }

    /// Updates of tensors of these lengths.
    pub fn cut(updates: &[Vec<f32>], lengths: &[usize]) -> InMemory {
        InMemory { tensors: tensors(lengths), updates: updates.to_vec(), reads: 0 }
    }
}

impl Sent for InMemory {
    fn count(&self) -> usize {
        self.updates.len()
    }

    fn read(
        &mut self,
        update: usize,
        tensors: &[TensorSpec],
        take: &mut dyn FnMut(&TensorSpec, Vec<f32>),
    ) -> Result<()> {
        self.reads += 1;
        tensors.iter().for_each(|tensor| take(tensor, self.updates[update][tensor.range()].to_vec()));
        Ok(())
    }
}

/// What a rule makes of them.
pub fn run(recipe: &OuterRecipe, sent: &mut InMemory) -> Direction {
    let tensors = sent.tensors.clone();
    aggregate(Engine::detect(), recipe, &tensors, sent).unwrap()
}

/// Seeded finite values: zeros of both signs, subnormals, and from 1e-30 to 1e30 among normal ones.
pub fn wild(key: u32, count: usize) -> Vec<f32> {
    let value = |i: u64| {
        let [word, other, ..] = philox::philox([key, 0xa66], [i as u32, 0, 0, 0]);
        let normal = philox::normal([key, 0xa67], i);
        match word % 16 {
            0 => f32::from_bits(other & 0x8000_0000),
            1 => f32::from_bits(other & 0x807f_ffff),
            2 => normal * 1e30,
            3 => normal * 1e-30,
            _ => normal,
        }
    };
    (0..count as u64).map(value).collect()
}
