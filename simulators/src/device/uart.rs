//! What a UART makes of characters sent at other line settings than its own.
//!
//! ```text
//! idle ──┐start┌─┐ ┌───┐   ┌─ stop     at the sender's bit length,
//!        └─────┘ └─┘   └───┘           sampled in the middle of the receiver's bits
//! ```
//!
//! The line is idle before and after the characters that are given. A PTY knows no
//! framing and parity errors, so a damaged character arrives as the bits that were
//! sampled.

use venue_devices::{LineSettings, Parity};

/// Characters as a receiver with `to` reads what a sender with `from` sends. The same
/// characters if the settings are equal.
pub fn transfer(bytes: &[u8], from: LineSettings, to: LineSettings) -> Vec<u8> {
    if from == to {
        return bytes.to_vec();
    }
    if from.baud == 0 || to.baud == 0 {
        return Vec::new();
    }
    let line = Waveform { levels: bytes.iter().flat_map(|byte| character(*byte, from)).collect(), from, to };
    line.read()
}

/// Bits of a character on the line, start and stop bits included.
pub fn bits_per_character(line: LineSettings) -> u32 {
    1 + u32::from(line.data_bits) + u32::from(line.parity != Parity::None) + u32::from(line.stop_bits)
}

/// The levels of one character; high is true.
fn character(byte: u8, line: LineSettings) -> impl Iterator<Item = bool> {
    let data = (0..line.data_bits).map(move |bit| byte >> bit & 1 == 1);
    let ones = data.clone().filter(|high| *high).count();
    let parity = match line.parity {
        Parity::None => None,
        Parity::Even => Some(ones % 2 == 1),
        Parity::Odd => Some(ones.is_multiple_of(2)),
    };
    let stop = std::iter::repeat_n(true, line.stop_bits.into());
    std::iter::once(false).chain(data).chain(parity).chain(stop)
}

/// Levels of a line, a bit of the sender each. Time counts in units of which the
/// sender's bit has `2 * to.baud` and the receiver's `2 * from.baud`.
struct Waveform {
    levels: Vec<bool>,
    from: LineSettings,
    to: LineSettings,
}

impl Waveform {
    fn read(&self) -> Vec<u8> {
        let bit = 2 * u64::from(self.from.baud);
        let mut read = Vec::new();
        let mut at = 0;
        while let Some(start) = self.falling_edge(at) {
            let sample = |index: u64| self.level(start + index * bit + bit / 2);
            if sample(0) {
                at = start + bit / 2; // a glitch, no start bit
                continue;
            }
            let data = (0..self.to.data_bits).filter(|index| sample(1 + u64::from(*index)));
            read.push(data.fold(0, |byte, index| byte | 1 << index));
            let stop = u64::from(bits_per_character(self.to) - u32::from(self.to.stop_bits));
            at = start + stop * bit + bit / 2;
        }
        read
    }

    fn level(&self, at: u64) -> bool {
        let index = usize::try_from(at / (2 * u64::from(self.to.baud))).unwrap_or(usize::MAX);
        self.levels.get(index).copied().unwrap_or(true)
    }

    /// The first time from `at` on at which the line falls.
    fn falling_edge(&self, at: u64) -> Option<u64> {
        let length = 2 * u64::from(self.to.baud);
        let first = usize::try_from(at.div_ceil(length)).ok()?;
        let falls = |&index: &usize| !self.levels[index] && (index == 0 || self.levels[index - 1]);
        (first..self.levels.len()).find(falls).map(|index| index as u64 * length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn line(baud: u32, data_bits: u8, parity: Parity) -> LineSettings {
        LineSettings { baud, data_bits, parity, stop_bits: 1 }
    }

    /// Eight bits without parity see the parity bit of seven bits as their highest:
    /// the classic picture of a port that is set wrongly. `A` is 41, two ones.
    #[test]
    fn parity_is_read_as_the_eighth_bit() {
        let (seven_odd, eight) = (line(9600, 7, Parity::Odd), line(9600, 8, Parity::None));
        assert_eq!(transfer(b"AC", seven_odd, eight), [0x41 | 0x80, 0x43]);
    }

    /// A receiver that is three quarters too fast sees more characters, and others.
    #[test]
    fn a_wrong_speed_garbles() {
        let (slow, fast) = (line(4800, 8, Parity::None), line(9600, 8, Parity::None));
        // By hand: `U` is start 0, data 10101010, stop 1; each bit seen twice.
        assert_eq!(transfer(b"U", slow, fast)[0], 0b0110_0110);
        assert_ne!(transfer(b" 0007 C1  11:22:33.4455 00\r", slow, fast), b" 0007 C1  11:22:33.4455 00\r");
        assert_eq!(transfer(b"U", slow, line(0, 8, Parity::None)), b"");
    }

    proptest! {
        /// A UART bears a clock that is 3 % off: what the waveform says is what was sent.
        #[test]
        fn a_clock_that_is_a_little_off_is_borne(bytes: Vec<u8>, baud in 9312_u32..9888) {
            let (from, to) = (line(9600, 8, Parity::None), line(baud, 8, Parity::None));
            prop_assert_eq!(transfer(&bytes, from, to), bytes);
        }

        /// Any settings give some bytes, at most one for each receiver's start bit.
        #[test]
        fn any_settings_are_borne(bytes: Vec<u8>, from in 1_u32..200_000, to in 1_u32..200_000) {
            let read = transfer(&bytes, line(from, 8, Parity::None), line(to, 7, Parity::Even));
            prop_assert!(read.len() <= bytes.len() * 5);
        }
    }
}
