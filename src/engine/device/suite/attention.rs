//! To be written with the kernels of attention.

use super::Check;

pub(super) const CHECKS: &[(&str, Check)] = &[];
