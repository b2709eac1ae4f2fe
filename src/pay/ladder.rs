//! The ladder: one task's maximum as several payments of 8, 4, 2, 1 units, so that an amount fixed before the work
//! becomes a pay that follows its worth. Each rung is paid or returned whole; which ones, the verdict says.

use super::amount::Msat;
use crate::error::{Error, Result};

/// Smaller payments are refused: under it routing rounds them away.
pub const MIN_RUNG: Msat = Msat(1000);

/// More rungs are refused: each is a payment in flight of its own.
pub const MAX_RUNGS: u32 = 12;

/// A task's maximum in rungs, the largest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    unit: u64,
    rungs: Vec<Msat>,
}

impl Ladder {
    /// Splits `maximum` into `count` rungs of 2^(count-1), ..., 2, 1 units of floor(maximum / (2^count - 1)), what is
    /// left over on the largest.
    pub fn new(maximum: Msat, count: u32) -> Result<Ladder> {
        if !(1..=MAX_RUNGS).contains(&count) {
            return Err(Error::data(format!("expected 1 to {MAX_RUNGS} rungs, found {count}")));
        }
        if maximum > Msat::MAX {
            return Err(Error::data(format!("{maximum}: more than all bitcoin")));
        }
        let units = (1u64 << count) - 1;
        let (unit, rest) = (maximum.0 / units, maximum.0 % units);
        if unit < MIN_RUNG.0 {
            return Err(Error::data(format!(
                "{maximum} in {count} rungs: expected {MIN_RUNG} at least for the smallest, found {}",
                Msat(unit)
            ))
            .hint(format!("lock at least {}, or take fewer rungs", Msat(units * MIN_RUNG.0))));
        }
        let mut rungs: Vec<Msat> = (0..count).rev().map(|i| Msat(unit << i)).collect();
        rungs[0].0 += rest;
        Ok(Ladder { unit, rungs })
    }

    /// The ladder that has these rungs, if one has.
    pub fn of(rungs: &[Msat]) -> Result<Ladder> {
        let count = u32::try_from(rungs.len()).unwrap_or(u32::MAX);
        let ladder = Ladder::new(Msat::sum(rungs.iter().copied())?, count)?;
        if ladder.rungs == rungs {
            return Ok(ladder);
        }
        let shown = |rungs: &[Msat]| rungs.iter().map(|rung| rung.0.to_string()).collect::<Vec<_>>().join(", ");
        Err(Error::data(format!("expected rungs of {} msat, found {}", shown(&ladder.rungs), shown(rungs))))
    }

    /// The rungs, the largest first.
    pub fn rungs(&self) -> &[Msat] {
        &self.rungs
    }

    /// All of them together.
    pub fn maximum(&self) -> Msat {
        Msat(self.rungs.iter().map(|r| r.0).sum())
    }

    /// The rungs whose sum comes nearest to `earned` from below, by ascending index.
    ///
    /// The rungs below the largest make every multiple of a unit up to their sum, so the best is either without the
    /// largest or with it: both are tried.
    pub fn payable(&self, earned: Msat) -> Vec<u32> {
        let below = (1u64 << (self.rungs.len() - 1)) - 1;
        let without = (earned.0 / self.unit).min(below);
        let with = earned.0.checked_sub(self.rungs[0].0).map(|rest| (rest / self.unit).min(below));
        let (largest, units) = match with {
            // The largest alone is more than all the others together.
            Some(units) => (true, units),
            None => (false, without),
        };
        let last = self.rungs.len() as u32 - 1;
        let chosen = |i: &u32| if *i == 0 { largest } else { units >> (last - i) & 1 == 1 };
        (0..=last).filter(chosen).collect()
    }

    /// The sum of some rungs.
    pub fn sum(&self, rungs: &[u32]) -> Msat {
        Msat(rungs.iter().map(|&i| self.rungs[i as usize].0).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Digest;
    use crate::engine::philox::philox;

    /// The best subset, by trying all.
    fn best(ladder: &Ladder, earned: Msat) -> u64 {
        let sums = (0u32..1 << ladder.rungs.len()).map(|set| {
            let picked = (0..ladder.rungs.len()).filter(|i| set >> i & 1 == 1);
            picked.map(|i| ladder.rungs[i].0).sum::<u64>()
        });
        sums.filter(|sum| *sum <= earned.0).max().unwrap_or(0)
    }

    #[test]
    fn four_rungs_are_eight_four_two_and_one_units() {
        let ladder = Ladder::new(Msat(150_007), 4).unwrap();
        assert_eq!(ladder.rungs(), [Msat(80_007), Msat(40_000), Msat(20_000), Msat(10_000)]);
        assert_eq!(ladder.payable(Msat(150_007)), [0, 1, 2, 3]);
        assert_eq!(ladder.payable(Msat(150_006)), [0, 1, 2]);
        assert_eq!(ladder.payable(Msat(80_006)), [1, 2, 3]);
        assert_eq!(ladder.payable(Msat(9_999)), [0u32; 0]);
        assert_eq!(ladder.payable(Msat(u64::MAX)), [0, 1, 2, 3]);
    }

    #[test]
    fn for_every_amount_and_count_rungs_add_up_and_pay_is_the_best_subset() {
        let key = Digest::of(b"ladder").philox_key();
        for case in 0..4000u32 {
            let r = philox(key, [case, 0, 0, 0]);
            let count = 1 + r[0] % MAX_RUNGS;
            let units = (1u64 << count) - 1;
            let wide = u64::from(r[1]) << 32 | u64::from(r[2]);
            // All sizes, the smallest that is allowed and the largest there is among them.
            let maximum = match case % 4 {
                0 => units * MIN_RUNG.0 + wide % units,
                1 => Msat::MAX.0 - wide % 1000,
                _ => units * MIN_RUNG.0 + (wide >> (r[3] % 40)) % (Msat::MAX.0 - units * MIN_RUNG.0),
            };
            let ladder = Ladder::new(Msat(maximum), count).unwrap();
            assert_eq!(ladder.maximum(), Msat(maximum));
            assert_eq!(Ladder::of(ladder.rungs()).unwrap(), ladder);
            assert!(ladder.rungs().iter().all(|r| *r >= MIN_RUNG));
            let remainder = maximum % units;
            let near: Vec<u64> = ladder.rungs().iter().flat_map(|r| [r.0 - 1, r.0, r.0 + 1]).collect();
            let draws = (1..4).map(|i| {
                let r = philox(key, [case, i, 0, 0]);
                (u64::from(r[0]) << 32 | u64::from(r[1])) % (maximum + 1)
            });
            for earned in draws.chain(near).chain([0, maximum - 1, maximum]) {
                let paid = ladder.sum(&ladder.payable(Msat(earned)));
                assert!(paid.0 <= earned, "{maximum} {count} {earned}");
                let missed = earned.min(maximum) - paid.0;
                assert!(missed < ladder.unit + remainder.max(1), "{maximum} {count} {earned}: missed {missed}");
                if count <= 6 {
                    assert_eq!(paid.0, best(&ladder, Msat(earned)), "{maximum} {count} {earned}");
                }
            }
        }
    }

    #[test]
    fn rungs_too_small_to_route_too_many_or_of_no_ladder_are_refused() {
        assert!(Ladder::new(Msat(14_999), 4).is_err());
        assert!(Ladder::new(Msat(15_000), 4).is_ok());
        assert!(Ladder::new(Msat(15_000), 0).is_err());
        assert!(Ladder::new(Msat::MAX, MAX_RUNGS + 1).is_err());
        assert!(Ladder::of(&[Msat(8000), Msat(4000), Msat(2001), Msat(1000)]).is_err());
        assert!(Ladder::of(&[]).is_err());
        assert!(Ladder::of(&[Msat(u64::MAX), Msat(u64::MAX)]).is_err());
    }
}
