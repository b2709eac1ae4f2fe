//! Payments that are to be locked, and that are looked at.

use l402::pay::Invoices;
use serde_json::json;

use crate::Bank;
use crate::common::escrow::ROUND_MSAT;
use crate::liar::Lie;

const LOCKED: &str = r#"
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
    said.step("too much dust", &format!("{lock} --max-dust-msat 1"));
    bank.other_offer(&round, |o| o.network = "signet".into());
    said.step("another network", &lock.replace("a.offers.jsonl", "other.jsonl"));

    let whole: Invoices = bank.read("a.invoices.jsonl");
    let changes: [(&str, fn(&mut Invoices)); 7] = [
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
    said.is(LOCKED, "tests/errors_inside/lock.rs");
}

const ANSWERS: &str = r#"
"#;

#[test]
fn what_a_node_answers_to_payments() {
    let bank = Bank::open();
    let (round, mut said) = (bank.round("a"), bank.said());
    ["offer", "issue"].iter().for_each(|step| drop(round.ok(step)));
    let answers: [(&str, &'static [(&'static str, Lie)]); 8] = [
        ("no channels", &[("listpeerchannels", Lie::Instead(|| json!({ "channels": [] })))]),
        ("a method that it does not know", &[("xpay", Lie::Refuse(-32601))]),
        ("paid before", &[("xpay", Lie::Refuse(201))]),
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
    said.step("not held in time", &round.args("held"));
    said.is(ANSWERS, "tests/errors_inside/lock.rs");
}

const PAID_SOMEHOW: Lie = Lie::Change(|answer| answer["pays"] = json!([{ "status": "somehow\u{1b}[2J" }]));

const HELD: &str = r#"
"#;

#[test]
fn what_is_paid_elsewhere_or_not_given_back() {
    let bank = Bank::open();
    let (round, mut said) = (bank.round("a"), bank.said());
    ["offer", "issue", "lock", "held"].iter().for_each(|step| drop(round.ok(step)));
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

const PAID: Lie = Lie::Change(|answer| answer["holdinvoices"][0]["state"] = "paid".into());
