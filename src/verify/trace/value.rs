//! What runs between operators, and its digest.

use std::sync::Arc;

use super::operator::Form;
use crate::artifact::{Digest, merkle, tensor_root};

/// A value of a step. Clones share their elements; an operator that is a value's last reader works in its memory.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// float32.
    Floats(Arc<Vec<f32>>),
    /// Token ids, targets, or where documents begin.
    Tokens(Arc<Vec<u32>>),
    /// A sum of losses in nats, 32.32 fixed point.
    Sum(i128),
    /// A root, which is its own digest; or a value of which no more than the digest is needed.
    Root(Digest),
}

impl Value {
    /// Takes floats.
    pub fn floats(values: Vec<f32>) -> Value {
        Value::Floats(Arc::new(values))
    }

    /// Its digest, as a value of this form.
    pub fn digest(&self, form: &Form) -> Digest {
        match (self, form) {
            (Value::Floats(values), Form::Floats(shape)) => tensor_root(shape, values),
            (Value::Floats(values), _) => tensor_root(&[values.len()], values),
            (Value::Tokens(ids), _) => tokens_digest(ids.iter().copied()),
            (Value::Sum(sum), _) => sum_digest(*sum),
            (Value::Root(digest), _) => *digest,
        }
    }

    /// Whether it has this form.
    pub fn is(&self, form: &Form) -> bool {
        match (self, form) {
            (Value::Floats(values), Form::Floats(_)) => values.len() == form.elements(),
            (Value::Tokens(ids), Form::Tokens(n) | Form::Targets(n) | Form::Starts(n)) => ids.len() == *n,
            (Value::Sum(_), Form::Sum) | (Value::Root(_), Form::Root) => true,
            _ => false,
        }
    }
}

/// The digest of a sequence's token ids.
pub fn tokens_digest(ids: impl IntoIterator<Item = u32>) -> Digest {
    merkle::leaf(&ids.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<u8>>())
}

/// The digest of a summed loss.
pub fn sum_digest(sum: i128) -> Digest {
    merkle::leaf(&sum.to_le_bytes())
}
