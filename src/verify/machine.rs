//! Whether this machine computes what every other does: a digest of every operator beside the golden ones.

use crate::artifact::recipe::{CodecName, CodecRecipe, OuterRecipe, OuterRule};
use crate::artifact::{Digest, TensorInfo};
use crate::codec::codec_for;
use crate::engine::{Engine, operator_digests, philox};
use crate::error::{Error, Kind, Result};
use crate::model::TensorSpec;
use crate::optimizer::{Sent, aggregate, descend};

/// `name digest` a line, sorted; remade by `just golden`.
const GOLDEN: &str = include_str!("../../testdata/golden/operators.txt");

/// One operator's digest and the golden one.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorCheck {
    /// The operator.
    pub name: String,
    /// What this machine computes.
    pub digest: Digest,
    /// What every machine must.
    pub golden: Option<Digest>,
}

impl OperatorCheck {
    /// Whether they are equal.
    pub fn holds(&self) -> bool {
        self.golden == Some(self.digest)
    }
}

/// Every operator, codec and rule that aggregates on fixed inputs, by name.
pub fn check_machine(engine: Engine) -> Result<Vec<OperatorCheck>> {
    let operators = operator_digests(engine).into_iter().map(|(name, digest)| (name.to_owned(), Digest(digest)));
    let codecs = CodecName::ALL.into_iter().map(codec_digest).collect::<Result<Vec<_>>>()?;
    let rules = OuterRule::ALL.into_iter().map(|rule| rule_digest(engine, rule)).collect::<Result<Vec<_>>>()?;
    let mut all: Vec<(String, Digest)> = operators.chain(codecs).chain(rules).collect();
    all.sort();
    Ok(all.into_iter().map(|(name, digest)| OperatorCheck { golden: golden(&name), name, digest }).collect())
}

/// Refuses a machine that computes other bits. Takes milliseconds, so every verb that trains begins with it.
pub fn require_machine(engine: Engine) -> Result<()> {
    let wrong: Vec<String> = check_machine(engine)?.into_iter().filter(|c| !c.holds()).map(|c| c.name).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Bug,
        format!(
            "this machine computes other bits than the golden ones for {}: nothing it makes can be verified",
            wrong.join(", ")
        ),
    )
    .hint("`l402 selftest` shows all digests"))
}

fn golden(name: &str) -> Option<Digest> {
    GOLDEN.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// A codec's payload and what it decodes to, for a matrix with cut blocks and a vector.
fn codec_digest(name: CodecName) -> Result<(String, Digest)> {
    let codec = codec_for(&CodecRecipe { name, ..CodecRecipe::default() });
    let mut hasher = blake3::Hasher::new();
    for (i, shape) in [&[70usize, 90][..], &[5000]].into_iter().enumerate() {
        let count = TensorInfo::f32("", shape).elements() as u64;
        let values: Vec<f32> = (0..count).map(|j| philox::normal([14, i as u32], j)).collect();
        let payload = codec.encode(shape, &values)?;
        let decoded = codec.decode(shape, &payload)?;
        hasher.update(&payload);
        decoded.iter().for_each(|v| {
            hasher.update(&v.to_le_bytes());
        });
    }
    Ok((format!("codec_{}", codec.name()), hasher.into()))
}

/// Seven updates of a matrix and a vector, a third of their values not sent, the last one ten times as large.
struct Fixed(Vec<TensorSpec>);

impl Fixed {
    fn new() -> Fixed {
        let spec = |name: &str, shape: &[usize], offset| TensorSpec { name: name.into(), shape: shape.into(), offset };
        Fixed(vec![spec("matrix", &[33, 40], 0), spec("vector", &[700], 1320)])
    }
}

impl Sent for Fixed {
    fn count(&self) -> usize {
        7
    }

    fn read(
        &mut self,
        update: usize,
        tensors: &[TensorSpec],
        take: &mut dyn FnMut(&TensorSpec, Vec<f32>),
    ) -> Result<()> {
        let size = if update == 6 { 10.0 } else { 1.0 };
        let value = |place: usize| match (place + update) % 3 {
            0 => 0.0,
            _ => size * philox::normal([15, update as u32], place as u64),
        };
        tensors.iter().for_each(|tensor| take(tensor, tensor.range().map(value).collect()));
        Ok(())
    }
}

/// What a rule makes of fixed updates, and two steps by it with Nesterov's momentum.
fn rule_digest(engine: Engine, rule: OuterRule) -> Result<(String, Digest)> {
    let faulty = if rule.counts_faulty() { 2 } else { 0 };
    let recipe = OuterRecipe { lr: 0.7, rule, faulty, momentum: 0.9, nesterov: true, ..OuterRecipe::default() };
    let mut fixed = Fixed::new();
    let tensors = fixed.0.clone();
    let made = aggregate(engine, &recipe, &tensors, &mut fixed)?.values;
    let (mut theta, mut momentum) = (vec![1.0; made.len()], vec![0.0; made.len()]);
    for _ in 0..2 {
        descend(engine, &recipe, &tensors, &mut theta, made.clone(), Some(&mut momentum))?;
    }
    let mut hasher = blake3::Hasher::new();
    for value in [made, momentum, theta].iter().flatten() {
        hasher.update(&value.to_le_bytes());
    }
    Ok((format!("outer_{}", rule.name()), hasher.into()))
}
