//! What attackers earn beside honest workers, see `recipes/attack-lab.sh`:
//!
//! ```text
//! attack-lab [table | signals | unequal | robust] [seeds=N] [rounds=N] [attacks=NAME,...] [rules=NAME,...] [open]
//!            [workers=N] [steps=N] [batch=N] [before=N] [lr=X] [TABLE.FIELD=VALUE]...
//! ```
//!
//! `table` prints what each attacker earned, by mode of replay, as tab-separated lines: attack, mode, its part of what
//! honest workers earn for the same steps (of what they earn in its place where it executes none), half of its 95 %
//! interval, steps, updates that did not count, updates, honest updates that did not count, honest updates, the model's
//! loss beside that of the honest run, and why updates did not count. `signals` prints quantiles of what the updates of
//! honest workers show, `unequal` the rank correlation of pay with known contributions, `robust` the model's loss with two
//! attackers of seven beside the honest run's by the same rule, and with `open` no gates but the rule.

mod lab;

use std::collections::BTreeMap;

use lab::attacks::{self, Flipper, Honest, Idler, Inflater, Little, Several};
use lab::round::{Attack, Chain, Done, Mode, play};
use lab::run::{Ledger, attackers, pay_correlation, run};
use lab::stats::{quantile, ratio};
use lab::world::{Setting, World};

/// What is asked for on the command line.
struct Asked {
    what: fn(&Asked),
    seeds: u64,
    rounds: u64,
    open: bool,
    /// Rules of aggregation, with commas between.
    rules: String,
    attacks: Vec<String>,
    setting: Setting,
}

/// What it can be asked.
const WORDS: &str = "table, signals, unequal, robust, open, seeds=N, rounds=N, attacks=NAME,..., rules=NAME,..., workers=N, \
                     steps=N, batch=N, before=N, lr=X or TABLE.FIELD=VALUE";

fn asked() -> Result<Asked, String> {
    let mut asked = Asked {
        what: table,
        seeds: 20,
        rounds: 3,
        open: false,
        rules: "mean,median_norm,trimmed_mean,krum,centered_clip".into(),
        attacks: Vec::new(),
        setting: Setting::default(),
    };
    for word in std::env::args().skip(1) {
        let (key, value) = word.split_once('=').unwrap_or((&word, ""));
        let number = || value.parse::<u64>().map_err(|_| format!("{word}: expected a number"));
        match key {
            "table" => asked.what = table,
            "signals" => asked.what = signals,
            "unequal" => asked.what = unequal,
            "robust" => asked.what = robust,
            "seeds" => asked.seeds = number()?,
            "rounds" => asked.rounds = number()?,
            "rules" => asked.rules = value.into(),
            "open" => asked.open = true,
            "workers" => asked.setting.workers = number()? as usize,
            "steps" => asked.setting.steps = number()? as u32,
            "batch" => asked.setting.batch = number()? as usize,
            "before" => asked.setting.before = number()? as u32,
            "lr" => asked.setting.lr = value.parse().map_err(|_| format!("{word}: expected a number"))?,
            "attacks" => asked.attacks = value.split(',').map(str::to_owned).collect(),
            _ => match key.split_once('.') {
                Some((table, field)) => asked.setting.set(table, field, value),
                None => return Err(format!("{word}: expected {WORDS}")),
            },
        }
    }
    let names: Vec<&str> = attacks::all().iter().map(|attack| attack.name()).collect();
    if let Some(unknown) = asked.attacks.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(format!("attacks={unknown}: expected some of {}", names.join(",")));
    }
    if asked.seeds < 2 || asked.rounds == 0 {
        return Err("expected two seeds and one round at least".into());
    }
    Ok(asked)
}

fn main() {
    let asked = asked().unwrap_or_else(|error| {
        eprintln!("attack-lab: {error}");
        std::process::exit(2)
    });
    // Operators this small are not worth a second thread.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("the first pool");
    (asked.what)(&asked)
}

fn worlds(asked: &Asked) -> impl Iterator<Item = World> {
    (1..=asked.seeds).map(|seed| World::new(Setting { seed, ..asked.setting.clone() }))
}

fn table(asked: &Asked) {
    let mut found: BTreeMap<(usize, Mode), Vec<(Ledger, Ledger)>> = BTreeMap::new();
    for world in worlds(asked) {
        let done = Done::default();
        let mut controls: BTreeMap<usize, Ledger> = BTreeMap::new();
        for mode in Mode::ALL {
            for (i, mut attack) in attacks::all().into_iter().enumerate() {
                if !asked.attacks.is_empty() && !asked.attacks.iter().any(|name| name == attack.name()) {
                    continue;
                }
                let identities = attack.identities();
                let control = controls
                    .entry(identities)
                    .or_insert_with(|| run(&world, asked.rounds, Mode::Off, &mut Honest { identities }, &done));
                let ledger = run(&world, asked.rounds, mode, &mut *attack, &done);
                found.entry((i, mode)).or_default().push((ledger, control.clone()));
            }
        }
        eprintln!("seed {} is done", world.setting.seed);
    }
    println!("attack\tmode\tratio\thalf\tsteps\trefused\tupdates\tframed\thonest\tloss\treasons");
    let names: Vec<&str> = attacks::all().iter().map(|attack| attack.name()).collect();
    for ((i, mode), runs) in found {
        let pairs: Vec<(f64, f64)> =
            runs.iter().map(|(ledger, honest)| (ledger.earned() as f64, ledger.worth_of_steps(honest))).collect();
        let earned = ratio(&pairs);
        let losses: Vec<(f64, f64)> = runs.iter().map(|(ledger, honest)| (ledger.loss, honest.loss)).collect();
        let sum = |of: fn(&Ledger) -> u64| runs.iter().map(|(ledger, _)| of(ledger)).sum::<u64>();
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for (reason, count) in runs.iter().flat_map(|(ledger, _)| &ledger.reasons) {
            *reasons.entry(reason).or_default() += count;
        }
        let reasons: Vec<String> = reasons.iter().map(|(reason, count)| format!("{reason} ({count})")).collect();
        println!(
            "{}\t{mode:?}\t{:.3}\t{:.3}\t{}\t{}\t{}\t{}\t{}\t{:.4}\t{}",
            names[i],
            earned.mean,
            earned.half,
            sum(Ledger::steps),
            sum(|l| l.found),
            sum(Ledger::attacked),
            sum(|l| l.framed),
            sum(|l| l.honest),
            ratio(&losses).mean,
            reasons.join(", ")
        );
    }
}

/// What honest updates show, over all seeds and rounds.
fn signals(asked: &Asked) {
    let mut found: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let (mut updates, mut refused) = (0u64, BTreeMap::new());
    for world in worlds(asked) {
        let done = Done::default();
        let mut chain = Chain::start(&world);
        let names = attackers(&world, 1);
        for round in 0..asked.rounds {
            let played = play(&world, &mut chain, round, Mode::Off, &names, &mut Honest { identities: 1 }, &done);
            updates += played.scores.scores.len() as u64;
            for reason in played.reasons.into_values() {
                *refused.entry(reason).or_insert(0u64) += 1;
            }
            let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<f64>().ok());
            let mut gains: Vec<f64> = played.scores.scores.iter().filter_map(|s| number(&s.gain_q32)).collect();
            let median = quantile(&mut gains, 0.5);
            for score in &played.scores.scores {
                let signals = score.signals.as_ref().expect("it was measured");
                let mut note = |name, value: Option<f64>| found.entry(name).or_default().extend(value);
                note("norm, of the median", Some(signals.norm_ppm as f64 / 1e6));
                note("overlap with an earlier one", Some(signals.overlap_ppm as f64 / 1e6));
                note("cosine with an earlier one", Some(signals.cosine_ppm as f64 / 1e6));
                note("residual on the earlier ones", Some(signals.residual_ppm as f64 / 1e6));
                note("cosine with most others", number(&signals.agreement_ppm).map(|ppm| ppm / 1e6));
                let (gain, error) = (number(&score.gain_q32), number(&signals.error_q32));
                note("gain, standard errors", gain.zip(error).map(|(gain, error)| gain / error));
                note("gain, of the median", gain.map(|gain| gain / median));
                let own = number(&signals.own_q32).zip(number(&signals.own_error_q32));
                note("own data, standard errors", own.map(|(own, error)| own / error));
            }
        }
    }
    println!("signal\tleast\t0.1 %\t1 %\tmedian\t99 %\t99.9 %\tmost");
    for (name, mut values) in found {
        let at: Vec<String> = [0.0, 0.001, 0.01, 0.5, 0.99, 0.999, 1.0]
            .iter()
            .map(|part| format!("{:.3}", quantile(&mut values, *part)))
            .collect();
        println!("{name}\t{}", at.join("\t"));
    }
    println!("{updates} updates, refused: {refused:?}");
}

/// The rank correlation of pay with what was brought, by seed: steps by worker, or clean text by shard.
fn unequal(asked: &Asked) {
    for spoilt in [false, true] {
        let mut found = Vec::new();
        for seed in 1..=asked.seeds {
            found.push(pay_correlation(Setting { seed, spoilt, ..asked.setting.clone() }, asked.rounds));
        }
        let (mean, what) = (found.iter().sum::<f64>() / found.len() as f64, if spoilt { "text" } else { "steps" });
        println!("{what}\tmean {mean:.3}\tleast {:.3}", quantile(&mut found, 0.0));
    }
}

/// The loss at the end beside the honest run's, under each rule.
fn robust(asked: &Asked) {
    let rules: Vec<&str> = asked.rules.split(',').collect();
    println!("rule\tattack\tloss to honest\tmost\thonest loss");
    for rule in rules {
        let mut setting = asked.setting.clone();
        setting.set("outer", "rule", &format!("{rule:?}"));
        if ["trimmed_mean", "krum"].contains(&rule) {
            setting.set("outer", "faulty", "2");
        }
        for gate in
            ["clip_ppm", "max_norm_ppm", "max_overlap_ppm", "min_residual_ppm", "max_against_ppm", "floor_ppm", "own"]
        {
            if asked.open {
                setting.set("score", gate, "0");
            }
        }
        let attacks = || -> Vec<Box<dyn Attack>> {
            vec![
                Box::new(Several { count: 2, attack: Box::new(Idler { norm: 1.0 }) }),
                Box::new(Several { count: 2, attack: Box::new(Flipper) }),
                Box::new(Several { count: 2, attack: Box::new(Inflater { factor: -10.0 }) }),
                Box::new(Little { z: 0.3 }),
                Box::new(Little { z: 1.5 }),
            ]
        };
        let mut found: Vec<Vec<(f64, f64)>> = vec![Vec::new(); attacks().len()];
        for seed in 1..=asked.seeds {
            let world = World::new(Setting { seed, ..setting.clone() });
            let done = Done::default();
            let honest = run(&world, asked.rounds, Mode::Off, &mut Honest { identities: 2 }, &done);
            for (attack, found) in attacks().iter_mut().zip(&mut found) {
                let ledger = run(&world, asked.rounds, Mode::Off, &mut **attack, &done);
                found.push((ledger.loss, honest.loss));
            }
        }
        for (attack, found) in attacks().iter().zip(found) {
            let most = found.iter().map(|(a, b)| a / b).fold(0.0, f64::max);
            println!("{rule}\t{}\t{:.4}\t{most:.4}\t{:.4}", attack.name(), ratio(&found).mean, found[0].1);
        }
    }
}
