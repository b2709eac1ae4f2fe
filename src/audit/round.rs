//! One round: from its assignments to the next model.

use super::arrivals::check_arrivals;
use super::assigned::check_assignments;
use super::beacons::{Blocks, check_beacon};
use super::chain::{Chain, Last};
use super::differs::Checked;
use super::evidence::Evidence;
use super::folder::RunFolder;
use super::given::{open, read_given};
use super::lists::{Names, check_parts, contradictions, read_lists};
use super::outer::check_outer_step;
use super::pay::check_paid;
use super::replays::{Depth, Replays, StateRoom, check_inputs, check_states};
use super::rescoring::Rescoring;
use super::start::{Start, check_keys};
use super::theta::open as open_theta;
use super::validated::Validated;
use crate::artifact::Digest;
use crate::artifact::beacon::Purpose;
use crate::device::Device;

/// How an audit goes about it.
pub struct Audit<'a> {
    /// The run folder.
    pub run: &'a RunFolder,
    /// What it stands on.
    pub start: &'a Start,
    /// How much training is done again.
    pub depth: Depth,
    /// The audit's own states.
    pub room: &'a dyn StateRoom,
    /// Memory for activations, in bytes.
    pub activations: u64,
    /// Where losses are measured and the training is done again.
    pub device: &'a Device,
    /// Where the auditor looks whether a chain has a block, if anywhere.
    pub blocks: Option<&'a Blocks<'a>>,
    /// Told of every inner step that is run again.
    pub step: &'a dyn Fn(&str, u32),
    /// Told what is odd, and no fault of the run's.
    pub say: &'a dyn Fn(String),
    /// Given what proves a lie that has changed nothing.
    pub prove: &'a dyn Fn(Evidence),
}

/// So many odd lines of a list are said; anybody can send more.
const SAID: usize = 20;

/// What was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Updates.
    pub updates: u64,
    /// Updates that count.
    pub counting: u64,
    /// What they are entitled to.
    pub entitled_msat: u64,
    /// What verdicts pay.
    pub paid_msat: u64,
    /// Inner steps that were run again.
    pub steps: u64,
    /// Rounds without findings: nobody says that their updates were replayed.
    pub without_findings: u64,
    /// Rounds whose findings nobody signed, though the recipe names validators: whoever wrote them down is believed.
    pub unsigned_findings: u64,
    /// Rounds without commitments: nobody says that their updates were not made after the others were shown.
    pub without_commitments: u64,
    /// Rounds with several commitments and without arrivals: nobody has signed in which order they came.
    #[serde(default)]
    pub without_arrivals: u64,
    /// Rounds of whose beacons at least one is not bound to a block: nobody says that it was not chosen.
    #[serde(default)]
    pub free_beacons: u64,
}

impl Totals {
    /// Together with another round's.
    pub fn add(&mut self, other: &Totals) {
        self.updates += other.updates;
        self.counting += other.counting;
        self.entitled_msat = self.entitled_msat.saturating_add(other.entitled_msat);
        self.paid_msat = self.paid_msat.saturating_add(other.paid_msat);
        self.steps += other.steps;
        self.without_findings += other.without_findings;
        self.unsigned_findings += other.unsigned_findings;
        self.without_commitments += other.without_commitments;
        self.without_arrivals += other.without_arrivals;
        self.free_beacons += other.free_beacons;
    }
}

/// Says what is odd, as far as anybody wants to read it.
fn say(audit: &Audit<'_>, what: &str, odd: &[String]) {
    odd.iter().take(SAID).for_each(|why| (audit.say)(format!("{what}{why}")));
    if odd.len() > SAID {
        (audit.say)(format!("{what}and {} more", odd.len() - SAID));
    }
}

/// Audits a round whose model was checked; `chain` is what the workers carry into it, and is taken on to the next. Returns what
/// was checked, and the digest of the next model's weights.
pub fn audit_round(audit: &Audit<'_>, round: u64, chain: &mut Chain) -> Checked<(Totals, Digest)> {
    let Audit { run, start, .. } = *audit;
    let names = Names::of(round);
    let (assignments, first) = check_assignments(run, start, round, audit.blocks)?;
    if round == 0 {
        check_keys(run, &start.roster)?;
    }
    let folder = open_theta(run, &start.recipe, round)?;
    let mut lists = read_lists(run, start, &assignments, &names)?;
    let second = check_beacon(run, start, round, Purpose::B, audit.blocks)?;
    lists.beacon = second.as_ref().map(|drawn| drawn.value);
    let mut unknown = Vec::new();
    let arrivals = check_arrivals(run, start, &names, &lists, &mut unknown)?;
    say(audit, "passed over: ", &unknown);
    if let Some(arrivals) = &arrivals {
        lists.in_time = lists.in_time.take().map(|in_time| arrivals.order(in_time)).transpose()?;
    }
    let given = read_given(run, start, &folder.layout, &names)?;
    let rescoring = Rescoring {
        run,
        start,
        round,
        folder: &folder,
        device: audit.device,
        assignments: &assignments,
        lists: &lists,
        given: &given,
        names: &names,
    };
    // Whatever else there is.
    contradictions(&lists, &names)?.into_iter().for_each(audit.prove);
    let validated = Validated::read(run, &start.recipe, &names)?;
    validated.twofold(start.id, round)?.into_iter().for_each(audit.prove);
    let mut odd = Vec::new();
    let again = rescoring.check(&mut odd)?;
    odd.into_iter().for_each(audit.say);
    say(audit, &format!("{}: passed over: ", names.commitments), &lists.odd);
    say(audit, &format!("{}: passed over: ", names.findings), &lists.believed.left_out);
    again.validated.odd(&again.scores)?.into_iter().for_each(|odd| (audit.say)(odd));
    say(audit, "passed over: ", &check_parts(run, &names)?);
    check_inputs(&rescoring, &again, chain)?;
    check_states(run, &rescoring, &again)?.into_iter().for_each(audit.say);
    let replays = Replays {
        round: &rescoring,
        depth: audit.depth,
        chain,
        room: audit.room,
        activations: audit.activations,
        device: audit.device,
        step: audit.step,
        say: audit.say,
    };
    let steps = replays.check(&again)?;
    let (paid, odd) = check_paid(&rescoring, &again, chain)?;
    say(audit, "", &odd);

    let counting: Vec<_> = again.counting().collect();
    let opened = |i: usize| open(run, start, &folder.layout, &counting[i].file, counting[i].content);
    let next = check_outer_step(run, start, audit.room, &folder, round, counting.len(), opened)?;
    let totals = Totals {
        updates: given.len() as u64,
        counting: counting.len() as u64,
        entitled_msat: again.scores.scores.iter().map(|s| s.entitled_msat).sum(),
        paid_msat: paid.0,
        steps,
        without_findings: lists.findings.is_none().into(),
        unsigned_findings: lists.believed.unsigned.into(),
        without_commitments: lists.commitments.is_none().into(),
        without_arrivals: (arrivals.is_none() && lists.commitments.as_ref().is_some_and(|all| all.len() > 1)).into(),
        free_beacons: [&first, &second].iter().any(|drawn| drawn.as_ref().is_none_or(|d| d.bound.is_none())).into(),
    };
    for given in counting {
        if let Ok((candidate, meta)) = &given.update {
            chain.insert(candidate.worker.clone(), Last::of(round, candidate.digest, meta));
        }
    }
    Ok((totals, next))
}
