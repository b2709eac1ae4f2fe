//! Segments: the stretches between two leaves, and which of them a sampled replay runs again.

use std::ops::Range;

use crate::artifact::{Digest, Recipe, Room};
use crate::engine::philox;
use crate::error::{Error, Result};

/// How a round's inner steps are cut: a leaf after every `every` steps, and after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// Inner steps of the round (H).
    pub steps: u32,
    /// Inner steps from leaf to leaf (J).
    pub every: u32,
}

impl Segments {
    /// As a recipe has it.
    pub fn of(recipe: &Recipe) -> Segments {
        Segments { steps: recipe.inner.steps, every: recipe.verify.leaf_every }
    }

    /// Whether there is anything to cut, for what others have written.
    pub fn check(&self) -> Result<()> {
        if self.steps > 0 && self.every > 0 {
            return Ok(());
        }
        Err(Error::data(format!("expected steps above 0, found {} and a leaf every {}", self.steps, self.every)))
    }

    /// How many segments, and leaves, there are.
    pub fn count(&self) -> u32 {
        self.steps.div_ceil(self.every)
    }

    /// How much a list of the leaves may have: a line for each of them and for their context, and a loss for each step.
    pub fn leaves_room(&self) -> Room {
        const LEAF: u64 = 1 << 10;
        const LOSS: u64 = 32;
        let leaves = u64::from(self.count()) + 1;
        Room::holding(leaves, leaves * LEAF + u64::from(self.steps) * LOSS)
    }

    /// The inner steps of a segment, counted from 0.
    pub fn range(&self, segment: u32) -> Range<u32> {
        let start = segment * self.every;
        start..self.steps.min(start.saturating_add(self.every))
    }

    /// Whether a leaf is due when this many steps are done.
    pub fn is_end(&self, step: u32) -> bool {
        step == self.steps || step.is_multiple_of(self.every)
    }

    /// How many steps are done at each leaf.
    pub fn ends(&self) -> Vec<u32> {
        (0..self.count()).map(|segment| self.range(segment).end).collect()
    }
}

/// What decides a draw: nobody knew the beacon when the commitments were signed, and no draw depends on who else
/// committed.
#[derive(Clone, Copy, Debug)]
pub struct Audit<'a> {
    /// The run.
    pub run: &'a Digest,
    /// The round.
    pub round: u64,
    /// The worker.
    pub worker: &'a str,
    /// The beacon.
    pub beacon: &'a Digest,
}

impl Audit<'_> {
    fn key(&self, purpose: &str) -> [u32; 2] {
        let parts = [&self.run.0[..], &self.round.to_le_bytes(), self.worker.as_bytes(), &self.beacon.0];
        Digest::of_parts(purpose, &parts).philox_key()
    }

    /// `drawn` segments of `count`, ascending: the last one, and the others by the beacon.
    pub fn segments(&self, drawn: u32, count: u32) -> Vec<u32> {
        let others = philox::permutation(self.key("l402/segments/1"), count as usize - 1);
        let others = others.into_iter().take(drawn.clamp(1, count) as usize - 1).map(|segment| segment as u32);
        let mut drawn: Vec<u32> = others.chain([count - 1]).collect();
        drawn.sort_unstable();
        drawn
    }

    /// `drawn` of `count` codec chunks of a model, ascending.
    pub fn chunks(&self, drawn: usize, count: usize) -> Vec<usize> {
        let mut drawn: Vec<usize> =
            philox::permutation(self.key("l402/chunks/1"), count).into_iter().take(drawn).collect();
        drawn.sort_unstable();
        drawn
    }
}

/// Parts in a million, rounded up: the chance that none of `bad` things is among `drawn` of `count`, drawn without
/// repetition. (count - drawn)! (count - bad)! / (count! (count - drawn - bad)!).
pub fn missed_ppm(count: u64, drawn: u64, bad: u64) -> u64 {
    const ONE: u128 = 1 << 63;
    let mut chance = ONE;
    for i in 0..bad {
        if drawn + i >= count {
            return 0;
        }
        chance = (chance * u128::from(count - drawn - i)).div_ceil(u128::from(count - i));
    }
    (chance * 1_000_000).div_ceil(ONE) as u64
}

/// The same for segments: a cheat in `bad` of `count`, where the last one is always drawn and the cheat left it alone.
pub fn missed_segments_ppm(count: u32, drawn: u32, bad: u32) -> u64 {
    missed_ppm(u64::from(count) - 1, u64::from(drawn) - 1, bad.into())
}

/// The least number of segments, the last among them, with which a cheat in `bad` of `count` is missed with at most this
/// chance.
pub fn segments_for(count: u32, bad: u32, ppm: u64) -> u32 {
    (1..=count).find(|drawn| missed_segments_ppm(count, *drawn, bad) <= ppm).unwrap_or(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cover_every_step_once() {
        for (steps, every) in [(1, 1), (30, 1), (30, 4), (7, 7), (7, 100), (3, u32::MAX)] {
            let cut = Segments { steps, every };
            let all: Vec<u32> = (0..cut.count()).flat_map(|segment| cut.range(segment)).collect();
            assert_eq!(all, (0..steps).collect::<Vec<_>>());
            let ends: Vec<u32> = (1..=steps).filter(|step| cut.is_end(*step)).collect();
            assert_eq!(ends, cut.ends());
        }
        assert!(Segments { steps: 3, every: 0 }.check().is_err());
    }

    #[test]
    fn a_draw_has_the_last_segment_none_twice_and_depends_on_everything_it_is_keyed_by() {
        let (run, beacon) = (Digest::of(b"run"), Digest::of(b"beacon"));
        let audit = Audit { run: &run, round: 3, worker: "ann", beacon: &beacon };
        let drawn = audit.segments(8, 100);
        assert_eq!((drawn.len(), drawn[7]), (8, 99));
        assert!(drawn.is_sorted_by(|a, b| a < b));
        assert_eq!(audit.segments(8, 100), drawn);
        let other = Digest::of(b"other");
        for changed in [
            Audit { run: &other, ..audit },
            Audit { round: 4, ..audit },
            Audit { worker: "bob", ..audit },
            Audit { beacon: &other, ..audit },
        ] {
            assert_ne!(changed.segments(8, 100), drawn);
        }
        assert_eq!(audit.segments(0, 5), [4]);
        assert_eq!(audit.segments(9, 5), [0, 1, 2, 3, 4]);
        assert_eq!(audit.segments(1, 1), [0]);
        assert_eq!(audit.chunks(5, 3), [0, 1, 2]);
    }

    #[test]
    fn the_chance_of_a_miss_is_that_of_drawing_without_repetition() {
        // Two of the nine others drawn: 7/9 miss one cheated segment, 7/9 * 6/8 two.
        assert_eq!(missed_segments_ppm(10, 3, 1), 777_778);
        assert_eq!(missed_segments_ppm(10, 3, 2), 583_334);
        assert_eq!(missed_segments_ppm(10, 3, 8), 0);
        assert_eq!(missed_segments_ppm(10, 10, 1), 0);
        assert_eq!(missed_segments_ppm(10, 1, 9), 1_000_000);
        assert_eq!(missed_ppm(1 << 40, 1 << 20, 0), 1_000_000);
        // 19 of 29: 10/29 are missed.
        assert_eq!(segments_for(30, 1, 350_000), 20);
        assert_eq!(segments_for(30, 29, 1), 2);
        assert_eq!(segments_for(1, 1, 0), 1);
    }
}
