//! The dark times of a source: when its line was gone or the gateway was down.
//!
//! A device without a memory loses what it says meanwhile; the loss is declared by
//! a gap that reaches from the last frame that was heard to the first that is heard
//! again: opened when the line is gone, closed with that frame. A device with a
//! memory is asked for it; when its replay was complete, the gap is healed.

use venue_schema::v1::{DeviceRange, Gap, GapCause, GapState, gap};

use super::time::nanoseconds;
use crate::clock::Received;

/// A dark time that was opened and not yet ended.
#[derive(Debug, Clone)]
struct Dark {
    gap_id: String,
    since: Received,
    text: String,
}

/// Follows the dark times of one source.
#[derive(Debug)]
pub(super) struct DarkTimes {
    source: String,
    device_id: String,
    /// A complete replay heals: the device has a memory and may be asked.
    heals: bool,
    open: Option<Dark>,
    connected: bool,
    last_heard: Option<Received>,
}

impl DarkTimes {
    /// Nothing is dark yet.
    pub(super) fn new(source: &str, device_id: &str, heals: bool) -> Self {
        Self {
            source: source.to_owned(),
            device_id: device_id.to_owned(),
            heals,
            open: None,
            connected: false,
            last_heard: None,
        }
    }

    /// The gateway starts: what was last heard before it stopped, if anything,
    /// begins a dark time that nobody could open then.
    pub(super) fn started(&mut self, last_heard: Option<Received>) -> Option<Gap> {
        let since = last_heard?;
        self.begin(since, "the gateway was not running")
    }

    /// The line came up.
    pub(super) fn connected(&mut self) {
        self.connected = true;
    }

    /// The line went away.
    pub(super) fn disconnected(&mut self, now: Received) -> Option<Gap> {
        if !std::mem::replace(&mut self.connected, false) {
            return None;
        }
        self.begin(self.last_heard.unwrap_or(now), "the line to the device was gone")
    }

    /// A sound frame came.
    pub(super) fn heard(&mut self, now: Received) -> Option<Gap> {
        self.last_heard = Some(now);
        if self.heals { None } else { self.end(now, GapState::Closed) }
    }

    /// The device's memory was replayed.
    pub(super) fn replayed(&mut self, now: Received, complete: bool) -> Option<Gap> {
        if complete && self.heals { self.end(now, GapState::Healed) } else { None }
    }

    fn begin(&mut self, since: Received, text: &str) -> Option<Gap> {
        if self.open.is_some() {
            return None;
        }
        let gap_id = format!(
            "dark-{}-{}",
            self.source,
            nanoseconds(since.monotonic).wrapping_add(since.utc_ns.unwrap_or(0).cast_unsigned())
        );
        let dark = Dark { gap_id, since, text: text.to_owned() };
        let gap = self.gap(&dark, GapState::Open, None);
        self.open = Some(dark);
        Some(gap)
    }

    fn end(&mut self, now: Received, state: GapState) -> Option<Gap> {
        let dark = self.open.take()?;
        Some(self.gap(&dark, state, Some(now)))
    }

    fn gap(&self, dark: &Dark, state: GapState, until: Option<Received>) -> Gap {
        Gap {
            cause: GapCause::DeviceDark.into(),
            state: state.into(),
            scope: Some(gap::Scope::DeviceRange(DeviceRange {
                device_id: self.device_id.clone(),
                ..DeviceRange::default()
            })),
            first_receive_utc_ns: dark.since.utc_ns,
            last_receive_utc_ns: until.and_then(|it| it.utc_ns),
            first_receive_monotonic_ns: Some(nanoseconds(dark.since.monotonic)),
            last_receive_monotonic_ns: until.map(|it| nanoseconds(it.monotonic)),
            gap_id: dark.gap_id.clone(),
            text: dark.text.clone(),
            ..Gap::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(second: u64) -> Received {
        Received {
            monotonic: Duration::from_secs(second),
            utc_ns: Some(1_790_000_000_000_000_000 + second.cast_signed() * 1_000_000_000),
        }
    }

    /// A wind gauge has no memory: unplugged and replugged, its gap is closed.
    #[test]
    fn a_device_without_memory_leaves_a_closed_gap() {
        let mut dark = DarkTimes::new("wind", "gauge", false);
        dark.connected();
        assert_eq!(dark.heard(at(5)), None);
        let open = dark.disconnected(at(6)).expect("opened");
        assert_eq!(dark.disconnected(at(7)), None, "one dark time is one gap");
        dark.connected();
        let closed = dark.heard(at(9)).expect("closed");
        assert_eq!((open.state(), closed.state()), (GapState::Open, GapState::Closed));
        assert_eq!(open.gap_id, closed.gap_id);
        assert_eq!((closed.first_receive_utc_ns, closed.last_receive_utc_ns), (at(5).utc_ns, at(9).utc_ns));
    }

    /// A chronometer repeats its memory: the gap that the stopped gateway left is
    /// healed by a complete replay and not by a broken one.
    #[test]
    fn a_complete_replay_heals() {
        let mut dark = DarkTimes::new("timer", "timer-a", true);
        assert_eq!(dark.started(Some(at(3))).expect("opened").first_receive_utc_ns, at(3).utc_ns);
        dark.connected();
        assert_eq!(dark.heard(at(10)), None);
        assert_eq!(dark.replayed(at(11), false), None);
        assert_eq!(dark.replayed(at(12), true).expect("healed").state(), GapState::Healed);
        assert_eq!(dark.replayed(at(13), true), None);
    }
}
