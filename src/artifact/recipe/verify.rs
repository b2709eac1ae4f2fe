//! `[verify]`: what workers commit to, and what counts.

use serde::{Deserialize, Serialize};

/// What workers commit to while they train, and what an update must be found to be, to count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyRecipe {
    /// Inner steps from one leaf to the next (J).
    #[serde(default = "one_u32")]
    pub leaf_every: u32,
    /// The weakest finding that lets an update count.
    #[serde(default)]
    pub accept: Accept,
    /// Segments that a sampled replay must have run again, at the least; the last one is always among them.
    #[serde(default = "default_segments")]
    pub segments: u32,
    /// Codec chunks that a sampled replay must have checked, at the least.
    #[serde(default = "default_chunks")]
    pub chunks: u32,
    /// The greatest tolerance of a near finding that counts, in parts per million.
    #[serde(default)]
    pub tolerance_ppm: u64,
    /// Where beacons come from. Recipes of before there were such do not say, and believe their coordinator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beacons: Option<Beacons>,
}

/// Where the beacons of a run come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Beacons {
    /// From whoever gives them: nothing says that they were not chosen. For runs without pay.
    Free,
    /// From blocks that were named, signed, before they were there.
    Blocks,
}

impl VerifyRecipe {
    /// Whether a beacon must show which block it comes from.
    pub fn beacons_are_bound(&self) -> bool {
        self.beacons == Some(Beacons::Blocks)
    }
}

impl Default for VerifyRecipe {
    fn default() -> VerifyRecipe {
        VerifyRecipe {
            leaf_every: 1,
            accept: Accept::Exact,
            segments: default_segments(),
            chunks: default_chunks(),
            tolerance_ppm: 0,
            beacons: None,
        }
    }
}

/// Findings by their strength, the strongest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accept {
    /// Every step was run again, every byte is equal.
    #[default]
    Exact,
    /// The drawn segments and chunks are equal.
    Sampled,
    /// Within a tolerance: for updates of foreign engines.
    Near,
}

fn one_u32() -> u32 {
    1
}
fn default_segments() -> u32 {
    3
}
fn default_chunks() -> u32 {
    64
}
