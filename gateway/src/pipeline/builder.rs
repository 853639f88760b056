//! From a reading to an event: identity, time, content, the fields of its source.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use venue_devices::{DeviceType, Identity, Reading, Role};
use venue_schema::{
    Message as _,
    v1::{self, Lane, event},
};

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

/// Makes the events of one source.
#[derive(Debug)]
pub struct EventBuilder {
    /// What the source was told.
    pub settings: SourceSettings,
    /// Labels of the message that is read, beside those of the source.
    message_labels: BTreeMap<String, String>,
    /// Readings name their whole device, as the messages of a broker do, and not one within the source's.
    pub whole_ids: bool,
    identities: IdentityResolver,
    calendar: Calendar,
    /// The fields that all events of the source share.
    shared: v1::Event,
}

impl EventBuilder {
    /// For a source, in a boot.
    pub fn new(settings: SourceSettings, boot_id: BootId) -> Self {
        let calendar = Calendar::new(settings.zone.clone());
        let identities = IdentityResolver::new(boot_id);
        let message_labels = BTreeMap::new();
        let shared = v1::Event::default();
        let mut builder = Self { settings, message_labels, whole_ids: false, identities, calendar, shared };
        builder.shared = builder.make_shared();
        builder
    }

    /// What is read next is of a message with these labels.
    pub fn label(&mut self, labels: BTreeMap<String, String>) {
        self.message_labels = labels;
        self.shared = self.make_shared();
    }

    /// The device begins to repeat its memory.
    pub fn replay_started(&mut self) {
        self.identities.replay_started();
    }

    /// The replay is over.
    pub fn replay_ended(&mut self) {
        self.identities.replay_ended();
    }

    /// The lane and the event of a reading. `known` tells what was heard of its
    /// device before.
    pub fn event(&mut self, reading: &Reading<'_>, arrival: &Arrival, known: &impl KnownKeys) -> (Lane, v1::Event) {
        let device_id = self.device_id(reading);
        let (lane, event) = self.own_fields(reading, arrival, known);
        (lane, self.with_shared(v1::Event { device_id, ..event }))
    }

    /// The same without the device's id and the fields that all events of the source share.
    pub(super) fn own_fields(
        &mut self,
        reading: &Reading<'_>,
        arrival: &Arrival,
        known: &impl KnownKeys,
    ) -> (Lane, v1::Event) {
        let replaying = self.identities.replaying();
        let resolved = match &reading.identity {
            Identity::Content { key, day, stands_for, .. } => {
                let device = DeviceKey { key, stands_for: stands_for.as_deref(), day: *day };
                Some(self.identities.resolve(&device, &arrival.received, &self.calendar, known))
            }
            Identity::Sequence { .. } | Identity::Key { .. } | Identity::None => None,
        };
        let dating = match replaying {
            true => Dating::Replay(resolved.as_ref().and_then(|it| it.dated)),
            false => Dating::Live,
        };
        let target = resolved.as_ref().and_then(|it| it.target.as_ref()).map_or(("", 0), |(key, k)| (key.as_str(), *k));
        let content = content::content(&reading.content, target, replaying);
        let identity = match (&reading.identity, resolved) {
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
        let event = v1::Event {
            device_epoch: epoch(&reading.identity),
            identity,
            time: Some(time::event_time(&reading.time, dating, arrival, &self.calendar)),
            evidence: reading.evidence.to_vec().into(),
            content: Some(content),
            ..v1::Event::default()
        };
        (self.settings.lane.unwrap_or_else(|| content::lane(&reading.content)), event)
    }

    /// The id of the device, or of the one within it, that a reading is of.
    pub fn device_id(&self, reading: &Reading<'_>) -> String {
        if reading.sub_device.is_empty() {
            self.settings.device_id.clone()
        } else if self.whole_ids {
            reading.sub_device.to_string()
        } else {
            format!("{}/{}", self.settings.device_id, reading.sub_device)
        }
    }

    /// Completes an event with the fields that all events of the source share.
    pub fn with_shared(&self, event: v1::Event) -> v1::Event {
        let v1::Event { venue_id, principal, labels, decoded_by, .. } = self.shared.clone();
        v1::Event { venue_id, principal, labels, decoded_by, ..event }
    }

    /// Puts an event without those fields into bytes, completed with them: lent for that moment, since copies would be a tenth of a
    /// line's way.
    pub(super) fn encode(&mut self, event: &mut v1::Event, into: &mut Vec<u8>) {
        self.lend(event);
        event.encode(into).expect("a vector grows");
        self.lend(event);
    }

    fn lend(&mut self, event: &mut v1::Event) {
        std::mem::swap(&mut self.shared.venue_id, &mut event.venue_id);
        std::mem::swap(&mut self.shared.principal, &mut event.principal);
        std::mem::swap(&mut self.shared.labels, &mut event.labels);
        std::mem::swap(&mut self.shared.decoded_by, &mut event.decoded_by);
    }

    /// The bytes that [`encode`](Self::encode) makes of an event.
    pub(super) fn encoded_len(&self, event: &v1::Event) -> usize {
        self.shared.encoded_len() + event.encoded_len()
    }

    fn make_shared(&self) -> v1::Event {
        v1::Event {
            venue_id: self.settings.venue_id.clone(),
            principal: self.settings.principal.clone(),
            labels: self
                .settings
                .labels
                .iter()
                .chain(&self.message_labels)
                .map(|(name, text)| (name.clone(), text.clone()))
                .collect(),
            decoded_by: Some(v1::DecodedBy {
                protocol: self.settings.device.name.to_owned(),
                version: self.settings.device.decoder_version,
            }),
            ..v1::Event::default()
        }
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
        fn occurrences(&self, _key: &str) -> u32 {
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
            let (_, event) = events.event(&reading, &arrival, &Heard);
            (event.device_epoch, event.identity)
        };
        let key =
            |occurrence| Some(event::Identity::ContentKey(v1::ContentKey { key: "boot-7|118".to_owned(), occurrence }));
        let text = venue_devices::KeyText::try_from("boot-7|118").expect("short");
        assert_eq!(identity(Identity::Key { epoch: 7, key: text.clone() }), (7, key(1)));
        let content = Identity::Content { epoch: 7, key: text, day: venue_devices::Day::None, stands_for: None };
        assert_eq!(identity(content), (7, key(2)));
    }

    /// What is lent for encoding stands where the order of fields has it: whoever reads the event and writes it again gets
    /// the same bytes, and so the same digest.
    #[test]
    fn an_events_bytes_are_in_the_order_of_its_fields() {
        let mut builder = EventBuilder::new(settings(), BootId([1; 16]));
        let mut event = v1::Event {
            device_id: "weather".to_owned(),
            device_epoch: 7,
            evidence: b"{}"[..].into(),
            content: Some(event::Content::Raw(v1::Raw::default())),
            ..v1::Event::default()
        };
        for label in ["1", "2"] {
            builder.label(BTreeMap::from([("mqtt_topic".to_owned(), label.to_owned())]));
            let before = event.clone();
            let mut bytes = Vec::new();
            builder.encode(&mut event, &mut bytes);
            let whole = builder.with_shared(event.clone());
            assert_eq!((&event, &bytes), (&before, &whole.encode_to_vec()));
            assert_eq!((whole.labels.len(), bytes.len()), (2, builder.encoded_len(&event)));
        }
    }
}
