//! To be written with the kernels of embedding.

use super::Check;

pub(super) const CHECKS: &[(&str, Check)] = &[];
