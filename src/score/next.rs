//! The next round's model: theta' and what its file says of it, a pure function of theta, the outer momentum and the updates
//! that count.

use std::borrow::Borrow;

use crate::artifact::{Digest, Meta, Recipe};
use crate::codec::Update;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::{ModelFolder, TensorSpec};
use crate::optimizer::{Direction, Momentum, Sent, aggregate, descend};

/// A model that an outer step has made.
pub struct Next {
    /// All parameters, by the layout.
    pub parameters: Vec<f32>,
    /// The model's digest.
    pub digest: Digest,
    /// The metadata of its weights' file.
    pub meta: Meta,
    /// The outer momentum that the step leaves, where the recipe has one.
    pub momentum: Option<Momentum>,
    /// How many faulty updates the rule has withstood, where it says so.
    pub faulty: Option<usize>,
}

/// What an outer step starts from.
pub struct Step<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// The model at the start of the round.
    pub folder: &'a ModelFolder,
    /// The round.
    pub round: u64,
    /// The outer momentum that the step before has left; none is the zero state.
    pub momentum: Option<Momentum>,
}

/// Takes the outer step of a round with `count` updates by ascending worker id. `open` gives one of them, as often as the
/// rule asks for it, and it is held no longer than it is read; `each` is told of every reading. Fewer updates than the
/// recipe's quorum are none (75). Without any the model stays as it is, and so does the momentum.
pub fn next_model<U: Borrow<Update>>(
    step: Step<'_>,
    count: usize,
    open: impl Fn(usize) -> Result<U>,
    each: impl FnMut(),
) -> Result<Next> {
    let Step { recipe, folder, round, .. } = step;
    let (run, outer) = (recipe.digest(), &recipe.outer);
    let before = state_before(&step)?;
    if count < outer.quorum as usize {
        let found = format!("round {round}: {count} of {} updates that count", outer.quorum);
        return Err(Error::try_again(found).hint("once more updates count, the same command with them goes on"));
    }
    let (engine, layout) = (Engine::detect(), &folder.layout);
    let mut parameters = folder.parameters.to_vec()?;
    let mut buffer = match (outer.momentum > 0.0, step.momentum) {
        (false, _) => None,
        (true, Some(momentum)) => Some(momentum.values),
        (true, None) => Some(vec![0.0; layout.total]),
    };
    let mut sent = Opened::new(count, open, each);
    let mut how = Meta::default();
    let mut faulty = None;
    if count > 0 {
        let direction = aggregate(engine, outer, &layout.tensors, &mut sent)?;
        faulty = direction.faulty;
        how = how_made(recipe, &direction, &sent.workers);
        let tensors = &layout.tensors;
        descend(engine, outer, tensors, &mut parameters, direction.values, buffer.as_deref_mut())?;
    }
    let momentum = buffer.map(|values| Momentum::left_by(&run, round, &before, values, layout));
    let digest = folder.digest_of(&parameters);
    let mut meta = folder.meta_of(&digest)?;
    meta.set("run", run).set("round", round + 1).set("theta", folder.digest).set("workers", sent.workers.join(","));
    meta.0.extend(how.0);
    if let Some(momentum) = &momentum {
        meta.set("outer_in", before).set("outer_out", momentum.digest);
    }
    Ok(Next { parameters, digest, meta, momentum, faulty })
}

/// The digest of the outer momentum that a step begins with, `zero` for none: the one that the model names.
fn state_before(step: &Step<'_>) -> Result<String> {
    let found = step.momentum.as_ref().map_or("zero".to_owned(), |momentum| momentum.digest.to_string());
    let named = if step.round == 0 { None } else { step.folder.meta.opt("outer_out") };
    let expected = named.unwrap_or("zero");
    if found == expected {
        return Ok(found);
    }
    let what = format!("state (outer momentum): expected {expected}, which the model names, found {found}");
    Err(Error::refused(what).hint("--state names the file that the round before has left by --state-out"))
}

/// What a model says of the rule that made it, where that is not the plain mean.
fn how_made(recipe: &Recipe, direction: &Direction, workers: &[String]) -> Meta {
    let mut meta = Meta::default();
    if recipe.outer.rule != Default::default() {
        meta.set("rule", recipe.outer.rule.name());
    }
    if let Some(faulty) = direction.faulty {
        meta.set("faulty", faulty);
    }
    if let Some(chosen) = &direction.chosen {
        let names: Vec<&str> = chosen.iter().map(|i| workers[*i].as_str()).collect();
        meta.set("chosen", names.join(","));
    }
    meta
}

/// Updates that are opened whenever they are read.
pub(super) struct Opened<O, E> {
    count: usize,
    open: O,
    each: E,
    /// Whose they are.
    workers: Vec<String>,
}

impl<O, E> Opened<O, E> {
    /// So many updates by ascending worker id; `open` gives one, `each` is told of every reading.
    pub(super) fn new(count: usize, open: O, each: E) -> Opened<O, E> {
        Opened { count, open, each, workers: vec![String::new(); count] }
    }
}

impl<U: Borrow<Update>, O: Fn(usize) -> Result<U>, E: FnMut()> Sent for Opened<O, E> {
    fn count(&self) -> usize {
        self.count
    }

    fn read(
        &mut self,
        update: usize,
        tensors: &[TensorSpec],
        take: &mut dyn FnMut(&TensorSpec, Vec<f32>),
    ) -> Result<()> {
        let opened = (self.open)(update)?;
        let opened = opened.borrow();
        if self.workers[update].is_empty() {
            self.workers[update] = opened.worker().to_owned();
        }
        for tensor in tensors {
            take(tensor, opened.decode(&tensor.name)?);
        }
        (self.each)();
        Ok(())
    }
}
