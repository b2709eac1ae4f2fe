//! To be written with the kernels.

use super::Cuda;
use crate::engine::memory::{Part, PartMut};

pub(super) fn embedding(_: &Cuda, _: Part<'_>, _: usize, _: Part<'_, u32>, _: PartMut<'_>) {
    unreachable!()
}

pub(super) fn embedding_backward(_: &Cuda, _: Part<'_>, _: usize, _: &[u32], _: PartMut<'_>) {
    unreachable!()
}
