//! What the frozen events say: one of every content kind, every field filled.

use bytes::Bytes;
use venue_schema::v1::{
    ClockChange, ClockCorrection, ClockState, Correction, CorrectionKind, DeviceRange, DeviceState, DeviceStatus, Edge,
    Gap, GapCause, GapState, GatewayState, GatewayStatus, Impulse, Lane, LaneRange, LaneResult, Measurement, Passing,
    PassingKind, Raw, RawReason, ResultKind, Session, SessionState, SourceRange, Start, StartKind, SyncState, Value,
    Wind, event::Content, gap::Scope, value,
};

use crate::event::{BOOT_ID, JOURNAL_EPOCH};

pub(crate) fn impulse() -> Content {
    Content::Impulse(Impulse {
        channel: "C1".into(),
        start_number: "12".into(),
        manual: true,
        memory: true,
        no_valid_start_number: true,
        group: "3".into(),
        course: "red".into(),
        flag: "?".into(),
        edge: Edge::Falling as i32,
        suppressed: 2,
    })
}

pub(crate) fn passing() -> Content {
    Content::Passing(Passing {
        transponder: "4711".into(),
        transponder_label: "FH-40123".into(),
        start_number: "12".into(),
        location: "finish".into(),
        reader: "2".into(),
        antenna: "0x03".into(),
        hits: Some(31),
        strength: Some(-7),
        rssi_dbm: Some(-61),
        lap: Some(4),
        passing_number: Some(u64::MAX),
        kind: PassingKind::FirstSeen as i32,
        battery_v: Some(3.25),
        temperature_c: Some(-4.5),
        stored: true,
        test: true,
        details: [("flags", "0"), ("tran_code", "9")].map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
    })
}

pub(crate) fn lane_result() -> Content {
    Content::LaneResult(LaneResult {
        kind: ResultKind::RunTime as i32,
        lane: Some(5),
        start_number: "12".into(),
        rank: Some(3),
        duration_ns: Some(62_345_000_000),
        speed_m_per_s: Some(27.75),
        channel: "C1".into(),
        event: "11".into(),
        heat: "2".into(),
        round: "1".into(),
        course: "blue".into(),
        manual: true,
        memory: true,
        official: true,
        flag: "DQ".into(),
        reaction_ns: Some(-12_000_000),
        text: "1:02.345".into(),
    })
}

pub(crate) fn start() -> Content {
    Content::Start(Start {
        kind: StartKind::FalseStart as i32,
        channel: "C0".into(),
        start_number: "4".into(),
        lane: Some(4),
        reaction_ns: Some(-12_000_000),
        text: "FS".into(),
    })
}

pub(crate) fn wind() -> Content {
    Content::Wind(Wind {
        // The next double after 1.35, so that a JSON form that rounds is caught.
        speed_m_per_s: Some(1.350_000_000_000_000_3),
        direction_deg: Some(47.5),
        relative: true,
        valid: true,
        text: "001.35 M".into(),
        status: "00".into(),
    })
}

pub(crate) fn measurement() -> Content {
    let value =
        |name: &str, value| Value { name: name.into(), value: Some(value), unit: String::new(), invalid: false };
    Content::Measurement(Measurement {
        values: vec![
            temperature(),
            // Beyond 2⁵³, where a JSON number would lose the last digit.
            Value { unit: "1".into(), ..value("count", value::Value::Integer(-9_007_199_254_740_993)) },
            value("open", value::Value::Flag(false)),
            value("state", value::Value::Text("läuft".into())),
            Value { invalid: true, ..value("frame", value::Value::Data(Bytes::from_static(b"\x00\xff\x10"))) },
        ],
        historical: true,
    })
}

fn temperature() -> Value {
    Value { name: "temperature".into(), value: Some(value::Value::Number(-4.25)), unit: "Cel".into(), invalid: false }
}

pub(crate) fn device_status() -> Content {
    Content::DeviceStatus(DeviceStatus {
        state: DeviceState::Fault as i32,
        values: vec![temperature()],
        text: "battery low".into(),
    })
}

pub(crate) fn correction() -> Content {
    Content::Correction(Correction {
        kind: CorrectionKind::Cleared as i32,
        target_key: "C1|10:42:17.13|2026-11-28|00".into(),
        target_occurrence: 1,
        channel: "C1".into(),
        start_number: "12".into(),
        previous_start_number: "13".into(),
        group: "3".into(),
        course: "red".into(),
        flag: "c".into(),
        duration_ns: Some(-62_345_000_000),
        result_kind: ResultKind::TotalTime as i32,
        replayed: true,
        manual: true,
    })
}

pub(crate) fn gap_of_a_lane() -> Content {
    gap(Scope::LaneRange(LaneRange {
        lane: Lane::Results as i32,
        first_sequence: 43,
        last_sequence: 45,
        journal_epoch: Bytes::from_static(&JOURNAL_EPOCH),
    }))
}

pub(crate) fn gap_of_a_source() -> Content {
    gap(Scope::SourceRange(SourceRange { source: "finish-timer-a".into(), first_ordinal: 41, last_ordinal: 43 }))
}

pub(crate) fn gap_of_a_device() -> Content {
    gap(Scope::DeviceRange(DeviceRange {
        device_id: "node-3".into(),
        device_epoch: 5,
        first_number: 100,
        last_number: 102,
    }))
}

fn gap(scope: Scope) -> Content {
    Content::Gap(Gap {
        cause: GapCause::Quarantined as i32,
        state: GapState::Closed as i32,
        scope: Some(scope),
        count: Some(3),
        bytes: Some(750),
        first_receive_utc_ns: Some(1_795_862_537_000_000_000),
        last_receive_utc_ns: Some(1_795_862_538_000_000_000),
        first_receive_monotonic_ns: Some(86_400_000_000_000),
        last_receive_monotonic_ns: Some(86_401_000_000_000),
        gap_id: "q-43".into(),
        text: "3 damaged records set aside".into(),
    })
}

pub(crate) fn session() -> Content {
    Content::Session(Session { state: SessionState::Opened as i32, name: "Race 1".into(), number: "3".into() })
}

pub(crate) fn clock_state() -> Content {
    Content::ClockState(ClockState {
        boot_id: Bytes::from_static(BOOT_ID),
        monotonic_ns: 86_400_000_000_000,
        utc_ns: 1_795_862_537_161_234_566,
        sync_state: SyncState::Holdover as i32,
        maximum_error_ns: Some(180_000),
        estimated_error_ns: Some(21_000),
        discipline: "chrony".into(),
        change: ClockChange::Stepped as i32,
        step_ns: Some(-1_500_000),
    })
}

pub(crate) fn clock_correction() -> Content {
    Content::ClockCorrection(ClockCorrection {
        boot_id: Bytes::from_static(BOOT_ID),
        first_monotonic_ns: 1,
        last_monotonic_ns: 86_400_000_000_000,
        utc_minus_monotonic_ns: 1_795_776_137_161_234_566,
        uncertainty_ns: Some(180_000),
    })
}

pub(crate) fn gateway_status() -> Content {
    Content::GatewayStatus(GatewayStatus {
        state: GatewayState::Running as i32,
        version: "0.1.0".into(),
        text: "running".into(),
        values: vec![temperature()],
    })
}

pub(crate) fn raw() -> Content {
    Content::Raw(Raw {
        reason: RawReason::BadFrame as i32,
        error: "bad_checksum".into(),
        error_offset: 5,
        stream_offset: 123_456_789_012,
        bytes: 4096,
        count: 17,
    })
}
