//! A message that a person wrote beside the mapping, and what comes of it.

use std::time::Duration;

use jiff::tz::TimeZone;
use venue_devices::Role;
use venue_schema::v1::SyncState;

use super::{Mapping, MappingError};
use crate::clock::{BootId, Quality, Received};
use crate::command::event_line;
use crate::pipeline::{Arrival, EventBuilder, KnownKeys, SourceSettings};

/// A message to try a mapping on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: String,
}

/// The events of a sample, a line each as `tail` would show it, from the device on, then
/// the key.
///
/// # Errors
/// The sample does not fit the mapping.
pub fn try_sample(mapping: &Mapping, sample: &Sample) -> Result<Vec<String>, MappingError> {
    let readings = mapping.map(&sample.topic, sample.payload.as_bytes())?;
    let boot_id = BootId([0; 16]);
    let arrival = Arrival {
        received: Received { monotonic: Duration::ZERO, utc_ns: None },
        quality: Quality { sync_state: SyncState::Unspecified, maximum_error: None, date_known: false },
        boot_id,
    };
    let settings = SourceSettings {
        venue_id: String::new(),
        name: "sample".to_owned(),
        device: mapping.device(),
        device_id: String::new(),
        principal: String::new(),
        role: Role::ListenOnly,
        lane: None,
        labels: std::collections::BTreeMap::new(),
        zone: TimeZone::UTC,
    };
    let mut events = EventBuilder::new(settings, boot_id);
    let line = |reading: &super::MappedReading| {
        events.read(&reading.as_reading(), &arrival, &NothingKnown);
        let event = venue_schema::v1::Event { device_id: reading.device_id.clone(), ..events.event().clone() };
        let key = reading.key.as_deref().map_or_else(|| "no key".to_owned(), |key| format!("key {key}"));
        format!("{}; {key}", event_line::of_sample(&event))
    };
    Ok(readings.iter().map(line).collect())
}

struct NothingKnown;

impl KnownKeys for NothingKnown {
    fn occurrences(&self, _device_id: &str, _epoch: u64, _key: &str) -> u32 {
        0
    }
}
