//! The kernels, as PTX: made from `kernels/*.cu` by `just ptx`, and checked against them.

/// One text a file of kernels.
pub(super) const PTX: &[(&str, &str)] = &[];
