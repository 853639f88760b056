//! How a device prints its lines, and what a reader demands of them.

use super::checksum;

/// Room for one line with check digits and terminator; no line is longer.
pub type LineBuffer = heapless::Vec<u8, 64>;

/// Longest line that the decoder holds, terminator apart.
pub(super) const LONGEST_LINE: usize = 62;

/// What a reader demands of check digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checks {
    /// Digits that stand there must agree; a line without any is believed.
    #[default]
    Detected,
    /// A long line without digits is rejected: the device is in checksum mode.
    Required,
}

/// How lines end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineEnd {
    /// CR, as devices send it.
    #[default]
    Cr,
    /// CR LF, as some converters and terminal programs make of it.
    CrLf,
    /// LF, as files saved on a PC have it.
    Lf,
}

/// How a device prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PrintStyle {
    /// Appends check digits to long lines and start numbers.
    pub checksum: bool,
    /// How lines end.
    pub end: LineEnd,
}

impl PrintStyle {
    /// Completes a line in place: check digits if `checkable`, terminator.
    pub(super) fn finish(self, checkable: bool, line: &mut LineBuffer) {
        line.truncate(LONGEST_LINE - 2);
        let check = checksum::digits(line);
        let check: &[u8] = if self.checksum && checkable { &check } else { b"" };
        let end: &[u8] = match self.end {
            LineEnd::Cr => b"\r",
            LineEnd::CrLf => b"\r\n",
            LineEnd::Lf => b"\n",
        };
        for part in [check, end] {
            line.extend_from_slice(part).expect("four bytes of room were made");
        }
    }
}
