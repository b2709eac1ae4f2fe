//! One altered byte names its artifact; what is missing is named, what is foreign does not matter.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use l402::artifact::Recipe;

use crate::common::{records, talk};
use crate::folder::{audit, equal, files, flips, names, places, played};

/// Whether a recipe still says the same: comments and layout are no content.
pub fn same_recipe(bytes: &[u8], bent: &[u8]) -> bool {
    let parse = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|text| Recipe::parse(text).ok());
    parse(bytes) == parse(bent)
}

#[test]
fn an_honest_run_is_equal_with_and_without_its_training_done_again() {
    let world = played(2);
    let said = equal(&world, "");
    assert!(said.contains("equal: run ") && said.contains("2 rounds, 6 updates, 6 of them count"), "{said}");
    let said = equal(&world, "--replay all");
    assert!(said.contains("18 steps replayed"), "{said}");
    let said = equal(&world, "--replay 1");
    assert!(said.contains("6 steps replayed"), "{said}");
    let summary = records(&audit(&world, "--json").stdout, "audit");
    assert_eq!(summary[0]["rounds"], 2);
}

#[test]
fn one_altered_byte_anywhere_names_its_artifact() {
    let world = played(2);
    let recipe = world.bytes("pub/run.toml");
    // A longer search: L402_FLIPS=20 cargo test --test audit
    let more = std::env::var("L402_FLIPS").map_or(1, |n| n.parse().unwrap());
    let mut flipped = 0;
    for file in files(&world) {
        // A stamp without a byte to alter.
        if world.bytes(&format!("pub/{file}")).is_empty() {
            continue;
        }
        let count = (if file.contains('/') { 4 } else { 24 }) * more;
        // The worker's word, which nothing hangs on: leaves, and what it has sent of a list that has it.
        let leaves = [".leaves", ".commitment", ".reveal"].iter().any(|end| file.ends_with(end));
        flipped += flips(&world, &file, count, "", |bent| leaves || file == "run.toml" && same_recipe(&recipe, bent));
    }
    assert!(flipped > 250, "{flipped}");
    equal(&world, "");
}

#[test]
fn one_altered_byte_names_its_artifact_too_where_training_is_done_again_and_where_no_key_is_pinned() {
    let world = played(2);
    for file in ["round-0/ann.update", "round-0/bob.feedback", "round-1/cy.moments", "round-1/findings.jsonl"] {
        flips(&world, file, 2, "--replay all", |_| false);
    }
    for file in ["coordinator.pub", "roster.jsonl", "round-0/assignments.jsonl"] {
        let bytes = world.bytes(&format!("pub/{file}"));
        for (at, bit) in places(&format!("unpinned {file}"), &bytes, 6) {
            let mut bent = bytes.clone();
            bent[at] ^= 1 << bit;
            world.write(&format!("pub/{file}"), &bent);
            names(&world.run("audit pub"), file, &format!("{file} at {at}, bit {bit}"));
        }
        world.write(&format!("pub/{file}"), &bytes);
    }
    world.ok("audit pub");
}

#[test]
fn what_is_missing_is_named_and_what_is_foreign_does_not_matter() {
    let world = played(1);
    for file in files(&world) {
        let part = [".commitment", ".reveal", ".finding", ".feedback", ".moments", ".leaves", ".pub", "beacon-a"];
        // Without scores or a next model a round is not finished; what opens nothing else may be left out.
        if part.iter().any(|end| file.ends_with(end)) || ["round-0/scores.jsonl", "round-0/beacon-b"].contains(&&*file)
        {
            continue;
        }
        let bytes = world.bytes(&format!("pub/{file}"));
        fs::remove_file(world.path(&format!("pub/{file}"))).unwrap();
        let output = audit(&world, "");
        let lists = ["round-0/commitments.jsonl", "round-0/findings.jsonl"].contains(&&*file);
        assert!(matches!(output.status.code(), Some(66)) || lists, "{file}: {}", talk(&output));
        assert!(talk(&output).contains(&file) || lists, "{file}: {}", talk(&output));
        world.write(&format!("pub/{file}"), &bytes);
    }
    world.write("pub/notes.txt", b"a remark");
    world.write("pub/round-0/ann.delta", b"left over");
    let said = equal(&world, "");
    assert!(said.contains("notes.txt") && said.contains("round-0/ann.delta"), "{said}");
    world.expect("audit nowhere", 66, "nowhere");
}

#[test]
fn names_that_are_none_of_ours_do_not_matter_whatever_stands_in_them() {
    let world = played(1);
    equal(&world, "--work work");
    let names: [&[u8]; 4] = ["caf\u{e9}.txt".as_bytes(), b"\xff\xfe", b"a\nl402: equal", b"\x1b[31mred"];
    fs::create_dir(world.path("pub/elsewhere")).unwrap();
    for folder in ["", "round-0", "theta-0", "theta-1", "shards", "elsewhere", "round-1"] {
        let folder = world.path("pub").join(folder);
        let _ = fs::create_dir(&folder);
        for name in names {
            fs::write(folder.join(OsStr::from_bytes(name)), b"a remark").unwrap();
            fs::create_dir(folder.join(OsStr::from_bytes(&[name, b" folder"].concat()))).unwrap();
        }
    }
    // Nor is it read: more than anybody has hours for.
    for file in ["round-0/remark", "theta-1/remark", "shards/remark", "remark"] {
        fs::File::create(world.path(&format!("pub/{file}"))).unwrap().set_len(1 << 42).unwrap();
    }
    for more in ["", "--replay all", "--work work", "--work other", "--work other"] {
        let said = equal(&world, more);
        assert!(said.contains("not part of a run folder") && said.contains("1 rounds"), "{more}: {said}");
        assert!(said.contains("\\xc3\\xa9") && !said.contains("\nl402: equal\n"), "{more}: {said}");
        assert!(said.bytes().all(|b| b == b'\n' || (b' '..=b'~').contains(&b)), "{more}: {said}");
    }
    // What was verified before they came is so still.
    assert!(equal(&world, "--work work").contains("are verified"));
    // What somebody else keeps in the audit's own folder stays there.
    fs::write(world.path("work/states/caf\u{e9}"), b"mine").unwrap();
    fs::create_dir(world.path("work/states/mine")).unwrap();
    fs::remove_file(world.path("work/round-0.jsonl")).unwrap();
    equal(&world, "--work work");
    assert!(world.has("work/states/caf\u{e9}") && world.has("work/states/mine"));
}
