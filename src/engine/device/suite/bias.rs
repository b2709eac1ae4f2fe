//! To be written with the kernels of bias.

use super::Check;

pub(super) const CHECKS: &[(&str, Check)] = &[];
