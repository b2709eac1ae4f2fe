//! Verdicts, and the money that they pay.

use crate::Change;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Methods, and how a socket lies about their answers.
type Lies = &'static [(&'static str, Lie)];

use l402::pay::{Held, Verdict};
use serde_json::json;

use crate::Bank;
use crate::common::escrow::STEPS;
use crate::liar::Lie;

const SETTLED: &str = r#"
no list is closed: 1
l402: not settled: offer to ann of round 0: no list of commitments is closed yet, and until height 268 one can be, found 106
l402: offer to ann of round 0: no list of commitments is closed yet, and until height 268 one can be, found 106
l402: hint: commit --close makes it

nothing is held: 1
l402: not settled: offer to ann of round 0: no held record: not all of it was locked
l402: offer to ann of round 0: no held record: not all of it was locked

no offers: 66
l402: a.openings.jsonl: no offers

nothing is open: 75
l402: not settled: offer to ann of round 0: nothing opens the commitment yet, and until height 340 something may, found 106
l402: offer to ann of round 0: nothing opens the commitment yet, and until height 340 something may, found 106

two rounds: 65
l402: both.jsonl: offers of two rounds

nobody offered it: 1
l402: not settled: offer to ann of round 0, attempt 1: it was not offered by this escrow folder
l402: offer to ann of round 0, attempt 1: it was not offered by this escrow folder

no scores: 65
l402: a.offers.jsonl: expected one round_score record, found 0
l402: hint: are these all the lines that score printed?

scores that are not all there: 65
l402: bent.jsonl: expected scores that add up to 60000000 msat, found 0 msat
l402: hint: are these all the lines that score printed?

scores that do not add up: 65
l402: bent.jsonl: expected scores that add up to 60000000 msat, found 1 msat
l402: hint: are these all the lines that score printed?

a score of another round: 1
l402: bent.jsonl: score of ann: of another run or round

scores of another round: 1
l402: bent.jsonl: expected scores of run <digest>, round 0, found run <digest>, round 5

a score twice: 65
l402: bent.jsonl: worker ann: two scores that count

the worker as the judge: 1
l402: not settled: offer to ann of round 0: judge: expected this node, <digest>
l402: offer to ann of round 0: judge: expected this node, <digest>

another secret: 1
l402: not revealed: preimages for the offer to ann of round 0: rung 1: not the preimage of <digest>
l402: preimages for the offer to ann of round 0: rung 1: not the preimage of <digest>
l402: hint: is the secret of this folder the one that the offer was made with?

other scores: 1
l402: not settled: offer to ann of round 0: already judged, by scores <digest>; these are <digest>
l402: offer to ann of round 0: already judged, by scores <digest>; these are <digest>
l402: hint: a verdict stands forever; what it left out can be paid by a further offer

no preimages: 65
l402: bent: expected a verdict and its preimages, found 1 and 0

issued elsewhere: 1
l402: claimed by ann: sig: not a signature of this record by <digest>

of no offer of this folder's: 1
l402: a.secret/ann.0.0.reveal: no invoices were issued for its offer by this escrow folder

rungs that are none: 65
l402: bent: verdict on the offer to ann of round 0: rungs: expected ascending numbers below 4, found [1, 2, 3, 9]

what does not add up: 65
l402: bent: verdict on the offer to ann of round 0: expected 56000000 msat paid and 64000000 msat returned by its rungs, found 56000001 msat and 64000000 msat

another task: 1
l402: bent: verdict on the offer to ann of round 0: attempt: expected 0, found 1

another verdict: 1
l402: bent: there was another verdict before this one
l402: hint: the judge signed two verdicts on one offer: both together prove it

fewer rungs: 1
l402: bent: preimages for the offer to ann of round 0: expected rungs [], found [1, 2, 3]

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
    let worker = settle.replace("a.judge", "a.worker").replace(&bank.pair.payer.arg(), &bank.pair.payee.arg());
    said.step("the worker as the judge", &worker);
    let secret = world.bytes("a.judge/secret");
    world.write("a.judge/secret", "07".repeat(32).as_bytes());
    said.step("another secret", &settle);
    world.write("a.judge/secret", &secret);
    round.ok("settle");
    world.write("bent.jsonl", of("bytes", "1").as_bytes());
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
    let other = bank.round("b");
    ["offer", "issue"].iter().for_each(|step| drop(other.ok(step)));
    said.step("of no offer of this folder's", &claim.replace("a.worker", "b.worker"));
    let changes: [Change<Verdict>; 5] = [
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
settled, and no money came: 1
l402: MONEY MISSING: offer to ann of round 0: channel <digest>: expected 56000000 msat more than before, found 0 msat
l402: hint: the payment was failed back to the payer, whose node lists it as failed; keep the verdict and the offer: with them the payer can be asked to pay it again

unpaid, says the plugin: 75
l402: rung 0 of the offer to ann of round 0: not cancelled yet

unknown to the plugin: 1
l402: rung 3 of the offer to ann of round 0: 8000000 msat were earned, and there is no payment to claim: the node does not know the invoice

cancelled, says the plugin: 1
l402: rung 3 of the offer to ann of round 0: 8000000 msat were earned, and there is no payment to claim: it was cancelled at this node

called settled, and not settled: 1
l402: MONEY IN DANGER: rung 1 of the offer to ann of round 0: 32000000 msat: settled, as the plugin has it, and held by the channel still
l402: hint: the plugin calls it paid, and the payment still hangs in the channel: it recorded the settling and then crashed before the node had the preimage. It will be failed back within a minute. At once: stop the node, set the invoice's state back to `accepted` in the plugin's database, start the node, and run this again (docs/operating.md has the commands)

listed as settled, all of it: 1
l402: rung 0 of the offer to ann of round 0: it is settled at the node, and was not earned

"#;

#[test]
fn what_is_not_claimed() {
    let bank = Bank::open();
    let mut said = bank.said();
    let lies: [(&str, &str, Lies); 6] = [
        ("m", "settled, and no money came", &[("listpeerchannels", LESS)]),
        ("a", "unpaid, says the plugin", &[("listholdinvoices", UNPAID)]),
        ("b", "unknown to the plugin", &[("listholdinvoices", Lie::Change(|a| a["holdinvoices"] = json!([])))]),
        ("c", "cancelled, says the plugin", &[("listholdinvoices", CANCELLED)]),
        ("d", "called settled, and not settled", &[("settleholdinvoice", Lie::Instead(|| json!({})))]),
        ("g", "listed as settled, all of it", &[("listholdinvoices", PAID)]),
    ];
    for (name, what, lies) in lies {
        let round = bank.round(name);
        STEPS[..8].iter().for_each(|step| drop(round.ok(step)));
        let (_liar, liar) = bank.lies(&mut said, false, lies);
        said.step(what, &bank.at(&round, "claim", false, &liar).replace("--wait=4", "--wait=1"));
    }
    let late = bank.round("e");
    STEPS[..8].iter().for_each(|step| drop(late.ok(step)));
    // Past the judge's time, and before the node gives the payments back by itself; when they expire is drawn.
    let held: Held = bank.read("e.held.jsonl");
    let expiry = held.rungs[1..].iter().map(|rung| rung.cltv_expiry).min().unwrap();
    bank.pair.mine(u64::from(expiry) - 60 - bank.pair.payer.height());
    late.expect(
        "claim",
        1,
        "the verdict came too late; the judge's signature on it and the heights of the offer prove that",
    );
    said.is(CLAIMED, "tests/errors_inside/money.rs");
}

/// What came in is forgotten once it is there.
const LESS: Lie = Lie::Change(|answer| {
    let channels = answer["channels"].as_array_mut().unwrap().iter_mut();
    channels.filter(|c| c["htlcs"].as_array().is_none_or(Vec::is_empty)).for_each(|channel| {
        channel["in_fulfilled_msat"] = json!(0);
        channel["to_us_msat"] = json!(0);
    });
});
const UNPAID: Lie = Lie::Change(|answer| answer["holdinvoices"][0]["state"] = "unpaid".into());
const CANCELLED: Lie = Lie::Change(|answer| answer["holdinvoices"][0]["state"] = "cancelled".into());
const PAID: Lie = Lie::Change(|answer| answer["holdinvoices"][0]["state"] = "paid".into());
