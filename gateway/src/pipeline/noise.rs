//! Bytes that no decoder understood: kept, but bounded in rate.
//!
//! A line at the wrong speed gives thousands of broken frames a second. The first
//! of each second are kept one by one; the rest of the second becomes one record
//! that says how many there were and shows the first bytes. Noise between frames
//! is always summarised.

use std::time::Duration;

use venue_schema::v1::{Raw, RawReason};

/// Broken frames kept one by one in a second.
pub(super) const SINGLE_PER_SECOND: u32 = 20;
/// Bytes of evidence that a summary keeps.
pub(super) const EVIDENCE_BYTES: usize = 256;

const SECOND: Duration = Duration::from_secs(1);

/// A record to be written, with its evidence.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RawRecord {
    /// Content of the event.
    pub(super) raw: Raw,
    /// The bytes, or the first of them.
    pub(super) evidence: Vec<u8>,
}

/// Bounds the records of one source's noise.
#[derive(Debug, Default)]
pub(super) struct NoiseGate {
    second_began: Option<Duration>,
    singles: u32,
    run: Option<RawRecord>,
    run_began: Duration,
}

impl NoiseGate {
    /// Takes a broken frame; returns the record if it is to be written by itself.
    pub(super) fn bad_frame(
        &mut self,
        now: Duration,
        error: &str,
        error_offset: usize,
        offset: u64,
        bytes: &[u8],
    ) -> Option<RawRecord> {
        if self.second_began.is_none_or(|began| now.saturating_sub(began) >= SECOND) {
            self.second_began = Some(now);
            self.singles = 0;
        }
        if self.singles >= SINGLE_PER_SECOND {
            self.add(now, RawReason::BadFrame, error, offset, bytes);
            return None;
        }
        self.singles += 1;
        let raw = Raw {
            reason: RawReason::BadFrame.into(),
            error: error.to_owned(),
            error_offset: u32::try_from(error_offset).unwrap_or(u32::MAX),
            stream_offset: offset,
            bytes: bytes.len() as u64,
            count: 1,
        };
        Some(RawRecord { raw, evidence: bytes.to_vec() })
    }

    /// Takes bytes between frames.
    pub(super) fn skipped(&mut self, now: Duration, offset: u64, bytes: &[u8]) {
        self.add(now, RawReason::Noise, "", offset, bytes);
    }

    /// The summary that is due at `now`: a second after its first byte.
    pub(super) fn due(&mut self, now: Duration) -> Option<RawRecord> {
        if now.saturating_sub(self.run_began) >= SECOND { self.run.take() } else { None }
    }

    /// When a summary will be due; none if there is nothing to summarise.
    pub(super) fn due_at(&self) -> Option<Duration> {
        self.run.is_some().then_some(self.run_began + SECOND)
    }

    /// The summary so far, due or not: the line went away.
    pub(super) fn finish(&mut self) -> Option<RawRecord> {
        self.run.take()
    }

    fn add(&mut self, now: Duration, reason: RawReason, error: &str, offset: u64, bytes: &[u8]) {
        let run = self.run.get_or_insert_with(|| {
            self.run_began = now;
            let raw = Raw { reason: reason.into(), error: error.to_owned(), stream_offset: offset, ..Raw::default() };
            RawRecord { raw, evidence: Vec::new() }
        });
        if reason == RawReason::BadFrame && run.raw.reason() != RawReason::BadFrame {
            // A broken frame says more than the noise around it.
            run.raw.set_reason(reason);
            run.raw.error = error.to_owned();
        }
        run.raw.bytes += bytes.len() as u64;
        run.raw.count = run.raw.count.saturating_add(1);
        let room = EVIDENCE_BYTES.saturating_sub(run.evidence.len());
        run.evidence.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// A cable at the wrong speed: a thousand broken frames in one second become
    /// twenty records and one summary that accounts for the rest.
    #[test]
    fn a_storm_of_broken_frames_is_bounded_and_accounted_for() {
        let mut gate = NoiseGate::default();
        let singles = (0..1000)
            .filter(|&index| gate.bad_frame(ms(index), "bad_field", 3, index * 5, b"\xf0\x00\x81\x7f\x01").is_some())
            .count();
        assert_eq!(singles, SINGLE_PER_SECOND as usize);
        assert_eq!(gate.due(ms(1_000)), None, "the run began at 20 ms");
        assert_eq!(gate.due_at(), Some(ms(1_020)));
        let summary = gate.due(ms(1_020)).expect("due a second after it began");
        assert_eq!((summary.raw.count, summary.raw.bytes), (980, 4_900));
        assert_eq!(summary.raw.reason(), RawReason::BadFrame);
        assert_eq!(summary.evidence.len(), EVIDENCE_BYTES);
        assert_eq!(gate.finish(), None);
    }

    /// Power-on garbage is one record, however it arrived.
    #[test]
    fn noise_is_summarised() {
        let mut gate = NoiseGate::default();
        gate.skipped(ms(5), 0, &[0; 40]);
        gate.skipped(ms(6), 40, &[0; 2]);
        let summary = gate.finish().expect("noise");
        assert_eq!((summary.raw.stream_offset, summary.raw.bytes), (0, 42));
        assert_eq!(summary.raw.reason(), RawReason::Noise);
        assert_eq!(summary.evidence, [0; 42]);
    }
}
