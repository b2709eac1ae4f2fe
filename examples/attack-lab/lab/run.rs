//! Many rounds of one world under one attack: who earned what for how many steps.

use std::collections::BTreeMap;

use l402::engine::philox;
use l402::model::{Plan, Workspace};
use l402::score::sequence_losses;

use super::round::{Attack, Chain, Done, Mode, play};
use super::world::World;

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// The attackers' msat, all identities together.
    pub attackers_msat: u64,
    /// Inner steps that they executed.
    pub attackers_steps: u64,
    /// The honest workers' msat.
    pub honest_msat: u64,
    /// Their inner steps.
    pub honest_steps: u64,
    /// Identities of the attack, times rounds.
    pub attacked: u64,
    /// Of those, how many did not count.
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
    /// What a step earned, as a part of what an honest one did; of an attacker that executed none, of what an honest worker's
    /// work of all rounds did, for each identity.
    pub fn ratio(&self) -> f64 {
        let honest = self.honest_msat as f64 / self.honest_steps as f64;
        let steps = if self.attackers_steps > 0 {
            self.attackers_steps as f64
        } else {
            self.attacked as f64 * self.honest_steps as f64 / self.honest as f64
        };
        if self.honest_msat == 0 { f64::NAN } else { self.attackers_msat as f64 / steps / honest }
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
    let mut ledger = Ledger::default();
    for round in 0..rounds {
        let played = play(world, &mut chain, round, mode, &attackers, attack, done);
        for score in &played.scores.scores {
            let msat = score.entitled_msat;
            if attackers.contains(&score.worker) { ledger.attackers_msat += msat } else { ledger.honest_msat += msat }
        }
        for (worker, steps) in &played.steps {
            let steps = u64::from(*steps);
            if attackers.contains(worker) { ledger.attackers_steps += steps } else { ledger.honest_steps += steps }
        }
        ledger.attacked += attackers.len() as u64;
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
    ledger.loss = loss(world, &chain.folder.parameters);
    ledger
}

/// The mean loss on all held-out sequences, in nats a token.
pub fn loss(world: &World, parameters: &[f32]) -> f64 {
    let (shard, config) = (&world.held_out, &world.model.config);
    let all: Vec<usize> = (0..shard.sequences()).collect();
    let plan = Plan::evaluation(config, shard.seq_len(), all.len());
    let mut workspace = Workspace::new(config, plan);
    let losses = sequence_losses(&world.model, &plan, &mut workspace, parameters, shard, &all, || ());
    let total: i128 = losses.expect("finite losses").iter().sum();
    total as f64 / 4_294_967_296.0 / (all.len() * shard.seq_len()) as f64
}
