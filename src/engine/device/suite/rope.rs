//! To be written with the kernels of rope.

use super::Check;

pub(super) const CHECKS: &[(&str, Check)] = &[];
