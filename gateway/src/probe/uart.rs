//! What a UART makes of a line, bit by bit: for tests of what is heard at wrong settings.
//!
//! ```text
//!  idle ──┐start┌─┐ ┌───┐   ┌ stop ─     levels at the sender's bit length,
//!         └─────┘ └─┘   └───┘            sampled in the middle of the receiver's bits
//! ```
//!
//! The bench has such a model too; a PTY cannot say that a byte is damaged, and that is
//! what this one is for.

use venue_devices::{LineSettings, Parity};

use super::Heard;
use crate::source::LineErrors;

/// The line is idle for so many of the sender's bits between two bursts.
const IDLE_BITS: usize = 40;

/// What a receiver with the settings `to` hears of bursts that are sent with `from`.
pub(super) fn hear(bursts: &[Vec<u8>], from: LineSettings, to: LineSettings) -> Heard {
    let levels = bursts.iter().flat_map(|burst| {
        burst.iter().flat_map(move |byte| character(*byte, from)).chain(std::iter::repeat_n(true, IDLE_BITS))
    });
    let mut heard = Heard::at(Some(to));
    Receiver { levels: levels.collect(), from, to }.run(&mut heard);
    heard
}

/// The levels of one character; high is true.
fn character(byte: u8, line: LineSettings) -> impl Iterator<Item = bool> {
    let data = (0..line.data_bits).map(move |bit| byte >> bit & 1 == 1);
    let ones = data.clone().filter(|high| *high).count();
    let stop = std::iter::repeat_n(true, line.stop_bits.into());
    std::iter::once(false).chain(data).chain(parity_bit(ones, line.parity)).chain(stop)
}

fn parity_bit(ones: usize, parity: Parity) -> Option<bool> {
    match parity {
        Parity::None => None,
        Parity::Even => Some(ones % 2 == 1),
        Parity::Odd => Some(ones.is_multiple_of(2)),
    }
}

/// Time counts in units of which the sender's bit has `2 * to.baud` and the receiver's
/// `2 * from.baud`.
struct Receiver {
    levels: Vec<bool>,
    from: LineSettings,
    to: LineSettings,
}

impl Receiver {
    fn run(&self, heard: &mut Heard) {
        let bit = 2 * u64::from(self.from.baud);
        let mut at = 0;
        while let Some(start) = self.falling_edge(at) {
            let sample = |index: u8| self.level(start + u64::from(index) * bit + bit / 2);
            if sample(0) {
                at = start + bit / 2; // a glitch, no start bit
                continue;
            }
            let data: Vec<bool> = (1..=self.to.data_bits).map(sample).collect();
            let byte = data.iter().rev().fold(0_u8, |byte, high| byte << 1 | u8::from(*high));
            let mut next = self.to.data_bits + 1;
            let mut errors = LineErrors::default();
            if let Some(expected) = parity_bit(data.iter().filter(|high| **high).count(), self.to.parity) {
                errors.parity = u64::from(sample(next) != expected);
                next += 1;
            }
            errors.framing = u64::from(!sample(next));
            if errors.is_zero() {
                heard.push(&[byte]);
            } else {
                errors.dropped_bytes = 1;
            }
            heard.errors += errors;
            at = start + u64::from(next) * bit + bit / 2;
        }
    }

    fn level(&self, at: u64) -> bool {
        let index = usize::try_from(at / (2 * u64::from(self.to.baud))).expect("a short line");
        self.levels.get(index).copied().unwrap_or(true)
    }

    /// The first time from `at` on at which the line falls.
    fn falling_edge(&self, at: u64) -> Option<u64> {
        let length = 2 * u64::from(self.to.baud);
        let first = usize::try_from(at.div_ceil(length)).expect("a short line");
        let falls = |&index: &usize| !self.levels[index] && (index == 0 || self.levels[index - 1]);
        (first..self.levels.len()).find(falls).map(|index| index as u64 * length)
    }
}
