//! Cuts a stream into sentences.
//!
//! A sentence begins with `$` or `!` and ends before CR, LF or the next start, so
//! that a lost terminator or a sentence injected into another costs no third one:
//!
//! ```text
//!  noise $GPGSV,4,1,15,0$GPZDA,…*6C\r\n  5,34,060*71\r\n  $GPZDA,…*6F$GPRMC,…*61\r\n
//!  └───┘ └── cut short ─┘└ sentence ┘    └ skipped ──┘    └ sentence ┘└ sentence ┘
//! ```

use heapless::Vec;

/// Longest sentence, terminator apart. The standard says 80 bytes; receivers of
/// four constellations and weather stations pass that, none is known to pass this.
pub const LONGEST: usize = 256;

/// A part of the stream. All bytes but terminators are in exactly one.
pub(super) enum Piece<'a> {
    /// From a start to what ended it, not yet verified.
    Sentence {
        offset: u64,
        bytes: &'a [u8],
        /// CR or LF ended it, rather than the next start or the end of the stream.
        terminated: bool,
        /// Other bytes began its line.
        behind_noise: bool,
    },
    /// The first [`LONGEST`] bytes of what began like a sentence and went on.
    TooLong { offset: u64, bytes: &'a [u8] },
    /// Bytes outside sentences; long runs in pieces of any size.
    Skipped { offset: u64, bytes: &'a [u8] },
}

/// The stream's place between two reads. A sentence that lies within one read is
/// not copied.
#[derive(Debug)]
pub(super) struct Framer {
    /// The sentence begun in earlier reads; empty outside sentences.
    held: Vec<u8, LONGEST>,
    /// Offset of the next byte of the stream.
    offset: u64,
    /// Bytes outside sentences came since the last terminator.
    noise: bool,
}

impl Framer {
    pub(super) const fn new() -> Self {
        Self { held: Vec::new(), offset: 0, noise: false }
    }

    /// Takes the next bytes of the stream and hands out what ends in them.
    pub(super) fn push(&mut self, mut bytes: &[u8], sink: &mut impl FnMut(Piece<'_>)) {
        while let [first, ..] = bytes {
            let taken = if self.held.is_empty() && !is_start(*first) {
                self.pass_gap(bytes, sink)
            } else {
                self.take_sentence(bytes, sink)
            };
            self.offset += taken as u64;
            bytes = &bytes[taken..];
        }
    }

    /// The stream ended: hands out what is held, and begins anew at offset 0.
    pub(super) fn finish(&mut self, sink: &mut impl FnMut(Piece<'_>)) {
        if !self.held.is_empty() {
            let offset = self.offset - self.held.len() as u64;
            sink(Piece::Sentence { offset, bytes: &self.held, terminated: false, behind_noise: self.noise });
        }
        *self = Self::new();
    }

    /// Passes over terminators, or over other bytes up to one or to a start.
    fn pass_gap(&mut self, bytes: &[u8], sink: &mut impl FnMut(Piece<'_>)) -> usize {
        let terminators = bytes.iter().take_while(|byte| is_terminator(**byte)).count();
        self.noise = terminators == 0;
        if terminators > 0 {
            return terminators;
        }
        let count = bytes.iter().position(|byte| is_end(*byte)).unwrap_or(bytes.len());
        sink(Piece::Skipped { offset: self.offset, bytes: &bytes[..count] });
        count
    }

    /// Takes a sentence up to its end, as far as it is here and no longer than is
    /// allowed. Returns how many bytes that were.
    fn take_sentence(&mut self, bytes: &[u8], sink: &mut impl FnMut(Piece<'_>)) -> usize {
        let room = LONGEST - self.held.len();
        let start = usize::from(self.held.is_empty());
        let window = &bytes[start..bytes.len().min(room + 1)];
        match window.iter().position(|byte| is_end(*byte)) {
            Some(count) => {
                let (sentence, rest) = bytes.split_at(start + count);
                let (terminated, behind_noise) = (is_terminator(rest[0]), self.noise);
                self.complete(sentence, |offset, bytes| {
                    sink(Piece::Sentence { offset, bytes, terminated, behind_noise });
                });
                self.noise &= !terminated;
                sentence.len() + usize::from(terminated)
            }
            None if bytes.len() <= room => {
                self.hold(bytes);
                bytes.len()
            }
            None => {
                self.complete(&bytes[..room], |offset, bytes| sink(Piece::TooLong { offset, bytes }));
                room
            }
        }
    }

    /// Hands on what is held and `last` behind it, in place if nothing is held.
    fn complete(&mut self, last: &[u8], hand_on: impl FnOnce(u64, &[u8])) {
        if self.held.is_empty() {
            return hand_on(self.offset, last);
        }
        let offset = self.offset - self.held.len() as u64;
        self.hold(last);
        hand_on(offset, &self.held);
        self.held.clear();
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes).expect("no more is taken than there is room for");
    }
}

const fn is_start(byte: u8) -> bool {
    matches!(byte, b'$' | b'!')
}

const fn is_terminator(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// All four lie at or below `$`, and little else of a sentence does.
const fn is_end(byte: u8) -> bool {
    byte <= b'$' && (is_start(byte) || is_terminator(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{vec, vec::Vec};

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Kind {
        Sentence,
        Unterminated,
        TooLong,
        Skipped,
    }
    use Kind::*;

    /// What the framer finds in a stream that is read in these pieces; skipped
    /// runs joined.
    fn frame<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<(Kind, usize, Vec<u8>)> {
        let mut framer = Framer::new();
        let mut found: Vec<(Kind, usize, Vec<u8>)> = Vec::new();
        let mut sink = |piece: Piece<'_>| {
            let (kind, offset, bytes) = match piece {
                Piece::Sentence { offset, bytes, terminated: true, .. } => (Sentence, offset, bytes),
                Piece::Sentence { offset, bytes, terminated: false, .. } => (Unterminated, offset, bytes),
                Piece::TooLong { offset, bytes } => (TooLong, offset, bytes),
                Piece::Skipped { offset, bytes } => (Skipped, offset, bytes),
            };
            match found.last_mut() {
                Some((Skipped, at, run)) if kind == Skipped && *at + run.len() == offset as usize => {
                    run.extend_from_slice(bytes);
                }
                _ => found.push((kind, offset as usize, bytes.to_vec())),
            }
        };
        pieces.into_iter().for_each(|piece| framer.push(piece, &mut sink));
        framer.finish(&mut sink);
        found
    }

    /// The drawing in the module's documentation: noise, a collision, a lost
    /// terminator, and a line that goes away in the middle.
    #[test]
    fn a_broken_delimiter_costs_no_third_sentence() {
        let found = frame([&b"noise $cut,0$a,1*6C\r\n5,34*71\r\n\n$b*6F!c*61\r\n$d"[..]]);
        let piece = |kind, offset, bytes: &[u8]| (kind, offset, bytes.to_vec());
        assert_eq!(
            found,
            [
                piece(Skipped, 0, b"noise "),
                piece(Unterminated, 6, b"$cut,0"),
                piece(Sentence, 12, b"$a,1*6C"),
                piece(Skipped, 21, b"5,34*71"),
                piece(Unterminated, 31, b"$b*6F"),
                piece(Sentence, 36, b"!c*61"),
                piece(Unterminated, 43, b"$d"),
            ]
        );
    }

    /// The bound is a whole sentence's: one of 256 bytes passes, one of 257 does not.
    #[test]
    fn the_longest_sentence_passes_and_one_byte_more_does_not() {
        for (length, kind) in [(LONGEST, Sentence), (LONGEST + 1, TooLong)] {
            let mut stream = vec![b'x'; length];
            stream[0] = b'$';
            stream.extend(b"\r\n$next\r\n");
            let found = frame([&stream[..]]);
            assert_eq!(found[0], (kind, 0, stream[..LONGEST].to_vec()));
            assert_eq!(found.last(), Some(&(Sentence, length + 2, b"$next".to_vec())));
        }
    }

    proptest! {
        /// However a stream is cut, it gives the same pieces, and every byte but
        /// terminators is in one of them, where it stood.
        #[test]
        fn any_split_gives_the_same_pieces_and_no_byte_is_lost(
            runs in prop::collection::vec((prop::sample::select(&b"$!\r\nab*"[..]), 1_usize..150), 0..30),
            size in 1_usize..400,
        ) {
            let stream: Vec<u8> = runs.into_iter().flat_map(|(byte, count)| {
                std::iter::repeat_n(byte, if is_start(byte) { 1 } else { count })
            }).collect();
            let whole = frame([&stream[..]]);
            prop_assert_eq!(&frame(stream.chunks(size)), &whole);

            let mut rest: Vec<Option<u8>> = stream.iter().copied().map(|byte| (!is_terminator(byte)).then_some(byte)).collect();
            for (kind, offset, bytes) in whole {
                prop_assert!(bytes.len() <= LONGEST || kind == Skipped);
                for (index, byte) in bytes.into_iter().enumerate() {
                    prop_assert_eq!(rest[offset + index].take(), Some(byte));
                }
            }
            prop_assert!(rest.iter().all(Option::is_none));
        }
    }
}
