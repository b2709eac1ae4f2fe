//! The statement itself: in-toto Statement v1 with the predicate SVR v0.1. docs/attest.md says where their text is from.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::claims::Subject;
use super::time::Time;

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const SVR: &str = "https://in-toto.io/attestation/svr/v0.1";

/// A Simple Verification Result.
pub struct Predicate<'a> {
    /// Who verified: a URI.
    pub verifier: &'a str,
    /// When.
    pub time: &'a Time,
    /// What was verified of every subject.
    pub properties: &'a BTreeSet<String>,
}

impl Predicate<'_> {
    /// Nothing but the fields that the predicate has: a reader may be strict.
    pub fn value(&self) -> Value {
        json!({
            "properties": self.properties,
            "timeCreated": self.time.to_string(),
            "verifier": { "id": self.verifier },
        })
    }
}

/// The predicate, of these subjects.
pub fn statement(subjects: &[Subject], predicate: &Predicate<'_>) -> Value {
    let subject = |subject: &Subject| {
        let mut digest = json!({ "blake3": subject.blake3.to_string() });
        if let Some(sha256) = subject.sha256 {
            digest["sha256"] = hex::encode(sha256).into();
        }
        json!({ "name": subject.name, "digest": digest, "annotations": subject.annotations })
    };
    json!({
        "_type": STATEMENT,
        "subject": subjects.iter().map(subject).collect::<Vec<_>>(),
        "predicateType": SVR,
        "predicate": predicate.value(),
    })
}
