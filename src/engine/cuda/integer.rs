//! To be written with the kernels.

use super::Cuda;
use crate::engine::linear::Factor;
use crate::engine::matmul::Start;
use crate::engine::memory::{Part, PartMut};
use std::ops::Range;

pub(super) fn linear(_: &Cuda, _: Factor<'_>, _: Factor<'_>, _: PartMut<'_>) {
    unreachable!()
}

pub(super) fn linear_input_gradient(_: &Cuda, _: Part<'_>, _: Factor<'_>, _: PartMut<'_>, _: Start) {
    unreachable!()
}

pub(super) fn linear_weight_gradient(_: &Cuda, _: Factor<'_>, _: Part<'_>, _: Range<usize>, _: usize, _: PartMut<'_>) {
    unreachable!()
}
