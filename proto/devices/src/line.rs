//! Cuts a stream of text into lines of bounded length.
//!
//! A line ends with CR, LF or both; empty lines vanish. NULs before a line, which
//! serial ports give at power-on, are skipped. A line longer than the bound is
//! reported once, when the bound is passed, and the stream is in step again after
//! the next terminator.
//!
//! ```text
//!  \0\0 0001 C0  … \r\n 0002 C1  … \r xxxxxxxxxxxxxxxxxxxxx \r 00    (line goes away)
//!  └──┘└──────────┘    └──────────┘  └─ N bytes ─┘└ rest ─┘   └┘
//! skipped   line           line        TooLong    skipped    Truncated
//! ```

use heapless::Vec;

use crate::{DecodeError, ErrorKind, Item};

/// What [`LineFramer`] hands out: a line, or the bytes around lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Offset of its first byte in the stream since the line came up.
    pub offset: u64,
    /// Its bytes, without the terminator.
    pub bytes: &'a [u8],
    /// Why it is no whole line: `TooLong` (the first `N` bytes) or `Truncated`.
    pub fault: Option<ErrorKind>,
    /// The bytes belong to no line: NULs before one, or the rest of a line already
    /// reported as too long. Such runs come in pieces of any size.
    pub skipped: bool,
}

impl<'a> Line<'a> {
    /// The item that reports it, if it is anything but a whole line.
    pub fn fault_item(&self) -> Option<Item<'a>> {
        let Self { offset, bytes, fault, skipped } = *self;
        if skipped {
            return Some(Item::Skipped { offset, bytes });
        }
        fault.map(|kind| Item::Bad { offset, bytes, error: DecodeError::new(kind, bytes.len()) })
    }
}

/// Cuts a stream into lines of at most `N` bytes. The same bytes give the same
/// lines however they arrive; a line that lies within one piece is not copied.
#[derive(Debug, Clone, Default)]
pub struct LineFramer<const N: usize> {
    /// The line so far, as far as it came in earlier pieces.
    held: Vec<u8, N>,
    /// Offset of the next byte of the stream.
    offset: u64,
    /// Within the rest of a line that was too long.
    overlong: bool,
}

impl<const N: usize> LineFramer<N> {
    /// A framer at the beginning of a stream.
    pub const fn new() -> Self {
        Self { held: Vec::new(), offset: 0, overlong: false }
    }

    /// Whether a line has begun that has not ended.
    pub fn mid_line(&self) -> bool {
        self.overlong || !self.held.is_empty()
    }

    /// Takes the next bytes of the stream and hands out each line that ends in them.
    pub fn push(&mut self, mut bytes: &[u8], sink: &mut dyn FnMut(Line<'_>)) {
        while !bytes.is_empty() {
            let taken = if self.overlong {
                self.pass_overlong(bytes, sink)
            } else if self.held.is_empty() && bytes[0] == 0 {
                self.pass_nuls(bytes, sink)
            } else {
                self.take_line(bytes, sink)
            };
            self.offset += taken as u64;
            bytes = &bytes[taken..];
        }
    }

    /// The stream ended: hands out an unfinished line as truncated, and begins
    /// anew at offset 0.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Line<'_>)) {
        if !self.held.is_empty() {
            let offset = self.offset - self.held.len() as u64;
            sink(Line { offset, bytes: &self.held, fault: Some(ErrorKind::Truncated), skipped: false });
        }
        *self = Self::new();
    }

    /// Takes up to and with a terminator, and returns how many bytes it took.
    fn take_line(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Line<'_>)) -> usize {
        let room = N - self.held.len();
        let end = bytes.iter().take(room + 1).position(|&byte| is_terminator(byte));
        let Some(end) = end else {
            let fits = bytes.len() <= room;
            let part = &bytes[..bytes.len().min(room)];
            self.held.extend_from_slice(part).expect("no more than there is room for");
            if !fits {
                self.hand_out_held(part.len(), Some(ErrorKind::TooLong), sink);
                self.overlong = true;
            }
            return part.len();
        };
        if self.held.is_empty() {
            if end > 0 {
                sink(Line { offset: self.offset, bytes: &bytes[..end], fault: None, skipped: false });
            }
        } else {
            self.held.extend_from_slice(&bytes[..end]).expect("no more than there is room for");
            self.hand_out_held(end, None, sink);
        }
        end + 1
    }

    /// Hands out what is held, the last `latest` bytes of which are not yet counted.
    fn hand_out_held(&mut self, latest: usize, fault: Option<ErrorKind>, sink: &mut dyn FnMut(Line<'_>)) {
        let offset = self.offset + latest as u64 - self.held.len() as u64;
        sink(Line { offset, bytes: &self.held, fault, skipped: false });
        self.held.clear();
    }

    /// Passes over the rest of a line that was too long.
    fn pass_overlong(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Line<'_>)) -> usize {
        let end = bytes.iter().position(|&byte| is_terminator(byte));
        let rest = &bytes[..end.unwrap_or(bytes.len())];
        if !rest.is_empty() {
            sink(Line { offset: self.offset, bytes: rest, fault: None, skipped: true });
        }
        self.overlong = end.is_none();
        rest.len() + usize::from(end.is_some())
    }

    /// Passes over NULs before a line.
    fn pass_nuls(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Line<'_>)) -> usize {
        let count = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
        sink(Line { offset: self.offset, bytes: &bytes[..count], fault: None, skipped: true });
        count
    }
}

const fn is_terminator(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{vec, vec::Vec};

    type Found = (u64, Vec<u8>, Option<ErrorKind>, bool);

    /// What a framer with room for eight bytes finds; skipped runs joined.
    fn frame(pieces: &[&[u8]]) -> Vec<Found> {
        let mut framer = LineFramer::<8>::new();
        let mut found: Vec<Found> = Vec::new();
        let mut sink = |line: Line<'_>| match found.last_mut() {
            Some((offset, bytes, None, true)) if line.skipped && *offset + bytes.len() as u64 == line.offset => {
                bytes.extend_from_slice(line.bytes);
            }
            _ => found.push((line.offset, line.bytes.to_vec(), line.fault, line.skipped)),
        };
        pieces.iter().for_each(|piece| framer.push(piece, &mut sink));
        framer.finish(&mut sink);
        found
    }

    /// The drawing in the module's documentation, byte by byte.
    #[test]
    fn lines_and_what_lies_between_are_told_apart() {
        let found = frame(&[b"\0\0ab\r\n\n\0cd e\nxxxxxxxxyyy\r12345678\n\r0"]);
        let line = |offset, bytes: &[u8]| (offset, bytes.to_vec(), None, false);
        assert_eq!(
            found,
            [
                (0, b"\0\0".to_vec(), None, true),
                line(2, b"ab"),
                (7, b"\0".to_vec(), None, true),
                line(8, b"cd e"),
                (13, b"xxxxxxxx".to_vec(), Some(ErrorKind::TooLong), false),
                (21, b"yyy".to_vec(), None, true),
                line(25, b"12345678"),
                (35, b"0".to_vec(), Some(ErrorKind::Truncated), false),
            ]
        );
    }

    /// After the line went away, offsets count from 0 and nothing of the old
    /// stream is left.
    #[test]
    fn a_finished_framer_is_as_new() {
        let mut framer = LineFramer::<8>::new();
        framer.push(b"123456789", &mut |_| ());
        assert!(framer.mid_line());
        framer.finish(&mut |line| panic!("reported before: {line:?}"));
        framer.push(b"ab\r", &mut |line| assert_eq!((line.offset, line.bytes), (0, &b"ab"[..])));
    }

    proptest! {
        /// However a stream is cut, it gives the same lines.
        #[test]
        fn any_split_gives_the_same_lines(
            stream in prop::collection::vec(prop::sample::select(&b"\0\r\nab "[..]), 0..200),
            size in 1_usize..20,
        ) {
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            prop_assert_eq!(frame(&pieces), frame(&[&stream]));
        }

        /// Every byte but terminators is handed out, once and where it stood.
        #[test]
        fn nothing_but_terminators_is_left_out(stream in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut rebuilt = vec![None; stream.len()];
            for (offset, bytes, ..) in frame(&[&stream]) {
                for (index, byte) in bytes.into_iter().enumerate() {
                    prop_assert_eq!(rebuilt[offset as usize + index].replace(byte), None);
                }
            }
            for (found, byte) in rebuilt.into_iter().zip(stream) {
                prop_assert_eq!(found, (!is_terminator(byte)).then_some(byte));
            }
        }
    }
}
