//! Honest workers with unequal machines and unequal text: nobody's attack, but the reason for pay by quality.

use std::sync::Arc;

use l402::artifact::{Digest, Writer};
use l402::data::{Shard, TOKENS, to_bytes};
use l402::engine::philox::philox;
use l402::fsio::Source;

use super::{Attack, Scene, Sent};

/// What makes them unequal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The i-th of n takes i + 1 of n parts of the steps.
    Steps,
    /// All take all steps; of the i-th of n, n - 1 - i of n parts of the text are drawn bytes.
    Text,
}

/// All workers of a world.
pub struct Unequal {
    /// In what.
    pub what: What,
    /// How many there are.
    pub count: usize,
}

impl Attack for Unequal {
    fn name(&self) -> &'static str {
        if self.what == What::Steps { "unequal-steps" } else { "unequal-text" }
    }

    fn identities(&self) -> usize {
        self.count
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        let n = self.count;
        let send = |(i, place): (usize, &super::Place<'_>)| {
            let all = place.world.recipe.inner.steps;
            let (steps, bad) = match self.what {
                What::Steps => (all * (i as u32 + 1) / n as u32, 0),
                What::Text => (all, n - 1 - i),
            };
            let (delta, _) = place.trained(&spoilt(&place.shard(), bad, n, scene.key), steps);
            Sent::made_up(&place.assignment.worker, place.send(&delta, place.made_up()), steps)
        };
        scene.places.iter().enumerate().map(send).collect()
    }
}

/// The shard with `bad` of `of` parts of its tokens drawn.
fn spoilt(shard: &Arc<Shard>, bad: usize, of: usize, key: [u32; 2]) -> Arc<Shard> {
    if bad == 0 {
        return shard.clone();
    }
    let token = |(i, token): (usize, u32)| {
        let [which, value, ..] = philox(key, [i as u32, 0, 0, 7]);
        if (which as usize) % of < bad { value % 256 } else { token }
    };
    let tokens: Vec<u32> = (0..shard.sequences()).flat_map(|s| shard.sequence(s)).enumerate().map(token).collect();
    let mut data = Vec::new();
    to_bytes(&tokens, shard.info().vocab_size, &mut data);
    let info = l402::data::ShardInfo { corpus: Digest::of(&data), ..shard.info().clone() };
    let mut writer = Writer::new("shard", Vec::new(), info.header()).expect("a header");
    writer.bytes(TOKENS, &data).expect("its tensor");
    let bytes = writer.finish().expect("all of it").0;
    Arc::new(Shard::open(Source::bytes("shard", bytes).expect("bytes")).expect("a shard"))
}
