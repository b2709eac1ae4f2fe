//! The updates as rules read them: one after the other, or some tensors of all at a time.

use std::ops::Range;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::TensorSpec;

/// Decoded updates, by ascending worker id. Nothing of an update is held longer than it is read.
pub trait Sent {
    /// How many there are.
    fn count(&self) -> usize;

    /// Hands the finite values of these tensors of one update to `take`, in this order.
    fn read(
        &mut self,
        update: usize,
        tensors: &[TensorSpec],
        take: &mut dyn FnMut(&TensorSpec, Vec<f32>),
    ) -> Result<()>;
}

/// What a rule works on.
pub(super) struct Given<'a> {
    pub engine: Engine,
    pub tensors: &'a [TensorSpec],
    sent: &'a mut dyn Sent,
}

impl<'a> Given<'a> {
    pub fn new(engine: Engine, tensors: &'a [TensorSpec], sent: &'a mut dyn Sent) -> Given<'a> {
        Given { engine, tensors, sent }
    }

    pub fn count(&self) -> usize {
        self.sent.count()
    }

    /// Elements of all tensors.
    pub fn total(&self) -> usize {
        self.tensors.iter().map(TensorSpec::len).sum()
    }

    /// One update whole, tensor by tensor.
    pub fn read(&mut self, update: usize, mut take: impl FnMut(&TensorSpec, Vec<f32>)) -> Result<()> {
        self.sent.read(update, self.tensors, &mut take)
    }

    /// Every tensor of all updates at once, by ascending name; in memory are those of one of the [`groups`].
    pub fn read_tensors(&mut self, mut take: impl FnMut(Engine, &TensorSpec, &[Vec<f32>])) -> Result<()> {
        for group in groups(self.tensors, self.count()) {
            let tensors = &self.tensors[group];
            let mut all: Vec<Vec<Vec<f32>>> = tensors.iter().map(|_| Vec::with_capacity(self.count())).collect();
            for update in 0..self.count() {
                let mut to = all.iter_mut();
                self.sent.read(update, tensors, &mut |_, values| {
                    to.next().into_iter().for_each(|t| t.push(values.clone()))
                })?;
            }
            for (tensor, values) in tensors.iter().zip(&all) {
                if values.len() != self.count() {
                    return Err(Error::bug(format!(
                        "tensor {}: {} of its values were read",
                        tensor.name,
                        values.len()
                    )));
                }
                take(self.engine, tensor, values);
            }
        }
        Ok(())
    }
}

/// Neighbouring tensors that are read together: of all updates no more than one model's values, or than the largest
/// tensor's. So there are about as many groups as updates.
pub(super) fn groups(tensors: &[TensorSpec], count: usize) -> Vec<Range<usize>> {
    let total: usize = tensors.iter().map(TensorSpec::len).sum();
    let room = (total / count.max(1)).max(tensors.iter().map(TensorSpec::len).max().unwrap_or(0));
    let (mut groups, mut begin, mut held) = (Vec::new(), 0, 0);
    for (i, tensor) in tensors.iter().enumerate() {
        if held + tensor.len() > room && begin < i {
            groups.push(begin..i);
            (begin, held) = (i, 0);
        }
        held += tensor.len();
    }
    if begin < tensors.len() {
        groups.push(begin..tensors.len());
    }
    groups
}
