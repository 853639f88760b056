//! The short lines: a start number chosen, and the running time.
//!
//! ```text
//! n0042      start number keyed in (n0000: none)      HH:MM:SS.z   running time,
//! s0042      the same from the start list                          ten a second
//! n0042r     the same on the red course               (EMU1)
//! ```
//!
//! In checksum mode the first may carry check digits *(assumption: the manual
//! speaks of them for long lines only)*.

use core::fmt::Write as _;

use super::{Course, PrintedTime, checksum, print::LineBuffer, record::unpadded};
use crate::{DecodeError, ErrorKind, Text};

/// Where a start number came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberSource {
    /// `n` – the keyboard.
    Keyboard,
    /// `s` – the start list.
    StartList,
}

/// The device's next time goes to another start number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartNumber {
    /// Where it came from.
    pub source: NumberSource,
    /// Up to 9999; 0 is none.
    pub number: u16,
    /// Course of a parallel event.
    pub course: Course,
}

impl StartNumber {
    /// Reads a line; none if it is of another kind.
    ///
    /// # Errors
    /// `BadChecksum` if what follows the number are not its check digits.
    pub fn parse(line: &[u8]) -> Option<Result<Self, DecodeError>> {
        let source = match line.first()? {
            b'n' => NumberSource::Keyboard,
            b's' => NumberSource::StartList,
            _ => return None,
        };
        let digits = line.get(1..5).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        let number = digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
        let (course, end) = match line.get(5) {
            Some(b'r') => (Course::Red, 6),
            Some(b'b') => (Course::Blue, 6),
            _ => (Course::Single, 5),
        };
        let found = Self { source, number, course };
        match line.len() - end {
            0 => Some(Ok(found)),
            2 if checksum::verify(line).is_some() => Some(Ok(found)),
            2 => Some(Err(DecodeError::new(ErrorKind::BadChecksum, end))),
            _ => None,
        }
    }

    /// The number as written, without padding; empty if there is none.
    pub(super) fn text(line: &[u8]) -> Text<'_> {
        Text::ascii(unpadded(line.get(1..5).unwrap_or_default()))
    }

    /// Writes the line, without check digits and terminator.
    pub fn emit(&self, out: &mut LineBuffer) {
        out.clear();
        let source = match self.source {
            NumberSource::Keyboard => 'n',
            NumberSource::StartList => 's',
        };
        let course = self.course.name().get(..1).unwrap_or_default();
        write!(out, "{source}{:04}{course}", self.number.min(9999)).expect("six of 64 characters");
    }
}

/// The time that runs on the display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunningTime(pub PrintedTime);

impl RunningTime {
    /// Reads a line; none if it is of another kind.
    pub fn parse(line: &[u8]) -> Option<Self> {
        (line.len() == 10).then(|| PrintedTime::parse(line).ok().map(Self)).flatten()
    }

    /// Writes the line, without terminator.
    pub fn emit(&self, out: &mut LineBuffer) {
        out.clear();
        write!(out, "{}", self.0).expect("13 of 64 characters");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both kinds, both courses and check digits (0x154 = 340 by awk, less the
    /// blank that checksum.rs has: 0x134).
    #[test]
    fn start_numbers_are_read_and_written() {
        use NumberSource::{Keyboard, StartList};
        for (line, source, number, course) in [
            ("n0042", Keyboard, 42, Course::Single),
            ("n0000", Keyboard, 0, Course::Single),
            ("s0042", StartList, 42, Course::Single),
            ("n1042r", Keyboard, 1042, Course::Red),
            ("s0007b", StartList, 7, Course::Blue),
        ] {
            let expected = StartNumber { source, number, course };
            assert_eq!(StartNumber::parse(line.as_bytes()), Some(Ok(expected)));
            let mut out = LineBuffer::new();
            expected.emit(&mut out);
            assert_eq!(out, line.as_bytes());
        }
        assert!(matches!(StartNumber::parse(b"n004234"), Some(Ok(StartNumber { number: 42, .. }))));
        assert_eq!(StartNumber::parse(b"n004235"), Some(Err(DecodeError::new(ErrorKind::BadChecksum, 5))));
        for other in [&b"n004"[..], b"n00x2", b"x0042", b"n0042rr", b"", b"n0042 C0  11"] {
            assert_eq!(StartNumber::parse(other), None, "{}", other.escape_ascii());
        }
        assert_eq!((StartNumber::text(b"n0042"), StartNumber::text(b"n0000")), (Text::ascii(b"42"), Text::EMPTY));
    }

    /// Ten characters, one decimal.
    #[test]
    fn running_times_are_read_and_written() {
        let mut out = LineBuffer::new();
        RunningTime::parse(b"00:01:12.4").expect("a running time").emit(&mut out);
        assert_eq!(out, *b"00:01:12.4");
        for other in [&b"00:61:12.4"[..], b"00:01:12.41", b"00:01:12"] {
            assert_eq!(RunningTime::parse(other), None, "{}", other.escape_ascii());
        }
    }
}
