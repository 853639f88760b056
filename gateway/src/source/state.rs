//! What status shows of a source.

use std::fmt;
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::sync::{Mutex, PoisonError};

use super::Received;

/// Errors that a tty counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LineErrors {
    /// Bytes with a wrong parity bit.
    pub parity: u64,
    /// Bytes without a stop bit: wrong baud rate, or noise.
    pub framing: u64,
    /// Times that the UART was not emptied in time; bytes are missing.
    pub overrun: u64,
    /// Times that the kernel's buffer was full; bytes are missing.
    pub buffer_overrun: u64,
    /// Breaks: the line was open or held down.
    pub breaks: u64,
    /// Damaged bytes that the tty marked and that were therefore dropped; the kinds
    /// above say why, where the driver counts them.
    pub dropped_bytes: u64,
}

impl LineErrors {
    /// Whether there are none.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// The kinds that there are, for people: `2 parity, 2 dropped bytes`.
impl fmt::Display for LineErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (self.parity, "parity"),
            (self.framing, "framing"),
            (self.overrun, "overrun"),
            (self.buffer_overrun, "buffer overrun"),
            (self.breaks, "break"),
            (self.dropped_bytes, "dropped bytes"),
        ];
        let mut separator = "";
        for (count, kind) in kinds.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{separator}{count} {kind}")?;
            separator = ", ";
        }
        Ok(())
    }
}

impl AddAssign for LineErrors {
    fn add_assign(&mut self, other: Self) {
        self.parity += other.parity;
        self.framing += other.framing;
        self.overrun += other.overrun;
        self.buffer_overrun += other.buffer_overrun;
        self.breaks += other.breaks;
        self.dropped_bytes += other.dropped_bytes;
    }
}

/// A line that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectedSince {
    /// When it came up.
    pub since: Received,
    /// The tty or the address at the other end.
    pub peer: String,
}

/// State of a source at one moment. Counters run from the source's start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceSnapshot {
    /// The line, if it is up.
    pub connected: Option<ConnectedSince>,
    /// Where a device is awaited, if it is the one that connects.
    pub listening: Option<SocketAddr>,
    /// When the last byte came.
    pub last_byte: Option<Received>,
    /// The silence alarm is on.
    pub silent: bool,
    /// Bytes received, without the dropped ones.
    pub bytes_received: u64,
    /// Bytes sent to the device.
    pub bytes_sent: u64,
    /// Times that the line came up.
    pub connects: u64,
    /// Peers that no allow-list has.
    pub refused: u64,
    /// Errors that the tty counted.
    pub errors: LineErrors,
    /// Why the line went away or could not be brought up, last.
    pub last_error: Option<String>,
    /// The source was stopped.
    pub stopped: bool,
    /// The source's thread panicked: nothing is heard until the source is started again.
    pub faulted: bool,
}

impl SourceSnapshot {
    /// Times that the line came up again.
    pub fn reconnects(&self) -> u64 {
        self.connects.saturating_sub(1)
    }
}

/// The shared state of a source: written by its thread, read by anyone.
#[derive(Debug, Default)]
pub struct SourceState {
    // A mutex rather than a dozen atomics: it is taken once a read and never held
    // over anything that waits, and a reader gets values that belong together.
    snapshot: Mutex<SourceSnapshot>,
}

impl SourceState {
    /// A copy of the state.
    pub fn snapshot(&self) -> SourceSnapshot {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut SourceSnapshot)) {
        change(&mut self.snapshot.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Errors add up kind by kind, and only those that happened are named.
    #[test]
    fn errors_add_up_and_are_named() {
        let mut total = LineErrors { parity: 1, dropped_bytes: 1, ..LineErrors::default() };
        assert!(!total.is_zero() && LineErrors::default().is_zero());
        total += LineErrors { parity: 2, framing: 5, overrun: 6, buffer_overrun: 3, breaks: 4, dropped_bytes: 1 };
        let named = "3 parity, 5 framing, 6 overrun, 3 buffer overrun, 4 break, 2 dropped bytes";
        assert_eq!(total.to_string(), named);
        assert_eq!(LineErrors { breaks: 1, ..LineErrors::default() }.to_string(), "1 break");
    }
}
