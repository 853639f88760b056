//! What the driver asks of a transport: to bring a line up, without blocking.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::PollFlags;

use super::back_off::BackOff;
use super::line::Line;

/// Brings lines up. Nothing here blocks; what needs time says what it waits for.
pub(super) trait Transport: Send {
    /// Begins or advances an attempt. Called when the line is down, at each turn of
    /// the loop; and when it is up, whenever [`interest`](Transport::interest) is
    /// ready: the line that then comes replaces the one before.
    fn open(&mut self, now: Duration) -> Opening;

    /// What an attempt waits for, or by what a new peer announces itself.
    fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        None
    }

    /// When [`open`](Transport::open) is to be called although nothing happened.
    fn deadline(&self) -> Option<Duration> {
        None
    }

    /// The waits between attempts.
    fn back_off(&self, seed: u64) -> BackOff;

    /// Whether the other end connects to us, so that after a line ended there is
    /// nothing to wait for.
    fn is_awaited(&self) -> bool {
        false
    }
}

/// What became of an attempt.
pub(super) enum Opening {
    /// It goes on.
    Pending,
    /// The line is up.
    Ready(Line),
    /// It failed: what, where, and how to mend it.
    Failed(String),
    /// Peers are awaited at this address, from now on. Said once.
    Listening(SocketAddr),
    /// So many peers were turned away since the last report; the last one's address.
    Refused { peer: String, count: u64 },
}
