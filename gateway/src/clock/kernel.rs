//! What the kernel says of its clock: adjtimex(2), read only.
#![expect(unsafe_code, reason = "adjtimex(2) has no safe wrapper in the libraries at hand")]

use std::time::Duration;

/// The kernel's word on its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Discipline {
    /// A daemon keeps the clock in step with UTC.
    pub synchronized: bool,
    /// Bound of the error; the kernel lets it grow while nobody corrects it.
    pub maximum_error: Duration,
    /// Estimate of the error.
    pub estimated_error: Duration,
}

impl Discipline {
    /// Asks the kernel; an answer that it refuses counts as not in step.
    pub fn read() -> Self {
        // SAFETY: `timex` is a plain C structure of integers, for which all zeros
        // is a valid value; with `modes` 0 the call only writes into it.
        let (state, timex) = unsafe {
            let mut timex: libc::timex = std::mem::zeroed();
            (libc::adjtimex(&raw mut timex), timex)
        };
        let microseconds = |value: libc::c_long| Duration::from_micros(u64::try_from(value).unwrap_or(0));
        Self {
            synchronized: state >= 0 && state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0,
            maximum_error: microseconds(timex.maxerror),
            estimated_error: microseconds(timex.esterror),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the machine, the kernel answers, and an undisciplined clock does
    /// not claim a small error (the kernel sets it to 16 s).
    #[test]
    fn the_kernel_answers() {
        let discipline = Discipline::read();
        assert!(discipline.synchronized || discipline.maximum_error >= Duration::from_millis(1), "{discipline:?}");
    }
}
