//! Text as a device wrote it, in the device's character set.

use core::fmt;

/// The character set of a device's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Charset {
    /// ASCII; a byte above 7F shows as U+FFFD.
    #[default]
    Ascii,
    /// ISO 8859-1.
    Latin1,
    /// The IBM PC's code page 437, as ALGE devices print it.
    Cp437,
    /// UTF-8; a sequence that is none shows as U+FFFD.
    Utf8,
}

/// A slice of what a device wrote. Shows as Unicode; control characters, which
/// have no business in a name, show as U+FFFD.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Text<'a> {
    bytes: &'a [u8],
    charset: Charset,
}

impl<'a> Text<'a> {
    /// No text.
    pub const EMPTY: Self = Self { bytes: b"", charset: Charset::Ascii };

    /// Text in ASCII.
    pub const fn ascii(bytes: &'a [u8]) -> Self {
        Self { bytes, charset: Charset::Ascii }
    }

    /// Text in some character set.
    pub const fn new(bytes: &'a [u8], charset: Charset) -> Self {
        Self { bytes, charset }
    }

    /// The bytes as the device wrote them.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The text as it stands, if it is printable ASCII, which all character sets have in common.
    pub fn as_ascii(&self) -> Option<&'a str> {
        let is_plain = self.bytes.iter().all(|byte| (0x20..=0x7e).contains(byte));
        if is_plain { core::str::from_utf8(self.bytes).ok() } else { None }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        if let Some(text) = self.as_ascii() {
            return f.write_str(text);
        }
        if self.charset == Charset::Utf8 {
            return self.bytes.utf8_chunks().try_for_each(|chunk| {
                let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
                chunk.valid().chars().try_for_each(|c| f.write_char(shown(c)))?;
                if chunk.invalid().is_empty() { Ok(()) } else { f.write_char(char::REPLACEMENT_CHARACTER) }
            });
        }
        self.bytes.iter().try_for_each(|&byte| {
            f.write_char(match (byte, self.charset) {
                (0x20..=0x7e, _) => byte as char,
                (0xa0..=0xff, Charset::Latin1) => byte as char,
                (0x80..=0xff, Charset::Cp437) => CP437_HIGH[usize::from(byte - 0x80)],
                _ => char::REPLACEMENT_CHARACTER,
            })
        })
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.bytes.escape_ascii())
    }
}

/// Code page 437 from 80 to FF (Unicode Consortium, `CP437.TXT`).
const CP437_HIGH: [char; 128] = [
    'Ç', 'ü', 'é', 'â', 'ä', 'à', 'å', 'ç', 'ê', 'ë', 'è', 'ï', 'î', 'ì', 'Ä', 'Å', //
    'É', 'æ', 'Æ', 'ô', 'ö', 'ò', 'û', 'ù', 'ÿ', 'Ö', 'Ü', '¢', '£', '¥', '₧', 'ƒ', //
    'á', 'í', 'ó', 'ú', 'ñ', 'Ñ', 'ª', 'º', '¿', '⌐', '¬', '½', '¼', '¡', '«', '»', //
    '░', '▒', '▓', '│', '┤', '╡', '╢', '╖', '╕', '╣', '║', '╗', '╝', '╜', '╛', '┐', //
    '└', '┴', '┬', '├', '─', '┼', '╞', '╟', '╚', '╔', '╩', '╦', '╠', '═', '╬', '╧', //
    '╨', '╤', '╥', '╙', '╘', '╒', '╓', '╫', '╪', '┘', '┌', '█', '▄', '▌', '▐', '▀', //
    'α', 'ß', 'Γ', 'π', 'Σ', 'σ', 'µ', 'τ', 'Φ', 'Θ', 'Ω', 'δ', '∞', 'φ', 'ε', '∩', //
    '≡', '±', '≥', '≤', '⌠', '⌡', '÷', '≈', '°', '∙', '·', '√', 'ⁿ', '²', '■', '\u{a0}',
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString as _;

    /// A name in four character sets.
    #[test]
    fn text_shows_as_unicode() {
        assert_eq!(Text::ascii(b"C0").to_string(), "C0");
        assert_eq!(Text::new(b"M\x81ller", Charset::Cp437).to_string(), "Müller");
        assert_eq!(Text::new(b"M\xfcller", Charset::Latin1).to_string(), "Müller");
        assert_eq!(Text::new("Müller".as_bytes(), Charset::Utf8).to_string(), "Müller");
        assert_eq!(Text::new(b"M\xfcller\x1b", Charset::Utf8).to_string(), "M\u{fffd}ller\u{fffd}");
        assert_eq!(Text::ascii(b"\x00\xff").to_string(), "\u{fffd}\u{fffd}");
    }
}
