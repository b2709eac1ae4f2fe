//! The models: the first one against the recipe and, where it is a random one, made again; the next ones to the byte.

use std::collections::BTreeSet;

use super::differs::{Checked, blame, differs, near, same, wrong};
use super::folder::RunFolder;
use crate::artifact::{Digest, Meta, Reader, Recipe};
use crate::model::{ModelConfig, ModelFolder, initial_parameters, model_names, write_flat};
use crate::score::Next;

/// The names of configuration and weights of a round's model, whole or an adapter's.
fn names(recipe: &Recipe, round: u64) -> (String, String) {
    let [config, weights] = model_names(recipe.adapter.is_some());
    (format!("theta-{round}/{config}"), format!("theta-{round}/{weights}"))
}

/// The file of a model's weights.
pub fn weights(recipe: &Recipe, round: u64) -> String {
    names(recipe, round).1
}

/// The content digest of the weights' file of a model that was checked.
pub fn weights_digest(run: &RunFolder, recipe: &Recipe, round: u64) -> Checked<Digest> {
    let room = open(run, recipe, round)?.layout.file_room(1);
    run.digest(&weights(recipe, round), room)
}

/// Opens a model that was checked.
pub fn open(run: &RunFolder, recipe: &Recipe, round: u64) -> Checked<ModelFolder> {
    let (folder, weights) = (format!("theta-{round}"), weights(recipe, round));
    let found = blame(&weights, ModelFolder::load(&run.path(&folder)))?;
    blame(&weights, found.check_adapter(recipe))?;
    Ok(found)
}

/// The first model.
pub fn check_first(run: &RunFolder, recipe: &Recipe) -> Checked<ModelFolder> {
    let (config, weights) = names(recipe, 0);
    let text = run.text(&config)?;
    let ours = match run.has(&weights) {
        true => {
            let reader = blame(&weights, Reader::open(run.source(&weights)?))?;
            let meta = Meta(reader.header().metadata.clone());
            meta.0.keys().any(|key| key.starts_with("l402.")).then_some(meta)
        }
        // A sharded model of somebody else's.
        false => None,
    };
    if let Some(bound) = ours.as_ref().and_then(|meta| meta.opt("config")) {
        let found = Digest::of(text.as_bytes()).to_string();
        if found != bound {
            return match near(bound, &found) {
                true => differs(&weights, "metadata l402.config", found, bound),
                false => differs(&config, "digest", bound, found),
            };
        }
    }
    if recipe.adapter.is_none() {
        blame(&config, ModelConfig::parse(&text))?;
    }
    check_base(run, ours.as_ref())?;
    let folder = open(run, recipe, 0)?;
    let theta_0 = &recipe.model.theta_0;
    if !theta_0.is_empty() && *theta_0 != folder.digest.to_string() {
        let found = folder.digest.to_string();
        return match near(theta_0, &found) {
            true => differs("run.toml", "model.theta_0", found, theta_0),
            false => differs(&weights, "digest of the model", theta_0, found),
        };
    }
    if let Some(meta) = ours {
        check_ours(run, &folder, &weights, &meta)?;
    }
    Ok(folder)
}

/// The model in the run's folder that adapters are of is the one that the first of them names.
fn check_base(run: &RunFolder, first: Option<&Meta>) -> Checked<()> {
    let [config, weights] = model_names(false).map(|name| format!("base/{name}"));
    let Some(expected) = first.and_then(|meta| meta.opt("base")).filter(|_| run.has(&config)) else { return Ok(()) };
    let found = blame(&weights, ModelFolder::load(&run.path("base")))?.digest.to_string();
    if found == expected { Ok(()) } else { differs(&weights, "digest of the model", expected, found) }
}

/// What `init` or an outer step has written says nothing else, and random weights are those of their seed.
fn check_ours(run: &RunFolder, folder: &ModelFolder, weights: &str, meta: &Meta) -> Checked<()> {
    if meta.opt("seed").is_none() {
        let known: BTreeSet<&str> = [
            "format",
            "l402.kind",
            "l402.format",
            "l402.model",
            "l402.config",
            "l402.run",
            "l402.round",
            "l402.theta",
            "l402.base",
        ]
        .into_iter()
        .chain(["l402.workers", "l402.rule", "l402.faulty", "l402.chosen", "l402.outer_in", "l402.outer_out"])
        .collect();
        if let Some(key) = meta.0.keys().find(|key| !known.contains(key.as_str())) {
            return wrong(weights, format!("metadata {key}: expected no such key"));
        }
        return same(weights, "metadata format", "pt", meta.0.get("format").map_or("none", String::as_str));
    }
    let seed = blame(weights, meta.number(weights, "seed"))?;
    let layout = &folder.layout;
    let parameters = match &folder.base {
        None => initial_parameters(&folder.config, layout, seed),
        Some(base) => base.adapter.initial(seed),
    };
    let digest = folder.digest_of(&parameters);
    let mut first = folder.meta_of(&digest)?;
    first.set("seed", seed);
    let expected = write_flat("model", std::io::sink(), first, layout, &parameters)?.1;
    let found = run.digest(weights, layout.file_room(1))?;
    if expected != found {
        let what = if digest == folder.digest { "its metadata" } else { "the random weights of its seed" };
        return differs(weights, format!("{what}: digest of the file"), expected, found);
    }
    Ok(())
}

/// The model after a round, to the byte; returns the digest of its weights' file.
pub fn check_next(run: &RunFolder, recipe: &Recipe, folder: &ModelFolder, next: &Next, round: u64) -> Checked<Digest> {
    let (config, weights) = names(recipe, round + 1);
    let expected = folder.config_written()?;
    let found = run.text(&config)?;
    if expected != found {
        return differs(&config, "digest", Digest::of(expected.as_bytes()), Digest::of(found.as_bytes()));
    }
    let expected = write_flat("model", std::io::sink(), next.meta.clone(), &folder.layout, &next.parameters)?.1;
    same(&weights, "digest", expected, run.digest(&weights, folder.layout.file_room(1))?)?;
    Ok(expected)
}
