//! Error feedback (SparseLoCo, 2508.15706, algorithm 1): what a round does not send is added to the next one.
//!
//! ```text
//! acc  = fma(beta, e, delta)            e is +0 in a worker's first round
//! sent = decode(encode(acc))
//! e'   = acc - sent                     one subtraction; e' is the state of the next round
//! ```
//!
//! beta is the recipe's `codec.feedback`, rounded to float32. A state file is a canonical float32 file of kind
//! `feedback` with the delta's names and shapes and the metadata `run`, `round`, `worker` (whose state it is and the
//! round that left it) and `feedback_in` (the digest of the state before it, or `zero`). Its digest is
//! [`Meta::state_digest`] over that metadata and the Merkle root over all chunks.

use super::contract::{Codec, check_finite};
use super::shapes::Shapes;
use crate::artifact::{ArtifactKind, Digest, Dtype, Meta, Reader, merkle, tensor_root};
use crate::engine::Engine;
use crate::error::{Context, Error, Result};

/// Compresses one tensor: the payload of `beta * feedback + delta`, and the feedback that remains. Without `feedback` it
/// is zero. All have `shape`, row-major.
pub fn compress_tensor(
    codec: &dyn Codec,
    beta: f32,
    shape: &[usize],
    delta: &[f32],
    feedback: Option<&[f32]>,
) -> Result<(Vec<u8>, Vec<f32>)> {
    let engine = Engine::detect();
    engine.define(|| compress(engine, codec, beta, shape, delta, feedback))
}

fn compress(
    engine: Engine,
    codec: &dyn Codec,
    beta: f32,
    shape: &[usize],
    delta: &[f32],
    feedback: Option<&[f32]>,
) -> Result<(Vec<u8>, Vec<f32>)> {
    let mut acc = delta.to_vec();
    match feedback {
        Some(e) if e.len() != delta.len() => {
            return Err(Error::bug(format!("{} values of feedback for {} of delta", e.len(), delta.len())));
        }
        Some(e) => engine.fma_into(&mut acc, beta, e),
        None => engine.fma_into(&mut acc, beta, &vec![0.0; delta.len()]),
    }
    check_finite(&acc).at("delta and feedback together")?;
    let payload = codec.encode(shape, &acc)?;
    let sent = codec.decode(shape, &payload)?;
    // One subtraction: the product by -1 is exact.
    engine.fma_into(&mut acc, -1.0, &sent);
    check_finite(&acc).at("the feedback that remains")?;
    Ok((payload, acc))
}

/// The digest of a state with these tensors' roots, by ascending name.
pub(super) fn state_digest(meta: &Meta, tensors: Vec<Digest>) -> Digest {
    meta.state_digest(&[merkle::root(tensors)])
}

/// A worker's error feedback from an earlier round, read tensor by tensor.
pub struct Feedback {
    reader: Reader,
    digest: Digest,
    meta: Meta,
    roots: Vec<Digest>,
}

impl Feedback {
    /// Checks the header of a state whose digest is already known; that its content has this digest is checked at the
    /// end.
    pub fn open(digest: Digest, reader: Reader) -> Result<Feedback> {
        reader.require_canonical()?;
        let meta = Meta::read(reader.name(), reader.header(), ArtifactKind::Feedback)?;
        Ok(Feedback { reader, digest, meta, roots: Vec::new() })
    }

    /// The metadata of the state that a delta or update with this metadata leaves.
    pub fn meta_after(given: &Meta, feedback_in: &str) -> Meta {
        let mut meta = Meta::new(ArtifactKind::Feedback);
        meta.copy(given, &["run", "round", "worker"]).set("feedback_in", feedback_in);
        meta
    }

    /// The digest of the state that a file holds.
    pub fn digest_of(reader: Reader) -> Result<Digest> {
        let mut feedback = Feedback::open(Digest([0; 32]), reader)?;
        let tensors = feedback.reader.header().tensors.clone();
        tensors.iter().try_for_each(|t| feedback.next(&t.name, &t.shape).map(drop))?;
        feedback.end()
    }

    /// The metadata.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The name used in messages.
    pub(super) fn file(&self) -> &str {
        self.reader.name()
    }

    /// The shapes of its tensors.
    pub(super) fn shapes(&self) -> Shapes {
        Shapes::of(self.reader.header())
    }

    /// Whether it is the state of this run and worker from an earlier round, with these tensors.
    pub(super) fn check(&self, run: &Digest, worker: &str, round: u64, shapes: &Shapes) -> Result<()> {
        let file = self.reader.name();
        let found = self.meta.digest(file, "run")?;
        if found != *run {
            return Err(Error::refused(format!(
                "{file}: expected the feedback of run {run}, found that of run {found}"
            )));
        }
        let found = self.meta.get(file, "worker")?;
        if found != worker {
            return Err(Error::refused(format!(
                "{file}: expected the feedback of worker {worker}, found that of {found:?}"
            )));
        }
        let found = self.meta.number(file, "round")?;
        if found >= round {
            return Err(Error::refused(format!(
                "{file}: expected feedback from a round before {round}, found that of round {found}"
            )));
        }
        let tensors = &self.reader.header().tensors;
        self.shapes().expect(shapes.iter()).at(file)?;
        tensors.iter().try_for_each(|t| t.expect(Dtype::F32, &t.shape)).at(file)
    }

    /// The next tensor.
    pub fn next(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let values = self.reader.next_f32(name, shape)?;
        self.roots.push(tensor_root(shape, &values));
        Ok(values)
    }

    fn end(self) -> Result<Digest> {
        self.reader.finish()?;
        Ok(state_digest(&self.meta, self.roots))
    }

    /// Reads to the end and compares the digest.
    pub fn finish(self) -> Result<()> {
        let (name, expected) = (self.reader.name().to_owned(), self.digest);
        let found = self.end()?;
        if found == expected {
            return Ok(());
        }
        Err(Error::data(format!("{name}: expected digest {expected}, found {found}: it changed while it was read")))
    }
}
