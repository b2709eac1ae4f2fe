//! A rating over rounds: the Plackett-Luce model of Weng and Lin, "A Bayesian approximation method for online ranking",
//! JMLR 12 (2011), algorithm 4, for teams of one, as OpenSkill has it.
//!
//! The formulas are those of openskill.py 6.2.0 (`models/weng_lin/plackett_luce.py`), with its default gamma. In an
//! order by rank, equal ranks by index, with `c^2 = sum_i (sigma_i^2 + beta^2)`, `A_q` the number of those with q's
//! rank, and `p_iq = exp(mu_i / c) / sum over s with rank_s >= rank_q of exp(mu_s / c)`, over all q with `rank_q <=
//! rank_i`:
//!
//! - `Omega_i = sigma_i^2 / c * sum_q ([q = i] - p_iq) / A_q`, and mu_i grows by it,
//! - `Delta_i = sigma_i / c * sigma_i^2 / c^2 * sum_q p_iq (1 - p_iq) / A_q`, and sigma_i shrinks by
//!   `sqrt(max(1 - Delta_i, kappa))`,
//!
//! after `sigma_i^2` has grown by `tau^2`. Ties share the factor `1 / A_q` and nothing else: where 6.2.0 goes on to
//! average the changes of mu of a tie, it holds old and new mu in the same objects, and adds 0.
//!
//! Here p_iq is computed as `1 / sum_s exp((mu_s - mu_i) / c)`, which no distance of ratings makes infinite.

use crate::error::{Error, Result};

/// A skill: a normal belief of what somebody's updates are worth, without a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rating {
    /// The mean.
    pub mu: f64,
    /// The standard deviation, above zero.
    pub sigma: f64,
}

/// A [`Rating`] as records carry it: 31.32 fixed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedRating {
    /// The mean, in 2^-32.
    pub mu_q32: i64,
    /// The standard deviation, in 2^-32, above zero.
    pub sigma_q32: i64,
}

/// 2^32.
const ONE: f64 = 4_294_967_296.0;

/// Means and deviations stay below 2^20 in magnitude, so that the conversions there and back are exact.
const LIMIT: i64 = 1 << 52;

impl Rating {
    /// What is sorted by: a skill that is hardly overestimated, mu - 3 sigma.
    pub fn ordinal(&self) -> f64 {
        self.mu - 3.0 * self.sigma
    }

    /// The nearest fixed point numbers, ties to even; a deviation of at least 2^-32.
    pub fn to_fixed(self) -> Result<FixedRating> {
        let fixed = |value: f64| (value * ONE).round_ties_even();
        let (mu, sigma) = (fixed(self.mu), fixed(self.sigma));
        // NaN is in no range.
        if !(mu.abs() <= LIMIT as f64 && (0.0..=LIMIT as f64).contains(&sigma)) {
            return Err(Error::data(format!("a rating of mu {}, sigma {} is out of range", self.mu, self.sigma)));
        }
        Ok(FixedRating { mu_q32: mu as i64, sigma_q32: (sigma as i64).max(1) })
    }
}

impl FixedRating {
    /// The same numbers, exactly.
    pub fn to_float(self) -> Result<Rating> {
        let FixedRating { mu_q32, sigma_q32 } = self;
        if mu_q32.unsigned_abs() > LIMIT as u64 || !(1..=LIMIT).contains(&sigma_q32) {
            return Err(Error::data(format!("a rating of mu {mu_q32}, sigma {sigma_q32} (2^-32) is out of range")));
        }
        Ok(Rating { mu: mu_q32 as f64 / ONE, sigma: sigma_q32 as f64 / ONE })
    }
}

/// The model's parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlackettLuce {
    /// The deviation of one performance from the skill, above zero: the larger, the less a round says.
    pub beta: f64,
    /// How much a skill can have changed since the last round: its square is added to every variance.
    pub tau: f64,
    /// The least that a variance is multiplied by in one round, above zero.
    pub kappa: f64,
}

impl Default for PlackettLuce {
    /// OpenSkill's, but tau, which is Gauntlet's 0.1 (2505.21684): beta 25/6, kappa 0.0001.
    fn default() -> Self {
        PlackettLuce { beta: 25.0 / 6.0, tau: 0.1, kappa: 0.0001 }
    }
}

impl PlackettLuce {
    /// What nobody knows anything about: mu 25, sigma 25/3.
    pub const UNKNOWN: Rating = Rating { mu: 25.0, sigma: 25.0 / 3.0 };

    /// The ratings after a round in which each came in at its rank, the smaller the better; equal ranks are ties.
    ///
    /// The order of equal ranks decides last bits, and is that of the slices: ascending worker id.
    pub fn rate(&self, ratings: &[Rating], ranks: &[u64]) -> Result<Vec<Rating>> {
        self.check(ratings, ranks)?;
        let variances: Vec<f64> = ratings.iter().map(|r| r.sigma * r.sigma + self.tau * self.tau).collect();
        let mut order: Vec<usize> = (0..ratings.len()).collect();
        order.sort_by_key(|&i| (ranks[i], i));
        let c = order.iter().fold(0.0, |sum, &i| sum + (variances[i] + self.beta * self.beta)).sqrt();
        let rated = (0..ratings.len()).map(|i| {
            let relative: Vec<f64> = order.iter().map(|&s| libm::exp((ratings[s].mu - ratings[i].mu) / c)).collect();
            let (mut omega, mut delta) = (0.0, 0.0);
            for &q in order.iter().filter(|&&q| ranks[q] <= ranks[i]) {
                let first = order.partition_point(|&s| ranks[s] < ranks[q]);
                let p = 1.0 / relative[first..].iter().fold(0.0, |sum, e| sum + e);
                let ties = ranks.iter().filter(|rank| **rank == ranks[q]).count() as f64;
                delta += p * (1.0 - p) / ties;
                if q == i {
                    omega += (1.0 - p) / ties;
                } else {
                    omega -= p / ties;
                }
            }
            let (variance, sigma) = (variances[i], variances[i].sqrt());
            let omega = omega * (variance / c);
            let delta = delta * (variance / (c * c)) * (sigma / c);
            let left = if 1.0 - delta > self.kappa { 1.0 - delta } else { self.kappa };
            Rating { mu: ratings[i].mu + omega, sigma: sigma * left.sqrt() }
        });
        Ok(rated.collect())
    }

    fn check(&self, ratings: &[Rating], ranks: &[u64]) -> Result<()> {
        if ratings.len() != ranks.len() {
            return Err(Error::data(format!("expected {} ranks, found {}", ratings.len(), ranks.len())));
        }
        let limit = LIMIT as f64 / ONE;
        let positive = |value: f64| value > 0.0 && value <= limit;
        if !(positive(self.beta) && positive(self.kappa) && self.kappa <= 1.0 && (0.0..=limit).contains(&self.tau)) {
            let PlackettLuce { beta, kappa, tau, .. } = self;
            return Err(Error::data(format!("a rating with beta {beta}, kappa {kappa}, tau {tau} makes no sense")));
        }
        match ratings.iter().position(|r| !(r.mu.abs() <= limit && positive(r.sigma))) {
            Some(i) => {
                let Rating { mu, sigma } = ratings[i];
                Err(Error::data(format!("rating {i}, of mu {mu}, sigma {sigma}, is out of range")))
            }
            None => Ok(()),
        }
    }
}

/// Ranks by worth, the largest 0: how many are above each. Equals tie.
pub fn ranks(worth: &[i128]) -> Vec<u64> {
    worth.iter().map(|w| worth.iter().filter(|other| *other > w).count() as u64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: PlackettLuce = PlackettLuce { beta: 25.0 / 6.0, tau: 0.0, kappa: 0.0001 };
    const GAUNTLET: PlackettLuce = PlackettLuce { beta: 7.0, tau: 0.1, kappa: 0.0001 };
    /// openskill.py's own tau.
    const TAU: PlackettLuce = PlackettLuce { beta: 25.0 / 6.0, tau: 25.0 / 300.0, kappa: 0.0001 };

    fn rating(&(mu, sigma): &(f64, f64)) -> Rating {
        Rating { mu, sigma }
    }

    #[track_caller]
    fn near(found: &[Rating], expected: &[(f64, f64)], tolerance: f64) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected.iter().map(rating)) {
            let off = (found.mu - expected.mu).abs().max((found.sigma - expected.sigma).abs());
            assert!(off <= tolerance, "found {found:?}, expected {expected:?}");
        }
    }

    /// openskill.py 2.4.0, tests/models/test_plackett_luce.py, and the same in openskill.js: free for all, tau 0.
    #[test]
    fn the_published_games_of_equals_come_out() {
        let games: [&[(f64, f64)]; 5] = [
            &[(25.0, 25.0 / 3.0)],
            &[(27.63523138347365, 8.065506316323548), (22.36476861652635, 8.065506316323548)],
            &[
                (27.868876552746237, 8.204837030780652),
                (25.717219138186557, 8.057829747583874),
                (21.413904309067206, 8.057829747583874),
            ],
            &[
                (27.795084971874736, 8.263160757613477),
                (26.552824984374855, 8.179213704945203),
                (24.68943500312503, 8.083731307186588),
                (20.96265504062538, 8.083731307186588),
            ],
            &[
                (27.666666666666668, 8.290556877154474),
                (26.833333333333332, 8.240145629781066),
                (25.72222222222222, 8.179996679645559),
                (24.055555555555557, 8.111796013701358),
                (20.72222222222222, 8.111796013701358),
            ],
        ];
        for expected in games {
            let ranks: Vec<u64> = (0..expected.len() as u64).collect();
            let found = DEFAULT.rate(&vec![PlackettLuce::UNKNOWN; expected.len()], &ranks).unwrap();
            near(&found, expected, 1e-9);
        }
    }

    /// openskill.py 2.4.0, tests/models/test_plackett_luce_series.py: three games with ties. Nine digits are published.
    #[test]
    fn the_published_series_with_ties_comes_out() {
        let mut p = [PlackettLuce::UNKNOWN; 5];
        let games: [(&[usize], &[i128]); 3] =
            [(&[0, 1, 2, 3, 4], &[9, 7, 7, 5, 5]), (&[4, 2, 1], &[9, 5, 5]), (&[3, 1, 2, 0], &[9, 9, 7, 7])];
        for (players, scores) in games {
            let before: Vec<Rating> = players.iter().map(|&i| p[i]).collect();
            for (&i, after) in players.iter().zip(DEFAULT.rate(&before, &ranks(scores)).unwrap()) {
                p[i] = after;
            }
        }
        let expected = [
            (26.353761103, 8.11102706),
            (24.618479789, 7.90533551),
            (23.065819512, 7.822005595),
            (24.476332403, 8.106111471),
            (26.385499685, 8.054090809),
        ];
        near(&p, &expected, 1e-8);
    }

    /// Runs of openskill.py 6.2.0.
    #[test]
    fn the_library_is_followed_with_ties_and_unequal_ratings() {
        type Game<'a> = (PlackettLuce, &'a [(f64, f64)], &'a [u64], &'a [(f64, f64)]);
        let games: [Game<'_>; 6] = [
            (
                TAU,
                &[(25.0, 25.0 / 3.0); 2],
                &[1, 2],
                &[(27.635389493140497, 8.06590141354368), (22.364610506859503, 8.06590141354368)],
            ),
            (
                GAUNTLET,
                &[(25.0, 25.0 / 3.0); 4],
                &[1, 2, 3, 4],
                &[
                    (27.393071250957423, 8.289968889111876),
                    (26.32948402830968, 8.237559069741343),
                    (24.734103194338065, 8.178196566367324),
                    (21.543341526394837, 8.178196566367324),
                ],
            ),
            (
                GAUNTLET,
                &[(30.5, 3.25), (22.125, 6.5), (25.0, 8.0)],
                &[2, 1, 3],
                &[
                    (30.489085487465665, 3.245161760421925),
                    (24.054124877533287, 6.46070662810742),
                    (22.144091007054048, 7.779434583255689),
                ],
            ),
            (
                GAUNTLET,
                &[(30.5, 3.25), (22.125, 6.5), (25.0, 8.0), (28.75, 2.0), (19.0, 5.5)],
                &[2, 1, 2, 4, 1],
                &[
                    (30.430488292291265, 3.248523622070753),
                    (22.828497755702266, 6.484866422091931),
                    (25.069034763019395, 7.90649601129668),
                    (28.6335933739729, 2.002085245520391),
                    (19.541002055212772, 5.4937387982235455),
                ],
            ),
            (
                GAUNTLET,
                &[(30.5, 3.25), (22.125, 6.5), (25.0, 8.0)],
                &[1, 1, 1],
                &[
                    (30.435181909090936, 3.2483349743289445),
                    (22.319658614012365, 6.46070662810742),
                    (25.09758999291109, 7.897978401058168),
                ],
            ),
            (
                TAU,
                &[(25.0, 8.0), (28.0, 7.0), (31.0, 6.0), (34.0, 5.0)],
                &[2, 1, 2, 1],
                &[
                    (24.63842472161416, 7.786995836689631),
                    (28.87335871677763, 6.945700650841085),
                    (30.160177109655752, 5.925436895299861),
                    (34.27887228215442, 4.982577805832838),
                ],
            ),
        ];
        for (model, before, ranks, after) in games {
            let before: Vec<Rating> = before.iter().map(rating).collect();
            near(&model.rate(&before, ranks).unwrap(), after, 1e-9);
        }
    }

    /// Those of openskill.py 6.2.0, as it happens: its exp is another, its order of sums the same.
    #[test]
    fn the_bits_are_the_same_everywhere() {
        let before = [(30.5, 3.25), (22.125, 6.5), (25.0, 8.0), (28.75, 2.0), (19.0, 5.5)].map(|r| rating(&r));
        let mut after = before.to_vec();
        for round in 0..20 {
            after = GAUNTLET.rate(&after, &[2, 1, 2, round % 5, 1]).unwrap();
        }
        let bits: Vec<(u64, u64)> = after.iter().map(|r| (r.mu.to_bits(), r.sigma.to_bits())).collect();
        let golden = [
            (0x403b_7bdb_9c94_6c8e, 0x4009_b570_9341_9fa7),
            (0x403e_b692_8ae7_245f, 0x4018_5bbf_22bd_3594),
            (0x4035_20c0_73a2_5342, 0x401a_4418_8480_9d36),
            (0x403c_3eab_23f2_0c88, 0x4000_569c_0562_8b3b),
            (0x403a_a94d_c131_878a, 0x4015_44da_ea6a_367d),
        ];
        assert_eq!(bits, golden, "{bits:#x?}");
    }

    #[test]
    fn the_order_of_workers_moves_last_bits_alone() {
        let before = [(30.5, 3.25), (22.125, 6.5), (25.0, 8.0), (28.75, 2.0)].map(|r| rating(&r));
        let after = GAUNTLET.rate(&before, &[2, 1, 2, 4]).unwrap();
        let turned = [before[2], before[3], before[0], before[1]];
        let expected = [after[2], after[3], after[0], after[1]].map(|r| (r.mu, r.sigma));
        near(&GAUNTLET.rate(&turned, &[2, 4, 2, 1]).unwrap(), &expected, 1e-12);
    }

    #[test]
    fn no_distance_of_ratings_breaks_it() {
        let limit = 1_048_576.0;
        let before = [(limit, 1e-9), (-limit, limit), (0.0, 1.0)].map(|r| rating(&r));
        for ranks in [[0, 1, 2], [2, 1, 0], [1, 0, 1], [0, 0, 0]] {
            for beta in [1e-3, 7.0, limit] {
                let after = PlackettLuce { beta, ..GAUNTLET }.rate(&before, &ranks).unwrap();
                assert!(after.iter().all(|r| r.mu.is_finite() && r.sigma > 0.0), "{after:?}");
            }
        }
    }

    #[test]
    fn who_wins_every_round_is_rated_first_and_ever_surer() {
        let mut ratings = vec![PlackettLuce::UNKNOWN; 4];
        for _ in 0..50 {
            ratings = GAUNTLET.rate(&ratings, &[3, 0, 2, 1]).unwrap();
        }
        let ordinals: Vec<f64> = ratings.iter().map(Rating::ordinal).collect();
        assert!(ordinals[1] > ordinals[3] && ordinals[3] > ordinals[2] && ordinals[2] > ordinals[0], "{ordinals:?}");
        assert!(ratings.iter().all(|r| r.sigma < PlackettLuce::UNKNOWN.sigma));
        assert_eq!(PlackettLuce::UNKNOWN.ordinal(), 0.0);
    }

    #[test]
    fn fixed_point_goes_there_and_back() {
        let fixed = rating(&(25.0, 25.0 / 3.0)).to_fixed().unwrap();
        assert_eq!(fixed, FixedRating { mu_q32: 25 << 32, sigma_q32: 35_791_394_133 });
        for (mu_q32, sigma_q32) in [(-1, 1), (LIMIT, LIMIT), (-LIMIT, 3), (107_374_182_399, 35_791_394_133)] {
            let fixed = FixedRating { mu_q32, sigma_q32 };
            assert_eq!(fixed.to_float().unwrap().to_fixed().unwrap(), fixed);
        }
        assert_eq!(rating(&(0.0, 1e-30)).to_fixed().unwrap().sigma_q32, 1);
        for wrong in [(f64::NAN, 1.0), (1.0, f64::INFINITY), (2e6, 1.0), (-2e6, 1.0), (0.0, -1.0)] {
            assert!(rating(&wrong).to_fixed().is_err(), "{wrong:?}");
        }
        for (mu_q32, sigma_q32) in [(0, 0), (0, -1), (LIMIT + 1, 1), (i64::MIN, 1), (0, i64::MAX)] {
            assert!(FixedRating { mu_q32, sigma_q32 }.to_float().is_err());
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let ratings = [PlackettLuce::UNKNOWN; 2];
        assert!(GAUNTLET.rate(&ratings, &[1]).is_err());
        for (beta, tau, kappa) in [(0.0, 0.1, 0.1), (7.0, -0.1, 0.1), (7.0, 0.1, 0.0), (f64::NAN, 0.0, 0.1)] {
            assert!(PlackettLuce { beta, tau, kappa }.rate(&ratings, &[1, 2]).is_err());
        }
        for wrong in [(f64::NAN, 1.0), (0.0, 0.0), (0.0, f64::NAN), (f64::INFINITY, 1.0)] {
            assert!(GAUNTLET.rate(&[rating(&wrong), ratings[0]], &[1, 2]).is_err());
        }
        assert_eq!(GAUNTLET.rate(&[], &[]).unwrap(), []);
    }

    #[test]
    fn ranks_follow_worth_and_equals_tie() {
        assert_eq!(ranks(&[5, -3, 9, 5, 0]), [1, 4, 0, 1, 3]);
    }
}
