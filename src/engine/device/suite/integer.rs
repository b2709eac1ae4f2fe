//! To be written with the kernels of integer.

use super::Check;

pub(super) const CHECKS: &[(&str, Check)] = &[];
