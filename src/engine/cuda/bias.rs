//! To be written with the kernels.

use super::Cuda;
use crate::engine::memory::{Part, PartMut};

pub(super) fn bias(_: &Cuda, _: Part<'_>, _: PartMut<'_>) {
    unreachable!()
}

pub(super) fn bias_backward(_: &Cuda, _: Part<'_>, _: usize, _: PartMut<'_>) {
    unreachable!()
}
