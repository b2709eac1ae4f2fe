//! Offers, and who accepts them.

use l402::pay::{Msat, Offer};

use crate::Bank;
use crate::common::beacon;
use crate::liar::Lie;

const OFFERED: &str = r#"
"#;

#[test]
fn what_cannot_be_offered() {
    let bank = Bank::open();
    let (round, mut said) = (bank.round("a"), bank.said());
    let (judge, worker) = (bank.table.world.coordinator.clone(), round.worker.clone());
    let offer = round.args("offer");
    let pin = format!("--worker ann={worker}");
    let mut step = |what: &str, from: &str, to: &str| said.step(what, &offer.replace(from, to));
    step("another judge", &format!("--judge {judge}"), &format!("--judge {worker}"));
    step("another node than was assigned", &pin, &format!("--worker ann={judge}"));
    step("a worker without its node", &pin, "--worker ann");
    step("nobody", &pin, "");
    let roster = format!("{{\"key\":\"{judge}\",\"type\":\"roster\",\"v\":1,\"worker\":\"ann\"}}\n");
    bank.table.world.write("two.jsonl", roster.as_bytes());
    step("a worker with two nodes", &pin, &format!("{pin} --workers two.jsonl"));
    step("a worker who was not assigned", &pin, &format!("--worker bob={worker}"));
    step("a state that is none", &pin, &format!("{pin} --state-in ann"));
    step("a state that is not there", &pin, &format!("{pin} --state-in ann=nowhere"));
    step("too little", &pin, &format!("{pin} --max-msat 1000"));
    step("payments locked for too long", &pin, &format!("{pin} --max-delay 300"));
    step("no node", &bank.pair.payer.arg(), "--rpc-file nowhere");
    step("no node's folder", &bank.pair.payer.arg(), "--lightning-dir nowhere");
    step("no node at all", &bank.pair.payer.arg(), "");
    let (_liar, liar) = bank.lies(&mut said, true, &[("getinfo", BEHIND)]);
    said.step("a node that is behind", &bank.at(&round, "offer", true, &liar));
    let (_liar, liar) = bank.lies(&mut said, true, &[("signmessage", Lie::HangUp)]);
    said.step("a node that hangs up", &bank.at(&round, "offer", true, &liar));
    let (_liar, liar) = bank.lies(&mut said, true, &[("signmessage", Lie::Refuse(-1))]);
    said.step("a node that refuses", &bank.at(&round, "offer", true, &liar));
    let (_liar, liar) = bank.lies(&mut said, true, &[("datastore", Lie::Refuse(1204))]);
    said.step("a journal that another has written", &bank.at(&round, "offer", true, &liar));
    let (_liar, liar) = bank.lies(&mut said, true, &[("datastore", Lie::Refuse(-1))]);
    said.step("a node that keeps nothing", &bank.at(&round, "offer", true, &liar));
    round.ok("offer");
    said.step("other terms", &format!("{offer}.other --max-msat 90000000"));
    said.is(OFFERED, "tests/errors_inside/offers.rs");
}

const BEHIND: Lie = Lie::Change(|info| info["warning_bitcoind_sync"] = "half of the chain\u{1b}[2J".into());

const REFUSED: &str = r#"
"#;

#[test]
fn what_no_worker_accepts() {
    let bank = Bank::open();
    let (round, mut said) = (bank.round("a"), bank.said());
    let (judge, worker) = (bank.table.world.coordinator.clone(), round.worker.clone());
    round.ok("offer");
    let issue = round.args("issue");
    let other = issue.replace(&round.file("offers.jsonl"), "other.jsonl");
    let changes: [(&str, fn(&mut Offer)); 13] = [
        ("no worker's id", |o| o.worker = "Ann".into()),
        ("a network that is none", |o| o.network = "liquid".into()),
        ("another network", |o| o.network = "signet".into()),
        ("no rungs", |o| o.rungs_msat = vec![]),
        ("rungs that are no ladder", |o| o.rungs_msat = vec![Msat(9_000_000); 4]),
        ("rungs that are too small", |o| o.rungs_msat = vec![Msat(900); 4]),
        ("too few hashes", |o| o.hashes.truncate(3)),
        ("a hash twice", |o| o.hashes[1] = o.hashes[0]),
        ("judged by another, it says", |o| o.self_judged = false),
        ("judged by itself, it says", |o| o.payer = o.payee),
        ("a state that is none", |o| o.state_in = "none".into()),
        ("heights out of order", |o| o.heights.lock_by = o.heights.commit_by),
        ("heights that are too far", |o| o.heights.claim_by += 2016),
    ];
    for (what, change) in changes {
        bank.other_offer(&round, change);
        said.step(what, &other);
    }
    bank.forge::<Offer>(&bank.pair.payee, "other.jsonl", bank.read(&round.file("offers.jsonl")));
    said.step("signed by another", &other);
    said.step("another judge is pinned", &issue.replace(&format!("--judge {judge}"), &format!("--judge {worker}")));
    said.step("to another node", &issue.replace(&bank.pair.payee.arg(), &bank.pair.payer.arg()));
    let (_liar, liar) = bank.lies(&mut said, false, &[("injectholdinvoice", Lie::Instead(|| serde_json::json!({})))]);
    said.step("a plugin that lists nothing", &bank.at(&round, "issue", false, &liar));
    let (_liar, liar) = bank.lies(&mut said, false, &[("listholdinvoices", Lie::Refuse(-32601))]);
    said.step("no plugin", &bank.at(&round, "issue", false, &liar));
    round.ok("issue");
    let elsewhere = issue.replace("a.worker", "elsewhere").replace("a.invoices", "elsewhere");
    said.step("accepted with another folder", &elsewhere);
    let late = bank.round("b");
    late.ok("offer");
    bank.pair.mine(40);
    said.step("too late", &late.args("issue"));
    said.is(REFUSED, "tests/errors_inside/offers.rs");
}

const BOOKS: &str = r#"
"#;

#[test]
fn books_that_are_not_this_nodes() {
    let bank = Bank::open();
    let (round, other, mut said) = (bank.round("a"), bank.round("b"), bank.said());
    let world = &bank.table.world;
    round.ok("offer");
    other.ok("offer");
    round.ok("issue");
    let journal = world.listing("a.judge").into_iter().find(|name| name.starts_with("journal-")).unwrap();
    let whole = world.bytes(&format!("a.judge/{journal}"));
    world.write(&format!("a.judge/{journal}"), &world.bytes(&format!("b.judge/{journal}")));
    said.step("another's journal", &round.args("lock"));
    let text = String::from_utf8(whole.clone()).unwrap();
    for (what, lines) in [
        ("a journal from an old copy", text.lines().next().unwrap().to_owned() + "\n"),
        ("a line twice", format!("{text}{}\n", text.lines().last().unwrap())),
        ("a line that is none", format!("rubbish\n{text}")),
        ("a line that is changed", text.replace("\"round\":0", "\"round\":1")),
    ] {
        world.write(&format!("a.judge/{journal}"), lines.as_bytes());
        said.step(what, &round.args("lock"));
    }
    world.write(&format!("a.judge/{journal}"), &whole);
    for (file, what) in [("secret", "a secret that is none"), ("instance", "an instance that is none")] {
        let kept = world.bytes(&format!("a.judge/{file}"));
        world.write(&format!("a.judge/{file}"), b"rubbish\n");
        said.step(what, &round.args("lock"));
        world.write(&format!("a.judge/{file}"), &kept);
    }
    let kept = world.bytes("a.judge/instance");
    world.write("a.judge/instance", format!("{}\n", beacon("another instance")).as_bytes());
    said.step("another instance", &round.args("lock"));
    world.write("a.judge/instance", &kept);
    said.step("no escrow folder", &round.args("settle").replace("a.judge", "nowhere"));
    said.is(BOOKS, "tests/errors_inside/offers.rs");
}
