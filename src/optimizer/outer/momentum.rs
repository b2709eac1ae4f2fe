//! The outer momentum: what a round's step leaves to the next one, as a state file.
//!
//! A canonical float32 file of kind `momentum` with the model's names and shapes and the metadata `run`, `round` (the one
//! whose step left it) and `outer_in` (the digest of the state before it, or `zero`). Its digest is [`Meta::state_digest`] over
//! that metadata and the Merkle root over all chunks; the next model names it as `outer_out`.

use std::io::Write;

use crate::artifact::{ArtifactKind, Digest, Meta, merkle};
use crate::error::Result;
use crate::fsio::Source;
use crate::model::{Layout, read_flat, write_flat};

/// A momentum and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Momentum {
    /// The metadata of its file.
    pub meta: Meta,
    /// All values, by the layout.
    pub values: Vec<f32>,
    /// The state's digest.
    pub digest: Digest,
}

impl Momentum {
    /// What the step of a round leaves; `before` is the digest of the state before it, or `zero`.
    pub fn left_by(run: &Digest, round: u64, before: &str, values: Vec<f32>, layout: &Layout) -> Momentum {
        let mut meta = Meta::new(ArtifactKind::Momentum);
        meta.set("run", run).set("round", round).set("outer_in", before);
        Momentum { digest: digest(&meta, &values, layout), meta, values }
    }

    /// Writes the state file. Returns the digest of its content.
    pub fn write<W: Write>(&self, name: &str, out: W, layout: &Layout) -> Result<(W, Digest)> {
        write_flat(name, out, self.meta.clone(), layout, &self.values)
    }

    /// Reads a state file; its values are finite.
    pub fn read(source: Source, layout: &Layout) -> Result<Momentum> {
        let (meta, values, _) = read_flat(source, ArtifactKind::Momentum, layout)?;
        Ok(Momentum { digest: digest(&meta, &values, layout), meta, values })
    }
}

fn digest(meta: &Meta, values: &[f32], layout: &Layout) -> Digest {
    meta.state_digest(&[merkle::root(layout.tensor_roots(values))])
}
