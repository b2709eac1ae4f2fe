//! In which order commitments came: a chain of signed records, one a commitment. Each is its worker's receipt, and none can be left
//! out or moved without a second word on what was signed.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::ids::{NodeId, RecordHash};
use crate::artifact::record::{self, Record, Signed};
use crate::artifact::{Commitment, Digest};
use crate::error::{Error, Result};

/// The word of who closes a round's list that a commitment has come, and after which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arrival {
    /// The run.
    pub run: Digest,
    /// The round.
    pub round: u64,
    /// Its place, from 0.
    pub index: u64,
    /// Hash of the commitment.
    pub commitment: RecordHash,
    /// Hash of the arrival before it; of the first, zeros.
    pub before: RecordHash,
    /// Who closes the list.
    pub by: NodeId,
    /// Its signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

impl Record for Arrival {
    const TYPE: &'static str = "arrival";
}

impl Signed for Arrival {
    fn sig(&mut self) -> &mut Option<String> {
        &mut self.sig
    }
}

/// How many arrivals a closing knows of, and the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArrivalsEnd {
    /// How many there are.
    pub count: u64,
    /// Hash of the last one; where there is none, zeros.
    pub last: RecordHash,
}

impl Arrival {
    /// Refuses what this key has not signed.
    pub fn verify(&self, by: &NodeId) -> Result<()> {
        let place = || format!("arrival {} of round {}", self.index, self.round);
        if self.by != *by {
            return Err(Error::refused(format!("{}: by: expected {by}, found {}", place(), self.by)));
        }
        match record::verify(self, &by.0)? {
            true => Ok(()),
            false => Err(Error::refused(format!("{}: sig: not a signature of this record by {by}", place()))),
        }
    }
}

/// The arrivals of a round, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arrivals {
    all: Vec<Arrival>,
    index: HashMap<RecordHash, u64>,
    last: Option<RecordHash>,
}

fn hash<R: Signed>(message: &R) -> Result<RecordHash> {
    record::hash(message).map(RecordHash)
}

/// What stands before the first arrival.
fn nothing() -> RecordHash {
    RecordHash([0; 32])
}

impl Arrivals {
    /// The chain that these are, each signed by this key and after the one before it.
    pub fn check(all: Vec<Arrival>, (run, round): (&Digest, u64), by: &NodeId) -> Result<Arrivals> {
        let mut arrivals = Arrivals::default();
        for arrival in all {
            arrival.verify(by)?;
            let expected = arrivals.next(*run, round, arrival.commitment, *by);
            let place = format!("arrival {} of round {round}", arrivals.all.len());
            for (field, expected, found) in [
                ("run", expected.run.to_string(), arrival.run.to_string()),
                ("round", expected.round.to_string(), arrival.round.to_string()),
                ("index", expected.index.to_string(), arrival.index.to_string()),
                ("before", expected.before.to_string(), arrival.before.to_string()),
            ] {
                if expected != found {
                    return Err(Error::data(format!("{place}: {field}: expected {expected}, found {found}")));
                }
            }
            if arrivals.index.contains_key(&arrival.commitment) {
                return Err(Error::data(format!("{place}: the commitment {} has arrived before", arrival.commitment)));
            }
            arrivals.push(arrival)?;
        }
        Ok(arrivals)
    }

    /// The next record of the chain, not signed yet.
    pub fn next(&self, run: Digest, round: u64, commitment: RecordHash, by: NodeId) -> Arrival {
        let (index, before) = (self.all.len() as u64, self.last.unwrap_or_else(nothing));
        Arrival { run, round, index, commitment, before, by, sig: None }
    }

    /// Adds a record that [`Arrivals::next`] gave, and that is signed.
    pub fn push(&mut self, arrival: Arrival) -> Result<()> {
        self.index.insert(arrival.commitment, arrival.index);
        self.last = Some(hash(&arrival)?);
        self.all.push(arrival);
        Ok(())
    }

    /// All of them.
    pub fn all(&self) -> &[Arrival] {
        &self.all
    }

    /// When a commitment came; nothing where it did not.
    pub fn place(&self, commitment: &RecordHash) -> Option<u64> {
        self.index.get(commitment).copied()
    }

    /// What a closing says of them.
    pub fn end(&self) -> ArrivalsEnd {
        ArrivalsEnd { count: self.all.len() as u64, last: self.last.unwrap_or_else(nothing) }
    }

    /// Commitments in the order in which they came; those of which nothing says when they came are after all others, in the order in
    /// which they stand.
    pub fn order(&self, commitments: Vec<Commitment>) -> Result<Vec<Commitment>> {
        let mut placed = Vec::with_capacity(commitments.len());
        for commitment in commitments {
            placed.push((self.place(&hash(&commitment)?).unwrap_or(u64::MAX), commitment));
        }
        placed.sort_by_key(|(place, _)| *place);
        Ok(placed.into_iter().map(|(_, commitment)| commitment).collect())
    }

    /// The chain that those of the round are which this key has signed, as far as they follow each other from the first on: among
    /// what strangers send may be any of them, again and again.
    pub fn among(sent: Vec<Arrival>, (run, round): (&Digest, u64), by: &NodeId) -> Result<Arrivals> {
        let own = |a: &Arrival| (a.run, a.round) == (*run, round) && a.verify(by).is_ok();
        let mut own: Vec<Arrival> = sent.into_iter().filter(own).collect();
        own.sort_by_key(|arrival| arrival.index);
        own.dedup();
        let follows = |(place, arrival): &(usize, Arrival)| arrival.index <= *place as u64;
        let chain = own.into_iter().enumerate().take_while(follows).map(|(_, arrival)| arrival).collect();
        Arrivals::check(chain, (run, round), by)
    }

    /// Commitments that say of an arrival which is not before their own that their worker had seen it. Anybody can sign that of what
    /// never was, so it proves nothing by itself; who has seen one that is gone has the record.
    pub fn unseen(&self, commitments: &[Commitment]) -> Result<Vec<String>> {
        let hashes = self.all.iter().map(hash).collect::<Result<Vec<_>>>()?;
        let mut odd = Vec::new();
        for commitment in commitments {
            let (Some(place), Some(seen)) = (self.place(&hash(commitment)?), commitment.seen) else { continue };
            if seen.0 != nothing().0 && !hashes[..place as usize].iter().any(|hash| hash.0 == seen.0) {
                let worker = &commitment.worker;
                odd.push(format!(
                    "arrival {place}: {worker} says that it had seen the arrival {seen}, which is not before it"
                ));
            }
        }
        Ok(odd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::artifact::{commit, key::SigningKey};

    const RUN: Digest = Digest([1; 32]);

    fn key() -> SigningKey {
        let place = tempfile::tempdir().unwrap();
        SigningKey::generate(&place.path().join("k")).unwrap()
    }

    fn commitment(worker: &str, seen: Option<Digest>) -> Commitment {
        let (commitment, _) = commit(RUN, 3, worker, Digest::of(worker.as_bytes()), Digest([5; 32]));
        Commitment { seen, ..commitment }
    }

    fn received(key: &SigningKey, commitments: &[Commitment]) -> Arrivals {
        let mut arrivals = Arrivals::default();
        for commitment in commitments {
            let mut next = arrivals.next(RUN, 3, hash(commitment).unwrap(), NodeId(key.public()));
            record::sign(&mut next, key).unwrap();
            arrivals.push(next).unwrap();
        }
        arrivals
    }

    #[test]
    fn a_chain_is_one_order_and_no_other() {
        let key = key();
        let by = NodeId(key.public());
        let sent = ["ann", "bob", "cy"].map(|worker| commitment(worker, None));
        let arrivals = received(&key, &sent);
        let check = |all: &[Arrival]| Arrivals::check(all.to_vec(), (&RUN, 3), &by);
        assert_eq!(check(arrivals.all()).unwrap(), arrivals);
        assert_eq!(arrivals.end().count, 3);
        // Whoever stands first in the list, the chain says who came first; of whom it says nothing comes last.
        let late = commitment("dan", None);
        let shuffled = vec![late.clone(), sent[2].clone(), sent[0].clone(), sent[1].clone()];
        let ordered = arrivals.order(shuffled).unwrap();
        assert_eq!(ordered, [sent[0].clone(), sent[1].clone(), sent[2].clone(), late]);

        let all = arrivals.all();
        let refuse = |all: &[Arrival], says: &str| {
            let error = check(all).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        };
        refuse(&[all[1].clone(), all[0].clone()], "arrival 0 of round 3: index: expected 0, found 1");
        refuse(&all[1..], "arrival 0 of round 3: index: expected 0, found 1");
        refuse(&[all[0].clone(), all[0].clone()], "arrival 1 of round 3: index: expected 1, found 0");
        let other = Arrivals::check(all.to_vec(), (&RUN, 4), &by).unwrap_err();
        assert!(other.to_string().contains("arrival 0 of round 4: round: expected 4, found 3"), "{other}");
        let mut bent = all.to_vec();
        bent[1].before = RecordHash([0; 32]);
        refuse(&bent, "arrival 1 of round 3: sig: not a signature of this record by ");
        record::sign(&mut bent[1], &key).unwrap();
        refuse(&bent, "arrival 1 of round 3: before: expected ");
        let stranger = NodeId(SigningKey::generate(&tempfile::tempdir().unwrap().path().join("k")).unwrap().public());
        let theirs = Arrivals::check(all.to_vec(), (&RUN, 3), &stranger).unwrap_err();
        assert!(theirs.to_string().contains("arrival 0 of round 3: by: expected "), "{theirs}");
        // One commitment has one place.
        let twice = received(&key, &[sent[0].clone(), sent[0].clone()]);
        refuse(twice.all(), "arrival 1 of round 3: the commitment ");
        refuse(twice.all(), " has arrived before");
    }

    #[test]
    fn what_a_worker_says_that_it_had_seen_is_told_and_refuses_nothing() {
        let key = key();
        let ann = commitment("ann", Some(Digest([0; 32])));
        let first = received(&key, std::slice::from_ref(&ann));
        let bob = commitment("bob", Some(Digest(first.end().last.0)));
        let sent = [ann.clone(), bob.clone()];
        assert!(received(&key, &sent).unseen(&sent).unwrap().is_empty());
        // Bob moved before what he had seen; or bob lies.
        let told = received(&key, &[bob, ann]).unseen(&sent).unwrap();
        let seen = first.end().last;
        assert_eq!(told, [format!("arrival 0: bob says that it had seen the arrival {seen}, which is not before it")]);
    }

    #[test]
    fn a_chain_is_found_among_whatever_else_was_sent() {
        let key = key();
        let by = NodeId(key.public());
        let sent = ["ann", "bob", "cy"].map(|worker| commitment(worker, None));
        let chain = received(&key, &sent);
        let all = chain.all();
        let mut foreign = all[0].clone();
        foreign.round = 4;
        record::sign(&mut foreign, &key).unwrap();
        let among = |sent: &[&Arrival]| {
            Arrivals::among(sent.iter().map(|arrival| (*arrival).clone()).collect(), (&RUN, 3), &by)
        };
        let unsigned = Arrival { sig: None, ..all[0].clone() };
        assert_eq!(among(&[&all[1], &foreign, &all[0], &unsigned, &all[1], &all[2]]).unwrap(), chain);
        // Of one's own receipt alone nothing follows, and of a gap nothing after it.
        assert_eq!(among(&[&all[1]]).unwrap().all(), []);
        assert_eq!(among(&[&all[2], &all[0]]).unwrap().all(), &all[..1]);
        // Two words on one place are whose key it is.
        let mut second = chain.all()[1].clone();
        second.commitment = RecordHash([9; 32]);
        record::sign(&mut second, &key).unwrap();
        assert!(among(&[&all[0], &all[1], &second]).is_err());
    }
}
