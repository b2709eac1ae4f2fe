//! `l402 report`: every number is there without a script, nothing of others is obeyed, and a long run stays a small file.

mod common;

use std::fs;
use std::time::Instant;

use common::papers::{Act, Papers, q32};
use common::talk;
use l402::artifact::record;
use l402::report::{Book, figures, page};
use l402::score::{RoundScore, Score};
use l402::verify::Finding;
use serde_json::Value;

const WORKERS: [&str; 4] = ["alice", "bob", "carol", "mallory"];

fn played(rounds: u64) -> Papers {
    let mut papers = Papers::new(&WORKERS);
    for round in 0..rounds {
        let bob = if round == 1 { Act::Late } else { Act::Honest };
        papers.play(round, &[Act::Honest, bob, Act::Honest, Act::Liar]);
    }
    papers
}

fn logs(papers: &Papers, rounds: u64) {
    let run = papers.recipe.digest();
    let mut text = String::new();
    for (round, step) in (0..rounds).flat_map(|round| (0..3).map(move |step| (round, step))) {
        let loss = 5.0 / (1.0 + 0.1 * (3 * round + step) as f64);
        text += &format!(
            "{{\"type\":\"step\",\"v\":1,\"run\":\"{run}\",\"round\":{round},\"worker\":\"alice\",\"step\":{step},\"loss\":{loss},\
             \"lr\":0.001,\"gradient_norm\":1.0,\"tokens\":64,\"seconds\":0.5,\"tokens_per_second\":128.0,\"memory_bytes\":1048576}}\n"
        );
    }
    fs::write(papers.path("alice.log.jsonl"), text + "{\"type\":\"step\",\"torn").unwrap();
}

/// A page as a reader without styles has it: its words alone.
fn words(html: &str) -> String {
    let body = html.split_once("<body>").unwrap().1;
    let (mut out, mut inside) = (String::new(), false);
    for c in body.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                out.push(' ');
            }
            '\u{202f}' => {}
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every tag is closed, in order: what a browser would otherwise guess.
#[track_caller]
fn well_formed(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    for tag in html.split('<').skip(1) {
        let tag = tag.split_once('>').unwrap_or_else(|| panic!("a tag without an end: {tag}")).0;
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        if tag.starts_with('!') || ["meta", "br"].contains(&name) || tag.ends_with('/') {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_page_has_every_number_and_needs_nothing_from_elsewhere() {
    let papers = played(3);
    logs(&papers, 3);
    papers.world.ok("report run -o report.html");
    let html = String::from_utf8(papers.world.bytes("report.html")).unwrap();
    well_formed(&html);
    for foreign in [
        "<script",
        "<link",
        "<img",
        "<iframe",
        "http:",
        "https:",
        "@import",
        "url(",
        "javascript:",
        " onload",
        " onclick",
    ] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    let words = words(&html);
    let numbers: Value = serde_json::from_str(&papers.world.text("report run --json")).unwrap();
    for round in numbers["rounds"].as_array().unwrap() {
        for field in ["paid_msat", "locked_msat", "entitled_msat", "claimed_msat", "bytes", "closed_at"] {
            assert!(words.contains(&format!(" {} ", round[field])), "{field} {round}");
        }
        assert!(words.contains(&format!("{:.4}", round["loss"].as_f64().unwrap())), "{round}");
        for height in round["heights"].as_object().unwrap().values() {
            assert!(words.contains(&format!(" {height} ")), "{height}");
        }
    }
    for worker in numbers["workers"].as_array().unwrap() {
        assert!(
            words.contains(worker["worker"].as_str().unwrap()) && words.contains(&format!(" {} ", worker["paid_msat"])),
            "{worker}"
        );
    }
    let caught: Vec<(&str, &str, u64)> = numbers["caught"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["worker"].as_str().unwrap(), c["reason"].as_str().unwrap(), c["rounds"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        caught,
        [
            ("mallory", "replay differs: tensor lm_head.weight", 3),
            ("bob", "its commitment came after the list was closed", 1)
        ]
    );
    assert!(caught.iter().all(|(who, why, _)| words.contains(who) && words.contains(why)));
    // Of the log 9 steps, the torn line being no error.
    assert_eq!((numbers["logs"][0]["seen"].as_u64(), numbers["logs"][0]["tokens"].as_u64()), (Some(9), Some(576)));
    assert!(words.contains("Training loss by step") && words.contains("128.0"), "no training");
    assert_eq!(numbers["rounds"][1]["counting"], 2);
    // For who does not see the plots.
    let plots = html.matches("<svg").count();
    assert!(plots >= 9, "{plots}");
    for part in ["<title id=", "<desc id=", "role=\"img\""] {
        assert_eq!(html.matches(part).count(), plots, "{part}");
    }
    assert!(!html.contains("<th>") && html.contains("scope=\"col\"") && html.contains("scope=\"row\""));
    let again = papers.world.ok("report run -o report.html");
    assert_eq!(talk(&again), "");
}

#[test]
fn plots_and_tables_are_files_of_their_own() {
    let papers = played(2);
    logs(&papers, 2);
    papers.world.ok("report run --svg plots --csv tables");
    let plots = papers.world.listing("plots");
    assert!(
        [
            "overview.svg",
            "loss.svg",
            "loss-pay.svg",
            "pay.svg",
            "earned.svg",
            "outcomes.svg",
            "escrow.svg",
            "compression.svg",
            "training.svg",
            "speed.svg"
        ]
        .iter()
        .all(|name| plots.contains(&name.to_string())),
        "{plots:?}"
    );
    for plot in &plots {
        let svg = String::from_utf8(papers.world.bytes(&format!("plots/{plot}"))).unwrap();
        assert!(
            svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && svg.contains("prefers-color-scheme"),
            "{plot}"
        );
        well_formed(&svg);
    }
    let csv = String::from_utf8(papers.world.bytes("tables/work.csv")).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(
        lines[0],
        "round,worker,outcome,reason,finding,gain,bytes,locked_msat,entitled_msat,paid_msat,claimed_msat"
    );
    assert_eq!(lines.len(), 1 + 2 * WORKERS.len());
    assert!(
        lines[4]
            .starts_with("0,\"mallory\",\"refused by replay\",\"replay differs: tensor lm_head.weight\",\"mismatch\","),
        "{csv}"
    );
    papers.world.ok("report run --svg plots --csv tables");
}

#[test]
fn a_run_that_has_just_begun_and_one_that_goes_on_are_reported() {
    let mut papers = Papers::new(&WORKERS);
    papers.world.ok("report run -o empty.html");
    let empty = String::from_utf8(papers.world.bytes("empty.html")).unwrap();
    well_formed(&empty);
    assert!(words(&empty).contains("No round has begun"), "{empty}");
    papers.play(0, &[Act::Honest; 4]);
    papers.list(1, "assignments", &papers.assignments(1));
    let html = papers.world.text("report run");
    well_formed(&html);
    assert!(words(&html).contains("its last round goes on") && words(&html).contains("not scored yet"), "{html}");
    papers.world.expect("report nowhere -o x.html", 66, "nowhere");
    assert!(!papers.world.has("x.html"));
}

/// Everything that somebody else writes, and that a page, a plot, a spreadsheet or a terminal would obey.
const VILE: [&str; 6] = [
    "<script>alert(1)</script>",
    "\"onload='alert(1)' x=\"",
    "]]></style></svg><img src=x>",
    "=cmd|' /C calc'!A0",
    "--></title><b>",
    "&lt;script&gt; ${x} {{x}} `x`",
];

#[test]
fn names_reasons_and_logs_of_others_are_shown_and_never_obeyed() {
    let papers = played(1);
    let recipe = fs::read_to_string(papers.path("run.toml")).unwrap();
    let name = "<script>x</script>\\u202e]]>";
    fs::write(papers.path("run.toml"), recipe.replace("name = \"test\"", &format!("name = \"{name}\""))).unwrap();
    let run = Book::open(folder(&papers)).unwrap().id;
    let whole = RoundScore { run, ..records::<RoundScore>(&papers.read(0, "scores.jsonl")).remove(0) };
    let score = records::<Score>(&papers.read(0, "scores.jsonl")).remove(3);
    let scores = VILE.map(|vile| {
        record::line(&Score { run, worker: vile.into(), reason: Some(vile.into()), ..score.clone() }).unwrap()
    });
    papers.text(0, "scores.jsonl", &(scores.concat() + &record::line(&whole).unwrap()));
    let finding = records::<Finding>(&papers.read(0, "findings.jsonl")).remove(3);
    let findings = VILE.map(|vile| {
        record::line(&Finding { run, worker: vile.into(), differs: Some(vile.into()), ..finding.clone() }).unwrap()
    });
    papers.text(0, "findings.jsonl", &findings.concat());
    let mut log = String::new();
    for vile in VILE.iter().copied().chain(["\u{202e}\u{1b}[31m\u{0}evil"]) {
        let line = serde_json::json!({"type": "step", "run": run.to_string(), "round": 0, "worker": vile, "step": 1, "loss": 2.0, "tokens_per_second": 3.0});
        log += &format!("{line}\n");
    }
    papers.world.write("vile.jsonl", log.as_bytes());
    papers.world.ok("report run --log vile.jsonl -o report.html --svg plots --csv tables");
    let html = String::from_utf8(papers.world.bytes("report.html")).unwrap();
    well_formed(&html);
    let clean = |what: &str, text: &str| {
        for forbidden in ["<script", "<img", "<b>", "]]>", "\u{202e}", "\u{1b}", "\u{0}", "onload='", "\"onload"] {
            assert!(!text.contains(forbidden), "{what}: {forbidden:?}");
        }
    };
    clean("page", &html);
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && html.contains("]]&gt;"), "they are shown");
    for plot in papers.world.listing("plots") {
        let svg = String::from_utf8(papers.world.bytes(&format!("plots/{plot}"))).unwrap();
        clean(&plot, &svg);
        well_formed(&svg);
    }
    for table in papers.world.listing("tables") {
        let csv = String::from_utf8(papers.world.bytes(&format!("tables/{table}"))).unwrap();
        let fields = csv.split([',', '\n']).filter(|field| !field.is_empty());
        assert!(fields.clone().all(|f| !f.starts_with("\"=") && !f.starts_with(['=', '+', '@'])), "{table}: {csv}");
        assert!(!csv.contains(['\u{202e}', '\u{1b}', '\u{0}', '\r']), "{table}");
    }
    let json = papers.world.text("report run --json --log vile.jsonl");
    assert!(json.lines().count() == 1 && !json.contains(['\u{202e}', '\u{1b}', '\u{0}']), "{json}");
    let caught = serde_json::from_str::<Value>(&json).unwrap()["caught"].as_array().unwrap().len();
    assert!(caught >= VILE.len(), "{json}");
    // And the other two that read a folder.
    for args in ["status run", "explain run 0 alice"] {
        let page = papers.world.text(args);
        assert!(!page.contains(['\u{202e}', '\u{1b}', '\u{0}']), "{page:?}");
    }
}

fn records<R: record::Record>(text: &str) -> Vec<R> {
    record::select(&record::parse_lines("test", text).unwrap()).unwrap()
}

fn folder(papers: &Papers) -> l402::audit::RunFolder {
    let names = ["run.toml", "roster.jsonl"].map(str::to_owned);
    l402::audit::RunFolder::new(&papers.path(""), names.into())
}

#[test]
fn a_thousand_rounds_of_a_hundred_workers_are_below_five_mebibytes() {
    const ROUNDS: u64 = 1000;
    const CROWD: u64 = 100;
    let mut papers = Papers::new(&["w000"]);
    papers.play(0, &[Act::Honest]);
    let score = records::<Score>(&papers.read(0, "scores.jsonl")).remove(0);
    let whole = records::<RoundScore>(&papers.read(0, "scores.jsonl")).remove(0);
    let finding = records::<Finding>(&papers.read(0, "findings.jsonl")).remove(0);
    let verdict = records::<l402::pay::Verdict>(&papers.read(0, "verdicts.jsonl")).remove(0);
    let offer = records::<l402::pay::Offer>(&papers.read(0, "offers.jsonl")).remove(0);
    for round in 0..ROUNDS {
        let (mut scores, mut findings, mut verdicts, mut offers) =
            (String::new(), String::new(), String::new(), String::new());
        for worker in (0..CROWD).map(|i| format!("w{i:03}")) {
            let lies = worker.ends_with('7');
            let mut verdict = verdict.clone();
            (verdict.task.worker, verdict.task.round) = (worker.clone(), round);
            let (reason, gain) = (lies.then(|| "replay differs: tensor x".to_owned()), q32(0.1 / (round + 1) as f64));
            let finding = Finding { worker: worker.clone(), round, ..finding.clone() };
            scores += &record::line(&Score {
                worker: worker.clone(),
                round,
                counts: !lies,
                reason,
                gain_q32: Some(gain),
                ..score.clone()
            })
            .unwrap();
            findings += &record::line(&finding).unwrap();
            verdicts += &record::line(&verdict).unwrap();
            offers += &record::line(&l402::pay::Offer { worker, round, ..offer.clone() }).unwrap();
        }
        let before_q32 = q32(5.0 / (1.0 + 0.01 * round as f64));
        scores += &record::line(&RoundScore { round, before_q32, ..whole.clone() }).unwrap();
        for (list, text) in [("scores", scores), ("findings", findings), ("verdicts", verdicts), ("offers", offers)] {
            papers.text(round, &format!("{list}.jsonl"), &text);
        }
    }
    let begun = Instant::now();
    papers.world.ok("report run -o report.html --svg plots --csv tables");
    let took = begun.elapsed();
    let size = papers.world.bytes("report.html").len();
    eprintln!("{ROUNDS} rounds of {CROWD} workers: {size} bytes in {took:?}");
    assert!(size < 5 << 20, "{size}");
    // Ten seconds is for the optimised program on a machine of its own.
    assert!(took.as_secs() < 300, "{took:?}");
    let html = String::from_utf8(papers.world.bytes("report.html")).unwrap();
    well_formed(&html);
    assert!(words(&html).contains("w007") && words(&html).contains("90000 of 100000"), "what counts");
    assert_eq!(String::from_utf8(papers.world.bytes("tables/work.csv")).unwrap().lines().count(), 100_001);
}

#[test]
fn a_page_is_made_of_values_alone() {
    let papers = played(1);
    let names =
        ["run.toml", "roster.jsonl", "round-0/scores.jsonl", "round-0/assignments.jsonl", "round-0/findings.jsonl"];
    let run = l402::audit::RunFolder::new(&papers.path(""), names.map(str::to_owned).into());
    let found = figures(&Book::open(run).unwrap());
    assert_eq!(page(&found), page(&found));
    assert!(page(&found).contains("no escrow in the files"));
}
