//! What a report is about: values read from a run folder, nothing drawn yet.

use serde::Serialize;

/// A run, as far as its files tell.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// The run's id in hex.
    pub run: String,
    /// Its name.
    pub name: String,
    /// What a loss is of: `byte` or `token`.
    pub unit: String,
    /// Tokens that a worker trains on in a round.
    pub tokens_a_worker: u64,
    /// Inner steps a round.
    pub steps: u64,
    /// Parameters that are trained, where the first model is there.
    pub parameters: Option<u64>,
    /// By round.
    pub rounds: Vec<Round>,
    /// By worker, ascending.
    pub workers: Vec<Worker>,
    /// What did not count, by worker and reason.
    pub caught: Vec<Caught>,
    /// What the logs say, by worker.
    pub logs: Vec<Log>,
    /// Every worker in every round.
    #[serde(skip)]
    pub works: Vec<Work>,
    /// Lines and files that nobody can use.
    pub malformed: u64,
    /// What is to be said about the files.
    pub notes: Vec<String>,
    /// Whether the signatures of what workers send were looked at.
    pub signed: bool,
}

/// A round. Sums are of the round alone.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Round {
    /// Its number.
    pub round: u64,
    /// The loss of the model that it begins with, in nats a byte or token.
    pub loss: Option<f64>,
    /// Who had a task.
    pub assigned: u64,
    /// Updates that were scored.
    pub updates: u64,
    /// Those that count.
    pub counting: u64,
    /// Exact findings.
    pub exact: u64,
    /// Mismatches.
    pub mismatches: u64,
    /// Tokens trained on, by the updates that were scored.
    pub tokens: u64,
    /// Bytes of those updates.
    pub bytes: u64,
    /// What the scores entitle to.
    pub entitled_msat: u64,
    /// What was held for all.
    pub locked_msat: u64,
    /// What the verdicts pay.
    pub paid_msat: u64,
    /// What was claimed.
    pub claimed_msat: u64,
    /// The offers' heights: the earliest of each.
    pub heights: Option<Heights>,
    /// Where the judge closed the list.
    pub closed_at: Option<u32>,
    /// Where the last verdict was given.
    pub judged_at: Option<u32>,
    /// Where the first and the last claim was confirmed.
    pub claimed_at: Option<(u32, u32)>,
}

/// By when what must be done.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Heights {
    /// The offer was made.
    pub offered_at: u32,
    /// All is held.
    pub lock_by: u32,
    /// All is committed to.
    pub commit_by: u32,
    /// The verdict is out.
    pub reveal_by: u32,
    /// What was earned is claimed.
    pub claim_by: u32,
}

/// A worker over all rounds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Worker {
    /// Its name, as the files have it, cut to 64 characters.
    pub worker: String,
    /// Rounds in which it had a task.
    pub assigned: u64,
    /// Its updates that were scored.
    pub updates: u64,
    /// Those that count.
    pub counting: u64,
    /// Exact findings.
    pub exact: u64,
    /// Mismatches.
    pub mismatches: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Its gains together, in nats a byte or token.
    pub gain: f64,
    /// What the scores entitle it to.
    pub entitled_msat: u64,
    /// What was locked for it.
    pub locked_msat: u64,
    /// What the verdicts pay.
    pub paid_msat: u64,
    /// What it claimed.
    pub claimed_msat: u64,
}

/// What became of a worker's round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its update counts and is paid.
    Paid,
    /// It counts; nothing was paid, or nobody says so yet.
    Counted,
    /// A replay found something else, or was not made.
    Replay,
    /// A signal or its noise.
    Signal,
    /// The lists: late, not opened, not signed, another assignment.
    Lists,
    /// It sent nothing.
    Absent,
    /// The round is not scored.
    Open,
}

impl Outcome {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Outcome::Paid => "paid",
            Outcome::Counted => "counts, nothing paid",
            Outcome::Replay => "refused by replay",
            Outcome::Signal => "refused by a signal",
            Outcome::Lists => "late, hidden or not its own",
            Outcome::Absent => "sent nothing",
            Outcome::Open => "not scored yet",
        }
    }
}

/// A worker in a round.
#[derive(Clone, Debug)]
pub struct Work {
    /// The round.
    pub round: u64,
    /// The worker's place in [`Figures::workers`].
    pub worker: usize,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it does not count.
    pub reason: Option<String>,
    /// What a replay found.
    pub finding: Option<&'static str>,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its gain, in nats a byte or token.
    pub gain: Option<f64>,
    /// By the scores.
    pub entitled_msat: u64,
    /// What was locked.
    pub locked_msat: u64,
    /// What the verdict pays.
    pub paid_msat: u64,
    /// What was claimed.
    pub claimed_msat: u64,
}

/// A reason for which a worker's updates did not count.
#[derive(Clone, Debug, Serialize)]
pub struct Caught {
    /// The worker.
    pub worker: String,
    /// By what.
    pub by: Outcome,
    /// The reason.
    pub reason: String,
    /// In how many rounds.
    pub rounds: u64,
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// What was locked for it and went back.
    pub returned_msat: u64,
}

/// A worker's training, thinned.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Log {
    /// The worker.
    pub worker: String,
    /// Its steps, ascending.
    pub steps: Vec<Step>,
    /// How many there were.
    pub seen: u64,
    /// Tokens in all of them.
    pub tokens: u64,
    /// Seconds in all of them.
    pub seconds: f64,
    /// The most memory that was said.
    pub memory_bytes: u64,
}

/// A step of training.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Step {
    /// Counted over all rounds.
    pub at: u64,
    /// The round.
    pub round: u64,
    /// The loss, in nats a token.
    pub loss: f64,
    /// Tokens a second.
    pub speed: Option<f64>,
}

impl Figures {
    /// Bytes of all updates as dense float32 would have them; none where nobody knows how large the model is.
    pub fn dense(&self, updates: u64) -> Option<u64> {
        self.parameters.map(|parameters| parameters.saturating_mul(4).saturating_mul(updates))
    }

    /// A sum over all rounds.
    pub fn sum(&self, of: impl Fn(&Round) -> u64) -> u64 {
        self.rounds.iter().map(of).fold(0, u64::saturating_add)
    }

    /// Rounds whose first model was measured, with its loss and what had gone into it by `of`.
    pub fn losses(&self, of: impl Fn(&Round) -> u64) -> Vec<(f64, f64)> {
        let mut before = 0u64;
        let mut points = Vec::new();
        for round in &self.rounds {
            points.extend(round.loss.map(|loss| (before as f64, loss)));
            before = before.saturating_add(of(round));
        }
        points
    }
}
