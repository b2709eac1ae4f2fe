//! To be written with the kernels of adamw.

use super::Check;

pub(super) const CHECKS: &[(&str, Check)] = &[];
