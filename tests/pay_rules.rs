//! The rules of pay, as `score` applies them: what is measured, what it costs, and that it adds up.

mod common;

use std::fs;

use common::{FULL, WORKERS, World, records, talk};

/// A round without lists: everybody's update, by a recipe with these lines of pay.
fn played() -> World {
    let world = World::new(FULL);
    world.assign(0);
    WORKERS.iter().for_each(|who| world.work(0, who));
    world
}

/// The recipe with another table of pay, which the updates were not made for: they are made again.
fn with(world: &World, pay: &str) -> String {
    let text = String::from_utf8(world.bytes("r.toml")).unwrap();
    let (head, _) = text.split_once("[pay]").unwrap();
    let head = head.replace("sequences = 24", "sequences = 0");
    world.write("r.toml", format!("{head}[pay]\nround_msat = 1000000\n{pay}").as_bytes());
    let _ = fs::remove_file(world.path("0.assignments.jsonl"));
    world.assign(0);
    for who in WORKERS {
        ["update", "feedback", "moments"]
            .iter()
            .for_each(|end| drop(fs::remove_file(world.path(&format!("{who}.0.{end}")))));
        world.work(0, who);
    }
    let updates = WORKERS.map(|who| format!("{who}.0.update")).join(" ");
    let line = format!("score --recipe r.toml --model theta-0 --val shards/val-00000.safetensors {updates}");
    let output = world.ok(&line);
    // Again, on one thread: the same bytes.
    assert_eq!(world.ok(&format!("{line} --threads 1")).stdout, output.stdout);
    format!("{}{}", talk(&output), String::from_utf8(output.stdout).unwrap())
}

fn scores(said: &str) -> Vec<serde_json::Value> {
    let lines: String = said.lines().filter(|line| line.starts_with('{')).map(|line| format!("{line}\n")).collect();
    let found = records(lines.as_bytes(), "score");
    let round = &records(lines.as_bytes(), "round_score")[0];
    let paid: u64 = found.iter().map(|s| s["entitled_msat"].as_u64().unwrap()).sum();
    assert_eq!(paid + round["returned_msat"].as_u64().unwrap(), 1_000_000);
    found
}

fn number(score: &serde_json::Value, field: &str) -> i128 {
    score[field].as_str().unwrap_or_else(|| panic!("{field} in {score}")).parse().unwrap()
}

/// What the model that `aggregate` makes of these workers' updates has lost on all held-out data.
fn loss_of(world: &World, workers: &[&str]) -> i128 {
    let updates = workers.iter().map(|who| format!("{who}.0.update ")).collect::<String>();
    let made = format!("theta-of-{}", workers.concat());
    world.ok(&format!("aggregate --recipe r.toml --model theta-0 {updates} -o {made}"));
    let score = format!("score --recipe r.toml --model {made} --round 1 --val shards/val-00000.safetensors");
    number(&records(&world.ok(&score).stdout, "round_score")[0], "before_q32")
}

#[test]
fn shapley_values_add_up_to_the_gain_of_all_together() {
    let world = played();
    let said = with(&world, "rule = \"shapley\"\n");
    // Nothing, three alone, and the four coalitions of two and three.
    assert!(said.contains("8 forward passes over the held-out data"), "{said}");
    let found = scores(&said);
    let values: Vec<i128> = found.iter().map(|s| number(s, "worth_q32")).collect();
    let gains: Vec<i128> = found.iter().map(|s| number(s, "gain_q32")).collect();
    let before = number(&found[0], "after_q32") + gains[0];
    let gain = |who: &[&str]| before - loss_of(&world, who);
    let all = gain(&WORKERS);
    assert_eq!(values.iter().sum::<i128>(), all);
    // By hand: phi_0 = (2 v(0) + (v(01) - v(1)) + (v(02) - v(2)) + 2 (v(012) - v(12))) / 6, but for rounding.
    let [ann, bob, cy] = WORKERS;
    let six = 2 * gains[0] + gain(&[ann, bob]) - gains[1] + gain(&[ann, cy]) - gains[2] + 2 * (all - gain(&[bob, cy]));
    assert!((6 * values[0] - six).abs() < 6, "{} {six}", values[0]);
    assert!(found.iter().all(|s| s["worth_error_q32"] == "0"), "{said}");
}

#[test]
fn by_leave_one_out_each_is_worth_what_the_others_lack() {
    let world = played();
    let said = with(&world, "rule = \"leave_one_out\"\n");
    assert!(said.contains("8 forward passes"), "{said}");
    let values: Vec<i128> = scores(&said).iter().map(|s| number(s, "worth_q32")).collect();
    let [ann, bob, cy] = WORKERS;
    let all = loss_of(&world, &WORKERS);
    assert_eq!(values, [[bob, cy], [ann, cy], [ann, bob]].map(|others| loss_of(&world, &others) - all));
}

#[test]
fn rules_that_pay_by_gain_alone_need_one_pass_an_update_and_say_nothing() {
    let world = played();
    for (pay, exponent) in [("rule = \"proportional\"\n", 1), ("rule = \"power\"\nexponent = 3\n", 3)] {
        let said = with(&world, pay);
        assert!(!said.contains("forward passes"), "{said}");
        let found = scores(&said);
        let weights: Vec<f64> = found.iter().map(|s| (number(s, "gain_q32").max(0) as f64).powi(exponent)).collect();
        let sum: f64 = weights.iter().sum();
        assert!(sum > 0.0, "{said}");
        for (score, weight) in found.iter().zip(weights) {
            let msat = score["entitled_msat"].as_u64().unwrap() as f64;
            assert!((msat - 1e6 * weight / sum).abs() < 1.5, "{pay}: {score}");
            assert!(score.get("worth_q32").is_none());
        }
    }
    let rank = scores(&with(&world, "rule = \"rank\"\n"));
    let mut order: Vec<&serde_json::Value> = rank.iter().collect();
    order.sort_by_key(|s| number(s, "gain_q32"));
    assert!(number(order[0], "gain_q32") > 0);
    let msat: Vec<u64> = order.iter().map(|s| s["entitled_msat"].as_u64().unwrap()).collect();
    assert_eq!(msat, [166_667, 333_333, 500_000]);
    // A cap: what is above it goes back.
    let capped = scores(&with(&world, "rule = \"proportional\"\ncap_ppm = 300000\n"));
    let msat: Vec<u64> = capped.iter().map(|s| s["entitled_msat"].as_u64().unwrap()).collect();
    assert!(msat.iter().all(|m| *m <= 300_000) && msat.contains(&300_000), "{msat:?}");
    world.write(
        "bad.toml",
        format!("{}cap_ppm = 0\n", String::from_utf8(world.bytes("r.toml")).unwrap().replace("cap_ppm = 300000\n", ""))
            .as_bytes(),
    );
    world.expect("score --recipe bad.toml --model theta-0 --val shards/val-00000.safetensors", 65, "pay.cap_ppm");
}
