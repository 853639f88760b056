//! A literal line for every kind of content.

use std::collections::BTreeSet;

use super::*;

/// 10:45:37.031 in Paris.
const RECEIVED: i64 = 1_795_859_137_031_000_000;

fn event(content: Content, device_time: &str) -> v1::Event {
    v1::Event {
        device_id: "timer-a".to_owned(),
        time: Some(v1::EventTime {
            device_time: device_time.to_owned(),
            receive_utc_ns: Some(RECEIVED),
            ..v1::EventTime::default()
        }),
        content: Some(content),
        origin: Some(v1::Origin { lane: v1::Lane::Results.into(), sequence: 1234, ..v1::Origin::default() }),
        ..v1::Event::default()
    }
}

fn paris() -> TimeZone {
    TimeZone::get("Europe/Paris").expect("bundled")
}

fn text(name: &str, text: &str) -> v1::Value {
    let value = Some(value::Value::Text(text.to_owned()));
    v1::Value { name: name.to_owned(), value, ..v1::Value::default() }
}

fn measured(name: &str, number: f64, unit: &str, invalid: bool) -> v1::Value {
    let value = Some(value::Value::Number(number));
    v1::Value { name: name.to_owned(), value, unit: unit.to_owned(), invalid }
}

fn flag(name: &str) -> v1::Value {
    v1::Value { name: name.to_owned(), value: Some(value::Value::Flag(true)), ..v1::Value::default() }
}

/// What the results manager reads at 3 in the morning.
#[test]
fn every_kind_has_its_line() {
    let table = [
        (
            Content::Impulse(v1::Impulse {
                channel: "C1".to_owned(),
                start_number: "12".to_owned(),
                manual: true,
                memory: true,
                ..v1::Impulse::default()
            }),
            "09:17:08.0298",
            "impulse          C1 #12, by hand, from memory, at 09:17:08.0298",
        ),
        (
            Content::Passing(v1::Passing {
                transponder: "AB-123".to_owned(),
                start_number: "12".to_owned(),
                location: "Finish".to_owned(),
                hits: Some(5),
                rssi_dbm: Some(-61),
                battery_v: Some(2.9),
                kind: v1::PassingKind::FirstSeen.into(),
                ..v1::Passing::default()
            }),
            "09:17:08.02",
            "passing          AB-123 #12, at Finish, first seen, 5 hits, -61 dBm, battery 2.9 V, at 09:17:08.02",
        ),
        (
            Content::LaneResult(v1::LaneResult {
                kind: v1::ResultKind::RunTime.into(),
                start_number: "12".to_owned(),
                lane: Some(3),
                rank: Some(1),
                duration_ns: Some(72_340_000_000),
                text: "1:12.34".to_owned(),
                ..v1::LaneResult::default()
            }),
            "1:12.34",
            "lane_result      run time #12, lane 3, rank 1, 1:12.34",
        ),
        (
            Content::LaneResult(v1::LaneResult {
                kind: v1::ResultKind::Speed.into(),
                duration_ns: Some(72_340_000_000),
                speed_m_per_s: Some(31.25),
                ..v1::LaneResult::default()
            }),
            "",
            "lane_result      speed, 72.34 s, 31.25 m/s",
        ),
        (
            Content::Start(v1::Start {
                kind: v1::StartKind::FalseStart.into(),
                channel: "C0".to_owned(),
                lane: Some(4),
                reaction_ns: Some(-42_000_000),
                ..v1::Start::default()
            }),
            "",
            "start            false start C0, lane 4, reaction -0.042 s",
        ),
        (
            Content::Wind(v1::Wind {
                speed_m_per_s: Some(3.42),
                direction_deg: Some(221.0),
                relative: true,
                valid: false,
                text: "3.42 M".to_owned(),
                ..v1::Wind::default()
            }),
            "",
            "wind             3.4 m/s from 221° of the mounting, INVALID",
        ),
        (
            Content::Measurement(v1::Measurement {
                values: vec![measured("air", -3.5, "Cel", false), measured("snow", 0.0, "Cel", true)],
                historical: true,
            }),
            "",
            "measurement      air -3.5 °C, snow 0 °C INVALID, taken earlier",
        ),
        (
            Content::DeviceStatus(v1::DeviceStatus {
                state: v1::DeviceState::Online.into(),
                values: vec![text("clock", "26-11-28 09:17")],
                text: String::new(),
            }),
            "26-11-28 09:17",
            "device_status    clock 26-11-28 09:17",
        ),
        (
            Content::DeviceStatus(v1::DeviceStatus {
                state: v1::DeviceState::Online.into(),
                values: vec![flag("memory_cleared")],
                text: "memory cleared at the device".to_owned(),
            }),
            "",
            "device_status    memory cleared at the device",
        ),
        (
            Content::DeviceStatus(v1::DeviceStatus {
                state: v1::DeviceState::Silent.into(),
                values: Vec::new(),
                text: "silent for 30 s".to_owned(),
            }),
            "",
            "device_status    silent for 30 s",
        ),
        (
            Content::DeviceStatus(v1::DeviceStatus {
                state: v1::DeviceState::Fault.into(),
                values: vec![measured("supply", 9.1, "V", false)],
                text: "line errors: 2 parity".to_owned(),
            }),
            "",
            "device_status    fault, line errors: 2 parity, supply 9.1 V",
        ),
        (
            Content::Correction(v1::Correction {
                kind: v1::CorrectionKind::Renumbered.into(),
                channel: "C1".to_owned(),
                start_number: "12".to_owned(),
                previous_start_number: "11".to_owned(),
                replayed: true,
                ..v1::Correction::default()
            }),
            "09:17:08.0298",
            "correction       renumbered C1 #12, before #11, from memory, at 09:17:08.0298",
        ),
        (
            Content::Gap(v1::Gap {
                cause: v1::GapCause::DeviceDark.into(),
                state: v1::GapState::Closed.into(),
                count: Some(3),
                first_receive_utc_ns: Some(RECEIVED - 60_000_000_000),
                last_receive_utc_ns: Some(RECEIVED),
                text: "the line to the device was gone".to_owned(),
                ..v1::Gap::default()
            }),
            "",
            "gap              device dark, closed, from 10:44:37.031 to 10:45:37.031, 3 events: \
             the line to the device was gone",
        ),
        (
            Content::Session(v1::Session {
                state: v1::SessionState::Opened.into(),
                name: "Final".to_owned(),
                number: "7".to_owned(),
            }),
            "",
            "session          opened Final, number 7",
        ),
        (
            Content::ClockState(v1::ClockState {
                change: v1::ClockChange::Stepped.into(),
                sync_state: v1::SyncState::Synchronized.into(),
                step_ns: Some(-1_500_000_000),
                maximum_error_ns: Some(12_000),
                discipline: "chrony".to_owned(),
                ..v1::ClockState::default()
            }),
            "",
            "clock_state      stepped by -1.5 s, synchronized, within 0.000012 s, by chrony",
        ),
        (
            Content::ClockCorrection(v1::ClockCorrection {
                first_monotonic_ns: 10_000_000_000,
                last_monotonic_ns: 70_500_000_000,
                utc_minus_monotonic_ns: RECEIVED - 70_500_000_000,
                uncertainty_ns: Some(2_000_000),
                ..v1::ClockCorrection::default()
            }),
            "",
            "clock_correction events of 10 s to 70.5 s after the boot are of 10:44:36.531 to 10:45:37.031, \
             within 0.002 s",
        ),
        (
            Content::GatewayStatus(v1::GatewayStatus {
                state: v1::GatewayState::Started.into(),
                version: "1.2.3".to_owned(),
                text: "started".to_owned(),
                values: Vec::new(),
            }),
            "",
            "gateway_status   started, version 1.2.3",
        ),
        (
            Content::Raw(v1::Raw {
                reason: v1::RawReason::BadFrame.into(),
                error: "bad_checksum".to_owned(),
                error_offset: 7,
                bytes: 9,
                count: 1,
                ..v1::Raw::default()
            }),
            "",
            "raw              bad frame, bad checksum at byte 7, 9 bytes: $GP\\x1b[2J*\\r\\n",
        ),
    ];
    let mut seen = BTreeSet::new();
    for (content, device_time, expected) in table {
        let mut event = event(content, device_time);
        if let Some(Content::Raw(_)) = event.content {
            event.evidence = b"$GP\x1b[2J*\r\n".to_vec().into();
        }
        seen.insert(kind(&event));
        assert_eq!(line(&event, &paris()), format!("10:45:37.031 R     1234 timer-a          {expected}"));
    }
    assert_eq!(seen, BTreeSet::from(KINDS), "a kind without a line");
}

/// An unknown time, lane and number are told as such, and a device's text cannot steer
/// the terminal.
#[test]
fn what_is_not_known_or_not_text_does_no_harm() {
    let gap = v1::Gap { cause: 99, text: "one\x1b[2J\ntwo".to_owned(), ..v1::Gap::default() };
    let event = v1::Event { time: None, origin: None, ..event(Content::Gap(gap), "") };
    assert_eq!(
        line(&event, &paris()),
        "--:--:--.--- -        0 timer-a          gap              (99, of a later version): one\u{fffd}[2J\u{fffd}two"
    );
    let event = v1::Event { content: None, ..event };
    assert!(line(&event, &paris()).ends_with("unknown          content of a later version"));
}
