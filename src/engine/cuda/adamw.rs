//! To be written with the kernels.

use super::Cuda;
use crate::engine::adamw::AdamwStep;
use crate::engine::memory::{Part, PartMut};
use crate::error::Result;
use std::ops::Range;

pub(super) fn adamw(
    _: &Cuda,
    _: &[(Range<usize>, AdamwStep)],
    _: PartMut<'_>,
    _: Part<'_>,
    _: [PartMut<'_>; 2],
) -> Result<Option<usize>> {
    unreachable!()
}
