//! The kernels, as PTX: made from `kernels/*.cu` by `just ptx`, and checked against them.

/// One text a file of kernels.
#[rustfmt::skip]
pub(super) const PTX: &[(&str, &str)] = &[
    ("adamw", include_str!("../../../kernels/ptx/adamw.ptx")),
    ("attention_backward", include_str!("../../../kernels/ptx/attention_backward.ptx")),
    ("attention_forward", include_str!("../../../kernels/ptx/attention_forward.ptx")),
    ("bias", include_str!("../../../kernels/ptx/bias.ptx")),
    ("blake3", include_str!("../../../kernels/ptx/blake3.ptx")),
    ("columns", include_str!("../../../kernels/ptx/columns.ptx")),
    ("cross_entropy", include_str!("../../../kernels/ptx/cross_entropy.ptx")),
    ("elementwise", include_str!("../../../kernels/ptx/elementwise.ptx")),
    ("embedding", include_str!("../../../kernels/ptx/embedding.ptx")),
    ("geglu", include_str!("../../../kernels/ptx/geglu.ptx")),
    ("integer_product", include_str!("../../../kernels/ptx/integer_product.ptx")),
    ("integer_quantise", include_str!("../../../kernels/ptx/integer_quantise.ptx")),
    ("matmul", include_str!("../../../kernels/ptx/matmul.ptx")),
    ("rms_norm", include_str!("../../../kernels/ptx/rms_norm.ptx")),
    ("rope", include_str!("../../../kernels/ptx/rope.ptx")),
    ("sum", include_str!("../../../kernels/ptx/sum.ptx")),
    ("swiglu", include_str!("../../../kernels/ptx/swiglu.ptx")),
];
