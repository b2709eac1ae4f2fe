//! Recipes: everything that decides a run's bits, in one TOML file.
//!
//! The digest of the canonical form is the run's id. Canonical means parsed: spelled-out defaults, comments
//! and layout change nothing, any value does.

mod adapter;
mod codec;
mod outer;
mod pay;
mod rules;
mod score;
mod verify;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::canonical;
use super::digest::Digest;
use crate::error::{Error, Result, plainly};
use crate::fsio::read_text;

use self::rules::{Broken, Rules};

pub use adapter::AdapterRecipe;
pub use codec::{CodecName, CodecRecipe};
pub use outer::{OuterRecipe, OuterRule};
pub use pay::{PayName, PayRecipe};
pub use score::{ScoreRecipe, Validator};
pub use verify::{Accept, Beacons, VerifyRecipe};

/// A run's recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The arithmetic contract, 1 or 2.
    pub arithmetic: u32,
    /// A name for people.
    pub name: String,
    /// Separates runs that are otherwise alike.
    #[serde(default)]
    pub seed: u64,
    /// Where theta_0 comes from.
    #[serde(default)]
    pub model: ModelRecipe,
    /// The adapter that is trained in place of the whole model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<AdapterRecipe>,
    /// Tokens.
    pub data: DataRecipe,
    /// The worker's inner steps.
    pub inner: InnerRecipe,
    /// How a pseudo-gradient is sent.
    #[serde(default)]
    pub codec: CodecRecipe,
    /// How updates are checked.
    #[serde(default)]
    pub verify: VerifyRecipe,
    /// How accepted updates become the next model.
    #[serde(default)]
    pub outer: OuterRecipe,
    /// How updates are measured.
    #[serde(default)]
    pub score: ScoreRecipe,
    /// What a round pays.
    #[serde(default)]
    pub pay: PayRecipe,
}

/// The model at the start: the digest of theta_0, as `l402 init` and `l402 inspect` print it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecipe {
    /// Digest of the model folder of round 0; empty while it is not decided.
    #[serde(default)]
    pub theta_0: String,
}

/// Tokens and their shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRecipe {
    /// `bytes`, or the BLAKE3 digest of the `tokenizer.json`.
    pub tokenizer: String,
    /// Tokens a sequence, targets not counted.
    pub seq_len: usize,
}

/// AdamW and its schedule (Loshchilov & Hutter, 1711.05101).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InnerRecipe {
    /// Inner steps a round (H).
    pub steps: u32,
    /// Sequences a step.
    pub batch: usize,
    /// Contiguous groups of a batch whose gradients are separate chains (A4).
    #[serde(default = "one")]
    pub grad_groups: usize,
    /// Peak learning rate.
    pub lr: f64,
    /// The learning rate's course over all rounds.
    #[serde(default)]
    pub schedule: Schedule,
    /// Steps of linear warm-up.
    #[serde(default)]
    pub warmup: u64,
    /// Steps after which a cosine has reached its floor; 0 with a constant schedule.
    #[serde(default)]
    pub decay_steps: u64,
    /// The floor as a part of the peak.
    #[serde(default)]
    pub min_lr_ratio: f64,
    /// First moment's decay.
    #[serde(default = "default_beta1")]
    pub beta1: f64,
    /// Second moment's decay.
    #[serde(default = "default_beta2")]
    pub beta2: f64,
    /// Added to the denominator.
    #[serde(default = "default_eps")]
    pub eps: f64,
    /// Decoupled weight decay, on matrices only.
    #[serde(default)]
    pub weight_decay: f64,
    /// Largest norm of the whole gradient.
    #[serde(default = "one_f64")]
    pub clip: f64,
    /// Whether the moments go on from round to round.
    #[serde(default)]
    pub state: InnerState,
}

/// The learning rate's course.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// The peak, after the warm-up.
    #[default]
    Constant,
    /// Half a cosine from the peak to the floor.
    Cosine,
}

/// What becomes of the inner optimiser's moments at the end of a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InnerState {
    /// Every round begins from zero moments.
    #[default]
    Reset,
    /// A worker's moments go on in its state file.
    Carry,
}

fn one() -> usize {
    1
}
fn one_f64() -> f64 {
    1.0
}
fn default_beta1() -> f64 {
    0.9
}
fn default_beta2() -> f64 {
    0.95
}
fn default_eps() -> f64 {
    1e-8
}
impl Recipe {
    /// Whether a worker's round begins with what its last one left: moments, or error feedback that is added.
    pub fn carries_state(&self) -> bool {
        self.inner.state == InnerState::Carry || self.codec.feedback > 0.0
    }

    /// Reads and checks a recipe file.
    pub fn load(path: &Path) -> Result<Recipe> {
        Recipe::parse(&read_text(path)?).map_err(|e| e.at(path.display()))
    }

    /// Parses and checks a recipe.
    pub fn parse(text: &str) -> Result<Recipe> {
        let recipe: Recipe = toml::from_str(text).map_err(|e| not_a_recipe(text, &e))?;
        recipe.rules().hold().map_err(|error| recipe.with_value(error))?;
        Ok(recipe)
    }

    /// Adds what a field says to the error that names it and what was expected.
    fn with_value(&self, error: Error) -> Error {
        let message = error.to_string();
        let field = message.split_once(": expected").map(|(field, _)| field);
        let value = self.values();
        let value = field.and_then(|field| field.split('.').try_fold(&value, |table, name| table.get(name)));
        match value {
            // JSON has no infinity, and no NaN.
            Some(Value::Null) => Error::data(format!("{message}, found no finite number")),
            Some(value) if !message.contains(", found ") => Error::data(format!("{message}, found {value}")),
            _ => error,
        }
    }

    /// Which fields are not what they must be.
    pub(super) fn broken(&self) -> Vec<Broken> {
        self.rules().broken()
    }

    /// The run's id: BLAKE3 of the canonical form.
    pub fn digest(&self) -> Digest {
        Digest::of_parts("l402/recipe/1", &[self.canonical().as_bytes()])
    }

    /// Every field with its value, defaults spelled out, by table.
    pub fn values(&self) -> Value {
        serde_json::to_value(self).expect("a recipe is plain data")
    }

    /// Sorted JSON with every default spelled out and every float as its 64 bits in hex.
    fn canonical(&self) -> String {
        let mut value = self.values();
        floats_to_bits(&mut value);
        canonical::json(&value)
    }

    /// Refuses another model than theta_0 in round 0, where the recipe names it.
    pub fn check_first(&self, round: u64, theta: &str) -> Result<()> {
        let theta_0 = &self.model.theta_0;
        if round > 0 || theta_0.is_empty() || theta_0 == theta {
            return Ok(());
        }
        Err(Error::refused(format!("model: expected digest {theta_0}, the recipe's theta_0, found {theta}")))
    }

    /// What `verify.accept` lets count must be checked by something.
    fn ask_accepted(&self, rules: &mut Rules) {
        let VerifyRecipe { accept, chunks, .. } = self.verify;
        rules.require_beside(
            accept == Accept::Exact || chunks > 0,
            "verify.chunks",
            &ACCEPT,
            "at least 1 where verify.accept is not \"exact\"",
        );
        // They would go into the next update as they are.
        let near = accept == Accept::Near;
        let why = "with verify.accept = \"near\", as no replay checks a foreign engine's states";
        rules.require_beside(!near || self.codec.feedback == 0.0, "codec.feedback", &ACCEPT, &format!("0 {why}"));
        let reset = self.inner.state == InnerState::Reset;
        rules.require_beside(!near || reset, "inner.state", &ACCEPT, &format!("\"reset\" {why}"));
    }

    /// What the fields of a recipe must be, and which are not.
    fn rules(&self) -> Rules {
        let mut rules = Rules::default();
        let inner = &self.inner;
        rules.require([1, 2].contains(&self.arithmetic), "arithmetic", "1 (float32 chains) or 2 (exact integers)");
        rules.require(self.name.len() <= 64, "name", "at most 64 bytes");
        let theta = &self.model.theta_0;
        rules.require(theta.is_empty() || theta.parse::<Digest>().is_ok(), "model.theta_0", "64 hex digits");
        let tokenizer = &self.data.tokenizer;
        rules.require(
            tokenizer == "bytes" || tokenizer.parse::<Digest>().is_ok(),
            "data.tokenizer",
            "\"bytes\" or 64 hex digits",
        );
        let count = |n: usize, max: usize| (1..=max).contains(&n);
        rules.require(count(self.data.seq_len, 1 << 20), "data.seq_len", "1 to 2^20");
        rules.require(count(inner.steps as usize, 1 << 24), "inner.steps", "1 to 2^24");
        rules.require(count(inner.batch, 1 << 20), "inner.batch", "1 to 2^20");
        rules.require_beside(
            count(inner.grad_groups, inner.batch) && inner.batch.is_multiple_of(inner.grad_groups),
            "inner.grad_groups",
            &["inner.batch"],
            "a divisor of inner.batch",
        );
        let within = |v: f64, low: f64, high: f64| v.is_finite() && (low..=high).contains(&v);
        rules.require(within(inner.lr, 0.0, 1e3), "inner.lr", "0 to 1000");
        rules.require(within(inner.min_lr_ratio, 0.0, 1.0), "inner.min_lr_ratio", "0 to 1");
        rules.require(within(inner.beta1, 0.0, 0.999_999), "inner.beta1", "0 to below 1");
        rules.require(within(inner.beta2, 0.0, 0.999_999), "inner.beta2", "0 to below 1");
        rules.require(within(inner.eps, 1e-30, 1.0), "inner.eps", "1e-30 to 1");
        rules.require(within(inner.weight_decay, 0.0, 1e3), "inner.weight_decay", "0 to 1000");
        rules.require(within(inner.clip, 1e-30, 1e30), "inner.clip", "above 0");
        rules.require_beside(
            inner.schedule == Schedule::Constant || inner.decay_steps > inner.warmup,
            "inner.decay_steps",
            &["inner.schedule", "inner.warmup"],
            "more than inner.warmup with a cosine schedule",
        );
        rules.require(count(self.codec.top_k, 4096), "codec.top_k", "1 to 4096");
        rules.require(within(self.codec.feedback, 0.0, 1.0), "codec.feedback", "0 to 1");
        rules.require(count(self.verify.leaf_every as usize, 1 << 24), "verify.leaf_every", "1 to 2^24");
        rules.require(self.verify.tolerance_ppm <= 1_000_000, "verify.tolerance_ppm", "at most 1000000");
        rules.require(self.verify.segments > 0, "verify.segments", "at least 1");
        self.ask_accepted(&mut rules);
        rules.require_beside(
            self.verify.beacons != Some(Beacons::Free) || self.pay.round_msat == 0,
            "verify.beacons",
            &["pay.round_msat"],
            "\"blocks\" where a round pays",
        );
        if let Some(adapter) = &self.adapter {
            adapter.ask("adapter.", &mut rules);
        }
        self.outer.ask(&mut rules);
        self.score.ask(&mut rules);
        self.pay.ask(&mut rules);
        rules
    }
}

/// What lets an update count.
const ACCEPT: [&str; 1] = ["verify.accept"];

/// What is wrong with a text: line and column as the parser has them, or the table that lacks a field.
fn not_a_recipe(text: &str, error: &toml::de::Error) -> Error {
    let Some(field) = error.message().strip_prefix("missing field ") else {
        let what = plainly(error.message().replace('\n', ", "));
        return Error::data(format!("not a recipe: {}{what}", place(text, error)));
    };
    let table = text.parse().ok().and_then(|table| lacking(&table));
    let what = match (table, field) {
        (Some(table), _) => format!("{field} in [{table}]"),
        (None, "`data`" | "`inner`") => format!("table [{}]", field.trim_matches('`')),
        (None, _) => format!("{field}, before the first table"),
    };
    Error::data(format!("not a recipe: expected {what}, found none")).hint("docs/recipe.md lists all fields")
}

/// The table that lacks a field it must have.
fn lacking(recipe: &toml::Table) -> Option<&'static str> {
    fn lacks<T: serde::de::DeserializeOwned>(value: &toml::Value) -> bool {
        value.clone().try_into::<T>().is_err_and(|error| error.message().starts_with("missing field"))
    }
    let lacking = |name: &&str| {
        recipe.get(*name).is_some_and(|table| match *name {
            "data" => lacks::<DataRecipe>(table),
            "inner" => lacks::<InnerRecipe>(table),
            "adapter" => lacks::<AdapterRecipe>(table),
            _ => lacks::<ScoreRecipe>(table),
        })
    };
    ["data", "inner", "adapter", "score"].into_iter().find(lacking)
}

/// Where an error is: its line and column, from 1.
fn place(text: &str, error: &toml::de::Error) -> String {
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return String::new() };
    let (line, start) = (before.split('\n').count(), before.rsplit('\n').next().unwrap_or(before));
    format!("line {line}, column {}: ", start.chars().count() + 1)
}

fn floats_to_bits(value: &mut Value) {
    match value {
        Value::Number(n) if n.is_f64() => {
            let bits = n.as_f64().expect("checked").to_bits();
            *value = Value::String(format!("f64:{bits:016x}"));
        }
        Value::Array(values) => values.iter_mut().for_each(floats_to_bits),
        Value::Object(map) => map.values_mut().for_each(floats_to_bits),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
