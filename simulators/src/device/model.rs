//! What a device is, apart from its port. Without I/O.

use std::time::Duration;

use super::ledger::Ledger;

/// A moment by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// On the clock that never steps.
    pub(super) now: Duration,
    /// By the wall clock, UTC ns.
    pub(super) utc_ns: i64,
}

/// What the device's operator does.
#[derive(Debug, Clone)]
pub(super) enum Action {
    /// An input is triggered.
    Impulse {
        channel: u8,
        start_number: u16,
        /// Local time of day; none for now.
        time_of_day: Option<Duration>,
    },
    /// The stored record at a place is cleared.
    Clear { index: usize },
    /// The stored record at a place is given to another start number.
    Renumber { index: usize, start_number: u16 },
    /// A start number is keyed in.
    Choose { start_number: u16 },
    /// The device computes a time from the last impulses of a start number.
    RunTime { start_number: u16 },
}

/// Why a device did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It has no such thing.
    #[error("this device has no {0}")]
    NotThisDevice(&'static str),
    /// An argument is out of its range.
    #[error("{0}")]
    OutOfRange(String),
    /// Too much waits on the line.
    #[error("too many lines wait to leave; wait until some have")]
    LineBusy,
    /// The device has ended.
    #[error("the simulated device has ended")]
    Ended,
    /// The port could not be opened.
    #[error("{0}")]
    Port(String),
}

/// A device behind a port.
pub(super) trait Model: Send {
    /// Takes what the gateway sent.
    fn handle_bytes(&mut self, at: Moment, bytes: &[u8]);

    /// Time went by.
    fn handle_timeout(&mut self, at: Moment, ledger: &mut Ledger);

    /// When [`Model::handle_timeout`] wants to be called next.
    fn poll_timeout(&self) -> Option<Duration>;

    /// The next line that it says, terminator included.
    fn poll_line(&mut self, at: Moment) -> Option<Vec<u8>>;

    /// Does what its operator does.
    fn act(&mut self, at: Moment, action: &Action, ledger: &mut Ledger) -> Result<(), Refused>;

    /// Lost power and has it again. What waits to be said is lost, what is stored stays.
    fn restart(&mut self);

    /// Whether its scenario has come to its end; true without one.
    fn is_done(&self) -> bool;

    /// Whether it says nothing before somebody listens, which no real device does.
    fn waits_for_listener(&self) -> bool {
        false
    }
}
