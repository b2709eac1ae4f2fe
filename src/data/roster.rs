//! The roster: who works in a round, and with which keys.

use std::collections::BTreeSet;

use lightning::bitcoin::secp256k1::PublicKey;
use serde::{Deserialize, Serialize};

use crate::artifact::record::{self, Line, Record};
use crate::artifact::{MAX_WORKERS, WORKER_ID, key, valid_worker_id};
use crate::error::{Context, Error, Result};

/// A worker, and the public key that its signatures are checked with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The worker's id.
    pub worker: String,
    /// Its public key in hex.
    pub key: Option<String>,
}

impl Record for Member {
    const TYPE: &'static str = "roster";
}

impl Member {
    fn check(&self) -> Result<()> {
        if !valid_worker_id(&self.worker) {
            return Err(Error::data(format!("worker {:?}: expected {WORKER_ID}", self.worker)));
        }
        self.public_key().map(drop)
    }

    /// The public key, if there is one.
    pub fn public_key(&self) -> Result<Option<PublicKey>> {
        let key = self.key.as_deref().map(key::parse_public).transpose();
        key.at(format!("worker {}", self.worker))
    }
}

/// The workers of a round, by ascending id, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    members: Vec<Member>,
}

impl Roster {
    /// Checks and orders the members.
    pub fn new(mut members: Vec<Member>) -> Result<Roster> {
        if !(1..=MAX_WORKERS).contains(&members.len()) {
            return Err(Error::data(format!("expected 1 to {MAX_WORKERS} workers, found {}", members.len())));
        }
        members.iter().try_for_each(Member::check)?;
        members.sort();
        let mut seen = BTreeSet::new();
        if let Some(twice) = members.iter().find(|m| !seen.insert(m.worker.as_str())) {
            return Err(Error::data(format!("worker {}: listed twice", twice.worker)));
        }
        // `alice.*` would take the files of alice.b for those of alice.
        let begun = |m: &Member| m.worker.match_indices('.').find_map(|(at, _)| seen.get(&m.worker[..at]).copied());
        if let Some((longer, shorter)) = members.iter().find_map(|m| Some((&m.worker, begun(m)?))) {
            return Err(Error::data(format!(
                "worker {longer}: begins as {shorter} does, whose files its own could be taken for"
            )));
        }
        Ok(Roster { members })
    }

    /// From a list `a,b=KEY,c`.
    pub fn parse_list(list: &str) -> Result<Roster> {
        let member = |text: &str| match text.split_once('=') {
            Some((worker, key)) => (worker.to_owned(), Some(key.to_owned())),
            None => (text.to_owned(), None),
        };
        let members = list.split(',').map(member);
        Roster::new(members.map(|(worker, key)| Member { worker, key }).collect())
    }

    /// From the `roster` records among the lines of a file, named in errors; records of other types are passed over. People
    /// write rosters, so white space in them is nothing.
    pub fn parse(name: &str, text: &str) -> Result<Roster> {
        Roster::new(record::select(&Roster::lines(name, text)?)?).at(name)
    }

    /// The lines of such a file.
    pub fn lines(name: &str, text: &str) -> Result<Vec<Line>> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines.map(|(i, line)| Line::by_hand(&format!("{name}:{}", i + 1), line)).collect()
    }

    /// The workers, by ascending id.
    pub fn members(&self) -> &[Member] {
        &self.members
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    const KEY: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

    #[test]
    fn a_list_and_a_file_give_the_same_roster() {
        let list = Roster::parse_list(&format!("bob={KEY},ann")).unwrap();
        let ann = r#"{"type":"roster","v":1,"worker":"ann"}"#;
        let bob = format!(r#"{{"key":"{KEY}","type":"roster","v":1,"worker":"bob"}}"#);
        assert_eq!(Roster::parse("x", &format!("{ann}\n{bob}")).unwrap(), list);
        // As people write it.
        let spaced = format!("\n {} \r\n\n{}\n", ann.replace(':', ": "), bob.replace(',', " ,\t"));
        assert_eq!(Roster::parse("x", &spaced).unwrap(), list);
        for (bad, part) in [
            (ann.replace("ann", "a nn"), "worker \"a nn\""),
            (ann.replace("\"v\":1", "\"v\":1,\"v\":1"), "x:1: the record is not in canonical form"),
            (ann.replace("\"v\":1", "\"v\":1 1"), "x:1: "),
        ] {
            let error = Roster::parse("x", &bad).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(list.members()[0].worker, "ann");
    }

    #[test]
    fn a_bad_id_a_bad_key_and_a_worker_listed_twice_are_refused_by_name() {
        let many = (0..=MAX_WORKERS).map(|i| format!("w{i}")).collect::<Vec<_>>().join(",");
        for (list, part) in [
            ("", "worker \"\""),
            ("ann,,bob", "worker \"\""),
            ("Ann", "worker \"Ann\""),
            ("ann,bob,ann", "worker ann: listed twice"),
            ("ann.commitment,bob,ann", "worker ann.commitment: begins as ann does"),
            ("ann.3,ann.3.0,bob", "worker ann.3.0: begins as ann.3 does"),
            ("ann=12", "worker ann"),
            (&many, "found 10001"),
        ] {
            let error = Roster::parse_list(list).unwrap_err();
            assert_eq!(error.kind(), Kind::Data);
            assert!(error.to_string().contains(part), "{error}");
        }
        let twice = format!("ann,ann={KEY}");
        assert!(Roster::parse_list(&twice).is_err());
        assert!(Roster::parse_list("ann,ann-b,ann_c,b.ann,c.d").is_ok());
    }
}
