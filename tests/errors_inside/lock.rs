//! Payments that are to be locked, and that are looked at.

use crate::Change;
use l402::pay::Invoices;
use serde_json::json;

use crate::Bank;
use crate::common::escrow::ROUND_MSAT;
use crate::liar::Lie;

const LOCKED: &str = r#"
no invoices: 66
l402: empty.jsonl: no invoices records

no offers: 1
l402: not locked: worker ann: offer <digest>: expected one of empty.jsonl
l402: a.invoices.jsonl: worker ann: offer <digest>: expected one of empty.jsonl

another node is pinned: 1
l402: not locked: offer to ann of round 0: payee: expected <digest>, found <digest>
l402: a.invoices.jsonl: offer to ann of round 0: payee: expected <digest>, found <digest>

another worker is pinned: 1
l402: not locked: offer to ann of round 0: worker: expected one that --worker names, found ann
l402: a.invoices.jsonl: offer to ann of round 0: worker: expected one that --worker names, found ann

another payer: 1
l402: not locked: offer to ann of round 0: payer: expected this node, <digest>, found <digest>
l402: a.invoices.jsonl: offer to ann of round 0: payer: expected this node, <digest>, found <digest>

another judge: 1
l402: not locked: offer to ann of round 0: judge: expected <digest>, found <digest>
l402: a.invoices.jsonl: offer to ann of round 0: judge: expected <digest>, found <digest>

too small a budget: 1
l402: expected at most 1000 msat bound in the round, fees among it, found 120620000 msat
l402: hint: nothing was paid

too long a delay: 65
l402: not locked: offer to ann of round 0: heights: expected payments locked for at most 300 blocks, found 450
l402: a.invoices.jsonl: offer to ann of round 0: heights: expected payments locked for at most 300 blocks, found 450

too few slots: 1
l402: not locked: offer to ann of round 0: 8000000 msat to <digest>: 101x1x0: no HTLC slot is free
l402: offer to ann of round 0: 64000000 offered, 32000000 offered, 16000000 offered, 8000000 offered
l402: not locked: offer to ann of round 0: 8000000 msat to <digest>: 101x1x0: no HTLC slot is free
l402: hint: nothing was paid to this worker; open another channel to it

another network: 1
l402: not locked: worker ann: offer <digest>: expected one of other.jsonl
l402: a.invoices.jsonl: worker ann: offer <digest>: expected one of other.jsonl

too few invoices: 1
l402: not locked: invoices for the offer to ann of round 0: invoices: expected 4, found 3
l402: changed.jsonl: invoices for the offer to ann of round 0: invoices: expected 4, found 3

no invoice: 1
l402: not locked: invoice for rung 1 of the offer to ann of round 0: not an invoice: Invalid bech32: invalid checksum
l402: changed.jsonl: invoice for rung 1 of the offer to ann of round 0: not an invoice: Invalid bech32: invalid checksum

an invoice in other letters: 1
l402: not locked: invoice for rung 1 of the offer to ann of round 0: not an invoice as one writes it: expected lower case, no other spelling
l402: changed.jsonl: invoice for rung 1 of the offer to ann of round 0: not an invoice as one writes it: expected lower case, no other spelling

an invoice that is too long: 1
l402: not locked: invoice for rung 1 of the offer to ann of round 0: expected at most 4096 bytes, found 5000
l402: changed.jsonl: invoice for rung 1 of the offer to ann of round 0: expected at most 4096 bytes, found 5000

another rung's invoice: 1
l402: not locked: invoice for rung 1 of the offer to ann of round 0: payment hash: expected <digest>, found <digest>
l402: changed.jsonl: invoice for rung 1 of the offer to ann of round 0: payment hash: expected <digest>, found <digest>

another round's: 1
l402: not locked: invoices for the offer to ann of round 0: round: expected 0, found 1
l402: changed.jsonl: invoices for the offer to ann of round 0: round: expected 0, found 1

another worker's: 1
l402: not locked: invoices for the offer to ann of round 0: worker: expected ann, found bob
l402: changed.jsonl: invoices for the offer to ann of round 0: worker: expected ann, found bob

signed by another: 1
l402: not locked: invoices for the offer to ann of round 0: sig: not a signature of this record by <digest>
l402: changed.jsonl: invoices for the offer to ann of round 0: sig: not a signature of this record by <digest>

too few slots beside what is in flight: 75
l402: not locked: offer to ann of round 0: 8000000 msat to <digest>: 101x1x0: no HTLC slot is free
l402: offer to ann of round 0: 64000000 offered, 32000000 offered, 16000000 offered, 8000000 offered
l402: not locked: offer to ann of round 0: 8000000 msat to <digest>: 101x1x0: no HTLC slot is free
l402: hint: once what is in flight has ended the same command locks it, until height 124

"#;

#[test]
fn what_is_not_locked() {
    let bank = Bank::open();
    let (round, mut said) = (bank.round("a"), bank.said());
    let world = &bank.table.world;
    let (judge, worker) = (world.coordinator.clone(), round.worker.clone());
    ["offer", "issue"].iter().for_each(|step| drop(round.ok(step)));
    let lock = round.args("lock");
    let pin = format!("--worker ann={worker}");
    world.write("empty.jsonl", b"");
    said.step("no invoices", &lock.replace("a.invoices.jsonl", "empty.jsonl"));
    said.step("no offers", &lock.replace("a.offers.jsonl", "empty.jsonl"));
    said.step("another node is pinned", &lock.replace(&pin, &format!("--worker ann={judge}")));
    said.step("another worker is pinned", &lock.replace(&pin, &format!("--worker bob={worker}")));
    said.step("another payer", &lock.replace(&bank.pair.payer.arg(), &bank.pair.payee.arg()).replace("a.judge", "x"));
    said.step("another judge", &lock.replace(&format!("--judge {judge}"), &format!("--judge {worker}")));
    let budget = format!("--budget-msat {}", 3 * ROUND_MSAT);
    said.step("too small a budget", &lock.replace(&budget, "--budget-msat 1000"));
    said.step("too long a delay", &format!("{lock} --max-delay 300"));
    said.step("too few slots", &format!("{lock} --max-htlcs 3"));
    bank.other_offer(&round, |o| o.network = "signet".into());
    said.step("another network", &lock.replace("a.offers.jsonl", "other.jsonl"));

    let whole: Invoices = bank.read("a.invoices.jsonl");
    let changes: [Change<Invoices>; 7] = [
        ("too few invoices", |i| drop(i.invoices.pop())),
        ("no invoice", |i| i.invoices[1] = "lnbcrt1".into()),
        ("an invoice in other letters", |i| i.invoices[1] = i.invoices[1].to_uppercase()),
        ("an invoice that is too long", |i| i.invoices[1] = "l".repeat(5000)),
        ("another rung's invoice", |i| i.invoices[1] = i.invoices[0].clone()),
        ("another round's", |i| i.task.round = 1),
        ("another worker's", |i| i.task.worker = "bob".into()),
    ];
    for (what, change) in changes {
        let mut changed = whole.clone();
        change(&mut changed);
        bank.forge(&bank.pair.payee, "changed.jsonl", changed);
        said.step(what, &lock.replace("a.invoices.jsonl", "changed.jsonl"));
    }
    bank.forge(&bank.pair.payer, "changed.jsonl", whole);
    said.step("signed by another", &lock.replace("a.invoices.jsonl", "changed.jsonl"));
    ["lock", "held"].iter().for_each(|step| drop(round.ok(step)));
    let next = bank.round("b");
    ["offer", "issue"].iter().for_each(|step| drop(next.ok(step)));
    said.step("too few slots beside what is in flight", &format!("{} --max-htlcs 7", next.args("lock")));
    said.is(LOCKED, "tests/errors_inside/lock.rs");
}

const ANSWERS: &str = r#"
no channels: 75
l402: the node has no channel that can be used now
l402: hint: are its peers connected?

paid before: 1
l402: rung 0 of the offer to ann of round 0: the hash was paid before, and not by this lock: code 201: says the test\u{1b}[2J
l402: rung 1 of the offer to ann of round 0: the hash was paid before, and not by this lock: code 201: says the test\u{1b}[2J
l402: rung 2 of the offer to ann of round 0: the hash was paid before, and not by this lock: code 201: says the test\u{1b}[2J
l402: rung 3 of the offer to ann of round 0: the hash was paid before, and not by this lock: code 201: says the test\u{1b}[2J
l402: offer to ann of round 0: 64000000 locking, 32000000 locking, 16000000 locking, 8000000 locking
l402: rung 0 of the offer to ann of round 0: the hash was paid before, and not by this lock: code 201: says the test\u{1b}[2J

a method that it does not know: 1
l402: rung 0 of the offer to ann of round 0: NODE: xpay: code -32601: says the test\u{1b}[2J
l402: rung 1 of the offer to ann of round 0: NODE: xpay: code -32601: says the test\u{1b}[2J
l402: rung 2 of the offer to ann of round 0: NODE: xpay: code -32601: says the test\u{1b}[2J
l402: rung 3 of the offer to ann of round 0: NODE: xpay: code -32601: says the test\u{1b}[2J
l402: offer to ann of round 0: 64000000 locking, 32000000 locking, 16000000 locking, 8000000 locking
l402: rung 0 of the offer to ann of round 0: NODE: xpay: code -32601: says the test\u{1b}[2J

paid before, and by this folder: 75
l402: offer to ann of round 0: 64000000 locking, 32000000 locking, 16000000 locking, 8000000 locking
l402: rung 0 of the offer to ann of round 0: its payment is not under way
l402: hint: run lock again

expired: 1
l402: rung 0 of the offer to ann of round 0: the worker's invoice has expired: code 207: says the test\u{1b}[2J
l402: rung 1 of the offer to ann of round 0: the worker's invoice has expired: code 207: says the test\u{1b}[2J
l402: rung 2 of the offer to ann of round 0: the worker's invoice has expired: code 207: says the test\u{1b}[2J
l402: rung 3 of the offer to ann of round 0: the worker's invoice has expired: code 207: says the test\u{1b}[2J
l402: offer to ann of round 0: 64000000 locking, 32000000 locking, 16000000 locking, 8000000 locking
l402: rung 0 of the offer to ann of round 0: the worker's invoice has expired: code 207: says the test\u{1b}[2J
l402: hint: another offer (--attempt) has other invoices

refused by the payee: 75
l402: rung 0 of the offer to ann of round 0: refused by the payee: code 203: says the test\u{1b}[2J
l402: rung 1 of the offer to ann of round 0: refused by the payee: code 203: says the test\u{1b}[2J
l402: rung 2 of the offer to ann of round 0: refused by the payee: code 203: says the test\u{1b}[2J
l402: rung 3 of the offer to ann of round 0: refused by the payee: code 203: says the test\u{1b}[2J
l402: offer to ann of round 0: 64000000 locking, 32000000 locking, 16000000 locking, 8000000 locking
l402: rung 0 of the offer to ann of round 0: refused by the payee: code 203: says the test\u{1b}[2J
l402: hint: it has cancelled, or has no such invoice yet, or sees another height; until height 124 the same command asks again

no route: 75
l402: rung 0 of the offer to ann of round 0: not paid yet: code 205: says the test\u{1b}[2J
l402: rung 1 of the offer to ann of round 0: not paid yet: code 205: says the test\u{1b}[2J
l402: rung 2 of the offer to ann of round 0: not paid yet: code 205: says the test\u{1b}[2J
l402: rung 3 of the offer to ann of round 0: not paid yet: code 205: says the test\u{1b}[2J
l402: offer to ann of round 0: 64000000 locking, 32000000 locking, 16000000 locking, 8000000 locking
l402: rung 0 of the offer to ann of round 0: not paid yet: code 205: says the test\u{1b}[2J
l402: hint: until height 124 the same command asks again

a status that nobody knows: 65
l402: not locked: NODE: listpays: unknown status "somehow\u{1b}[2J"
l402: a.invoices.jsonl: NODE: listpays: unknown status "somehow\u{1b}[2J"

a node that is gone: 69
l402: rung 0 of the offer to ann of round 0: no node at NODE: No such file or directory (os error 2)
l402: rung 1 of the offer to ann of round 0: no node at NODE: No such file or directory (os error 2)
l402: rung 2 of the offer to ann of round 0: no node at NODE: No such file or directory (os error 2)
l402: rung 3 of the offer to ann of round 0: no node at NODE: No such file or directory (os error 2)
l402: offer to ann of round 0: 64000000 locking, 32000000 locking, 16000000 locking, 8000000 locking
l402: rung 0 of the offer to ann of round 0: no node at NODE: No such file or directory (os error 2)

hung up: 69
l402: rung 0 of the offer to ann of round 0: the node did not answer, so it may be paid: no response from lightningd
l402: rung 1 of the offer to ann of round 0: the node did not answer, so it may be paid: no response from lightningd
l402: rung 2 of the offer to ann of round 0: the node did not answer, so it may be paid: no response from lightningd
l402: rung 3 of the offer to ann of round 0: the node did not answer, so it may be paid: no response from lightningd
l402: offer to ann of round 0: 64000000 unknown, 32000000 unknown, 16000000 unknown, 8000000 unknown
l402: rung 0 of the offer to ann of round 0: the node did not answer, so it may be paid: no response from lightningd
l402: hint: run the same command again: it looks first, and sends only the same invoice

too late: 1
l402: not locked: rung 0 of the offer to ann of round 0: expected a height from 106 on and below 124, found 146
l402: a.invoices.jsonl: rung 0 of the offer to ann of round 0: expected a height from 106 on and below 124, found 146

what the payer has: 0
l402: offer to ann of round 0: 64000000 expired, 32000000 expired, 16000000 expired, 8000000 expired

too late, and known to be: 1
l402: offer to ann of round 0: 64000000 expired, 32000000 expired, 16000000 expired, 8000000 expired
l402: rung 0 of the offer to ann of round 0: it was not paid by height 124

not held in time: 1
l402: offer to ann of round 0: 64000000 cancelled, 32000000 cancelled, 16000000 cancelled, 8000000 cancelled
l402: offer to ann of round 0: not all was held by height 124: cancelled

"#;

#[test]
fn what_a_node_answers_to_payments() {
    let bank = Bank::open();
    let (round, mut said) = (bank.round("a"), bank.said());
    ["offer", "issue"].iter().for_each(|step| drop(round.ok(step)));
    let answers: [(&str, &'static [(&'static str, Lie)]); 9] = [
        ("no channels", &[("listpeerchannels", Lie::Instead(|| json!({ "channels": [] })))]),
        ("paid before", &[("xpay", Lie::Refuse(201))]),
        ("a method that it does not know", &[("xpay", Lie::Refuse(-32601))]),
        ("paid before, and by this folder", &[("xpay", Lie::Refuse(201))]),
        ("expired", &[("xpay", Lie::Refuse(207))]),
        ("refused by the payee", &[("xpay", Lie::Refuse(203))]),
        ("no route", &[("xpay", Lie::Refuse(205))]),
        ("a status that nobody knows", &[("listpays", PAID_SOMEHOW)]),
        ("a node that is gone", &[("listpeerchannels", Lie::Vanish)]),
    ];
    for (what, lies) in answers {
        let (_liar, liar) = bank.lies(&mut said, true, lies);
        said.step(what, &bank.at(&round, "lock", true, &liar));
    }
    let (_liar, liar) = bank.lies(&mut said, true, &[("xpay", Lie::HangUp)]);
    said.step("hung up", &bank.at(&round, "lock", true, &liar));
    bank.pair.mine(40);
    said.step("too late", &round.args("lock"));
    let looks = format!("invoice status --escrow a.judge {}", bank.pair.payer.arg());
    said.step("what the payer has", &looks);
    said.step("too late, and known to be", &round.args("lock"));
    said.step("not held in time", &round.args("held"));
    said.is(ANSWERS, "tests/errors_inside/lock.rs");
}

const PAID_SOMEHOW: Lie = Lie::Change(|answer| answer["pays"] = json!([{ "status": "somehow\u{1b}[2J" }]));

const HELD: &str = r#"
the same with another folder: 1
l402: not locked: rung 0 of the offer to ann of round 0: expected a hash that was never paid, found a payment of it at the node, and not begun by this escrow folder
l402: a.invoices.jsonl: rung 0 of the offer to ann of round 0: expected a hash that was never paid, found a payment of it at the node, and not begun by this escrow folder
l402: hint: was it paid elsewhere, or with another escrow folder? it will not be paid again

another invoice of the hash is paid: 1
l402: not locked: rung 0 of the offer to ann of round 0: the node pays another invoice of this hash
l402: a.invoices.jsonl: rung 0 of the offer to ann of round 0: the node pays another invoice of this hash

who has given nothing back: 1
l402: not locked: worker ann still holds 4 payments of the offer to ann of round 0, which were to be claimed or cancelled by height 484
l402: b.invoices.jsonl: worker ann still holds 4 payments of the offer to ann of round 0, which were to be claimed or cancelled by height 484
l402: hint: nothing was paid to it; leave this worker out until it has cancelled them

a node that does not cancel: 75
l402: rung 0 of the offer to ann of round 0: not cancelled: code -1: says the test\u{1b}[2J

a node that says that it cancelled: 75
l402: rung 0 of the offer to ann of round 0: not cancelled yet

a node that cannot be heard: 69
l402: NODE: cancelholdinvoice: the node did not answer: no response from lightningd
l402: hint: what was asked may have happened; run the same command again

settled without a verdict: 1
l402: offer to ann of round 0: 64000000 held, 32000000 held, 16000000 held, 8000000 held
l402: rung 0 of the offer to ann of round 0: it is settled at the node, and was not earned

"#;

#[test]
fn what_is_paid_elsewhere_or_not_given_back() {
    let bank = Bank::open();
    let (round, mut said) = (bank.round("a"), bank.said());
    ["offer", "issue", "lock"].iter().for_each(|step| drop(round.ok(step)));
    let (_liar, liar) = bank.lies(&mut said, false, &[("listpeerchannels", SOON)]);
    let early = bank.at(&round, "held", false, &liar).replace("--wait=20", "--wait=2");
    bank.table.world.expect(&early, 75, "of the offer to ann of round 0: expected to expire at 556, found 9");
    round.ok("held");
    said.step("the same with another folder", &round.args("lock").replace("a.judge", "elsewhere"));
    let (_liar, liar) =
        bank.lies(&mut said, true, &[("listpays", Lie::Change(|answer| answer["pays"][0]["bolt11"] = "other".into()))]);
    said.step("another invoice of the hash is paid", &bank.at(&round, "lock", true, &liar));
    bank.pair.mine(400);
    let next = bank.round("b");
    ["offer", "issue"].iter().for_each(|step| drop(next.ok(step)));
    let lock = next.args("lock").replace("b.judge", "a.judge");
    said.step("who has given nothing back", &lock);
    for (what, lies) in [
        ("a node that does not cancel", &[("cancelholdinvoice", Lie::Refuse(-1))]),
        ("a node that says that it cancelled", &[("cancelholdinvoice", Lie::Instead(|| json!({})))]),
        ("a node that cannot be heard", &[("cancelholdinvoice", Lie::HangUp)]),
    ] as [(&str, &'static [(&'static str, Lie)]); 3]
    {
        let (_liar, liar) = bank.lies(&mut said, false, lies);
        said.step(what, &bank.at(&round, "held", false, &liar).replace("--wait=20", ""));
    }
    let (_liar, liar) = bank.lies(&mut said, false, &[("listholdinvoices", PAID)]);
    said.step("settled without a verdict", &bank.at(&round, "held", false, &liar).replace("--wait=20", ""));
    said.is(HELD, "tests/errors_inside/lock.rs");
}

const SOON: Lie = Lie::Change(|answer| {
    let channels = answer["channels"].as_array_mut().unwrap().iter_mut();
    channels.flat_map(|c| c["htlcs"].as_array_mut().unwrap()).for_each(|htlc| htlc["expiry"] = json!(9));
});
const PAID: Lie = Lie::Change(|answer| answer["holdinvoices"][0]["state"] = "paid".into());
