//! What no verb does: each breaks one promise by hand, to see that its check notices.

use std::fs;
use std::path::Path;

use l402::pay::EscrowSecret;
use serde_json::{Value, json};

use super::books;
use super::play::Play;
use super::schedule::*;
use super::seat::node;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The judge opens a rung before its verdict.
    SettlesEarly,
    /// A file of preimages lies about before the verdict.
    ShowsEarly,
    /// A preimage that was not earned is in a worker's file.
    ShowsMore,
    /// A second verdict on an offer is published.
    JudgesTwice,
    /// The payer pays a worker by hand as well.
    PaysTwice,
    /// Nobody is judged.
    NobodyJudges,
    /// Nobody is judged, and nobody gives back what is held.
    NobodyCancels,
    /// The payer's list of rungs is altered.
    RungsLie,
    /// An update is altered.
    UpdateDiffers,
    /// Scores are altered.
    ScoresDiffer,
    /// The next model is altered.
    ModelDiffers,
    /// A list that no other check looks at is altered.
    AssignmentsDiffer,
}

use Sabotage::*;

/// Each, and what its check says.
pub const ALL: [(Sabotage, &str); 12] = [
    (SettlesEarly, "is settled, and was not earned"),
    (ShowsEarly, "before its verdict was journaled"),
    (ShowsMore, "which was not earned"),
    (JudgesTwice, "two verdicts on one offer"),
    (PaysTwice, "expected balances"),
    (NobodyJudges, "has earned nothing"),
    (NobodyCancels, "still in flight"),
    (RungsLie, "paid is true, and payer says Some(\"cancelled\")"),
    (UpdateDiffers, "ann.update is not what it was"),
    (ScoresDiffer, "shown: other than in the undisturbed run"),
    (ModelDiffers, "the next model of [\"\\\"ann\\\"\", \"\\\"bob\\\"\"]: other than"),
    (AssignmentsDiffer, "the audit ends with"),
];

impl Sabotage {
    /// Whether the step is left out.
    pub fn skips(self, step: Step) -> bool {
        matches!(self, NobodyJudges | NobodyCancels) && matches!(step, Settle | Claim(_) | Paid)
    }

    /// Before a step of the calm; every check follows that step.
    pub fn before(self, play: &Play<'_>, step: Step) {
        match (self, step) {
            (SettlesEarly, Score) => {
                let preimage = preimages(play).remove(0);
                play.bank.devnet.socket(node(Ann, true)).ask("settleholdinvoice", json!({ "preimage": preimage }));
            }
            (ShowsEarly, Score) => {
                fs::create_dir_all(play.seat.reveals()).unwrap();
                fs::write(play.seat.reveals().join("ann.0.0.reveal"), reveal(play, 0)).unwrap();
            }
            (PaysTwice, Paid) => {
                let worker = play.bank.devnet.socket(node(Ann, true));
                let made =
                    worker.ask("invoice", json!({"amount_msat": 4_000_000, "label": "again", "description": ""}));
                play.bank.devnet.socket(1).ask("xpay", json!({ "invstring": made["bolt11"] }));
            }
            _ => {}
        }
    }

    /// Before the last checks.
    pub fn at_the_end(self, play: &Play<'_>) {
        let theta = play.seat.run(Judge).join("theta-1/model.safetensors");
        match self {
            ShowsMore => {
                let earned = &books::judged(&play.seat).unwrap()["ann"].verdict.clone().unwrap().rungs;
                let rung = (0..4).find(|rung| !earned.contains(rung)).expect("she did not earn everything");
                fs::write(play.seat.private(Bob).join("ann.0.0.reveal"), reveal(play, rung)).unwrap();
            }
            JudgesTwice => {
                let path = play.seat.file(Ann, "verdicts.jsonl");
                let mut line = books::lines(&path).remove(0);
                line["sig"] = json!("another");
                alter(&path, |text| text.push_str(&format!("{line}\n")));
            }
            RungsLie => {
                let edit = |text: &mut String| *text = text.replace("\"claimed\"", "\"cancelled\"");
                alter(&play.seat.file(Payer, "rungs.jsonl"), edit);
            }
            UpdateDiffers => flip(&play.seat.file(Judge, "ann.update")),
            ScoresDiffer => alter(&play.seat.file(Judge, "scores.jsonl"), |text| text.push('\n')),
            ModelDiffers => flip(&theta),
            AssignmentsDiffer => {
                let edit = |text: &mut String| *text = text.replacen("\"round\":0", "\"round\":1", 1);
                alter(&play.seat.file(Judge, "assignments.jsonl"), edit);
            }
            _ => {}
        }
    }
}

/// Ann's preimages, as the judge's secret makes them.
fn preimages(play: &Play<'_>) -> Vec<String> {
    let secret = fs::read_to_string(play.seat.private(Judge).join("escrow/secret")).unwrap();
    let secret = EscrowSecret::parse(&secret).unwrap();
    let held = books::lines(&play.seat.file(Judge, "ann.held")).remove(0);
    let offer = held["task"]["offer"].as_str().unwrap().parse().unwrap();
    let hex = |rung| serde_json::to_value(secret.preimage(&offer, rung)).unwrap().as_str().unwrap().to_owned();
    (0..4).map(hex).collect()
}

/// A file of one preimage of hers.
fn reveal(play: &Play<'_>, rung: usize) -> String {
    let held = books::lines(&play.seat.file(Judge, "ann.held")).remove(0);
    let preimages: Value = json!([{ "preimage": preimages(play)[rung], "rung": rung }]);
    json!({ "preimages": preimages, "task": held["task"], "type": "preimages", "v": 1 }).to_string() + "\n"
}

fn alter(path: &Path, edit: impl FnOnce(&mut String)) {
    let before = fs::read_to_string(path).unwrap();
    let mut text = before.clone();
    edit(&mut text);
    assert_ne!(text, before, "{}", path.display());
    fs::write(path, text).unwrap();
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}
