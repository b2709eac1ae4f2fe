//! The short forms of who assigns, scores and takes the outer step: `l402 score 3`.

use std::path::Path;

use super::form::Form;
use super::gather::{self, COMMITMENTS, FINDINGS};
use super::signer::{node_alone, signer};
use crate::artifact::{Commitment, Digest, Reveal, Room, record};
use crate::command::args::worker_id;
use crate::data::Assignment;
use crate::error::{Error, IoContext, Result};
use crate::fsio::{Target, content_digest_within};
use crate::score::Believed;
use crate::verify::Finding;

impl Form {
    /// `assign N`: by the first beacon.
    pub(super) fn assign(&mut self) -> Result<()> {
        self.given.fill("recipe", self.run.recipe());
        self.given.fill("round", self.round.to_string());
        self.given.fill("shards", self.run.path("shards"));
        self.given.fill("workers", named(self.run.path("roster.jsonl")));
        signer(&self.run, "coordinator", &mut self.given, false)?;
        self.begins()?;
        self.beacon("beacon-a")?;
        self.output("assignments.jsonl");
        Ok(())
    }

    /// `beacon N a`: closes roster and shards, and makes the beacon of the block that was named. `beacon N b`: of the closed list.
    pub(super) fn bound_beacon(&mut self) -> Result<()> {
        let which = self.given.rest.first().map(|which| which.to_string_lossy().into_owned());
        let (party, file) = match which.as_deref() {
            Some("a") => {
                self.given.fill("recipe", self.run.recipe());
                self.given.fill("round", self.round.to_string());
                self.given.fill("shards", self.run.path("shards"));
                self.given.fill("workers", named(self.run.path("roster.jsonl")));
                self.given.fill("closing", self.run.of(self.round, "roster-closing.jsonl"));
                self.begins()?;
                ("coordinator", "beacon-a")
            }
            Some("b") => {
                let closing = self.run.of(self.round, "closing.jsonl");
                if !self.given.has("closing") && !closing.is_file() {
                    return Err(Error::missing(format!("{}: no such file: the list is not closed", closing.display()))
                        .hint(format!("`l402 commit --close {}` closes it, in a paid round", self.round)));
                }
                self.given.fill("closing", closing);
                (self.run.judge(), "beacon-b")
            }
            _ => {
                let round = self.round;
                return Err(Error::usage(format!("expected `l402 beacon {round} a` or `l402 beacon {round} b`")));
            }
        };
        if !self.given.has("headers") {
            node_alone(&self.run, party, &mut self.given)?;
        }
        self.output(file);
        Ok(())
    }

    /// What a round begins with must be there before its beacon is drawn.
    fn begins(&self) -> Result<()> {
        let before = self.round.checked_sub(1).map(|before| self.run.of(before, "scores.jsonl"));
        let parts = [self.run.path("roster.jsonl"), self.run.path("shards"), self.run.theta(self.round)];
        if let Some(missing) = parts.into_iter().chain(before).find(|path| !path.exists()) {
            let what = format!("{}: no such file: round {} begins with it", missing.display(), self.round);
            return Err(Error::missing(what));
        }
        self.round_folder()
    }

    /// `score N`, or `score N NAME` as one of the recipe's validators, or `score N --consensus` of what they have signed.
    pub(super) fn score(&mut self) -> Result<()> {
        self.given.fill("recipe", self.run.recipe());
        if self.given.has("consensus") {
            return self.consensus();
        }
        self.model();
        self.assignments()?;
        self.given.fill("shards", self.run.path("shards"));
        self.given.fill("val", self.run.path("shards/val-00000.safetensors"));
        self.judge_apart()?;
        if self.given.rest.first().and_then(|name| name.to_str()).is_some_and(|name| worker_id(name).is_ok()) {
            let validator = self.given.rest.remove(0).to_string_lossy().into_owned();
            signer(&self.run, &validator, &mut self.given, false)?;
            self.output(&format!("{validator}.scored"));
        }
        self.output("scores.jsonl");
        if self.given.rest.is_empty() {
            let updates = self.updates()?;
            self.given.rest = updates;
            for path in self.run.ending(self.round, ".update")? {
                self.says_what_it_left(&path)?;
            }
        }
        let findings = self.list("findings", FINDINGS)?;
        if let Some(findings) = findings {
            self.each_is_replayed(&findings)?;
            self.given.fill("findings", findings);
        }
        if let Some(commitments) = self.list("commitments", COMMITMENTS)?
            && !self.given.has("commitments")
        {
            self.some_are_open(&commitments)?;
            self.given.add("commitments", commitments);
            self.closing()?;
            if let Some(arrivals) = self.run.there(self.round, "arrivals.jsonl") {
                self.given.add("commitments", arrivals);
            }
        }
        if self.round > 0 && self.recipe()?.score.carries() {
            let previous = self.run.of(self.round - 1, "scores.jsonl");
            self.given.fill("previous", previous);
            if self.recipe()?.score.memory > 0 {
                self.given.fill("earlier", self.run.root());
            }
        }
        self.beacon("beacon-b")
    }

    fn consensus(&mut self) -> Result<()> {
        if self.given.values("consensus").is_empty() {
            self.given.remove("consensus");
            let signed = self.run.ending(self.round, ".scored")?;
            if signed.is_empty() {
                let what = format!("{}: no scores of a validator", self.run.of(self.round, "*.scored").display());
                return Err(Error::missing(what).hint(format!("`l402 score {} NAME` makes NAME's", self.round)));
            }
            for path in signed {
                self.given.add("consensus", path);
            }
        }
        self.given.fill("round", self.round.to_string());
        self.output("scores.jsonl");
        Ok(())
    }

    /// Where the round is paid, what came after the list was closed counts for nothing.
    fn closing(&mut self) -> Result<()> {
        match self.run.there(self.round, "closing.jsonl") {
            Some(closing) => self.given.add("commitments", closing),
            None if self.run.there(self.round, "offers.jsonl").is_some() && !self.without("closing") => {
                let path = self.run.of(self.round, "closing.jsonl");
                return Err(Error::refused(format!("{}: no such file: the round is paid", path.display())).hint(
                    format!(
                        "`l402 commit --close {}` closes the list; --without closing scores what is there",
                        self.round
                    ),
                ));
            }
            None => {}
        }
        Ok(())
    }

    /// An update that nobody has replayed does not count: that is no matter of forgetting.
    fn each_is_replayed(&self, findings: &Path) -> Result<()> {
        if self.given.has("findings") || self.without("findings") {
            return Ok(());
        }
        let found = record::select(&record::read_lines(findings)?)?;
        let found = Believed::of(found, self.recipe()?).findings;
        let assigned: Vec<Assignment> = record::read(&self.run.of(self.round, "assignments.jsonl"))?;
        // No update is larger than its model and as much again; of what claims to be, no more is read.
        let most = 2 * self.model_bytes()? + (1 << 20);
        for path in self.run.ending(self.round, ".update")? {
            let worker = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            if Assignment::find(&assigned, self.round, &worker).is_err() {
                continue;
            }
            // What has no content, a cut frame, has no digest either.
            let digest = content_digest_within(&path, most).map_or(Digest([0; 32]), |hash| Digest(*hash.as_bytes()));
            let looked = |f: &Finding| f.worker == worker && (f.update == digest || f.update == Digest([0; 32]));
            if !found.iter().any(looked) {
                let what = format!("{}: expected a finding on {}, found none", findings.display(), path.display());
                let signed = if self.recipe()?.score.validators.is_empty() { "" } else { " VALIDATOR" };
                return Err(Error::refused(what).hint(format!(
                    "`l402 replay {} {worker}{signed}` makes it; --without findings lets the update not count",
                    self.round
                )));
            }
        }
        Ok(())
    }

    /// The bytes of the round's model, and of the one that an adapter is of.
    fn model_bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        for folder in [self.run.theta(self.round), self.run.path("base")] {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                bytes += entry.metadata().path(&folder)?.len();
            }
        }
        Ok(bytes)
    }

    /// `aggregate N`: the next model.
    pub(super) fn aggregate(&mut self) -> Result<()> {
        let next = self.round.checked_add(1).ok_or_else(|| Error::usage(format!("{}: no round", self.round)))?;
        self.model();
        if !self.given.has("findings") && !self.given.has("scores") {
            let scores = self.run.of(self.round, "scores.jsonl");
            if !scores.is_file() {
                let what = format!("{}: no such file", scores.display());
                return Err(Error::missing(what).hint(format!("`l402 score {}` makes it", self.round)));
            }
            self.given.add("scores", scores);
        }
        if self.recipe()?.outer.momentum > 0.0 {
            if self.round > 0 {
                self.given.fill("state", self.run.of(self.round - 1, "outer.momentum"));
            }
            self.given.fill("state-out", self.run.of(self.round, "outer.momentum"));
        }
        self.given.fill("output", self.run.theta(next));
        if self.given.rest.is_empty() {
            self.given.rest = self.updates()?;
        }
        Ok(())
    }

    fn updates(&self) -> Result<Vec<std::ffi::OsString>> {
        let updates = self.run.ending(self.round, ".update")?;
        if updates.is_empty() {
            let what = format!("{}: no updates", self.run.of(self.round, "*.update").display());
            return Err(Error::missing(what).hint(format!("`l402 train {} WORKER` makes one", self.round)));
        }
        Ok(updates.into_iter().map(Into::into).collect())
    }

    /// A list of the round, put together from its parts. Leaving out what decides what counts is said aloud.
    fn list(&self, flag: &str, list: gather::List) -> Result<Option<std::path::PathBuf>> {
        let place = gather::gather(&self.run, self.round, list, &self.ui)?;
        if place.is_some() || self.given.has(flag) {
            return Ok(place);
        }
        let missing = format!("{}: no such file", self.run.of(self.round, list.file).display());
        // Where money hangs on it, what nobody has looked at does not count.
        if self.without(flag) && flag == "findings" && self.run.there(self.round, "offers.jsonl").is_some() {
            let empty = self.run.of(self.round, list.file);
            Target::new(Some(&empty), false).write_text("")?;
            self.ui.say(format!("{missing}: no update of a paid round counts without"));
            return Ok(Some(empty));
        }
        if self.without(flag) {
            self.ui.say(format!("{missing}: scored without {flag}"));
            return Ok(None);
        }
        Err(Error::refused(format!("{missing}: what counts depends on it"))
            .hint(format!("--without {flag} scores without")))
    }

    /// Commitments that nobody has opened let nothing count: then it was forgotten. One who alone does not open its own holds up
    /// nobody.
    fn some_are_open(&self, commitments: &Path) -> Result<()> {
        if self.without("reveals") {
            return Ok(());
        }
        let (lines, _) = record::read_lines_of_many(commitments, Room::any())?;
        let committed: Vec<Commitment> = record::select_well_formed(&lines);
        let open: Vec<Reveal> = record::select_well_formed(&lines);
        let (n, hidden) = (self.round, |c: &&Commitment| !open.iter().any(|reveal| reveal.worker == c.worker));
        let hidden: Vec<&str> = committed.iter().filter(hidden).map(|c| c.worker.as_str()).collect();
        match (&hidden[..], &open[..]) {
            ([first, ..], []) => Err(Error::try_again(format!(
                "{}: expected what opens the commitments, found none",
                commitments.display()
            ))
            .hint(format!("`l402 commit {n} {first} --reveal` opens one; --without reveals scores all the same"))),
            _ => {
                for who in hidden.iter().take(16) {
                    self.ui.say(format!("{who} has committed, and not opened it: what it sent does not count"));
                }
                Ok(())
            }
        }
    }
}

/// A path that nobody takes for a worker's id.
pub(super) fn named(path: std::path::PathBuf) -> std::path::PathBuf {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new(".").join(path),
        _ => path,
    }
}
