//! BLAKE3 content digests, written as 64 lowercase hex digits.

use super::hex32::hex32;

hex32! {
    /// A BLAKE3 digest.
    Digest
}

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    /// A digest over parts, each with its length before it, under a purpose that separates domains.
    pub fn of_parts(purpose: &str, parts: &[&[u8]]) -> Digest {
        let mut hasher = blake3::Hasher::new();
        for part in std::iter::once(&purpose.as_bytes()).chain(parts) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.into()
    }

    /// Its first 64 bits as a key for the counter-based generator.
    pub fn philox_key(&self) -> [u32; 2] {
        let word = |i: usize| u32::from_le_bytes([self.0[i], self.0[i + 1], self.0[i + 2], self.0[i + 3]]);
        [word(0), word(4)]
    }

    /// The first eight hex digits, for people.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

impl From<blake3::Hasher> for Digest {
    fn from(hasher: blake3::Hasher) -> Digest {
        Digest(*hasher.finalize().as_bytes())
    }
}
