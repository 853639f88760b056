//! A sentence as a checked view over its bytes.

use super::{Decimal, TimeOfDay};
use crate::{DecodeError, ErrorKind, Text};

/// Who says a sentence: two capital letters or digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Talker([u8; 2]);

impl Talker {
    /// GPS.
    pub const GPS: Self = Self(*b"GP");
    /// Several satellite systems together.
    pub const GNSS: Self = Self(*b"GN");
    /// Weather instruments.
    pub const WEATHER: Self = Self(*b"WI");

    /// A talker; none if it holds anything but capital letters and digits, or
    /// begins with the `P` of proprietary sentences.
    pub const fn new(name: [u8; 2]) -> Option<Self> {
        if is_address_byte(name[0]) && is_address_byte(name[1]) && name[0] != b'P' { Some(Self(name)) } else { None }
    }

    /// Its two characters.
    pub const fn name(self) -> [u8; 2] {
        self.0
    }
}

/// A capital letter, as fields hold it for one of a few choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Letter(u8);

impl Letter {
    /// A capital letter; none if it is anything else.
    pub const fn new(letter: u8) -> Option<Self> {
        if letter.is_ascii_uppercase() { Some(Self(letter)) } else { None }
    }

    /// As a byte.
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// As text.
    pub fn text(self) -> Text<'static> {
        const LETTERS: &[u8; 26] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let index = usize::from(self.0 - b'A');
        Text::ascii(&LETTERS[index..=index])
    }
}

/// A verified sentence: start, address, fields, and check digits that agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sentence<'a> {
    bytes: &'a [u8],
    address: &'a [u8],
}

impl<'a> Sentence<'a> {
    /// Verifies a sentence from its start to its check digits, which may be in
    /// capital or small letters: the standard says capital, some devices do not
    /// know, and the content is verified either way.
    ///
    /// # Errors
    /// `BadChecksum` if the check digits are missing or do not agree; `BadField`
    /// if it begins unlike a sentence or holds bytes outside 20 to 7E.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        if !matches!(bytes.first(), Some(b'$' | b'!')) {
            return Err(DecodeError::new(ErrorKind::BadField, 0));
        }
        if !ends_with_check_digits(bytes) {
            return Err(DecodeError::new(ErrorKind::BadChecksum, bytes.len()));
        }
        let (body, check) = (&bytes[1..bytes.len() - 3], &bytes[bytes.len() - 2..]);
        if Some(checksum(body)) != hex_byte(check) {
            return Err(DecodeError::new(ErrorKind::BadChecksum, bytes.len() - 2));
        }
        if let Some(index) = body.iter().position(|byte| !matches!(byte, b' '..=b'~')) {
            return Err(DecodeError::new(ErrorKind::BadField, 1 + index));
        }
        let address = body.split(|byte| *byte == b',').next().unwrap_or_default();
        if address.len() < 3 || !address.iter().all(|byte| is_address_byte(*byte)) {
            return Err(DecodeError::new(ErrorKind::BadField, 1));
        }
        Ok(Self { bytes, address })
    }

    /// The whole sentence, from its start to its check digits.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Talker and formatter, or what a maker uses in their place.
    pub const fn address(&self) -> &'a [u8] {
        self.address
    }

    /// Talker and formatter of a plain sentence, the kind that the standard lays
    /// out; none if it is proprietary or encapsulated.
    fn plain(&self) -> Option<(Talker, &'a [u8; 3])> {
        let (talker, formatter) = self.address.split_first_chunk()?;
        let plain = self.bytes[0] == b'$';
        Some((Talker::new(*talker).filter(|_| plain)?, formatter.try_into().ok()?))
    }

    /// The three letters that tell what the fields mean; none if the maker does.
    pub fn formatter(&self) -> Option<&'a [u8; 3]> {
        self.plain().map(|(_, formatter)| formatter)
    }

    /// The talker, if the sentence is of that formatter.
    ///
    /// # Errors
    /// `BadField` at the address if it is of another.
    pub(super) fn expect(&self, formatter: &[u8; 3]) -> Result<Talker, DecodeError> {
        match self.plain() {
            Some((talker, found)) if found == formatter => Ok(talker),
            _ => Err(DecodeError::new(ErrorKind::BadField, 1)),
        }
    }

    /// The fields behind the address, one after the other.
    pub fn fields(&self) -> Fields<'a> {
        let offset = 1 + self.address.len();
        let fields = &self.bytes[offset..self.bytes.len() - 3];
        Fields { rest: fields.split_first().map(|(_, rest)| rest), offset: offset + 1 }
    }

    /// The bytes of a field, counted from 0; empty if there are fewer.
    pub fn field(&self, index: usize) -> &'a [u8] {
        let mut fields = self.fields();
        for _ in 0..index {
            fields.take();
        }
        fields.take().bytes
    }
}

/// The fields of a sentence in their order.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    /// What was not taken yet; none behind the last field.
    rest: Option<&'a [u8]>,
    /// Where it begins in the sentence.
    offset: usize,
}

impl<'a> Fields<'a> {
    /// The next field; empty ones, without end, behind the last.
    pub fn take(&mut self) -> Field<'a> {
        let offset = self.offset;
        let Some(rest) = self.rest else { return Field { bytes: b"", offset } };
        let end = rest.iter().position(|byte| *byte == b',');
        let bytes = &rest[..end.unwrap_or(rest.len())];
        self.rest = end.map(|end| &rest[end + 1..]);
        self.offset += bytes.len() + usize::from(end.is_some());
        Field { bytes, offset }
    }

    /// Whether no field is left.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_none()
    }

    /// How many fields are left.
    pub fn count(&self) -> usize {
        self.rest.map_or(0, |rest| 1 + rest.iter().filter(|byte| **byte == b',').count())
    }
}

/// One field. Most may be empty, which says that the value is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Where they begin in the sentence.
    pub offset: usize,
}

impl<'a> Field<'a> {
    /// The error of a field that holds what it cannot hold.
    pub const fn bad(&self) -> DecodeError {
        DecodeError::new(ErrorKind::BadField, self.offset)
    }

    /// The error of a field that holds a time or date that no clock shows.
    pub const fn bad_time(&self) -> DecodeError {
        DecodeError::new(ErrorKind::BadTime, self.offset)
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Its text.
    pub const fn text(&self) -> Text<'a> {
        Text::ascii(self.bytes)
    }

    /// Reads the field unless it is empty; what reads as none is bad.
    ///
    /// # Errors
    /// `BadField` if `read` makes nothing of it.
    pub fn read<T>(&self, read: impl FnOnce(&'a [u8]) -> Option<T>) -> Result<Option<T>, DecodeError> {
        if self.is_empty() { Ok(None) } else { read(self.bytes).map(Some).ok_or(self.bad()) }
    }

    /// A decimal number.
    ///
    /// # Errors
    /// `BadField` if it is none.
    pub fn decimal(&self) -> Result<Option<Decimal>, DecodeError> {
        self.read(Decimal::parse)
    }

    /// One capital letter.
    ///
    /// # Errors
    /// `BadField` if it is none.
    pub fn letter(&self) -> Result<Option<Letter>, DecodeError> {
        self.read(|bytes| match bytes {
            [letter] => Letter::new(*letter),
            _ => None,
        })
    }

    /// A time of day, `hhmmss` or `hhmmss.sss`.
    ///
    /// # Errors
    /// `BadTime` if no clock shows it.
    pub fn time(&self) -> Result<Option<TimeOfDay>, DecodeError> {
        self.read(TimeOfDay::parse).map_err(|_| self.bad_time())
    }

    /// The digits of a plain number of at most four, none if it is anything else.
    pub(super) fn digits(bytes: &[u8]) -> Option<u16> {
        if bytes.is_empty() || bytes.len() > 4 {
            return None;
        }
        bytes.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u16::from(byte - b'0')))
    }
}

/// Whether `*` and two more bytes end it.
pub(super) const fn ends_with_check_digits(bytes: &[u8]) -> bool {
    matches!(bytes, [_, .., b'*', _, _])
}

/// XOR of what stands between start and `*`.
pub(super) fn checksum(body: &[u8]) -> u8 {
    body.iter().fold(0, |sum, byte| sum ^ byte)
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    match digits {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

const fn is_address_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<&[u8], (ErrorKind, usize)>) {
        let found = Sentence::parse(bytes).map(|sentence| sentence.address());
        assert_eq!(found, expected.map_err(|(kind, at)| DecodeError::new(kind, at)), "{}", bytes.escape_ascii());
    }

    /// Sentences of real receivers, and what must not pass for one.
    #[test]
    fn the_check_digits_decide() {
        check(b"$GPZDA,005947.00,08,07,2010,+00,00*4E", Ok(b"GPZDA"));
        check(b"$GPZDA,005947.00,08,07,2010,+00,00*4e", Ok(b"GPZDA"));
        check(b"$WIMWV,57.5,R,13.0,N,A*26", Ok(b"WIMWV"));
        check(b"!AIVDO,1,1*55", Ok(b"AIVDO"));
        check(b"$PMTK001,314,3*36", Ok(b"PMTK001"));

        check(b"$GPZDA,005947.00,08,07,2010,+00,00*4F", Err((ErrorKind::BadChecksum, 35)));
        check(b"$GPZDA,005947.00,08,07,2010,+00,00*4G", Err((ErrorKind::BadChecksum, 35)));
        check(b"$GPZDA,005947.00,08,07,2010,+00,00", Err((ErrorKind::BadChecksum, 34)));
        check(b"$GPZDA,005947.00,08,07,2010,+00,00*4", Err((ErrorKind::BadChecksum, 36)));
        check(b"$*00", Err((ErrorKind::BadField, 1)));
        check(b"$37.9*13", Err((ErrorKind::BadField, 1)));
        check(b"$GPZDA,\x01*65", Err((ErrorKind::BadField, 7)));
        check(b"GPZDA*48", Err((ErrorKind::BadField, 0)));
        check(b"", Err((ErrorKind::BadField, 0)));
    }

    /// Fields are counted with the empty ones, and there is always one more.
    #[test]
    fn fields_stand_between_commas() {
        let sentence = Sentence::parse(b"$GPVTG,,T,5*1F").expect("a sound sentence");
        let mut fields = sentence.fields();
        assert_eq!(fields.count(), 3);
        for (bytes, offset) in [(&b""[..], 7), (b"T", 8), (b"5", 10)] {
            assert!(!fields.is_empty());
            assert_eq!(fields.take(), Field { bytes, offset });
        }
        assert!(fields.is_empty());
        assert_eq!(fields.take(), Field { bytes: b"", offset: 11 });
        assert_eq!(sentence.field(2), b"5");
        assert_eq!(sentence.field(3), b"");
    }

    /// What a maker or another protocol lays out has no formatter of ours.
    #[test]
    fn only_plain_sentences_have_a_formatter() {
        let formatter = |bytes| Sentence::parse(bytes).expect("a sound sentence").formatter();
        assert_eq!(formatter(b"$WIMWV,57.5,R,13.0,N,A*26"), Some(b"MWV"));
        assert_eq!(formatter(b"!AIVDO,1,1*55"), None);
        assert_eq!(formatter(b"$PMTK001,314,3*36"), None);
    }
}
