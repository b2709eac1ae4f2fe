//! Whatever is sent, the verbs that act on it and the audit give one verdict: what is accepted is equal, and what is refused
//! is no difference.

use std::fs;

use l402::artifact::canonical;
use serde_json::{Value, json};

use crate::common::devnet::Devnet;
use crate::common::escrow::{Pair, Round, Table};
use crate::common::{beacon, draw, records, talk};
use crate::folder::audit;
use crate::paid::{publish, sign};

/// The places of a record's fields, and of the first and the last thing in its lists.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            found.push(format!("{at}/{key}"));
            places(value, &format!("{at}/{key}"), found);
        }),
        Value::Array(all) => {
            for i in [0, all.len().saturating_sub(1)] {
                if let Some(value) = all.get(i) {
                    found.push(format!("{at}/{i}"));
                    places(value, &format!("{at}/{i}"), found);
                }
            }
        }
        _ => {}
    }
}

/// Another value of the same kind, drawn.
fn bend(value: &mut Value, seed: &str) {
    match value {
        Value::Number(n) => {
            let n = n.as_u64().unwrap();
            *value = json!([n + 1, n.saturating_sub(1), 0, 1u64 << 40, n * 2 + 1][draw(seed, 5)]);
        }
        Value::String(text) => {
            let at = draw(seed, text.len());
            let other = if &text[at..=at] == "0" { "1" } else { "0" };
            text.replace_range(at..=at, other);
        }
        Value::Array(all) => match draw(seed, 3) {
            0 => drop(all.pop()),
            1 => all.extend(all.first().cloned()),
            _ => all.reverse(),
        },
        Value::Object(map) => drop(map.insert("more".into(), json!(1))),
        other => *other = json!(draw(seed, 2)),
    }
}

/// A record with each of its fields bent, and each taken away.
fn bent(record: &Value, kind: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    places(record, "", &mut found);
    found.dedup();
    let mut all = vec![("nothing".to_owned(), record.clone())];
    for place in found {
        let mut other = record.clone();
        bend(other.pointer_mut(&place).unwrap(), &format!("{kind} {place}"));
        all.push((format!("{kind}: another {place}"), other));
        let mut without = record.clone();
        let (parent, key) = place.rsplit_once('/').unwrap();
        if let Some(map) = without.pointer_mut(parent).unwrap().as_object_mut() {
            map.remove(key);
            all.push((format!("{kind}: no {place}"), without));
        }
    }
    let mut more = record.clone();
    more["more"] = json!(1);
    all.push((format!("{kind}: one more"), more));
    all
}

/// Ann's round up to the commitment and what opens it: nothing closed, nothing judged.
struct Desk<'a> {
    pair: &'a Pair,
    round: &'a Round<'a>,
    verdict: String,
}

impl Desk<'_> {
    fn put(&self, file: &str, text: &str) {
        self.round.table.world.write(&format!("pub/round-0/{file}.jsonl"), text.as_bytes());
    }

    fn text(&self, file: &str) -> String {
        String::from_utf8(self.round.table.world.bytes(&self.round.file(&format!("{file}.jsonl")))).unwrap()
    }

    /// A dry run's record, signed by the judge after all.
    fn signed(&self, dry: &[u8], kind: &str) -> Option<String> {
        let mut record = records(dry, kind).pop()?;
        sign(&mut record, self.pair.judge());
        Some(canonical::json(&record) + "\n")
    }

    /// Closes, scores and settles by these lists, and audits what comes of it. Whether it was settled.
    fn one_verdict(&self, what: &str, held: &str, invoices: &str, commitments: &str) -> bool {
        let (world, round) = (&self.round.table.world, self.round);
        world.write("bent.commitments.jsonl", commitments.as_bytes());
        let close = round.args("close").replace(&round.file("commitments"), "bent.commitments");
        let closed = world.ok(&(close + " --now --dry-run"));
        let closing = self.signed(&closed.stdout, "closing").unwrap();
        ["invoices", "held", "commitments", "closing"]
            .iter()
            .zip([invoices, held, commitments, &closing])
            .for_each(|(file, text)| self.put(file, text));
        if commitments != self.text("commitments") + &self.text("openings") {
            world.write("bent.all.jsonl", (commitments.to_owned() + &closing).as_bytes());
            world.ok(&format!(
                "score --recipe r.toml --model theta-0 --val shards/val-00000.safetensors --beacon {} --findings \
                 0.findings.jsonl --assignments 0.assignments.jsonl --coordinator {} --commitments bent.all.jsonl -o \
                 pub/round-0/scores.jsonl --force ann.0.update",
                beacon("second"),
                world.coordinator
            ));
        } else {
            world.write("pub/round-0/scores.jsonl", &world.bytes("0.scores.jsonl"));
        }
        world.ok(
            "aggregate --recipe r.toml --model theta-0 --scores pub/round-0/scores.jsonl ann.0.update -o pub/theta-1 --force",
        );
        let settle = format!(
            "settle --dry-run --scores pub/round-0/scores.jsonl --findings 0.findings.jsonl --offers {} --held \
             pub/round-0/held.jsonl --commitments pub/round-0/commitments.jsonl --commitments \
             pub/round-0/closing.jsonl --reveal nowhere --escrow {} {}",
            round.file("offers.jsonl"),
            round.file("judge"),
            self.pair.judge().arg()
        );
        let settled = world.run(&settle);
        let verdict = self.signed(&settled.stdout, "verdict");
        assert_eq!(settled.status.success(), verdict.is_some(), "{what}: {}", talk(&settled));
        self.put("verdicts", verdict.as_deref().unwrap_or_default());
        let found = audit(world, "");
        assert_eq!(found.status.code(), Some(0), "{what}: settle: {}audit: {}", talk(&settled), talk(&found));
        // And the reverse: where settle gives a verdict, one is asked for; where it refuses, none is accepted.
        self.put("verdicts", if verdict.is_some() { "" } else { &self.verdict });
        let found = audit(world, "");
        assert_eq!(found.status.code(), Some(1), "{what}: settle: {}audit: {}", talk(&settled), talk(&found));
        verdict.is_some()
    }
}

#[test]
fn settle_and_audit_give_one_verdict_on_whatever_a_worker_sends() {
    let devnet = Devnet::up(2, "");
    let pair = devnet.pair(1, 2);
    let table = Table::new(&pair);
    let (world, round) = (&table.world, table.round(&pair, "p"));
    ["offer", "issue", "lock", "held", "commit", "open"].iter().for_each(|step| drop(round.ok(step)));
    publish(&pair, &table, "p");
    // What the payer's node says of the rungs is another matter.
    fs::remove_file(world.path("pub/round-0/rungs.jsonl")).unwrap();
    let mut desk = Desk { pair: &pair, round: &round, verdict: String::new() };
    let [held, invoices, commitment, opening] =
        ["held", "invoices", "commitments", "openings"].map(|file| desk.text(file));
    let commitments = commitment.clone() + &opening;
    assert!(desk.verdict.is_empty());
    let dry = |desk: &Desk<'_>| desk.one_verdict("as it is", &held, &invoices, &commitments);
    desk.verdict = {
        assert!(dry(&desk));
        let settled = world.run(&format!(
            "settle --dry-run --scores 0.scores.jsonl --findings 0.findings.jsonl --offers {} --held \
             pub/round-0/held.jsonl --commitments pub/round-0/commitments.jsonl --commitments \
             pub/round-0/closing.jsonl --reveal nowhere --escrow {} {}",
            round.file("offers.jsonl"),
            round.file("judge"),
            pair.judge().arg()
        ));
        desk.signed(&settled.stdout, "verdict").unwrap()
    };
    // All of them: L402_CASES=all cargo test --test audit one_verdict
    let thorough = std::env::var_os("L402_CASES").is_some();
    let (mut settled, mut refused) = (0, 0);
    for (kind, honest) in [("held", &held), ("invoices", &invoices), ("commitment", &commitment), ("reveal", &opening)]
    {
        let whole: Value = serde_json::from_str(honest).unwrap();
        for (what, bent) in bent(&whole, kind) {
            let mut versions = vec![(format!("{what}, not signed again"), bent.clone())];
            if kind != "reveal" && bent.get("type").is_some_and(Value::is_string) {
                let mut again = bent;
                sign(&mut again, &pair.payee);
                versions.push((format!("{what}, signed again"), again));
            }
            for (what, record) in versions {
                if !thorough && draw(&what, 3) > 0 && !what.contains("another /rungs/0/invoice, signed") {
                    continue;
                }
                let line = canonical::json(&record) + "\n";
                // Instead of the honest one; and before or after it.
                let beside = if draw(&what, 2) == 0 { line.clone() + honest } else { honest.to_owned() + &line };
                for (place, text) in [("instead", &line), ("beside", &beside)] {
                    let all = match kind {
                        "commitment" => text.to_owned() + &opening,
                        "reveal" => commitment.clone() + text,
                        _ => commitments.clone(),
                    };
                    let held = if kind == "held" { text } else { &held };
                    let invoices = if kind == "invoices" { text } else { &invoices };
                    let given = desk.one_verdict(&format!("{what}, {place}"), held, invoices, &all);
                    *(if given { &mut settled } else { &mut refused }) += 1;
                }
            }
        }
    }
    assert!(settled > 30 && refused > 10, "{settled} settled, {refused} refused");
}
