//! What attackers earn: see `recipes/attack-lab.sh`.

mod lab;

use std::collections::BTreeMap;
use std::time::Instant;

use l402::data::{Draw, Roster};
use l402::score::{Candidate, Eligibility, Scoring, next_model, score_round};

use lab::work::{Made, Place};
use lab::world::{Setting, World};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let seeds: u64 = args.first().map_or(2, |s| s.parse().unwrap());
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
    for seed in 1..=seeds {
        let t = Instant::now();
        let mut setting = Setting { seed, ..Setting::default() };
        if let Some(lr) = args.get(1) { setting.lr = lr.parse().unwrap(); }
        if let Some(b) = args.get(2) { setting.before = b.parse().unwrap(); }
        if let Some(k) = args.get(3) { setting.rules = setting.rules.replace("512", k); }
        let world = World::new(setting);
        println!("seed {seed}: world {:?}", t.elapsed());
        let mut theta = world.theta_0.clone();
        let mut feedback: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for round in 0..4 {
            let t = Instant::now();
            let folder = world.folder(theta.clone());
            let roster = Roster::parse_list(&world.ids().join(",")).unwrap();
            let draw = Draw { run: world.recipe.digest(), round, beacon: world.beacon("a", round) };
            let assignments = draw.assign(&world.manifest, &roster).unwrap();
            let made: Vec<Made> = assignments
                .iter()
                .map(|a| {
                    let f = feedback.get(&a.worker).map(|f| &f[..]);
                    Place { world: &world, folder: &folder, assignment: a, feedback: f }.honest()
                })
                .collect();
            let trained = t.elapsed();
            let lists = Eligibility { assignments: Some(assignments.clone()), ..Eligibility::default() };
            let candidates: Vec<Candidate> = made.iter().map(|m| Candidate::of(&m.update)).collect();
            let input = Scoring { recipe: &world.recipe, round, folder: &folder, held_out: &world.held_out,
                beacon: Some(world.beacon("b", round)), lists: &lists };
            let scores = score_round(&input, &candidates, |i| Ok(&*made[i].update), &mut |_| {}).unwrap();
            let scored = t.elapsed();
            let next = next_model(&world.recipe, &folder, round, made.len(), |i| Ok(&*made[i].update), || ()).unwrap();
            let per = |s: &str| s.parse::<f64>().unwrap() / 4294967296.0 / scores.round.tokens as f64;
            let gains: Vec<String> = scores.scores.iter().map(|s| format!("{:.4}", per(s.gain_q32.as_ref().unwrap()))).collect();
            let sent: Vec<Vec<f32>> = made.iter().map(|m| m.sent(&world)).collect();
            let norm = |v: &[f32]| v.iter().map(|x| (*x as f64).powi(2)).sum::<f64>().sqrt();
            let norms: Vec<String> = sent.iter().map(|v| format!("{:.3}", norm(v))).collect();
            let over = |a: &[f32], b: &[f32]| {
                let both = a.iter().zip(b).filter(|(a, b)| **a != 0.0 && **b != 0.0).count();
                both as f64 / a.iter().filter(|a| **a != 0.0).count().max(1) as f64
            };
            let cos = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| *a as f64 * *b as f64).sum::<f64>() / norm(a) / norm(b);
            println!("round {round}: loss {:.4} gains {} norms {} overlap {:.3} {:.3} cos {:.3} {:.3}  {trained:?} {:?} {:?}", per(&scores.round.before_q32), gains.join(" "), norms.join(" "),
                over(&sent[0], &sent[1]), over(&sent[2], &sent[3]), cos(&sent[0], &sent[1]), cos(&sent[2], &sent[3]), scored - trained, t.elapsed() - scored);
            theta = next.parameters;
            for (a, m) in assignments.iter().zip(&made) {
                feedback.insert(a.worker.clone(), m.feedback.clone());
            }
        }
    }
}
