//! Every command that manual pages and documents tell people to type is typed, as it stands, by a shell that stops at the first error,
//! in a folder in which its inputs are there. plays.txt says where each block is typed, paid.sh plays what is about pay.

#[path = "../common/mod.rs"]
mod common;
mod desk;
#[allow(dead_code)] // `l402 pull` needs more of it.
#[path = "../pull/hub.rs"]
mod hub;
mod plays;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use common::shell::{commands, documents, fences, home};
use desk::World;
use plays::{Block, Place, blocks, paid, plays};

#[test]
fn every_block_is_typed_somewhere() {
    let blocks = blocks();
    let all: BTreeSet<&Block> = blocks.keys().collect();
    let mut known: BTreeMap<Block, usize> = BTreeMap::new();
    for play in plays() {
        *known.entry(play.block).or_default() += 1;
        match play.place {
            Place::Elsewhere(file) => assert!(home().join(&file).is_file(), "{file} is not there"),
            Place::Nowhere(reason) => assert!(reason.split(' ').count() > 4, "{reason}: that is no reason"),
            Place::Folder(_) => {}
        }
    }
    for (block, lines) in paid() {
        // Line by line, or all of them.
        let count = blocks.get(&block).unwrap_or_else(|| panic!("paid.sh: no block {block:?}")).lines().count();
        assert!(lines.is_empty() || lines == (1..=count).collect::<Vec<_>>(), "{block:?}: lines {lines:?} of {count}");
        *known.entry(block).or_default() += 1;
    }
    let missing: Vec<_> = all.iter().filter(|block| !known.contains_key(block)).collect();
    assert!(missing.is_empty(), "nobody types {missing:?}: plays.txt or paid.sh is to say where");
    let gone: Vec<_> = known.keys().filter(|block| !all.contains(block)).collect();
    assert!(gone.is_empty(), "there is no {gone:?}");
    let twice: Vec<_> = known.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// What looks like a command and is in a block of no language would be typed by readers and by no test.
#[test]
fn no_command_hides_in_a_block_without_a_language() {
    for (document, text) in documents() {
        for (_, block) in fences(&text).into_iter().filter(|(language, _)| language.is_empty()) {
            let typed = |line: &&str| {
                ["l402 ", "$ ", "recipes/", "make ", "cargo "].iter().any(|begin| line.starts_with(begin))
            };
            assert_eq!(block.lines().find(typed), None, "{document}");
        }
    }
}

#[test]
fn every_block_does_as_it_stands() {
    let world = World::new();
    let blocks = blocks();
    let wrong = Mutex::new(Vec::new());
    let left = Mutex::new(plays().into_iter());
    let work = || {
        loop {
            let next = left.lock().unwrap().next();
            let Some(play) = next else { return };
            if let Place::Folder(folder) = &play.place {
                let found = world.play(&play.block, folder, &play.before, &blocks[&play.block]);
                wrong.lock().unwrap().extend(found);
            }
        }
    };
    // Most of them wait for processes.
    std::thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(work))));
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pay_does_as_it_stands() {
    World::new().paid(&blocks());
}

/// What a block writes by `-o` or `--state-out`, where that is no substitution.
fn outputs(block: &str) -> Vec<String> {
    let pairs = |words: &[String]| {
        let named = words.windows(2).filter(|pair| pair[0] == "-o" || pair[0] == "--state-out");
        named.map(|pair| pair[1].clone()).collect::<Vec<_>>()
    };
    commands(block).iter().flat_map(|words| pairs(words)).collect()
}
