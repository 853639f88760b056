//! Names of gateways, journals and places in a lane; built through a check.

use std::fmt;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// A gateway id must be usable as a DNS name in a certificate.
    #[error(
        "`{0}` is not a gateway id: use 1 to 253 characters of a-z, 0-9, `-` and `.`, each part starting and ending with a letter or digit"
    )]
    GatewayId(String),
    /// A journal epoch is 16 bytes, or 32 hex digits.
    #[error("a journal epoch is 16 bytes (32 hex digits), not {0}")]
    JournalEpoch(String),
}

/// The name of a gateway: a lower-case DNS name, since it must stand in the
/// gateway's certificate as a DNS SAN.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GatewayId(String);

impl GatewayId {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`InvalidId::GatewayId`] if it is not a lower-case DNS name.
    pub fn new(name: &str) -> Result<Self, InvalidId> {
        let label_is_sound = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if name.len() <= 253 && name.split('.').all(label_is_sound) {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidId::GatewayId(name.to_owned()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// 128 random bits that name one journal; sequences count within it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JournalEpoch([u8; 16]);

impl JournalEpoch {
    /// Takes the bytes as they are; the caller draws them at random.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Takes the bytes of a message.
    ///
    /// # Errors
    /// [`InvalidId::JournalEpoch`] unless there are 16 of them.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, InvalidId> {
        bytes.try_into().map(Self).map_err(|_| InvalidId::JournalEpoch(format!("{} bytes", bytes.len())))
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for JournalEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for JournalEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JournalEpoch({self})")
    }
}

impl std::str::FromStr for JournalEpoch {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let wrong = || InvalidId::JournalEpoch(format!("`{text}`"));
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 16];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

/// A place in a lane. The first event has 1; [`Sequence::ZERO`] stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Before the first event.
    pub const ZERO: Self = Self(0);

    /// The next place.
    ///
    /// # Panics
    /// At 2⁶⁴ − 1, which a gateway at a million events a second reaches in
    /// half a million years.
    #[must_use]
    pub const fn next(self) -> Self {
        match self.0.checked_add(1) {
            Some(next) => Self(next),
            None => panic!("a lane is out of sequence numbers"),
        }
    }

    /// The place `count` further on.
    ///
    /// # Panics
    /// Past 2⁶⁴ − 1.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        match self.0.checked_add(count) {
            Some(sum) => Self(sum),
            None => panic!("a lane is out of sequence numbers"),
        }
    }

    /// The place before, or [`Sequence::ZERO`] where there is none.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gateway id goes into a certificate, so it must be a DNS name.
    #[test]
    fn gateway_ids_are_lower_case_dns_names() {
        for good in ["a", "stade-1-a", "gw.stade-1.example", "1"] {
            assert_eq!(GatewayId::new(good).expect(good).as_str(), good);
        }
        let long = "a".repeat(64);
        for bad in ["", "-a", "a-", "A", "a_b", "a..b", "a b", long.as_str()] {
            assert!(GatewayId::new(bad).is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn an_epoch_is_read_back_from_its_text() {
        let epoch = JournalEpoch::from_bytes(*b"0123456789abcdef");
        assert_eq!(epoch.to_string().parse(), Ok(epoch));
        assert!("3031".parse::<JournalEpoch>().is_err());
        assert!("zz".repeat(16).parse::<JournalEpoch>().is_err());
        assert!(JournalEpoch::from_slice(&[0; 15]).is_err());
    }
}
