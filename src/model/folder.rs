//! Models as Hugging Face folders: `config.json` with `model.safetensors` or a sharded index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use super::config::ModelConfig;
use super::fields::Fields;
use super::layout::{Layout, TensorSpec};
use super::parameters::{Parameters, Weights};
use super::variant::Family;
use crate::artifact::{
    ArtifactKind, Digest, Dtype, FORMAT_VERSION, Header, Meta, Reader, TensorInfo, Writer, digest_of, f32_from_le,
};
use crate::error::{Context, Error, Result};
use crate::fsio::{Source, Stored, read_text, read_text_within};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// The longest index, in bytes.
const MAX_INDEX: u64 = 16 << 20;

/// A model read from its folder.
pub struct ModelFolder {
    /// The architecture.
    pub config: ModelConfig,
    /// `config.json` as it stands.
    pub config_text: String,
    /// Where parameters lie.
    pub layout: Layout,
    /// All parameters, by the layout.
    pub parameters: Parameters,
    /// The model's digest: architecture and parameters.
    pub digest: Digest,
    /// What the weights' files say of themselves.
    pub meta: Meta,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl ModelFolder {
    /// Reads a model folder. Any floating type is read; f16 and bf16 convert exactly.
    pub fn load(folder: &Path) -> Result<ModelFolder> {
        let config_path = folder.join(CONFIG);
        let config_text = read_text(&config_path)?;
        let config = ModelConfig::parse(&config_text).at(config_path.display())?;
        let files = weight_files(folder)?;
        check_room(&config, &files)?;
        let layout = Layout::new(&config);
        let (parameters, meta) = match stored_weights(&files, &layout)? {
            Some((weights, meta)) => (Parameters::Stored(weights), meta),
            None => ModelFolder::read(folder, &files, &config, &layout)?,
        };
        let digest = match &parameters {
            Parameters::Read(values) => model_digest(&config, &layout, values),
            Parameters::Stored(weights) => digest_with(&config, &weights.digest()),
        };
        check_meta(&meta, &digest).at(folder.display())?;
        Ok(ModelFolder { config, config_text, layout, parameters, digest, meta })
    }

    fn read(folder: &Path, files: &[PathBuf], config: &ModelConfig, layout: &Layout) -> Result<(Parameters, Meta)> {
        let mut parameters = vec![0f32; layout.total];
        let mut meta = Meta::default();
        let mut missing: BTreeSet<&str> = layout.tensors.iter().map(|t| t.name.as_str()).collect();
        for file in files {
            meta.0.extend(read_weights(file, config, layout, &mut parameters, &mut missing)?.0);
        }
        if let Some(name) = missing.first() {
            return Err(Error::data(format!("{}: tensor {name} is missing", folder.display())));
        }
        Ok((Parameters::Read(parameters), meta))
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

/// What the weights' files say of themselves, where they are ours: a damaged model is found before it is used.
fn check_meta(meta: &Meta, digest: &Digest) -> Result<()> {
    let ours = meta.0.keys().any(|key| key.starts_with("l402."));
    let says =
        [("kind", ArtifactKind::Model.to_string()), ("format", FORMAT_VERSION.into()), ("model", digest.to_string())];
    for (key, expected) in says {
        let found = meta.opt(key).unwrap_or("none");
        if ours && found != expected {
            return Err(Error::data(format!("model: metadata l402.{key}: expected {expected}, found {found:?}")));
        }
    }
    Ok(())
}

/// A model of petabytes announced by a small `config.json` is refused before memory is asked for.
fn check_room(config: &ModelConfig, files: &[PathBuf]) -> Result<()> {
    let mut stored = 0u64;
    for file in files {
        stored += std::fs::metadata(file).map_err(|e| Error::io(file.display(), &e))?.len();
    }
    // No floating type is below one byte an element; zstd'd weights are no part of the Hugging Face format.
    let announced = config.matrix_parameters().unwrap_or(usize::MAX) as u64;
    if announced > stored {
        return Err(Error::data(format!(
            "{}: expected {announced} parameters as config.json announces, found {stored} bytes",
            files[0].display()
        )));
    }
    Ok(())
}

fn weight_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let index = folder.join(INDEX);
    if !index.exists() {
        return Ok(vec![folder.join(WEIGHTS)]);
    }
    let parsed: Index = serde_json::from_str(&read_text_within(&index, MAX_INDEX)?)
        .map_err(|e| Error::data(format!("{}: not a weight index: {e}", index.display())))?;
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

fn read_weights(
    file: &Path,
    config: &ModelConfig,
    layout: &Layout,
    parameters: &mut [f32],
    missing: &mut BTreeSet<&str>,
) -> Result<Meta> {
    let mut reader = Reader::open_within(Source::open(file)?, layout.header_room())?;
    let meta = Meta(reader.header().metadata.clone());
    // Names and shapes before data: a compressed file of a few bytes may announce any amount of it.
    for info in &reader.header().tensors {
        match layout.find(&info.name) {
            Some(spec) => check_shape(info, spec).at(file.display())?,
            None if passed_over(config, layout, info) => {}
            None => {
                return Err(Error::data(format!(
                    "{}: tensor {}: not part of a {} model of {} layers",
                    file.display(),
                    info.name,
                    config.model_type,
                    config.num_hidden_layers
                )));
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

/// Some files carry the tied head once more, or RoPE's frequencies: no more of them than there can be.
fn passed_over(config: &ModelConfig, layout: &Layout, info: &TensorInfo) -> bool {
    let frequencies = info.name.ends_with("rotary_emb.inv_freq") && info.elements() <= config.head_dim;
    let head = config.tie_word_embeddings && info.name == "lm_head.weight";
    frequencies || head && info.shape == layout.tensors[layout.head].shape
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

/// The digest of a model: its architecture, and its parameters as one canonical file without metadata. How the
/// parameters were spread over files, and what else a file said, makes no difference.
pub fn model_digest(config: &ModelConfig, layout: &Layout, parameters: &[f32]) -> Digest {
    let tensors: Vec<_> =
        layout.tensors.iter().map(|t| (t.name.as_str(), &t.shape[..], &parameters[t.range()])).collect();
    digest_with(config, &digest_of(BTreeMap::new(), &tensors))
}

fn digest_with(config: &ModelConfig, weights: &Digest) -> Digest {
    Digest::of_parts("l402/model/1", &[&config.digest().0, &weights.0])
}

/// What the file of a model's weights says of itself: its digest, and that of the `config.json` that goes with it, to the
/// byte. Who made it how is added.
pub fn model_meta(digest: &Digest, config_text: &str) -> Result<Meta> {
    let mut meta = Meta::new(ArtifactKind::Model);
    meta.set("model", digest).set("config", Digest::of(complete_config(config_text)?.as_bytes()));
    Ok(meta)
}

/// The metadata of a first model, see [`super::initial_parameters`].
pub fn first_meta(digest: &Digest, config_text: &str, seed: u64) -> Result<Meta> {
    let mut meta = model_meta(digest, config_text)?;
    meta.set("seed", seed);
    Ok(meta)
}

/// The `config.json` that is written: what was given, completed so that other readers know what it is.
pub fn complete_config(text: &str) -> Result<String> {
    let mut value: serde_json::Value =
        serde_json::from_str(text).map_err(|e| Error::data(format!("not a model configuration: {e}")))?;
    let family = Family::of(Fields(&value))?;
    let fields = value.as_object_mut().ok_or_else(|| Error::data("the configuration is no JSON object"))?;
    fields.entry("architectures").or_insert_with(|| serde_json::json!([family.architecture()]));
    fields.entry("model_type").or_insert_with(|| "llama".into());
    if !fields.contains_key("torch_dtype") && !fields.contains_key("dtype") {
        fields.insert("dtype".into(), "float32".into());
    }
    Ok(serde_json::to_string_pretty(&value).expect("it was JSON before") + "\n")
}

/// Writes a float32 artifact with one tensor a parameter.
pub fn write_flat<W: std::io::Write>(
    name: &str,
    out: W,
    meta: Meta,
    layout: &Layout,
    flat: &[f32],
) -> Result<(W, Digest)> {
    let infos = layout.tensors.iter().map(|t| TensorInfo::f32(&t.name, &t.shape)).collect();
    let mut writer = Writer::new(name, out, Header::new(meta.0, infos))?;
    for tensor in &layout.tensors {
        writer.f32(&tensor.name, &flat[tensor.range()])?;
    }
    writer.finish()
}

/// Reads a float32 artifact with one tensor a parameter, of this layout.
pub fn read_flat(source: Source, kind: ArtifactKind, layout: &Layout) -> Result<(Meta, Vec<f32>, Digest)> {
    let mut reader = Reader::open_within(source, layout.header_room())?;
    reader.require_canonical()?;
    let meta = Meta::read(reader.name(), reader.header(), kind)?;
    reader.expect_tensors(layout.infos(""))?;
    let mut flat = Vec::new();
    for tensor in &layout.tensors {
        flat.extend(reader.next_f32(&tensor.name, &tensor.shape)?);
    }
    Ok((meta, flat, reader.finish()?))
}
