//! Sampled replay: every cheat against whole and sampled replays, and the rate at which samples find it.

mod common;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use common::work::{Bench, Done};
use common::{FULL, Kind, WORKERS, World, beacon};
use l402::artifact::recipe::Accept;
use l402::artifact::{Digest, Header, Meta, Reader, Recipe, Writer, record};
use l402::codec::Feedback;
use l402::data::{Assignment, Shard};
use l402::fsio::Source;
use l402::optimizer::{State, StepReport};
use l402::score::Acceptance;
use l402::verify::{ChunkIndex, Finding, Nearness, Sample, Sampling, Verdict, missed_ppm, missed_segments_ppm};

/// Inner steps, and segments: a leaf after each.
const STEPS: u32 = 10;
/// Segments drawn.
const K: u32 = 3;
const DRAWS: u32 = 1000;

/// A codec of which each chunk shows all of its own.
const BY_CHUNK: Kind = Kind { codec: "l402", ..FULL };

/// Round 0 played by all, everyone's work of round 1 done: what has every kind of state.
static WORLD: LazyLock<World> = LazyLock::new(|| {
    let world = World::new(BY_CHUNK);
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    world.write("r.toml", recipe.replace("steps = 3", &format!("steps = {STEPS}")).as_bytes());
    world.play(0);
    world.assign(1);
    WORKERS.iter().for_each(|who| world.work(1, who));
    world
});

fn bench() -> Bench {
    Bench::new(&WORLD, 1, "bob")
}

fn draw(number: u32) -> Digest {
    beacon(&format!("draw {number}")).parse().unwrap()
}

fn sampling(number: u32, segments: u32, chunks: usize) -> Sampling {
    Sampling { beacon: draw(number), segments, chunks }
}

/// A draw of this segment, and the last one.
fn drawing(bench: &Bench, segment: u32) -> Sampling {
    if segment == STEPS - 1 {
        return sampling(0, 1, 0);
    }
    let run = bench.recipe.digest();
    let hits = |n: &u32| bench.audit(&run, &draw(*n)).segments(2, STEPS).contains(&segment);
    sampling((0..10_000).find(hits).unwrap(), 2, 0)
}

/// Which segments a replay of each finds a cheat in: real replays, one a segment.
fn bad_segments(bench: &Bench, done: &Done) -> Vec<u32> {
    let differs = |segment: &u32| {
        let finding = bench.sampled(done, drawing(bench, *segment));
        let differs = finding.differs.unwrap_or_default();
        let own = [format!("segment {segment}: "), format!("state at step {segment}: ")];
        own.iter().any(|own| differs.starts_with(own)) || (*segment == 0 && differs == "state (inner optimiser)")
    };
    (0..STEPS).filter(differs).collect()
}

/// How often `caught` of a thousand drawn beacons lies from what is predicted, in standard deviations of the binomial.
#[track_caller]
fn at_the_rate(what: &str, missed_ppm: u64, caught: impl Fn(u32) -> bool) {
    let found = (0..DRAWS).filter(|n| caught(*n)).count() as f64 / f64::from(DRAWS);
    let predicted = 1.0 - missed_ppm as f64 / 1e6;
    let sigma = (predicted * (1.0 - predicted) / f64::from(DRAWS)).sqrt();
    // Beyond four standard deviations once in 16,000 tests; the draws are seeded, so once and for all.
    assert!((found - predicted).abs() <= 4.0 * sigma + 1e-6, "{what}: caught {found}, predicted {predicted}");
}

/// Whole replay finds it; samples of three segments find it as often as predicted for what is bad.
#[track_caller]
fn found_at_the_predicted_rate(what: &str, bench: &Bench, done: &Done, expected_bad: &[u32]) {
    let whole = bench.replay(&done.update);
    assert_eq!(whole.finding, Verdict::Mismatch, "{what}");
    let bad = bad_segments(bench, done);
    assert_eq!(bad, expected_bad, "{what}");
    let run = bench.recipe.digest();
    let in_last = bad.contains(&(STEPS - 1));
    let missed = if in_last { 0 } else { missed_segments_ppm(STEPS, K, bad.len() as u32) };
    at_the_rate(what, missed, |n| bench.audit(&run, &draw(n)).segments(K, STEPS).iter().any(|s| bad.contains(s)));
    // And the draws are what a replay draws.
    for n in 0..12 {
        let finding = bench.sampled(done, sampling(n, K, 0));
        let sample = finding.sample.clone().unwrap();
        let caught = sample.segments.iter().any(|s| bad.contains(s));
        assert_eq!(finding.finding == Verdict::Mismatch, caught, "{what}: {finding:?}");
        assert_eq!(
            sample.missed_ppm[bad.len().clamp(1, 9) - 1],
            missed_segments_ppm(STEPS, K, bad.len().clamp(1, 9) as u32)
        );
    }
}

/// A cheat that takes these steps in its own way, and the others as it should.
fn cheats_in(bench: &Bench, steps: &[u32], how: impl Fn(u32, State) -> State) -> Done {
    bench.work(bench.start(), bench.before.feedback.clone(), |step, state| {
        if !steps.contains(&step) {
            return bench.step(&bench.shard, step, state);
        }
        let (report, honest) = bench.step(&bench.shard, step, state.clone());
        let mut state = how(step, state);
        // What the books would show.
        state.moments.steps = honest.moments.steps;
        (report, state)
    })
}

/// Small moves that look like work.
fn noise(step: u32, mut state: State) -> State {
    let key = Digest::of(&step.to_le_bytes()).philox_key();
    for (i, p) in (0..).zip(&mut state.parameters) {
        *p += 1e-4 * l402::engine::philox::normal(key, i);
    }
    state
}

#[test]
fn honest_work_passes_every_sample_and_the_finding_says_what_was_looked_at() {
    let bench = bench();
    let done = bench.honest();
    assert_eq!(done.update, WORLD.bytes("bob.1.update"));
    assert_eq!(bench.replay(&done.update).finding, Verdict::Exact);
    let total = ChunkIndex::new(&bench.folder.layout).total;
    for n in 0..25 {
        let finding = bench.sampled(&done, sampling(n, 1 + n % STEPS, 1 + n as usize));
        assert_eq!(finding.finding, Verdict::Sampled, "{finding:?}");
        let sample = finding.sample.unwrap();
        assert_eq!(sample.segments.last(), Some(&(STEPS - 1)));
        assert_eq!(finding.steps, sample.segments.len() as u64);
        assert_eq!((sample.chunks, sample.of_chunks), ((1 + n as u64).min(total as u64), total as u64));
    }
}

#[test]
fn honest_work_by_any_codec_passes_a_sample_with_all_of_its_chunks() {
    for codec in ["l402", "sparseloco", "demo", "e3m0", "int8", "blockwise8", "f16", "dense"] {
        let world = World::new(Kind { codec, ..FULL });
        world.play(0);
        world.assign(1);
        let bench = Bench::new(&world, 1, "bob");
        let done = bench.honest();
        assert_eq!(bench.replay(&done.update).finding, Verdict::Exact, "{codec}");
        let all = ChunkIndex::new(&bench.folder.layout).total;
        let finding = bench.sampled(&done, sampling(1, K, all));
        assert_eq!(finding.finding, Verdict::Sampled, "{codec}: {finding:?}");
    }
}

#[test]
fn noise_instead_of_work_is_found_by_every_sample() {
    let bench = bench();
    let all: Vec<u32> = (0..STEPS).collect();
    let done = cheats_in(&bench, &all, noise);
    found_at_the_predicted_rate("noise", &bench, &done, &all);
}

#[test]
fn fewer_steps_than_claimed_are_found_by_every_sample() {
    let bench = bench();
    let skipped: Vec<u32> = (4..STEPS).collect();
    let done = cheats_in(&bench, &skipped, |_, state| state);
    found_at_the_predicted_rate("lazy", &bench, &done, &skipped);
}

#[test]
fn work_on_other_data_is_found_by_every_sample() {
    let bench = bench();
    let assignments: Vec<Assignment> = record::read(&WORLD.path("1.assignments.jsonl")).unwrap();
    let other = assignments.iter().find(|a| a.shard != bench.assignment.shard).unwrap();
    let other = Shard::open(Source::open(&WORLD.path(&format!("shards/{}", other.shard))).unwrap()).unwrap();
    let done = bench.work(bench.start(), bench.before.feedback.clone(), |step, state| bench.step(&other, step, state));
    found_at_the_predicted_rate("other data", &bench, &done, &(0..STEPS).collect::<Vec<_>>());
}

#[test]
fn a_cheat_in_the_last_step_alone_is_always_found() {
    let bench = bench();
    let done = cheats_in(&bench, &[STEPS - 1], noise);
    found_at_the_predicted_rate("last", &bench, &done, &[STEPS - 1]);
}

#[test]
fn a_cheat_in_some_steps_is_found_as_often_as_one_of_them_is_drawn() {
    let bench = bench();
    for steps in [&[0][..], &[5], &[2, 7], &[0, 3, 4, 8]] {
        let done = cheats_in(&bench, steps, noise);
        found_at_the_predicted_rate(&format!("steps {steps:?}"), &bench, &done, steps);
    }
}

/// A copy of an update with other metadata, as a liar would write it.
fn relabelled(update: &[u8], change: impl Fn(&mut Meta)) -> Vec<u8> {
    let mut reader = Reader::open(Source::bytes("lie", update.to_vec()).unwrap()).unwrap();
    let header = reader.header().clone();
    let mut meta = Meta(header.metadata);
    change(&mut meta);
    let mut writer = Writer::new("lie", Vec::new(), Header::new(meta.0, header.tensors)).unwrap();
    while let Some((info, data)) = reader.next_tensor().unwrap() {
        writer.bytes(&info.name, &data).unwrap();
    }
    writer.finish().unwrap().0
}

/// Found by whole replay, and by every sample, whatever is drawn.
#[track_caller]
fn always_found(bench: &Bench, done: &Done, differs: &str) {
    let names = |finding: &Finding| finding.differs.clone().unwrap_or_default();
    assert_eq!(bench.replay(&done.update).finding, Verdict::Mismatch);
    for n in 0..8 {
        let finding = bench.sampled(done, sampling(n, 1 + n % K, 8));
        assert_eq!(finding.finding, Verdict::Mismatch, "draw {n}");
        assert!(names(&finding).contains(differs), "expected {differs:?}, found {:?}", names(&finding));
    }
}

#[test]
fn an_old_update_and_anothers_update_under_ones_own_name_are_always_found() {
    let bench = bench();
    let honest = bench.honest();
    let with = |update: Vec<u8>| Done { update, ..bench.honest() };
    let own = Meta(Reader::open(Source::bytes("u", honest.update.clone()).unwrap()).unwrap().header().metadata.clone());
    let inputs = ["run", "round", "worker", "theta", "assignment", "shard", "inner_in", "feedback_in"];
    for (update, differs) in [("bob.0.update", "round"), ("ann.1.update", "worker")] {
        let update = WORLD.bytes(update);
        always_found(&bench, &with(update.clone()), differs);
        // With every claim of its own: its leaves are other ones.
        let disguised = relabelled(&update, |meta| {
            meta.copy(&own, &inputs);
        });
        always_found(&bench, &with(disguised.clone()), "openings");
        // With the honest leaves and states as well, copied from somebody who worked: its tensors are others.
        let disguised = relabelled(&disguised, |meta| {
            meta.copy(&own, &["leaves", "inner_out", "delta", "feedback_out"]);
        });
        let done = with(disguised);
        assert_eq!(bench.replay(&done.update).finding, Verdict::Mismatch);
        let finding = bench.sampled(&done, sampling(0, K, ChunkIndex::new(&bench.folder.layout).total));
        assert_eq!(finding.finding, Verdict::Mismatch);
        assert!(finding.differs.unwrap().contains("chunk"));
    }
}

#[test]
fn leaves_that_do_not_match_the_update_are_always_found() {
    let bench = bench();
    let mut done = bench.honest();
    done.update = relabelled(&done.update, |meta| {
        meta.set("leaves", beacon("other leaves"));
    });
    always_found(&bench, &done, "openings");
    let mut done = bench.honest();
    done.leaves[3].losses_q32 = vec!["1".into()];
    let finding = bench.sampled(&done, drawing(&bench, 3));
    assert_eq!(finding.finding, Verdict::Mismatch);
    // Whoever commits to such a leaf has committed to a lie.
    let done = bench.work_with(
        bench.start(),
        bench.before.feedback.clone(),
        |step, state| bench.step(&bench.shard, step, state),
        |leaves| leaves[3].losses_q32 = vec!["1".into()],
    );
    found_at_the_predicted_rate("a lie about a loss", &bench, &done, &[3]);
}

#[test]
fn what_an_update_says_beside_its_work_is_always_found() {
    let bench = bench();
    let with = |change: &dyn Fn(&mut Meta)| {
        let honest = bench.honest();
        Done { update: relabelled(&honest.update, change), ..honest }
    };
    let shapes = bench.update(&bench.honest().update).shapes().to_json();
    // The same elements in the same order.
    let other = shapes.replacen("[32]", "[1,32]", 1);
    assert_ne!(other, shapes);
    let shapes = with(&|meta| {
        meta.set("shapes", &other);
    });
    always_found(&bench, &shapes, "metadata l402.shapes");
    for key in ["note", "inner_out", "delta"] {
        let lie = with(&|meta| {
            meta.set(key, beacon("made up"));
        });
        always_found(&bench, &lie, &format!("metadata l402.{key}"));
    }
}

#[test]
fn a_forged_state_is_found_where_its_segment_is_drawn() {
    let bench = bench();
    // Moments that no earlier round left, under the digest of those that it did.
    let mut start = bench.start();
    start.moments.first.iter_mut().for_each(|m| *m *= 0.5);
    let done = bench.work(start, bench.before.feedback.clone(), |step, state| bench.step(&bench.shard, step, state));
    found_at_the_predicted_rate("forged moments", &bench, &done, &[0]);
    // Another state than the one that the segment before ended in.
    let done = bench.work(bench.start(), bench.before.feedback.clone(), |step, state| {
        bench.step(&bench.shard, step, if step == 6 { noise(6, state) } else { state })
    });
    found_at_the_predicted_rate("a state between two segments", &bench, &done, &[6]);
    // A forged state shown for honest work.
    let done = bench.honest();
    let forged = noise(1, done.states[&4].clone());
    let finding = bench.sampled_with(&done, drawing(&bench, 4), |shown| shown.bent_state = Some(forged));
    assert_eq!(finding.finding, Verdict::Mismatch);
    assert_eq!(finding.differs.as_deref(), Some("state at step 4: parameters"));
}

#[test]
fn a_wrong_proof_is_always_found() {
    let bench = bench();
    let done = bench.honest();
    let refused = |what: &str, finding: Finding, differs: &str| {
        assert_eq!(finding.finding, Verdict::Mismatch, "{what}");
        assert!(finding.differs.as_deref().unwrap().contains(differs), "{what}: {finding:?}");
    };
    let at = sampling(1, K, 5);
    refused("bent", bench.sampled_with(&done, at, |s| s.leaves[0].path[1].0[5] ^= 1), "openings");
    refused("short", bench.sampled_with(&done, at, |s| s.leaves[0].path.truncate(1)), "openings");
    refused("long", bench.sampled_with(&done, at, |s| s.leaves[0].path.push(draw(0))), "openings");
    refused("elsewhere", bench.sampled_with(&done, at, |s| s.leaves[0].index ^= 1), "openings");
    refused("absent", bench.sampled_with(&done, at, |s| drop(s.leaves.pop())), "openings");
    refused("bent chunk", bench.sampled_with(&done, at, |s| s.chunks[2].after[0].0[0] ^= 1), "error feedback after");
    refused("cut chunk", bench.sampled_with(&done, at, |s| s.chunks[2].after.truncate(1)), "openings");
    refused("chunks", bench.sampled_with(&done, at, |s| drop(s.chunks.pop())), "openings");
    let value = |shown: &mut common::work::InMemory<'_>| shown.chunks[0].before.as_mut().unwrap().0[0] += 1.0;
    refused("value", bench.sampled_with(&done, at, value), "error feedback before");
}

#[test]
fn what_no_encoder_writes_is_found() {
    let bench = bench();
    let mut done = bench.honest();
    let data = 8 + u64::from_le_bytes(done.update[..8].try_into().unwrap()) as usize;
    done.update[data..].fill(0xff);
    let finding = bench.sampled(&done, sampling(1, 1, 4));
    assert_eq!(finding.differs, Some(format!("tensor {}: sent", bench.folder.layout.tensors[0].name)));
    assert_eq!(finding.expected.as_deref(), Some("what the codec writes"));
}

/// A copy of an error feedback with some tensors' values changed.
fn tampered(feedback: &[u8], change: impl Fn(usize, &mut [f32])) -> Vec<u8> {
    let mut reader = Reader::open(Source::bytes("f", feedback.to_vec()).unwrap()).unwrap();
    let header = reader.header().clone();
    let mut writer = Writer::new("f", Vec::new(), header.clone()).unwrap();
    for (i, info) in header.tensors.iter().enumerate() {
        let mut values = reader.next_f32(&info.name, &info.shape).unwrap();
        change(i, &mut values);
        writer.f32(&info.name, &values).unwrap();
    }
    writer.finish().unwrap().0
}

#[test]
fn error_feedback_that_was_tampered_with_is_found_as_often_as_its_chunk_is_drawn() {
    let bench = bench();
    let index = ChunkIndex::new(&bench.folder.layout);
    let honest = bench.before.feedback.clone().unwrap();
    let digest = Feedback::digest_of(Reader::open(Source::bytes("f", honest.clone()).unwrap()).unwrap()).unwrap();
    let whose_tensor = |tensors: &[usize]| -> Vec<usize> {
        (0..index.total).filter(|n| tensors.contains(&index.at(*n).tensor)).collect()
    };
    // One chunk, some, and all of them.
    for tensors in [&[3][..], &[1, 5, 9], &(0..bench.folder.layout.tensors.len()).collect::<Vec<_>>()] {
        let bad = whose_tensor(tensors);
        let forged = tampered(&honest, |i, values| {
            if tensors.contains(&i) {
                values.iter_mut().for_each(|v| *v = 3.0 * *v + 1e-3);
            }
        });
        let mut done = bench.work(bench.start(), Some(forged), |step, state| bench.step(&bench.shard, step, state));
        // What remains of it is consistent; only where it began is a lie.
        let update = done.update.clone();
        let after = Feedback::meta_after(&bench.update(&update).meta().clone(), &digest.to_string());
        let left = tampered(&done.feedback_after, |_, _| {});
        let mut reader = Reader::open(Source::bytes("f", left).unwrap()).unwrap();
        let mut writer = Writer::new("f", Vec::new(), Header::new(after.0, reader.header().tensors.clone())).unwrap();
        while let Some((info, data)) = reader.next_tensor().unwrap() {
            writer.bytes(&info.name, &data).unwrap();
        }
        done.feedback_after = writer.finish().unwrap().0;
        let out = Feedback::digest_of(Reader::open(Source::bytes("f", done.feedback_after.clone()).unwrap()).unwrap());
        done.update = relabelled(&update, |meta| {
            meta.set("feedback_in", digest).set("feedback_out", out.as_ref().unwrap());
        });
        assert_eq!(bench.replay(&done.update).finding, Verdict::Mismatch);
        // Each chunk's finding is that of a real replay that draws many; shown is either the forged or the honest state.
        // The forged state as a whole leads nowhere; shown as it should be, it does not give what was sent.
        let all: Vec<usize> = (0..index.total).collect();
        for (shown, bad) in [(done.feedback_before.clone(), &all), (Some(honest.clone()), &bad)] {
            let done = Done {
                feedback_before: shown,
                states: BTreeMap::from([(STEPS - 1, done.states[&(STEPS - 1)].clone())]),
                update: done.update.clone(),
                context: done.context.clone(),
                leaves: done.leaves.clone(),
                feedback_after: done.feedback_after.clone(),
            };
            let run = bench.recipe.digest();
            let drawn = |n: u32, count: usize| bench.audit(&run, &draw(n)).chunks(count, index.total);
            let mut found: BTreeMap<usize, bool> = BTreeMap::new();
            for n in 0.. {
                if found.len() == index.total {
                    break;
                }
                let chunk = drawn(n, 1)[0];
                found
                    .entry(chunk)
                    .or_insert_with(|| bench.sampled(&done, sampling(n, 1, 1)).finding == Verdict::Mismatch);
            }
            let caught: Vec<usize> = found.iter().filter(|(_, bad)| **bad).map(|(chunk, _)| *chunk).collect();
            assert_eq!(caught, *bad);
            let missed = missed_ppm(index.total as u64, 6, bad.len() as u64);
            at_the_rate("chunks", missed, |n| drawn(n, 6).iter().any(|chunk| bad.contains(chunk)));
        }
    }
}

#[test]
fn a_state_carried_over_a_rejected_round_is_always_found() {
    // As if bob's round 0 had not counted: his round 1 must begin from zero.
    let mut bench = bench();
    let done = bench.honest();
    bench.before = common::work::Before { moments: None, feedback: None, previous: None };
    always_found(&bench, &done, "state");
    let fresh = bench.honest();
    assert_eq!(bench.replay(&fresh.update).finding, Verdict::Exact);
    assert_eq!(bench.sampled(&fresh, sampling(0, K, 4)).finding, Verdict::Sampled);
}

#[test]
fn a_jump_that_no_work_could_make_is_found_without_drawing_it() {
    let bench = bench();
    let done = cheats_in(&bench, &[2], |_, mut state| {
        state.parameters[77] += 1.0;
        state
    });
    for n in 0..6 {
        let finding = bench.sampled(&done, sampling(n, 1, 0));
        assert_eq!(finding.finding, Verdict::Mismatch);
        assert!(finding.expected.unwrap().contains(" steps of AdamW can reach from "));
    }
}

#[test]
fn steps_that_the_moments_have_not_seen_are_found_without_drawing_them() {
    // Carried moments of round 0 have seen ten steps: neither none nor a thousand, nor another number in each leaf.
    for from in [0, 4] {
        let bench = bench();
        let done = bench.work(bench.start(), bench.before.feedback.clone(), |step, mut state| {
            if step == from {
                state.moments.steps += 1000;
            }
            bench.step(&bench.shard, step, state)
        });
        for n in 0..6 {
            let finding = bench.sampled(&done, sampling(n, 1, 0));
            assert_eq!(finding.finding, Verdict::Mismatch);
            assert!(finding.differs.unwrap().ends_with(": steps"));
        }
    }
}

fn report_of(output: &std::process::Output) -> serde_json::Value {
    common::records(&output.stdout, "finding")[0].clone()
}

#[test]
fn a_worker_shows_with_open_what_a_coordinator_samples_with_replay() {
    let world = &*WORLD;
    let train = format!("{} --leaves cy.leaves --openings cy.kept --keep-states 2 -o cy.again", world.train(1, "cy"));
    world.ok(&train);
    let kept: Vec<String> = world.listing("cy.kept").into_iter().filter(|name| name.ends_with(".state")).collect();
    assert_eq!(kept, ["step-00000003.state", "step-00000006.state"]);
    let shard = world.shard_of(1, "cy");
    let open = |draw: &str, out: &str| {
        format!(
            "open --recipe r.toml --model theta-1 --shard shards/{shard} --round 1 --worker cy \
             --assignments 1.assignments.jsonl --coordinator {} --state cy.0.moments --state cy.0.feedback \
             --feedback cy.1.feedback --openings cy.kept {draw} -o {out}",
            world.coordinator
        )
    };
    let sampled = world.replay_with(1, "cy", "r.toml", "theta-1", "1.assignments.jsonl", "cy.1.update")
        + " --previous cy.0.update --leaves cy.leaves";
    let replay = |draw: &str, out: &str| format!("{sampled} --openings {out} {draw}");
    for (i, amount) in
        ["--segments 3", "--segments 1", "--segments 99", "--catch 60/2", "--catch 99"].iter().enumerate()
    {
        let draw = format!("{amount} --beacon {}", beacon(&format!("b{i}")));
        let out = format!("cy.shown.{i}");
        world.ok(&open(&draw, &out));
        let output = world.expect(&replay(&draw, &out), 0, "sampled");
        let finding = report_of(&output);
        assert_eq!(finding["finding"], "sampled");
        let bytes: u64 = world
            .listing(&out)
            .iter()
            .map(|f| std::fs::metadata(world.path(&format!("{out}/{f}"))).unwrap().len())
            .sum();
        assert_eq!(finding["sample"]["opened_bytes"], bytes, "{draw}");
    }
    // Of nine others a draw of 8 misses one bad segment with 1/9: 99 % asks for all, 60 % of two for four of nine.
    let drawn = |i: usize| {
        report_of(&world.ok(&replay(
            &format!(
                "{} --beacon {}",
                ["--segments 3", "--segments 1", "--segments 99", "--catch 60/2", "--catch 99"][i],
                beacon(&format!("b{i}"))
            ),
            &format!("cy.shown.{i}"),
        )))["sample"]["segments"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!([drawn(0), drawn(1), drawn(2), drawn(3), drawn(4)], [3, 1, 10, 5, 10]);

    // With the whole error feedback at hand every chunk is checked, and nothing of it is opened.
    let draw = format!("--segments 3 --beacon {}", beacon("b0"));
    let whole = report_of(&world.ok(&format!("{} --state cy.0.feedback", replay(&draw, "cy.shown.0"))));
    assert_eq!(whole["sample"]["chunks"], whole["sample"]["of_chunks"]);

    // What is missing, bent or of another draw.
    let other = format!("--segments 3 --beacon {}", beacon("b5"));
    world.expect(&replay(&other, "cy.shown.1"), 66, "cy.shown.1");
    world.expect(&replay(&draw, "cy.nowhere"), 66, "cy.nowhere");
    world.expect(&format!("{sampled} {draw}"), 2, "--openings");
    for name in world.listing("cy.shown.0") {
        let file = format!("cy.shown.0/{name}");
        let bytes = world.bytes(&file);
        for k in 0..6 {
            let mut bent = bytes.clone();
            let at = if k == 0 { bytes.len() - 2 } else { common::draw(&format!("{name} {k}"), bytes.len()) };
            bent[at] ^= 1;
            world.write(&file, &bent);
            let output = world.run(&replay(&draw, "cy.shown.0"));
            // What a state says of itself beside its values counts for nothing.
            let metadata = name.ends_with(".state")
                && at < 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize
                || name == "chunks.safetensors" && at < 700;
            if !metadata {
                assert_eq!(output.status.code(), Some(1), "{name} byte {at}: {}", common::talk(&output));
            }
        }
        world.write(&file, &bytes[..bytes.len() / 2]);
        world.expect(&replay(&draw, "cy.shown.0"), 1, "openings");
        world.write(&file, &bytes);
    }
    world.ok(&replay(&draw, "cy.shown.0"));

    // Fewer chunks than were shown.
    world.expect(&format!("{} --chunks 2", replay(&draw, "cy.shown.0")), 1, " tensors, found ");

    // Leaves that are not the update's.
    let leaves = String::from_utf8(world.bytes("cy.leaves")).unwrap();
    world.write("bent.leaves", leaves.replacen("\"step\":4", "\"step\":5", 1).as_bytes());
    world.expect(&replay(&draw, "cy.shown.0").replace("cy.leaves", "bent.leaves"), 1, "leaves");
    world.ok(&format!("{} --leaves ann.leaves -o ann.again", world.train(1, "ann")));
    world.expect(&replay(&draw, "cy.shown.0").replace("cy.leaves", "ann.leaves"), 1, "leaves");
}

#[test]
fn one_step_report_is_not_enough_for_another() {
    // Sequences, losses and steps are all bound: a report of another step makes another leaf.
    let bench = bench();
    let done = bench.honest();
    let swapped = bench.work(bench.start(), bench.before.feedback.clone(), |step, state| {
        let (report, after) = bench.step(&bench.shard, step, state);
        (StepReport { sequences: report.sequences.iter().rev().copied().collect(), ..report }, after)
    });
    assert_eq!(swapped.leaves[0].parameters, done.leaves[0].parameters);
    assert_ne!(swapped.leaves[0].batches, done.leaves[0].batches);
    found_at_the_predicted_rate("batches", &bench, &swapped, &(0..STEPS).collect::<Vec<_>>());
}

#[test]
fn an_update_within_a_tolerance_is_near_and_never_exact() {
    let world = &*WORLD;
    let bench = bench();
    // As a foreign engine would make it: the same work with rounding of its own in every step.
    let nudged = bench.work(bench.start(), bench.before.feedback.clone(), |step, state| {
        let (report, mut state) = bench.step(&bench.shard, step, state);
        state.parameters.iter_mut().for_each(|p| *p *= 1.0 + f32::EPSILON);
        (report, state)
    });
    world.write("foreign.update", &nudged.update);
    let replay = world.replay(1, "bob", "foreign.update");
    world.expect(&replay, 1, "mismatch");
    let finding = report_of(&world.expect(&format!("{replay} --tolerance 0.5"), 0, "near, not exact"));
    assert_eq!(finding["finding"], "near");
    assert_eq!(finding["near"]["tolerance_ppm"], 500_000);
    let error = finding["near"]["error_ppm"].as_u64().unwrap();
    assert!(error > 0 && finding["near"]["cosine_ppm"].as_u64().unwrap() < 1_000_000, "{finding}");
    let below = format!("{replay} --tolerance {}", (error - 1) as f64 / 1e6);
    let tensor = finding["near"]["error_tensor"].as_str().unwrap();
    world.expect(&below, 1, tensor);
    // All that it says of itself but what it has digests of its own for is what exact work says.
    let noted = relabelled(&nudged.update, |meta| {
        meta.set("note", "made up");
    });
    world.write("noted.update", &noted);
    world.expect(&format!("{} --tolerance 0.5", world.replay(1, "bob", "noted.update")), 1, "metadata l402.note");
    // What is equal is exact, whatever is tolerated; other inputs are never near.
    let exact = format!("{} --tolerance 1", world.replay(1, "bob", "bob.1.update"));
    assert_eq!(report_of(&world.ok(&exact))["finding"], "exact");
    world.expect(&format!("{} --tolerance 1", world.replay(1, "bob", "ann.1.update")), 1, "worker");
    world.expect(&format!("{replay} --tolerance 1.5"), 2, "from 0 to 1");
}

#[test]
fn what_was_sampled_or_near_counts_where_the_recipe_accepts_it() {
    // What counts by a recipe that accepts this, where this is drawn.
    let counts = |accept: &str, draw: &str| -> Vec<(bool, String)> {
        let world = World::new(Kind { state: "reset", ..FULL });
        let recipe = String::from_utf8(world.bytes("r.toml")).unwrap().replace("steps = 3", "steps = 6");
        let verify =
            format!("[verify]\naccept = \"{accept}\"\nchunks = 5\ntolerance_ppm = 500000\n[codec]\nfeedback = 0.0");
        world.write("r.toml", recipe.replace("[codec]", &verify).as_bytes());
        world.assign(0);
        WORKERS.iter().for_each(|who| {
            world.ok(&format!("{} --openings {who}.kept -o {who}.delta", world.train(0, who)));
            world.ok(&format!("compress --recipe r.toml {who}.delta --state-out {who}.0.feedback -o {who}.0.update"));
        });
        world.commit_all(0);
        let findings = WORKERS.map(|who| {
            let shard = world.shard_of(0, who);
            let inputs = format!(
                "--recipe r.toml --model theta-0 --assignments 0.assignments.jsonl --coordinator {}",
                world.coordinator
            );
            if draw.contains("segments") {
                world.ok(&format!(
                    "open {inputs} --shard shards/{shard} --round 0 --worker {who} --feedback {who}.0.feedback \
                     --openings {who}.kept {draw} -o {who}.shown"
                ));
            }
            let shown = if draw.contains("segments") { format!("--openings {who}.shown") } else { String::new() };
            world
                .text(&format!("replay {inputs} --worker {who} --shards shards --update {who}.0.update {draw} {shown}"))
        });
        world.write("0.findings.jsonl", findings.concat().as_bytes());
        let updates = WORKERS.map(|who| format!("{who}.0.update"));
        let scores = world.ok(&world.score(0, &updates.each_ref().map(String::as_str))).stdout;
        let of = |s: &serde_json::Value| (s["counts"] == true, s["reason"].as_str().unwrap_or("").to_owned());
        common::records(&scores, "score").iter().map(of).collect()
    };
    let all = |counts: bool, reason: &str| vec![(counts, reason.to_owned()); 3];
    // The beacon is the round's second one, by which `score` draws as well.
    let drawn = |k: u32| format!("--segments {k} --beacon {}", beacon("second 0"));
    assert_eq!(counts("exact", &drawn(3)), all(false, "replayed in part"));
    assert_eq!(counts("sampled", &drawn(3)), all(true, ""));
    assert_eq!(counts("sampled", &drawn(2)), all(false, "too little of it was replayed"));
    assert_eq!(
        counts("sampled", &drawn(3).replace(&beacon("second 0"), &beacon("mine"))),
        all(false, "sampled by another beacon")
    );
    assert_eq!(counts("sampled", ""), all(true, ""));
    assert_eq!(counts("near", ""), all(true, ""));
    assert_eq!(counts("near", "--tolerance 0.5"), all(true, ""));
}

#[test]
fn what_a_finding_says_of_itself_is_held_against_recipe_model_and_beacon() {
    let bench = bench();
    let mut recipe = bench.recipe.clone();
    let finding = bench.sampled(&bench.honest(), sampling(7, K, 64));
    let own = draw(7);
    let refuses = |recipe: &Recipe, beacon: &Digest, finding: &Finding| {
        Acceptance { recipe, layout: &bench.folder.layout, beacon: Some(beacon) }.refuses(finding).unwrap_or_default()
    };
    recipe.verify.accept = Accept::Sampled;
    assert_eq!(refuses(&recipe, &own, &finding), "");
    assert_eq!(refuses(&recipe, &draw(8), &finding), "sampled by another beacon");
    let bent = |change: &dyn Fn(&mut Sample)| {
        let mut bent = finding.clone();
        change(bent.sample.as_mut().unwrap());
        refuses(&recipe, &own, &bent)
    };
    let forged = "the sample is not what its beacon draws";
    let last = STEPS - 1;
    assert_eq!(bent(&|s| s.segments.clear()), forged);
    assert_eq!(bent(&|s| s.segments = vec![last; 3]), forged);
    assert_eq!(bent(&|s| s.segments = vec![0, last, last]), forged);
    assert_eq!(bent(&|s| (s.segments, s.of_segments, s.chunks, s.of_chunks) = (vec![], 0, 0, 0)), forged);
    assert_eq!(bent(&|s| s.of_segments = 1), forged);
    assert_eq!(bent(&|s| s.of_chunks = 1), forged);
    assert_eq!(bent(&|s| s.chunks = 0), "too little of it was replayed");
    assert_eq!(bent(&|s| s.chunks = 1 << 40), forged);

    // Near: within what the recipe tolerates, not what the finding says that it did.
    let near = |tolerance_ppm, error_ppm, cosine_ppm| Finding {
        finding: Verdict::Near,
        sample: None,
        near: Some(Nearness {
            tolerance_ppm,
            error_ppm,
            error_tensor: "a".into(),
            cosine_ppm,
            cosine_tensor: "a".into(),
        }),
        ..finding.clone()
    };
    assert_eq!(refuses(&recipe, &own, &near(10, 5, 999_999)), "near, not exact");
    recipe.verify.accept = Accept::Near;
    recipe.verify.tolerance_ppm = 10;
    assert_eq!(refuses(&recipe, &own, &near(10, 5, 999_999)), "");
    for far in [near(11, 5, 999_999), near(10, 11, 999_999), near(10, 5, 999_989), near(1 << 50, 1 << 50, 0)] {
        assert_eq!(refuses(&recipe, &own, &far), "not near enough");
    }
}

#[test]
fn what_a_worker_sends_takes_no_more_memory_than_it_should_and_holds_nothing_up() {
    let world = &*WORLD;
    let replay = world.replay(1, "ann", "ann.1.update");
    // A few hundred bytes that speak of four billion leaves.
    world.ok(&format!("{} --leaves huge.leaves -o ann.huge", world.train(1, "ann")));
    let leaves = String::from_utf8(world.bytes("huge.leaves")).unwrap();
    let huge = leaves.replacen("\"steps\":10", "\"steps\":4294967295", 1);
    world.write("huge.leaves", huge.as_bytes());
    world.expect(&format!("{replay} --leaves huge.leaves"), 1, "expected 4294967295 leaves");
    // A state with one tensor more than the model, which nobody reads.
    for kind in ["moments", "feedback"] {
        let state = world.bytes(&format!("ann.0.{kind}"));
        let mut reader = Reader::open(Source::bytes("s", state).unwrap()).unwrap();
        let mut header = reader.header().clone();
        header.tensors.push(l402::artifact::TensorInfo::bytes("zzz", 1 << 30));
        let mut text = header.to_bytes();
        while let Some((_, data)) = reader.next_tensor().unwrap() {
            text.extend(data);
        }
        // Only a frame may announce what does not follow.
        world.write("bomb.zst", &zstd::encode_all(&text[..], 1).unwrap());
        let bomb = replay.replace(&format!("ann.0.{kind}"), "bomb.zst");
        world.expect(&bomb, 65, "tensor zzz: not part of the model");
    }
    // A pipe among what is shown.
    std::fs::create_dir_all(world.path("pipes")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(world.path("pipes/leaves.jsonl")).status().unwrap();
    assert!(made.success());
    let sampled = world.replay_with(1, "ann", "r.toml", "theta-1", "1.assignments.jsonl", "ann.1.update");
    let draw = format!("--previous ann.0.update --segments 2 --beacon {} --openings pipes", beacon("pipes"));
    world.expect(&format!("{sampled} {draw}"), 1, "expected a regular file");
}
