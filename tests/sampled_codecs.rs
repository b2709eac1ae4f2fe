//! What codecs send, under sampled replay: a change in each field of each codec's payload, by a worker whose books are right
//! in all else, and the rate at which it is found beside the rate that the finding promises.

mod common;

use std::collections::BTreeMap;
use std::ops::Range;

use common::work::{Bench, Done};
use common::{FULL, Kind, World, beacon};
use l402::artifact::recipe::Accept;
use l402::artifact::{Digest, Header, Meta, Reader, TensorInfo, Writer};
use l402::codec::{Codec, Feedback, codec_for};
use l402::fsio::Source;
use l402::score::Acceptance;
use l402::verify::{ChunkIndex, Sampling, Verdict};

/// Codec chunks drawn.
const DRAWN: usize = 6;
const BEACONS: u32 = 1000;
/// A matrix of several chunks; what is changed is in its first one, or is the whole tensor's.
const TENSOR: &str = "model.embed_tokens.weight";

fn world(codec: &'static str) -> World {
    let world = World::new(Kind { codec, ..FULL });
    world.play(0);
    world.assign(1);
    world
}

fn draw(number: u32) -> Digest {
    beacon(&format!("draw {number}")).parse().unwrap()
}

/// Of the segments the last alone: all of the work was honest.
fn sampling(number: u32, chunks: usize) -> Sampling {
    Sampling { beacon: draw(number), segments: 1, chunks }
}

fn reader(bytes: &[u8]) -> Reader {
    Reader::open(Source::bytes("test", bytes.to_vec()).unwrap()).unwrap()
}

/// All tensors of a file, and its metadata.
fn parts(bytes: &[u8]) -> (Meta, Vec<(TensorInfo, Vec<u8>)>) {
    let mut reader = reader(bytes);
    let meta = Meta(reader.header().metadata.clone());
    let mut tensors = Vec::new();
    while let Some(tensor) = reader.next_tensor().unwrap() {
        tensors.push(tensor);
    }
    (meta, tensors)
}

fn file(meta: Meta, tensors: &[(TensorInfo, Vec<u8>)]) -> Vec<u8> {
    let infos = tensors.iter().map(|(info, _)| info.clone()).collect();
    let mut writer = Writer::new("test", Vec::new(), Header::new(meta.0, infos)).unwrap();
    for (info, data) in tensors {
        writer.bytes(&info.name, data).unwrap();
    }
    writer.finish().unwrap().0
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect()
}

fn shape(bench: &Bench) -> Vec<usize> {
    bench.folder.layout.tensors.iter().find(|t| t.name == TENSOR).unwrap().shape.clone()
}

fn payload_of(update: &[u8]) -> Vec<u8> {
    parts(update).1.into_iter().find(|(info, _)| info.name == TENSOR).unwrap().1
}

/// The same work with this payload instead: what remains of it goes on, so that what was sent and what was kept add up.
fn planted(bench: &Bench, honest: &Done, codec: &dyn Codec, payload: Vec<u8>) -> Done {
    let layout = &bench.folder.layout;
    let tensor = layout.tensors.iter().find(|t| t.name == TENSOR).unwrap();
    let last = &honest.states[&bench.recipe.inner.steps].parameters[tensor.range()];
    let beta = bench.recipe.codec.feedback as f32;
    let before = parts(honest.feedback_before.as_ref().unwrap()).1;
    let before = floats(&before.iter().find(|(info, _)| info.name == TENSOR).unwrap().1);
    let sent = codec.decode(&tensor.shape, &payload).unwrap();
    let theta = &bench.folder.parameters.to_vec().unwrap()[tensor.range()];
    let left = (0..sent.len()).map(|i| before[i].mul_add(beta, theta[i] - last[i]) - sent[i]);
    let left: Vec<u8> = left.flat_map(f32::to_le_bytes).collect();

    let (meta, mut tensors) = parts(&honest.feedback_after);
    tensors.iter_mut().find(|(info, _)| info.name == TENSOR).unwrap().1 = left;
    let feedback_after = file(meta, &tensors);
    let (mut meta, mut tensors) = parts(&honest.update);
    meta.set("feedback_out", Feedback::digest_of(reader(&feedback_after)).unwrap());
    let (info, data) = tensors.iter_mut().find(|(info, _)| info.name == TENSOR).unwrap();
    *info = codec.payload_info(TENSOR, &tensor.shape, payload.len());
    *data = payload;
    Done {
        update: file(meta, &tensors),
        context: honest.context.clone(),
        leaves: honest.leaves.clone(),
        states: honest.states.clone(),
        feedback_before: honest.feedback_before.clone(),
        feedback_after,
    }
}

/// The fields of a payload, and the bits of each: of the first chunk, or of the whole tensor.
fn fields(bench: &Bench, codec: &dyn Codec, payload: &[u8]) -> Vec<(&'static str, Vec<usize>)> {
    let shape = shape(bench);
    let (all, n) = (shape[0] * shape[1], 64 * shape[1]);
    let kept = |n: usize| (bench.recipe.codec.top_k * n).div_ceil(4096);
    let (k, len) = (kept(n), 8 * payload.len());
    let in_turn = |named: &[(&'static str, usize)]| {
        let mut at = 0;
        let mut next = |bits: usize| -> Range<usize> {
            at += bits;
            at - bits..at
        };
        named.iter().map(|(name, bits)| (*name, next(*bits).collect())).collect()
    };
    match codec.name() {
        "dense" => in_turn(&[("value", 32)]),
        "f16" => in_turn(&[("value", 16)]),
        "int8" => in_turn(&[("mean", 32), ("scale", 32), ("buckets", len - 64 - 8 * all), ("codes", 8 * all)]),
        "blockwise8" => in_turn(&[("most", 32), ("codes", 8 * n)]),
        "e3m0" => in_turn(&[("exponent", 8), ("codes", 4 * n)]),
        "demo" => in_turn(&[("scale", 16), ("indices", 12 * k), ("signs", k)]),
        "sparseloco" => {
            let all: usize = (0..shape[0].div_ceil(64)).map(|i| kept((shape[0] - 64 * i).min(64) * shape[1])).sum();
            in_turn(&[("bins", 128), ("codes", (2 * all).div_ceil(8) * 8), ("indices", 12 * all)])
        }
        "l402" => {
            let mut fields = in_turn(&[("low", 12), ("form", 4)]);
            // Where gaps end only decoding says: by what a flipped bit does to the values.
            let sent = codec.decode(&shape, payload).unwrap();
            let mut rest: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
            for bit in 16..16 + 12 * k {
                let Ok(other) = codec.decode(&shape, &flipped(payload, bit)) else { continue };
                let mut apart = sent.iter().zip(&other).filter(|(a, b)| a != b);
                let field = match (apart.next(), apart.next()) {
                    (Some((a, b)), None) if *a == -*b => "signs",
                    (Some((a, b)), None) if *a * *b > 0.0 => "levels",
                    _ => "gaps",
                };
                rest.entry(field).or_default().push(bit);
            }
            assert_eq!(rest.keys().copied().collect::<Vec<_>>(), ["gaps", "levels", "signs"]);
            fields.extend(rest);
            fields
        }
        other => panic!("{other}: name the fields of its payload here"),
    }
}

fn flipped(payload: &[u8], bit: usize) -> Vec<u8> {
    let mut payload = payload.to_vec();
    payload[bit / 8] ^= 1 << (bit % 8);
    payload
}

/// How often a sample finds it, and how often a finding says that it would.
#[track_caller]
fn found_as_often_as_promised(what: &str, bench: &Bench, done: &Done) {
    assert_eq!(bench.replay(&done.update).finding, Verdict::Mismatch, "{what}");
    let total = ChunkIndex::new(&bench.folder.layout).total;
    let run = bench.recipe.digest();
    let drawn = |n: u32, count: usize| bench.audit(&run, &draw(n)).chunks(count, total);
    let finds = |n: u32, count: usize| bench.sampled(done, sampling(n, count));
    // What the drawing of each chunk alone finds: real replays.
    let mut found: BTreeMap<usize, bool> = BTreeMap::new();
    for n in 0.. {
        if found.len() == total {
            break;
        }
        found.entry(drawn(n, 1)[0]).or_insert_with(|| finds(n, 1).finding == Verdict::Mismatch);
    }
    let caught = |n: u32| drawn(n, DRAWN).iter().any(|chunk| found[chunk]);
    // A change in one chunk is promised to be found with this chance.
    let promised = 1.0 - finds(0, DRAWN).sample.unwrap().missed_chunks_ppm[0] as f64 / 1e6;
    let measured = (0..BEACONS).filter(|n| caught(*n)).count() as f64 / f64::from(BEACONS);
    let sigma = (promised * (1.0 - promised) / f64::from(BEACONS)).sqrt();
    assert!(measured >= promised - 4.0 * sigma, "{what}: promised {promised}, found {measured}");
    // And the draws are what a replay draws; with all of them nothing is missed.
    for n in 0..6 {
        assert_eq!(finds(n, DRAWN).finding == Verdict::Mismatch, caught(n), "{what}: draw {n}");
    }
    let all = finds(0, total);
    assert_eq!((all.finding, all.sample.unwrap().missed_chunks_ppm[0]), (Verdict::Mismatch, 0), "{what}");
}

/// Honest work passes, and a bit that is another one in any field is found as often as promised.
fn every_field_of(name: &'static str) {
    let world = world(name);
    let bench = Bench::new(&world, 1, "bob");
    let codec = codec_for(&bench.recipe.codec);
    assert_eq!(codec.name(), name);
    let done = bench.honest();
    assert_eq!(bench.sampled(&done, sampling(0, DRAWN)).finding, Verdict::Sampled);
    let payload = payload_of(&done.update);
    for (field, bits) in fields(&bench, codec.as_ref(), &payload) {
        let bent = bits.iter().map(|bit| flipped(&payload, *bit));
        let bent = bent.into_iter().find(|bent| codec.decode(&shape(&bench), bent).is_ok());
        let bent = bent.unwrap_or_else(|| panic!("{name}: {field}: no other bit is a payload"));
        found_as_often_as_promised(&format!("{name}: {field}"), &bench, &planted(&bench, &done, codec.as_ref(), bent));
    }
}

#[test]
fn a_change_in_any_field_of_dense_is_found_as_often_as_promised() {
    every_field_of("dense");
}

#[test]
fn a_change_in_any_field_of_f16_is_found_as_often_as_promised() {
    every_field_of("f16");
}

#[test]
fn a_change_in_any_field_of_int8_is_found_as_often_as_promised() {
    every_field_of("int8");
}

#[test]
fn a_change_in_any_field_of_blockwise8_is_found_as_often_as_promised() {
    every_field_of("blockwise8");
}

#[test]
fn a_change_in_any_field_of_e3m0_is_found_as_often_as_promised() {
    every_field_of("e3m0");
}

#[test]
fn a_change_in_any_field_of_demo_is_found_as_often_as_promised() {
    every_field_of("demo");
}

#[test]
fn a_change_in_any_field_of_sparseloco_is_found_as_often_as_promised() {
    every_field_of("sparseloco");
}

#[test]
fn a_change_in_any_field_of_l402_is_found_as_often_as_promised() {
    every_field_of("l402");
}

#[test]
fn bins_that_are_multiplied_are_always_found() {
    let world = world("sparseloco");
    let bench = Bench::new(&world, 1, "bob");
    let codec = codec_for(&bench.recipe.codec);
    let done = bench.honest();
    let mut payload = payload_of(&done.update);
    for bin in payload[..16].as_chunks_mut::<4>().0 {
        *bin = (2.5 * f32::from_le_bytes(*bin)).to_le_bytes();
    }
    let greedy = planted(&bench, &done, codec.as_ref(), payload);
    let total = ChunkIndex::new(&bench.folder.layout).total;
    for chunks in [1, DRAWN, total] {
        let finding = bench.sampled(&greedy, sampling(1, chunks));
        assert_eq!(finding.finding, Verdict::Mismatch, "{chunks} chunks: {finding:?}");
    }
}

#[test]
fn what_is_no_payload_is_always_found() {
    let world = world("l402");
    let bench = Bench::new(&world, 1, "bob");
    let mut done = bench.honest();
    let (meta, mut tensors) = parts(&done.update);
    let (_, payload) = tensors.iter_mut().find(|(info, _)| info.name == TENSOR).unwrap();
    // An infinite level.
    payload[..2].copy_from_slice(&[0xff, 0x0f]);
    done.update = file(meta, &tensors);
    for n in 0..8 {
        let finding = bench.sampled(&done, sampling(n, 1));
        assert_eq!(finding.finding, Verdict::Mismatch, "draw {n}");
        assert!(finding.differs.as_deref().unwrap().contains(TENSOR), "{finding:?}");
    }
}

#[test]
fn another_error_feedback_than_the_one_carried_on_is_found_whatever_is_drawn() {
    for codec in ["sparseloco", "int8"] {
        let world = world(codec);
        let bench = Bench::new(&world, 1, "bob");
        let done = bench.honest();
        let other = world.bytes("ann.0.feedback");
        let finding = bench.sampled_with(&done, sampling(0, 1), |shown| shown.feedback = Some(other));
        assert_eq!(finding.finding, Verdict::Mismatch, "{codec}");
        assert_eq!(finding.differs.as_deref(), Some("error feedback before"), "{codec}");
    }
}

#[test]
fn a_sample_of_chunks_does_not_count_where_they_do_not_show_everything() {
    for codec in ["sparseloco", "int8", "l402"] {
        let world = world(codec);
        let bench = Bench::new(&world, 1, "bob");
        let mut recipe = bench.recipe.clone();
        (recipe.verify.accept, recipe.verify.segments, recipe.verify.chunks) = (Accept::Sampled, 1, DRAWN as u32);
        let beacon = draw(0);
        let rule = Acceptance { recipe: &recipe, layout: &bench.folder.layout, beacon: Some(&beacon) };
        let mut finding = bench.sampled(&bench.honest(), sampling(0, DRAWN));
        assert_eq!(rule.refuses(&finding), None, "{codec}");
        let sample = finding.sample.as_mut().unwrap();
        sample.chunks = match codec {
            "l402" => sample.chunks - 1,
            _ => sample.of_chunks - 1,
        };
        assert_eq!(rule.refuses(&finding).as_deref(), Some("too little of it was replayed"), "{codec}");
    }
}

#[test]
fn a_worker_shows_all_of_its_error_feedback_where_chunks_do_not_show_everything() {
    let world = world("sparseloco");
    world.ok(&format!("{} --openings cy.kept -o cy.delta", world.train(1, "cy")));
    world.ok("compress --recipe r.toml --state cy.0.feedback cy.delta --state-out cy.1.feedback -o cy.1.update");
    let draw = format!("--segments 2 --chunks 1 --beacon {}", beacon("drawn"));
    let inputs = format!(
        "--recipe r.toml --model theta-1 --round 1 --worker cy --assignments 1.assignments.jsonl --coordinator {}",
        world.coordinator
    );
    let shard = world.shard_of(1, "cy");
    world.ok(&format!(
        "open {inputs} --shard shards/{shard} --state cy.0.moments --state cy.0.feedback --feedback cy.1.feedback \
         --openings cy.kept {draw} -o shown"
    ));
    let shown = world.listing("shown");
    assert!(
        shown.contains(&"feedback.state".to_owned()) && !shown.contains(&"chunks.safetensors".to_owned()),
        "{shown:?}"
    );
    assert_eq!(world.digest("shown/feedback.state"), world.digest("cy.0.feedback"));
    let replay =
        format!("replay {inputs} --shards shards --update cy.1.update --previous cy.0.update {draw} --openings shown");
    let finding = world.expect(&replay, 0, "one in a codec chunk with 0 %").stdout;
    let sample = common::records(&finding, "finding")[0]["sample"].clone();
    assert_eq!(sample["chunks"], sample["of_chunks"]);
    assert!(sample["opened_bytes"].as_u64().unwrap() > world.bytes("shown/feedback.state").len() as u64);
    // Another worker's, a model's, half of it, and none at all.
    world.write("shown/feedback.state", &world.bytes("ann.0.feedback"));
    world.expect(&replay, 1, "error feedback before");
    let bytes = world.bytes("cy.0.feedback");
    for other in [world.bytes("theta-1/model.safetensors"), bytes[..bytes.len() / 2].to_vec()] {
        world.write("shown/feedback.state", &other);
        world.expect(&replay, 1, "openings");
    }
    std::fs::remove_file(world.path("shown/feedback.state")).unwrap();
    world.expect(&replay, 66, "feedback.state");
}
