//! Whether this machine computes what every other does: a digest of every operator beside the golden ones.

use crate::artifact::recipe::{CodecName, CodecRecipe};
use crate::artifact::{Digest, TensorInfo};
use crate::codec::codec_for;
use crate::engine::{Engine, operator_digests, philox};
use crate::error::{Error, Kind, Result};

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

/// Every operator and codec on fixed inputs, by name.
pub fn check_machine(engine: Engine) -> Result<Vec<OperatorCheck>> {
    let operators = operator_digests(engine).into_iter().map(|(name, digest)| (name.to_owned(), Digest(digest)));
    let codecs = CodecName::ALL.into_iter().map(codec_digest).collect::<Result<Vec<_>>>()?;
    let mut all: Vec<(String, Digest)> = operators.chain(codecs).collect();
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
