//! `export`: models for others come out as they should, and in again without loss.

mod common;

use std::fs;

use common::{FULL, WORKERS, World};

const COMPANIONS: [&str; 3] = ["tokenizer.json", "chat_template.jinja", "generation_config.json"];

/// A world whose first model has files that travel with it, and one that does not.
fn world() -> World {
    let world = World::new(FULL);
    for name in COMPANIONS {
        world.write(&format!("theta-0/{name}"), format!("{{\"of\": \"{name}\"}}").as_bytes());
    }
    world.write("theta-0/notes.txt", b"not for others");
    world
}

#[test]
fn a_model_in_float32_is_the_same_model() {
    let world = world();
    let digest = world.text("export theta-0 -o out");
    assert_eq!(digest, world.text("inspect theta-0 --field model"));
    assert_eq!(world.text("inspect out --field model"), digest);
    let mut expected = vec!["config.json", "model.safetensors"];
    expected.extend(COMPANIONS);
    expected.sort_unstable();
    assert_eq!(world.listing("out"), expected);
    for name in COMPANIONS {
        assert_eq!(world.bytes(&format!("out/{name}")), world.bytes(&format!("theta-0/{name}")));
    }
    // Again it is up to date; another in its place is refused, and taken where that is asked for.
    world.expect("export theta-0 -o out", 0, "up to date");
    world.expect("export theta-0 --dtype bfloat16 -o out", 73, "out");
    assert_eq!(world.text("inspect out --field model"), digest);
    world.ok("export theta-0 --dtype bfloat16 -o out --force");
    assert_ne!(world.text("inspect out --field model"), digest);
}

#[test]
fn sixteen_bits_and_many_files_go_in_and_out_without_loss() {
    let world = world();
    for dtype in ["bfloat16", "float16"] {
        let (one, many) = (format!("{dtype}-one"), format!("{dtype}-many"));
        let digest = world.text(&format!("export theta-0 --dtype {dtype} -o {one}"));
        assert_ne!(digest, world.text("inspect theta-0 --field model"));
        let config = String::from_utf8(world.bytes(&format!("{one}/config.json"))).unwrap();
        assert!(config.contains(&format!("\"dtype\": \"{dtype}\"")), "{config}");
        let size = fs::metadata(world.path(&format!("{one}/model.safetensors"))).unwrap().len();
        assert!(size < fs::metadata(world.path("theta-0/model.safetensors")).unwrap().len() * 6 / 10);
        // In files of some kilobytes, and from those into one again: the same bytes.
        assert_eq!(world.text(&format!("export {one} --dtype {dtype} --max-shard-size 8KB -o {many}")), digest);
        let files = world.listing(&many);
        let shards: Vec<&String> = files.iter().filter(|name| name.ends_with(".safetensors")).collect();
        assert!(shards.len() > 3 && shards[0].starts_with("model-00001-of-"), "{files:?}");
        assert!(world.has(&format!("{many}/model.safetensors.index.json")));
        assert_eq!(world.text(&format!("export {many} --dtype {dtype} -o {dtype}-again")), digest);
        assert_eq!(world.tree(&one), world.tree(&format!("{dtype}-again")));
        // What was rounded is a model like any other.
        assert_eq!(world.text(&format!("export {many} -o {dtype}-wide")), digest);
        world.ok(&format!("score --model {many} --val shards/val-00000.safetensors"));
        // A file that is damaged, or missing, is found.
        let shard = format!("{many}/{}", shards[1]);
        let bytes = world.bytes(&shard);
        let mut damaged = bytes.clone();
        *damaged.last_mut().unwrap() ^= 1;
        world.write(&shard, &damaged);
        world.expect(&format!("export {many} -o never"), 65, "l402.model");
        fs::remove_file(world.path(&shard)).unwrap();
        world.expect(&format!("export {many} -o never"), 66, shards[1]);
        assert!(!world.has("never"));
    }
}

#[test]
fn what_travels_with_a_model_goes_on_to_the_next() {
    let world = world();
    world.assign(0);
    WORKERS.iter().for_each(|who| world.work(0, who));
    let updates = WORKERS.map(|who| format!("{who}.0.update"));
    world.ok(&format!("aggregate --recipe r.toml --model theta-0 {} -o theta-1", updates.join(" ")));
    for name in COMPANIONS {
        assert_eq!(world.bytes(&format!("theta-1/{name}")), world.bytes(&format!("theta-0/{name}")));
    }
    assert!(!world.has("theta-1/notes.txt"));
}

#[test]
fn what_cannot_be_is_refused() {
    let world = world();
    world.expect("export theta-0 -o -", 2, "-o DIR");
    world.expect("export theta-0 -o out --max-shard-size 0", 2, "--max-shard-size");
    world.expect("export theta-0 -o out --max-shard-size lots", 2, "GiB");
    world.expect("export theta-0 -o out --dtype int8", 2, "bfloat16");
    world.expect("export nothing -o out", 66, "nothing");
    assert!(!world.has("out"));
}
