//! What rules of scoring and pay say of what they cannot be applied to: called by their functions, for what no file says.

use l402::artifact::record::{self, Signer};
use l402::artifact::{Digest, Recipe};
use l402::error::{Kind, Result};
use l402::pay::{Ladder, Msat, NodeId, State};
use l402::score::shapley::{Sampling, shapley};
use l402::score::{
    Ballot, FixedRating, PayRule, PlackettLuce, Rating, Standing, Weighting, check_standings, clipped_median, endorse,
    paired, votes,
};
use lightning::bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use lightning::util::message_signing;

use crate::common::{FULL, recipe};

/// It must be refused as malformed (65), in these words.
#[track_caller]
fn says<T: std::fmt::Debug>(result: Result<T>, expected: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.kind()), (expected, Kind::Data));
}

/// It must be refused as wrong (1), in these words.
#[track_caller]
fn no<T: std::fmt::Debug>(result: Result<T>, expected: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.kind()), (expected, Kind::Refused));
}

#[test]
fn what_has_no_median() {
    let merged = |weights: &[u64], kappa, given: &[Vec<u64>]| clipped_median(100, weights, kappa, given);
    says(merged(&[1], 500_000, &[]), "expected a weight for each of 0 validators, found 1");
    says(merged(&[1], 0, &[vec![1]]), "expected kappa from 1 to 1000000 ppm, found 0");
    says(merged(&[1, 1], 1, &[vec![1], vec![]]), "validator 1: expected 1 workers, found 0");
    says(merged(&[1], 1, &[vec![60, 60]]), "validator 0: gives 120 msat of a round's 100");
    says(merged(&[u64::MAX, 1], 1, &[vec![1], vec![1]]), "the validators' weights: more than 2^64 in all");
    says(merged(&[0], 1, &[vec![1]]), "the validators' weights: nobody has any");
}

#[test]
fn what_has_no_value_and_no_rank() {
    let worth = |_: &[usize]| Ok(1i128 << 100);
    let sampling = |pairs, tolerance_ppm| Sampling { pairs, tolerance_ppm };
    says(shapley(65, &sampling(2, 0), [0; 2], worth), "expected at most 64 workers for Shapley values, found 65");
    says(
        shapley(1, &sampling(2, 0), [0; 2], worth),
        "a coalition of 0 workers is worth 1267650600228229401496703205376: too much",
    );
    let worth = |_: &[usize]| Ok(1i128);
    says(shapley(60, &sampling(1, 0), [0; 2], worth), "expected 2 to 1048576 pairs of permutations, found 1");
    says(
        shapley(60, &sampling(2, 2_000_000), [0; 2], worth),
        "expected a tolerance of at most 1000000 ppm, found 2000000",
    );
    says(paired(&[1 << 100], 1000), "the gain on sequence 0 is 1267650600228229401496703205376: more than can be");
    says(paired(&vec![0; (1 << 24) + 1], 1000), "expected at most 16777216 sequences, found 16777217");
    says(paired(&[1], 1_000_000), "expected z of at most 100000 thousandths, found 1000000");
    says(PayRule::new(Weighting::Power(9), 1), "expected an exponent of pay from 1 to 4, found 9");
    says(PayRule::new(Weighting::Rank, 0), "expected a cap of pay from 1 to 1000000 ppm, found 0");
    let rating = |mu, sigma| Rating { mu, sigma };
    says(rating(f64::NAN, 1.0).to_fixed(), "a rating of mu NaN, sigma 1 is out of range");
    says(FixedRating { mu_q32: 1, sigma_q32: 0 }.to_float(), "a rating of mu 1, sigma 0 (2^-32) is out of range");
    let rule = PlackettLuce::default();
    says(rule.rate(&[rating(1.0, 1.0)], &[]), "expected 1 ranks, found 0");
    says(rule.rate(&[rating(1.0, -1.0)], &[0]), "rating 0, of mu 1, sigma -1, is out of range");
    let rule = PlackettLuce { beta: 0.0, ..rule };
    says(rule.rate(&[rating(1.0, 1.0)], &[0]), "a rating with beta 0, kappa 0.0001, tau 0.1 makes no sense");
}

#[test]
fn what_is_no_money() {
    says(Msat::MAX.plus(Msat(1)), "2100000000000000000 msat and 1 msat: more than all bitcoin");
    says(Ladder::new(Msat(1), 0), "expected 1 to 12 rungs, found 0");
    says(Ladder::new(Msat(u64::MAX), 1), "18446744073709551615 msat: more than all bitcoin");
    no(State::Claimed.to(State::Held), "a rung that is claimed cannot become held");
}

fn standing(change: impl FnOnce(&mut Standing)) -> (Recipe, Vec<Standing>) {
    let text = recipe(FULL, &"0".repeat(64)).replace("[score]\n", "[score]\nmemory = 2\n");
    let recipe = Recipe::parse(&text).unwrap();
    let mut standing = Standing {
        run: recipe.digest(),
        round: 0,
        worker: "ann".into(),
        own_q32: "0".into(),
        own_rounds: 1,
        counted: vec![],
        mu_q32: None,
        sigma_q32: None,
    };
    change(&mut standing);
    (recipe, vec![standing])
}

#[test]
fn what_is_no_standing() {
    let check = |change: fn(&mut Standing)| {
        let (recipe, standings) = standing(change);
        check_standings(&recipe, 1, &standings)
    };
    check(|_| {}).unwrap();
    let run = standing(|_| {}).0.digest();
    no(
        check(|s| s.round = 1),
        &format!("standing of \"ann\": expected one of this run, and earlier, found run {run}, round 1"),
    );
    says(check(|s| s.worker = "\u{1b}[2J".into()), "standing of \"\\u{1b}[2J\": expected a worker's id");
    says(check(|s| s.own_q32 = "x".into()), "standing of \"ann\": own_q32: expected -2^32 to 2^32");
    says(check(|s| s.mu_q32 = Some("1".into())), "standing of \"ann\": expected mu and sigma together");
    says(
        check(|s| (s.mu_q32, s.sigma_q32) = (Some("x".into()), Some("1".into()))),
        "standing of \"ann\": expected a rating in 2^-32, found mu \"x\", sigma \"1\"",
    );
    let (recipe, one) = standing(|_| {});
    says(check_standings(&recipe, 1, &[one.clone(), one].concat()), "standing of \"ann\": a second one");
    let (recipe, many) = standing(|s| {
        s.counted = vec![l402::score::Counted { round: 5, update: Digest([0; 32]) }];
    });
    says(
        check_standings(&recipe, 1, &many),
        "standing of \"ann\": counted: expected at most 2 updates of ascending rounds up to 0",
    );
}

/// A validator's key.
struct Key(SecretKey);

impl Signer for Key {
    fn public(&self) -> PublicKey {
        PublicKey::from_secret_key(&Secp256k1::new(), &self.0)
    }

    fn sign_message(&self, message: &str) -> Result<String> {
        Ok(message_signing::sign(message.as_bytes(), &self.0))
    }
}

#[test]
fn what_is_no_vote() {
    let [key, other] = [1, 2].map(|seed| Key(SecretKey::from_slice(&[seed; 32]).unwrap()));
    let seat = format!("[score]\nvalidators = [{{ key = \"{}\", weight = 1 }}]\n", NodeId(key.public()));
    let text = recipe(FULL, &"0".repeat(64)).replace("[score]\n", &seat);
    let recipe = Recipe::parse(&text).unwrap();
    let (run, zero, lost) = (recipe.digest(), Digest([0; 32]), 1_000_000);
    let score = format!(
        "{{\"bytes\":1,\"counts\":false,\"entitled_msat\":0,\"reason\":\"none\",\"round\":0,\"run\":\"{run}\",\"type\":\"score\",\
         \"update\":\"{zero}\",\"v\":1,\"worker\":\"ann\"}}\n"
    );
    let round = format!(
        "{{\"before_q32\":\"1\",\"held_out\":\"{zero}\",\"returned_msat\":{lost},\"round\":0,\"round_msat\":1000000,\
         \"run\":\"{run}\",\"sequences\":24,\"theta\":\"{zero}\",\"tokens\":384,\"type\":\"round_score\",\"v\":1,\"workers\":0}}\n"
    );
    let lines = |text: &str| record::parse_lines("x", text).unwrap();
    let signed = |text: &str, by: &Key| {
        let scores = l402::score::Scores::of_lines(&lines(text)).unwrap();
        let mut made = endorse(&scores, &by.public()).unwrap();
        record::sign(&mut made, by).unwrap();
        format!("{text}{}", record::line(&made).unwrap())
    };
    let read = |text: &str| Ballot::read(&lines(text), &recipe);
    let whole = format!("{score}{round}");
    read(&signed(&whole, &key)).unwrap();
    let error = read(&whole).unwrap_err();
    assert_eq!(error.advice(), Some("score --key signs what it arrives at"));
    says(read(&whole), "expected one endorsement, found 0");
    let roster = "{\"type\":\"roster\",\"v\":1,\"worker\":\"ann\"}\n".to_owned();
    says(read(&(roster + &signed(&whole, &key))), "expected records of scores alone, and an endorsement of them");
    let elsewhere = whole.replace(&run.to_string(), &zero.to_string());
    no(read(&signed(&elsewhere, &key)), &format!("expected scores of run {run}, found run {zero}"));
    says(read(&signed(&format!("{score}{whole}"), &key)), "scores of another round, or two of one update");
    says(
        read(&signed(&whole.replace("\"returned_msat\":1000000", "\"returned_msat\":5"), &key)),
        "expected scores that add up to the round's 1000000 msat, found 5",
    );
    let first = signed(&whole, &key);
    let after = Digest::of(whole.replace("\"tokens\":384", "\"tokens\":385").as_bytes());
    no(
        read(&first.replace("\"tokens\":384", "\"tokens\":385")),
        &format!("expected the scores that were signed, {}, found {after}", Digest::of(whole.as_bytes())),
    );
    no(read(&signed(&whole, &other)), &format!("{} is no validator of this recipe", other.public()));
    let sigs = [&key, &other].map(|by| {
        let text = signed(&whole, by);
        let sig = text.split("\"sig\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        (text, sig)
    });
    no(
        read(&sigs[0].0.replace(&sigs[0].1, &sigs[1].1)),
        &format!("sig: not a signature of these scores by {}", key.public()),
    );
    let consensus = format!(
        "{{\"kappa_ppm\":1,\"of\":1,\"round\":0,\"run\":\"{run}\",\"type\":\"consensus\",\"v\":1,\"votes\":[]}}\n"
    );
    says(votes(&lines(&consensus.repeat(2))), "expected one consensus record, found 2");
}
