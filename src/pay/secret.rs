//! The escrow secret: with the offers it recovers every preimage, and nothing else does.

use std::fmt;

use lightning::bitcoin::hashes::hmac::{Hmac, HmacEngine};
use lightning::bitcoin::hashes::{Hash, HashEngine, sha256};

use super::ids::{OfferId, Preimage};
use crate::artifact::Digest;
use crate::error::{Error, Result};

/// 32 bytes that only their owner has. `Debug` shows nothing of them.
pub struct EscrowSecret([u8; 32]);

impl EscrowSecret {
    /// Parses the content of a secret file: 64 hex digits. No error tells what stands there.
    pub fn parse(text: &str) -> Result<EscrowSecret> {
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(text.trim_end(), &mut bytes)
            .map_err(|_| Error::data("expected an escrow secret of 64 hex digits"))?;
        Ok(EscrowSecret(bytes))
    }

    fn hmac(&self, purpose: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let mut engine = HmacEngine::<sha256::Hash>::new(&self.0);
        engine.input(purpose);
        parts.iter().for_each(|part| engine.input(part));
        Hmac::from_engine(engine).to_byte_array()
    }

    /// The preimage of a rung: HMAC-SHA256(secret, "l402/preimage/1\0" || offer || be32(rung)).
    pub fn preimage(&self, offer: &OfferId, rung: u32) -> Preimage {
        Preimage(self.hmac(b"l402/preimage/1\0", &[&offer.0, &rung.to_be_bytes()]))
    }

    /// The payment secret of a rung's invoice, the same whenever it is asked for.
    pub fn payment_secret(&self, offer: &OfferId, rung: u32) -> [u8; 32] {
        self.hmac(b"l402/payment-secret/1\0", &[&offer.0, &rung.to_be_bytes()])
    }

    /// The nonce that hides a commitment to an update.
    pub fn nonce(&self, run: &Digest, round: u64, worker: &str, update: &Digest) -> Digest {
        Digest(self.hmac(b"l402/nonce/1\0", &[&run.0, &round.to_be_bytes(), &update.0, worker.as_bytes()]))
    }
}

impl fmt::Debug for EscrowSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EscrowSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preimages_are_the_published_formula() {
        // python3: hmac.new(bytes([7]*32), b"l402/preimage/1\0" + bytes([9]*32) + (2).to_bytes(4, "big"), "sha256")
        let secret = EscrowSecret::parse(&"07".repeat(32)).unwrap();
        let preimage = secret.preimage(&OfferId([9; 32]), 2);
        assert_eq!(hex::encode(preimage.0), "bf0829e1bc74c275b42d9f4bd047380e6cbd6290eefa706796792e9685f12eee");
        assert_ne!(secret.preimage(&OfferId([9; 32]), 3), preimage);
        assert_ne!(secret.preimage(&OfferId([8; 32]), 2), preimage);
        assert_eq!(format!("{secret:?}"), "EscrowSecret(..)");
    }

    #[test]
    fn what_is_no_secret_is_refused_without_being_shown() {
        let error = EscrowSecret::parse("abcdef").unwrap_err().to_string();
        assert!(!error.contains("abcdef"), "{error}");
    }
}
