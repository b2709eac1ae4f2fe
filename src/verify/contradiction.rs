//! Two findings that cannot both be true: who has signed both has lied, whatever is.

use super::finding::{Finding, Verdict};

/// Whether one says of an update that all of it is what its inputs make, and the other that something which only its work
/// decides is not: of the same update, gone on from the same one.
///
/// A replay is of what the update names by digest, so nobody else's files make both true. A mismatch in an input (recipe, model,
/// assignment, shard, a state), in leaves, or in what is malformed is none of its work: it tells of what whoever replayed was given.
/// Nor does a sample contradict anything: it rests on what the worker has shown of the drawn part, and says nothing of the rest.
pub fn contradict(one: &Finding, other: &Finding) -> bool {
    fn of(f: &Finding) -> impl PartialEq + '_ {
        (f.run, f.round, &f.worker, f.update, f.previous)
    }
    let answers = (of_the_work(one), of_the_work(other));
    of(one) == of(other) && matches!(answers, (Some(one), Some(other)) if one != other)
}

/// Whether a finding says of all the work that it is what its inputs make; `None` where it says nothing of that.
pub fn of_the_work(finding: &Finding) -> Option<bool> {
    let of_work = |what: &str| WORK.iter().any(|begins| what.starts_with(begins));
    match finding.finding {
        _ if finding.sample.is_some() => None,
        Verdict::Exact => Some(true),
        Verdict::Near => Some(false),
        Verdict::Mismatch => finding.differs.as_deref().is_some_and(of_work).then_some(false),
        Verdict::Sampled => None,
    }
}

/// How what only the work decides is called.
const WORK: [&str; 2] = ["tensor ", "metadata "];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Digest;
    use crate::verify::{Nearness, Sample, StateGiven};

    fn finding(verdict: Verdict, differs: Option<&str>) -> Finding {
        Finding {
            run: Digest([1; 32]),
            round: 3,
            worker: "ann".into(),
            update: Digest([2; 32]),
            previous: None,
            state: None,
            finding: verdict,
            differs: differs.map(str::to_owned),
            expected: None,
            found: None,
            steps: 30,
            sample: None,
            near: None,
            validator: None,
            sig: None,
        }
    }

    #[test]
    fn equality_and_another_tensor_contradict_each_other_and_nothing_that_others_can_bring_about_does() {
        let exact = finding(Verdict::Exact, None);
        let tensor = finding(Verdict::Mismatch, Some("tensor lm_head.weight"));
        assert!(contradict(&exact, &tensor) && contradict(&tensor, &exact));
        let near = Nearness {
            tolerance_ppm: 1,
            error_ppm: 1,
            error_tensor: "a".into(),
            cosine_ppm: 1,
            cosine_tensor: "a".into(),
        };
        assert!(contradict(&exact, &Finding { near: Some(near), ..finding(Verdict::Near, None) }));
        for what in
            ["recipe", "model", "assignment", "shard", "state (error feedback)", "leaves", "the update is malformed"]
        {
            assert!(!contradict(&exact, &finding(Verdict::Mismatch, Some(what))), "{what}");
        }
        // Other words, fewer steps, what was assumed: no lie.
        assert!(!contradict(&exact, &Finding { steps: 0, state: Some(StateGiven::AssumedZero), ..exact.clone() }));
        assert!(!contradict(&tensor, &finding(Verdict::Mismatch, Some("tensor a"))));
        // What is drawn by whatever beacon.
        let sample = Sample {
            beacon: Digest([5; 32]),
            segments: vec![2],
            of_segments: 3,
            chunks: 0,
            of_chunks: 1,
            opened_bytes: 0,
            missed_ppm: vec![],
            missed_chunks_ppm: vec![],
        };
        for drawn in [finding(Verdict::Sampled, None), tensor.clone()] {
            let drawn = Finding { sample: Some(sample.clone()), ..drawn };
            assert!(!contradict(&exact, &drawn) && !contradict(&drawn, &tensor));
        }
        // Another subject.
        for other in [
            Finding { run: Digest([9; 32]), ..tensor.clone() },
            Finding { round: 4, ..tensor.clone() },
            Finding { worker: "bob".into(), ..tensor.clone() },
            Finding { update: Digest([9; 32]), ..tensor.clone() },
            Finding { previous: Some(Digest([9; 32])), ..tensor.clone() },
        ] {
            assert!(!contradict(&exact, &other));
        }
    }
}
