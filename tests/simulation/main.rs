//! Paid rounds in any order, with everything that can happen to processes, nodes, disks and the chain, from one seed each.
//! Whatever happens: msat are conserved, there is one verdict an offer, no preimage leaves before it, every rung ends, the audit
//! of an honest coordinator is equal, and what is made is what the undisturbed run makes, to the byte.
//!
//! `L402_TEST_SEED=N` plays one seed and shows it, `L402_TEST_SEEDS=FROM..TO` many; `just simulate 2000` the long run.

#[path = "../common/mod.rs"]
mod common;

mod bank;
mod books;
mod checks;
mod draw;
mod honest;
mod play;
mod sabotage;
mod schedule;
mod seat;
mod shell;

use std::time::Instant;

use bank::Bank;
use play::Told;
use schedule::{Move, Schedule};

/// Seeds that once found something:
/// - 154: an invoice was handed to the plugin though its rung was given up, and nobody looked after it.
/// - 86: a crash that was called off while a node counted it down was written down again.
const FOUND: [u64; 2] = [154, 86];

/// Of others, so many in `cargo test`.
const SOME: u64 = 16;

/// The commit that is played, where there is one, and how to play a seed again.
fn again(seed: u64) -> String {
    let head = std::process::Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "HEAD"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map_or(env!("CARGO_PKG_VERSION").to_owned(), |output| {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        });
    format!("seed {seed} at {head}: L402_TEST_SEED={seed} cargo test --test simulation seeds")
}

/// What is to be read of a seed that broke something.
fn story(schedule: &Schedule, told: &Told) -> String {
    let numbered = told.log.iter().enumerate().map(|(i, line)| format!("{i:3} {line}\n"));
    let why = told.result.as_ref().err().cloned().unwrap_or_default();
    format!(
        "{}\npayer apart {}, heights {:?}\n{}{why}\n",
        again(schedule.seed),
        schedule.apart,
        schedule.heights,
        numbered.collect::<String>()
    )
}

/// The seeds that are asked for, or the usual ones.
fn asked() -> (Vec<u64>, bool) {
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("expected a number, found {text}"));
    if let Ok(seed) = std::env::var("L402_TEST_SEED") {
        return (vec![number(&seed)], true);
    }
    match std::env::var("L402_TEST_SEEDS") {
        Ok(range) => {
            let (from, to) = range.split_once("..").expect("L402_TEST_SEEDS=FROM..TO");
            ((number(from)..number(to)).collect(), false)
        }
        Err(_) => (FOUND.into_iter().chain(0..SOME).collect(), false),
    }
}

#[test]
fn seeds_break_no_promise() {
    let (seeds, show) = asked();
    let mut bank = Bank::open();
    let (begun, mut broken, mut faults, mut verbs, mut paid) = (Instant::now(), Vec::new(), 0, 0, 0);
    for (i, seed) in seeds.iter().enumerate() {
        let (schedule, told) = bank.seed(*seed);
        (faults, verbs) = (faults + told.faults, verbs + told.verbs);
        match &told.result {
            Ok(outcome) => paid += outcome.paid.values().filter(|paid| **paid > 0).count(),
            Err(_) => broken.push(story(&schedule, &told)),
        }
        if show || told.result.is_err() {
            eprintln!("{}", story(&schedule, &told));
        }
        if (i + 1).is_multiple_of(20) {
            eprintln!("{} seeds, {:.0?}, {} broken", i + 1, begun.elapsed(), broken.len());
        }
    }
    println!("{} seeds, {verbs} verbs, {faults} faults, {paid} workers paid, {:.0?}", seeds.len(), begun.elapsed());
    assert!(broken.is_empty(), "{} of {} seeds:\n{}", broken.len(), seeds.len(), broken.concat());
    assert!(
        show || seeds.len() < 10 || faults >= seeds.len() && paid >= seeds.len() / 2,
        "{faults} faults, {paid} paid"
    );
}

/// What happens, and when, is the seed's alone. What nodes do meanwhile takes its own time: where a deadline passes, the one or the other
/// may be in time. So these pass none.
#[test]
fn a_seed_plays_the_same_again() {
    let mined = |schedule: &Schedule| -> u64 {
        schedule.moves.iter().map(|mov| if let Move::Mine(blocks) = mov { *blocks } else { 0 }).sum()
    };
    let slow = |seed: &u64| {
        let schedule = Schedule::draw(*seed);
        mined(&schedule) + 1 < schedule.heights[0]
    };
    let mut bank = Bank::open();
    for seed in (0..).filter(slow).take(3) {
        let (schedule, told) = bank.seed(seed);
        let (second, again) = bank.seed(seed);
        assert_eq!(schedule, second);
        assert!(told.result.is_ok(), "{}", story(&schedule, &told));
        assert_eq!(told.result, again.result, "{}\n{}", story(&schedule, &told), story(&second, &again));
    }
    assert_ne!(Schedule::draw(1), Schedule { seed: 1, ..Schedule::draw(2) });
}

#[test]
fn every_check_notices_what_it_is_for() {
    let mut bank = Bank::open();
    for (sabotage, says) in sabotage::ALL {
        let schedule = Schedule::calm(1, true);
        let (_, told) = bank.play(&schedule, Some(sabotage));
        let why = told.result.clone().expect_err(&format!("{sabotage:?}"));
        assert!(why.contains(says), "{sabotage:?}: expected {says:?}\n{}", story(&schedule, &told));
    }
}
