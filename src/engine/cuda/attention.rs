//! To be written with the kernels.

use super::Cuda;
use crate::engine::attention::AttentionShape;
use crate::engine::device::Attended;
use crate::engine::memory::{Part, PartMut};

pub(super) fn attention(_: &Cuda, _: &AttentionShape, _: [Part<'_>; 3], _: PartMut<'_>, _: [PartMut<'_>; 2]) {
    unreachable!()
}

pub(super) fn attention_backward(_: &Cuda, _: &AttentionShape, _: &Attended<'_>, _: [PartMut<'_>; 3]) {
    unreachable!()
}
