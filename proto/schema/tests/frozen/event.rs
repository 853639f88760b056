//! What the frozen events mean: who said it, when, and where it lies.

use bytes::Bytes;
use venue_schema::v1::{
    ClockSource, ContentKey, DateSource, DecodedBy, Event, EventTime, Lane, Origin, SyncState, TimeBase,
    event::{Content, Identity},
};

use crate::{Expected, content};

/// The journal that the frozen events lie in.
pub(crate) const JOURNAL_EPOCH: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
/// The boot that their monotonic times count from.
pub(crate) const BOOT_ID: &[u8] = b"\xf0\xe1\xd2\xc3\xb4\xa5\x96\x87\x78\x69\x5a\x4b\x3c\x2d\x1e\x0f";

/// Every frozen event by the name of its files.
pub(crate) fn all() -> Vec<Expected<Event>> {
    let heard = heard_on_the_finish_timer;
    vec![
        (
            "impulse",
            Event {
                identity: Some(Identity::DeviceSequence(1234)),
                ..heard(b" 0012 C1  10:42:17.1306 00\r", "alge-timy", content::impulse())
            },
        ),
        (
            "passing",
            Event {
                device_id: "finish-loop/2".into(),
                identity: content_key("4711|1795862537130600", 2),
                ..heard(b"\x8e\x02\x33\x00\x00\xc9\x2e\x00\x00\x01\x00\x8f", "mylaps-p3", content::passing())
            },
        ),
        (
            "lane_result",
            Event {
                identity: content_key("T|5|1:02.345", 1),
                ..heard(b"  5   1:02.345  3\r", "alge-timy", content::lane_result())
            },
        ),
        (
            "start",
            Event {
                identity: Some(Identity::DeviceSequence(77)),
                ..heard(b"S 4 -0.012\r\n", "quantum", content::start())
            },
        ),
        ("wind", heard(b"\x02Q,047,001.35,M,00,\x031A\r\n", "gill", content::wind())),
        ("measurement", on_telemetry(heard(br#"{"t":-4.25}"#, "json", content::measurement()))),
        ("device_status", on_telemetry(heard(b"n0013\r", "alge-timy", content::device_status()))),
        ("correction", heard(b"c0012 C1  10:42:17.1306 00\r", "alge-timy", content::correction())),
        (
            "gap_lane",
            Event {
                origin: Some(Origin { sequence: 60, source: "gateway".into(), source_ordinal: 0, ..origin() }),
                ..of_the_gateway(content::gap_of_a_lane())
            },
        ),
        ("gap_source", of_the_gateway(content::gap_of_a_source())),
        ("gap_device", of_the_gateway(content::gap_of_a_device())),
        ("session", heard(b"SES;open;Race 1\r\n", "mylaps-p3", content::session())),
        ("clock_state", on_telemetry(of_the_gateway(content::clock_state()))),
        ("clock_correction", on_telemetry(of_the_gateway(content::clock_correction()))),
        ("gateway_status", on_telemetry(of_the_gateway(content::gateway_status()))),
        ("raw", on_telemetry(heard(b"\xf8\xf9\xfa\xfb\xfc\xfd\xfe\xff", "alge-timy", content::raw()))),
    ]
}

fn content_key(key: &str, occurrence: u32) -> Option<Identity> {
    Some(Identity::ContentKey(ContentKey { key: key.into(), occurrence }))
}

fn heard_on_the_finish_timer(evidence: &'static [u8], protocol: &str, content: Content) -> Event {
    Event {
        venue_id: "stade-1".into(),
        device_id: "timer-a".into(),
        principal: "serial:finish".into(),
        device_epoch: 7,
        identity: None,
        time: Some(time()),
        labels: [("heat", "2"), ("rsc", "ALPMDH----------------FNL-000100--")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        evidence: Bytes::from_static(evidence),
        decoded_by: Some(DecodedBy { protocol: protocol.into(), version: 1 }),
        content: Some(content),
        origin: Some(origin()),
    }
}

fn of_the_gateway(content: Content) -> Event {
    Event {
        venue_id: "stade-1".into(),
        device_id: "gateway".into(),
        principal: "gateway".into(),
        time: Some(time()),
        content: Some(content),
        origin: Some(origin()),
        ..Event::default()
    }
}

fn on_telemetry(event: Event) -> Event {
    let origin = Origin { lane: Lane::Telemetry as i32, sequence: 900, source_ordinal: 64, ..origin() };
    Event { origin: Some(origin), ..event }
}

fn origin() -> Origin {
    Origin {
        gateway_id: "stade-1-a".into(),
        journal_epoch: Bytes::from_static(&JOURNAL_EPOCH),
        lane: Lane::Results as i32,
        sequence: 41,
        source: "finish-timer-a".into(),
        source_ordinal: 40,
    }
}

fn time() -> EventTime {
    EventTime {
        device_time: "10:42:17.1306".into(),
        resolution_ns: 100_000,
        time_base: TimeBase::TimeOfDay as i32,
        date_source: DateSource::NearestReceive as i32,
        utc_ns: Some(1_795_862_537_130_600_000),
        uncertainty_ns: Some(2_500_000),
        clock_source: ClockSource::Device as i32,
        sync_state: SyncState::Synchronized as i32,
        receive_utc_ns: Some(1_795_862_537_161_234_567),
        receive_monotonic_ns: 86_400_000_000_001,
        boot_id: Bytes::from_static(BOOT_ID),
    }
}
