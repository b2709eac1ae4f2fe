//! To be written with the kernels of rms_norm.

use super::Check;

pub(super) const CHECKS: &[(&str, Check)] = &[];
