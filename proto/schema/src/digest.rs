//! The digest chain over a lane.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::{JournalEpoch, v1::Lane};

/// A digest of everything in a lane up to some element:
/// D₀ = SHA-256(journal epoch ‖ lane byte), Dₙ = SHA-256(Dₙ₋₁ ‖ Eₙ).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// D₀, before the first element of a lane.
    pub fn initial(epoch: JournalEpoch, lane: Lane) -> Self {
        let mut hash = Sha256::new();
        hash.update(epoch.as_bytes());
        hash.update([lane as u8]);
        Self(hash.finalize().into())
    }

    /// The digest after one more element, given as it crossed the wire.
    #[must_use]
    pub fn then(self, element: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(element);
        Self(hash.finalize().into())
    }

    /// Takes the bytes of a message; none unless there are 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Takes 32 bytes as they are.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from coreutils:
    /// `printf '0123456789abcdef\001' | sha256sum`, then
    /// and the same over those 32 bytes followed by `hello`.
    #[test]
    fn the_chain_agrees_with_an_independent_sha256() {
        let start = Digest::initial(JournalEpoch::from_bytes(*b"0123456789abcdef"), Lane::Results);
        assert_eq!(start.to_string(), INITIAL);
        assert_eq!(start.then(b"hello").to_string(), AFTER_HELLO);
    }

    const INITIAL: &str = "80f19ec60d5ca8176316d476de0fee6c57f2ede5bd97ae1c32ca55779f414e98";
    const AFTER_HELLO: &str = "02d1a6a2c2569fa24671d84b7b7a0e2dedd4a209298e14bee687493e5d8fe5db";
}
