//! Models as Hugging Face folders: `config.json` with `model.safetensors` or a sharded index; or an adapter's, as PEFT has them,
//! beside the folder of the model that it is of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::adapter::Adapter;
use super::config::ModelConfig;
use super::decoder::Decoder;
use super::fields::Fields;
use super::forward::Model;
use super::layout::Layout;
use super::net::{Adapted, Net};
use super::parameters::Parameters;
use super::peft::{self, AdapterConfig};
use super::plan::arithmetic_of;
use super::variant::Family;
use super::weights::{Expected, WEIGHTS, check_room, weight_files};
use crate::artifact::{
    ArtifactKind, Digest, FORMAT_VERSION, Header, Meta, Reader, Recipe, TensorInfo, Writer, digest_of,
};
use crate::device::Device;
use crate::engine::Arithmetic;
use crate::error::{Context, Error, Result, plainly};
use crate::fsio::{Source, read_text};

const CONFIG: &str = "config.json";

/// A model read from its folder.
pub struct ModelFolder {
    /// The architecture.
    pub config: ModelConfig,
    /// The configuration as it stands: `config.json`, or an adapter's.
    pub config_text: String,
    /// Where the trained parameters lie.
    pub layout: Layout,
    /// They themselves, by the layout.
    pub parameters: Parameters,
    /// The model's digest: architecture and parameters; of an adapter, model, rank, scale, targets and parameters.
    pub digest: Digest,
    /// What the weights' files say of themselves.
    pub meta: Meta,
    /// What the trained parameters are beside, where they are an adapter's.
    pub base: Option<Base>,
}

/// The model that an adapter is of.
pub struct Base {
    /// Where it is.
    pub folder: PathBuf,
    /// Its `config.json` as it stands.
    pub config_text: String,
    /// Its parameters, by the layout of its configuration.
    pub parameters: Parameters,
    /// Its digest.
    pub digest: Digest,
    /// The adapter.
    pub adapter: Adapter,
}

impl ModelFolder {
    /// Reads a model folder. Any floating type is read; f16 and bf16 convert exactly. The model that an adapter is of is looked
    /// for by the name in its configuration: beside the adapter's folder, then from where the process is.
    pub fn load(folder: &Path) -> Result<ModelFolder> {
        ModelFolder::load_beside(folder, None)
    }

    /// The same, with the model that an adapter is of in the folder `base`.
    pub fn load_beside(folder: &Path, base: Option<&Path>) -> Result<ModelFolder> {
        match peft::is_adapter(folder) {
            true => ModelFolder::load_adapter(folder, base),
            false if base.is_some() => Err(Error::usage(format!(
                "--base: {} is a whole model, expected an adapter's folder",
                folder.display()
            ))),
            false => ModelFolder::load_whole(folder),
        }
    }

    fn load_whole(folder: &Path) -> Result<ModelFolder> {
        let config_path = folder.join(CONFIG);
        let config_text = read_text(&config_path)?;
        let config = ModelConfig::parse(&config_text).at(config_path.display())?;
        let files = weight_files(folder)?;
        check_room(config.matrix_parameters().unwrap_or(usize::MAX), CONFIG, &files)?;
        let layout = Layout::new(&config);
        let expected = Expected {
            layout: &layout,
            what: format!("a {} model of {} layers", config.model_type, config.num_hidden_layers),
            passed_over: &|info| passed_over(&config, info),
        };
        let (parameters, meta) = expected.read(folder, &files)?;
        let digest = digest_with(&config, &weights_digest(&layout, &parameters));
        check_meta(&meta, &digest).at(folder.display())?;
        Ok(ModelFolder { config, config_text, layout, parameters, digest, meta, base: None })
    }

    fn load_adapter(folder: &Path, base: Option<&Path>) -> Result<ModelFolder> {
        let path = folder.join(peft::CONFIG);
        let config_text = read_text(&path)?;
        let adapter = AdapterConfig::parse(&config_text).at(path.display())?;
        let place = peft::base_folder(folder, &adapter, base)?;
        if peft::is_adapter(&place) {
            return Err(Error::data(format!("{}: expected a whole model, found an adapter's folder", place.display())));
        }
        let whole = ModelFolder::load_whole(&place)?;
        let adapter = Adapter::new(&Decoder::new(&whole.config), &adapter.recipe).at(path.display())?;
        let files = [folder.join(peft::WEIGHTS)];
        check_room(adapter.layout.total, peft::CONFIG, &files)?;
        let expected = Expected {
            layout: &adapter.layout,
            what: format!("an adapter of rank {} of that model", adapter.recipe.rank),
            passed_over: &|_| false,
        };
        let (parameters, meta) = expected.read(folder, &files)?;
        if let Some(found) = meta.opt("base").filter(|found| *found != whole.digest.to_string()) {
            let (folder, place) = (folder.display(), place.display());
            return Err(Error::refused(format!(
                "{folder}: expected the model {found} that it is an adapter of, found {} in {place}",
                whole.digest
            ))
            .hint("--base names the folder of the model"));
        }
        let weights = weights_digest(&adapter.layout, &parameters);
        let digest = adapter_digest(&whole.digest, &adapter, &weights);
        check_meta(&meta, &digest).at(folder.display())?;
        Ok(ModelFolder {
            config: whole.config,
            config_text,
            layout: adapter.layout.clone(),
            parameters,
            digest,
            meta,
            base: Some(Base {
                folder: place,
                config_text: whole.config_text,
                parameters: whole.parameters,
                digest: whole.digest,
                adapter,
            }),
        })
    }

    /// The first adapter of this whole model, its parameters by `seed`. `name` is what its configuration says of where the
    /// model is.
    pub fn with_adapter(self, place: &Path, adapter: Adapter, seed: u64) -> Result<ModelFolder> {
        let parameters = adapter.initial(seed);
        let config_text = AdapterConfig { recipe: adapter.recipe.clone(), base: place.display().to_string() }.text();
        let weights = weights_digest(&adapter.layout, &Parameters::Read(parameters.clone()));
        let digest = adapter_digest(&self.digest, &adapter, &weights);
        let base = Base {
            folder: place.to_owned(),
            config_text: self.config_text,
            parameters: self.parameters,
            digest: self.digest,
            adapter,
        };
        let mut folder = ModelFolder {
            config: self.config,
            config_text,
            layout: base.adapter.layout.clone(),
            parameters: Parameters::Read(parameters),
            digest,
            meta: Meta::default(),
            base: Some(base),
        };
        folder.meta = folder.meta_of(&digest)?;
        folder.meta.set("seed", seed);
        Ok(folder)
    }

    /// All tensors, those of a model beside an adapter in memory.
    pub fn net(&self) -> Result<Net> {
        let adapted = |base: &Base| -> Result<Adapted> {
            Ok(Adapted { adapter: base.adapter.clone(), base: Arc::new(base.parameters.to_vec()?) })
        };
        let adapted = self.base.as_ref().map(adapted).transpose()?;
        Ok(Net { decoder: Decoder::new(&self.config), adapted })
    }

    /// The model for sequences of `seq_len` tokens.
    pub fn model(&self, device: impl Into<Device>, arithmetic: Arithmetic, seq_len: usize) -> Result<Model> {
        let device = device.into();
        if let Some(widest) = device.widest_head().filter(|widest| *widest < self.config.head_dim) {
            let what = format!("{}: expected heads of at most {widest} elements", device.name());
            let what = format!("{what}, the model's have {}", self.config.head_dim);
            return Err(Error::unavailable(what).hint("--device cpu computes the same bits"));
        }
        Ok(Model::of_net(self.config.clone(), self.net()?, device, arithmetic, seq_len))
    }

    /// The model that a recipe trains.
    pub fn model_of(&self, recipe: &Recipe, device: impl Into<Device>) -> Result<Model> {
        self.model(device, arithmetic_of(recipe), recipe.data.seq_len)
    }

    /// The digest of such a model with other parameters.
    pub fn digest_of(&self, parameters: &[f32]) -> Digest {
        match &self.base {
            None => model_digest(&self.config, &self.layout, parameters),
            Some(base) => adapter_digest(&base.digest, &base.adapter, &flat_digest(&self.layout, parameters)),
        }
    }

    /// What the file of such a model's weights says of itself: its digest, and that of the configuration that goes with it, to
    /// the byte; of an adapter also the model's. Who made it how is added.
    pub fn meta_of(&self, digest: &Digest) -> Result<Meta> {
        let Some(base) = &self.base else { return model_meta(digest, &self.config_text) };
        let mut meta = Meta::new(ArtifactKind::Model);
        meta.set("model", digest).set("config", Digest::of(self.config_text.as_bytes())).set("base", base.digest);
        Ok(meta)
    }

    /// The names of configuration and weights, as such a model is written.
    pub fn names(&self) -> [&'static str; 2] {
        model_names(self.base.is_some())
    }

    /// The configuration that is written.
    pub fn config_written(&self) -> Result<String> {
        if self.base.is_some() { Ok(self.config_text.clone()) } else { complete_config(&self.config_text) }
    }

    /// Refuses a model that is not what a recipe trains: whole, or an adapter of its rank, scale and targets.
    pub fn check_adapter(&self, recipe: &Recipe) -> Result<()> {
        let what = match (&recipe.adapter, &self.base) {
            (None, None) => return Ok(()),
            (None, Some(_)) => {
                let what = "model: expected a whole model, as the recipe has no [adapter], found an adapter";
                return Err(Error::refused(what).hint("`l402 merge` makes a whole model of an adapter"));
            }
            (Some(_), None) => "expected an adapter as the recipe's [adapter] says, found a whole model".to_owned(),
            (Some(adapter), Some(base)) => {
                let expected = Adapter::new(&Decoder::new(&self.config), adapter).at("recipe: adapter")?.recipe;
                let found = &base.adapter.recipe;
                if expected == *found {
                    return Ok(());
                }
                let text = |recipe| serde_json::to_string(recipe).expect("plain data");
                format!("expected the recipe's adapter {}, found {}", text(&expected), text(found))
            }
        };
        Err(Error::refused(format!("model: {what}"))
            .hint("`l402 init --recipe RECIPE --model MODEL` makes the first adapter of a model"))
    }
}

/// The names of configuration and weights, of an adapter or of a whole model, as they are written.
pub fn model_names(adapter: bool) -> [&'static str; 2] {
    if adapter { [peft::CONFIG, peft::WEIGHTS] } else { [CONFIG, WEIGHTS] }
}

/// Some files carry the tied head once more, or RoPE's frequencies: no more of them than there can be.
fn passed_over(config: &ModelConfig, info: &TensorInfo) -> bool {
    let frequencies = info.name.ends_with("rotary_emb.inv_freq") && info.elements() <= config.head_dim;
    let head = config.tie_word_embeddings && info.name == "lm_head.weight";
    frequencies || head && info.shape == [config.vocab_size, config.hidden_size]
}

/// What the weights' files say of themselves, where they are ours: a damaged model is found before it is used.
fn check_meta(meta: &Meta, digest: &Digest) -> Result<()> {
    let ours = meta.0.keys().any(|key| key.starts_with("l402."));
    let says =
        [("kind", ArtifactKind::Model.to_string()), ("format", FORMAT_VERSION.into()), ("model", digest.to_string())];
    for (key, expected) in says {
        let found = meta.opt(key);
        if ours && found != Some(expected.as_str()) {
            let found = found.map_or("none".to_owned(), |found| format!("{found:?}"));
            return Err(Error::data(format!("model: metadata l402.{key}: expected {expected}, found {found}")));
        }
    }
    Ok(())
}

/// The digest of a model: its architecture, and its parameters as one canonical file without metadata. How the
/// parameters were spread over files, and what else a file said, makes no difference.
pub fn model_digest(config: &ModelConfig, layout: &Layout, parameters: &[f32]) -> Digest {
    digest_with(config, &flat_digest(layout, parameters))
}

/// The digest of the canonical file without metadata that holds just these.
fn flat_digest(layout: &Layout, parameters: &[f32]) -> Digest {
    let tensors: Vec<_> =
        layout.tensors.iter().map(|t| (t.name.as_str(), &t.shape[..], &parameters[t.range()])).collect();
    digest_of(BTreeMap::new(), &tensors)
}

fn weights_digest(layout: &Layout, parameters: &Parameters) -> Digest {
    match parameters {
        Parameters::Read(values) => flat_digest(layout, values),
        Parameters::Stored(weights) => weights.digest(),
    }
}

fn adapter_digest(base: &Digest, adapter: &Adapter, weights: &Digest) -> Digest {
    let recipe = &adapter.recipe;
    let targets: Vec<&str> = recipe.targets.iter().map(String::as_str).collect();
    let form = [recipe.rank as u64, recipe.alpha.to_bits()].map(u64::to_le_bytes).concat();
    Digest::of_parts("l402/adapter/1", &[&base.0, &form, targets.join(",").as_bytes(), &weights.0])
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
        serde_json::from_str(text).map_err(|e| Error::data(format!("not a model configuration: {}", plainly(e))))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_an_object() {
        for (text, says) in [
            ("[]", "the configuration is no JSON object"),
            ("{", "not a model configuration: EOF while parsing an object at line 1 column 1"),
        ] {
            let error = complete_config(text).unwrap_err();
            assert_eq!((error.kind().exit_code(), error.to_string().as_str()), (65, says));
        }
    }
}
