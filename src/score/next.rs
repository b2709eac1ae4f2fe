//! The next round's model: theta' and what its file says of it, a pure function of theta and the updates that count.

use std::borrow::Borrow;

use crate::artifact::{Digest, Meta, Recipe};
use crate::codec::Update;
use crate::engine::Engine;
use crate::error::Result;
use crate::model::{ModelFolder, model_digest, model_meta};
use crate::optimizer::OuterSum;

/// A model that an outer step has made.
pub struct Next {
    /// All parameters, by the layout.
    pub parameters: Vec<f32>,
    /// The model's digest.
    pub digest: Digest,
    /// The metadata of its weights' file.
    pub meta: Meta,
}

/// Takes the outer step of a round with `count` updates by ascending worker id. `open` gives one of them, which is held
/// no longer than it is added; `each` is told when it is.
pub fn next_model<U: Borrow<Update>>(
    recipe: &Recipe,
    folder: &ModelFolder,
    round: u64,
    count: usize,
    open: impl Fn(usize) -> Result<U>,
    mut each: impl FnMut(),
) -> Result<Next> {
    let (engine, layout) = (Engine::detect(), &folder.layout);
    let (mut sum, mut workers) = (OuterSum::default(), Vec::new());
    for i in 0..count {
        let update = open(i)?;
        let update = update.borrow();
        sum.add(engine, layout, |name| update.decode(name))?;
        workers.push(update.worker().to_owned());
        each();
    }
    let mut parameters = folder.parameters.to_vec();
    sum.step(engine, layout, &mut parameters, recipe.outer.lr as f32)?;
    let digest = model_digest(&folder.config, layout, &parameters);
    let mut meta = model_meta(&digest, &folder.config_text)?;
    meta.set("run", recipe.digest())
        .set("round", round + 1)
        .set("theta", folder.digest)
        .set("workers", workers.join(","));
    Ok(Next { parameters, digest, meta })
}
