//! What attackers earn: see `recipes/attack-lab.sh`.

mod lab;

use std::time::Instant;

use lab::attacks;
use lab::round::{Done, Mode};
use lab::run::run;
use lab::world::{Setting, World};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let seeds: u64 = args.first().map_or(2, |s| s.parse().unwrap());
    let rounds: u64 = args.get(1).map_or(2, |s| s.parse().unwrap());
    let only = args.get(2).cloned().unwrap_or_default();
    let mut rules = lab::world::RULES.to_owned();
    let mut setting = Setting::default();
    for change in args.iter().skip(3) {
        let (key, value) = change.split_once('=').unwrap();
        match key {
            "lr" => setting.lr = value.parse().unwrap(),
            "before" => setting.before = value.parse().unwrap(),
            "steps" => setting.steps = value.parse().unwrap(),
            "batch" => setting.batch = value.parse().unwrap(),
            _ => {
                let (table, field) = key.split_once('.').unwrap();
                let (at, mut lines) = (format!("[{table}]"), Vec::new());
                for line in rules.lines() {
                    if !line.starts_with(&format!("{field} ")) {
                        lines.push(line.to_owned());
                    }
                    if line == at {
                        lines.push(format!("{field} = {value}"));
                    }
                }
                rules = lines.join("\n") + "\n";
            }
        }
    }
    setting.rules = rules;
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
    for seed in 1..=seeds {
        let world = World::new(Setting { seed, ..setting.clone() });
        let done = Done::default();
        for mode in Mode::ALL {
            for mut attack in attacks::all() {
                if !only.is_empty() && !only.split(',').any(|o| o == attack.name() || o == format!("{mode:?}")) {
                    continue;
                }
                let t = Instant::now();
                let l = run(&world, rounds, mode, &mut *attack, &done);
                println!(
                    "{seed}\t{mode:?}\t{}\t{:.3}\t{}\t{}/{}\t{}/{}\t{:.4}\t{:?}\t{:?}\t{:?}",
                    attack.name(),
                    l.ratio(),
                    l.attackers_steps,
                    l.found,
                    l.attacked,
                    l.framed,
                    l.honest,
                    l.loss,
                    l.reasons,
                    l.framings,
                    t.elapsed()
                );
            }
        }
    }
}
