//! The dark times of a source: when its line was gone or the gateway was down.
//!
//! A device without a memory loses what it says meanwhile; the loss is declared by
//! a gap that reaches from the last frame that was heard to the first that is heard
//! again: opened when the line is gone, closed with that frame. A device with a
//! memory is asked for it; when its replay was complete, the gap is healed.
//!
//! A gap that is open when the gateway stops, however it does, goes on under its
//! name: the journal remembers it, and the next start takes it up.

use venue_journal::OpenGap;
use venue_schema::v1::{DeviceRange, Gap, GapCause, GapState, gap};

use super::time::nanoseconds;
use crate::clock::Received;

/// Follows the dark times of one source.
#[derive(Debug)]
pub(super) struct DarkTimes {
    source: String,
    device_id: String,
    /// A complete replay heals: the device has a memory and may be asked.
    heals: bool,
    /// Gaps that were opened and not yet ended, as they were told; one, unless an
    /// earlier version left more.
    open: Vec<Gap>,
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
            open: Vec::new(),
            connected: false,
            last_heard: None,
        }
    }

    /// The gateway starts. Gaps that were open when it stopped go on; if there are
    /// none, what was last heard before, if anything, begins a dark time that nobody
    /// could open then.
    pub(super) fn started(&mut self, open: Vec<OpenGap>, last_heard: Option<Received>) -> Option<Gap> {
        self.open = open.into_iter().map(|gap| self.taken_up(gap)).collect();
        self.begin(last_heard?, "nobody listened")
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

    /// A sound frame came: the gaps that end with it.
    pub(super) fn heard(&mut self, now: Received) -> Vec<Gap> {
        self.last_heard = Some(now);
        if self.heals { Vec::new() } else { self.end(now, GapState::Closed) }
    }

    /// The device's memory was replayed: the gaps that end with it.
    pub(super) fn replayed(&mut self, now: Received, complete: bool) -> Vec<Gap> {
        if complete && self.heals { self.end(now, GapState::Healed) } else { Vec::new() }
    }

    /// The sender goes on: the gaps that end with it.
    pub(super) fn resumed(&mut self, now: Received, healed: bool) -> Vec<Gap> {
        self.last_heard = Some(now);
        self.end(now, if healed { GapState::Healed } else { GapState::Closed })
    }

    /// Since when what the device said is not accounted for, UTC ns where that is known; none if all of it is.
    pub(super) fn since(&self) -> Option<Option<i64>> {
        self.open.first().map(|gap| gap.first_receive_utc_ns)
    }

    fn begin(&mut self, since: Received, text: &str) -> Option<Gap> {
        if !self.open.is_empty() {
            return None;
        }
        let gap_id = format!(
            "dark-{}-{}",
            self.source,
            nanoseconds(since.monotonic).wrapping_add(since.utc_ns.unwrap_or(0).cast_unsigned())
        );
        let gap = Gap {
            cause: GapCause::DeviceDark.into(),
            first_receive_utc_ns: since.utc_ns,
            first_receive_monotonic_ns: Some(nanoseconds(since.monotonic)),
            gap_id,
            text: text.to_owned(),
            ..self.opening()
        };
        self.open.push(gap.clone());
        Some(gap)
    }

    /// A gap that a process before this one opened.
    fn taken_up(&self, gap: OpenGap) -> Gap {
        Gap {
            cause: gap.cause.into(),
            first_receive_utc_ns: gap.first_receive_utc_ns,
            first_receive_monotonic_ns: gap.first_receive_monotonic_ns,
            gap_id: gap.gap_id,
            text: "not heard since before the gateway stopped".to_owned(),
            ..self.opening()
        }
    }

    fn opening(&self) -> Gap {
        let device = DeviceRange { device_id: self.device_id.clone(), ..DeviceRange::default() };
        Gap { state: GapState::Open.into(), scope: Some(gap::Scope::DeviceRange(device)), ..Gap::default() }
    }

    fn end(&mut self, now: Received, state: GapState) -> Vec<Gap> {
        let ended = |opened: Gap| Gap {
            state: state.into(),
            last_receive_utc_ns: now.utc_ns,
            last_receive_monotonic_ns: Some(nanoseconds(now.monotonic)),
            ..opened
        };
        self.open.drain(..).map(ended).collect()
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
        assert_eq!(dark.heard(at(5)), []);
        let open = dark.disconnected(at(6)).expect("opened");
        assert_eq!(dark.disconnected(at(7)), None, "one dark time is one gap");
        dark.connected();
        let closed = dark.heard(at(9)).pop().expect("closed");
        assert_eq!((open.state(), closed.state()), (GapState::Open, GapState::Closed));
        assert_eq!(open.gap_id, closed.gap_id);
        assert_eq!((closed.first_receive_utc_ns, closed.last_receive_utc_ns), (at(5).utc_ns, at(9).utc_ns));
    }

    /// A chronometer repeats its memory: the gap that the stopped gateway left is
    /// healed by a complete replay and not by a broken one.
    #[test]
    fn a_complete_replay_heals() {
        let mut dark = DarkTimes::new("timer", "timer-a", true);
        assert_eq!(dark.started(Vec::new(), Some(at(3))).expect("opened").first_receive_utc_ns, at(3).utc_ns);
        dark.connected();
        assert_eq!(dark.heard(at(10)), []);
        assert_eq!(dark.replayed(at(11), false), []);
        let healed = dark.replayed(at(12), true);
        assert_eq!(healed.iter().map(Gap::state).collect::<Vec<_>>(), [GapState::Healed]);
        assert_eq!(dark.replayed(at(13), true), []);
    }
}
