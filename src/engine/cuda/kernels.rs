//! The kernels, as PTX: made from `kernels/*.cu` by `just ptx`, and checked against them.

/// One text a file of kernels.
#[rustfmt::skip]
pub(super) const PTX: &[(&str, &str)] = &[
    ("attention_backward", include_str!("../../../kernels/ptx/attention_backward.ptx")),
    ("attention_forward", include_str!("../../../kernels/ptx/attention_forward.ptx")),
    ("elementwise", include_str!("../../../kernels/ptx/elementwise.ptx")),
    ("matmul", include_str!("../../../kernels/ptx/matmul.ptx")),
];
