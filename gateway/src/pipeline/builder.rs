//! From a reading to an event: identity, time, content, the fields of its source.

use std::{collections::BTreeMap, fmt::Write as _};

use bytes::Bytes;
use jiff::tz::TimeZone;
use venue_devices::{DeviceType, Identity, Reading, Role};
use venue_schema::v1::{self, Lane, event};

use super::{
    content,
    day::Calendar,
    identity::{DeviceKey, IdentityResolver, KnownKeys},
    time::{self, Arrival, Dating},
};
use crate::clock::BootId;

/// What a source's pipeline is told once.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// The venue's id.
    pub venue_id: String,
    /// The source's name in the configuration.
    pub name: String,
    /// The device's row.
    pub device: &'static DeviceType,
    /// The device's id.
    pub device_id: String,
    /// How the sender authenticates.
    pub principal: String,
    /// May it send to the device?
    pub role: Role,
    /// The lane of all its events; none: by content.
    pub lane: Option<Lane>,
    /// Labels of all its events.
    pub labels: BTreeMap<String, String>,
    /// The time zone that the device's local times are in.
    pub zone: TimeZone,
}

/// Makes the events of one source, one after the other in the same place: what all of them share stays there.
#[derive(Debug)]
pub struct EventBuilder {
    /// What the source was told.
    pub settings: SourceSettings,
    /// Readings name their whole device, as the messages of a broker do, and not one within the source's.
    pub whole_ids: bool,
    identities: IdentityResolver,
    calendar: Calendar,
    event: v1::Event,
}

impl EventBuilder {
    /// For a source, in a boot.
    pub fn new(settings: SourceSettings, boot_id: BootId) -> Self {
        let calendar = Calendar::new(settings.zone.clone());
        let identities = IdentityResolver::new(boot_id);
        let event = v1::Event {
            venue_id: settings.venue_id.clone(),
            principal: settings.principal.clone(),
            labels: settings.labels.clone().into_iter().collect(),
            decoded_by: Some(v1::DecodedBy {
                protocol: settings.device.name.to_owned(),
                version: settings.device.decoder_version,
            }),
            ..v1::Event::default()
        };
        Self { settings, whole_ids: false, identities, calendar, event }
    }

    /// What is read next is of a message with these labels, beside those of the source.
    pub fn label(&mut self, labels: BTreeMap<String, String>) {
        let of_source = self.settings.labels.iter().map(|(name, text)| (name.clone(), text.clone()));
        self.event.labels = of_source.chain(labels).collect();
    }

    /// The device begins to repeat its memory.
    pub fn replay_started(&mut self) {
        self.identities.replay_started();
    }

    /// The replay is over.
    pub fn replay_ended(&mut self) {
        self.identities.replay_ended();
    }

    /// The event that was made last.
    pub fn event(&self) -> &v1::Event {
        &self.event
    }

    /// Makes the event of a reading, and says its lane. `known` tells what was heard of its device before.
    pub fn read(&mut self, reading: &Reading<'_>, arrival: &Arrival, known: &impl KnownKeys) -> Lane {
        self.name_device(reading);
        self.event.device_epoch = epoch(&reading.identity);
        let replaying = self.identities.replaying();
        let resolved = match &reading.identity {
            Identity::Content { key, day, stands_for, .. } => {
                let device = DeviceKey {
                    device_id: &self.event.device_id,
                    epoch: self.event.device_epoch,
                    key,
                    stands_for: stands_for.as_deref(),
                    day: *day,
                };
                Some(self.identities.resolve(&device, &arrival.received, &self.calendar, known))
            }
            Identity::Sequence { .. } | Identity::Key { .. } | Identity::None => None,
        };
        let dating = match replaying {
            true => Dating::Replay(resolved.as_ref().and_then(|it| it.dated)),
            false => Dating::Live,
        };
        let target = resolved.as_ref().and_then(|it| it.target.as_ref()).map_or(("", 0), |(key, k)| (key.as_str(), *k));
        self.event.content = Some(content::content(&reading.content, target, replaying));
        self.event.identity = match (&reading.identity, resolved) {
            (Identity::Sequence { number, .. }, _) => Some(event::Identity::DeviceSequence(*number)),
            // Its sender's word that it is the same, so it is never a second occurrence.
            (Identity::Key { key, .. }, _) => {
                Some(event::Identity::ContentKey(v1::ContentKey { key: key.as_str().to_owned(), occurrence: 1 }))
            }
            (_, Some(it)) => {
                Some(event::Identity::ContentKey(v1::ContentKey { key: it.key, occurrence: it.occurrence }))
            }
            (_, None) => None,
        };
        self.event.time = Some(time::event_time(&reading.time, dating, arrival, &self.calendar));
        self.event.evidence = reading.evidence.to_vec().into();
        self.settings.lane.unwrap_or_else(|| content::lane(&reading.content))
    }

    /// Makes an event of the source that is no reading.
    pub fn set(&mut self, content: event::Content, evidence: Bytes, arrival: &Arrival) {
        self.event.device_id.clone_from(&self.settings.device_id);
        self.event.device_epoch = 0;
        self.event.identity = None;
        self.event.time = Some(arrival.event_time());
        self.event.content = Some(content);
        self.event.evidence = evidence;
    }

    /// Names the device, or the one within it, that a reading is of.
    fn name_device(&mut self, reading: &Reading<'_>) {
        let name = &mut self.event.device_id;
        name.clear();
        // A string takes all that it is given.
        let _ = match (reading.sub_device.is_empty(), self.whole_ids) {
            (true, _) => name.write_str(&self.settings.device_id),
            (false, true) => write!(name, "{}", reading.sub_device),
            (false, false) => write!(name, "{}/{}", self.settings.device_id, reading.sub_device),
        };
    }
}

/// The epoch that the device gives with an identity.
pub(super) fn epoch(identity: &Identity) -> u64 {
    match identity {
        Identity::Sequence { epoch, .. } | Identity::Content { epoch, .. } | Identity::Key { epoch, .. } => *epoch,
        Identity::None => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{Quality, Received};
    use venue_devices::{Content, DeviceTime, Measurement, Text};

    /// Heard once before, whatever it is.
    struct Heard;

    impl KnownKeys for Heard {
        fn occurrences(&self, _device_id: &str, _epoch: u64, _key: &str) -> u32 {
            1
        }
    }

    fn settings() -> SourceSettings {
        SourceSettings {
            venue_id: "v".to_owned(),
            name: "weather".to_owned(),
            device: DeviceType::find("nmea").expect("a row"),
            device_id: "weather".to_owned(),
            principal: "mqtt:gateway".to_owned(),
            role: Role::ListenOnly,
            lane: None,
            labels: BTreeMap::from([("system".to_owned(), "A".to_owned())]),
            zone: TimeZone::UTC,
        }
    }

    /// A broker delivers a message again. By its sender's key it is the first occurrence
    /// once more, which the journal drops; an impulse of a content key would be the second.
    #[test]
    fn what_its_sender_names_is_never_a_second_occurrence() {
        let boot_id = BootId([1; 16]);
        let arrival = Arrival {
            received: Received { monotonic: Duration::ZERO, utc_ns: None },
            quality: Quality { sync_state: v1::SyncState::Unspecified, maximum_error: None, date_known: false },
            boot_id,
        };
        let mut events = EventBuilder::new(settings(), boot_id);
        let mut identity = |identity| {
            let reading = Reading {
                sub_device: Text::EMPTY,
                identity,
                time: DeviceTime::default(),
                content: Content::Measurement(Measurement::default()),
                evidence: b"{}",
            };
            events.read(&reading, &arrival, &Heard);
            (events.event().device_epoch, events.event().identity.clone())
        };
        let key =
            |occurrence| Some(event::Identity::ContentKey(v1::ContentKey { key: "boot-7|118".to_owned(), occurrence }));
        let text = venue_devices::KeyText::try_from("boot-7|118").expect("short");
        assert_eq!(identity(Identity::Key { epoch: 7, key: text.clone() }), (7, key(1)));
        let content = Identity::Content { epoch: 7, key: text, day: venue_devices::Day::None, stands_for: None };
        assert_eq!(identity(content), (7, key(2)));
    }
}
