//! To be written with the kernels.

use super::Cuda;
use crate::engine::matmul::Start;
use crate::engine::memory::{Part, PartMut};

/// c [m × n] (+)= a [m × k] · bᵀ, b [n × k]; the sizes are m, n, k.
pub(super) fn matmul_nt(_: &Cuda, _: Part<'_>, _: Part<'_>, _: PartMut<'_>, _: [usize; 3], _: Start) {
    unreachable!()
}

/// c [m × n] (+)= a [m × k] · b [k × n]; the sizes are m, n, k.
pub(super) fn matmul_nn(_: &Cuda, _: Part<'_>, _: Part<'_>, _: PartMut<'_>, _: [usize; 3], _: Start) {
    unreachable!()
}

/// c [m × n] (+)= aᵀ · b, a [k × m], b [k × n]; the sizes are m, n, k.
pub(super) fn matmul_tn(_: &Cuda, _: Part<'_>, _: Part<'_>, _: PartMut<'_>, _: [usize; 3], _: Start) {
    unreachable!()
}
