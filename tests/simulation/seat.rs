//! A seed's folders: a run folder for each party, what it keeps to itself beside it, and the files that travel between them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::bank::Bank;
use super::schedule::*;

/// Who runs a step.
pub fn party(step: Step, apart: bool) -> Party {
    match step {
        Offer | Close | Replay(_) | Score | Settle | Aggregate => Judge,
        Lock | Paid if apart => Payer,
        Lock | Paid => Judge,
        Issue(w) | Held(w) | Train(w) | Commit(w) | Reveal(w) | Claim(w) => w,
        Carry(from, _) => from,
    }
}

/// A party's node: the first pays.
pub fn node(party: Party, apart: bool) -> usize {
    match party {
        Judge if apart => 4,
        Judge | Payer => 1,
        Ann => 2,
        Bob => 3,
    }
}

/// The folders.
pub struct Seat {
    folder: tempfile::TempDir,
    pub apart: bool,
}

/// What a worker sends, before the list is closed and after it.
const EARLY: [&str; 4] = ["invoices", "held", "commitment", "claimed"];
const LATE: [&str; 5] = ["update", "moments", "feedback", "leaves", "reveal"];
/// What the coordinator publishes.
const PUBLIC: [&str; 6] =
    ["offers.jsonl", "closing.jsonl", "findings.jsonl", "beacon-b", "scores.jsonl", "verdicts.jsonl"];

impl Seat {
    /// A run folder for each party, as the run begins.
    pub fn new(bank: &Bank, apart: bool) -> Seat {
        let seat = Seat { folder: tempfile::Builder::new().prefix("l402s").tempdir_in("/tmp").unwrap(), apart };
        for party in seat.parties() {
            copy_tree(&bank.template(apart), &seat.run(party));
            let private = seat.private(party);
            fs::create_dir_all(&private).unwrap();
            fs::set_permissions(&private, PermissionsExt::from_mode(0o700)).unwrap();
            seat.link(party, &bank.devnet.socket(node(party, apart)).0);
        }
        seat
    }

    pub fn parties(&self) -> Vec<Party> {
        if self.apart { vec![Judge, Payer, Ann, Bob] } else { vec![Judge, Ann, Bob] }
    }

    /// A party's run folder.
    pub fn run(&self, party: Party) -> PathBuf {
        self.folder.path().join(party.name())
    }

    /// A file of the round in it.
    pub fn file(&self, party: Party, name: &str) -> PathBuf {
        self.run(party).join("round-0").join(name)
    }

    /// What a party keeps to itself.
    pub fn private(&self, party: Party) -> PathBuf {
        self.folder.path().join(format!("{0}-private/{0}", party.name()))
    }

    /// Where a judge puts preimages.
    pub fn reveals(&self) -> PathBuf {
        self.private(Judge).join("reveal")
    }

    /// The socket that a party's verbs ask.
    pub fn link(&self, party: Party, socket: &Path) {
        let link = self.private(party).join("lightning-rpc");
        let _ = fs::remove_file(&link);
        symlink(socket, link).unwrap();
    }

    /// A party's journal.
    pub fn journal(&self, party: Party) -> Option<PathBuf> {
        let entries = fs::read_dir(self.private(party).join("escrow")).ok()?;
        let mut paths = entries.map(|e| e.unwrap().path());
        paths.find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("journal-")))
    }

    /// Everything that one sends to another by now; each file comes whole, as `rsync` brings it. What came.
    pub fn carry(&self, from: Party, to: Party) -> Vec<String> {
        let mut came = Vec::new();
        let mut bring = |name: String| {
            if bring(&self.file(from, &name), &self.file(to, &name)) {
                came.push(name);
            }
        };
        match (from, to) {
            (Judge, _) => PUBLIC.iter().for_each(|name| bring((*name).to_owned())),
            (Payer, _) => bring("rungs.jsonl".to_owned()),
            (w, _) => {
                EARLY.iter().for_each(|kind| bring(format!("{}.{kind}", w.name())));
                // The work stays at home until the list is closed, and is of no use to scores that are made.
                if to == Judge && self.file(w, "closing.jsonl").exists() && !self.file(to, "scores.jsonl").exists() {
                    let reveal = self.file(w, &format!("{}.reveal", w.name()));
                    if reveal.exists() {
                        LATE.iter().for_each(|kind| bring(format!("{}.{kind}", w.name())));
                    }
                }
            }
        }
        if from == Judge && WORKERS.contains(&to) {
            let name = format!("{}.0.0.reveal", to.name());
            if self::bring(&self.reveals().join(&name), &self.private(to).join(&name)) {
                came.push(name);
            }
        }
        came
    }

    /// Whose update lies where it is scored, with what opens its commitment.
    pub fn shown(&self) -> Vec<Party> {
        let shown = |w: &Party| {
            ["update", "reveal"].iter().all(|kind| self.file(Judge, &format!("{}.{kind}", w.name())).exists())
        };
        WORKERS.into_iter().filter(shown).collect()
    }
}

/// Copies a file under a temporary name and renames it; whether there was something new.
fn bring(from: &Path, to: &Path) -> bool {
    let Ok(bytes) = fs::read(from) else { return false };
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return false;
    }
    let part = to.with_file_name(".part");
    fs::write(&part, bytes).unwrap();
    fs::set_permissions(&part, fs::metadata(from).unwrap().permissions()).unwrap();
    fs::rename(part, to).unwrap();
    true
}

pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_tree(&path, &target),
            false => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}
