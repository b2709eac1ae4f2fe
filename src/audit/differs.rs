//! What an audit stops at: the first artifact that differs, or something that keeps it from going on.

use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use crate::artifact::record::Record;
use crate::error::{Error, Kind};

/// An artifact that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// The artifact, within the run folder.
    pub artifact: String,
    /// What of it, or what is wrong.
    pub what: String,
    /// What was expected, where that can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

impl Record for Difference {
    const TYPE: &'static str = "difference";
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.artifact, self.what)?;
        if let (Some(expected), Some(found)) = (&self.expected, &self.found) {
            write!(f, ": expected {expected}, found {found}")?;
        }
        Ok(())
    }
}

/// Why an audit ends early.
#[derive(Debug)]
pub enum Stop {
    /// This artifact differs; the signed records that are thereby false.
    Differs(Difference, Vec<Evidence>),
    /// It cannot go on: something is missing, or cannot be read.
    Failed(Error),
}

/// A difference with what it proves.
pub fn with_evidence(stop: Stop, evidence: impl IntoIterator<Item = Evidence>) -> Stop {
    match stop {
        Stop::Differs(difference, mut known) => {
            known.extend(evidence);
            Stop::Differs(difference, known)
        }
        failed => failed,
    }
}

/// A result of the audit.
pub type Checked<T> = Result<T, Stop>;

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// An artifact differs.
pub fn differs<T>(
    artifact: &str,
    what: impl std::fmt::Display,
    expected: impl std::fmt::Display,
    found: impl std::fmt::Display,
) -> Checked<T> {
    let (expected, found) = (Some(printable(&expected.to_string())), Some(printable(&found.to_string())));
    let what = printable(&what.to_string());
    Err(Stop::Differs(Difference { artifact: artifact.to_owned(), what, expected, found }, Vec::new()))
}

/// An artifact is wrong by itself.
pub fn wrong<T>(artifact: &str, what: impl std::fmt::Display) -> Checked<T> {
    let what = printable(&what.to_string());
    Err(Stop::Differs(Difference { artifact: artifact.to_owned(), what, expected: None, found: None }, Vec::new()))
}

/// Lays what is malformed or refused at an artifact's door; what is missing or cannot be read stays what it is.
pub fn blame<T>(artifact: &str, result: crate::error::Result<T>) -> Checked<T> {
    result.or_else(|error| match error.kind() {
        Kind::Data | Kind::Refused | Kind::Usage | Kind::TryAgain => {
            let what = error.to_string();
            // The artifact is named already.
            let what = what.split_once(artifact).map_or(what.as_str(), |(_, rest)| rest.trim_start_matches([':', ' ']));
            wrong(artifact, what)
        }
        _ => Err(Stop::Failed(error)),
    })
}

/// Equal, or the artifact differs.
pub fn same<T: PartialEq + std::fmt::Display>(artifact: &str, what: &str, expected: T, found: T) -> Checked<()> {
    if expected == found { Ok(()) } else { differs(artifact, what, expected, found) }
}

/// Whether a reference is one character off from what it should say: then it is itself what was altered, for another
/// content has quite another digest.
pub fn near(reference: &str, truth: &str) -> bool {
    let off = reference.bytes().zip(truth.bytes()).filter(|(a, b)| a != b).count();
    reference.len() == truth.len() && off == 1
}

/// What others wrote, cut and made fit for a record and a terminal.
pub fn printable(text: &str) -> String {
    let clean = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
    text.chars().take(400).map(clean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Digest;

    #[test]
    fn a_reference_is_near_what_it_refers_to_or_it_is_another() {
        let truth = Digest::of(b"a").to_string();
        let bent = truth.replacen(&truth[5..6], if &truth[5..6] == "0" { "1" } else { "0" }, 1);
        assert!(near(&bent, &truth));
        assert!(!near(&truth, &truth) && !near(&Digest::of(b"b").to_string(), &truth) && !near(&truth[1..], &truth));
    }

    #[test]
    fn what_is_malformed_is_laid_at_the_artifacts_door_and_what_is_missing_is_not() {
        let malformed: Checked<()> = blame("a/b", Err(Error::data("/run/a/b:3: not a record")));
        let Err(Stop::Differs(difference, _)) = malformed else { panic!() };
        assert_eq!((difference.artifact.as_str(), difference.what.as_str()), ("a/b", "3: not a record"));
        assert!(matches!(blame::<()>("a/b", Err(Error::missing("a/b: no such file"))), Err(Stop::Failed(_))));
    }
}
