//! When which bytes leave: baud, pieces, noise, and a plug that is pulled within a
//! line. Without I/O.

use std::collections::VecDeque;
use std::time::Duration;

use crate::random::Random;

/// The most lines that wait; more are refused.
const MOST_LINES: usize = 1024;

/// What lies between two pieces without baud pacing, so that they are read apart.
const GAP: Duration = Duration::from_micros(200);

/// How bytes leave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Time of one character; none to send as fast as the port takes it.
    pub(super) character: Option<Duration>,
    /// Most bytes of a piece, at least 1; none to send a line at once, or in
    /// small pieces where a pace is kept.
    pub(super) chunk: Option<usize>,
}

impl Pace {
    /// Characters that a UART's FIFO gathers before the host sees them.
    const FIFO: usize = 8;

    fn piece(self) -> usize {
        match (self.chunk, self.character) {
            (Some(chunk), _) => chunk.max(1),
            (None, Some(_)) => Self::FIFO,
            (None, None) => usize::MAX,
        }
    }

    fn time_of(self, count: usize) -> Duration {
        match (self.character, self.chunk) {
            (Some(character), _) => character * u32::try_from(count).unwrap_or(u32::MAX),
            (None, Some(_)) => GAP,
            (None, None) => Duration::ZERO,
        }
    }
}

/// A line that leaves.
#[derive(Debug)]
struct Leaving {
    bytes: Vec<u8>,
    sent: usize,
    heard: bool,
}

/// A piece that leaves now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// Some of it was changed on the way.
    pub(super) damaged: bool,
    /// The plug is pulled behind it.
    pub(super) unplug: bool,
}

/// The sending half of a device's port.
#[derive(Debug)]
pub(super) struct Transmitter {
    pace: Pace,
    lines: VecDeque<Leaving>,
    free_at: Duration,
    noise_ppm: u32,
    random: Random,
    unplug_after: Option<u64>,
}

impl Transmitter {
    pub(super) fn new(pace: Pace, noise_ppm: u32, seed: u64) -> Self {
        let random = Random::new(seed);
        Self { pace, lines: VecDeque::new(), free_at: Duration::ZERO, noise_ppm, random, unplug_after: None }
    }

    /// Whether nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        self.lines.is_empty()
    }

    /// Takes a line; false if too many wait.
    pub(super) fn push(&mut self, now: Duration, bytes: Vec<u8>) -> bool {
        if bytes.is_empty() || self.lines.len() >= MOST_LINES {
            return bytes.is_empty();
        }
        if self.lines.is_empty() {
            self.free_at = self.free_at.max(now);
        }
        self.lines.push_back(Leaving { bytes, sent: 0, heard: true });
        true
    }

    /// Damages this many bytes of a million.
    pub(super) fn set_noise(&mut self, per_million: u32) {
        self.noise_ppm = per_million;
    }

    /// Pulls the plug when this many more bytes have left.
    pub(super) fn unplug_after(&mut self, bytes: u64) {
        self.unplug_after = Some(bytes);
    }

    /// Forgets what waits, the rest of a line that has begun included.
    pub(super) fn clear(&mut self) {
        self.lines.clear();
    }

    /// When the next piece leaves.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.next_count().map(|count| self.free_at + self.pace.time_of(count))
    }

    fn next_count(&self) -> Option<usize> {
        let line = self.lines.front()?;
        let limit = self.unplug_after.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        Some((line.bytes.len() - line.sent).min(self.pace.piece()).min(limit))
    }

    /// The piece that leaves now, if one is due. What became of it is to be told to
    /// [`Transmitter::left`] before the next.
    pub(super) fn poll_piece(&mut self, now: Duration) -> Option<Piece> {
        let (count, due) = (self.next_count()?, self.poll_timeout()?);
        if due > now {
            return None;
        }
        self.free_at = due;
        let line = self.lines.front_mut()?;
        let mut bytes = line.bytes[line.sent..line.sent + count].to_vec();
        line.sent += count;
        let damaged = self.damage(&mut bytes);
        let unplug = self.unplug_after.is_some_and(|left| left <= count as u64);
        self.unplug_after = self.unplug_after.filter(|_| !unplug).map(|left| left - count as u64);
        Some(Piece { bytes, damaged, unplug })
    }

    fn damage(&mut self, bytes: &mut [u8]) -> bool {
        let mut damaged = false;
        for byte in bytes.iter_mut().filter(|_| self.noise_ppm > 0) {
            if self.random.happens(self.noise_ppm) {
                *byte ^= 1 << self.random.below(8);
                damaged = true;
            }
        }
        damaged
    }

    /// The piece has left, and was heard or not; returns the line if it is complete.
    pub(super) fn left(&mut self, heard: bool) -> Option<(Vec<u8>, bool)> {
        let line = self.lines.front_mut()?;
        line.heard &= heard;
        if line.sent < line.bytes.len() {
            return None;
        }
        self.lines.pop_front().map(|line| (line.bytes, line.heard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    /// The pieces of one line with the times at which they leave.
    fn pieces(transmitter: &mut Transmitter, line: &[u8]) -> Vec<(Duration, Vec<u8>, bool)> {
        assert!(transmitter.push(Duration::ZERO, line.to_vec()));
        let mut left = Vec::new();
        while let Some(at) = transmitter.poll_timeout() {
            if at > Duration::ZERO {
                assert_eq!(transmitter.poll_piece(at - us(1)), None, "not before its time");
            }
            let piece = transmitter.poll_piece(at).expect("it is due");
            left.push((at, piece.bytes, piece.unplug));
            transmitter.left(true);
            if piece.unplug {
                break;
            }
        }
        left
    }

    /// 27 characters of ten bits at 9600 baud take 28.1 ms, in pieces of a FIFO.
    #[test]
    fn a_line_takes_its_time() {
        let character = Duration::from_nanos(10 * 1_000_000_000 / 9600);
        let mut transmitter = Transmitter::new(Pace { character: Some(character), chunk: None }, 0, 0);
        let left = pieces(&mut transmitter, b" 0007 C1  11:22:33.4455 00\r");
        assert_eq!(left.iter().map(|it| it.1.len()).collect::<Vec<_>>(), [8, 8, 8, 3]);
        assert_eq!(left.last().map(|it| it.0.as_micros()), Some(28_124));
    }

    /// Pieces of any size, and the plug pulled after as many bytes as were asked for,
    /// in the middle of a line.
    #[test]
    fn the_plug_is_pulled_within_a_line() {
        let mut transmitter = Transmitter::new(Pace { character: None, chunk: Some(3) }, 0, 0);
        transmitter.unplug_after(7);
        let left = pieces(&mut transmitter, b"0123456789");
        assert_eq!(
            left,
            [(us(200), b"012".to_vec(), false), (us(400), b"345".to_vec(), false), (us(600), b"6".to_vec(), true)]
        );
        assert!(!transmitter.is_idle(), "the rest of the line goes on leaving, into the void");
    }

    /// A line is heard only if every piece was.
    #[test]
    fn one_lost_piece_makes_a_line_unheard() {
        let mut transmitter = Transmitter::new(Pace { character: None, chunk: Some(5) }, 0, 0);
        transmitter.push(Duration::ZERO, b"0123456789".to_vec());
        for (heard, expected) in [(false, None), (true, Some((b"0123456789".to_vec(), false)))] {
            transmitter.poll_piece(us(1_000_000)).expect("due");
            assert_eq!(transmitter.left(heard), expected);
        }
        for _ in 0..MOST_LINES {
            assert!(transmitter.push(Duration::ZERO, b"x".to_vec()));
        }
        assert!(!transmitter.push(Duration::ZERO, b"x".to_vec()));
    }

    /// Noise flips one bit in each byte that it hits, and the same ones for a seed.
    #[test]
    fn noise_repeats() {
        let damaged = |seed| {
            let mut transmitter = Transmitter::new(Pace { character: None, chunk: None }, 100_000, seed);
            transmitter.push(Duration::ZERO, vec![0; 1000]);
            transmitter.poll_piece(Duration::ZERO).expect("due")
        };
        let piece = damaged(7);
        assert!(piece.damaged && piece.bytes.iter().all(|byte| byte.count_ones() <= 1));
        assert!((50..200).contains(&piece.bytes.iter().filter(|byte| **byte != 0).count()));
        assert_eq!(piece, damaged(7));
        assert_ne!(piece, damaged(8));
    }
}
