//! The kernels, as PTX: made from `kernels/*.cu` by `just ptx`, and checked against them.

/// One text a file of kernels.
#[rustfmt::skip]
pub(super) const PTX: &[(&str, &str)] = &[
    ("elementwise", include_str!("../../../kernels/ptx/elementwise.ptx")),
    ("integer_product", include_str!("../../../kernels/ptx/integer_product.ptx")),
    ("integer_quantise", include_str!("../../../kernels/ptx/integer_quantise.ptx")),
];
