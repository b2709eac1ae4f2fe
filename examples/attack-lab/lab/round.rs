//! A round as it is played: who sends what and when, what replays find, what is scored, paid and made of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use l402::artifact::{Digest, commit};
use l402::codec::Update;
use l402::data::{Assignment, Draw, Roster};
use l402::engine::Engine;
use l402::model::ModelFolder;
use l402::score::{Candidate, Eligibility, Next, Scores, Scoring, Standing, Step, in_order, next_model, score_round};
use l402::verify::{Audit, ChunkIndex, Finding, Sample, Segments, Verdict};

use super::work::{Made, Place};
use super::world::World;

/// How updates are replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Not at all.
    Off,
    /// Drawn segments and codec chunks.
    Sampled,
    /// Everything.
    Full,
}

impl Mode {
    /// All of them.
    pub const ALL: [Mode; 3] = [Mode::Off, Mode::Sampled, Mode::Full];
}

/// An update on its way.
#[derive(Clone)]
pub struct Sent {
    /// Under whose name.
    pub worker: String,
    /// What.
    pub made: Made,
    /// Inner steps that were executed for it, by anybody who shares in its pay.
    pub steps: u32,
    /// Whether it was committed to before the list was closed.
    pub in_time: bool,
    /// Which of the assigned inner steps were done as assigned: what a sampled replay can be shown.
    pub done: Vec<bool>,
    /// Whether it is what the codec makes of them.
    pub coded: bool,
}

impl Sent {
    /// Something that no assigned step led to.
    pub fn made_up(worker: &str, made: Made, steps: u32) -> Sent {
        Sent { worker: worker.into(), made, steps, in_time: true, done: Vec::new(), coded: false }
    }

    /// The whole assigned work.
    pub fn worked(place: &Place<'_>, made: Made) -> Sent {
        let steps = place.world.recipe.inner.steps;
        let worker = place.assignment.worker.clone();
        Sent { worker, made, steps, in_time: true, done: vec![true; steps as usize], coded: true }
    }
}

/// What an attacker sees when it decides what to send.
pub struct Scene<'a> {
    /// The honest workers' updates of this round, by ascending id.
    pub honest: &'a [Sent],
    /// Its own places, by ascending id.
    pub places: &'a [Place<'a>],
    /// Honest work that was done before.
    pub done: &'a Done,
    /// For its draws.
    pub key: [u32; 2],
}

/// Somebody who would earn without contributing.
pub trait Attack {
    /// Its name.
    fn name(&self) -> &'static str;
    /// As how many workers it takes part.
    fn identities(&self) -> usize {
        1
    }
    /// What it sends.
    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent>;
}

/// Honest work that was done before, by everything that decides it: worlds are compared under several attacks and modes.
#[derive(Default)]
pub struct Done(RefCell<HashMap<Task, Made>>);

/// The model, the assignment, and the error feedback that the work began with.
type Task = (Digest, Digest, Option<Digest>);

impl Done {
    /// The assigned work, all of it.
    pub fn honest(&self, place: &Place<'_>) -> Made {
        let assignment = place.assignment.digest().expect("a record");
        let key = (place.folder.digest, assignment, place.feedback.map(Digest::of));
        if let Some(made) = self.0.borrow().get(&key) {
            return made.clone();
        }
        let made = place.honest();
        self.0.borrow_mut().insert(key, made.clone());
        made
    }
}

/// What goes from round to round.
pub struct Chain {
    /// The model.
    pub folder: ModelFolder,
    /// The feedback of each worker's last update that counted.
    pub feedback: BTreeMap<String, Vec<u8>>,
    /// Standings.
    pub standings: Vec<Standing>,
    /// The updates that they name.
    pub earlier: Vec<Arc<Update>>,
}

impl Chain {
    /// At the start of a run.
    pub fn start(world: &World) -> Chain {
        Chain {
            folder: world.folder(world.theta_0.clone()),
            feedback: BTreeMap::new(),
            standings: Vec::new(),
            earlier: Vec::new(),
        }
    }
}

/// A round that was played.
pub struct Played {
    /// Its scores.
    pub scores: Scores,
    /// Steps that were executed, by worker.
    pub steps: BTreeMap<String, u32>,
    /// Why updates did not count, by worker.
    pub reasons: BTreeMap<String, String>,
    /// The number of the shard that each worker was assigned.
    pub shards: BTreeMap<String, usize>,
}

/// Plays one round, and takes the chain on.
pub fn play(
    world: &World,
    chain: &mut Chain,
    round: u64,
    mode: Mode,
    attackers: &[String],
    attack: &mut dyn Attack,
    done: &Done,
) -> Played {
    let roster = Roster::parse_list(&world.ids().join(",")).expect("a roster");
    let draw = Draw { run: world.recipe.digest(), round, beacon: world.beacon("first", round) };
    let assignments = draw.assign(&world.manifest, &roster).expect("assignments");
    let folder = &chain.folder;
    let place = |assignment| {
        let feedback = chain.feedback.get(&Assignment::clone(assignment).worker).map(Vec::as_slice);
        Place { world, folder, assignment, feedback }
    };
    let (bad, good): (Vec<&Assignment>, Vec<&Assignment>) =
        assignments.iter().partition(|a| attackers.contains(&a.worker));
    let honest: Vec<Sent> = good.iter().map(|a| Sent::worked(&place(a), done.honest(&place(a)))).collect();
    let places: Vec<Place<'_>> = bad.iter().map(|a| place(a)).collect();
    let key = world.beacon("attack", round).philox_key();
    let sent = attack.play(&Scene { honest: &honest, places: &places, done, key });
    // The honest commit first: nobody can copy what was not sent yet.
    let all: Vec<Sent> = honest.into_iter().chain(sent).collect();

    let run = world.recipe.digest();
    let beacon = world.beacon("second", round);
    let opened = |sent: &Sent| commit(run, round, &sent.worker, sent.made.update.digest(), Digest::of(b"nonce"));
    let (commitments, reveals) = all.iter().filter(|sent| sent.in_time).map(opened).unzip();
    let findings = |sent: &Sent| {
        let assignment = assignments.iter().find(|a| a.worker == sent.worker).expect("it has its place");
        find(&place(assignment), sent, mode, &beacon, done)
    };
    let lists = Eligibility {
        assignments: Some(assignments.clone()),
        commitments: Some((commitments, reveals)),
        findings: (mode != Mode::Off).then(|| all.iter().map(findings).collect()),
    };
    let given: Vec<Arc<Update>> = all.iter().map(|sent| sent.made.update.clone()).collect();
    let given = in_order(given, |update| (update.worker(), update.digest()), |_, _| ());
    let candidates: Vec<Candidate> = given.iter().map(|update| Candidate::of(update)).collect();
    let shards = |assignment: &Assignment| Ok(world.shard(&assignment.shard_digest));
    let input = Scoring {
        recipe: &world.recipe,
        round,
        folder,
        device: &Engine::detect().into(),
        held_out: &world.held_out,
        beacon: Some(beacon),
        lists: &lists,
        shards: Some(&shards),
        standings: &chain.standings,
        earlier: &chain.earlier.iter().map(|update| &**update).collect::<Vec<_>>(),
    };
    let scores = score_round(&input, &candidates, |i| Ok(&*given[i]), &mut |_| {}).expect("it scores");
    let counting: Vec<&Arc<Update>> =
        given.iter().zip(&scores.scores).filter(|(_, score)| score.counts).map(|(update, _)| update).collect();
    let step = Step { recipe: &world.recipe, folder, round, momentum: None };
    let next = next_model(step, counting.len(), |i| Ok(&**counting[i]), || ());
    let Next { parameters, .. } = next.expect("an outer step");
    let counted: Vec<String> = counting.iter().map(|update| update.worker().to_owned()).collect();
    chain.folder = world.folder(parameters);
    chain.standings = scores.standings.clone();
    let named = |update: &Arc<Update>| {
        chain.standings.iter().flat_map(|s| &s.counted).any(|counted| counted.update == update.digest())
    };
    chain.earlier = chain.earlier.iter().chain(counting.iter().copied()).filter(|u| named(u)).cloned().collect();
    for sent in &all {
        if counted.contains(&sent.worker) {
            chain.feedback.insert(sent.worker.clone(), sent.made.feedback.clone());
        }
    }
    let mut steps = BTreeMap::new();
    all.iter().for_each(|sent| *steps.entry(sent.worker.clone()).or_insert(0) += sent.steps);
    let reason = |s: &l402::score::Score| Some((s.worker.clone(), s.reason.clone()?));
    let number = |a: &Assignment| world.shards.iter().position(|s| s.digest() == a.shard_digest).expect("it is there");
    let shards = assignments.iter().map(|a| (a.worker.clone(), number(a))).collect();
    Played { shards, reasons: scores.scores.iter().filter_map(reason).collect(), scores, steps }
}

/// The finding of a replay: the whole work again, or what the beacon draws of it.
fn find(place: &Place<'_>, sent: &Sent, mode: Mode, beacon: &Digest, done: &Done) -> Finding {
    let World { recipe, model, .. } = place.world;
    let (run, segments) = (recipe.digest(), Segments::of(recipe));
    let mut finding = Finding {
        run,
        round: place.assignment.round,
        worker: sent.worker.clone(),
        update: sent.made.update.digest(),
        previous: None,
        state: None,
        finding: Verdict::Exact,
        differs: None,
        expected: None,
        found: None,
        steps: u64::from(recipe.inner.steps),
        sample: None,
        near: None,
        validator: None,
        sig: None,
    };
    let equal = match mode {
        Mode::Off | Mode::Full => done.honest(place).update.digest() == sent.made.update.digest(),
        Mode::Sampled => {
            let audit = Audit { run: &run, round: place.assignment.round, worker: &sent.worker, beacon };
            let drawn = audit.segments(recipe.verify.segments.min(segments.count()), segments.count());
            let chunks = ChunkIndex::new(&model.layout).total as u64;
            let as_assigned = |segment: &u32| {
                segments.range(*segment).all(|step| sent.done.get(step as usize).copied().unwrap_or(false))
            };
            let equal = sent.coded && drawn.iter().all(as_assigned);
            finding.finding = Verdict::Sampled;
            finding.sample = Some(Sample {
                beacon: *beacon,
                segments: drawn,
                of_segments: segments.count(),
                // A model of this size has fewer than a sample takes.
                chunks,
                of_chunks: chunks,
                opened_bytes: 0,
                missed_ppm: Vec::new(),
                missed_chunks_ppm: Vec::new(),
            });
            equal
        }
    };
    if !equal {
        finding.finding = Verdict::Mismatch;
        finding.differs = Some("the work".into());
    }
    finding
}
