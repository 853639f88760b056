//! Writes sentences.

use core::fmt::Write as _;

use super::{Decimal, LONGEST, Talker, TimeOfDay, sentence::checksum};

/// A sentence as it goes on the line, CR and LF with it.
pub type EmittedLine = heapless::Vec<u8, { LONGEST + 2 }>;

/// Why a sentence cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    /// It would pass [`LONGEST`].
    #[error("longer than a sentence may be; say less in it, or make two")]
    TooLong,
    /// A text holds a byte that would end its field or the sentence.
    #[error("text that a field cannot hold; use 20 to 7E without `$ ! * ,`")]
    BadText,
}

/// Writes a sentence field by field; an error stands until the end.
pub(super) struct Writer {
    line: EmittedLine,
    error: Option<EmitError>,
}

impl Writer {
    /// `*HH` and the terminator.
    const TAIL: usize = 5;

    pub(super) fn new(talker: Talker, formatter: [u8; 3]) -> Self {
        let mut writer = Self { line: EmittedLine::new(), error: None };
        writer.push(b"$");
        writer.push(&talker.name());
        writer.push(&formatter);
        writer
    }

    /// Begins a field and leaves it empty.
    pub(super) fn empty(&mut self) {
        self.push(b",");
    }

    pub(super) fn text(&mut self, text: &[u8]) {
        self.push(b",");
        if text.iter().all(|byte| matches!(byte, b' '..=b'~') && !b"$!*,".contains(byte)) {
            self.push(text);
        } else {
            self.error = Some(EmitError::BadText);
        }
    }

    pub(super) fn letter(&mut self, letter: u8) {
        self.text(&[letter]);
    }

    pub(super) fn decimal(&mut self, value: Option<Decimal>) {
        self.push(b",");
        if let Some(value) = value {
            self.digits(value, 1);
        }
    }

    /// `hhmmss` and the decimals.
    pub(super) fn time(&mut self, time: Option<TimeOfDay>) {
        self.push(b",");
        let Some(time) = time else { return };
        let (hour, minute, second, fraction) = time.parts();
        self.format(format_args!("{hour:02}{minute:02}{second:02}"));
        if time.decimals() > 0 {
            self.format(format_args!(".{fraction:0width$}", width = usize::from(time.decimals())));
        }
    }

    /// A field of numbers without a comma between them.
    pub(super) fn formatted(&mut self, field: core::fmt::Arguments<'_>) {
        self.push(b",");
        self.format(field);
    }

    /// A number, at least `whole` digits before the point.
    pub(super) fn digits(&mut self, value: Decimal, whole: usize) {
        let unit = 10_u64.pow(u32::from(value.decimals()));
        let (sign, digits) = (if value.digits() < 0 { "-" } else { "" }, value.digits().unsigned_abs());
        self.format(format_args!("{sign}{:0whole$}", digits / unit));
        if value.decimals() > 0 {
            self.format(format_args!(".{:0width$}", digits % unit, width = usize::from(value.decimals())));
        }
    }

    /// Adds the check digits.
    pub(super) fn finish(mut self) -> Result<EmittedLine, EmitError> {
        let sum = checksum(&self.line[1..]);
        self.error.map_or(Ok(()), Err)?;
        write!(self.line, "*{sum:02X}\r\n").map_err(|_| EmitError::TooLong)?;
        Ok(self.line)
    }

    fn format(&mut self, text: core::fmt::Arguments<'_>) {
        if self.line.write_fmt(text).is_err() {
            self.error = Some(EmitError::TooLong);
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() + Self::TAIL > self.line.capacity() {
            self.error = Some(EmitError::TooLong);
        } else {
            self.line.extend_from_slice(bytes).expect("the room was checked");
        }
    }
}
