//! The short forms of the escrow: `l402 invoice offer 3`, `l402 settle 3`, `l402 settle --claim 3 alice`.

use std::path::PathBuf;

use super::coordinator::named;
use super::counted::carried;
use super::form::Form;
use super::gather::{self, CLAIMED, COMMITMENTS, HELD, INVOICES, List};
use super::signer::{node, signer};
use crate::artifact::{Room, canonical};
use crate::data::Roster;
use crate::error::{Error, Result};
use crate::fsio::{Target, read_text_within};

impl Form {
    /// `invoice offer N`.
    pub(super) fn offer(&mut self) -> Result<()> {
        self.model();
        self.assignments()?;
        self.judge()?;
        let payer = self.key(self.run.payer())?;
        self.given.fill("payer", payer);
        self.workers()?;
        if !self.given.has("state-in") && self.recipe()?.carries_state() {
            for worker in self.roster()? {
                let carried = carried(&self.run, self.round, &worker)?;
                if let Some(update) = carried.as_ref().filter(|carried| carried.feedback.is_none()).map(|c| &c.update) {
                    let what = format!("{}: no such file", update.with_extension("feedback").display());
                    return Err(
                        Error::missing(what).hint(format!("{worker} goes on from it; --state-in names its digest"))
                    );
                }
                if let Some(feedback) = carried.and_then(|carried| carried.feedback) {
                    self.given.add(
                        "state-in",
                        [format!("{worker}=").as_ref(), feedback.as_os_str()]
                            .into_iter()
                            .collect::<std::ffi::OsString>(),
                    );
                }
            }
        }
        node(&self.run, self.run.judge(), &mut self.given)?;
        self.output("offers.jsonl");
        Ok(())
    }

    /// `invoice issue N ID`.
    pub(super) fn issue(&mut self) -> Result<()> {
        let worker = self.worker()?;
        self.given.rest = vec![self.run.of(self.round, "offers.jsonl").into()];
        self.judge()?;
        node(&self.run, &worker, &mut self.given)?;
        self.output_of("output", &worker, "invoices");
        Ok(())
    }

    /// `invoice lock N`.
    pub(super) fn lock(&mut self) -> Result<()> {
        let invoices = self.gathered(INVOICES, "invoice issue")?;
        if self.given.rest.is_empty() {
            self.given.rest.push(invoices.into());
        }
        self.given.fill("offers", self.run.of(self.round, "offers.jsonl"));
        self.judge()?;
        self.workers()?;
        node(&self.run, self.run.payer(), &mut self.given)
    }

    /// `invoice status N ID`, the worker's; `invoice status N`, the payer's.
    pub(super) fn status(&mut self) -> Result<()> {
        self.given.fill("round", self.round.to_string());
        if self.given.rest.is_empty() {
            gather::gather(&self.run, self.round, CLAIMED, &self.ui)?;
            let payer = self.run.payer();
            if payer != self.run.judge()
                && let Some(held) = gather::gather(&self.run, self.round, HELD, &self.ui)?
            {
                self.given.fill("held", held);
            }
            node(&self.run, payer, &mut self.given)?;
            if !self.given.has("output") {
                self.given.turn_on("json");
                self.output("rungs.jsonl");
                // What a payment has come to changes.
                self.given.turn_on("force");
            }
            return Ok(());
        }
        let worker = self.worker()?;
        node(&self.run, &worker, &mut self.given)?;
        if !self.given.has("json") {
            self.output_of("output", &worker, "held");
        }
        Ok(())
    }

    /// The commitments that were sent.
    fn sent(&self) -> Result<PathBuf> {
        match gather::gather(&self.run, self.round, COMMITMENTS, &self.ui)? {
            Some(commitments) => Ok(commitments),
            // Nobody has committed: whether that is a matter of waiting the verb says.
            None => {
                let empty = self.run.of(self.round, COMMITMENTS.file);
                Target::new(Some(&empty), false).write_text("")?;
                Ok(empty)
            }
        }
    }

    /// `commit --receive N`: of who closes the list.
    pub(super) fn receive(&mut self) -> Result<()> {
        let sent = self.sent()?;
        self.given.remove("receive");
        self.given.add("receive", sent);
        self.given.fill("round", self.round.to_string());
        self.given.fill("assignments", self.run.of(self.round, "assignments.jsonl"));
        self.given.fill("receipts", self.run.of(self.round, ""));
        signer(&self.run, self.run.judge(), &mut self.given, false)?;
        self.output("arrivals.jsonl");
        Ok(())
    }

    /// `commit --close N`: the judge's.
    pub(super) fn close(&mut self) -> Result<()> {
        let commitments = self.sent()?;
        self.given.remove("close");
        if let Some(arrivals) = self.run.there(self.round, "arrivals.jsonl") {
            self.given.fill("arrivals", arrivals);
        }
        self.given.add("close", commitments);
        self.given.fill("round", self.round.to_string());
        node(&self.run, self.run.judge(), &mut self.given)?;
        self.output("closing.jsonl");
        Ok(())
    }

    /// `settle N`: the judge's.
    pub(super) fn settle(&mut self) -> Result<()> {
        let round = self.round;
        self.given.fill("scores", self.run.of(round, "scores.jsonl"));
        if let Some(findings) = self.run.there(round, "findings.jsonl") {
            self.given.fill("findings", findings);
        }
        self.given.fill("offers", self.run.of(round, "offers.jsonl"));
        let held = self.gathered(HELD, "invoice status")?;
        self.given.fill("held", held);
        if !self.given.has("commitments") {
            let commitments = self.gathered(COMMITMENTS, "commit")?;
            self.given.add("commitments", commitments);
            if let Some(closing) = self.run.there(round, "closing.jsonl") {
                self.given.add("commitments", closing);
            }
        }
        let judge = self.run.judge();
        self.given.fill("reveal", self.run.private(judge)?.join("reveal"));
        node(&self.run, judge, &mut self.given)?;
        if !self.given.has("output") {
            self.output("verdicts.jsonl");
            // Verdicts stay, and those on who was late come to them.
            self.given.turn_on("force");
        }
        Ok(())
    }

    /// `settle --claim N ID`: the worker's, with the file that the judge sent, in the worker's own folder.
    pub(super) fn claim(&mut self) -> Result<()> {
        let worker = self.worker()?;
        let (private, judge) = (self.run.private(&worker)?, self.run.private(self.run.judge())?);
        // On a machine of both it lies where the judge has put it.
        let found = [private.clone(), judge.join("reveal")].into_iter().find_map(|folder| {
            let attempts = std::fs::read_dir(&folder).ok()?.flatten().filter_map(|entry| {
                let name = entry.file_name();
                let rest = name.to_str()?.strip_prefix(&format!("{worker}.{}.", self.round))?;
                canonical::integer::<u64>(rest.strip_suffix(".reveal")?)
            });
            let last = attempts.max()?;
            Some(folder.join(format!("{worker}.{}.{last}.reveal", self.round)))
        });
        let found = found.ok_or_else(|| {
            let expected = private.join(format!("{worker}.{}.0.reveal", self.round));
            Error::missing(format!("{}: no such file: the judge sends it", expected.display()))
        })?;
        self.given.remove("claim");
        self.given.add("claim", found);
        node(&self.run, &worker, &mut self.given)?;
        self.output_of("output", &worker, "claimed");
        Ok(())
    }

    fn workers(&mut self) -> Result<()> {
        if !self.given.has("worker") {
            self.given.fill("workers", named(self.run.path("roster.jsonl")));
        }
        Ok(())
    }

    fn roster(&self) -> Result<Vec<String>> {
        let path = self.run.path("roster.jsonl");
        let roster = Roster::parse(&path.display().to_string(), &read_text_within(&path, Room::any().bytes)?)?;
        Ok(roster.members().iter().map(|member| member.worker.clone()).collect())
    }

    /// A list that the verb cannot do without; `verb` makes its parts.
    fn gathered(&self, list: List, verb: &str) -> Result<PathBuf> {
        gather::gather(&self.run, self.round, list, &self.ui)?.ok_or_else(|| {
            let what = format!("{}: no such file", self.run.of(self.round, list.file).display());
            Error::missing(what).hint(format!("`l402 {verb} {} WORKER` makes each worker's part of it", self.round))
        })
    }
}
