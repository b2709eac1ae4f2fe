//! To be written with the kernels.

use super::Cuda;
use crate::engine::memory::{Part, PartMut};

pub(super) fn split_columns(_: &Cuda, _: Part<'_>, _: &mut [(PartMut<'_>, usize)]) {
    unreachable!()
}

pub(super) fn join_columns(_: &Cuda, _: &[(Part<'_>, usize)], _: PartMut<'_>) {
    unreachable!()
}
