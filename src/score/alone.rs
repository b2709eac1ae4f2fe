//! What a model alone says of a text: the number that people compare.

use super::gain::sequence_losses;
use crate::data::{Shard, Tokenizer};
use crate::device::Device;
use crate::engine::Arithmetic;
use crate::error::Result;
use crate::model::{KeptWeights, ModelFolder, Plan, Workspace};

/// A model's loss on all sequences of a shard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelLoss {
    /// The sum over all tokens in nats, 32.32 fixed point.
    pub sum_q32: i128,
    /// Sequences.
    pub sequences: u64,
    /// Tokens whose loss was measured: all targets, of conversations those that are trained.
    pub tokens: u64,
    /// Bytes of text that they stand for, where the shard's tokenizer is at hand.
    pub bytes: Option<u64>,
}

impl ModelLoss {
    /// Nats a token.
    pub fn nats(&self) -> f64 {
        self.sum_q32 as f64 / 4_294_967_296.0 / self.tokens as f64
    }

    /// e to the nats a token.
    pub fn perplexity(&self) -> f64 {
        libm::exp(self.nats())
    }

    /// Bits that a byte of text takes, which is comparable between tokenizers.
    pub fn bits_a_byte(&self) -> Option<f64> {
        let bytes = self.bytes.filter(|bytes| *bytes > 0)?;
        Some(self.sum_q32 as f64 / 4_294_967_296.0 / std::f64::consts::LN_2 / bytes as f64)
    }
}

/// Measures a model on a shard whose vocabulary it has. `watch` is told how many micro-batches there are, and of each.
pub fn model_loss(
    folder: &ModelFolder,
    shard: &Shard,
    tokenizer: Option<&Tokenizer>,
    arithmetic: Arithmetic,
    device: Device,
    mut watch: impl FnMut(Option<usize>),
) -> Result<ModelLoss> {
    let all: Vec<usize> = (0..shard.sequences()).collect();
    let model = folder.model(device, arithmetic, shard.seq_len())?;
    let budget = model.device.budget(4 * folder.layout.total as u64)?.unwrap_or(u64::MAX);
    let plan = Plan::evaluation_at(model.device.pace(), &folder.config, arithmetic, shard.seq_len(), all.len(), budget);
    let micro_batches = all.len().div_ceil(plan.sequences);
    let plan = plan.keeping_weights(&folder.config, arithmetic, micro_batches, budget);
    let mut workspace = Workspace::new(&model.device, &folder.config, plan);
    let mut weights = KeptWeights::new(&model.net, &plan);
    let parameters = folder.parameters.to_vec()?;
    let held = model.device.hold(&parameters);
    let parameters = model.fix_in(&mut weights, held.part());
    watch(Some(micro_batches));
    let losses = sequence_losses(&model, &plan, &mut workspace, &parameters, shard, &all, || watch(None))?;
    let bytes = tokenizer.map(|tokenizer| {
        // Of a conversation, the text that was trained on.
        let targets = |s: usize| match shard.mask(s) {
            [] => shard.sequence(s).skip(1).collect::<Vec<u32>>(),
            mask => shard.sequence(s).zip(mask).filter(|(_, mask)| **mask == 1).map(|(id, _)| id).collect(),
        };
        all.iter().map(|sequence| tokenizer.text_bytes(&targets(*sequence))).sum::<Result<u64>>()
    });
    Ok(ModelLoss {
        sum_q32: losses.iter().sum(),
        sequences: all.len() as u64,
        tokens: shard.targets(&all) as u64,
        bytes: bytes.transpose()?,
    })
}
