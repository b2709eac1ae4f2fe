//! What is said of a round while it is scored.

use crate::error::Error;

/// For whoever watches a round being scored.
pub enum Watch<'a> {
    /// The rule of pay needs so many forward passes over the held-out data, at most.
    Passes(u64),
    /// So many micro-batches are ahead.
    Begin(u64),
    /// One is done.
    MicroBatch,
    /// An update breaks the model, and does not count.
    Breaks(&'a Error),
    /// The held-out sequences are too few to tell the median update's gain from noise.
    Few {
        /// So many were drawn.
        drawn: u64,
        /// So many it takes.
        needed: u64,
    },
}
