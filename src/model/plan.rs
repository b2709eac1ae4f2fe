//! How much memory a pass takes, decided before the first step. The plan never changes a bit of the result.

use super::config::ModelConfig;
use super::layer_acts::LayerActs;
use super::transient::{Kept, Pass, Transient};
use crate::artifact::Recipe;
use crate::device::Pace;
use crate::engine::Arithmetic;

/// Rows that a chunk of logits has at the least: fewer, and a head of hundreds of megabytes is read through memory too
/// often (measured at a vocabulary of 151936: 1.1x the speed of 64 rows).
const LOGIT_ROWS: usize = 256;

/// The shape of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Sequences of a micro-batch.
    pub sequences: usize,
    /// Tokens of a sequence.
    pub seq_len: usize,
    /// Whether there is a backward pass.
    pub backward: bool,
    /// Whether layers are computed again on the way back.
    pub recompute: bool,
    /// Tokens whose logits exist at a time.
    pub logit_rows: usize,
    /// The rank of an adapter, 0 without one.
    pub rank: usize,
    /// The weights whose integers are kept.
    pub kept: Kept,
    pub(super) transient: Transient,
}

impl Plan {
    /// A plan for training on the host: at most `batch` sequences at a time, activations within `budget` bytes where
    /// computing layers again, then smaller micro-batches, can achieve it.
    pub fn training(
        config: &ModelConfig,
        seq_len: usize,
        batch: usize,
        micro_batch: Option<usize>,
        budget: u64,
    ) -> Plan {
        Plan::training_at((Pace::HOST, Arithmetic::Float), 0, config, seq_len, batch, micro_batch, budget)
    }

    fn training_at(
        (pace, arithmetic): (Pace, Arithmetic),
        rank: usize,
        config: &ModelConfig,
        seq_len: usize,
        batch: usize,
        micro_batch: Option<usize>,
        budget: u64,
    ) -> Plan {
        let wished = micro_batch.unwrap_or(pace.tokens.div_ceil(seq_len)).clamp(1, batch);
        let plan = |sequences: usize, recompute: bool| Plan {
            sequences,
            seq_len,
            backward: true,
            recompute,
            logit_rows: logit_rows(pace, config, sequences * seq_len),
            rank,
            kept: Kept::Nothing,
            transient: Transient::of(pace, arithmetic),
        };
        let fits = |plan: &Plan| plan.bytes(config) <= budget;
        let keep = plan(wished, false);
        if fits(&keep) {
            return keep;
        }
        let sizes = (1..=wished).rev().filter(|_| micro_batch.is_none());
        sizes.map(|n| plan(n, true)).find(fits).unwrap_or(plan(if micro_batch.is_some() { wished } else { 1 }, true))
    }

    /// The plan for the steps of a recipe on the host, with memory of `budget` bytes for activations.
    pub fn of(recipe: &Recipe, config: &ModelConfig, micro_batch: Option<usize>, budget: u64) -> Plan {
        Plan::of_at(Pace::HOST, recipe, config, micro_batch, budget)
    }

    /// The same for a device of this pace.
    pub fn of_at(pace: Pace, recipe: &Recipe, config: &ModelConfig, micro_batch: Option<usize>, budget: u64) -> Plan {
        let inner = &recipe.inner;
        let group = inner.batch / inner.grad_groups;
        let rank = recipe.adapter.as_ref().map_or(0, |adapter| adapter.rank);
        let arithmetic = arithmetic_of(recipe);
        let plan = Plan::training_at((pace, arithmetic), rank, config, recipe.data.seq_len, group, micro_batch, budget);
        // The model beside an adapter stays from step to step.
        let steps = if recipe.adapter.is_some() { inner.steps as usize } else { 1 };
        let micro_batches = steps * inner.grad_groups * group.div_ceil(plan.sequences);
        plan.keeping_weights(config, arithmetic, micro_batches, budget)
    }

    /// Keeps the integers of weights where products make some, several of a step use them, and `budget` bytes suffice for them and
    /// the activations: of all weights for several micro-batches or layers that are computed again, of the head for several chunks
    /// of logits.
    pub fn keeping_weights(
        self,
        config: &ModelConfig,
        arithmetic: Arithmetic,
        micro_batches: usize,
        budget: u64,
    ) -> Plan {
        let again = micro_batches > 1 || (self.backward && self.recompute);
        let wanted = [(Kept::All, again), (Kept::Head, again || self.tokens() > self.logit_rows)];
        let plans = wanted.into_iter().filter(|(_, wanted)| *wanted && arithmetic == Arithmetic::Integer);
        let mut plans = plans.map(|(kept, _)| Plan { kept, ..self });
        plans.find(|plan| plan.bytes(config) <= budget).unwrap_or(self)
    }

    /// A plan for losses alone, on the host.
    pub fn evaluation(config: &ModelConfig, seq_len: usize, sequences: usize) -> Plan {
        Plan::evaluation_at(Pace::HOST, config, Arithmetic::Float, seq_len, sequences, u64::MAX)
    }

    /// The same for a device of this pace, within `budget` bytes where fewer sequences at a time can achieve it.
    pub fn evaluation_at(
        pace: Pace,
        config: &ModelConfig,
        arithmetic: Arithmetic,
        seq_len: usize,
        sequences: usize,
        budget: u64,
    ) -> Plan {
        let most = pace.tokens.div_ceil(seq_len).clamp(1, sequences.max(1));
        let plan = |sequences: usize| Plan {
            sequences,
            seq_len,
            backward: false,
            recompute: true,
            logit_rows: logit_rows(pace, config, sequences * seq_len),
            rank: 0,
            kept: Kept::Nothing,
            transient: Transient::of(pace, arithmetic),
        };
        let halves = std::iter::successors(Some(most), |n| Some(n / 2).filter(|n| *n > 0));
        halves.map(plan).find(|plan| plan.bytes(config) <= budget).unwrap_or(plan(1))
    }

    /// A plan for what comes after one sequence: the logits of one token.
    pub fn next(seq_len: usize) -> Plan {
        Plan {
            sequences: 1,
            seq_len,
            backward: false,
            recompute: true,
            logit_rows: 1,
            rank: 0,
            kept: Kept::Nothing,
            transient: Transient::Uncounted,
        }
    }

    /// Tokens of a micro-batch.
    pub fn tokens(&self) -> usize {
        self.sequences * self.seq_len
    }

    pub(super) fn keeps_streams(&self) -> bool {
        self.backward
    }

    pub(super) fn kept_layers(&self, config: &ModelConfig) -> usize {
        if self.recompute { 1 } else { config.num_hidden_layers }
    }

    /// Bytes of the workspace, of kept weights and, on a device with memory of its own, of what operators make on the way.
    pub fn bytes(&self, config: &ModelConfig) -> u64 {
        let d = config.hidden_size;
        let streams = if self.keeps_streams() { config.num_hidden_layers + 1 } else { 2 };
        let back = if self.backward { d + 2 * config.query_width() + 2 * config.key_width() } else { 0 };
        let variants: usize = config.d_branch_widths().into_iter().chain(config.d_raw_widths()).sum();
        let back = back + if self.backward { variants } else { 0 };
        let scratch = 2 * d + 4 + config.intermediate_size + config.fused_width() + back;
        let token = streams * d + self.kept_layers(config) * LayerActs::floats(config) + scratch;
        let activations = token as u64 * self.tokens() as u64 + self.logit_rows as u64 * config.vocab_size as u64;
        let Plan { sequences, seq_len, backward, logit_rows, rank, kept, transient, .. } = *self;
        let pass = Pass { sequences, seq_len, backward, logit_rows, rank, kept };
        4 * activations + transient.weight_bytes(&pass, config) + transient.bytes(&pass, config)
    }
}

/// Tokens whose logits are made at a time: a chunk keeps its least rows, whatever its bytes.
fn logit_rows(pace: Pace, config: &ModelConfig, tokens: usize) -> usize {
    (pace.logit_bytes / 4 / config.vocab_size).clamp(LOGIT_ROWS.min(tokens), tokens)
}

/// What the linear layers' products are.
pub(super) fn arithmetic_of(recipe: &Recipe) -> Arithmetic {
    Arithmetic::numbered(recipe.arithmetic).expect("a recipe's arithmetic is checked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_kept_where_integers_serve_several_products_and_memory_is_left() {
        let config = ModelConfig::parse(include_str!("../../recipes/quickstart.json")).unwrap();
        let plan = Plan::training(&config, 128, 16, None, 1 << 30);
        let keeps = |plan: Plan, arithmetic, micro_batches, budget| {
            plan.keeping_weights(&config, arithmetic, micro_batches, budget).kept
        };
        let bytes = |kept| Plan { kept, ..plan }.bytes(&config);
        let (all, head) = (bytes(Kept::All), bytes(Kept::Head));
        assert_eq!(keeps(plan, Arithmetic::Integer, 2, all), Kept::All);
        assert_eq!(keeps(plan, Arithmetic::Integer, 2, all - 1), Kept::Head);
        assert_eq!(keeps(plan, Arithmetic::Integer, 2, head - 1), Kept::Nothing);
        assert_eq!(keeps(plan, Arithmetic::Integer, 1, all), Kept::Nothing);
        assert_eq!(keeps(plan, Arithmetic::Float, 2, all), Kept::Nothing);
        // One micro-batch: chunks of logits share the head, layers that are computed again all weights.
        assert_eq!(keeps(Plan { logit_rows: 256, ..plan }, Arithmetic::Integer, 1, all), Kept::Head);
        assert_eq!(keeps(Plan { recompute: true, ..plan }, Arithmetic::Integer, 1, all), Kept::All);
        // Two forms of 16 bits a weight of the layers, one of the head.
        let (d, v) = (config.hidden_size as u64, config.vocab_size as u64);
        let layer =
            2 * d * (config.query_width() + config.key_width()) as u64 + 3 * d * config.intermediate_size as u64;
        let none = plan.bytes(&config);
        assert_eq!([all - none, head - none], [4 * layer * config.num_hidden_layers as u64 + 2 * d * v, 2 * d * v]);
    }

    #[test]
    fn what_a_device_s_operators_make_on_the_way_counts_where_its_memory_is_its_own() {
        let config = ModelConfig::parse(include_str!("../../recipes/quickstart.json")).unwrap();
        let of = |own_memory, arithmetic| {
            let pace = Pace { own_memory, ..Pace::HOST };
            Plan::training_at((pace, arithmetic), 0, &config, 128, 16, None, u64::MAX).bytes(&config)
        };
        let host = of(false, Arithmetic::Float);
        assert_eq!(of(false, Arithmetic::Integer), host);
        assert!(host < of(true, Arithmetic::Float));
        assert!(of(true, Arithmetic::Float) < of(true, Arithmetic::Integer));
    }
}
