//! Any line: which kind it is, and what it says.

use super::{
    Code, Flag, Record, Reply, RunningTime, StartNumber, Title, Trailer,
    print::{Checks, LineBuffer, PrintStyle},
};
use crate::{DecodeError, ErrorKind};

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Message<'a> {
    /// Blanks only: a line of paper between blocks.
    Blank,
    /// An impulse, a result, or a correction of one.
    Record(Record),
    /// A start number was chosen.
    StartNumber(StartNumber),
    /// The time on the display.
    RunningTime(RunningTime),
    /// A title of a printed list.
    Title(Title),
    /// The end of a list or of a memory dump.
    Trailer(Trailer<'a>),
    /// A reply.
    Reply(Reply<'a>),
}

impl<'a> Message<'a> {
    /// Reads a line without its terminator; none if it is text of a kind that is
    /// not known here.
    ///
    /// # Errors
    /// That of [`Record::parse`] for what looks like a record, whole or in part;
    /// `BadField` for control characters.
    pub fn parse(line: &'a [u8], checks: Checks) -> Result<Option<Self>, DecodeError> {
        if let Some(offset) = line.iter().position(u8::is_ascii_control) {
            return Err(DecodeError::new(ErrorKind::BadField, offset));
        }
        // Most lines are; no other kind looks like it.
        if begins_like_record(line) && line.get(10..18).is_some_and(is_time) {
            return Record::parse(line, checks).map(|record| Some(Self::Record(record)));
        }
        if line.iter().all(|byte| *byte == b' ') {
            return Ok(Some(Self::Blank));
        }
        if let Some(number) = StartNumber::parse(line) {
            return number.map(|number| Some(Self::StartNumber(number)));
        }
        let known = RunningTime::parse(line)
            .map(Self::RunningTime)
            .or_else(|| Title::parse(line).map(Self::Title))
            .or_else(|| Trailer::parse(line).map(Self::Trailer))
            .or_else(|| Reply::parse(line).map(Self::Reply));
        if known.is_none() && (begins_like_record(line) || holds_time(line)) {
            return Record::parse(line, checks).map(|record| Some(Self::Record(record)));
        }
        Ok(known)
    }

    /// Writes the line as a device prints it, check digits and terminator included.
    pub fn emit(&self, style: PrintStyle, out: &mut LineBuffer) {
        match self {
            Self::Blank => {
                out.clear();
                out.resize(32, b' ').expect("32 of 64 characters");
            }
            Self::Record(record) => record.emit(out),
            Self::StartNumber(number) => number.emit(out),
            Self::RunningTime(time) => time.emit(out),
            Self::Title(title) => {
                out.clear();
                out.extend_from_slice(title.text().as_bytes()).expect("11 of 64 characters");
            }
            Self::Trailer(trailer) => trailer.emit(out),
            Self::Reply(reply) => reply.emit(out),
        }
        style.finish(matches!(self, Self::Record(_) | Self::StartNumber(_)), out);
    }
}

/// Whether a line begins with flag, start number and code, as a record does.
fn begins_like_record(line: &[u8]) -> bool {
    let Some((head, rest)) = line.split_first_chunk::<6>() else { return false };
    let code = rest.first_chunk::<3>().copied().or_else(|| Some([*rest.first()?, *rest.get(1)?, b' ']));
    Flag::from_byte(head[0]).is_some()
        && head[1..5].iter().all(|byte| byte.is_ascii_digit() || *byte == b' ')
        && code.is_some_and(|code| Code::parse(code).is_some())
}

/// Whether a line holds `HH:MM:SS` anywhere: what is left of a damaged record.
fn holds_time(line: &[u8]) -> bool {
    line.windows(8).any(is_time)
}

/// Whether eight characters have the shape of `HH:MM:SS`.
fn is_time(text: &[u8]) -> bool {
    let shape = |(sample, byte): (&u8, &u8)| if *sample == b'0' { byte.is_ascii_digit() } else { sample == byte };
    b"00:00:00".iter().zip(text).all(shape)
}

#[cfg(test)]
mod tests {
    use super::{super::record::tests::any_record, *};
    use crate::Text;
    use proptest::prelude::*;
    use std::string::String;

    /// The kind of a line, by the head of its debug form.
    fn kind(line: &[u8]) -> String {
        let shown = std::format!("{:?}", Message::parse(line, Checks::Detected));
        shown.split(['(', ' ', '{', ')']).filter(|word| !matches!(*word, "Ok" | "Some" | "")).take(1).collect()
    }

    /// A line of each kind, text of no known kind, and what is left of records.
    #[test]
    fn each_kind_is_recognised() {
        for (line, expected) in [
            (&b" 0007 C0  07:48:11.4200 00"[..], "Record"),
            (b"                                ", "Blank"),
            (b"n0007", "StartNumber"),
            (b"00:01:12.4", "RunningTime"),
            (b"CLASSEMENT:", "Title"),
            (b"   TdC  8001", "Trailer"),
            (b"NSF 20A1", "Reply"),
            (b"HW_SN 004711", "Reply"),
            (b"PROG: Backup", "Reply"),
            (b"CLR", "Reply"),
            (b"PULSE HOLD:][", "Reply"),
            (b"TIMYINIT", "None"),
            (b"Z\x84hler 1", "None"),
        ] {
            assert_eq!(kind(line), expected, "{}", line.escape_ascii());
        }
        for (line, error) in [
            (&b" 0007 C0  07:4"[..], DecodeError::new(ErrorKind::Truncated, 14)),
            (b"C0  07:48:11.4200 00", DecodeError::new(ErrorKind::Truncated, 20)),
            (b"n0007\x00", DecodeError::new(ErrorKind::BadField, 5)),
        ] {
            assert_eq!(Message::parse(line, Checks::Detected), Err(error), "{}", line.escape_ascii());
        }
    }

    proptest! {
        /// Whatever is printed, in any style, is read back as the same.
        #[test]
        fn messages_survive_a_round_trip(record in any_record(), checksum: bool, title in 0_usize..5) {
            let program = Text::new(b"Pr\x84zision", crate::Charset::Cp437);
            for message in [
                Message::Record(record),
                Message::Blank,
                Message::Title(Title::ALL[title]),
                Message::Reply(Reply::Program(program)),
                Message::Reply(Reply::MemoryCleared),
            ] {
                let mut out = LineBuffer::new();
                message.emit(PrintStyle { checksum, ..PrintStyle::default() }, &mut out);
                prop_assert_eq!(out.pop(), Some(b'\r'));
                prop_assert_eq!(Message::parse(&out, Checks::Detected), Ok(Some(message)));
            }
        }

        /// No line, however broken, panics the reader.
        #[test]
        fn any_bytes_are_read_without_panic(line in prop::collection::vec(any::<u8>(), 0..70)) {
            for checks in [Checks::Detected, Checks::Required] {
                let read = Message::parse(&line, checks);
                prop_assert!(read.is_ok() || read.is_err_and(|error| error.offset <= line.len()));
            }
        }
    }
}
