//! Verdicts, and the money that they pay.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use l402::pay::{Offer, Verdict};
use serde_json::json;

use crate::Bank;
use crate::common::escrow::STEPS;
use crate::liar::Lie;

const SETTLED: &str = r#"
"#;

#[test]
fn what_is_not_settled() {
    let bank = Bank::open();
    let (round, mut said) = (bank.round("a"), bank.said());
    let world = &bank.table.world;
    ["offer", "issue", "lock", "held", "commit"].iter().for_each(|step| drop(round.ok(step)));
    let settle = round.args("settle");
    world.write("a.closing.jsonl", b"");
    world.write("a.openings.jsonl", b"");
    said.step("no list is closed", &settle);
    said.step("nothing is held", &settle.replace("a.held.jsonl", "a.openings.jsonl"));
    said.step("no offers", &settle.replace("a.offers.jsonl", "a.openings.jsonl"));
    ["a.closing.jsonl", "a.openings.jsonl"].iter().for_each(|name| fs::remove_file(world.path(name)).unwrap());
    round.ok("close");
    world.write("a.openings.jsonl", b"");
    said.step("nothing is open", &settle);
    fs::remove_file(world.path("a.openings.jsonl")).unwrap();
    round.ok("open");
    bank.other_offer(&round, |o| o.round = 1);
    let both = [world.bytes("a.offers.jsonl"), world.bytes("other.jsonl")].concat();
    world.write("both.jsonl", &both);
    said.step("two rounds", &settle.replace("a.offers.jsonl", "both.jsonl"));
    bank.other_offer(&round, |o| o.attempt = 1);
    said.step("nobody offered it", &settle.replace("a.offers.jsonl", "other.jsonl"));
    said.step("no scores", &settle.replace("0.scores.jsonl", "a.offers.jsonl"));
    let scores = String::from_utf8(world.bytes("0.scores.jsonl")).unwrap();
    let of = |field: &str, to: &str| {
        let number = scores.split(&format!("\"{field}\":")).nth(1).unwrap().split([',', '}']).next().unwrap();
        scores.replacen(&format!("\"{field}\":{number}"), &format!("\"{field}\":{to}"), 1)
    };
    for (what, text) in [
        ("scores that are not all there", scores.lines().last().unwrap().to_owned() + "\n"),
        ("scores that do not add up", of("entitled_msat", "1")),
        ("a score of another round", of("round", "5")),
        ("scores of another round", scores.replace("\"round\":0", "\"round\":5")),
        ("a score twice", scores.lines().next().unwrap().to_owned() + "\n" + &scores),
    ] {
        world.write("bent.jsonl", text.as_bytes());
        said.step(what, &settle.replace("0.scores.jsonl", "bent.jsonl"));
    }
    let secret = world.bytes("a.judge/secret");
    world.write("a.judge/secret", "07".repeat(32).as_bytes());
    said.step("another secret", &settle);
    world.write("a.judge/secret", &secret);
    round.ok("settle");
    world.write("bent.jsonl", scores.replace("\"type\":\"score\"", "\"reason\":\"\",\"type\":\"score\"").as_bytes());
    said.step("other scores", &settle.replace("0.scores.jsonl", "bent.jsonl"));

    let claim = round.args("claim");
    let file = "a.secret/ann.0.0.reveal";
    let text = String::from_utf8(world.bytes(file)).unwrap();
    let write = |text: &str| {
        world.write("bent", text.as_bytes());
        fs::set_permissions(world.path("bent"), fs::Permissions::from_mode(0o600)).unwrap();
    };
    write(text.lines().next().unwrap());
    said.step("no preimages", &claim.replace(file, "bent"));
    said.step(
        "issued elsewhere",
        &claim.replace("a.worker", "a.judge").replace(&bank.pair.payee.arg(), &bank.pair.payer.arg()),
    );
    let changes: [(&str, fn(&mut Verdict)); 5] = [
        ("rungs that are none", |v| v.rungs.push(9)),
        ("what does not add up", |v| v.paid_msat.0 += 1),
        ("another task", |v| v.task.attempt = 1),
        ("another verdict", |v| v.height += 1),
        ("fewer rungs", |v| {
            let most = v.paid_msat.0 + v.returned_msat.0;
            (v.rungs, v.paid_msat.0, v.returned_msat.0) = (vec![], 0, most);
        }),
    ];
    let rest = text.lines().nth(1).unwrap();
    for (what, change) in changes {
        let mut verdict: Verdict = bank.read("a.verdicts.jsonl");
        change(&mut verdict);
        bank.forge(&bank.pair.payer, "forged", verdict);
        write(&format!("{}{rest}\n", String::from_utf8(world.bytes("forged")).unwrap()));
        if what == "another verdict" {
            round.ok("claim");
        }
        said.step(what, &claim.replace(file, "bent").replace("a.claimed", "again"));
    }
    said.is(SETTLED, "tests/errors_inside/money.rs");
}

const CLAIMED: &str = r#"
"#;

#[test]
fn what_is_not_claimed() {
    let bank = Bank::open();
    let mut said = bank.said();
    let lies: [(&str, &str, &'static [(&'static str, Lie)]); 4] = [
        ("a", "unpaid, says the plugin", &[("listholdinvoices", UNPAID)]),
        ("b", "unknown to the plugin", &[("listholdinvoices", Lie::Change(|a| a["holdinvoices"] = json!([])))]),
        ("c", "cancelled, says the plugin", &[("listholdinvoices", CANCELLED)]),
        (
            "d",
            "called settled, and not settled",
            &[("settleholdinvoice", Lie::Instead(|| json!({}))), ("listholdinvoices", PAID)],
        ),
    ];
    for (name, what, lies) in lies {
        let round = bank.round(name);
        STEPS[..8].iter().for_each(|step| drop(round.ok(step)));
        let (_liar, liar) = bank.lies(&mut said, false, lies);
        said.step(what, &bank.at(&round, "claim", false, &liar).replace("--wait=4", "--wait=1"));
    }
    let late = bank.round("e");
    STEPS[..8].iter().for_each(|step| drop(late.ok(step)));
    let next = bank.round("f");
    STEPS[..7].iter().for_each(|step| drop(next.ok(step)));
    let offer: Offer = bank.read("f.offers.jsonl");
    bank.pair.mine(u64::from(offer.heights.claim_by + 72 - offer.heights.offered_at) - 40);
    said.step("claimed too late", &late.args("claim"));
    said.step("settled too late", &next.args("settle"));
    said.is(CLAIMED, "tests/errors_inside/money.rs");
}

const UNPAID: Lie = Lie::Change(|answer| answer["holdinvoices"][0]["state"] = "unpaid".into());
const CANCELLED: Lie = Lie::Change(|answer| answer["holdinvoices"][0]["state"] = "cancelled".into());
const PAID: Lie = Lie::Change(|answer| answer["holdinvoices"][0]["state"] = "paid".into());
