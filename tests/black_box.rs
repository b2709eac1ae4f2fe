//! Paid rounds over two sockets, whatever stands behind them.
//!
//! `L402_TEST_PAYER_RPC` and `L402_TEST_PAYEE_RPC` name the sockets of two nodes with a channel from the payer to the
//! payee, the payee's with the hold plugin; `L402_TEST_MINE_CMD` (its argument is a number of blocks),
//! `L402_TEST_RESTART_PAYER_CMD` and `L402_TEST_RESTART_PAYEE_CMD` are shell commands, and tests that need one that is
//! not given say so and are skipped. Without the sockets the embedded devnet stands behind them.

mod common;

use std::sync::{Mutex, MutexGuard};

use common::devnet::Devnet;
use common::escrow::{Pair, Round, Socket, Table, call, shell};
use common::{records, talk};
use serde_json::json;

/// The pair, or the devnet that stands in for it.
fn pair() -> (Pair, Option<Devnet>) {
    let variable = |name: &str| std::env::var(name).ok();
    match (variable("L402_TEST_PAYER_RPC"), variable("L402_TEST_PAYEE_RPC")) {
        (Some(payer), Some(payee)) => {
            let pair = Pair {
                payer: Socket(payer.into()),
                payee: Socket(payee.into()),
                judge: None,
                mine: variable("L402_TEST_MINE_CMD"),
                restart_payer: variable("L402_TEST_RESTART_PAYER_CMD"),
                restart_payee: variable("L402_TEST_RESTART_PAYEE_CMD"),
            };
            (pair, None)
        }
        _ => {
            let devnet = Devnet::up(2, "");
            (devnet.pair(1, 2), Some(devnet))
        }
    }
}

/// What a test holds on to until it ends: the devnet, and the right to use the pair.
struct Guard {
    _devnet: Option<Devnet>,
    _turn: MutexGuard<'static, ()>,
}

/// A pair and a table at it. One test at a time uses them: balances are compared.
fn sit_down() -> (Pair, Table, Guard) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (pair, _devnet) = pair();
    let table = Table::new(&pair);
    (pair, table, Guard { _devnet, _turn })
}

fn skipped(why: &str) {
    eprintln!("skipped: {why} is not given");
}

#[test]
fn a_round_is_paid_by_its_worth_and_the_rest_comes_back() {
    let (pair, table, _guard) = sit_down();
    let round = table.round(&pair, "r");
    let before = (pair.payer.quiet(), pair.payee.quiet());
    round.up_to("held");
    let held = &round.records("held.jsonl", "held")[0];
    assert_eq!(held["rungs"].as_array().unwrap().len(), 4);
    // While it is held nobody has gained anything.
    assert_eq!((pair.payer.balance(), pair.payee.balance()), ((before.0, 4), (before.1, 4)));
    ["commit", "close", "open", "settle", "claim"].iter().for_each(|step| drop(round.ok(step)));
    let paid = round.paid();
    let verdict = &round.records("verdicts.jsonl", "verdict")[0];
    assert!(paid > 0 && paid <= table.earned, "{verdict}");
    assert!(!verdict["rungs"].as_array().unwrap().is_empty());
    let returned = verdict["returned_msat"].as_u64().unwrap();
    assert!(returned > 0, "a part of it must go back, or this test shows little");
    assert_eq!(pair.payee.quiet(), before.1 + paid);
    assert_eq!(pair.payer.quiet(), before.0 - paid);
    let claimed = &round.records("claimed.jsonl", "claimed")[0];
    assert_eq!(claimed["claimed_msat"], json!(paid));
}

#[test]
fn every_step_run_again_changes_nothing() {
    let (pair, table, _guard) = sit_down();
    let round = table.round(&pair, "again");
    let before = (pair.payer.quiet(), pair.payee.quiet());
    for step in common::escrow::STEPS {
        let first = round.ok(step).stdout;
        for _ in 0..2 {
            assert_eq!(round.ok(step).stdout, first, "{step}");
        }
    }
    // And all of them once more, when everything is over.
    for step in ["offer", "issue", "lock", "commit", "close", "open", "settle", "claim"] {
        round.ok(step);
    }
    assert_eq!(pair.payee.quiet(), before.1 + round.paid());
    assert_eq!(pair.payer.quiet(), before.0 - round.paid());
}

#[test]
fn a_round_without_a_commitment_pays_nothing_and_everything_comes_back() {
    let (pair, table, _guard) = sit_down();
    let round = table.round(&pair, "idle");
    let before = (pair.payer.quiet(), pair.payee.quiet());
    round.up_to("held");
    let world = &table.world;
    world.write(&round.file("commitments.jsonl"), b"");
    world.write(&round.file("openings.jsonl"), b"");
    // There is time still: a judge that is in a hurry must say so.
    round.expect("close", 75, "ann");
    world.ok(&format!("{} --now", round.args("close")));
    round.ok("settle");
    let verdict = &round.records("verdicts.jsonl", "verdict")[0];
    assert_eq!(verdict["paid_msat"], json!(0));
    assert!(verdict["reason"].as_str().unwrap().contains("no commitment"), "{verdict}");
    round.ok("claim");
    assert_eq!((pair.payer.quiet(), pair.payee.quiet()), before);
}

#[test]
fn a_redo_of_a_round_has_hashes_of_its_own() {
    let (pair, table, _guard) = sit_down();
    let round = table.round(&pair, "redo");
    round.ok("offer");
    let offers = || records(&table.world.bytes("redo.offers.jsonl"), "offer");
    let first = offers();
    table.world.ok(&format!("{} --attempt 1 --force", round.args("offer")));
    let second = offers();
    let hashes = |offers: &[serde_json::Value]| offers[0]["hashes"].as_array().unwrap().clone();
    assert!(hashes(&first).iter().all(|h| !hashes(&second).contains(h)));
    // The same recipe in another folder has others again: nothing is ever offered twice.
    let other = table.round(&pair, "twin");
    other.ok("offer");
    let twin = records(&table.world.bytes("twin.offers.jsonl"), "offer");
    assert!(hashes(&twin).iter().all(|h| !hashes(&first).contains(h)));
    // On other terms the same try is refused.
    table.world.expect(&format!("{} --max-msat 30000000 --force", round.args("offer")), 1, "--attempt");
}

#[test]
fn a_hash_that_was_paid_elsewhere_is_not_taken_for_a_lock() {
    let (pair, table, _guard) = sit_down();
    let round = table.round(&pair, "else");
    let before = (pair.payer.quiet(), pair.payee.quiet());
    round.up_to("issue");
    // The payer's own node pays one of the invoices for somebody else.
    let invoices = round.records("invoices.jsonl", "invoices")[0]["invoices"].clone();
    let bolt11 = invoices[3].as_str().unwrap().to_owned();
    let socket = pair.payer.0.clone();
    let paying = std::thread::spawn(move || call(&socket, "xpay", json!({"invstring": bolt11})));
    let hash = round.records("offers.jsonl", "offer")[0]["hashes"][3].clone();
    for _ in 0..200 {
        let pays = pair.payer.ask("listpays", json!({"payment_hash": hash}));
        if pays["pays"].as_array().is_some_and(|p| p.iter().any(|p| p["status"] == "pending")) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    round.expect("lock", 1, "rung 3");
    pair.payee.ask("cancelholdinvoice", json!({"payment_hash": hash}));
    assert!(paying.join().unwrap().is_err());
    assert_eq!((pair.payer.quiet(), pair.payee.quiet()), before);
}

#[test]
fn what_the_worker_cancelled_is_refused_and_said_so() {
    let (pair, table, _guard) = sit_down();
    let round = table.round(&pair, "refused");
    let before = (pair.payer.quiet(), pair.payee.quiet());
    round.up_to("issue");
    let hashes = round.records("offers.jsonl", "offer")[0]["hashes"].clone();
    pair.payee.ask("cancelholdinvoice", json!({"payment_hash": hashes[1]}));
    // The payer's node cannot tell a payee that cancelled from one that is a block behind; and what is refused is pending
    // for a moment first.
    let lock = || {
        let output = table.world.run(&round.args("lock"));
        assert!(matches!(output.status.code(), Some(0 | 75)), "{}", talk(&output));
    };
    lock();
    // The worker sees it, and gives the others back.
    round.expect("held", 1, "cancelled");
    assert_eq!((pair.payer.quiet(), pair.payee.quiet()), before);
    // It may be tried again, and nothing is paid.
    let status = format!("invoice status --round 0 --escrow refused.judge {}", pair.payer.arg());
    let refused = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let output = table.world.run(&status);
        output.status.code() == Some(75) && talk(&output).contains("not under way")
    });
    assert!(refused, "the payer never learns that its payments have failed");
    lock();
    assert_eq!((pair.payer.quiet(), pair.payee.quiet()), before);
}

#[test]
fn a_payer_without_a_node_is_told_so() {
    let (pair, table, _guard) = sit_down();
    let mut round = table.round(&pair, "down");
    round.payer = Socket(table.world.path("no-socket"));
    round.expect("offer", 69, "no-socket");
}

#[test]
fn at_lock_by_a_worker_gives_everything_back_unless_all_is_held() {
    let (pair, table, _guard) = sit_down();
    if pair.mine.is_none() {
        return skipped("L402_TEST_MINE_CMD");
    }
    let round = table.round(&pair, "late");
    let before = (pair.payer.quiet(), pair.payee.quiet());
    table.world.ok(&format!("{} --heights +3,+150,+200,+300", round.args("offer")));
    round.ok("issue");
    let bolt11 = round.records("invoices.jsonl", "invoices")[0]["invoices"][0].as_str().unwrap().to_owned();
    let socket = pair.payer.0.clone();
    let paying = std::thread::spawn(move || call(&socket, "xpay", json!({"invstring": bolt11})));
    round.expect(&"held".replace("--wait=20", ""), 75, "not paid yet");
    pair.mine(3);
    round.expect("lock", 1, "");
    round.expect("held", 1, "cancelled");
    assert!(paying.join().unwrap().is_err());
    assert_eq!((pair.payer.quiet(), pair.payee.quiet()), before);
}

/// A round whose payments are all held and whose list is closed, and the height at which the first of them expires.
fn closed_in_a_hurry<'a>(table: &'a Table, pair: &'a Pair) -> (Round<'a>, u64) {
    let round = table.round(pair, "late");
    table.world.ok(&format!("{} --heights +3,+4,+5,+6", round.args("offer")));
    ["issue", "lock", "held", "commit", "close", "open"].iter().for_each(|step| drop(round.ok(step)));
    let held = &round.records("held.jsonl", "held")[0];
    let expiry = held["rungs"].as_array().unwrap().iter().map(|r| r["cltv_expiry"].as_u64().unwrap()).min().unwrap();
    (round, expiry)
}

#[test]
fn nothing_is_judged_within_the_margin_of_the_expiry() {
    let (pair, table, _guard) = sit_down();
    if pair.mine.is_none() {
        return skipped("L402_TEST_MINE_CMD");
    }
    let before = (pair.payer.quiet(), pair.payee.quiet());
    let (round, expiry) = closed_in_a_hurry(&table, &pair);
    pair.mine(expiry - 71 - pair.payer.height());
    round.expect("settle", 1, "72 blocks");
    // The worker gives back what nobody can claim any more.
    table.world.expect(&format!("{} --force", round.args("held")), 1, "cancelled");
    assert_eq!((pair.payer.quiet(), pair.payee.quiet()), before);
}

#[test]
fn nothing_is_claimed_within_the_margin_of_the_expiry() {
    let (pair, table, _guard) = sit_down();
    if pair.mine.is_none() {
        return skipped("L402_TEST_MINE_CMD");
    }
    let before = (pair.payer.quiet(), pair.payee.quiet());
    let (round, _) = closed_in_a_hurry(&table, &pair);
    round.ok("settle");
    // Payers add random blocks to each payment's expiry: what counts is the first of those that were earned.
    let held = &round.records("held.jsonl", "held")[0];
    let verdict = &round.records("verdicts.jsonl", "verdict")[0];
    let expiry_of = |rung: &serde_json::Value| held["rungs"][rung.as_u64().unwrap() as usize]["cltv_expiry"].as_u64();
    let expiry = verdict["rungs"].as_array().unwrap().iter().filter_map(expiry_of).min().unwrap();
    pair.mine(expiry - 71 - pair.payer.height());
    round.expect("claim", 1, "72 blocks");
    table.world.expect(&format!("{} --force", round.args("held")), 1, "cancelled");
    assert_eq!((pair.payer.quiet(), pair.payee.quiet()), before);
}

#[test]
fn nodes_that_restart_between_the_steps_lose_nothing() {
    let (pair, table, _guard) = sit_down();
    let (Some(payer), Some(payee)) = (&pair.restart_payer, &pair.restart_payee) else {
        return skipped("L402_TEST_RESTART_PAYER_CMD or L402_TEST_RESTART_PAYEE_CMD");
    };
    let round = table.round(&pair, "restart");
    let before = (pair.payer.quiet(), pair.payee.quiet());
    for step in common::escrow::STEPS {
        round.until_ok(step);
        if ["issue", "lock", "held", "settle"].contains(&step) {
            shell(payer);
            shell(payee);
        }
    }
    assert_eq!(pair.payee.quiet(), before.1 + round.paid());
    assert_eq!(pair.payer.quiet(), before.0 - round.paid());
}
