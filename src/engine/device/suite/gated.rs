//! To be written with the kernels of gated.

use super::Check;

pub(super) const CHECKS: &[(&str, Check)] = &[];
