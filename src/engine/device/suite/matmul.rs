//! To be written with the kernels of matmul.

use super::Check;

pub(super) const CHECKS: &[(&str, Check)] = &[];
