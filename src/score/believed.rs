//! Which findings count by who signed them.

use std::collections::BTreeMap;

use crate::artifact::{Digest, Recipe};
use crate::verify::{Finding, of_the_work};

/// Who says something, and of which work.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Said(Option<String>, Digest, u64, String, Digest, Option<Digest>);

impl Said {
    fn of(f: &Finding) -> Said {
        Said(f.validator.clone(), f.run, f.round, f.worker.clone(), f.update, f.previous)
    }
}

/// A list of findings, as far as it is believed.
#[derive(Clone, Debug, Default)]
pub struct Believed {
    /// Those that count.
    pub findings: Vec<Finding>,
    /// A line about each of the others.
    pub left_out: Vec<String>,
    /// Two signed ones of one key that cannot both be true; neither counts.
    pub contradictions: Vec<[Finding; 2]>,
    /// Whether they are nobody's word, though the recipe names validators.
    pub unsigned: bool,
}

impl Believed {
    /// What counts of a list: where the recipe names validators, what one of them has signed; else what is not signed too. A
    /// signature that does not hold never counts, nor does what a key has signed on work of which it says two things.
    pub fn of(all: Vec<Finding>, recipe: &Recipe) -> Believed {
        let seats = &recipe.score.validators;
        let mut believed = Believed::default();
        let mut said: BTreeMap<Said, Vec<Finding>> = BTreeMap::new();
        for finding in all {
            let refused = match finding.signer() {
                Ok(None) if seats.is_empty() => None,
                Ok(None) => Some("no validator of the recipe has signed it".into()),
                Ok(Some(key)) if seats.is_empty() || seats.iter().any(|seat| seat.key == key.to_string()) => {
                    said.entry(Said::of(&finding)).or_default().push(finding.clone());
                    None
                }
                Ok(Some(key)) => Some(format!("{key} is no validator of this recipe")),
                Err(error) => Some(error.to_string()),
            };
            match refused {
                None => believed.findings.push(finding),
                Some(why) => believed.left_out.push(about(&finding, &why)),
            }
        }
        said.retain(|_, own| {
            let says = |equal: bool| own.iter().find(|finding| of_the_work(finding) == Some(equal)).cloned();
            let (Some(equal), Some(unequal)) = (says(true), says(false)) else { return false };
            believed.contradictions.push([equal, unequal]);
            true
        });
        believed.findings.retain(|finding| !said.contains_key(&Said::of(finding)));
        for [one, _] in &believed.contradictions {
            let key = one.validator.as_deref().unwrap_or_default();
            believed.left_out.push(about(one, &format!("{key} has signed that it is exact, and that it is not")));
        }
        believed
    }

    /// The same of a list that was written down long ago: one in which nothing is signed at all is believed as it was then.
    pub fn recorded(all: Vec<Finding>, recipe: &Recipe) -> Believed {
        let unsigned = |finding: &Finding| finding.validator.is_none() && finding.sig.is_none();
        if !recipe.score.validators.is_empty() && !all.is_empty() && all.iter().all(unsigned) {
            return Believed { findings: all, unsigned: true, ..Believed::default() };
        }
        Believed::of(all, recipe)
    }
}

/// So much of what others wrote is said of one finding, in characters.
const SAID: usize = 400;

/// A line about a finding.
fn about(finding: &Finding, why: &str) -> String {
    format!("a finding on {} in round {}: {why}", finding.worker, finding.round).chars().take(SAID).collect()
}
