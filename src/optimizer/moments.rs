//! AdamW's moments: the state that a worker may carry from round to round.

use crate::artifact::{ArtifactKind, Digest, Header, Meta, Reader, Writer, merkle};
use crate::error::{Error, Result};
use crate::fsio::Source;
use crate::model::Layout;

/// First and second moments of every parameter, and how many steps they have seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Steps taken.
    pub steps: u64,
    /// First moments, by the layout.
    pub first: Vec<f32>,
    /// Second moments, by the layout.
    pub second: Vec<f32>,
}

const FIRST: &str = "first.";
const SECOND: &str = "second.";

impl Moments {
    /// Zero moments.
    pub fn zero(layout: &Layout) -> Moments {
        Moments { steps: 0, first: vec![0.0; layout.total], second: vec![0.0; layout.total] }
    }

    /// The metadata of the state that a delta with this metadata leaves.
    pub fn meta_after(delta: &Meta) -> Meta {
        let mut meta = Meta::new(ArtifactKind::Moments);
        meta.copy(delta, &["run", "round", "worker", "theta", "shard", "assignment", "inner_in"]);
        meta
    }

    /// The Merkle roots over the chunks of the first and of the second moments.
    pub fn roots(&self, layout: &Layout) -> [Digest; 2] {
        [&self.first, &self.second].map(|flat| merkle::root(layout.tensor_roots(flat)))
    }

    /// The digest of the state file that [`Moments::write`] makes: [`Meta::state_digest`] over metadata and
    /// [`Moments::roots`].
    pub fn digest(&self, mut meta: Meta, layout: &Layout) -> Digest {
        meta.set("steps", self.steps);
        meta.state_digest(&self.roots(layout))
    }

    /// Writes the state file; `steps` is added to the metadata. Returns the state's digest.
    pub fn write<W: std::io::Write>(&self, name: &str, out: W, mut meta: Meta, layout: &Layout) -> Result<(W, Digest)> {
        let digest = self.digest(meta.clone(), layout);
        meta.set("steps", self.steps);
        let mut writer =
            Writer::new(name, out, Header::new(meta.0, [FIRST, SECOND].map(|part| layout.infos(part)).concat()))?;
        for (prefix, flat) in [(FIRST, &self.first), (SECOND, &self.second)] {
            for tensor in &layout.tensors {
                writer.f32(&format!("{prefix}{}", tensor.name), &flat[tensor.range()])?;
            }
        }
        Ok((writer.finish()?.0, digest))
    }

    /// Reads a state file.
    pub fn read(source: Source, layout: &Layout) -> Result<(Meta, Moments, Digest)> {
        let mut reader = Reader::open_within(source, layout.header_room())?;
        reader.require_canonical()?;
        let name = reader.name().to_owned();
        let meta = Meta::read(&name, reader.header(), ArtifactKind::Moments)?;
        reader.expect_tensors([FIRST, SECOND].into_iter().flat_map(|part| layout.infos(part)))?;
        let mut moments = Moments { steps: meta.number(&name, "steps")?, first: Vec::new(), second: Vec::new() };
        for (prefix, flat) in [(FIRST, &mut moments.first), (SECOND, &mut moments.second)] {
            for tensor in &layout.tensors {
                flat.extend(reader.next_f32(&format!("{prefix}{}", tensor.name), &tensor.shape)?);
            }
        }
        if let Some(i) = moments.second.iter().position(|v| v.is_sign_negative()) {
            let tensor = &layout.tensor_at(i).name;
            return Err(Error::data(format!("{name}: tensor {SECOND}{tensor}: a second moment is negative")));
        }
        reader.finish()?;
        let digest = moments.digest(meta.clone(), layout);
        Ok((meta, moments, digest))
    }
}
