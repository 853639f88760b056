//! What the gateway says about itself: its clock, its state, and the sources that it
//! no longer has.

use std::collections::BTreeMap;

use venue_journal::{Append, IdentityRef, Journal, OpenGap, SourceId, Storage};
use venue_schema::{
    Message as _,
    v1::{self, GapState, Lane, event, gap},
};

use super::{Arrival, time::nanoseconds};
use crate::clock::ClockRecord;

/// Name of the source that the gateway's own events belong to.
pub const OWN_SOURCE: &str = venue_journal::GATEWAY_SOURCE;

/// The pipeline of the gateway's own events.
pub struct OwnPipeline<S: Storage> {
    journal: Journal<S>,
    source: SourceId,
    venue_id: String,
    gateway_id: String,
}

impl<S: Storage> OwnPipeline<S> {
    /// For a gateway at a venue.
    pub fn new(journal: Journal<S>, venue_id: &str, gateway_id: &str) -> Self {
        let source = journal.source(OWN_SOURCE);
        Self { journal, source, venue_id: venue_id.to_owned(), gateway_id: gateway_id.to_owned() }
    }

    /// Writes what the clock's model found.
    pub fn clock(&self, arrival: &Arrival, records: Vec<ClockRecord>) {
        for record in records {
            let content = match record {
                ClockRecord::State(state) => event::Content::ClockState(state),
                ClockRecord::Correction(correction) => event::Content::ClockCorrection(correction),
            };
            self.append(Lane::Telemetry, content, arrival);
        }
    }

    /// Writes a state of the gateway.
    pub fn status(&self, arrival: &Arrival, state: v1::GatewayState, text: &str) {
        let status = v1::GatewayStatus {
            state: state.into(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            text: text.to_owned(),
            values: Vec::new(),
        };
        self.append(Lane::Telemetry, event::Content::GatewayStatus(status), arrival);
    }

    /// Closes the gaps of sources that are not among those of the configuration:
    /// nobody will hear them, so what was lost is lost. If such a source comes back,
    /// its next dark time begins here.
    pub fn close_gaps_but_of<'a>(&self, configured: impl IntoIterator<Item = &'a str>, arrival: &Arrival) {
        let mut open = self.journal.open_gaps();
        configured.into_iter().for_each(|name| open.retain(|gap| gap.source != name));
        open.into_iter().for_each(|gap| self.close_gap(gap, arrival));
    }

    fn close_gap(&self, opened: OpenGap, arrival: &Arrival) {
        let OpenGap { lane, source, gap_id, cause, first_receive_utc_ns, first_receive_monotonic_ns, .. } = opened;
        let id = self.journal.source(&source);
        let gap = v1::Gap {
            cause: cause.into(),
            state: GapState::Closed.into(),
            first_receive_utc_ns,
            last_receive_utc_ns: arrival.received.utc_ns,
            first_receive_monotonic_ns,
            last_receive_monotonic_ns: Some(nanoseconds(arrival.received.monotonic)),
            gap_id,
            text: format!("source {source} is no longer configured"),
            scope: Some(gap::Scope::SourceRange(v1::SourceRange { source, ..v1::SourceRange::default() })),
            ..v1::Gap::default()
        };
        let event = self.event(event::Content::Gap(gap.clone()), arrival);
        // What does not fit now is remembered, and closed at the next start.
        let _ = self.journal.stage().append_gap(append(lane, id, &event, arrival), &gap);
    }

    fn append(&self, lane: Lane, content: event::Content, arrival: &Arrival) {
        let event = self.event(content, arrival);
        // What does not fit now is said again: states are written every 10 s, and
        // the journal itself declares what it had no room for.
        let _ = self.journal.stage().append_own(append(lane, self.source, &event, arrival));
    }

    fn event(&self, content: event::Content, arrival: &Arrival) -> Vec<u8> {
        let event = v1::Event {
            venue_id: self.venue_id.clone(),
            device_id: self.gateway_id.clone(),
            principal: OWN_SOURCE.to_owned(),
            time: Some(arrival.event_time()),
            labels: BTreeMap::new(),
            content: Some(content),
            ..v1::Event::default()
        };
        event.encode_to_vec()
    }
}

fn append<'a>(lane: Lane, source: SourceId, event: &'a [u8], arrival: &Arrival) -> Append<'a> {
    Append {
        lane,
        source,
        identity: IdentityRef::None,
        refusable: false,
        event,
        receive_utc_ns: arrival.received.utc_ns,
        receive_monotonic_ns: nanoseconds(arrival.received.monotonic),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use venue_journal::{JournalConfig, simulated::MemoryStorage};
    use venue_schema::{GatewayId, JournalEpoch};

    use super::*;
    use crate::clock::{BootId, Quality, Received};

    fn at(second: u64) -> Arrival {
        let quality = Quality { sync_state: v1::SyncState::Synchronized, maximum_error: None, date_known: true };
        let received = Received { monotonic: Duration::from_secs(second), utc_ns: Some(second.cast_signed()) };
        Arrival { received, quality, boot_id: BootId([1; 16]) }
    }

    /// One of two sources was taken out of the configuration while its gap was open:
    /// its gap is closed under its name, the other's is left to whoever hears it.
    #[test]
    fn the_gap_of_a_source_that_is_gone_is_closed() {
        let disk = MemoryStorage::new();
        let epoch = JournalEpoch::from_bytes([7; 16]);
        let config = JournalConfig::new(GatewayId::new("stade-1-a").unwrap(), "stade-1", epoch);
        let (journal, _) = Journal::open(disk.clone(), config.clone(), Duration::ZERO).unwrap();
        for name in ["wind", "finish"] {
            let gap = v1::Gap {
                cause: v1::GapCause::DeviceDark.into(),
                state: GapState::Open.into(),
                first_receive_utc_ns: Some(3),
                gap_id: format!("dark-{name}-3"),
                ..v1::Gap::default()
            };
            let event = v1::Event { content: Some(event::Content::Gap(gap.clone())), ..v1::Event::default() };
            let event = event.encode_to_vec();
            let append = append(Lane::Results, journal.source(name), &event, &at(5));
            journal.stage().append_gap(append, &gap).unwrap();
        }
        journal.commit(Duration::from_secs(5)).unwrap();
        drop(journal);
        disk.kill();
        let (journal, _) = Journal::open(disk, config, Duration::ZERO).unwrap();
        let own = OwnPipeline::new(journal.clone(), "stade-1", "stade-1-a");
        own.close_gaps_but_of(["finish", "start"], &at(9));
        let open: Vec<_> = journal.open_gaps().into_iter().map(|gap| gap.gap_id).collect();
        assert_eq!(open, ["dark-finish-3"]);
        assert_eq!(journal.last_received(journal.source("wind")), None, "nothing is durable yet");
        journal.commit(Duration::from_secs(9)).unwrap();
        let (utc_ns, _) = journal.last_received(journal.source("wind")).unwrap();
        assert_eq!(utc_ns, at(9).received.utc_ns, "its next dark time begins here");
    }
}
