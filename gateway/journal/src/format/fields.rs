//! Little-endian fields, read one after another.

/// Reads little-endian fields; none past the end.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    /// A text behind its length as one byte, in a field of `room` bytes.
    pub(crate) fn short_text(&mut self, room: usize) -> Option<&'a str> {
        let length = usize::from(self.u8()?);
        let field = self.bytes(room)?;
        std::str::from_utf8(field.get(..length)?).ok()
    }
}

/// Writes a text behind its length as one byte into a field of `room` bytes.
///
/// # Panics
/// If the text does not fit; callers bound it.
pub(super) fn put_short_text(into: &mut Vec<u8>, text: &str, room: usize) {
    assert!(text.len() <= room && text.len() <= 255, "`{text}` is longer than the {room} bytes kept for it");
    into.push(u8::try_from(text.len()).expect("checked above"));
    into.extend_from_slice(text.as_bytes());
    into.resize(into.len() + room - text.len(), 0);
}
