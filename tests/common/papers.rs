//! Run folders of records alone: signed and consistent, but nothing was trained and nothing was paid. For what only reads them.

use std::fs;
use std::path::PathBuf;

use l402::artifact::key::SigningKey;
use l402::artifact::record::{self, Record};
use l402::artifact::{ArtifactKind, Commitment, Digest, Header, Meta, Recipe, Reveal, TensorInfo, Writer, commit};
use l402::data::Assignment;
use l402::pay::{
    Case, Claimed, Closing, EscrowSecret, Evidence, Heights, Held, HeldRung, Instance, Ladder, Msat, NodeId, Offer,
    RecordHash, Verdict as Decided, decide, hash_of,
};
use l402::score::{RoundScore, Score, Signals, finding_digest};
use l402::verify::{Finding, Verdict};

use super::{CONFIG, FULL, World, recipe};

/// What a worker does in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Everything, in time.
    Honest,
    /// Other work than it says.
    Liar,
    /// Commits when the list is closed.
    Late,
    /// Never shows what it committed to.
    Hidden,
    /// Honest, and its gain is not above noise.
    Noise,
    /// Begins with other states than its last update left.
    Stale,
    /// Takes no part.
    Idle,
}

/// What a round pays at most.
pub const ROUND_MSAT: u64 = 60_000_000;

/// Held-out tokens of a round.
pub const TOKENS: u64 = 384;

/// The folder `run/` of a world.
pub struct Papers {
    pub world: World,
    pub recipe: Recipe,
    pub judge: SigningKey,
    workers: Vec<(String, SigningKey)>,
    /// By worker, the feedback and the moments that its last counting update left.
    states: std::collections::BTreeMap<String, (String, String)>,
}

fn digest(purpose: &str) -> Digest {
    Digest::of(purpose.as_bytes())
}

/// Losses and gains in nats as records have them.
pub fn q32(nats: f64) -> String {
    ((nats * TOKENS as f64 * (1u64 << 32) as f64) as i128).to_string()
}

impl Papers {
    /// A run of these workers in which nothing has happened.
    pub fn new(workers: &[&str]) -> Papers {
        let world = World::empty();
        let key = |who: &str| SigningKey::generate(&world.path(&format!("{who}.key"))).unwrap();
        let judge = key("coordinator");
        let workers: Vec<(String, SigningKey)> = workers.iter().map(|who| (who.to_string(), key(who))).collect();
        fs::create_dir_all(world.path("run/theta-0")).unwrap();
        let text = recipe(FULL, "").replace("sequences = 24", "sequences = 24\nz_milli = 2000");
        let text = text.replace("round_msat = 1000000", &format!("round_msat = {ROUND_MSAT}"));
        world.write("run/run.toml", text.as_bytes());
        let roster = workers.iter().map(|(who, key)| {
            format!("{{\"key\":\"{}\",\"type\":\"roster\",\"v\":1,\"worker\":\"{who}\"}}\n", key.public())
        });
        world.write("run/roster.jsonl", roster.collect::<String>().as_bytes());
        world.write("run/coordinator.pub", format!("{}\n", judge.public()).as_bytes());
        world.write("run/theta-0/config.json", CONFIG.as_bytes());
        let recipe = Recipe::parse(&text).unwrap();
        Papers { world, recipe, judge, workers, states: Default::default() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.world.path(&format!("run/{name}"))
    }

    /// Writes a list of a round.
    pub fn list<R: Record>(&self, round: u64, name: &str, records: &[R]) {
        let text: String = records.iter().map(|r| record::line(r).unwrap()).collect();
        self.text(round, &format!("{name}.jsonl"), &text);
    }

    /// Writes a file of a round.
    pub fn text(&self, round: u64, name: &str, text: &str) {
        fs::create_dir_all(self.path(&format!("round-{round}"))).unwrap();
        fs::write(self.path(&format!("round-{round}/{name}")), text).unwrap();
    }

    /// What is written in a file of a round.
    pub fn read(&self, round: u64, name: &str) -> String {
        fs::read_to_string(self.path(&format!("round-{round}/{name}"))).unwrap()
    }

    fn assignment(&self, round: u64, who: &str, key: &SigningKey) -> Assignment {
        let mut assignment = Assignment {
            run: self.recipe.digest(),
            round,
            worker: who.to_owned(),
            key: Some(key.public().to_string()),
            shard: "train-00000.safetensors".into(),
            shard_digest: digest("shard"),
            order: digest("order"),
            beacon: digest("beacon"),
            coordinator: Some(self.judge.public().to_string()),
            sig: None,
        };
        record::sign(&mut assignment, &self.judge).unwrap();
        assignment
    }

    pub fn assignments(&self, round: u64) -> Vec<Assignment> {
        self.workers.iter().map(|(who, key)| self.assignment(round, who, key)).collect()
    }

    /// The height at which a round is offered.
    pub fn offered_at(round: u64) -> u32 {
        100 + 20 * round as u32
    }

    pub fn offer(&self, round: u64, who: &str, key: &SigningKey) -> Offer {
        let at = Papers::offered_at(round);
        let offer = Offer {
            network: "regtest".into(),
            instance: Instance([5; 32]),
            run: self.recipe.digest(),
            round,
            worker: who.to_owned(),
            attempt: 0,
            payee: NodeId(key.public()),
            payer: NodeId(self.judge.public()),
            judge: NodeId(self.judge.public()),
            self_judged: true,
            assignment: digest("assignment"),
            theta: digest("theta"),
            state_in: "zero".into(),
            rungs_msat: Ladder::new(Msat(2 * ROUND_MSAT / self.workers.len() as u64), 4).unwrap().rungs().to_vec(),
            hashes: Vec::new(),
            heights: Heights {
                offered_at: at,
                lock_by: at + 18,
                commit_by: at + 162,
                reveal_by: at + 234,
                claim_by: at + 378,
            },
            sig: None,
        };
        let mut offer = offer.with_hashes(&EscrowSecret::parse(&"07".repeat(32)).unwrap()).unwrap();
        record::sign(&mut offer, &self.judge).unwrap();
        offer
    }

    pub fn held(&self, offer: &Offer, key: &SigningKey) -> Held {
        let rungs = offer.rungs_msat.iter().map(|msat| HeldRung {
            invoice: RecordHash([1; 32]),
            msat: *msat,
            cltv_expiry: offer.heights.offered_at + 3 + offer.heights.final_delta(),
        });
        let (task, height) = (offer.task().unwrap(), offer.heights.offered_at + 1);
        let mut held = Held { task, rungs: rungs.collect(), height, sig: None };
        record::sign(&mut held, key).unwrap();
        held
    }

    /// The update's file, which holds nothing, and its digest.
    fn update(&mut self, round: u64, who: &str, act: Act, assignment: &Assignment) -> (Digest, u64) {
        let zero = || ("zero".to_owned(), "zero".to_owned());
        let (mut feedback, moments) = self.states.get(who).cloned().unwrap_or_else(zero);
        if act == Act::Stale {
            feedback = digest("another").to_string();
        }
        let left = |kind: &str| digest(&format!("{who} {round} {kind}")).to_string();
        let mut meta = Meta::new(ArtifactKind::Update);
        meta.set("run", self.recipe.digest()).set("round", round).set("worker", who).set("theta", digest("theta"));
        meta.set("assignment", assignment.digest().unwrap()).set("shard", assignment.shard_digest);
        meta.set("feedback_in", &feedback).set("feedback_out", left("feedback"));
        meta.set("inner_in", &moments).set("inner_out", left("moments"));
        if act == Act::Honest {
            self.states.insert(who.to_owned(), (left("feedback"), left("moments")));
        }
        let header = Header::new(meta.0, vec![TensorInfo::bytes("w", 1000)]);
        let mut writer = Writer::new("update", Vec::new(), header).unwrap();
        writer.bytes("w", &[7; 1000]).unwrap();
        let (bytes, digest) = writer.finish().unwrap();
        fs::write(self.path(&format!("round-{round}/{who}.update")), &bytes).unwrap();
        (digest, bytes.len() as u64)
    }

    /// A whole round: what each does, in the order of the workers.
    pub fn play(&mut self, round: u64, acts: &[Act]) {
        let run = self.recipe.digest();
        let at = Papers::offered_at(round);
        let all: Vec<(String, Act)> =
            self.workers.iter().map(|(who, _)| who.clone()).zip(acts.iter().copied()).collect();
        let assignments = self.assignments(round);
        self.list(round, "assignments", &assignments);
        let offers: Vec<Offer> = self.workers.iter().map(|(who, key)| self.offer(round, who, key)).collect();
        self.list(round, "offers", &offers);
        let held: Vec<Held> = offers.iter().zip(&self.workers).map(|(o, (_, key))| self.held(o, key)).collect();
        self.list(round, "held", &held);
        let (mut commitments, mut late, mut reveals, mut findings, mut scores) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (i, (who, act)) in all.iter().enumerate().filter(|(_, (_, act))| *act != Act::Idle) {
            let (update, bytes) = self.update(round, who, *act, &assignments[i]);
            let nonce = digest(&format!("nonce {who} {round}"));
            let (mut commitment, reveal): (Commitment, Reveal) = commit(run, round, who, update, nonce);
            commitment.offer = Some(offers[i].id().unwrap().to_string());
            record::sign(&mut commitment, &self.workers[i].1).unwrap();
            let kept = if *act == Act::Late { &mut late } else { &mut commitments };
            kept.push(commitment);
            if *act != Act::Hidden {
                reveals.push(reveal);
            }
            let lies = [Act::Liar, Act::Stale].contains(act);
            let differs = if *act == Act::Stale { "error feedback at the start" } else { "tensor lm_head.weight" };
            let finding = Finding {
                run,
                round,
                worker: who.clone(),
                update,
                previous: None,
                state: None,
                finding: if lies { Verdict::Mismatch } else { Verdict::Exact },
                differs: lies.then(|| differs.to_owned()),
                expected: lies.then(|| "aa11".into()),
                found: lies.then(|| "bb22".into()),
                steps: 3,
                sample: None,
                near: None,
                validator: None,
                sig: None,
            };
            let reason = match act {
                Act::Honest | Act::Idle => None,
                Act::Liar | Act::Stale => Some(format!("replay differs: {differs}")),
                Act::Late => Some("no commitment".to_owned()),
                Act::Hidden => Some("its commitment was never opened".to_owned()),
                Act::Noise => Some("its gain is not above noise".to_owned()),
            };
            let measured = [Act::Honest, Act::Noise].contains(act);
            let gain = if *act == Act::Noise { 0.001 } else { 0.2 + 0.01 * i as f64 };
            let signals = Signals {
                norm_ppm: 1_020_000,
                residual_ppm: 850_000,
                agreement_ppm: Some("210000".into()),
                error_q32: Some(q32(0.01)),
                ..Signals::default()
            };
            scores.push(Score {
                run,
                round,
                worker: who.clone(),
                update,
                counts: reason.is_none(),
                finding: Some(finding_digest(&finding).unwrap()),
                state: None,
                after_q32: measured.then(|| q32(5.0 - gain)),
                gain_q32: measured.then(|| q32(gain)),
                worth_q32: None,
                worth_error_q32: None,
                signals: measured.then_some(signals),
                entitled_msat: if reason.is_none() { ROUND_MSAT / acts.len() as u64 } else { 0 },
                reason,
                bytes,
            });
            findings.push(finding);
        }
        let mut closing = Closing {
            run,
            round,
            attempt: 0,
            height: at + 5,
            commitments: commitments.iter().map(|c| hash_of(c).unwrap()).collect(),
            arrivals: None,
            block: None,
            judge: NodeId(self.judge.public()),
            sig: None,
        };
        closing.commitments.sort_unstable();
        record::sign(&mut closing, &self.judge).unwrap();
        self.list(round, "closing", &[closing.clone()]);
        commitments.extend(late);
        let lines: Vec<String> = commitments.iter().map(|c| record::line(c).unwrap()).collect();
        let shown: Vec<String> = reveals.iter().map(|r| record::line(r).unwrap()).collect();
        self.text(round, "commitments.jsonl", &(lines.concat() + &shown.concat()));
        self.list(round, "findings", &findings);
        let entitled: u64 = scores.iter().map(|s| s.entitled_msat).sum();
        let whole = RoundScore {
            run,
            round,
            theta: digest("theta"),
            held_out: digest("held out"),
            beacon: None,
            sequences: 24,
            tokens: TOKENS,
            needed_sequences: Some(12),
            own_sequences: None,
            standings: None,
            before_q32: q32(5.0 / (1.0 + round as f64 * 0.2)),
            workers: acts.len() as u64,
            round_msat: ROUND_MSAT,
            returned_msat: ROUND_MSAT - entitled,
        };
        let text: String = scores.iter().map(|s| record::line(s).unwrap()).collect();
        self.text(round, "scores.jsonl", &(text + &record::line(&whole).unwrap()));
        self.settle(round, &offers, &held, &closing, (&commitments, &reveals), &scores);
        fs::create_dir_all(self.path(&format!("theta-{}", round + 1))).unwrap();
        fs::write(self.path(&format!("theta-{}/model.safetensors", round + 1)), "x").unwrap();
    }

    /// Verdicts as a judge gives them, and what is claimed by them.
    fn settle(
        &self,
        round: u64,
        offers: &[Offer],
        held: &[Held],
        closing: &Closing,
        (commitments, reveals): (&[Commitment], &[Reveal]),
        scores: &[Score],
    ) {
        let (mut verdicts, mut claimed): (Vec<Decided>, Vec<Claimed>) = (Vec::new(), Vec::new());
        for ((offer, held), (who, key)) in offers.iter().zip(held).zip(&self.workers) {
            let score = scores.iter().find(|s| s.worker == *who).map(|s| Evidence {
                update: s.update,
                entitled: Msat(s.entitled_msat),
                reason: s.reason.clone(),
            });
            let case = Case {
                offer,
                held,
                closing: Some(closing),
                commitments,
                reveals,
                score: score.as_ref(),
                scores: digest("scores"),
                votes: None,
                findings: None,
                height: offer.heights.reveal_by + 1,
            };
            let mut verdict = decide(&case).unwrap();
            record::sign(&mut verdict, &self.judge).unwrap();
            if verdict.paid_msat > Msat::ZERO {
                let mut claim = Claimed {
                    task: offer.task().unwrap(),
                    verdict: hash_of(&verdict).unwrap(),
                    rungs: verdict.rungs.clone(),
                    claimed_msat: verdict.paid_msat,
                    height: verdict.height + 2,
                    sig: None,
                };
                record::sign(&mut claim, key).unwrap();
                claimed.push(claim);
            }
            verdicts.push(verdict);
        }
        self.list(round, "verdicts", &verdicts);
        self.list(round, "claimed", &claimed);
    }

    /// The keys, by worker.
    pub fn workers(&self) -> &[(String, SigningKey)] {
        &self.workers
    }
}
