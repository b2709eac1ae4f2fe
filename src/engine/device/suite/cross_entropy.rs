//! To be written with the kernels of cross_entropy.

use super::Check;

pub(super) const CHECKS: &[(&str, Check)] = &[];
