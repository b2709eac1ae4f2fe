//! `attest`: statements that hold to in-toto's published rules, of what was verified and of nothing else.
//!
//! The rules are written down here from the texts of github.com/in-toto/attestation at 2026-11: `spec/v1/statement.md`,
//! `resource_descriptor.md`, `digest_set.md` and `field_types.md` (v1.1), `spec/predicates/svr.md` (v0.1), and the messages of
//! `protos/in_toto_attestation/v1` and `predicates/svr/v0.1`. `.ci/attest` asks in-toto's own library.

mod common;

use std::fs;
use std::process::Command;

use common::{FULL, WORKERS, World, beacon, records, talk};
use l402::artifact::record::{self, Line};
use l402::verify::{Finding, Nearness, Sample, StateGiven, Verdict};
use serde_json::{Value, json};

const VERIFIER: &str = "--verifier https://example.org/replay/v1";
const TIME: &str = "--time 2026-11-29T10:00:00Z";

/// Lower-case hex digits of the algorithms that in-toto names and we use.
const DIGITS: [(&str, usize); 2] = [("sha256", 64), ("blake3", 64)];

/// What is wrong with a statement; nothing where it holds to every rule, and has no field that a strict reader does not know.
fn wrong(statement: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            wrong.push(what.to_owned());
        }
    };
    let fields = |value: &Value, known: &[&str]| {
        value.as_object().is_some_and(|map| map.keys().all(|key| known.contains(&key.as_str())))
    };
    must(fields(statement, &["_type", "subject", "predicateType", "predicate"]), "fields of the statement");
    must(statement["_type"] == "https://in-toto.io/Statement/v1", "_type");
    must(statement["predicateType"] == "https://in-toto.io/attestation/svr/v0.1", "predicateType");
    let none = Vec::new();
    let subjects = statement["subject"].as_array().unwrap_or(&none);
    must(!subjects.is_empty(), "subjects");
    for subject in subjects {
        let known = ["name", "uri", "digest", "content", "downloadLocation", "mediaType", "annotations"];
        must(fields(subject, &known), "fields of a subject");
        must(subject["name"].as_str().is_some_and(|name| !name.is_empty()), "a subject's name");
        must(subjects.iter().filter(|other| other["name"] == subject["name"]).count() == 1, "names are unique");
        must(subject["annotations"].is_object(), "annotations");
        let digests = subject["digest"].as_object();
        must(digests.is_some_and(|set| !set.is_empty()), "every subject has a digest");
        for (algorithm, digest) in digests.into_iter().flatten() {
            let digits = DIGITS.iter().find(|(name, _)| name == algorithm).map(|(_, digits)| *digits);
            let lower = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            must(digest.as_str().is_some_and(|text| Some(text.len()) == digits && lower(text)), "a digest");
        }
    }
    let predicate = &statement["predicate"];
    must(fields(predicate, &["verifier", "timeCreated", "properties"]), "fields of the predicate");
    must(fields(&predicate["verifier"], &["id", "policy"]), "fields of the verifier");
    must(predicate["verifier"]["id"].as_str().is_some_and(|id| id.contains(':')), "verifier.id");
    let time = predicate["timeCreated"].as_str().unwrap_or("");
    must(time.len() >= 20 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "timeCreated");
    let properties = predicate["properties"].as_array();
    must(properties.is_some_and(|all| all.iter().all(Value::is_string)), "properties");
    wrong
}

fn parsed(bytes: &[u8]) -> Value {
    let text = std::str::from_utf8(bytes).unwrap();
    assert_eq!(text.lines().count(), 1, "one statement: {text}");
    serde_json::from_str(text).unwrap()
}

fn properties(statement: &Value) -> Vec<&str> {
    statement["predicate"]["properties"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect()
}

fn sha256sum(world: &World, name: &str) -> String {
    let output = Command::new("sha256sum").arg(world.path(name)).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

/// A round that everybody played; as a liar bob sends cy's work as his own.
fn played(liar: bool) -> World {
    let world = World::new(FULL);
    world.begin_run();
    world.ok(&format!("assign 0 --beacon {}", beacon("first 0")));
    for who in WORKERS {
        world.ok(&format!("train 0 {who}"));
        world.ok(&format!("commit 0 {who}"));
    }
    WORKERS.iter().for_each(|who| drop(world.ok(&format!("commit 0 {who} --reveal"))));
    if liar {
        let other = world.bytes("round-0/cy.update");
        world.write("round-0/bob.update", &other);
    }
    WORKERS.iter().for_each(|who| drop(world.run(&format!("replay 0 {who}"))));
    world
}

/// A finding of ann's as it might be, in a file.
fn bent(world: &World, name: &str, bend: impl FnOnce(&mut Finding)) -> Finding {
    let text = String::from_utf8(world.bytes("round-0/ann.finding")).unwrap();
    let mut finding: Finding = Line::parse("ann", text.trim_end()).unwrap().get().unwrap().unwrap();
    bend(&mut finding);
    world.write(name, record::line(&finding).unwrap().as_bytes());
    finding
}

fn sample(segments: Vec<u32>) -> Sample {
    Sample {
        beacon: beacon("draw").parse().unwrap(),
        segments,
        of_segments: 30,
        chunks: 1,
        of_chunks: 2,
        opened_bytes: 3,
        missed_ppm: vec![69_000],
        missed_chunks_ppm: vec![500_000],
    }
}

#[test]
fn a_statement_holds_to_the_published_rules_and_names_its_subjects_by_both_digests() {
    let world = played(true);
    let made = world.ok(&format!("attest round-0/ann.finding {VERIFIER} {TIME} --subject round-0/ann.update"));
    let statement = parsed(&made.stdout);
    assert_eq!(wrong(&statement), Vec::<String>::new(), "{statement:#}");
    assert_eq!(properties(&statement), ["L402_REPLAY_EXACT"]);
    let (subject, finding) = (&statement["subject"][0], records(&world.bytes("round-0/ann.finding"), "finding"));
    assert_eq!(subject["name"], "round-0/ann.update");
    assert_eq!(subject["digest"]["sha256"], sha256sum(&world, "round-0/ann.update"));
    assert_eq!(subject["digest"]["blake3"], finding[0]["update"]);
    assert_eq!(subject["annotations"]["l402_run"], finding[0]["run"]);
    assert_eq!(statement["predicate"]["timeCreated"], "2026-11-29T10:00:00Z");
    // Canonical, so that one content is one text; the same each time.
    assert_eq!(l402::artifact::canonical::json(&statement) + "\n", String::from_utf8(made.stdout.clone()).unwrap());
    // Of a frame what is in it, as everywhere: the digests are of one content.
    let framed = zstd::encode_all(&world.bytes("round-0/ann.update")[..], 3).unwrap();
    world.write("ann.update.zst", &framed);
    let again = world.ok(&format!("attest round-0/ann.finding {VERIFIER} {TIME} --subject ann.update.zst"));
    assert_eq!(again.stdout, made.stdout);

    // Several subjects of one kind; in whatever order, and twice, the statement is one.
    let both = "round-0/ann.finding round-0/cy.finding";
    let made = world.ok(&format!("attest {both} {VERIFIER} {TIME}"));
    assert!(talk(&made).contains("2 of 2 subjects have no SHA-256"), "{}", talk(&made));
    assert_eq!(wrong(&parsed(&made.stdout)), Vec::<String>::new());
    let again = world.ok(&format!("attest round-0/cy.finding {both} {VERIFIER} {TIME}"));
    assert_eq!(again.stdout, made.stdout);
    // The predicate alone is the statement's.
    let alone = parsed(&world.ok(&format!("attest {both} {VERIFIER} {TIME} --predicate")).stdout);
    assert_eq!(alone, parsed(&made.stdout)["predicate"]);
}

#[test]
fn the_rules_refuse_what_breaks_them() {
    let good = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "a", "digest": { "sha256": "0".repeat(64) }, "annotations": {} }],
        "predicateType": "https://in-toto.io/attestation/svr/v0.1",
        "predicate": { "verifier": { "id": "a:b" }, "timeCreated": "2026-11-29T10:00:00Z", "properties": ["X"] },
    });
    assert_eq!(wrong(&good), Vec::<String>::new());
    let bends: [(&str, Value); 13] = [
        ("/_type", json!("https://in-toto.io/Statement/v0.1")),
        ("/subject", json!([])),
        ("/subject/0/digest", json!({})),
        ("/subject/0/digest/sha256", json!("0".repeat(63))),
        ("/subject/0/digest/sha256", json!("A".repeat(64))),
        ("/subject/0/digest", json!({ "l402": "0" })),
        ("/subject/0", json!({ "name": "a", "digest": { "sha256": "0".repeat(64) }, "annotations": {}, "run": "x" })),
        ("/subject/0/name", json!("")),
        ("/predicateType", json!("https://in-toto.io/attestation/svr/v1")),
        ("/predicate/verifier", json!({ "id": "a:b", "version": "1" })),
        ("/predicate/verifier/id", json!(null)),
        ("/predicate/timeCreated", json!("2026-11-29T10:00:00+00:00")),
        ("/predicate/properties", json!([1])),
    ];
    for (place, value) in bends {
        let mut bad = good.clone();
        *bad.pointer_mut(place).unwrap() = value;
        assert!(!wrong(&bad).is_empty(), "{place}: {bad}");
    }
}

#[test]
fn nothing_but_equality_becomes_a_statement() {
    let world = played(true);
    let expect = |args: &str, code: i32, says: &str| {
        let output = world.expect(&format!("attest {args} {VERIFIER} {TIME}"), code, says);
        assert!(output.stdout.is_empty(), "{args}: {}", String::from_utf8_lossy(&output.stdout));
    };
    let hints = |args: &str, hint: &str| {
        let said = talk(&world.run(&format!("attest {args} {VERIFIER}")));
        assert!(said.contains(hint), "{args}: {said}");
    };
    expect("round-0/bob.finding", 1, "the finding on bob of round 0 is a mismatch: there is nothing to attest");
    // One liar among many takes no place beside them.
    expect("round-0/ann.finding round-0/bob.finding", 1, "is a mismatch: there is nothing to attest");
    bent(&world, "assumed", |finding| finding.state = Some(StateGiven::AssumedZero));
    expect("assumed", 1, "the finding on ann of round 0 rests on states that were assumed to be zero");
    hints(&format!("assumed {TIME}"), "`replay --previous UPDATE` or `--from-zero` leaves nothing to assume");
    // An exact one that says what differs, or what it did not look at.
    bent(&world, "two-faced", |finding| finding.differs = Some("tensor x".into()));
    expect("two-faced", 65, "the finding on ann of round 0 contradicts itself");
    bent(&world, "drawn", |finding| finding.sample = Some(sample(vec![29])));
    expect("drawn", 65, "contradicts itself");
    bent(&world, "bare", |finding| finding.finding = Verdict::Sampled);
    expect("bare", 65, "contradicts itself");
    for segments in [vec![], vec![0, 1], vec![29, 29], vec![u32::MAX]] {
        bent(&world, "odd", |finding| {
            (finding.finding, finding.sample) = (Verdict::Sampled, Some(sample(segments)));
        });
        expect("odd", 65, "contradicts itself");
    }
    // Names are ours alone; what is shown of others is escaped.
    bent(&world, "named", |finding| finding.worker = "../\"ann\"".into());
    expect("named", 65, "a finding on \"../\\\"ann\\\"\", which is no worker's id");
    expect("roster.jsonl", 65, "expected findings, or an audit, found a record of type \"roster\"");
    world.write("empty", b"");
    expect("empty", 65, "expected findings, or an audit, found no record");
    let altered = [&world.bytes("round-0/ann.update")[..], b"x"].concat();
    world.write("altered", &altered);
    expect("round-0/ann.finding --subject altered", 1, "--subject: altered: expected the content of a subject, found ");
    let subject = format!("round-0/ann.finding --subject altered {TIME}");
    hints(&subject, "it is not what was verified, or was altered since");
    let says = "--time: expected when it was verified: a statement says so, and no clock is asked unasked";
    world.expect(&format!("attest round-0/ann.finding {VERIFIER}"), 2, says);
    hints("round-0/ann.finding", "--time now, or the same bytes each time: --time 2026-11-29T10:00:00Z, or SOURCE_");
    for (bad, says) in [
        (
            "round-0/ann.finding --time now --verifier me",
            "expected a URI, as https://example.org/verifier/v1, its scheme and authority in lower case",
        ),
        ("round-0/ann.finding --time noon --verifier a:b", "expected `now`, or a time in UTC as 2026-11-29T10:00:00Z"),
    ] {
        world.expect(&format!("attest {bad}"), 2, says);
    }
}

#[test]
fn how_much_was_looked_at_is_in_the_property_and_kinds_are_not_mixed() {
    let world = played(true);
    let of = |name: &str| {
        let made = world.ok(&format!("attest {name} {VERIFIER} {TIME}"));
        let statement = parsed(&made.stdout);
        assert_eq!(wrong(&statement), Vec::<String>::new());
        statement
    };
    bent(&world, "sampled", |finding| {
        (finding.finding, finding.sample) = (Verdict::Sampled, Some(sample(vec![3, 7, 29])));
    });
    let sampled = of("sampled");
    assert_eq!(properties(&sampled), ["L402_REPLAY_SAMPLED_3_OF_30"]);
    assert_eq!(sampled["subject"][0]["annotations"]["l402_missed_ppm"], json!([69_000]));
    bent(&world, "near", |finding| {
        let (tensor, other) = ("a".to_owned(), "b".to_owned());
        finding.finding = Verdict::Near;
        finding.near = Some(Nearness {
            tolerance_ppm: 10_000,
            error_ppm: 5,
            error_tensor: tensor,
            cosine_ppm: 999_999,
            cosine_tensor: other,
        });
    });
    assert_eq!(properties(&of("near")), ["L402_REPLAY_NEAR_10000_PPM"]);
    let says = "findings of several kinds, L402_REPLAY_SAMPLED_3_OF_30 and L402_REPLAY_EXACT";
    let output = world.expect(&format!("attest sampled round-0/cy.finding {VERIFIER} {TIME}"), 2, says);
    let hint = "a statement says the same of all its subjects: attest each kind by itself";
    assert!(talk(&output).contains(hint), "{}", talk(&output));
    bent(&world, "again", |finding| finding.steps += 1);
    let two = format!("attest round-0/ann.finding again {VERIFIER} {TIME}");
    let output = world.expect(&two, 2, "two findings on round-0/ann.update");
    assert!(talk(&output).contains("attest each by itself"), "{}", talk(&output));
}

#[test]
fn the_time_is_said_or_the_environments_and_never_the_clocks_unasked() {
    let world = played(true);
    let run = |epoch: &str, more: &str| {
        let args = format!("attest round-0/ann.finding {VERIFIER} {more}");
        world.command(&args).env("SOURCE_DATE_EPOCH", epoch).output().unwrap()
    };
    let time = |output: &std::process::Output| {
        assert!(output.status.success(), "{}", talk(output));
        parsed(&output.stdout)["predicate"]["timeCreated"].as_str().unwrap().to_owned()
    };
    assert_eq!(time(&run("1796000000", "")), "2026-11-30T00:53:20Z");
    assert_eq!(time(&run("1796000000", TIME)), "2026-11-29T10:00:00Z");
    assert!(time(&run("0", "--time now")).as_str() > "2026");
    for bad in ["-1", "1.5", "now", "253402300800"] {
        let output = run(bad, "");
        assert_eq!(output.status.code(), Some(2));
        assert!(
            talk(&output).contains("SOURCE_DATE_EPOCH: expected seconds since 1970, from 0 to 253402300799"),
            "{}",
            talk(&output)
        );
    }
    assert_eq!(run("", "").status.code(), Some(2));
}

#[test]
fn an_audit_is_attested_of_the_model_that_it_ends_with() {
    let world = played(false);
    world.ok(&format!("score 0 --beacon {}", beacon("second 0")));
    world.ok("aggregate 0");
    let attest = |audit: &str| {
        world.ok(&format!("{audit} --json -o audit.jsonl --force"));
        let weights = "--subject theta-1/model.safetensors";
        let statement = parsed(&world.ok(&format!("attest audit.jsonl {VERIFIER} {TIME} {weights}")).stdout);
        assert_eq!(wrong(&statement), Vec::<String>::new(), "{statement:#}");
        assert_eq!(statement["subject"][0]["digest"]["sha256"], sha256sum(&world, "theta-1/model.safetensors"));
        assert_eq!(statement["subject"][0]["name"], "theta-1");
        statement
    };
    let lists = ["L402_AUDIT_COMMITMENTS_IN_EVERY_ROUND", "L402_AUDIT_EQUAL", "L402_AUDIT_FINDINGS_IN_EVERY_ROUND"];
    assert_eq!(properties(&attest("audit")), lists);
    // Goes on where it was, and says the same.
    assert_eq!(properties(&attest("audit --work ../audited")), lists);
    assert_eq!(properties(&attest("audit --work ../audited")), lists);
    let all: Vec<&str> = lists.iter().copied().chain(["L402_AUDIT_REPLAYED_ALL"]).collect();
    assert_eq!(properties(&attest("audit --replay all")), all);
    assert_eq!(properties(&attest("audit --replay 1")), lists);
    let audit = world.bytes("audit.jsonl");
    world.write("both", &[&audit[..], &world.bytes("round-0/ann.finding")].concat());
    world.expect(
        &format!("attest both {VERIFIER} {TIME}"),
        2,
        "expected findings, or one audit, and not both or several",
    );

    // A run without findings is equal too: nothing is said of them.
    let before = String::from_utf8(audit).unwrap();
    let model = before.split_once("\"model\":\"").unwrap().1;
    let older = before.replace(&format!("\"model\":\"{}\",", &model[..64]), "");
    world.write("older", older.as_bytes());
    let output =
        world.expect(&format!("attest older {VERIFIER} {TIME}"), 65, "the audit names no model that it ends with");
    let hint = "of a run without a finished round there is none; an audit of before names none: audit again";
    assert!(talk(&output).contains(hint), "{}", talk(&output));
    let fewer = before.replace("\"without_findings\":0", "\"without_findings\":1");
    assert_ne!(fewer, before);
    world.write("fewer", fewer.as_bytes());
    let made = world.ok(&format!("attest fewer {VERIFIER} {TIME}"));
    assert_eq!(properties(&parsed(&made.stdout)), lists[..2]);

    // What differs is no statement.
    let mut weights = world.bytes("theta-1/model.safetensors");
    *weights.last_mut().unwrap() ^= 1;
    fs::remove_file(world.path("theta-1/model.safetensors")).unwrap();
    world.write("theta-1/model.safetensors", &weights);
    assert_eq!(world.run("audit --json -o audit.jsonl --force").status.code(), Some(1));
    let says = "the audit has found a difference: there is nothing to attest";
    world.expect(&format!("attest audit.jsonl {VERIFIER} {TIME}"), 1, says);
}
