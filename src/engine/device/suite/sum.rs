//! To be written with the kernels of sum.

use super::Check;

pub(super) const CHECKS: &[(&str, Check)] = &[];
