//! The gateway's clock, honestly: what time it is, and how well that is known.
//!
//! Two clocks are read together: one that counts since the boot and never steps
//! (CLOCK_BOOTTIME), and the wall clock, with what the kernel says of its
//! discipline (adjtimex). [`ClockModel`] turns samples of both into the records
//! that the journal keeps; it is pure and steps on simulated time. [`SystemClock`]
//! is its rim.
//!
//! **A date is known** once the kernel was in step with UTC in this boot, or if
//! the configuration says that the wall clock can be trusted, or if the machine
//! has a battery-backed clock (an RTC) and its time is not before this software
//! was built. Until then events carry monotonic time and boot id, and a
//! `clock_correction` follows when the date becomes known.

mod kernel;
mod model;
mod system;

pub use kernel::Discipline;
pub use model::{ClockModel, ClockRecord, ClockSample, CorrectedSpan, Quality};
pub use system::{SystemClock, time_awake, wall_clock};

use std::time::Duration;

/// When something reached the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Received {
    /// Since the boot; never steps.
    pub monotonic: Duration,
    /// By the wall clock, UTC ns; none while no date is known.
    pub utc_ns: Option<i64>,
}

/// 16 bytes that name one boot of the machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootId(pub [u8; 16]);

impl std::fmt::Display for BootId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for BootId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BootId({self})")
    }
}
