//! Offers, and who accepts them.

use crate::Change;
use l402::pay::{Msat, Offer};

use crate::Bank;
use crate::common::beacon;
use crate::liar::Lie;

const OFFERED: &str = r#"
another judge: 1
l402: --judge: expected this node, <digest>, found <digest>

another node than was assigned: 1
l402: worker ann: expected node <digest>, as assigned, found <digest>

a worker without its node: 2
l402: worker ann: expected its node id

nobody: 2
l402: expected --worker ID=NODE or --workers FILE: who works, at which node?

a worker with two nodes: 2
l402: worker ann: two node ids

a worker who was not assigned: 66
l402: 0.assignments.jsonl: no assignment in round 0 is for worker bob

a state that is none: 2
l402: --state-in ann: expected ID=FILE or ID=HEX

a state that is not there: 66
l402: nowhere: no such file or directory

too little: 65
l402: --max-msat: 1000 msat in 4 rungs: expected 1000 msat at least for the smallest, found 66 msat
l402: hint: lock at least 15000 msat, or take fewer rungs

payments locked for too long: 65
l402: heights: expected payments locked for at most 300 blocks, found 450

no node: 69
l402: nowhere: getinfo: no node there: No such file or directory (os error 2)
l402: hint: is the node running, and is this its lightning-rpc socket?

no node's folder: 69
l402: nowhere: no lightning-rpc socket there
l402: hint: is the node running?

no node at all: 2
l402: expected --rpc-file or --lightning-dir: which node is yours?

a node that is behind: 75
l402: NODE: the node is behind the chain: half of the chain\u{1b}[2J

a node that hangs up: 69
l402: NODE: signmessage: the node did not answer: no response from lightningd
l402: hint: what was asked may have happened; run the same command again

a node that refuses: 1
l402: NODE: signmessage: code -1: says the test\u{1b}[2J

a journal that another has written: 65
l402: NODE: datastore: code 1204: says the test\u{1b}[2J
l402: hint: another copy of this escrow folder is at work with the same node: use one of them alone

a node that keeps nothing: 1
l402: NODE: datastore: code -1: says the test\u{1b}[2J

other terms: 1
l402: offer to ann of round 0: it was offered already, on other terms
l402: hint: a redo of the round is --attempt 1

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
    said.step("a node that keeps nothing", &bank.at(&round, "offer", true, &liar).replace("a.judge", "new.judge"));
    round.ok("offer");
    said.step("other terms", &format!("{offer}.other --max-msat 90000000"));
    said.is(OFFERED, "tests/errors_inside/offers.rs");
}

const BEHIND: Lie = Lie::Change(|info| info["warning_bitcoind_sync"] = "half of the chain\u{1b}[2J".into());

const REFUSED: &str = r#"
no worker's id: 65
l402: other.jsonl: offer: worker: expected 1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit, found "Ann"

a network that is none: 65
l402: other.jsonl: offer to ann of round 0: network: expected bitcoin, testnet, signet or regtest, found "liquid"

another network: 1
l402: other.jsonl: offer to ann of round 0: network: expected regtest, found signet

no rungs: 65
l402: other.jsonl: offer to ann of round 0: rungs_msat: expected 1 to 12 rungs, found 0

rungs that are no ladder: 65
l402: other.jsonl: offer to ann of round 0: rungs_msat: expected rungs of 19200000, 9600000, 4800000, 2400000 msat, found 9000000, 9000000, 9000000, 9000000

rungs that are too small: 65
l402: other.jsonl: offer to ann of round 0: rungs_msat: 3600 msat in 4 rungs: expected 1000 msat at least for the smallest, found 240 msat
l402: hint: lock at least 15000 msat, or take fewer rungs

too few hashes: 65
l402: other.jsonl: offer to ann of round 0: hashes: expected 4, found 3

a hash twice: 65
l402: other.jsonl: offer to ann of round 0: hashes: one stands there twice

judged by another, it says: 65
l402: other.jsonl: offer to ann of round 0: self_judged: expected true

judged by itself, it says: 65
l402: other.jsonl: offer to ann of round 0: self_judged: expected false

a state that is none: 65
l402: other.jsonl: offer to ann of round 0: state_in: expected a digest or zero

heights out of order: 65
l402: other.jsonl: offer to ann of round 0: heights: expected offered_at < lock_by < commit_by < reveal_by < claim_by, found 106, 268, 268, 340, 484

heights that are too far: 65
l402: other.jsonl: offer to ann of round 0: heights: expected payments locked for at most 2016 blocks, found 2466

signed by another: 1
l402: other.jsonl: offer to ann of round 0: sig: not a signature of this offer by <digest>

another judge is pinned: 1
l402: a.offers.jsonl: offer to ann of round 0: judge: expected <digest>, found <digest>

to another node: 66
l402: a.offers.jsonl: no offer to this node, <digest>

a plugin that lists nothing: 69
l402: rung 0 of the offer to ann of round 0: injectholdinvoice was answered, and the invoice is not listed

no plugin: 69
l402: rung 0 of the offer to ann of round 0: NODE: listholdinvoices: the node has no hold invoices
l402: hint: install the hold plugin, version 0.3 or later (BoltzExchange/hold on GitHub), and start lightningd with --plugin=/path/to/hold

accepted with another folder: 1
l402: rung 0 of the offer to ann of round 0: hash <digest>: the node has another invoice for it
l402: hint: was this offer accepted with another escrow folder?

too late: 1
l402: b.offers.jsonl: offer to ann of round 0: expected a height below 124, by which it must be locked, found 146

"#;

#[test]
fn what_no_worker_accepts() {
    let bank = Bank::open();
    let (round, mut said) = (bank.round("a"), bank.said());
    let (judge, worker) = (bank.table.world.coordinator.clone(), round.worker.clone());
    round.ok("offer");
    let issue = round.args("issue");
    let other = issue.replace(&round.file("offers.jsonl"), "other.jsonl");
    let changes: [Change<Offer>; 13] = [
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
    // Of one second two folders have the same invoice.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let elsewhere = issue.replace("a.worker", "elsewhere").replace("a.invoices", "elsewhere");
    said.step("accepted with another folder", &elsewhere);
    let late = bank.round("b");
    late.ok("offer");
    bank.pair.mine(40);
    said.step("too late", &late.args("issue"));
    said.is(REFUSED, "tests/errors_inside/offers.rs");
}

const BOOKS: &str = r#"
another's journal: 65
l402: a.judge/journal-<digest>.jsonl: expected the journal that the node remembers, 2 entries long at least, found 2
l402: hint: a journal was deleted or put back from an old copy: with it one would pay or reveal twice

a journal from an old copy: 65
l402: a.judge/journal-<digest>.jsonl: expected the journal that the node remembers, 2 entries long at least, found 1
l402: hint: a journal was deleted or put back from an old copy: with it one would pay or reveal twice

a line twice: 65
l402: a.judge/journal-<digest>.jsonl: line 3: the journal is damaged: the digest does not fit the line
l402: hint: nothing was done; restore the journal from a copy that is not older than the last command

a line that is none: 65
l402: a.judge/journal-<digest>.jsonl: line 1: the journal is damaged: expected a digest and an entry
l402: hint: nothing was done; restore the journal from a copy that is not older than the last command

a line that is changed: 65
l402: a.judge/journal-<digest>.jsonl: line 2: the journal is damaged: the digest does not fit the line
l402: hint: nothing was done; restore the journal from a copy that is not older than the last command

a secret that is none: 65
l402: a.judge/secret: expected an escrow secret of 64 hex digits

an instance that is none: 65
l402: a.judge/instance: expected 64 lowercase hex digits, found "rubbish"

another instance: 65
l402: a.judge/journal-<digest>.jsonl: expected the journal of instance <digest> and node <digest>, found that of <digest> and <digest>

no escrow folder: 66
l402: a.commitments.jsonl: no such file or directory

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
