//! Whether a shard is the one that a recipe and an assignment are about.

use super::{Assignment, Draw, Shard, Split};
use crate::artifact::{Digest, Recipe, record};
use crate::error::{Context, Error, Result};

impl Shard {
    /// Refuses a shard of other tokens or another length than the recipe's.
    pub fn check_recipe(&self, recipe: &Recipe) -> Result<()> {
        let info = self.info();
        let differs = |field: &str, expected: String, found: String| {
            Err(Error::refused(format!("shard: {field}: expected {expected}, found {found}")))
        };
        if info.seq_len != recipe.data.seq_len {
            return differs("seq_len", recipe.data.seq_len.to_string(), info.seq_len.to_string());
        }
        if info.tokenizer != recipe.data.tokenizer {
            return differs("tokenizer", recipe.data.tokenizer.clone(), info.tokenizer.clone());
        }
        Ok(())
    }

    /// Refuses a shard of the other split: held-out text is never trained on, and training text never scored on.
    pub fn check_split(&self, expected: Split) -> Result<()> {
        let found = self.info().split;
        if found == expected {
            return Ok(());
        }
        Err(Error::refused(format!("shard: split: expected {expected}, found {found}"))
            .hint("held-out text is never trained on, and training text never scored on"))
    }

    /// Refuses a shard whose token ids the model has no rows for.
    pub fn check_vocabulary(&self, vocab_size: usize) -> Result<()> {
        let found = self.info().vocab_size as usize;
        if found <= vocab_size {
            return Ok(());
        }
        Err(Error::refused(format!("shard: vocab_size: expected at most the model's {vocab_size}, found {found}"))
            .hint("`vocab_size` of the model's config.json must cover the tokenizer that made the shard"))
    }
}

impl Assignment {
    /// An assignment that nobody signed, for work on one's own: the order is drawn by a beacon of zeros.
    pub fn unassigned(recipe: &Recipe, round: u64, worker: &str, shard: &Shard) -> Assignment {
        let draw = Draw { run: recipe.digest(), round, beacon: Digest([0; 32]) };
        let info = shard.info();
        Assignment {
            run: draw.run,
            round,
            worker: worker.to_owned(),
            key: None,
            shard: info.split.file_name(info.index),
            shard_digest: shard.digest(),
            order: draw.order(worker),
            beacon: draw.beacon,
            coordinator: None,
            sig: None,
        }
    }

    /// Refuses another shard than the assigned one.
    pub fn check_shard(&self, shard: &Shard) -> Result<()> {
        let found = shard.digest();
        if found == self.shard_digest {
            return Ok(());
        }
        Err(Error::refused(format!(
            "shard: expected digest {} as assigned to {}, found {found}",
            self.shard_digest, self.worker
        )))
    }

    /// The record's digest, signature included.
    pub fn digest(&self) -> Result<Digest> {
        record::line(self).map(|line| Digest::of(line.as_bytes())).at("assignment")
    }
}
