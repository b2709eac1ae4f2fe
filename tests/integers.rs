//! Rounds under `arithmetic = 2`: played, replayed whole and sampled, scored, aggregated; and who computes by the other arithmetic is
//! found. The suites of replays, lies, audits and pay run under it whole with `L402_TEST_ARITHMETIC=2` (`just test-integers`);
//! `tests/dispute.rs` has its own.

mod common;

use common::work::Bench;
use common::{FULL, WORKERS, World, beacon};
use l402::engine::{Arithmetic, Engine};
use l402::model::Model;
use l402::verify::{ChunkIndex, Sampling, Verdict};

fn world() -> World {
    let world = World::new(FULL);
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    world.write("r.toml", recipe.replace("arithmetic = 1", "arithmetic = 2").as_bytes());
    world
}

#[test]
fn rounds_of_integers_are_exact_and_gain() {
    let world = world();
    world.play(0);
    world.play(1);
    for who in WORKERS {
        world.ok(&world.replay(1, who, &format!("{who}.1.update")));
    }
    // On one thread, in small micro-batches with layers computed again, it is the same.
    let again = format!("{} --threads 1 --activation-memory 0", world.replay(1, "ann", "ann.1.update"));
    world.ok(&again);
    let scores = String::from_utf8(world.bytes("1.scores.jsonl")).unwrap();
    let counting = scores.lines().filter(|line| line.contains("\"counts\":true")).count();
    assert_eq!(counting, WORKERS.len(), "{scores}");
}

#[test]
fn work_by_the_other_arithmetic_is_found_whole_and_sampled() {
    let world = world();
    world.play(0);
    world.assign(1);
    let bench = Bench::new(&world, 1, "bob");
    let honest = bench.honest();
    let chunks = ChunkIndex::new(&bench.folder.layout).total;
    let sampling = || Sampling { beacon: beacon("draw").parse().unwrap(), segments: bench.recipe.inner.steps, chunks };
    assert_eq!(bench.replay(&honest.update).finding, Verdict::Exact);
    assert_eq!(bench.sampled(&honest, sampling()).finding, Verdict::Sampled);

    let mut floats = Bench::new(&world, 1, "bob");
    let seq_len = bench.recipe.data.seq_len;
    floats.model = Model::new(bench.folder.config.clone(), Engine::detect(), Arithmetic::Float, seq_len);
    let done = floats.honest();
    assert!(done.update != honest.update);
    assert_eq!(bench.replay(&done.update).finding, Verdict::Mismatch);
    assert_eq!(bench.sampled(&done, sampling()).finding, Verdict::Mismatch);
}

#[test]
fn a_number_that_is_no_contract_is_refused_by_name() {
    let world = world();
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    world.write("r.toml", recipe.replace("arithmetic = 2", "arithmetic = 3").as_bytes());
    world.expect("inspect r.toml", 65, "arithmetic: expected 1 (float32 chains) or 2 (exact integers)");
}
