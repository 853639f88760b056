//! What stands around printed lists: titles before one, a trailer after it. A
//! memory dump ends with such a trailer too.
//!
//! ```text
//! CLASSEMENT:                                       ALGE-TIMING      or  ALGE TIMING
//! ALL                                               TIMY V 2210           TdC  8001
//! RUN TIME  or TOTAL TIME, MEMORY TIME            26-11-28  17:04      DEU V 20.11
//!  0007 RT  00:00:59.76   00 0001                                     26-11-28  17:04
//! ```

use core::fmt::Write as _;

use super::print::LineBuffer;
use crate::{Charset, CivilDate, Text};

/// A title of a printed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Title {
    /// `CLASSEMENT:` – a list begins.
    Classement,
    /// `ALL` – of all groups.
    All,
    /// `RUN TIME` – by the time of the run.
    RunTime,
    /// `TOTAL TIME` – by the sum of the runs.
    TotalTime,
    /// `MEMORY TIME` – as stored.
    MemoryTime,
}

impl Title {
    /// Every title.
    pub const ALL: [Self; 5] = [Self::Classement, Self::All, Self::RunTime, Self::TotalTime, Self::MemoryTime];

    /// The line.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Classement => "CLASSEMENT:",
            Self::All => "ALL",
            Self::RunTime => "RUN TIME",
            Self::TotalTime => "TOTAL TIME",
            Self::MemoryTime => "MEMORY TIME",
        }
    }

    /// The title of a line; none if it is of another kind.
    pub fn parse(line: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|title| title.text().as_bytes() == line.trim_ascii())
    }
}

/// A line of the trailer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trailer<'a> {
    /// `ALGE-TIMING` or `ALGE TIMING`.
    Maker(Text<'a>),
    /// `TIMY V 2210` or `TdC  8001`.
    Model(Text<'a>),
    /// `DEU V 20.11` – language and firmware.
    Firmware(Text<'a>),
    /// `26-11-28  17:04` – the device's clock.
    Clock(Text<'a>, CivilDate, u16),
}

impl<'a> Trailer<'a> {
    /// Reads a line; none if it is of another kind.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let line = line.trim_ascii();
        let text = Text::new(line, Charset::Cp437);
        match line {
            b"ALGE TIMING" | b"ALGE-TIMING" => Some(Self::Maker(text)),
            [b'T', b'I' | b'i', b'M' | b'm', b'Y' | b'y', b' ' | b'2' | b'3', ..] | [b'T', b'd', b'C', b' ', ..] => {
                Some(Self::Model(text))
            }
            [language @ .., b' ', b'V', b' ', _, _, b'.', _, _]
                if language.len() == 3 && language.iter().all(u8::is_ascii_uppercase) =>
            {
                Some(Self::Firmware(text))
            }
            _ => parse_clock(line).map(|(date, minutes)| Self::Clock(text, date, minutes)),
        }
    }

    /// The words of the line.
    pub const fn text(&self) -> Text<'a> {
        match *self {
            Self::Maker(text) | Self::Model(text) | Self::Firmware(text) | Self::Clock(text, ..) => text,
        }
    }

    /// Writes the line, without terminator.
    pub fn emit(&self, out: &mut LineBuffer) {
        out.clear();
        let indent: &[u8] = if matches!(self, Self::Clock(..)) { b"" } else { b"  " };
        for byte in indent.iter().chain(self.text().bytes()).take(32) {
            out.push(*byte).expect("32 of 64 characters");
        }
    }
}

/// Writes the text of a trailer's clock line, minutes counted from midnight.
pub(super) fn clock_text(date: CivilDate, minutes: u16) -> LineBuffer {
    let mut out = LineBuffer::new();
    let CivilDate { year, month, day } = date;
    write!(out, "{:02}-{month:02}-{day:02}  {:02}:{:02}", year % 100, minutes / 60, minutes % 60)
        .expect("at most 18 of 64 characters");
    out
}

/// Reads `yy-mm-dd  hh:mm`: a date of this century and minutes since midnight.
fn parse_clock(line: &[u8]) -> Option<(CivilDate, u16)> {
    let shape = line.len() == 15
        && b"00-00-00  00:00".iter().zip(line).all(|(sample, byte)| match sample {
            b'0' => byte.is_ascii_digit(),
            _ => sample == byte,
        });
    if !shape {
        return None;
    }
    let two = |offset: usize| (line[offset] - b'0') * 10 + line[offset + 1] - b'0';
    let (hours, minutes) = (u16::from(two(10)), u16::from(two(13)));
    let date = CivilDate::new(2000 + u16::from(two(0)), two(3), two(6))?;
    (hours < 24 && minutes < 60).then_some((date, hours * 60 + minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both makers' trailers, and lines that only look like one.
    #[test]
    fn trailers_are_told_from_other_text() {
        let date = CivilDate::new(2026, 11, 28).expect("a date that exists");
        let text = |line| Text::new(line, Charset::Cp437);
        for (line, expected) in [
            (&b"  ALGE TIMING"[..], Trailer::Maker(text(b"ALGE TIMING"))),
            (b"  ALGE-TIMING", Trailer::Maker(text(b"ALGE-TIMING"))),
            (b"   TdC  8001", Trailer::Model(text(b"TdC  8001"))),
            (b"  TIMY V 2210", Trailer::Model(text(b"TIMY V 2210"))),
            (b"  DEU V 20.11", Trailer::Firmware(text(b"DEU V 20.11"))),
            (b"26-11-28  17:04", Trailer::Clock(text(b"26-11-28  17:04"), date, 1024)),
        ] {
            assert_eq!(Trailer::parse(line), Some(expected), "{}", line.escape_ascii());
            let mut out = LineBuffer::new();
            expected.emit(&mut out);
            assert_eq!(Trailer::parse(&out), Some(expected));
        }
        for other in [&b"26-13-28  17:04"[..], b"26-11-28  24:04", b"26-11-28 17:04", b"ALGE", b"TIMYINIT", b""] {
            assert_eq!(Trailer::parse(other), None, "{}", other.escape_ascii());
        }
        assert_eq!(clock_text(date, 1024), *b"26-11-28  17:04");
    }
}
