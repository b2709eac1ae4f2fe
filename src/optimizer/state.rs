//! The state in the midst of a round, as a file: what a worker keeps, and shows when its work is sampled.

use super::moments::Moments;
use super::resident::State;
use crate::artifact::{ArtifactKind, Digest, Header, Meta, Reader, Writer};
use crate::error::Result;
use crate::fsio::Source;
use crate::model::Layout;

/// In the order of a canonical header.
const PARTS: [&str; 3] = ["first.", "parameters.", "second."];

impl State {
    /// Writes the state file; the moments' `steps` are added to the metadata. Returns the file's content digest.
    pub fn write<W: std::io::Write>(&self, name: &str, out: W, mut meta: Meta, layout: &Layout) -> Result<(W, Digest)> {
        meta.set("steps", self.moments.steps);
        let infos = PARTS.into_iter().flat_map(|part| layout.infos(part)).collect();
        let mut writer = Writer::new(name, out, Header::new(meta.0, infos))?;
        for (part, flat) in PARTS.into_iter().zip([&self.moments.first, &self.parameters, &self.moments.second]) {
            for tensor in &layout.tensors {
                writer.f32(&format!("{part}{}", tensor.name), &flat[tensor.range()])?;
            }
        }
        writer.finish()
    }

    /// Reads a state file; its values are finite.
    pub fn read(source: Source, layout: &Layout) -> Result<(Meta, State)> {
        State::read_whole(source, layout).map(|(meta, state, _)| (meta, state))
    }

    /// The same, with the file's content digest.
    pub fn read_whole(source: Source, layout: &Layout) -> Result<(Meta, State, Digest)> {
        let mut reader = Reader::open_within(source, layout.header_room())?;
        reader.require_canonical()?;
        let name = reader.name().to_owned();
        let meta = Meta::read(&name, reader.header(), ArtifactKind::State)?;
        let steps = meta.number(&name, "steps")?;
        reader.expect_tensors(PARTS.into_iter().flat_map(|part| layout.infos(part)))?;
        let mut read = |part: &str| -> Result<Vec<f32>> {
            let mut flat = Vec::new();
            for tensor in &layout.tensors {
                flat.extend(reader.next_f32(&format!("{part}{}", tensor.name), &tensor.shape)?);
            }
            Ok(flat)
        };
        let [first, parameters, second] = [read(PARTS[0])?, read(PARTS[1])?, read(PARTS[2])?];
        let digest = reader.finish()?;
        Ok((meta, State { parameters, moments: Moments { steps, first, second } }, digest))
    }
}
