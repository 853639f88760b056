//! Takes the tty's marks out of a byte stream (termios(3), `PARMRK`).
//!
//! ```text
//! FF FF    → FF                   a byte FF
//! FF 00 n  → dropped, counted     n came with a parity or framing error, or is a break
//! ```
//!
//! Without marks the tty turns a damaged byte into 00, which a decoder cannot tell
//! from a byte that the device sent.

/// Where the last piece of the stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Plain,
    /// After FF.
    Escape,
    /// After FF 00.
    Marked,
}

/// Decodes a marked stream, in pieces of any size.
#[derive(Debug, Clone, Default)]
pub(super) struct MarkDecoder {
    state: State,
}

impl MarkDecoder {
    /// Appends the sound bytes of `input` to `output` (at most one more than
    /// `input` has) and returns how many damaged ones were dropped.
    pub(super) fn decode(&mut self, input: &[u8], output: &mut Vec<u8>) -> u64 {
        let mut dropped = 0;
        for &byte in input {
            self.state = match (self.state, byte) {
                (State::Plain, 0xff) => State::Escape,
                (State::Plain, _) => {
                    output.push(byte);
                    State::Plain
                }
                (State::Escape, 0x00) => State::Marked,
                (State::Escape, 0xff) => {
                    output.push(byte);
                    State::Plain
                }
                // Not of the tty's making: received before the mode was set.
                (State::Escape, _) => {
                    output.extend([0xff, byte]);
                    State::Plain
                }
                (State::Marked, _) => {
                    dropped += 1;
                    State::Plain
                }
            };
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(input: &[u8], expected: &[u8], expected_dropped: u64) {
        for cut in 0..=input.len() {
            let (mut decoder, mut output) = (MarkDecoder::default(), Vec::new());
            let mut dropped = decoder.decode(&input[..cut], &mut output);
            dropped += decoder.decode(&input[cut..], &mut output);
            assert_eq!((&output[..], dropped), (expected, expected_dropped), "cut at {cut}");
        }
    }

    /// The escapes of termios(3), cut anywhere.
    #[test]
    fn marks_are_taken_out() {
        check(b"1.02\r", b"1.02\r", 0);
        check(b"a\xff\xffb", b"a\xffb", 0);
        check(b"a\xff\x00xb", b"ab", 1);
        check(b"a\xff\x00\x00b", b"ab", 1);
        check(b"\xff\x00\xff\xff\xff\x00", b"\xff\x00", 1);
        check(b"\xff\x41", b"\xff\x41", 0);
    }

    proptest! {
        /// What a tty makes of any sound and damaged bytes comes back as the sound
        /// ones, in pieces of any size.
        #[test]
        fn any_split_gives_the_sound_bytes(
            bytes in proptest::collection::vec((any::<u8>(), any::<bool>()), 0..200),
            piece in 1_usize..20,
        ) {
            let mut marked = Vec::new();
            for &(byte, damaged) in &bytes {
                match (byte, damaged) {
                    (byte, true) => marked.extend([0xff, 0x00, byte]),
                    (0xff, false) => marked.extend([0xff, 0xff]),
                    (byte, false) => marked.push(byte),
                }
            }
            let (mut decoder, mut output, mut dropped) = (MarkDecoder::default(), Vec::new(), 0);
            for piece in marked.chunks(piece) {
                dropped += decoder.decode(piece, &mut output);
            }
            let sound: Vec<u8> = bytes.iter().filter(|(_, damaged)| !damaged).map(|(byte, _)| *byte).collect();
            prop_assert_eq!(output, sound);
            prop_assert_eq!(dropped, bytes.iter().filter(|(_, damaged)| *damaged).count() as u64);
        }
    }
}
