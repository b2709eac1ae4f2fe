//! A run folder as it is published, and what an audit of it says.

use std::fs;
use std::process::Output;

use crate::common::{FULL, World, draw, recipe, talk};

/// The same of an adapter, beside the model in `base/`.
pub fn played_adapter(rounds: u64) -> World {
    const ADAPTER: &str = "[adapter]\nrank = 3\nalpha = 6\ntargets = [\"q_proj\", \"v_proj\"]\n";
    let world = World::new(FULL);
    fs::rename(world.path("theta-0"), world.path("base")).unwrap();
    world.write("run.toml", (recipe(FULL, "") + ADAPTER).as_bytes());
    let theta = world.text("init --recipe run.toml --model base --seed 5 -o theta-0");
    fs::remove_file(world.path("r.toml")).unwrap();
    world.write("run.toml", (recipe(FULL, theta.trim()) + ADAPTER).as_bytes());
    world.begin_run();
    (0..rounds).for_each(|round| play(&world, round));
    public(&world);
    world
}

/// Rounds played by `recipes/round.mk`, the coordinator's folder and nobody's keys in it.
pub fn played(rounds: u64) -> World {
    let world = World::new(FULL);
    world.begin_run();
    (0..rounds).for_each(|round| play(&world, round));
    public(&world);
    world
}

pub fn play(world: &World, round: u64) {
    let output = world.make(round, "audit", &["-j2"]).output().unwrap();
    assert!(output.status.success(), "{}", talk(&output));
}

/// The run folder as it is published: `pub/`, without what the parties keep to themselves.
pub fn public(world: &World) {
    let _ = fs::remove_dir_all(world.path("pub"));
    let names = world.listing(".");
    for name in names {
        if ["run.toml", "roster.jsonl", "coordinator.pub"].contains(&name.as_str()) {
            fs::create_dir_all(world.path("pub")).unwrap();
            fs::copy(world.path(&name), world.path(&format!("pub/{name}"))).unwrap();
        } else if ["shards", "base"].contains(&name.as_str())
            || name.starts_with("theta-")
            || name.starts_with("round-")
        {
            world.copy_folder(&name, &format!("pub/{name}"));
        }
    }
}

/// Every file of the published folder.
pub fn files(world: &World) -> Vec<String> {
    let mut all = Vec::new();
    for name in world.listing("pub") {
        match world.path(&format!("pub/{name}")).is_dir() {
            true => all.extend(world.listing(&format!("pub/{name}")).iter().map(|file| format!("{name}/{file}"))),
            false => all.push(name),
        }
    }
    all
}

pub fn audit(world: &World, more: &str) -> Output {
    world.run(&format!("audit pub --coordinator {} {more}", world.coordinator))
}

#[track_caller]
pub fn equal(world: &World, more: &str) -> String {
    let output = audit(world, more);
    assert_eq!(output.status.code(), Some(0), "{}", talk(&output));
    talk(&output)
}

/// Exit status 1, and this artifact named.
#[track_caller]
pub fn names(output: &Output, artifact: &str, why: &str) {
    let said = talk(output);
    assert_eq!(output.status.code(), Some(1), "{why}\n{said}");
    assert!(said.contains(&format!("l402: pub/{artifact}: ")), "{why}: expected {artifact} in\n{said}");
}

/// Where bytes are flipped: in a tensor file some in its length, header and data, else anywhere.
pub fn places(name: &str, bytes: &[u8], count: usize) -> Vec<(usize, u8)> {
    let tensors = [".safetensors", ".update", ".feedback", ".moments"].iter().any(|end| name.ends_with(end));
    let header =
        if tensors { u64::from_le_bytes(bytes[..8].try_into().unwrap()).saturating_add(8) as usize } else { 0 };
    // What only calls itself an update has no header.
    let tensors = tensors && header < bytes.len();
    let regions =
        if tensors { vec![(0, 8), (8, header), (8, header), (header, bytes.len())] } else { vec![(0, bytes.len())] };
    let drawn = (0..count).map(|k| {
        let (from, to) = regions[k % regions.len()];
        let what = format!("{name} {k}");
        (from + draw(&what, to - from), draw(&format!("{what} bit"), 8) as u8)
    });
    let ends = [(0, 0), (bytes.len() - 1, 1)];
    drawn.chain(ends).collect()
}

/// Flips bytes of a file, one at a time: each names the file, or is no content.
pub fn flips(world: &World, file: &str, count: usize, more: &str, no_content: impl Fn(&[u8]) -> bool) -> usize {
    let path = format!("pub/{file}");
    let bytes = world.bytes(&path);
    let mut found = 0;
    for (at, bit) in places(file, &bytes, count) {
        let mut bent = bytes.clone();
        bent[at] ^= 1 << bit;
        world.write(&path, &bent);
        let output = audit(world, more);
        if no_content(&bent) {
            assert_eq!(output.status.code(), Some(0), "{file} at {at}, bit {bit}\n{}", talk(&output));
        } else {
            names(&output, file, &format!("{file} at {at}, bit {bit}"));
            found += 1;
        }
    }
    world.write(&path, &bytes);
    found
}
