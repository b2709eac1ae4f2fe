//! To be written with the kernels of columns.

use super::Check;

pub(super) const CHECKS: &[(&str, Check)] = &[];
