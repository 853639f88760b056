//! The long line: a checked view over its bytes and its plain meaning, read and
//! written side by side.
//!
//! ```text
//! yNNNNmCCCxHH:MM:SS.zhtqxGGxRRRRkk     x = blank
//! 0    5 6   10          23  27  └─ check digits, in checksum mode
//! │    │ │   │           │   └─ rank, in printed lists only
//! │    │ │   │           └─ group
//! │    │ │   └─ value: time of day, duration or speed
//! │    │ └─ channel or kind of result, M in the last place = manual
//! │    └─ course of a parallel event: r, b or blank
//! └─ flag, start number
//! ```
//!
//! Source: ALGE Timy manual, "RS-232 interface".

use core::fmt::Write as _;

use super::{
    Code, Flag, PrintedSpeed, PrintedTime, PrintedValue, checksum,
    print::{Checks, LineBuffer},
    value,
};
use crate::{DecodeError, ErrorKind, Text};

/// Length of a line without rank and check digits.
pub(super) const LENGTH: usize = 26;
const DAY_NS: u64 = 86_400_000_000_000;

/// The course of a parallel event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Course {
    /// The event is not a parallel one.
    #[default]
    Single,
    /// `r`
    Red,
    /// `b`
    Blue,
}

impl Course {
    /// The word of the published contract; empty without courses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Single => "",
            Self::Red => "red",
            Self::Blue => "blue",
        }
    }

    /// The character of a line.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Single => b' ',
            Self::Red => b'r',
            Self::Blue => b'b',
        }
    }

    /// The course of a character.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b' ' => Some(Self::Single),
            b'r' => Some(Self::Red),
            b'b' => Some(Self::Blue),
            _ => None,
        }
    }
}

/// What a long line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// What the device thinks of it.
    pub flag: Flag,
    /// Start number up to 9999; 0 is none.
    pub start_number: u16,
    /// Course of a parallel event.
    pub course: Course,
    /// What the value is.
    pub code: Code,
    /// Triggered by hand, or a manual impulse went into it.
    pub manual: bool,
    /// The value.
    pub value: PrintedValue,
    /// Group or heat up to 99; none if blank.
    pub group: Option<u8>,
    /// Rank up to 9999, in printed lists only.
    pub rank: Option<u16>,
}

impl Record {
    /// A valid impulse of a channel at a time of day in ns, to 1/10 000 s; none at
    /// 24 hours.
    pub fn impulse(start_number: u16, code: Code, time_of_day_ns: u64) -> Option<Self> {
        let value = PrintedTime::cut(time_of_day_ns, 4).filter(|_| time_of_day_ns < DAY_NS)?;
        Some(Self {
            flag: if start_number == 0 { Flag::NoStartNumber } else { Flag::Valid },
            start_number,
            course: Course::Single,
            code,
            manual: false,
            value: PrintedValue::Time(value),
            group: Some(0),
            rank: None,
        })
    }

    /// The time of day in ns, if it is an impulse.
    pub const fn time_of_day_ns(&self) -> Option<u64> {
        match (self.code, self.value) {
            (Code::Impulse(_), PrintedValue::Time(time)) => Some(time.ns()),
            _ => None,
        }
    }

    /// Reads a line.
    ///
    /// # Errors
    /// `BadChecksum` if its check digits do not agree or are missing where
    /// `checks` requires them, `Truncated` or `BadLength` by its length, `BadTime`
    /// for a time that no clock shows, `BadField` else.
    pub fn parse(line: &[u8], checks: Checks) -> Result<Self, DecodeError> {
        let view = RecordLine::new(line, checks)?;
        let code = view.code()?;
        let record = Self {
            flag: Flag::from_byte(line[0]).ok_or(DecodeError::new(ErrorKind::BadField, 0))?,
            start_number: view.number(1, 5)?.unwrap_or(0),
            course: Course::from_byte(line[5]).ok_or(DecodeError::new(ErrorKind::BadField, 5))?,
            code: code.0,
            manual: code.1,
            value: view.value(code.0)?,
            group: view.number(24, 26)?.map(|group| group as u8),
            rank: view.rank()?,
        };
        match [9, 23].into_iter().find(|&offset| line[offset] != b' ') {
            Some(offset) => Err(DecodeError::new(ErrorKind::BadField, offset)),
            None => Ok(record),
        }
    }

    /// Writes the line, without check digits and terminator.
    pub fn emit(&self, out: &mut LineBuffer) {
        const ROOM: &str = "a long line has at most 31 of 64 characters";
        out.clear();
        write!(out, "{}{:04}", self.flag.text(), self.start_number.min(9999)).expect(ROOM);
        out.push(self.course.byte()).expect(ROOM);
        out.extend_from_slice(&self.code.emit(self.manual)).expect(ROOM);
        write!(out, " {}", self.value).expect(ROOM);
        out.resize(10 + value::WIDTH, b' ').expect(ROOM);
        match self.group {
            Some(group) => write!(out, " {:02}", group.min(99)).expect(ROOM),
            None => out.extend_from_slice(b"   ").expect(ROOM),
        }
        if let Some(rank) = self.rank {
            write!(out, " {:04}", rank.min(9999)).expect(ROOM);
        }
    }
}

/// A line of the right length, its check digits verified and taken off.
#[derive(Debug, Clone, Copy)]
pub struct RecordLine<'a>(&'a [u8]);

impl<'a> RecordLine<'a> {
    /// Checks length and check digits.
    ///
    /// # Errors
    /// `BadChecksum`, `Truncated` or `BadLength`.
    pub fn new(line: &'a [u8], checks: Checks) -> Result<Self, DecodeError> {
        let end = line.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
        let line = &line[..end.max(LENGTH).min(line.len())];
        match line.len().checked_sub(LENGTH) {
            None => Err(DecodeError::new(ErrorKind::Truncated, line.len())),
            Some(0 | 5) if checks == Checks::Required => Err(DecodeError::new(ErrorKind::BadChecksum, line.len())),
            Some(0 | 5) => Ok(Self(line)),
            Some(2 | 7) => {
                checksum::verify(line).map(Self).ok_or(DecodeError::new(ErrorKind::BadChecksum, line.len() - 2))
            }
            Some(_) => Err(DecodeError::new(ErrorKind::BadLength, LENGTH)),
        }
    }

    /// The start number as written, without padding; empty if there is none.
    pub fn start_number_text(&self) -> Text<'a> {
        Text::ascii(unpadded(&self.0[1..5]))
    }

    /// The value as written.
    pub fn value_text(&self) -> Text<'a> {
        Text::ascii(self.0[10..10 + value::WIDTH].trim_ascii())
    }

    /// The group as written.
    pub fn group_text(&self) -> Text<'a> {
        Text::ascii(self.0[24..26].trim_ascii())
    }

    fn code(&self) -> Result<(Code, bool), DecodeError> {
        Code::parse([self.0[6], self.0[7], self.0[8]]).ok_or(DecodeError::new(ErrorKind::BadField, 6))
    }

    fn value(&self, code: Code) -> Result<PrintedValue, DecodeError> {
        let field = &self.0[10..10 + value::WIDTH];
        let at = |(kind, offset)| DecodeError::new(kind, 10 + offset);
        match code {
            Code::Speed(_) => PrintedSpeed::parse(field).map(PrintedValue::Speed).map_err(at),
            Code::Impulse(_) | Code::Result(_) => {
                let time = PrintedTime::parse(field).map_err(at)?;
                if matches!(code, Code::Impulse(_)) && time.ns() >= DAY_NS {
                    return Err(DecodeError::new(ErrorKind::BadTime, 10));
                }
                Ok(PrintedValue::Time(time))
            }
        }
    }

    fn rank(&self) -> Result<Option<u16>, DecodeError> {
        match self.0.get(LENGTH) {
            None => Ok(None),
            Some(b' ') => self.number(LENGTH + 1, LENGTH + 5),
            Some(_) => Err(DecodeError::new(ErrorKind::BadField, LENGTH)),
        }
    }

    /// The number of a field, padded with blanks or zeros on the left; none if blank.
    fn number(&self, start: usize, end: usize) -> Result<Option<u16>, DecodeError> {
        let field = &self.0[start..end];
        let blanks = field.iter().take_while(|byte| **byte == b' ').count();
        let digits = &field[blanks..];
        if let Some(offset) = digits.iter().position(|byte| !byte.is_ascii_digit()) {
            return Err(DecodeError::new(ErrorKind::BadField, start + blanks + offset));
        }
        let number = digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
        Ok((!digits.is_empty()).then_some(number))
    }
}

/// A number as written, without blanks and zeros before it.
pub(super) fn unpadded(field: &[u8]) -> &[u8] {
    let start = field.iter().position(|byte| !matches!(byte, b' ' | b'0')).unwrap_or(field.len());
    &field[start..]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any record that a device could print.
    pub(in super::super) fn any_record() -> impl Strategy<Value = Record> {
        let codes: std::vec::Vec<Code> = Code::all().collect();
        let head = (prop::sample::select(&Flag::ALL[..]), 0_u16..=9999, 0_u8..3, prop::sample::select(codes));
        let tail = (any::<bool>(), 0..DAY_NS, 0_u8..=4, any::<bool>());
        (head, tail, prop::option::of(0_u8..=99), prop::option::of(0_u16..=9999)).prop_map(
            |(head, tail, group, rank)| {
                let (flag, start_number, course, code) = head;
                let (manual, ns, decimals, comma) = tail;
                let course = [Course::Single, Course::Red, Course::Blue][usize::from(course)];
                let time = PrintedTime::cut(ns, decimals).expect("below 100 hours");
                let value = match code {
                    Code::Speed(_) => PrintedValue::Speed(
                        PrintedSpeed::cut((ns / 1_000_000) as u32, decimals.min(3)).expect("below 999 999"),
                    ),
                    _ => PrintedValue::Time(if comma { time.with_comma() } else { time }),
                };
                Record { flag, start_number, course, code, manual: manual && code.can_be_manual(), value, group, rank }
            },
        )
    }

    fn record(line: &str) -> Result<Record, DecodeError> {
        Record::parse(line.as_bytes(), Checks::Detected)
    }

    /// Lines as a device prints them come back byte for byte.
    #[test]
    fn a_canonical_line_is_written_as_it_was_read() {
        for line in [
            "?0412 C0  07:41:02.3317 00",
            " 0007 C0M 07:48:11.4200 00",
            "c0007 C0M 07:48:11.42   00",
            "?0000 C1  07:59:30.0071 00",
            " 0007 RT  00:01:12.40   00",
            " 0007 RTM 00:00:41.08   00 0003",
            " 0007 MT  00:00:41.08   00 0003",
            " 0022rC0  18:03:44.2050 11",
            " 0023bC3  18:03:44.2050 11",
            " 0022rDTR 00:00:02.17   11",
            "t0004 C1  14:20:09.1188 00",
            " 0004 SQ  00:00:31,117  03",
            " 0004 kmh 87.25         00",
            " 0004 C9  14:20:09.1188   ",
        ] {
            let mut out = LineBuffer::new();
            record(line).expect(line).emit(&mut out);
            assert_eq!(core::str::from_utf8(&out), Ok(line));
        }
    }

    /// The fields of one line, and what padding means.
    #[test]
    fn fields_stand_where_the_manual_says() {
        let expected = Record {
            flag: Flag::Renumbered,
            start_number: 23,
            course: Course::Blue,
            code: Code::Impulse(super::super::Channel::new(3).expect("a channel")),
            manual: true,
            value: PrintedValue::Time(PrintedTime::cut(65_024_200_000_000, 2).expect("below 100 hours")),
            group: Some(11),
            rank: None,
        };
        for line in ["n0023bC3M 18:03:44.20   11", "n  23bc3M 18:03:44.20   11", "n0023bC3M 18:03:44.20   11   "] {
            assert_eq!(record(line), Ok(expected), "{line}");
        }
        let view = RecordLine::new(b" 0040 C1  18:03:44.20    7", Checks::Detected).expect("a sound line");
        assert_eq!(view.start_number_text(), Text::ascii(b"40"));
        assert_eq!((view.value_text(), view.group_text()), (Text::ascii(b"18:03:44.20"), Text::ascii(b"7")));
    }

    /// Each way of being wrong is told apart, with its place.
    #[test]
    fn wrong_lines_are_rejected_with_kind_and_place() {
        for (line, kind, offset) in [
            (" 0007 C1  25:61:00.0000 00", ErrorKind::BadTime, 13),
            (" 0007 C1  24:00:00.0000 00", ErrorKind::BadTime, 10),
            (" 0007 C1  11:22", ErrorKind::Truncated, 15),
            (" 0007 C1  11:22:33.44   00 2", ErrorKind::BadChecksum, 26),
            (" 0007 C1  11:22:33.44   00 0002 0007 C1  11:22:33.44", ErrorKind::BadLength, 26),
            ("x0007 C1  11:22:33.44   00", ErrorKind::BadField, 0),
            (" 00 7 C1  11:22:33.44   00", ErrorKind::BadField, 3),
            (" 0007gC1  11:22:33.44   00", ErrorKind::BadField, 5),
            (" 0007 X1  11:22:33.44   00", ErrorKind::BadField, 6),
            (" 0007 C1  11:22:33.44  100", ErrorKind::BadField, 23),
            (" 0007 C1  11:22:33.44   00 00x2", ErrorKind::BadField, 29),
            (" 0007 RT  11:22:33.44   0a", ErrorKind::BadField, 25),
        ] {
            assert_eq!(record(line), Err(DecodeError::new(kind, offset)), "{line}");
        }
    }

    /// Digits that do not agree reject a line whose body alone would be sound, and
    /// a line without any is rejected where they are required.
    #[test]
    fn check_digits_decide() {
        // 0xDD by awk over the bytes, see checksum.rs.
        let body = record(" 0007 C1  11:22:33.4455 02").expect("a sound line");
        for checks in [Checks::Detected, Checks::Required] {
            assert_eq!(Record::parse(b" 0007 C1  11:22:33.4455 02==", checks), Ok(body));
            let error = Record::parse(b" 0007 C1  11:22:33.4455 02=<", checks);
            assert_eq!(error, Err(DecodeError::new(ErrorKind::BadChecksum, 26)));
        }
        let error = Record::parse(b" 0007 C1  11:22:33.4455 02", Checks::Required);
        assert_eq!(error, Err(DecodeError::new(ErrorKind::BadChecksum, 26)));
    }

    proptest! {
        /// What is written is read back, with and without check digits.
        #[test]
        fn records_survive_a_round_trip(record in any_record()) {
            let mut out = LineBuffer::new();
            record.emit(&mut out);
            prop_assert_eq!(Record::parse(&out, Checks::Detected), Ok(record));
            let check = checksum::digits(&out);
            out.extend_from_slice(&check).expect("room for two more");
            prop_assert_eq!(Record::parse(&out, Checks::Required), Ok(record));
        }

        /// In checksum mode no line with one flipped bit is taken for a sound one.
        #[test]
        fn a_flipped_bit_is_found(record in any_record(), place in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let mut out = LineBuffer::new();
            record.emit(&mut out);
            let check = checksum::digits(&out);
            out.extend_from_slice(&check).expect("room for two more");
            let index = place.index(out.len());
            out[index] ^= 1 << bit;
            prop_assert!(Record::parse(&out, Checks::Required).is_err());
        }
    }
}
