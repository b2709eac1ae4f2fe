//! `[codec]`: how updates are made small.

use serde::{Deserialize, Serialize};

/// The codec and its error feedback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodecRecipe {
    /// The codec.
    #[serde(default)]
    pub name: CodecName,
    /// Values kept of every 4096.
    #[serde(default = "default_top_k")]
    pub top_k: usize,
    /// The error feedback's decay.
    #[serde(default = "default_feedback")]
    pub feedback: f64,
}

/// The codecs there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CodecName {
    /// Float32 as it is.
    Dense,
    /// IEEE binary16.
    F16,
    /// 256 buckets over six standard deviations on either side of the mean (INTELLECT-1, 2412.01152).
    Int8,
    /// 8 bits a value beside the largest of its chunk (2110.02861).
    Blockwise8,
    /// A sign and three bits of exponent a value (Streaming DiLoCo, 2501.18512).
    E3m0,
    /// Top-k of each chunk's cosine transform, a sign each (DeMo, 2411.19870).
    Demo,
    /// Top-k of chunks of 4096, 2-bit values, 12-bit indices (SparseLoCo, 2508.15706).
    #[default]
    SparseLoco,
    /// Top-k of chunks of 4096, 2-bit values with two levels a chunk, indices in Golomb's code.
    L402,
}

impl CodecName {
    /// Every codec.
    pub const ALL: [CodecName; 8] = [
        CodecName::Dense,
        CodecName::F16,
        CodecName::Int8,
        CodecName::Blockwise8,
        CodecName::E3m0,
        CodecName::Demo,
        CodecName::SparseLoco,
        CodecName::L402,
    ];
}

impl Default for CodecRecipe {
    fn default() -> Self {
        CodecRecipe { name: CodecName::default(), top_k: default_top_k(), feedback: default_feedback() }
    }
}

fn default_top_k() -> usize {
    64
}
fn default_feedback() -> f64 {
    0.95
}
