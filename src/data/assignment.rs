//! Who works on what: drawn from a beacon that nobody knew before the roster closed, so that nobody picks his
//! shard, and anyone draws it again.

use lightning::bitcoin::secp256k1::PublicKey;
use serde::{Deserialize, Serialize};

use super::manifest::{Manifest, ShardEntry};
use super::roster::{Member, Roster};
use super::shard::Split;
use crate::artifact::key::parse_public;
use crate::artifact::record::{self, Record, Signed, Signer};
use crate::artifact::{Digest, WORKER_ID, valid_worker_id};
use crate::error::{Context, Error, Result};

/// A worker's work in a round.
///
/// Unsigned ones, with neither `coordinator` nor `sig`, are for experiments of one's own: nobody answers for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Digest of the recipe.
    pub run: Digest,
    /// The round.
    pub round: u64,
    /// The worker's id.
    pub worker: String,
    /// The public key that the worker's signatures are checked with, in hex.
    pub key: Option<String>,
    /// The shard's file name.
    pub shard: String,
    /// Digest of the shard's content.
    pub shard_digest: Digest,
    /// Decides the order of the shard's sequences, see [`super::BatchOrder`].
    pub order: Digest,
    /// What it was drawn from.
    pub beacon: Digest,
    /// The public key of the coordinator that signed it, in hex.
    pub coordinator: Option<String>,
    /// The coordinator's signature.
    pub sig: Option<String>,
}

impl Record for Assignment {
    const TYPE: &'static str = "assignment";
}

impl Signed for Assignment {
    fn sig(&mut self) -> &mut Option<String> {
        &mut self.sig
    }
}

/// What the draw of a round depends on, besides shards and roster.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// Digest of the recipe.
    pub run: Digest,
    /// The round.
    pub round: u64,
    /// 32 bytes that nobody knew when the roster closed.
    pub beacon: Digest,
}

impl Draw {
    fn digest(&self, purpose: &str, what: &[u8]) -> Digest {
        let round = self.round.to_le_bytes();
        Digest::of_parts(purpose, &[&self.run.0, &round, &self.beacon.0, what])
    }

    pub(super) fn order(&self, worker: &str) -> Digest {
        self.digest("l402/assign/order/1", worker.as_bytes())
    }

    /// Assigns training shards to workers: both are put in the order of a digest of run, round, beacon and the
    /// shard's digest or the worker's id, and the i-th worker gets the shard at i modulo their number. So the workers
    /// of any two shards differ by at most one. By ascending worker id, not signed.
    pub fn assign(&self, shards: &Manifest, roster: &Roster) -> Result<Vec<Assignment>> {
        let mut shards: Vec<&ShardEntry> = shards.split(Split::Train).collect();
        if shards.is_empty() {
            return Err(Error::data("the list names no training shard"));
        }
        // Equal shards have equal digests; their places in the list settle it.
        shards.sort_by_cached_key(|s| (self.digest("l402/assign/shard/1", &s.digest.0), s.index));
        let mut workers: Vec<&Member> = roster.members().iter().collect();
        workers.sort_by_cached_key(|m| self.digest("l402/assign/worker/1", m.worker.as_bytes()));
        let mut assignments: Vec<Assignment> = workers
            .into_iter()
            .zip(shards.iter().cycle())
            .map(|(member, shard)| Assignment {
                run: self.run,
                round: self.round,
                worker: member.worker.clone(),
                key: member.key.clone(),
                shard: shard.file.clone(),
                shard_digest: shard.digest,
                order: self.order(&member.worker),
                beacon: self.beacon,
                coordinator: None,
                sig: None,
            })
            .collect();
        assignments.sort_by(|a, b| a.worker.cmp(&b.worker));
        Ok(assignments)
    }
}

impl Assignment {
    /// Signs as the coordinator.
    pub fn sign(&mut self, signer: &(impl Signer + ?Sized)) -> Result<()> {
        self.coordinator = Some(signer.public().to_string());
        record::sign(self, signer)
    }

    /// Checks what the record says of itself: ids, keys, a file name that is one, the order that follows from the
    /// beacon. With a pinned key, the coordinator must be that one and the signature its own. Without one, a
    /// signature must fit the coordinator that the record names, which shows that it is whole, not who made it.
    pub fn verify(&self, pinned: Option<&PublicKey>) -> Result<()> {
        let place = || format!("assignment of worker {:?} in round {}", self.worker, self.round);
        self.check().at(place())?;
        let refuse = |what: String| Err(Error::refused(format!("{}: {what}", place())));
        let draw = Draw { run: self.run, round: self.round, beacon: self.beacon };
        let order = draw.order(&self.worker);
        if self.order != order {
            return refuse(format!("field order: expected {order}, found {}", self.order));
        }
        let key = match (&self.coordinator, &self.sig) {
            (None, None) if pinned.is_none() => return Ok(()),
            (None, _) => return refuse("field coordinator: expected a signer, found none".into()),
            (_, None) => return refuse("field sig: expected a signature, found none".into()),
            (Some(key), Some(_)) => parse_public(key).at("field coordinator").at(place())?,
        };
        if let Some(pinned) = pinned
            && *pinned != key
        {
            return refuse(format!("field coordinator: expected {pinned}, found {key}"));
        }
        if !record::verify(self, &key)? {
            return refuse(format!("field sig: not a signature of this record by {key}"));
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if !valid_worker_id(&self.worker) {
            return Err(Error::data(format!("field worker: expected {WORKER_ID}, found {:?}", self.worker)));
        }
        self.worker_key()?;
        let index = self.shard.strip_prefix("train-");
        let index = index.and_then(|s| s.strip_suffix(".safetensors")?.parse().ok());
        if index.is_none_or(|i| Split::Train.file_name(i) != self.shard) {
            return Err(Error::data(format!(
                "field shard: expected the file name of a training shard, found {:?}",
                self.shard
            )));
        }
        Ok(())
    }

    /// The public key that the worker's signatures are checked with, if it is known.
    pub fn worker_key(&self) -> Result<Option<PublicKey>> {
        let key = self.key.as_deref().map(parse_public).transpose();
        key.at("field key")
    }

    /// Refuses an assignment of another run.
    pub fn check_run(&self, run: &Digest) -> Result<()> {
        if self.run == *run {
            return Ok(());
        }
        Err(Error::refused(format!(
            "recipe: expected run {}, as assigned to {}, found run {run}",
            self.run, self.worker
        ))
        .hint("was the recipe changed after the assignment?"))
    }

    /// The assignment of a worker in a round, of which there must be one.
    pub fn find<'a>(assignments: &'a [Assignment], round: u64, worker: &str) -> Result<&'a Assignment> {
        let mut of_round = assignments.iter().filter(|a| a.round == round).peekable();
        if of_round.peek().is_none() {
            return Err(Error::missing(format!("no assignment is for round {round}"))
                .hint("`assign --round` makes those of a round"));
        }
        let mut found = of_round.filter(|a| a.worker == worker);
        let Some(first) = found.next() else {
            return Err(Error::missing(format!("no assignment in round {round} is for worker {worker}")));
        };
        match found.next() {
            None => Ok(first),
            Some(_) => Err(Error::data(format!("worker {worker} has more than one assignment in round {round}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::artifact::key::SigningKey;
    use crate::artifact::record::Line;
    use crate::data::manifest::tests::list;
    use crate::error::Kind;

    fn draw(beacon: &[u8]) -> Draw {
        Draw { run: Digest::of(b"run"), round: 3, beacon: Digest::of(beacon) }
    }

    fn roster(n: usize) -> Roster {
        let ids: Vec<String> = (0..n).map(|i| format!("w{i}")).collect();
        Roster::parse_list(&ids.join(",")).unwrap()
    }

    fn key(name: &str) -> SigningKey {
        let folder = tempfile::tempdir().unwrap();
        SigningKey::generate(&folder.path().join(name)).unwrap()
    }

    #[test]
    fn workers_and_shards_are_spread_evenly() {
        for (shards, workers) in [(1, 5), (7, 3), (7, 7), (7, 40)] {
            let manifest = Manifest::new(list(shards)).unwrap();
            let drawn = draw(b"a").assign(&manifest, &roster(workers)).unwrap();
            let mut counts: BTreeMap<String, usize> =
                manifest.split(Split::Train).map(|s| (s.file.clone(), 0)).collect();
            for assignment in &drawn {
                assignment.verify(None).unwrap();
                *counts.get_mut(&assignment.shard).unwrap() += 1;
            }
            assert_eq!(drawn.len(), workers);
            let (low, high) = (counts.values().min(), counts.values().max());
            assert!(high.unwrap() - low.unwrap() <= 1, "{counts:?}");
        }
    }

    #[test]
    fn anyone_draws_the_same_and_another_beacon_draws_otherwise() {
        let manifest = Manifest::new(list(9)).unwrap();
        let once = draw(b"a").assign(&manifest, &roster(9)).unwrap();
        assert_eq!(draw(b"a").assign(&manifest, &roster(9)).unwrap(), once);
        let other = draw(b"b").assign(&manifest, &roster(9)).unwrap();
        let shards = |a: &[Assignment]| a.iter().map(|a| a.shard.clone()).collect::<Vec<_>>();
        assert_ne!(shards(&once), shards(&other));
        assert!(once.iter().zip(&other).all(|(a, b)| a.order != b.order));
    }

    #[test]
    fn a_signed_assignment_comes_back_from_its_line() {
        let key = key("k");
        let manifest = Manifest::new(list(2)).unwrap();
        let mut signed = draw(b"a").assign(&manifest, &roster(1)).unwrap().remove(0);
        signed.sign(&key).unwrap();
        let text = record::line(&signed).unwrap();
        let line = Line::parse("a", text.trim_end()).unwrap();
        let back: Assignment = line.get().unwrap().unwrap();
        assert_eq!(back, signed);
        back.verify(Some(&key.public())).unwrap();
    }

    #[test]
    fn a_changed_a_foreign_or_a_missing_signature_is_refused() {
        let (ours, foreign) = (key("a"), key("b"));
        let manifest = Manifest::new(list(2)).unwrap();
        let unsigned = draw(b"a").assign(&manifest, &roster(1)).unwrap().remove(0);
        let mut signed = unsigned.clone();
        signed.sign(&ours).unwrap();
        let refuse = |assignment: &Assignment, pinned: Option<PublicKey>, part: &str| {
            let error = assignment.verify(pinned.as_ref()).expect_err(part);
            assert_eq!(error.kind(), Kind::Refused, "{error}");
            assert!(error.to_string().contains(part), "{error}");
            assert!(error.to_string().contains("\"w0\""), "{error}");
        };
        let pin = Some(ours.public());
        let with = |change: fn(&mut Assignment)| {
            let mut changed = signed.clone();
            change(&mut changed);
            changed
        };
        let other_shard = |a: &mut Assignment| {
            let other = if a.shard.contains("00000") { 1 } else { 0 };
            a.shard = Split::Train.file_name(other);
        };
        for pinned in [pin, None] {
            refuse(&with(other_shard), pinned, "field sig");
            refuse(&with(|a| a.shard_digest.0[0] ^= 1), pinned, "field sig");
            refuse(&with(|a| a.order.0[31] ^= 1), pinned, "field order");
            refuse(&with(|a| a.round += 1), pinned, "field order");
            refuse(&with(|a| a.sig = None), pinned, "field sig");
            refuse(&with(|a| a.coordinator = None), pinned, "field coordinator");
            refuse(&with(|a| a.sig = Some("zz".into())), pinned, "field sig");
        }
        refuse(&unsigned, pin, "field coordinator");
        refuse(&signed, Some(foreign.public()), "field coordinator");
        let mut posing = signed.clone();
        posing.sign(&foreign).unwrap();
        refuse(&posing, pin, "field coordinator");
        posing.coordinator = signed.coordinator.clone();
        refuse(&posing, pin, "field sig");
        unsigned.verify(None).unwrap();
    }

    #[test]
    fn a_file_name_that_leaves_the_folder_is_malformed() {
        let manifest = Manifest::new(list(1)).unwrap();
        let mut assignment = draw(b"a").assign(&manifest, &roster(1)).unwrap().remove(0);
        for name in ["../train-00000.safetensors", "train-0.safetensors", "val-00000.safetensors"] {
            assignment.shard = name.into();
            let error = assignment.verify(None).unwrap_err();
            assert_eq!(error.kind(), Kind::Data);
            assert!(error.to_string().contains("field shard"), "{error}");
        }
    }

    #[test]
    fn what_is_missing_or_there_twice_is_named() {
        let manifest = Manifest::new(list(1)).unwrap();
        let mut all = draw(b"a").assign(&manifest, &roster(2)).unwrap();
        assert_eq!(Assignment::find(&all, 3, "w1").unwrap().worker, "w1");
        let error = Assignment::find(&all, 4, "w1").unwrap_err();
        assert!(error.to_string().contains("round 4"), "{error}");
        let error = Assignment::find(&all, 3, "w9").unwrap_err();
        assert_eq!(error.kind(), Kind::Missing);
        assert!(error.to_string().contains("worker w9"), "{error}");
        all.push(all[1].clone());
        let error = Assignment::find(&all, 3, "w1").unwrap_err();
        assert_eq!(error.kind(), Kind::Data);
        all[0].check_run(&Digest::of(b"run")).unwrap();
        assert!(all[0].check_run(&Digest::of(b"other")).is_err());
    }

    /// Signs with another key than it says.
    struct Liar(SigningKey, SigningKey);

    impl Signer for Liar {
        fn public(&self) -> PublicKey {
            Signer::public(&self.0)
        }

        fn sign_message(&self, message: &str) -> Result<String> {
            self.1.sign_message(message)
        }
    }

    #[test]
    fn a_signature_that_others_would_refuse_is_not_given_out() {
        let liar = Liar(key("a"), key("b"));
        let manifest = Manifest::new(list(2)).unwrap();
        let mut assignment = draw(b"a").assign(&manifest, &roster(1)).unwrap().remove(0);
        let error = assignment.sign(&liar).unwrap_err();
        let says = format!("assignment record: the signature is not one by {}", Signer::public(&liar));
        assert_eq!((error.kind(), error.to_string()), (Kind::Refused, says));
    }
}
