//! Many rounds of one world under one attack: who earned what for how many steps.

use std::collections::BTreeMap;

use l402::engine::philox;
use l402::model::{Plan, Workspace};
use l402::score::sequence_losses;

use super::attacks::{Honest, Unequal};
use super::round::{Attack, Chain, Done, Mode, play};
use super::stats::rank_correlation;
use super::world::{Setting, World};

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// By round, what each worker earned in msat, and the inner steps that it executed for it.
    pub rounds: Vec<BTreeMap<String, (u64, u32)>>,
    /// What the work on each shard earned, in msat.
    pub by_shard: BTreeMap<usize, u64>,
    /// The workers that are the attack.
    pub attackers: Vec<String>,
    /// Attackers' updates that did not count.
    pub found: u64,
    /// Honest updates that were sent.
    pub honest: u64,
    /// Of those, how many did not count.
    pub framed: u64,
    /// How often which reason refused the attackers.
    pub reasons: BTreeMap<String, u64>,
    /// How often which reason refused the honest.
    pub framings: BTreeMap<String, u64>,
    /// The model's loss on all held-out sequences at the end, in nats a token.
    pub loss: f64,
}

impl Ledger {
    /// What the attackers earned, all identities together, in msat.
    pub fn earned(&self) -> u64 {
        self.of_attackers().map(|(_, _, (msat, _))| msat).sum()
    }

    /// Inner steps that they executed.
    pub fn steps(&self) -> u64 {
        self.of_attackers().map(|(_, _, (_, steps))| u64::from(steps)).sum()
    }

    /// What each worker earned, by ascending id.
    pub fn earned_by_worker(&self) -> Vec<f64> {
        let mut pay: BTreeMap<&str, u64> = BTreeMap::new();
        for (worker, (msat, _)) in self.rounds.iter().flatten() {
            *pay.entry(worker).or_default() += msat;
        }
        pay.into_values().map(|msat| msat as f64).collect()
    }

    /// What the work on each shard earned, by its number.
    pub fn earned_by_shard(&self) -> Vec<f64> {
        self.by_shard.values().map(|msat| *msat as f64).collect()
    }

    /// What the steps that the attackers executed earned in an honest run of the same world, in msat: of each worker and
    /// round as many of its pay's parts as they executed of its steps. Of attackers that execute none, all that honest
    /// workers earned in their places.
    pub fn worth_of_steps(&self, honest: &Ledger) -> f64 {
        let idle = self.steps() == 0;
        let one = |(round, worker, (_, steps)): (usize, &String, (u64, u32))| {
            let (msat, all) = honest.rounds[round][worker];
            if idle { msat as f64 } else { msat as f64 * f64::from(steps) / f64::from(all) }
        };
        self.of_attackers().map(one).sum()
    }

    fn of_attackers(&self) -> impl Iterator<Item = (usize, &String, (u64, u32))> {
        let rounds = self.rounds.iter().enumerate();
        let all = rounds.flat_map(|(round, workers)| workers.iter().map(move |(worker, done)| (round, worker, *done)));
        all.filter(|(_, worker, _)| self.attackers.contains(worker))
    }

    /// Updates that the attackers were to send.
    pub fn attacked(&self) -> u64 {
        (self.rounds.len() * self.attackers.len()) as u64
    }
}

/// Which workers the attack is: drawn by the world's seed, so that no id is better than another.
pub fn attackers(world: &World, identities: usize) -> Vec<String> {
    let ids = world.ids();
    let drawn = philox::permutation(world.beacon("attackers", 0).philox_key(), ids.len());
    let mut picked: Vec<String> = drawn[..identities].iter().map(|&i| ids[i].clone()).collect();
    picked.sort();
    picked
}

/// Plays so many rounds.
pub fn run(world: &World, rounds: u64, mode: Mode, attack: &mut dyn Attack, done: &Done) -> Ledger {
    let attackers = attackers(world, attack.identities());
    let mut chain = Chain::start(world);
    let mut ledger = Ledger { attackers: attackers.clone(), ..Ledger::default() };
    for round in 0..rounds {
        let played = play(world, &mut chain, round, mode, &attackers, attack, done);
        let mut workers: BTreeMap<String, (u64, u32)> =
            played.steps.into_iter().map(|(worker, steps)| (worker, (0, steps))).collect();
        for score in &played.scores.scores {
            workers.entry(score.worker.clone()).or_default().0 += score.entitled_msat;
            *ledger.by_shard.entry(played.shards[&score.worker]).or_default() += score.entitled_msat;
        }
        ledger.rounds.push(workers);
        ledger.honest += (world.setting.workers - attackers.len()) as u64;
        for (worker, reason) in played.reasons {
            let (count, reasons) = match attackers.contains(&worker) {
                true => (&mut ledger.found, &mut ledger.reasons),
                false => (&mut ledger.framed, &mut ledger.framings),
            };
            *count += 1;
            *reasons.entry(reason).or_default() += 1;
        }
    }
    ledger.loss = loss(world, &chain.folder.parameters.to_vec().expect("in memory"));
    ledger
}

/// The mean loss on all held-out sequences, in nats a token.
pub fn loss(world: &World, parameters: &[f32]) -> f64 {
    let (shard, config) = (&world.held_out, &world.model.config);
    let all: Vec<usize> = (0..shard.sequences()).collect();
    let plan = Plan::evaluation(config, shard.seq_len(), all.len());
    let mut workspace = Workspace::new(&world.model.device, config, plan);
    let parameters = world.model.fix(parameters);
    let losses = sequence_losses(&world.model, &plan, &mut workspace, &parameters, shard, &all, || ());
    let total: i128 = losses.expect("finite losses").iter().sum();
    total as f64 / 4_294_967_296.0 / (all.len() * shard.seq_len()) as f64
}

/// The rank correlation of pay with what was brought, nobody attacking: where text is spoilt, of the work on each shard with
/// what is clean of it, else of each worker with its steps.
pub fn pay_correlation(mut setting: Setting, rounds: u64) -> f64 {
    let spoilt = setting.spoilt;
    if spoilt {
        // What earlier rounds on other shards have left would be sent too.
        setting.set("codec", "feedback", "0.0");
    }
    let world = World::new(setting);
    let count = world.setting.workers;
    let mut workers: Box<dyn Attack> =
        if spoilt { Box::new(Honest { identities: count }) } else { Box::new(Unequal { count }) };
    let ledger = run(&world, rounds, Mode::Off, &mut *workers, &Done::default());
    let pay = if spoilt { ledger.earned_by_shard() } else { ledger.earned_by_worker() };
    let brought: Vec<f64> = (0..count).map(|i| i as f64).collect();
    assert_eq!(pay.len(), count, "everybody is scored");
    rank_correlation(&pay, &brought)
}
