//! What holds of every rule, and the step with its momentum.

use super::testing::{InMemory, run, tensors, wild};
use super::*;
use crate::error::Kind;

fn rule(rule: OuterRule) -> OuterRecipe {
    let faulty = if rule.counts_faulty() { 2 } else { 0 };
    OuterRecipe { rule, faulty, ..OuterRecipe::default() }
}

const LENGTHS: [usize; 4] = [700, 1, 5000, 299];

/// Seeded updates of a common part and their own noise.
fn honest(count: usize) -> Vec<Vec<f32>> {
    let normal = |key: u32| (0..6000).map(move |i| crate::engine::philox::normal([key, 0xb0b], i));
    (1..=count as u32).map(|own| normal(0).zip(normal(own)).map(|(a, b)| a + 0.5 * b).collect()).collect()
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn theta_moves_against_the_mean_of_what_was_sent() {
    let mut theta = [1.0, 2.0];
    let sent = vec![vec![0.5, -1.0], vec![1.5, 3.0]];
    outer_step(Engine::detect(), "w", &mut theta, sent, 0.5).unwrap();
    assert_eq!(theta, [0.5, 1.5]);
    outer_step(Engine::detect(), "w", &mut theta, Vec::new(), 0.5).unwrap();
    assert_eq!(theta, [0.5, 1.5]);
}

#[test]
fn a_step_out_of_range_names_its_tensor() {
    let error = outer_step(Engine::detect(), "w", &mut [f32::MAX], vec![vec![-f32::MAX]], 2.0).unwrap_err();
    assert_eq!(error.to_string(), "tensor w: element 0 is not finite after the outer step");
}

/// Hands over nothing.
struct Silent;

impl Sent for Silent {
    fn count(&self) -> usize {
        1
    }

    fn read(
        &mut self,
        _: usize,
        _: &[TensorSpec],
        _: &mut dyn FnMut(&TensorSpec, Vec<f32>),
    ) -> crate::error::Result<()> {
        Ok(())
    }
}

#[test]
fn what_only_we_can_leave_out_is_said_to_be_our_fault() {
    let tensors = tensors(&[3]);
    let refused = |sent: &mut dyn Sent| {
        let refused = aggregate(Engine::detect(), &rule(OuterRule::MedianNorm), &tensors, sent).err().unwrap();
        (refused.kind(), refused.to_string())
    };
    let none = refused(&mut InMemory::cut(&[], &[3]));
    assert_eq!(none, (Kind::Bug, "no update to aggregate".to_owned()));
    let (kind, says) = refused(&mut Silent);
    assert!(kind == Kind::Bug && says.ends_with(": 0 of its values were read"), "{says}");
}

#[test]
fn the_mean_is_the_plain_step_to_the_bit() {
    let updates: Vec<Vec<f32>> = (0..5).map(|i| wild(i, 6000)).collect();
    let start = wild(9, 6000);
    let mut sent = InMemory::cut(&updates, &LENGTHS);
    let direction = run(&rule(OuterRule::Mean), &mut sent).values;
    let recipe = OuterRecipe { lr: 0.7, ..OuterRecipe::default() };
    let mut theta = start.clone();
    descend(Engine::detect(), &recipe, &sent.tensors, &mut theta, direction, None).unwrap();
    let mut plain = start;
    for tensor in &sent.tensors {
        let sent = updates.iter().map(|u| u[tensor.range()].to_vec()).collect();
        outer_step(Engine::detect(), &tensor.name, &mut plain[tensor.range()], sent, 0.7).unwrap();
    }
    assert_eq!(bits(&theta), bits(&plain));
}

#[test]
fn senders_divide_by_who_sent() {
    // By hand: (1 + 3) / 2, 5 / 1, nobody, (-2 + 2) / 2.
    let updates = [vec![1.0, 0.0, 0.0, -2.0], vec![3.0, 0.0, -0.0, 2.0], vec![0.0, 5.0, 0.0, 0.0]];
    let made = run(&rule(OuterRule::Senders), &mut InMemory::of(&updates)).values;
    assert_eq!(bits(&made), bits(&[2.0, 5.0, 0.0, 0.0]));
}

#[test]
fn tensors_are_clipped_to_their_median_norm_each_for_itself() {
    // Norms of the first tensor 5, 10, 5: the median 5 halves the second. Of the other 1, 2, 8: 2 quarters the third.
    let updates = [vec![3.0, 4.0, 1.0], vec![6.0, 8.0, 2.0], vec![0.0, 5.0, 8.0]];
    let made = run(&rule(OuterRule::MedianNorm), &mut InMemory::cut(&updates, &[2, 1])).values;
    let third = 1.0f32 / 3.0;
    assert_eq!(made, [6.0 * third, 13.0 * third, 5.0 * third]);
    // Of an even number the lower one: 5 and 10 give 5.
    let made = run(&rule(OuterRule::MedianNorm), &mut InMemory::of(&[vec![3.0, 4.0], vec![6.0, 8.0]])).values;
    assert_eq!(made, [3.0, 4.0]);
}

#[test]
fn equal_updates_are_what_they_are() {
    let one = wild(3, 6000);
    for (kind, counts) in [
        // One, two and four equal values have an exact sum and reciprocal; others round.
        (OuterRule::Mean, &[1, 2, 4][..]),
        (OuterRule::Senders, &[1, 2, 4]),
        (OuterRule::MedianNorm, &[1, 2, 4]),
        // Two are dropped on either side, one where there are but four: 1, 2 and 4 remain.
        (OuterRule::TrimmedMean, &[1, 2, 4, 5, 6, 8]),
        // With f = 0, and f = 1 of five, that many are averaged.
        (OuterRule::Krum, &[1, 2, 4, 5]),
    ] {
        for count in counts {
            let made = run(&rule(kind), &mut InMemory::cut(&vec![one.clone(); *count], &LENGTHS)).values;
            // Sums begin at +0, so a zero is positive.
            let same = made.iter().zip(&one).all(|(a, b)| a == b);
            assert!(same, "{kind:?} of {count}");
        }
    }
    // CenteredClip from zero adds the rest of a difference that has rounded: only where it is exact is it the same.
    let exact: Vec<f32> = (0..6000).map(|i| (i % 64) as f32 - 32.0).collect();
    let made = run(&rule(OuterRule::CenteredClip), &mut InMemory::cut(&vec![exact.clone(); 4], &LENGTHS)).values;
    assert_eq!(made, exact);
}

#[test]
fn faulty_updates_of_any_size_move_a_robust_result_by_a_bounded_amount() {
    let (count, faulty) = (11, 2);
    let updates = honest(count);
    let honest_norm = updates.iter().map(|u| norm(u)).fold(0.0, f64::max);
    let robust =
        [OuterRule::MedianNorm, OuterRule::TrimmedMean, OuterRule::Krum, OuterRule::CenteredClip, OuterRule::Sign];
    for kind in robust {
        let truth = run(&rule(kind), &mut InMemory::cut(&updates[faulty..], &LENGTHS)).values;
        for size in [-1e30f32, -1e6, -30.0, 30.0, 1e18, f32::MAX] {
            let mut attacked = updates.clone();
            attacked[..faulty].iter_mut().flatten().for_each(|v| *v = size);
            let made = run(&rule(kind), &mut InMemory::cut(&attacked, &LENGTHS)).values;
            let moved: Vec<f32> = made.iter().zip(&truth).map(|(a, b)| a - b).collect();
            assert!(norm(&moved) < honest_norm, "{kind:?} {size:e}: {} of {honest_norm}", norm(&moved));
        }
    }
    // And the mean is anybody's.
    let mut attacked = updates;
    attacked[0].fill(1e6);
    assert!(norm(&run(&rule(OuterRule::Mean), &mut InMemory::cut(&attacked, &LENGTHS)).values) > 100.0 * honest_norm);
}

/// Attackers who know all honest updates, as many as a rule withstands, fewer than half in any case.
#[test]
fn no_minority_turns_a_robust_rule_against_the_honest_or_has_most_of_them_left_out() {
    let robust =
        [OuterRule::MedianNorm, OuterRule::TrimmedMean, OuterRule::Krum, OuterRule::CenteredClip, OuterRule::Sign];
    for (count, faulty) in (3..=9).flat_map(|n| (1..=(n - 1) / 2).map(move |f| (n, f))) {
        let honest = honest(count - faulty);
        let sum = |i: usize| honest.iter().map(|update| update[i]).sum::<f32>();
        let all: Vec<f32> = (0..6000).map(sum).collect();
        for kind in robust {
            if kind == OuterRule::Krum && count < 2 * faulty + 3 {
                continue;
            }
            let counted = if kind.counts_faulty() { faulty as u32 } else { 0 };
            let recipe = OuterRecipe { rule: kind, faulty: counted, ..OuterRecipe::default() };
            for factor in [-1.0 / honest.len() as f32, -1.0, -1e6, 1e-6, -1e-6, 0.0, 1e6] {
                let bad = vec![all.iter().map(|v| v * factor).collect::<Vec<f32>>(); faulty];
                let updates = [&bad[..], &honest[..]].concat();
                let made = run(&recipe, &mut InMemory::cut(&updates, &LENGTHS));
                let along: f64 = made.values.iter().zip(&all).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                let cosine = along / (norm(&made.values) * norm(&all)).max(1e-30);
                assert!(cosine > 0.3, "{kind:?}: {faulty} of {count} send {factor} of the sum: {cosine}");
                let honest_in = made.chosen.map_or(honest.len(), |c| c.iter().filter(|i| **i >= faulty).count());
                assert!(honest_in >= count - 2 * faulty, "{kind:?}: {faulty} of {count}: {honest_in} are left");
            }
        }
    }
}

#[test]
fn every_engine_makes_the_same_bits_and_reads_as_often_as_is_said() {
    let updates: Vec<Vec<f32>> = (0..7).map(|i| wild(i, 6000)).collect();
    for kind in OuterRule::ALL {
        let made = |engine: Engine| {
            let mut sent = InMemory::cut(&updates, &LENGTHS);
            let tensors = sent.tensors.clone();
            let made = aggregate(engine, &rule(kind), &tensors, &mut sent).unwrap();
            (bits(&made.values), sent.reads)
        };
        let (truth, reads) = made(Engine::definition());
        // What is far out is read fewer times.
        assert!(reads <= super::reads(&rule(kind), &tensors(&LENGTHS), 7) && reads >= 7, "{kind:?}: {reads}");
        for engine in Engine::available() {
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                assert_eq!(pool.install(|| made(engine)), (truth.clone(), reads), "{kind:?} {engine:?} {threads}");
            }
        }
    }
}

#[test]
fn groups_hold_no_more_than_one_model_of_all_updates_or_one_tensor() {
    for (lengths, count) in [(&[10, 10, 10, 10][..], 2), (&[1, 2, 3, 40, 5, 6], 3), (&[7], 5), (&[5; 30], 4)] {
        let tensors = tensors(lengths);
        let groups = given::groups(&tensors, count);
        assert_eq!(groups.iter().cloned().flatten().collect::<Vec<_>>(), (0..lengths.len()).collect::<Vec<_>>());
        let total: usize = lengths.iter().sum();
        for group in &groups {
            let held: usize = lengths[group.clone()].iter().sum();
            assert!(held * count <= total || held <= *lengths.iter().max().unwrap(), "{lengths:?}: {group:?}");
        }
        assert!(groups.len() <= 2 * count, "{lengths:?}: {groups:?}");
    }
}

/// Three rounds of one parameter with g = 1, 1, -2, alpha = 0.5, mu = 0.5, from theta = 8.
fn walk(nesterov: bool) -> Vec<(f32, f32)> {
    let recipe = OuterRecipe { lr: 0.5, momentum: 0.5, nesterov, ..OuterRecipe::default() };
    let (mut theta, mut buffer) = ([8.0], [0.0]);
    let step = |g: &f32| {
        descend(Engine::detect(), &recipe, &tensors(&[1]), &mut theta, vec![*g], Some(&mut buffer)).unwrap();
        (buffer[0], theta[0])
    };
    [1.0, 1.0, -2.0].iter().map(step).collect()
}

#[test]
fn momentum_by_hand() {
    // b = 1, 1.5, -1.25; theta = 8 - 0.5, - 0.75, + 0.625.
    assert_eq!(walk(false), [(1.0, 7.5), (1.5, 6.75), (-1.25, 7.375)]);
    // Nesterov's, as in DiLoCo (2311.08105) by PyTorch's SGD: d = g + 0.5 b = 1.5, 1.75, -2.625;
    // theta = 8 - 0.75, - 0.875, + 1.3125.
    assert_eq!(walk(true), [(1.0, 7.25), (1.5, 6.375), (-1.25, 7.6875)]);
}

#[test]
fn a_momentum_that_overflows_names_its_tensor() {
    let recipe = OuterRecipe { momentum: 0.9, ..OuterRecipe::default() };
    let mut buffer = [f32::MAX];
    let (mut theta, g) = ([0.0], vec![f32::MAX]);
    let error = descend(Engine::detect(), &recipe, &tensors(&[1]), &mut theta, g, Some(&mut buffer)).unwrap_err();
    assert!(error.to_string().contains("tensor t000: element 0"), "{error}");
}
