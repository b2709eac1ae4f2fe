//! The short forms of a worker's own verbs, and of the replay of its work: `l402 train 3 alice`.

use std::path::Path;

use super::counted::carried;
use super::form::Form;
use super::gather::{self, HELD};
use super::run::is_regular;
use super::signer::signer;
use crate::artifact::recipe::InnerState;
use crate::artifact::{Commitment, Room, record};
use crate::command::args::worker_id;
use crate::data::Assignment;
use crate::error::{Context, Error, Result};
use crate::pay::{Closing, NodeId, hash_of};

impl Form {
    /// Recipe, model, round and worker, and the signed assignments.
    fn task(&mut self) -> Result<String> {
        let worker = self.worker()?;
        self.model();
        self.given.fill("worker", worker.clone());
        self.assignments()?;
        Ok(worker)
    }

    /// The worker's shard, as its assignment says.
    fn shard(&mut self, worker: &str) -> Result<()> {
        if self.given.has("shard") {
            return Ok(());
        }
        let path = self.run.of(self.round, "assignments.jsonl");
        let assignments: Vec<Assignment> = record::read(&path)?;
        let found = Assignment::find(&assignments, self.round, worker).at(path.display());
        let shard = &found
            .map_err(|error| {
                let all: Vec<&str> = assignments.iter().take(20).map(|one| one.worker.as_str()).collect();
                error.hint(format!("assigned are {}", all.join(", ")))
            })?
            .shard;
        let shard = self.run.path("shards").join(shard);
        self.given.add("shard", shard);
        Ok(())
    }

    /// The states that the worker's last update that counted has left; whether there is one.
    fn states(&mut self, worker: &str, moments: bool, feedback: bool) -> Result<bool> {
        let recipe = self.recipe()?;
        if self.given.has("state") || !recipe.carries_state() {
            return Ok(false);
        }
        let moments = moments && recipe.inner.state == InnerState::Carry;
        let Some(carried) = carried(&self.run, self.round, worker)? else { return Ok(false) };
        for (wanted, state, kind) in [(moments, carried.moments, "moments"), (feedback, carried.feedback, "feedback")] {
            match state {
                _ if !wanted => {}
                Some(path) => self.given.add("state", path),
                None => {
                    let path = carried.update.with_extension(kind);
                    let what =
                        format!("{}: no such file: {worker} goes on from it in round {}", path.display(), self.round);
                    return Err(Error::missing(what).hint("whoever made the update has it"));
                }
            }
        }
        Ok(true)
    }

    /// Says which states are not there that an update left: it may count, and nobody can replay what goes on from it.
    pub(super) fn says_what_it_left(&self, update: &Path) -> Result<()> {
        let recipe = self.recipe()?;
        let carries = [("moments", recipe.inner.state == InnerState::Carry), ("feedback", recipe.codec.feedback > 0.0)];
        for (kind, _) in carries.into_iter().filter(|(_, carries)| *carries) {
            let state = update.with_extension(kind);
            if is_regular(update) && !is_regular(&state) {
                self.ui.say(format!(
                    "{}: no such file: the update may count, but nobody can replay what its worker makes next from it (66)",
                    state.display()
                ));
            }
        }
        Ok(())
    }

    /// `train N ID`: the update, with its states and leaves; where the round is paid, not before the pay is locked.
    pub(super) fn train(&mut self) -> Result<()> {
        let worker = self.task()?;
        self.shard(&worker)?;
        let delta = self.given.has("output");
        self.states(&worker, true, !delta)?;
        let carries = self.recipe()?.inner.state == InnerState::Carry;
        if carries {
            self.output_of("state-out", &worker, "moments");
        }
        self.output_of("leaves", &worker, "leaves");
        if !delta {
            self.output_of("update", &worker, "update");
            self.output_of("feedback", &worker, "feedback");
        }
        let Some(offers) = self.run.there(self.round, "offers.jsonl").filter(|_| !self.without("held")) else {
            if self.recipe()?.pay.round_msat > 0 {
                self.ui.say(format!("round {}: the recipe pays, and this work is without a held record", self.round));
            }
            return Ok(());
        };
        let held = match self.run.there(self.round, &format!("{worker}.held")) {
            Some(held) => Some(held),
            None => gather::gather(&self.run, self.round, HELD, &self.ui)?,
        };
        let held = held.ok_or_else(|| {
            let what = format!("{}: the round is paid, and nothing says that the pay is locked", offers.display());
            Error::refused(what).hint(format!(
                "`l402 invoice status {} {worker}` says whether it is; --without held works without pay",
                self.round
            ))
        })?;
        self.judge()?;
        self.given.fill("offers", offers);
        self.given.fill("held", held);
        Ok(())
    }

    /// `compress N ID`: a delta that comes in becomes the worker's update.
    pub(super) fn compress(&mut self) -> Result<()> {
        let worker = self.worker()?;
        self.given.fill("recipe", self.run.recipe());
        if !self.given.has("decompress") {
            self.states(&worker, false, true)?;
            self.output_of("state-out", &worker, "feedback");
            self.output_of("output", &worker, "update");
        }
        Ok(())
    }

    /// `commit N ID`, and with `--reveal` what opens it.
    pub(super) fn commit(&mut self) -> Result<()> {
        let worker = self.worker()?;
        if self.given.rest.is_empty() {
            self.given.rest.push(self.run.of(self.round, &format!("{worker}.update")).into());
        }
        self.given.fill("worker", worker.clone());
        self.given.fill("round", self.round.to_string());
        signer(&self.run, &worker, &mut self.given, true)?;
        let reveal = self.given.has("reveal");
        if let Some(offers) = self.run.there(self.round, "offers.jsonl") {
            if reveal && !self.without("closing") && !self.is_listed(&worker)? {
                let what = self.run.of(self.round, "closing.jsonl");
                return Err(Error::try_again(format!(
                    "{}: no closing of the judge with {worker}'s commitment in it: the list of commitments is not closed",
                    what.display()
                ))
                .hint("what is shown before can be copied; --without closing shows it all the same"));
            }
            self.given.fill("offers", offers);
        }
        if let Some(arrivals) = self.run.there(self.round, "arrivals.jsonl").filter(|_| !reveal) {
            self.given.fill("arrivals", arrivals);
        }
        self.output_of("output", &worker, if reveal { "reveal" } else { "commitment" });
        Ok(())
    }

    /// Whether the judge has closed the round's list with the worker's own commitment in it: what anybody else calls a closing is
    /// none.
    fn is_listed(&self, worker: &str) -> Result<bool> {
        let own = self.run.there(self.round, &format!("{worker}.commitment"));
        let (Some(closing), Some(own)) = (self.run.there(self.round, "closing.jsonl"), own) else { return Ok(false) };
        let judge: NodeId = self.key(self.run.judge())?.parse()?;
        let (lines, _) = record::read_lines_of_many(&closing, Room::any())?;
        let closings: Vec<Closing> = record::select_well_formed(&lines);
        let commitments: Vec<Commitment> = record::select(&record::read_lines(&own)?)?;
        let hashes = commitments.iter().map(hash_of).collect::<Result<Vec<_>>>()?;
        let closed = |c: &Closing| c.round == self.round && c.verify(&judge).is_ok();
        Ok(closings.iter().filter(|c| closed(c)).any(|c| hashes.iter().any(|hash| c.contains(hash))))
    }

    /// `open N ID`: what the second beacon draws of the worker's work.
    pub(super) fn open(&mut self) -> Result<()> {
        let worker = self.task()?;
        self.shard(&worker)?;
        self.states(&worker, true, true)?;
        self.output_of("feedback", &worker, "feedback");
        self.openings_kept(&worker)?;
        self.drawn_by_beacon()?;
        self.output_of("output", &worker, "openings");
        Ok(())
    }

    /// Where the worker keeps leaves and states of a round.
    fn openings_kept(&mut self, worker: &str) -> Result<()> {
        let folder = self.run.private(worker)?.join(format!("openings-{}", self.round));
        self.given.fill("openings", folder);
        Ok(())
    }

    /// The second beacon draws what is looked at, where not all of it is.
    fn drawn_by_beacon(&mut self) -> Result<()> {
        if !self.given.has("segments") && !self.given.has("catch") {
            let segments = self.recipe()?.verify.segments.to_string();
            self.given.add("segments", segments);
        }
        self.beacon("beacon-b")
    }

    /// `replay N ID`, or `replay N --all`: the worker's update again, from the states that the scores before say it began with.
    pub(super) fn replay(&mut self) -> Result<()> {
        if self.given.has("all") {
            self.model();
            self.given.fill("shards", self.run.path("shards"));
            return self.assignments();
        }
        let worker = self.task()?;
        if !self.given.rest.is_empty() {
            let validator = self.given.rest.remove(0).to_string_lossy().into_owned();
            worker_id(&validator).map_err(|expected| Error::usage(format!("{validator}: {expected}")))?;
            signer(&self.run, &validator, &mut self.given, false)?;
        }
        self.given.fill("shards", self.run.path("shards"));
        let update = self.run.of(self.round, &format!("{worker}.update"));
        self.says_what_it_left(&update)?;
        self.given.fill("update", update);
        let sampled = self.given.has("segments") || self.given.has("catch");
        let recipe = self.recipe()?;
        if self.round > 0 && recipe.carries_state() && !self.given.has("previous") && !self.given.has("from-zero") {
            match carried(&self.run, self.round, &worker)? {
                Some(carried) => self.given.add("previous", carried.update),
                None => self.given.turn_on("from-zero"),
            }
        }
        if !sampled {
            self.states(&worker, true, true)?;
        }
        if sampled {
            self.drawn_by_beacon()?;
            let shown = self.run.of(self.round, &format!("{worker}.openings"));
            if shown.is_dir() {
                self.given.fill("openings", shown);
            }
        }
        if !self.given.has("trace") && !self.given.has("against") {
            self.output_of("output", &worker, "finding");
        }
        Ok(())
    }
}
