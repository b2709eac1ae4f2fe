//! Low-rank adapters (LoRA, 2106.09685): a linear layer gives x·Wᵀ + s·(x·Aᵀ)·Bᵀ, and A and B alone are trained.

use std::collections::BTreeSet;

use super::decoder::Decoder;
use super::layout::{Layout, TensorSpec};
use crate::artifact::Digest;
use crate::artifact::recipe::AdapterRecipe;
use crate::engine::philox;
use crate::error::{Error, Result};

/// What PEFT puts before the name of a model's tensor.
const PREFIX: &str = "base_model.model.";

/// A linear layer's two factors, as indices into the adapter's layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// `lora_A` \[rank × in\]
    pub a: usize,
    /// `lora_B` \[out × rank\]
    pub b: usize,
}

/// The parameters of an adapter, and which linear layer has which.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// Where they lie, by PEFT's names.
    pub layout: Layout,
    /// Rank, alpha, and the targets, all of them spelled out.
    pub recipe: AdapterRecipe,
    /// By the decoder's layout.
    pairs: Vec<Option<Pair>>,
}

impl Adapter {
    /// The adapter of a decoder. A target that no linear layer of it is called is refused.
    pub fn new(decoder: &Decoder, recipe: &AdapterRecipe) -> Result<Adapter> {
        recipe.check("")?;
        let known: BTreeSet<&str> = decoder.layout.tensors.iter().filter_map(target).collect();
        if let Some(other) = recipe.targets.iter().find(|name| !known.contains(name.as_str())) {
            let names: Vec<&str> = known.into_iter().collect();
            return Err(Error::data(format!("targets: expected of {}, found {other:?}", names.join(", "))));
        }
        let targets = match recipe.targets.is_empty() {
            true => known.into_iter().map(str::to_owned).collect(),
            false => recipe.targets.clone(),
        };
        let has = |tensor: &TensorSpec| target(tensor).is_some_and(|name| targets.contains(name));
        let mut shapes = Vec::new();
        for tensor in decoder.layout.tensors.iter().filter(|tensor| has(tensor)) {
            let [a, b] = names(tensor);
            shapes.push((a, vec![recipe.rank, tensor.shape[1]]));
            shapes.push((b, vec![tensor.shape[0], recipe.rank]));
        }
        let layout = Layout::of_shapes(shapes);
        let pair = |tensor: &TensorSpec| {
            let [a, b] = names(tensor).map(|name| layout.id(&name).expect("it is in the list"));
            Pair { a, b }
        };
        let pairs = decoder.layout.tensors.iter().map(|tensor| has(tensor).then(|| pair(tensor))).collect();
        Ok(Adapter { pairs, recipe: AdapterRecipe { targets, ..*recipe }, layout })
    }

    /// The factors of a linear layer, by its weight's place in the decoder's layout.
    pub fn pair(&self, weight: usize) -> Option<Pair> {
        self.pairs[weight]
    }

    /// The linear layers that have factors, by their weights' places.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, Pair)> + '_ {
        self.pairs.iter().enumerate().filter_map(|(weight, pair)| Some((weight, (*pair)?)))
    }

    /// The first parameters, as PEFT makes them: A uniform within 1/sqrt(in) of zero, each element a function of seed, name and
    /// index (A6); B zero, so that the model gives what it gave.
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        let mut flat = vec![0f32; self.layout.total];
        for (_, Pair { a, .. }) in self.pairs() {
            let tensor = &self.layout.tensors[a];
            let key = Digest::of_parts("l402/init/adapter/1", &[&seed.to_le_bytes(), tensor.name.as_bytes()]);
            let (key, bound) = (key.philox_key(), 1.0 / libm::sqrt(tensor.shape[1] as f64));
            for (i, value) in flat[tensor.range()].iter_mut().enumerate() {
                let [low, high, ..] = philox::philox(key, [i as u32, (i as u64 >> 32) as u32, 0, 0]);
                let bits = u64::from(high) << 32 | u64::from(low);
                let part = (bits >> 11) as f64 / 9_007_199_254_740_992.0;
                *value = ((2.0 * part - 1.0) * bound) as f32;
            }
        }
        flat
    }
}

/// What a linear layer of a decoder's layer is called as a target; `None` for other tensors.
fn target(tensor: &TensorSpec) -> Option<&str> {
    let module = tensor.name.strip_suffix(".weight")?.rsplit('.').next()?;
    module.ends_with("_proj").then_some(module)
}

/// The names of A and B.
fn names(weight: &TensorSpec) -> [String; 2] {
    let module = weight.name.strip_suffix(".weight").expect("a linear layer's weight");
    ["lora_A", "lora_B"].map(|factor| format!("{PREFIX}{module}.{factor}.weight"))
}
