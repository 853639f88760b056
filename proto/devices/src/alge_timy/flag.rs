//! The flag at the head of a line: what the device thinks of the time.

use crate::CorrectionKind;

/// The first character of a long line (Timy manual, "RS-232 interface").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// ` ` – valid.
    Valid,
    /// `?` – no valid start number.
    NoStartNumber,
    /// `m` – from the memory.
    Memory,
    /// `c` – cleared.
    Cleared,
    /// `d` – disqualified.
    Disqualified,
    /// `i` – keyed in by hand.
    ManualInput,
    /// `n` – an old time was given to another start number.
    Renumbered,
    /// `s` – of the start list; its meaning is not documented.
    StartList,
    /// `p` – penalty.
    Penalty,
    /// `b` – blocked: it does not count.
    Blocked,
    /// `t` – came by radio.
    Radio,
}

impl Flag {
    /// Every flag.
    pub const ALL: [Self; 11] = [
        Self::Valid,
        Self::NoStartNumber,
        Self::Memory,
        Self::Cleared,
        Self::Disqualified,
        Self::ManualInput,
        Self::Renumbered,
        Self::StartList,
        Self::Penalty,
        Self::Blocked,
        Self::Radio,
    ];

    /// The character, as text.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Valid => " ",
            Self::NoStartNumber => "?",
            Self::Memory => "m",
            Self::Cleared => "c",
            Self::Disqualified => "d",
            Self::ManualInput => "i",
            Self::Renumbered => "n",
            Self::StartList => "s",
            Self::Penalty => "p",
            Self::Blocked => "b",
            Self::Radio => "t",
        }
    }

    /// The character.
    pub const fn byte(self) -> u8 {
        self.text().as_bytes()[0]
    }

    /// The flag of a character.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|flag| flag.byte() == byte)
    }

    /// The correction that a line with this flag is; none if it is a plain time.
    pub const fn correction(self) -> Option<CorrectionKind> {
        match self {
            Self::Cleared | Self::Blocked => Some(CorrectionKind::Cleared),
            Self::Disqualified => Some(CorrectionKind::Disqualified),
            Self::ManualInput => Some(CorrectionKind::Manual),
            Self::Renumbered => Some(CorrectionKind::Renumbered),
            Self::Penalty => Some(CorrectionKind::Penalty),
            Self::Valid | Self::NoStartNumber | Self::Memory | Self::StartList | Self::Radio => None,
        }
    }
}
