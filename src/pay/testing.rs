//! What the tests of this module build on: parties with keys, an offer, and everything that follows it.

use lightning::bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use lightning::util::message_signing;
use lightning_invoice::{RawBolt11Invoice, SignedRawBolt11Invoice};

use super::amount::Msat;
use super::ids::{Instance, NodeId, RecordHash};
use super::invoice;
use super::ladder::Ladder;
use super::messages::{Held, HeldRung, Invoices};
use super::offer::{Heights, Offer};
use super::secret::EscrowSecret;
use crate::artifact::Digest;
use crate::artifact::record::{self, Signer};
use crate::error::Result;

/// A node that is nothing but its key.
pub struct Key(pub SecretKey);

impl Key {
    pub fn new(seed: u8) -> Key {
        Key(SecretKey::from_slice(&[seed; 32]).unwrap())
    }

    pub fn id(&self) -> NodeId {
        NodeId(self.public())
    }
}

impl Signer for Key {
    fn public(&self) -> PublicKey {
        PublicKey::from_secret_key(&Secp256k1::new(), &self.0)
    }

    fn sign_message(&self, message: &str) -> Result<String> {
        Ok(message_signing::sign(message.as_bytes(), &self.0))
    }
}

pub const NOW: u64 = 1_700_000_000;

pub fn judge() -> Key {
    Key::new(1)
}

pub fn payer() -> Key {
    Key::new(2)
}

pub fn worker() -> Key {
    Key::new(3)
}

pub fn secret() -> EscrowSecret {
    EscrowSecret::parse(&"07".repeat(32)).unwrap()
}

/// An offer of 150,000 msat to alice, with changes before it gets its hashes and its signature.
pub fn offer_with(change: impl FnOnce(&mut Offer)) -> Offer {
    let mut offer = Offer {
        network: "regtest".into(),
        instance: Instance([5; 32]),
        run: Digest::of(b"run"),
        round: 3,
        worker: "alice".into(),
        attempt: 0,
        payee: worker().id(),
        payer: payer().id(),
        judge: judge().id(),
        self_judged: false,
        assignment: Digest::of(b"assignment"),
        theta: Digest::of(b"theta"),
        state_in: "zero".into(),
        rungs_msat: Ladder::new(Msat(150_000), 4).unwrap().rungs().to_vec(),
        hashes: Vec::new(),
        heights: Heights { offered_at: 100, lock_by: 118, commit_by: 262, reveal_by: 334, claim_by: 478 },
        sig: None,
    };
    change(&mut offer);
    let mut offer = offer.with_hashes(&secret()).unwrap();
    record::sign(&mut offer, &judge()).unwrap();
    offer
}

pub fn offer() -> Offer {
    offer_with(|_| {})
}

/// Signs an invoice's text with a key, whatever stands in it.
pub fn sign_invoice(bolt11: &str, key: &Key) -> String {
    let parsed: SignedRawBolt11Invoice = bolt11.parse().unwrap();
    sign_raw(parsed.into_parts().0, key)
}

pub fn sign_raw(raw: RawBolt11Invoice, key: &Key) -> String {
    let sign = |hash: &_| Ok::<_, ()>(Secp256k1::new().sign_ecdsa_recoverable(hash, &key.0));
    raw.sign(sign).unwrap().to_string()
}

pub fn invoices(offer: &Offer) -> Vec<String> {
    let build = |rung| invoice::build(offer, rung, &secret(), &[], NOW).unwrap();
    (0..offer.rungs_msat.len() as u32).map(|rung| sign_invoice(&build(rung), &worker())).collect()
}

pub fn invoices_message(offer: &Offer) -> Invoices {
    let mut message = Invoices { task: offer.task().unwrap(), invoices: invoices(offer), sig: None };
    record::sign(&mut message, &worker()).unwrap();
    message
}

pub fn held_with(offer: &Offer, change: impl FnOnce(&mut Held)) -> Held {
    let rungs = offer.rungs_msat.iter().zip(invoices(offer));
    let rungs = rungs.map(|(msat, bolt11)| HeldRung {
        invoice: RecordHash::of_invoice(&bolt11),
        msat: *msat,
        cltv_expiry: offer.heights.offered_at + 3 + offer.heights.final_delta(),
    });
    let mut held = Held { task: offer.task().unwrap(), rungs: rungs.collect(), height: 104, sig: None };
    change(&mut held);
    record::sign(&mut held, &worker()).unwrap();
    held
}

pub fn held(offer: &Offer) -> Held {
    held_with(offer, |_| {})
}

/// The error's text, which must name these.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T>, names: &[&str]) {
    let error = result.unwrap_err().to_string();
    assert!(names.iter().all(|name| error.contains(name)), "{error}: expected {names:?}");
}
