//! A model's parameters: in memory, or in their file until they are needed.

use crate::artifact::{Digest, Header};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::fsio::Stored;

use super::layout::Layout;

/// The parameters of a model, by its layout.
pub enum Parameters {
    /// Read and converted.
    Read(Vec<f32>),
    /// Left where one file holds them as they are.
    Stored(Weights),
}

impl Parameters {
    /// All of them.
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        match self {
            Parameters::Read(values) => Ok(values.clone()),
            Parameters::Stored(weights) => {
                let mut values = Vec::with_capacity(weights.len);
                weights.each(|_, piece| values.extend_from_slice(piece))?;
                Ok(values)
            }
        }
    }

    /// All of them, without a second copy of what is in memory already.
    pub fn into_vec(self) -> Result<Vec<f32>> {
        match self {
            Parameters::Read(values) => Ok(values),
            stored => stored.to_vec(),
        }
    }

    /// Hands them over in order: the first one's place, and a piece of them. An error says that what was handed over is
    /// worth nothing.
    pub fn each(&self, mut take: impl FnMut(usize, &[f32])) -> Result<()> {
        match self {
            Parameters::Read(values) => {
                take(0, values);
                Ok(())
            }
            Parameters::Stored(weights) => weights.each(take),
        }
    }
}

/// Weights in a file that others may write while we read: each reading must find what the first one found.
pub struct Weights {
    file: Stored,
    /// The header of the canonical file without metadata that holds just these.
    header: Vec<u8>,
    len: usize,
    digest: Digest,
}

impl Weights {
    /// Reads a file's weights for the first time. They lie in it in the layout's order; a value that is not finite is
    /// refused.
    pub(super) fn open(file: Stored, layout: &Layout) -> Result<Weights> {
        let header = Header::new(Default::default(), layout.infos("")).to_bytes();
        let (engine, mut bad) = (Engine::detect(), None);
        let digest = read(&file, &header, |at, piece| {
            bad = bad.or_else(|| engine.first_non_finite(piece).map(|i| (at + i, piece[i])));
        })?;
        if let Some((i, value)) = bad {
            let tensor = layout.tensor_at(i);
            return Err(Error::data(format!(
                "{}: tensor {}: element {} is {}, expected finite values",
                file.name(),
                tensor.name,
                i - tensor.offset,
                if value.is_nan() { "NaN" } else { "infinite" }
            )));
        }
        Ok(Weights { file, header, len: layout.total, digest })
    }

    /// The digest of the canonical file without metadata that holds just these.
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    fn each(&self, take: impl FnMut(usize, &[f32])) -> Result<()> {
        let found = read(&self.file, &self.header, take)?;
        if found == self.digest {
            return Ok(());
        }
        let (name, expected) = (self.file.name(), self.digest);
        Err(Error::data(format!(
            "{name}: expected weights of digest {expected}, found {found}: they changed while in use"
        )))
    }
}

fn read(file: &Stored, header: &[u8], mut take: impl FnMut(usize, &[f32])) -> Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(header);
    let mut values = Vec::new();
    file.read(|at, bytes| {
        hasher.update(bytes);
        values.clear();
        values.extend(bytes.as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)));
        take((at / 4) as usize, &values);
        Ok(())
    })?;
    Ok(hasher.into())
}
