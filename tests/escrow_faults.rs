//! kill -9 of the verb, of the payer's node and of the payee's, at every call and in the middle of every journal write;
//! then the same command again. However it goes, the round ends as if nothing had happened, to the msat.

mod common;

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use common::devnet::Devnet;
use common::escrow::{Pair, Round, STEPS, Socket, Table};
use common::proxy::{Fault, Proxy, When, kill};
use common::talk;

/// A table at a devnet, and what both parties have.
struct Bank {
    devnet: Arc<Devnet>,
    pair: Pair,
    table: Table,
    before: (u64, u64),
}

impl Bank {
    fn open() -> Bank {
        let devnet = Arc::new(Devnet::up(2, ""));
        let pair = devnet.pair(1, 2);
        let table = Table::new(&pair);
        let before = (pair.payer.quiet(), pair.payee.quiet());
        Bank { devnet, pair, table, before }
    }

    /// After a round: exactly what the verdict pays has changed hands, once, and nothing is in flight.
    #[track_caller]
    fn check(&mut self, round: &str, what: &str) {
        let paid = self.table.round(&self.pair, round).paid();
        assert!(paid > 0, "{what}");
        let after = (self.pair.payer.quiet(), self.pair.payee.quiet());
        assert_eq!(after, (self.before.0 - paid, self.before.1 + paid), "{what}");
        self.before = after;
    }
}

fn is_payers(step: &str) -> bool {
    ["offer", "lock", "close", "settle"].contains(&step)
}

/// The round, with the verb's socket of one step replaced.
fn through<'a>(round: &Round<'a>, step: &str, proxy: &Proxy) -> Round<'a> {
    let mut faulty = Round {
        table: round.table,
        pair: round.pair,
        name: round.name.clone(),
        payer: round.payer.clone(),
        payee: round.payee.clone(),
        worker: round.worker.clone(),
    };
    let socket = Socket(proxy.path());
    if is_payers(step) {
        faulty.payer = socket
    } else {
        faulty.payee = socket
    }
    faulty
}

/// Runs a step whose verb is killed at a call; whether it came to that.
fn killed_at(round: &Round<'_>, step: &str, at: usize, when: When) -> bool {
    let pid = Arc::new(Mutex::new(None::<u32>));
    let node = if is_payers(step) { round.payer.0.clone() } else { round.payee.0.clone() };
    let proxy = Proxy::new(
        node,
        Fault { at, when, changes_only: false, action: kill(Arc::clone(&pid)), ..Fault::unknown(&[]) },
    );
    let child = through(round, step, &proxy).command(step).spawn().unwrap();
    *pid.lock().unwrap() = Some(child.id());
    let output = child.wait_with_output().unwrap();
    match proxy.happened() {
        Some(_) => assert!(matches!(output.status.signal(), Some(9)), "{step}: {}", talk(&output)),
        None => assert_eq!(output.status.code(), Some(0), "{step}: {}", talk(&output)),
    }
    proxy.happened().is_some()
}

fn verbs_killed(when: When) {
    let mut bank = Bank::open();
    for at in 0.. {
        let name = format!("k{at}");
        let mut hit = Vec::new();
        {
            let round = bank.table.round(&bank.pair, &name);
            for step in STEPS {
                if killed_at(&round, step, at, when) {
                    hit.push(step);
                    round.until_ok(step);
                }
            }
        }
        bank.check(&name, &format!("killed {when:?} call {at} of {hit:?}"));
        if hit.is_empty() {
            assert!(at > 10, "some verb makes more calls than that");
            return;
        }
    }
}

#[test]
fn a_verb_that_is_killed_before_any_call_is_run_again_and_all_is_well() {
    verbs_killed(When::Before);
}

#[test]
fn a_verb_that_is_killed_after_any_call_before_it_knows_the_answer_is_run_again_and_all_is_well() {
    verbs_killed(When::After);
}

/// Runs a step until it succeeds. Where the plugin's row says paid and the payment still hangs, that is said within
/// seconds, and the documented recovery brings the money: row back to accepted with the node stopped.
fn recover(devnet: &Devnet, round: &Round<'_>, step: &str) {
    if step == "claim" {
        let output = round.command(step).output().unwrap();
        if output.status.code() == Some(1) && talk(&output).contains("MONEY IN DANGER") {
            set_accepted(devnet, round);
        }
    }
    round.until_ok(step);
}

/// The rows of earned payments that hang in the channel, as if they had never been settled.
fn set_accepted(devnet: &Devnet, round: &Round<'_>) {
    let listed = devnet.socket(2).ask("listpeerchannels", serde_json::json!({}));
    let hanging = listed["channels"][0]["htlcs"].as_array().unwrap().clone();
    devnet.kill(2);
    let offer = &round.records("offers.jsonl", "offer")[0];
    for hash in offer["hashes"].as_array().unwrap() {
        if hanging.iter().all(|h| h["payment_hash"] != *hash) {
            continue;
        }
        let row = devnet.node(2).join(format!("hold/{}.json", hash.as_str().unwrap()));
        let text = std::fs::read_to_string(&row).unwrap();
        // The invoice's own state, and that of its HTLC.
        std::fs::write(&row, text.replace("\"paid\"", "\"accepted\"")).unwrap();
    }
    devnet.again();
}

/// A node is killed at a call that changes something; the verb says that it is unreachable, and is run again.
fn nodes_killed(payers: bool, when: When) {
    let mut bank = Bank::open();
    let victim = if payers { 1 } else { 2 };
    for at in 0.. {
        let name = format!("n{at}");
        let mut hit = Vec::new();
        {
            let round = bank.table.round(&bank.pair, &name);
            for step in STEPS {
                let devnet = Arc::clone(&bank.devnet);
                let action = Box::new(move || devnet.kill(victim));
                let node = if is_payers(step) { round.payer.0.clone() } else { round.payee.0.clone() };
                let proxy = Proxy::new(node, Fault { at, when, changes_only: true, action, ..Fault::unknown(&[]) });
                let output = through(&round, step, &proxy).command(step).output().unwrap();
                if proxy.happened().is_some() {
                    hit.push(step);
                    let code = output.status.code();
                    assert!(matches!(code, Some(0 | 69 | 75)), "{step}: {code:?}\n{}", talk(&output));
                    bank.devnet.again();
                    recover(&bank.devnet, &round, step);
                } else {
                    assert_eq!(output.status.code(), Some(0), "{step}: {}", talk(&output));
                }
            }
        }
        bank.check(&name, &format!("node {victim} killed {when:?} change {at} of {hit:?}"));
        if hit.is_empty() {
            assert!(at > 3, "some verb changes more than that");
            return;
        }
    }
}

#[test]
fn the_payers_node_is_killed_before_any_change() {
    nodes_killed(true, When::Before);
}

#[test]
fn the_payers_node_is_killed_after_any_change() {
    nodes_killed(true, When::After);
}

#[test]
fn the_payees_node_is_killed_before_any_change() {
    nodes_killed(false, When::Before);
}

#[test]
fn the_payees_node_is_killed_after_any_change() {
    nodes_killed(false, When::After);
}

/// A file may not grow beyond a size: the system kills the verb in the middle of a write, wherever that ends.
#[test]
fn a_verb_whose_disk_ends_in_the_middle_of_a_journal_write_is_run_again_and_all_is_well() {
    let mut bank = Bank::open();
    // How far into what a step writes to its journal there is no more room, in parts of 64.
    for part in [0, 1, 7, 23, 40, 63] {
        let name = format!("t{part}");
        let mut torn = 0;
        {
            let round = bank.table.round(&bank.pair, &name);
            let world = &bank.table.world;
            // The same round once without faults shows how long each step's journal becomes.
            let plain = format!("p{part}");
            let model = bank.table.round(&bank.pair, &plain);
            for step in STEPS {
                let length = |folder: &str| -> u64 {
                    let path = world.path(folder);
                    let names = std::fs::read_dir(path).into_iter().flatten().flatten();
                    let journals = names.filter(|e| e.file_name().to_string_lossy().starts_with("journal-"));
                    journals.map(|e| e.metadata().unwrap().len()).sum()
                };
                let folder = |round: &Round<'_>| round.file(if is_payers(step) { "judge" } else { "worker" });
                let before = length(&folder(&model));
                model.ok(step);
                let grown = length(&folder(&model)) - before;
                if grown > 0 {
                    let limit = length(&folder(&round)) + grown * part / 64;
                    let command = round.command(step);
                    let output = Command::new("prlimit")
                        .arg(format!("--fsize={limit}"))
                        .arg(command.get_program())
                        .args(command.get_args())
                        .current_dir(world.path("."))
                        .stdin(Stdio::null())
                        .output()
                        .unwrap();
                    // What was written until then stays, as after a kill.
                    torn += usize::from(output.status.code() == Some(74));
                    assert!(!output.status.success(), "{step}: it wrote less than it did before");
                }
                round.until_ok(step);
            }
        }
        assert!(torn >= 4, "only {torn} steps were cut short");
        bank.check_both(&name, &format!("p{part}"));
    }
}

/// Found by seed 154 of the simulation: an invoice that came to the plugin when its rung was given up already was looked after by
/// nobody, and would have held a payment until that expires.
#[test]
fn what_a_killed_issue_left_out_is_not_issued_once_the_offer_was_given_up() {
    let bank = Bank::open();
    let rows = |round: &Round<'_>| -> Vec<String> {
        let offer = &round.records("offers.jsonl", "offer")[0];
        let hashes = offer["hashes"].as_array().unwrap().iter();
        let state = |hash: &serde_json::Value| {
            let listed = bank.pair.payee.ask("listholdinvoices", serde_json::json!({ "payment_hash": hash }));
            listed["holdinvoices"][0]["state"].as_str().map(str::to_owned)
        };
        hashes.filter_map(state).collect()
    };
    for at in 0.. {
        let name = format!("i{at}");
        let round = bank.table.round(&bank.pair, &name);
        round.ok("offer");
        assert!(killed_at(&round, "issue", at, When::After), "some kill leaves a part of the invoices");
        let some = rows(&round).len();
        if !(1..4).contains(&some) {
            continue;
        }
        bank.pair.mine(19);
        round.expect("held", 1, "not all was held by height");
        round.ok("issue");
        assert_eq!(rows(&round), vec!["cancelled"; some]);
        return;
    }
}

impl Bank {
    /// After two rounds at a time.
    #[track_caller]
    fn check_both(&mut self, one: &str, other: &str) {
        let paid = self.table.round(&self.pair, one).paid() + self.table.round(&self.pair, other).paid();
        let after = (self.pair.payer.quiet(), self.pair.payee.quiet());
        assert_eq!(after, (self.before.0 - paid, self.before.1 + paid), "{one} {other}");
        self.before = after;
    }
}
