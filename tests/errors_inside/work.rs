//! Commitments of paid work, the list of them, and work that is not begun unpaid.

use crate::Change;
use l402::pay::Held;

use crate::Bank;
use crate::common::beacon;

const COMMITTED: &str = r#"
not accepted: 66
l402: a.worker: no such file or directory

no books: 66
l402: nowhere: no such file or directory

another round's: 1
l402: ann.0.update: round: expected 1, found 0

somebody may still commit: 75
l402: a.commitments.jsonl: offer to ann of round 0: no commitment yet, and until height 262 there is time, found 106
l402: hint: --now closes the list all the same, and pays that worker nothing

nothing was offered: 66
l402: a.judge: nothing was offered for round 7, attempt 0

from another state: 1
l402: ann.0.update: feedback_in: expected <digest>, as offered, found zero
l402: hint: the update must go on from the state that the offer names

two runs: 65
l402: offers of several runs in one escrow folder: take one for each run

no held record: 1
l402: none.jsonl: expected a held record of worker ann in round 0, found none

a rung is missing: 1
l402: changed.jsonl: held record for the offer to ann of round 0: rungs: expected 4, found 3

a rung holds less: 1
l402: changed.jsonl: held record for the offer to ann of round 0: rung 1: expected 32000000 msat, found 31999999 msat

a rung expires early: 1
l402: changed.jsonl: held record for the offer to ann of round 0: rung 1: cltv_expiry: expected 556 at least, found 9

held before it was offered: 1
l402: changed.jsonl: held record for the offer to ann of round 0: height: expected 106 to 124, found 1

another attempt: 1
l402: changed.jsonl: held record for the offer to ann of round 0: attempt: expected 0, found 1

signed by another: 1
l402: changed.jsonl: held record for the offer to ann of round 0: sig: not a signature of this record by <digest>

closed too late: 1
l402: a.commitments.jsonl: expected to close the list by height 268, found 406: it would pay nobody

"#;

#[test]
fn what_is_not_committed_or_closed() {
    let bank = Bank::open();
    let (round, mut said) = (bank.round("a"), bank.said());
    let world = &bank.table.world;
    round.ok("offer");
    said.step("not accepted", &round.args("commit"));
    round.ok("issue");
    said.step("no books", &round.args("commit").replace("a.worker", "nowhere"));
    said.step("another round's", &round.args("commit").replace("--round 0", "--round 1"));
    world.write("a.commitments.jsonl", b"");
    said.step("somebody may still commit", &round.args("close"));
    let empty = round.args("close").replace("--round 0", "--round 7");
    said.step("nothing was offered", &empty);

    let other = bank.round("b");
    let state = format!("{} --state-in ann={}", other.args("offer"), beacon("a state"));
    world.ok(&state);
    other.ok("issue");
    said.step("from another state", &other.args("commit"));

    // Another run's round, offered from the same folder.
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap().replace("seed = 7", "seed = 8");
    world.write("r2.toml", recipe.as_bytes());
    world.ok(&format!(
        "assign --recipe r2.toml --round 0 --shards shards --workers ./roster.jsonl --beacon {} {} -o 2.assignments.jsonl",
        beacon("first"),
        bank.pair.payer.arg()
    ));
    let second = round.args("offer").replace("r.toml", "r2.toml").replace("0.assignments", "2.assignments");
    world.ok(&second.replace("a.offers", "2.offers"));
    said.step("two runs", &round.args("close"));

    ["lock", "held"].iter().for_each(|step| drop(round.ok(step)));
    let held: Held = bank.read("a.held.jsonl");
    let judge = &world.coordinator;
    let train = |held: &str| {
        format!("-q {} --offers a.offers.jsonl --held {held} --judge {judge} -o delta", world.train(0, "ann"))
    };
    world.write("none.jsonl", b"");
    said.step("no held record", &train("none.jsonl"));
    let changes: [Change<Held>; 5] = [
        ("a rung is missing", |h| h.rungs.truncate(h.rungs.len() - 1)),
        ("a rung holds less", |h| h.rungs[1].msat.0 -= 1),
        ("a rung expires early", |h| h.rungs[1].cltv_expiry = 9),
        ("held before it was offered", |h| h.height = 1),
        ("another attempt", |h| h.task.attempt = 1),
    ];
    for (what, change) in changes {
        let mut changed = held.clone();
        change(&mut changed);
        bank.forge(&bank.pair.payee, "changed.jsonl", changed);
        said.step(what, &train("changed.jsonl"));
    }
    bank.forge(&bank.pair.payer, "changed.jsonl", held);
    said.step("signed by another", &train("changed.jsonl"));
    bank.pair.mine(300);
    said.step("closed too late", &other.args("close").replace("b.commitments", "a.commitments"));
    said.is(COMMITTED, "tests/errors_inside/work.rs");
}
