//! Training itself again: which updates, from which states, and what the recorded findings say.

use std::io::Write;

use super::chain::{Chain, Last};
use super::differs::{Checked, Stop, blame, differs, same, with_evidence};
use super::evidence::{Evidence, value};
use super::folder::RunFolder;
use super::given::{Given, open};
use super::rescoring::{Rescored, Rescoring};
use super::settled;
use crate::artifact::recipe::{Accept, InnerState};
use crate::artifact::{Digest, Reader, TensorInfo, record};
use crate::codec::{Feedback, Update};
use crate::data::{Assignment, Shard};
use crate::device::Device;
use crate::error::{Context, Error, Result};
use crate::fsio::Source;
use crate::model::{Layout, Model, Plan};
use crate::optimizer::{Moments, StepReport};
use crate::score::{Acceptance, Candidate};
use crate::verify::{
    Finding, Leaves, Nearness, ReplayInput, Segments, States, StatesOut, Verdict, contradict, replay_into, replay_near,
};

/// What findings call the states that a worker begins with.
const STATE: &str = "state (";

/// How much of the training an audit does again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// None: recorded findings are taken as they are.
    Recorded,
    /// So many updates a round, drawn by its second beacon.
    Sample(u64),
    /// Every update, from the states that the audit itself has arrived at.
    All,
}

/// A state file in the making; dropped without being kept it leaves nothing.
pub trait StateFile: Write {
    /// Puts it in its place, complete.
    fn keep(self: Box<Self>) -> Result<()>;
}

/// Where the audit's own states are.
pub trait StateRoom {
    /// Begins a state file.
    fn create(&self, name: &str) -> Result<Box<dyn StateFile>>;
    /// Opens one that was kept.
    fn open(&self, name: &str) -> Result<Source>;
}

/// The name of a state file in a [`StateRoom`].
pub fn state_name(worker: &str, round: u64, kind: &str) -> String {
    format!("{worker}.{round}.{kind}")
}

/// Replays of a round.
pub struct Replays<'a> {
    /// The round.
    pub round: &'a Rescoring<'a>,
    /// How many.
    pub depth: Depth,
    /// What the workers carry on.
    pub chain: &'a Chain,
    /// The audit's own states.
    pub room: &'a dyn StateRoom,
    /// Memory for activations, in bytes.
    pub activations: u64,
    /// Where the training is done again.
    pub device: &'a Device,
    /// Told of every inner step.
    pub step: &'a dyn Fn(&str, u32),
    /// Told what is odd, and no fault of the run's.
    pub say: &'a dyn Fn(String),
}

impl Replays<'_> {
    /// Replays what the depth asks for and compares findings; returns how many steps were run.
    pub fn check(&self, again: &Rescored<'_>) -> Checked<u64> {
        let drawn = self.drawn(again)?;
        if drawn.is_empty() && self.depth != Depth::All {
            return Ok(0);
        }
        let folder = self.round.folder;
        let model = folder.model_of(&self.round.start.recipe, self.device.clone())?;
        let (mut steps, mut counting, mut findings, mut stop) = (0, 0, Vec::new(), None);
        for (assignment, given) in drawn {
            let Ok((candidate, _)) = &given.update else { continue };
            let counts = candidate.worker == assignment.worker && again.counts(candidate);
            counting += u64::from(counts);
            if !counts && !self.carries_states() && self.withheld(&assignment.worker) {
                let who = &assignment.worker;
                (self.say)(format!("{}: not replayed: the state that {who} begins with is not there", given.file));
                continue;
            }
            let finding = self.replay(&model, assignment, given, counts)?;
            steps += finding.steps;
            if let Some(why) = self.excused(assignment, candidate, &finding) {
                (self.say)(format!("{}: equal, and not found to be: {why}", given.file));
                continue;
            }
            if stop.is_none() {
                stop = self.compare(given, candidate, &finding, again).err();
            }
            findings.push(finding);
            // One false finding changes everybody's pay: the true scores need all of them.
            if stop.is_some() && self.depth != Depth::All {
                break;
            }
        }
        let all = again.counting().count() as u64;
        match stop {
            None if self.depth == Depth::All && counting != all => {
                differs(&self.round.names.scores, "updates that count and were replayed", all, counting)
            }
            None => Ok(steps),
            Some(stop) => Err(self.with_true_scores(stop, findings)?),
        }
    }

    /// Adds the verdicts that rest on findings which a replay does not arrive at.
    fn with_true_scores(&self, stop: Stop, found: Vec<Finding>) -> Checked<Stop> {
        let mut findings = self.round.lists.findings.clone().unwrap_or_default();
        // What says the same stays as it is: scores name it by its digest.
        let found: Vec<Finding> = found.into_iter().filter(|new| !findings.iter().any(|old| old.agrees(new))).collect();
        findings.retain(|old| !found.iter().any(|new| (&new.worker, new.update) == (&old.worker, old.update)));
        findings.extend(found);
        let again = self.round.scores(Some(findings), self.round.beacon())?;
        Ok(with_evidence(
            stop,
            settled::false_verdicts(self.round, &again, "the findings are what a replay arrives at")?,
        ))
    }

    /// Whose updates are replayed.
    fn drawn<'g>(&'g self, again: &Rescored<'_>) -> Checked<Vec<(&'g Assignment, &'g Given)>> {
        let given = |a: &'g Assignment| {
            self.round.given.iter().find(|g| g.worker == a.worker && g.update.is_ok()).map(|g| (a, g))
        };
        let mut all: Vec<_> = self.round.assignments.iter().filter_map(given).collect();
        match self.depth {
            Depth::Recorded => all.clear(),
            Depth::All => {}
            Depth::Sample(count) => {
                let beacon = again.scores.round.beacon;
                let beacon = beacon.ok_or_else(|| Error::usage("--replay K: the scores name no beacon to draw by"))?;
                let round = self.round.round.to_le_bytes();
                all.sort_by_cached_key(|(a, _)| {
                    let parts: [&[u8]; 4] = [&self.round.start.id.0, &round, &beacon.0, a.worker.as_bytes()];
                    Digest::of_parts("l402/audit/replay/1", &parts)
                });
                all.truncate(usize::try_from(count).unwrap_or(usize::MAX));
                all.sort_by(|a, b| a.0.worker.cmp(&b.0.worker));
            }
        }
        Ok(all)
    }

    fn replay(&self, model: &Model, assignment: &Assignment, given: &Given, counts: bool) -> Checked<Finding> {
        let Rescoring { run, start, round, folder, .. } = *self.round;
        let recipe = &start.recipe;
        let file = format!("shards/{}", assignment.shard);
        let shard = blame(&file, Shard::open(run.source(&file)?))?;
        blame(&file, shard.check_recipe(recipe).and_then(|()| shard.check_vocabulary(folder.config.vocab_size)))?;
        let update = open(run, start, &folder.layout, &given.file, given.content)?;
        let states = self.states(assignment, &folder.layout)?;
        let plan = Plan::of_at(self.device.pace(), recipe, &folder.config, None, self.activations);
        let input = ReplayInput { recipe, folder, model, plan, assignment, shard: &shard };
        let mut sinks: Option<[Box<dyn StateFile>; 2]> = None;
        if self.depth == Depth::All && counts {
            let make = |kind| self.room.create(&state_name(&assignment.worker, round, kind));
            sinks = Some([make("moments")?, make("feedback")?]);
        }
        let (mut none, mut nothing) = (std::io::sink(), std::io::sink());
        let out = match &mut sinks {
            Some([moments, feedback]) => StatesOut { moments, feedback },
            None => StatesOut { moments: &mut none, feedback: &mut nothing },
        };
        let step = |report: &StepReport| (self.step)(&assignment.worker, report.step);
        let finding = match self.tolerated(&assignment.worker, given) {
            Some(near) => replay_near(&input, states, &update, near.tolerance_ppm, step),
            None => replay_into(&input, states, &update, out, step),
        };
        let finding = finding.at(format!("replay of {}", given.file))?;
        if let (Some([moments, feedback]), Verdict::Exact) = (sinks, finding.finding) {
            if recipe.inner.state == InnerState::Carry {
                moments.keep()?;
            }
            feedback.keep()?;
        }
        Ok(finding)
    }

    /// What the recorded finding tolerated, where the recipe lets near ones count.
    fn tolerated(&self, worker: &str, given: &Given) -> Option<&Nearness> {
        let near = self.round.start.recipe.verify.accept == Accept::Near;
        let (candidate, _) = given.update.as_ref().ok().filter(|_| near)?;
        self.round.finding_of(worker, candidate)?.near.as_ref()
    }

    /// Whether the audit has the workers' states of its own.
    fn carries_states(&self) -> bool {
        self.depth == Depth::All && self.round.start.recipe.verify.accept != Accept::Near
    }

    /// Whether a worker's states of the round that it goes on from are not all in the folder: those that are there were
    /// looked at with their round.
    fn withheld(&self, worker: &str) -> bool {
        let carries = self.round.start.recipe.inner.state == InnerState::Carry;
        let kinds = ["feedback", "moments"].into_iter().take(1 + usize::from(carries));
        let gone = |last: &Last, kind: &str| !self.round.run.has(&format!("round-{}/{worker}.{kind}", last.round));
        self.chain.get(worker).is_some_and(|last| kinds.clone().any(|kind| gone(last, kind)))
    }

    /// Why nobody has found the work equal that is, where the worker keeps the state to itself that it began with: who replays
    /// without it finds nothing, or a mismatch of states, and no lie.
    fn excused(&self, assignment: &Assignment, candidate: &Candidate, finding: &Finding) -> Option<String> {
        let worker = &assignment.worker;
        if self.round.lists.findings.is_none() || finding.finding != Verdict::Exact || !self.withheld(worker) {
            return None;
        }
        let own = Candidate { worker: worker.clone(), ..candidate.clone() };
        let found = match self.round.finding_of(worker, &own) {
            None => "nobody replayed it",
            Some(recorded) => recorded.differs.as_deref().filter(|what| what.starts_with(STATE))?,
        };
        Some(format!("{found}: the state that {worker} begins with is not there"))
    }

    /// The states that a worker must begin with: the audit's own, or the run folder's where not everything is replayed,
    /// and where foreign engines may have made them.
    fn states(&self, assignment: &Assignment, layout: &Layout) -> Checked<States> {
        let Some(last) = self.chain.get(&assignment.worker) else { return Ok(States::default()) };
        let (run, recipe) = (self.round.run, &self.round.start.recipe);
        let worker = &assignment.worker;
        let before = format!("round-{}/{worker}", last.round);
        let file = format!("{before}.update");
        let previous = Reader::open_within(run.source(&file)?, layout.header_room());
        let previous = previous.and_then(|reader| Update::open_for(recipe, reader, layout.shapes()));
        let previous = blame(&file, previous)?;
        same(&file, "digest", last.update, previous.digest())?;
        let source = |kind: &str| -> Checked<Source> {
            match self.carries_states() {
                true => Ok(self.room.open(&state_name(worker, last.round, kind))?),
                false => run.source(&format!("{before}.{kind}")),
            }
        };
        let mut states = States { previous: Some(previous), ..States::default() };
        if recipe.inner.state == InnerState::Carry {
            let name = format!("{before}.moments");
            let (_, moments, digest) = blame(&name, Moments::read(source("moments")?, layout))?;
            same(&name, "digest", last.inner.clone().unwrap_or_default(), digest.to_string())?;
            states.moments = Some((moments, digest));
        }
        let name = format!("{before}.feedback");
        let digest = blame(&name, feedback_digest(source("feedback")?, layout))?;
        same(&name, "digest", last.feedback.clone(), digest.to_string())?;
        let again = Reader::open_within(source("feedback")?, layout.header_room());
        let again = again.and_then(|reader| Feedback::open(digest, reader));
        states.feedback = Some(blame(&name, again)?);
        Ok(states)
    }

    /// What a signed finding proves that a replay contradicts.
    fn proof(&self, signed: &Finding, found: &Finding) -> Checked<Option<Evidence>> {
        let Some(validator) = signed.validator.clone().filter(|_| contradict(signed, found)) else { return Ok(None) };
        Ok(Some(Evidence {
            run: signed.run,
            round: signed.round,
            worker: validator,
            artifact: self.round.names.findings.clone(),
            rule: "the findings are what a replay arrives at".into(),
            signed: value(signed)?,
            recomputed: Some(value(found)?),
            against: None,
        }))
    }

    /// Every finding on an update against what its replay has arrived at: the one that decides, and those that would.
    fn compare(&self, given: &Given, candidate: &Candidate, finding: &Finding, again: &Rescored<'_>) -> Checked<()> {
        let list = &self.round.names.findings;
        let candidate = Candidate { worker: finding.worker.clone(), ..candidate.clone() };
        let counts = again.counts(&candidate);
        let exact = finding.finding == Verdict::Exact;
        let unequal = || finding.differs.clone().unwrap_or_default();
        if self.round.lists.findings.is_none() {
            return match exact || !counts {
                true => Ok(()),
                false => {
                    differs(&given.file, "a replay of what counts", "equality", format!("a mismatch: {}", unequal()))
                }
            };
        }
        let what = format!("finding of {}", finding.worker);
        let expected = record::line(finding)?;
        let Some(deciding) = self.round.finding_of(&finding.worker, &candidate) else {
            return differs(list, what, expected.trim_end(), "none");
        };
        // Which of several decides is no secret: each that says everything or nothing is equal must be what a replay says.
        for own in self.round.findings_on(&finding.worker, &candidate).filter(|own| !own.agrees(finding)) {
            let strong = match own.finding {
                Verdict::Exact => true,
                // What was drawn was not equal: a whole replay finds the same in other words.
                Verdict::Mismatch => own.sample.is_none() || finding.finding != Verdict::Mismatch,
                Verdict::Sampled | Verdict::Near => false,
            };
            if strong {
                let found = record::line(own)?;
                let stop = differs(list, what, expected.trim_end(), found.trim_end());
                return stop.map_err(|stop| match self.proof(own, finding) {
                    Ok(proof) => with_evidence(stop, proof),
                    Err(failed) => failed,
                });
            }
        }
        // What was drawn was equal, or all of it near: that is true, whatever a whole replay arrives at. But it must not cost
        // exact work its pay, nor pay for what is not equal.
        let weak = matches!(deciding.finding, Verdict::Sampled | Verdict::Near) && !deciding.agrees(finding);
        let beacon = again.scores.round.beacon.as_ref();
        let rule = Acceptance { recipe: &self.round.start.recipe, layout: &self.round.folder.layout, beacon };
        let denied = rule.refuses(deciding);
        match denied {
            Some(why) if exact && again.reason(&candidate) == Some(why.as_str()) => {
                let what = format!("{what}: it does not count ({why})");
                let found = record::line(deciding)?;
                differs(list, what, expected.trim_end(), found.trim_end())
            }
            _ if weak && deciding.finding == Verdict::Near && finding.finding == Verdict::Near => {
                let found = record::line(deciding)?;
                differs(list, what, expected.trim_end(), found.trim_end())
            }
            _ if weak && !exact && counts => {
                differs(&given.file, "a whole replay, where the finding is a weaker one", "equality", unequal())
            }
            _ => Ok(()),
        }
    }
}

/// What a replay would find before its first step: an update that counts and was recorded as exact begins where the
/// worker's last one ended, and names the inputs that were assigned.
pub fn check_inputs(round: &Rescoring<'_>, again: &Rescored<'_>, chain: &Chain) -> Checked<()> {
    if round.lists.findings.is_none() {
        return Ok(());
    }
    for given in again.counting() {
        let Ok((candidate, meta)) = &given.update else { continue };
        let Some(assignment) = round.assignments.iter().find(|a| a.worker == candidate.worker) else { continue };
        let last = chain.get(&candidate.worker);
        let zero = || "zero".to_owned();
        let mut expected = vec![
            ("model", "theta", round.folder.digest.to_string()),
            ("assignment", "assignment", assignment.digest()?.to_string()),
            ("shard", "shard", assignment.shard_digest.to_string()),
            ("state (error feedback)", "feedback_in", last.map_or_else(zero, |l| l.feedback.clone())),
        ];
        if round.start.recipe.inner.state == InnerState::Carry {
            let inner = last.map_or_else(zero, |l| l.inner.clone().unwrap_or_default());
            expected.push(("state (inner optimiser)", "inner_in", inner));
        }
        let previous = round.finding_of(&candidate.worker, candidate).and_then(|f| f.previous);
        for (what, key, expected) in expected {
            let found = meta.opt(key).unwrap_or("none");
            if found != expected {
                let what = format!("finding of {}: exact, though the update's {what} is another", candidate.worker);
                return differs(&round.names.findings, what, expected, found);
            }
        }
        if previous != last.map(|l| l.update) {
            let show = |digest: Option<Digest>| digest.map_or("none".into(), |d| d.to_string());
            let what = format!("finding of {}: previous", candidate.worker);
            return differs(&round.names.findings, what, show(last.map(|l| l.update)), show(previous));
        }
    }
    Ok(())
}

/// The state files that lie beside the updates: those of updates that count are what these say. Returns what was odd
/// about the others.
pub fn check_states(run: &RunFolder, round: &Rescoring<'_>, again: &Rescored<'_>) -> Checked<Vec<String>> {
    let mut odd = Vec::new();
    for given in round.given {
        let Ok((candidate, meta)) = &given.update else { continue };
        let counts = candidate.worker == given.worker && again.counts(candidate);
        let last = Last::of(round.round, candidate.digest, meta);
        let base = given.file.strip_suffix(".update").unwrap_or(&given.file);
        let leaves = meta.opt("leaves").map(str::to_owned);
        // What a replay arrives at is for who publishes it to compare; leaves are the worker's word on how it worked.
        let said = [("feedback", Some(&last.feedback)), ("moments", last.inner.as_ref()), ("leaves", leaves.as_ref())];
        for (kind, said) in said {
            let file = format!("{base}.{kind}");
            if !run.has(&file) {
                continue;
            }
            match check_state(round, &file, kind, said) {
                Err(Stop::Differs(difference, _)) if !counts => {
                    odd.push(format!("of an update that does not count: {difference}"));
                }
                Err(Stop::Differs(difference, _)) if kind == "leaves" => {
                    odd.push(format!("the worker's own: {difference}"));
                }
                other => other?,
            }
        }
    }
    Ok(odd)
}

fn check_state(round: &Rescoring<'_>, file: &str, kind: &str, said: Option<&String>) -> Checked<()> {
    let (run, layout) = (round.run, &round.folder.layout);
    let found = match kind {
        "feedback" => blame(file, feedback_digest(run.source(file)?, layout))?,
        "leaves" => {
            let room = Segments::of(&round.start.recipe).leaves_room();
            let (context, all) = blame(file, Leaves::parse(&run.lines_within(file, room)?))?;
            same(file, "its lines", context.to_text(&all)?, run.text_within(file, room.bytes)?)?;
            blame(file, context.tree(&all))?.root()
        }
        _ => blame(file, Moments::read(run.source(file)?, layout))?.2,
    };
    same(file, "digest, as the update has it", said.cloned().unwrap_or_else(|| "none".into()), found.to_string())
}

/// The digest of an error feedback of this layout; names of tensors are no part of the digest.
fn feedback_digest(source: Source, layout: &Layout) -> Result<Digest> {
    let reader = Reader::open_within(source, layout.header_room())?;
    let expected: Vec<TensorInfo> = layout.tensors.iter().map(|t| TensorInfo::f32(&t.name, &t.shape)).collect();
    let found = &reader.header().tensors;
    match expected.iter().zip(found).find(|(expected, found)| expected != found) {
        _ if expected.len() != found.len() => {
            Err(Error::data(format!("expected {} tensors, found {}", expected.len(), found.len())))
        }
        Some((expected, found)) => {
            Err(Error::data(format!("tensor {}: expected tensor {}", found.name, expected.name)))
        }
        None => Feedback::digest_of(reader),
    }
}
