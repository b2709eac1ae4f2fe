//! Signing keys in files, until a Lightning node signs: secp256k1, signatures as `signmessage` makes them.

use std::fmt;
use std::fs;
use std::path::Path;

use lightning::bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use lightning::util::message_signing;

use super::Digest;
use super::record::Signer;
use crate::error::{Context, Error, IoContext, Result};
use crate::fsio;

/// A secret key. Its `Debug` shows the public key only.
pub struct SigningKey {
    secret: SecretKey,
    public: PublicKey,
}

impl SigningKey {
    /// Reads a key file: 64 hex digits, for its owner alone.
    pub fn load(path: &Path) -> Result<SigningKey> {
        use std::os::unix::fs::PermissionsExt;
        let meta = fs::metadata(path).path(path)?;
        if !meta.is_file() {
            return Err(Error::data(format!("{}: expected a key file", path.display())));
        }
        let mode = meta.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(Error::data(format!(
                "{}: expected a key file that only its owner can read, found mode {:03o}",
                path.display(),
                mode & 0o777
            ))
            .hint(format!("chmod 600 {}", path.display())));
        }
        // Neither content nor its errors may show the secret.
        let text = fsio::read_text(path)?;
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(text.trim(), &mut bytes)
            .ok()
            .and_then(|()| SecretKey::from_slice(&bytes).ok())
            .map(SigningKey::new)
            .ok_or_else(|| Error::data(format!("{}: expected a secp256k1 secret key in hex", path.display())))
    }

    /// Makes a key file (0600), which must not exist.
    pub fn generate(path: &Path) -> Result<SigningKey> {
        let bytes = fsio::random::<32>()?;
        let secret =
            SecretKey::from_slice(&bytes).map_err(|_| Error::bug("the random key is out of range; try again"))?;
        fsio::write_secret(path, format!("{}\n", hex::encode(bytes)).as_bytes())?;
        Ok(SigningKey::new(secret))
    }

    fn new(secret: SecretKey) -> SigningKey {
        let public = PublicKey::from_secret_key(&Secp256k1::new(), &secret);
        SigningKey { secret, public }
    }

    /// The public key.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The nonce that hides a commitment to an update: only the holder of the key can compute it, and it is the same for
    /// the same update.
    pub fn nonce(&self, run: &Digest, round: u64, worker: &str, update: &Digest) -> Digest {
        let key = blake3::derive_key("l402 key file: derived secrets", &self.secret.secret_bytes());
        let parts: [&[u8]; 4] = [&run.0, &round.to_le_bytes(), worker.as_bytes(), &update.0];
        let digest = Digest::of_parts("l402/nonce/1", &parts);
        Digest(*blake3::keyed_hash(&key, &digest.0).as_bytes())
    }
}

impl Signer for SigningKey {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn sign_message(&self, message: &str) -> Result<String> {
        Ok(message_signing::sign(message.as_bytes(), &self.secret))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public)
    }
}

/// Parses a public key: 66 hex digits.
pub fn parse_public(text: &str) -> Result<PublicKey> {
    text.parse::<PublicKey>()
        .ok()
        .filter(|key| key.to_string() == text)
        .ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            Error::data(format!("expected 66 hex digits of a public key, found {shown:?}"))
        })
        .at("public key")
}
