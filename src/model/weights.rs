//! Weights in files: one, or several by an index, of any floating type.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use super::layout::{Layout, TensorSpec};
use super::parameters::{Parameters, Weights};
use crate::artifact::{Dtype, Meta, Reader, TensorInfo, f32_from_le};
use crate::error::{Context, Error, Result, plainly};
use crate::fsio::{Source, Stored, read_text_within};

/// The name of a whole model's weights.
pub const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// The longest index, in bytes.
const MAX_INDEX: u64 = 16 << 20;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// What a folder's weights are of.
pub(super) struct Expected<'a> {
    /// Their layout.
    pub layout: &'a Layout,
    /// What it is called in messages.
    pub what: String,
    /// Tensors that files may have beside those.
    pub passed_over: &'a dyn Fn(&TensorInfo) -> bool,
}

impl Expected<'_> {
    /// Reads the weights of these files, or leaves them where one canonical file holds them all as float32.
    pub fn read(&self, folder: &Path, files: &[PathBuf]) -> Result<(Parameters, Meta)> {
        if let Some((weights, meta)) = stored_weights(files, self.layout)? {
            return Ok((Parameters::Stored(weights), meta));
        }
        let mut parameters = vec![0f32; self.layout.total];
        let mut meta = Meta::default();
        let mut missing: BTreeSet<&str> = self.layout.tensors.iter().map(|t| t.name.as_str()).collect();
        for file in files {
            meta.0.extend(self.read_file(file, &mut parameters, &mut missing)?.0);
        }
        if let Some(name) = missing.first() {
            return Err(Error::data(format!("{}: tensor {name} is missing", folder.display())));
        }
        Ok((Parameters::Read(parameters), meta))
    }

    fn read_file(&self, file: &Path, parameters: &mut [f32], missing: &mut BTreeSet<&str>) -> Result<Meta> {
        let layout = self.layout;
        let mut reader = Reader::open_within(Source::open(file)?, layout.header_room())?;
        let meta = Meta(reader.header().metadata.clone());
        // Names and shapes before data: a compressed file of a few bytes may announce any amount of it.
        for info in &reader.header().tensors {
            match layout.find(&info.name) {
                Some(spec) => check_shape(info, spec).at(file.display())?,
                None if (self.passed_over)(info) => {}
                None => {
                    let (file, what) = (file.display(), &self.what);
                    return Err(Error::data(format!("{file}: tensor {}: not part of {what}", info.name)));
                }
            }
        }
        while let Some((info, data)) = reader.next_tensor()? {
            let Some(spec) = layout.find(&info.name) else { continue };
            if !missing.remove(spec.name.as_str()) {
                return Err(Error::data(format!("{}: tensor {}: found twice", file.display(), info.name)));
            }
            let values = to_f32(&info, &data).at(file.display())?;
            parameters[spec.range()].copy_from_slice(&values);
        }
        Ok(meta)
    }
}

/// Leaves the weights where they are if one canonical file holds them all as float32, in the layout's order.
fn stored_weights(files: &[PathBuf], layout: &Layout) -> Result<Option<(Weights, Meta)>> {
    let [file] = files else { return Ok(None) };
    let source = Source::open(file)?;
    let known = source.known_len();
    let reader = Reader::open_within(source, layout.header_room())?;
    let header = reader.header();
    let ours = layout.tensors.iter().map(|t| TensorInfo::f32(&t.name, &t.shape));
    if known.is_none() || reader.require_canonical().is_err() || !header.tensors.iter().cloned().eq(ours) {
        return Ok(None);
    }
    let Some(stored) = Stored::open(file, header.to_bytes().len() as u64, 4 * layout.total as u64)? else {
        return Ok(None);
    };
    Ok(Some((Weights::open(stored, layout)?, Meta(header.metadata.clone()))))
}

/// A model of petabytes announced by a small configuration is refused before memory is asked for.
pub(super) fn check_room(announced: usize, by: &str, files: &[PathBuf]) -> Result<()> {
    let mut stored = 0u64;
    for file in files {
        stored += std::fs::metadata(file).map_err(|e| Error::io(file.display(), &e))?.len();
    }
    // No floating type is below one byte an element; zstd'd weights are no part of the Hugging Face format.
    if announced as u64 > stored {
        return Err(Error::data(format!(
            "{}: expected {announced} parameters as {by} announces, found {stored} bytes",
            files[0].display()
        )));
    }
    Ok(())
}

/// The files that a whole model's folder is made of, in it.
pub fn model_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let weights = weight_files(folder)?;
    let index = Some(folder.join(INDEX)).filter(|index| index.exists());
    Ok([folder.join("config.json")].into_iter().chain(index).chain(weights).collect())
}

/// The files of a whole model's weights.
pub(super) fn weight_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let index = folder.join(INDEX);
    if !index.exists() {
        return Ok(vec![folder.join(WEIGHTS)]);
    }
    let parsed: Index = serde_json::from_str(&read_text_within(&index, MAX_INDEX)?)
        .map_err(|e| Error::data(format!("{}: not a weight index: {}", index.display(), plainly(e))))?;
    let names: BTreeSet<&String> = parsed.weight_map.values().collect();
    if let Some(name) = names.iter().find(|n| n.contains(['/', '\\', '\0']) || !n.ends_with(".safetensors")) {
        return Err(Error::data(format!(
            "{}: expected names of safetensors files beside it, found {name:?}",
            index.display()
        )));
    }
    if names.is_empty() {
        return Err(Error::data(format!("{}: it lists no file", index.display())));
    }
    Ok(names.into_iter().map(|n| folder.join(n)).collect())
}

fn check_shape(info: &TensorInfo, spec: &TensorSpec) -> Result<()> {
    if info.shape == spec.shape {
        return Ok(());
    }
    Err(Error::data(format!("tensor {}: expected shape {:?}, found {:?}", info.name, spec.shape, info.shape)))
}

fn to_f32(info: &TensorInfo, data: &[u8]) -> Result<Vec<f32>> {
    let dtype = match info.dtype {
        Dtype::F32 => return f32_from_le(&info.name, data),
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::F64 => DType::F64,
        Dtype::F8_E4M3 => DType::F8E4M3,
        other => {
            return Err(Error::data(format!("tensor {}: expected a floating type, found {other}", info.name)));
        }
    };
    let converted = Tensor::from_raw_buffer(data, dtype, &info.shape, &Device::Cpu)
        .and_then(|t| t.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>())
        .map_err(|e| Error::data(format!("tensor {}: {e}", info.name)))?;
    match converted.iter().position(|v| !v.is_finite()) {
        None => Ok(converted),
        Some(i) => Err(Error::data(format!("tensor {}: element {i} is not finite", info.name))),
    }
}
