//! To be written with the kernels.

use super::Cuda;
use crate::engine::device::Rope;
use crate::engine::memory::PartMut;

pub(super) fn rope(_: &Cuda, _: &Rope, _: usize, _: PartMut<'_>, _: bool) {
    unreachable!()
}
