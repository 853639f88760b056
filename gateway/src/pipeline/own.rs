//! What the gateway says about itself: its clock and its state.

use std::collections::BTreeMap;

use venue_journal::{Append, IdentityRef, Journal, SourceId, Storage};
use venue_schema::{
    Message as _,
    v1::{self, Lane, event},
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

    fn append(&self, lane: Lane, content: event::Content, arrival: &Arrival) {
        let event = v1::Event {
            venue_id: self.venue_id.clone(),
            device_id: self.gateway_id.clone(),
            principal: OWN_SOURCE.to_owned(),
            time: Some(arrival.event_time()),
            labels: BTreeMap::new(),
            content: Some(content),
            ..v1::Event::default()
        };
        // What does not fit now is said again: states are written every 10 s, and
        // the journal itself declares what it had no room for.
        let _ = self.journal.stage().append(Append {
            lane,
            source: self.source,
            identity: IdentityRef::None,
            refusable: false,
            event: &event.encode_to_vec(),
            receive_utc_ns: arrival.received.utc_ns,
            receive_monotonic_ns: nanoseconds(arrival.received.monotonic),
        });
    }
}
