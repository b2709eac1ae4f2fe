//! No signal lets a minority have the honest refused: attackers of many kinds, fewer than half of everybody, who know all
//! honest updates before they choose their own.

use super::noise::{self, Gain};
use super::norms::Norms;
use super::testing::{normal, pairs, sum};
use super::{copies, own, signs};
use crate::engine::philox;

/// Places of an update.
const N: usize = 4000;

/// Numbers of everybody and of attackers: every minority.
fn crowds() -> impl Iterator<Item = (usize, usize)> {
    (3..=9).flat_map(|all| (1..=(all - 1) / 2).map(move |bad| (all, bad)))
}

/// Honest updates: a direction in common, their own noise, norms from 0.8 to 1.25, a tenth of all places.
fn honest(seed: u32, count: usize) -> Vec<Vec<f32>> {
    let direction = normal(seed ^ 0xd1, N);
    let one = |i: usize| {
        let own = normal(seed.wrapping_mul(31).wrapping_add(i as u32), N);
        let mixed = sum(0.6, &direction, 1.0, &own);
        let scale = 0.8 + 0.45 * (i as f32 / count as f32);
        mixed.iter().map(|v| if v.abs() > 1.9 { v * scale } else { 0.0 }).collect()
    };
    (0..count).map(one).collect()
}

fn scaled(by: f32, values: &[f32]) -> Vec<f32> {
    values.iter().map(|v| by * v).collect()
}

fn total(updates: &[Vec<f32>]) -> Vec<f32> {
    updates.iter().fold(vec![0.0; N], |all, one| sum(1.0, &all, 1.0, one))
}

/// What the attackers send, by the name of the attack.
fn attacks(honest: &[Vec<f32>], bad: usize, seed: u32) -> Vec<(&'static str, Vec<Vec<f32>>)> {
    let all = total(honest);
    let of = |make: &dyn Fn(usize) -> Vec<f32>| (0..bad).map(make).collect::<Vec<_>>();
    let noise = |i: usize| normal(seed ^ (0xbad0 + i as u32), N);
    let victim = &honest[seed as usize % honest.len()];
    let part = |i: usize| (philox::normal([seed, 0xc0], i as u64), philox::normal([seed, 0xc1], i as u64));
    let mix =
        |i: usize| honest.iter().enumerate().fold(vec![0.0; N], |all, (j, one)| sum(1.0, &all, part(7 * i + j).0, one));
    vec![
        ("minus the sum", of(&|_| scaled(-1.0 / honest.len() as f32, &all))),
        ("minus the sum, each with noise", of(&|i| sum(-1.0 / honest.len() as f32, &all, 0.05, &noise(i)))),
        ("the negative of one each", of(&|i| scaled(-1.0, &honest[i]))),
        ("minus the sum, huge", of(&|_| scaled(-1000.0, &all))),
        ("minus the sum, tiny", of(&|_| scaled(-1e-6, &all))),
        ("nothing", of(&|_| vec![0.0; N])),
        ("noise", of(&noise)),
        ("against one", of(&|_| sum(0.3, &all, -(honest.len() as f32), victim))),
        ("for one and against the others", of(&|_| sum(-0.5, &all, honest.len() as f32, victim))),
        ("mixtures", of(&mix)),
        ("copies", of(&|i| honest[i].clone())),
    ]
}

/// Everything that is tried: honest updates first, then the attackers'.
fn each(mut tried: impl FnMut(&str, usize, usize, &[Vec<f32>])) {
    for (all, bad) in crowds() {
        for seed in 0..4 {
            let good = honest(100 * all as u32 + seed, all - bad);
            for (name, attackers) in attacks(&good, bad, seed) {
                let updates: Vec<Vec<f32>> = good.iter().cloned().chain(attackers).collect();
                tried(&format!("{name}: {bad} of {all}, seed {seed}"), all, bad, &updates);
            }
        }
    }
}

#[test]
fn no_minority_turns_the_signs_against_the_honest() {
    each(|name, all, bad, updates| {
        let found = signs::agreement(&pairs(updates), all);
        let refused: Vec<bool> = found.iter().map(|f| signs::refuses(*f, 100_000).is_some()).collect();
        assert!(!refused[..all - bad].contains(&true), "{name}: {found:?}");
        if name.contains("minus the sum") {
            assert!(!refused[all - bad..].contains(&false), "{name}: {found:?}");
        }
    });
}

#[test]
fn no_minority_makes_honest_norms_large() {
    each(|name, all, bad, updates| {
        let norms = Norms::of(&pairs(updates), all);
        let refused = |i: usize| norms.refuses(i, 3_000_000).is_some();
        assert!(!(0..all - bad).any(refused), "{name}");
        if name.contains("huge") || name.contains("nothing") {
            assert!((all - bad..all).all(refused), "{name}");
        }
    });
}

/// Limits as the lab has them, tighter than the defaults.
fn copied(updates: &[Vec<f32>], order: &[usize]) -> Vec<bool> {
    let pairs = pairs(updates);
    let found = copies::against_earlier(&pairs, order, |i| pairs.norm(i) > 0.0);
    copies::refuses(&found, |_| true, 500_000, 500_000).iter().map(Option::is_some).collect()
}

#[test]
fn nobody_frames_the_honest_by_what_is_committed_to_later() {
    each(|name, all, bad, updates| {
        let refused = copied(updates, &(0..all).collect::<Vec<_>>());
        assert!(!refused[..all - bad].contains(&true), "{name}: {refused:?}");
        if name.contains("copies") {
            assert!(!refused[all - bad..].contains(&false), "{name}: {refused:?}");
        }
    });
}

/// Who knew honest updates before they were committed to takes one of them along for each of its own, and never most.
#[test]
fn whoever_commits_first_to_what_it_stole_never_has_most_of_the_honest_refused() {
    each(|name, all, bad, updates| {
        let order: Vec<usize> = (all - bad..all).chain(0..all - bad).collect();
        let refused = copied(updates, &order);
        let framed = refused[..all - bad].iter().filter(|refused| **refused).count();
        assert!(framed <= bad.max((all - 1) / 2) && 2 * framed < all, "{name}: {refused:?}");
    });
}

fn gain(of: i128) -> Gain {
    Gain::of(&[of; 4], 0).unwrap()
}

#[test]
fn no_minority_lifts_the_floor_over_the_honest() {
    for (all, bad) in crowds() {
        for huge in [1i128 << 60, 4000, 0, -1, -(1 << 60)] {
            // Late in a run some gain nothing alone: it is not the attackers who decide what that is worth.
            for positive in 1..=all - bad {
                let good = (0..all - bad).map(|i| if i < positive { 1000 + 250 * i as i128 } else { -(i as i128) });
                let gains: Vec<Gain> = good.chain((0..bad).map(|_| huge)).map(gain).collect();
                let refused = noise::refuses(&gains, 250_000);
                let refused: Vec<bool> = refused[..positive].iter().map(Option::is_some).collect();
                assert!(!refused.contains(&true), "{bad} of {all} gain {huge}, {positive} honest gain: {refused:?}");
            }
        }
    }
}

/// Gains of everybody on eight sequences of each: honest ones gain more on their own.
fn own_gains(all: usize, bad: usize, seed: u32, attack: &dyn Fn(usize) -> f64) -> (Vec<Vec<i128>>, Vec<Vec<usize>>) {
    let trained: Vec<Vec<usize>> = (0..8 * all).map(|s| vec![s / 8]).collect();
    let gain = |u: usize, s: usize| {
        let noise = f64::from(normal_at(seed, u, s));
        let own = match (u < all - bad, s / 8 == u) {
            (false, _) => attack(s / 8),
            (true, own) => {
                if own {
                    5.0
                } else {
                    0.0
                }
            }
        };
        ((f64::from(normal_at(seed, 1000, s)) * 3.0 + noise + own) * 4_294_967_296.0) as i128
    };
    ((0..all).map(|u| (0..8 * all).map(|s| gain(u, s)).collect()).collect(), trained)
}

fn normal_at(seed: u32, u: usize, s: usize) -> f32 {
    philox::normal([seed, u as u32], s as u64)
}

#[test]
fn no_minority_makes_the_honest_look_as_if_they_had_trained_on_something_else() {
    for (all, bad) in crowds() {
        for seed in 0..4 {
            let honest = all - bad;
            let attacks: [(&str, &dyn Fn(usize) -> f64); 5] = [
                ("gain wildly on all that the honest trained on", &|of| if of < honest { 1e3 } else { 0.0 }),
                ("harm on all of it", &|of| if of < honest { -1e3 } else { 0.0 }),
                ("gain on one's, harm on the others'", &|of| if of == 0 { 1e3 } else { -1e3 }),
                ("the reverse", &|of| if of == 0 { -1e3 } else { 1e3 }),
                ("nothing", &|_| 0.0),
            ];
            for (name, attack) in attacks {
                let (gains, trained) = own_gains(all, bad, seed, attack);
                let found = own::differences(&gains, &trained);
                let refused: Vec<bool> = found.iter().map(|f| own::refuses(*f, 2500).is_some()).collect();
                assert!(!refused[..honest].contains(&true), "{name}: {bad} of {all}: {found:?}");
                if name == "nothing" {
                    assert!(!refused[honest..].contains(&false), "{name}: {bad} of {all}: {found:?}");
                }
            }
        }
    }
}
