//! To be written with the kernels.

use super::Cuda;
use crate::engine::device::NormWeight;
use crate::engine::memory::{Part, PartMut};

pub(super) fn rms_norm(_: &Cuda, _: Part<'_>, _: NormWeight<'_>, _: f32, _: PartMut<'_>, _: PartMut<'_>) {
    unreachable!()
}

pub(super) fn rms_scale(_: &Cuda, _: Part<'_>, _: NormWeight<'_>, _: Part<'_>, _: PartMut<'_>) {
    unreachable!()
}

pub(super) fn rms_norm_backward(
    _: &Cuda,
    _: [Part<'_>; 3],
    _: NormWeight<'_>,
    _: usize,
    _: PartMut<'_>,
    _: Option<PartMut<'_>>,
) {
    unreachable!()
}
