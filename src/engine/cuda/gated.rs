//! To be written with the kernels.

use super::Cuda;
use crate::engine::device::Gating;
use crate::engine::memory::{Part, PartMut};

pub(super) fn gated(_: &Cuda, _: Gating, _: Part<'_>, _: Part<'_>, _: PartMut<'_>) {
    unreachable!()
}

pub(super) fn gated_backward(_: &Cuda, _: Gating, _: PartMut<'_>, _: PartMut<'_>, _: PartMut<'_>) {
    unreachable!()
}
