//! What is there already is looked at before the work: made from other inputs it is refused, made from the same ones nothing
//! is trained again.

mod common;

use std::fs;
use std::io::Read;
use std::process::Stdio;

use common::{FULL, World, beacon, talk};

/// Runs it, tells its steps, and says whether it took any.
fn trains(world: &World, args: &str, code: i32, says: &str) -> bool {
    talk(&world.expect(&format!("{args} -v"), code, says)).contains("step 0: loss")
}

#[test]
fn what_was_trained_from_the_same_inputs_is_not_trained_again() {
    let world = World::new(FULL);
    world.assign(0);
    let train = format!("{} --state-out moments --leaves leaves --openings kept -o delta", world.train(0, "ann"));
    assert!(trains(&world, &train, 0, ""));
    let truth = ["delta", "moments", "leaves"].map(|name| world.bytes(name));
    assert!(!trains(&world, &train, 0, "up to date: delta was made from the same inputs"));
    assert!(trains(&world, &format!("{train} --force"), 0, "wrote delta"));
    // What is missing of what was asked for is made, and the rest stays.
    for name in ["delta", "moments", "leaves", "kept/leaves.jsonl", "kept/step-00000001.state"] {
        fs::remove_file(world.path(name)).unwrap();
        assert!(trains(&world, &train, 0, ""), "{name}");
        assert_eq!(["delta", "moments", "leaves"].map(|name| world.bytes(name)), truth, "{name}");
        assert!(!trains(&world, &train, 0, "up to date"), "{name}");
    }
    // Nothing of a process that was killed when all was in its place, and before its claim was gone, stays beside it.
    for name in ["delta", "moments", "leaves"] {
        world.write(&format!(".{name}.l402-tmp.killed"), b"402\n");
    }
    assert!(!trains(&world, &train, 0, "up to date"));
    assert!(world.listing(".").iter().all(|name| !name.contains(".l402-tmp.")), "{:?}", world.listing("."));
    // A frame around it is no other content.
    world.write("framed.zst", &zstd::encode_all(&truth[0][..], 1).unwrap());
    assert!(!trains(&world, &train.replace("-o delta", "-o framed.zst"), 0, "up to date"));
}

#[test]
fn what_was_trained_from_other_inputs_is_refused_before_the_work() {
    let world = World::new(FULL);
    world.assign(0);
    let of = |who: &str| format!("{} --state-out moments --leaves leaves -o delta", world.train(0, who));
    world.ok(&of("ann"));
    let names = ["delta", "moments", "leaves"];
    let truth = names.map(|name| world.bytes(name));
    assert!(!trains(&world, &of("bob"), 73, "delta: exists, made from another"));
    // Each of the outputs alone is enough.
    for name in names {
        let others: Vec<&str> = names.into_iter().filter(|other| *other != name).collect();
        let put = |from: &str, to: &str| {
            others.iter().for_each(|other| {
                fs::rename(world.path(&format!("{other}{from}")), world.path(&format!("{other}{to}"))).unwrap();
            });
        };
        put("", ".aside");
        assert!(!trains(&world, &of("bob"), 73, &format!("{name}: exists, ")), "{name}");
        put(".aside", "");
    }
    // Altered, or none of ours at all.
    for (name, bytes) in [("moments", &truth[1]), ("leaves", &truth[2])] {
        let mut bent = bytes.clone();
        let last = bent.len() - 4;
        bent[last] ^= 1;
        for other in [&bent[..], b"another's work"] {
            world.write(name, other);
            assert!(!trains(&world, &of("ann"), 73, &format!("{name}: exists, ")), "{name}");
        }
        world.write(name, bytes);
    }
    world.write("delta", b"another's work");
    assert!(!trains(&world, &of("ann"), 73, "delta: exists, with other content"));
    assert_eq!(world.bytes("delta"), b"another's work");
}

#[test]
fn an_update_in_the_way_is_refused_before_there_is_any_input() {
    let world = World::new(FULL);
    world.assign(0);
    world.work(0, "ann");
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    world.write("other.toml", recipe.replace("lr = 5e-3", "lr = 4e-3").as_bytes());
    let mut child =
        world.command("compress --recipe other.toml -o ann.0.update").stdin(Stdio::piped()).spawn().unwrap();
    // Nothing is written, and it is not closed: who waits for input waits for ever.
    let _open = child.stdin.take();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(73), "{said}");
    assert!(said.contains("ann.0.update: exists, made from another recipe"), "{said}");
    world.ok(&format!("{} -o bob.delta", world.train(0, "bob")));
    world.expect("compress --recipe r.toml bob.delta -o ann.0.update", 73, "ann.0.update: exists, made from another");
    let state = "compress --recipe r.toml bob.delta --state-out ann.0.feedback -o bob.update";
    world.expect(state, 73, "ann.0.feedback: exists, made from another worker: expected bob, found ann");
    assert!(!world.has("bob.update"));
}

#[test]
fn whoever_verifies_believes_no_file_that_says_it_was_done() {
    let world = World::new(FULL);
    world.play(0);
    let replay = world.replay(0, "ann", "ann.0.update");
    world.ok(&format!("{replay} -o finding"));
    let honest = world.bytes("finding");
    world.ok(&format!("{replay} -o finding"));
    // Of another update, there is nothing to be done.
    world.expect(
        &format!("{} -o finding", world.replay(0, "bob", "bob.0.update")),
        73,
        "finding: exists, about another update",
    );
    // A worker that plants what it would like to be found: its update is bent, the finding says exact.
    let mut bent = world.bytes("ann.0.update");
    *bent.last_mut().unwrap() ^= 1;
    world.write("bent", &bent);
    let planted = String::from_utf8(honest).unwrap().replace(&world.digest("ann.0.update"), &world.digest("bent"));
    world.write("planted", planted.as_bytes());
    world.expect(&format!("{} -o planted", world.replay(0, "ann", "bent")), 73, "planted: exists, with other content");
}

#[test]
fn every_verb_that_works_long_looks_at_its_output_first() {
    let world = World::new(FULL);
    world.play(0);
    let updates = ["ann.0.update", "bob.0.update", "cy.0.update"];
    let score = format!("{} -o 0.scores.jsonl", world.score(0, &updates));
    world.ok(&score);
    let other = score.replace(&beacon("second 0"), &beacon("other"));
    world.expect(&other, 73, "0.scores.jsonl: exists, about another beacon");
    world.expect("init --config config.json --seed 4 -o theta-0", 73, "theta-0: exists, made from another seed");
    let aggregate = "aggregate --recipe r.toml --model theta-0";
    world.expect(
        &format!("{aggregate} ann.0.update -o theta-1"),
        73,
        "theta-1: exists, made from another set of updates",
    );
    world.expect(&format!("{aggregate} ann.0.update -o theta-0"), 73, "theta-0: exists, made from another round");
    let shard = "shard corpus.txt --tokenizer bytes --seq-len 16 --shards 5 -o shards";
    world.expect(shard, 73, "about another number of training shards");
    world.expect(&shard.replace("16", "8"), 73, "about another tokenizer or length of sequences");
    // Where the state that is drawn is shown already, it must be the one that the leaves commit to.
    world.ok(&format!("{} --openings kept -o delta", world.train(0, "ann")));
    let shard = world.shard_of(0, "ann");
    let open = format!(
        "open --recipe r.toml --model theta-0 --shard shards/{shard} --round 0 --worker ann --assignments 0.assignments.jsonl \
         --feedback ann.0.feedback --openings kept --beacon {} --segments 2 -o shown",
        beacon("x")
    );
    world.ok(&open);
    world.ok(&open);
    let name = world.listing("shown").into_iter().find(|name| name.ends_with(".state"));
    let name = format!("shown/{}", name.expect("a state is shown"));
    let mut bent = world.bytes(&name);
    *bent.last_mut().unwrap() ^= 1;
    world.write(&name, &bent);
    world.expect(&open, 73, "and is not the state after");
}
