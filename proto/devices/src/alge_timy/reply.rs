//! What the device answers, or says unasked, in words.

use core::fmt::Write as _;

use super::print::LineBuffer;
use crate::{Charset, Text};

/// A reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `NSF…` – firmware, asked by `NSF?`.
    Firmware(Text<'a>),
    /// `HW_SN…` – serial number.
    SerialNumber(Text<'a>),
    /// `PROG: …` – program that runs, asked by `PROG?`.
    Program(Text<'a>),
    /// `PULSE HOLD:…` – impulses are held back at the device.
    PulseHold(Text<'a>),
    /// `CLR` – the memory was erased.
    MemoryCleared,
}

impl<'a> Reply<'a> {
    /// Reads a line; none if it is of another kind.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let line = line.trim_ascii();
        let after = |head: &[u8]| line.strip_prefix(head).map(|rest| Text::new(rest.trim_ascii(), Charset::Cp437));
        if line == b"CLR" {
            return Some(Self::MemoryCleared);
        }
        after(b"NSF")
            .map(Self::Firmware)
            .or_else(|| after(b"HW_SN").map(Self::SerialNumber))
            .or_else(|| after(b"PROG:").map(Self::Program))
            .or_else(|| after(b"PULSE HOLD:").map(Self::PulseHold))
    }

    /// Writes the line, without terminator; a text longer than 40 characters is cut.
    pub fn emit(&self, out: &mut LineBuffer) {
        out.clear();
        let (head, text) = match *self {
            Self::Firmware(text) => ("NSF", text),
            Self::SerialNumber(text) => ("HW_SN", text),
            Self::Program(text) => ("PROG: ", text),
            Self::PulseHold(text) => ("PULSE HOLD:", text),
            Self::MemoryCleared => ("CLR", Text::EMPTY),
        };
        out.write_str(head).expect("11 of 64 characters");
        for byte in text.bytes().iter().take(40) {
            out.push(*byte).expect("51 of 64 characters");
        }
    }
}
