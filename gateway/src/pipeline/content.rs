//! What a device said, as the content of an event: one variant each, field by field.

use venue_devices::{self as devices, Content, Text, ValueKind};
use venue_schema::v1::{self, event, value};

/// The content of an event from a reading's. `target` is the complete key of what
/// a correction concerns, with its occurrence; empty and 0 for anything else.
pub(super) fn content(content: &Content<'_>, target: (&str, u32), replayed: bool) -> event::Content {
    match content {
        Content::Impulse(it) => event::Content::Impulse(impulse(it)),
        Content::Passing(it) => event::Content::Passing(passing(it)),
        Content::LaneResult(it) => event::Content::LaneResult(lane_result(it)),
        Content::Start(it) => event::Content::Start(start(it)),
        Content::Wind(it) => event::Content::Wind(wind(it)),
        Content::Measurement(it) => {
            event::Content::Measurement(v1::Measurement { values: values(&it.values), historical: it.historical })
        }
        Content::DeviceStatus(it) => event::Content::DeviceStatus(v1::DeviceStatus {
            state: device_state(it.state).into(),
            values: values(&it.values),
            text: shown(it.text),
        }),
        Content::Correction(it) => event::Content::Correction(correction(it, target, replayed)),
        Content::Session(it) => event::Content::Session(session(it)),
    }
}

/// The lane of a content where nobody configured one.
pub(super) fn lane(content: &Content<'_>) -> v1::Lane {
    match content {
        Content::Impulse(_)
        | Content::Passing(_)
        | Content::LaneResult(_)
        | Content::Start(_)
        | Content::Correction(_)
        | Content::Session(_) => v1::Lane::Results,
        Content::Wind(_) | Content::Measurement(_) | Content::DeviceStatus(_) => v1::Lane::Telemetry,
    }
}

/// A device's text in Unicode.
pub(super) fn shown(text: Text<'_>) -> String {
    text.as_ascii().map_or_else(|| text.to_string(), str::to_owned)
}

fn impulse(it: &devices::Impulse<'_>) -> v1::Impulse {
    let edge = match it.edge {
        devices::Edge::Unspecified => v1::Edge::Unspecified,
        devices::Edge::Rising => v1::Edge::Rising,
        devices::Edge::Falling => v1::Edge::Falling,
    };
    v1::Impulse {
        channel: shown(it.channel),
        start_number: shown(it.start_number),
        manual: it.manual,
        memory: it.memory,
        no_valid_start_number: it.no_valid_start_number,
        group: shown(it.group),
        course: it.course.to_owned(),
        flag: shown(it.flag),
        edge: edge.into(),
        suppressed: it.suppressed,
    }
}

fn passing(it: &devices::Passing<'_>) -> v1::Passing {
    let kind = match it.kind {
        devices::PassingKind::Unspecified => v1::PassingKind::Unspecified,
        devices::PassingKind::FirstSeen => v1::PassingKind::FirstSeen,
        devices::PassingKind::LastSeen => v1::PassingKind::LastSeen,
        devices::PassingKind::Peak => v1::PassingKind::Peak,
        devices::PassingKind::Marker => v1::PassingKind::Marker,
    };
    v1::Passing {
        transponder: shown(it.transponder),
        transponder_label: shown(it.transponder_label),
        start_number: shown(it.start_number),
        location: shown(it.location),
        reader: shown(it.reader),
        antenna: shown(it.antenna),
        hits: it.hits,
        strength: it.strength,
        rssi_dbm: it.rssi_dbm,
        lap: it.lap,
        passing_number: it.passing_number,
        kind: kind.into(),
        battery_v: it.battery_v,
        temperature_c: it.temperature_c,
        stored: it.stored,
        test: it.test,
        details: it.details.iter().map(|&(name, value)| (name.to_owned(), shown(value))).collect(),
    }
}

fn result_kind(kind: devices::ResultKind) -> v1::ResultKind {
    match kind {
        devices::ResultKind::Unspecified => v1::ResultKind::Unspecified,
        devices::ResultKind::RunTime => v1::ResultKind::RunTime,
        devices::ResultKind::TotalTime => v1::ResultKind::TotalTime,
        devices::ResultKind::Split => v1::ResultKind::Split,
        devices::ResultKind::Lap => v1::ResultKind::Lap,
        devices::ResultKind::MemoryTime => v1::ResultKind::MemoryTime,
        devices::ResultKind::Difference => v1::ResultKind::Difference,
        devices::ResultKind::Speed => v1::ResultKind::Speed,
        devices::ResultKind::Classification => v1::ResultKind::Classification,
        devices::ResultKind::Reaction => v1::ResultKind::Reaction,
        devices::ResultKind::TotalDifference => v1::ResultKind::TotalDifference,
    }
}

fn lane_result(it: &devices::LaneResult<'_>) -> v1::LaneResult {
    v1::LaneResult {
        kind: result_kind(it.kind).into(),
        lane: it.lane,
        start_number: shown(it.start_number),
        rank: it.rank,
        duration_ns: it.duration_ns,
        speed_m_per_s: it.speed_m_per_s,
        channel: shown(it.channel),
        event: shown(it.event),
        heat: shown(it.heat),
        round: shown(it.round),
        course: it.course.to_owned(),
        manual: it.manual,
        memory: it.memory,
        official: it.official,
        flag: shown(it.flag),
        reaction_ns: it.reaction_ns,
        text: shown(it.text),
    }
}

fn start(it: &devices::Start<'_>) -> v1::Start {
    let kind = match it.kind {
        devices::StartKind::Unspecified => v1::StartKind::Unspecified,
        devices::StartKind::Gun => v1::StartKind::Gun,
        devices::StartKind::Gate => v1::StartKind::Gate,
        devices::StartKind::Reaction => v1::StartKind::Reaction,
        devices::StartKind::FalseStart => v1::StartKind::FalseStart,
        devices::StartKind::Marker => v1::StartKind::Marker,
    };
    v1::Start {
        kind: kind.into(),
        channel: shown(it.channel),
        start_number: shown(it.start_number),
        lane: it.lane,
        reaction_ns: it.reaction_ns,
        text: shown(it.text),
    }
}

fn wind(it: &devices::Wind<'_>) -> v1::Wind {
    let separator = if it.unit_text.is_empty() { "" } else { " " };
    v1::Wind {
        speed_m_per_s: it.speed_m_per_s,
        direction_deg: it.direction_deg,
        relative: it.relative,
        valid: it.valid,
        text: format!("{}{separator}{}", it.speed_text, it.unit_text),
        status: shown(it.status),
    }
}

fn values(values: &[devices::Value<'_>]) -> Vec<v1::Value> {
    let one = |it: &devices::Value<'_>| v1::Value {
        name: shown(it.name),
        value: Some(match it.value {
            ValueKind::Number(number) => value::Value::Number(number),
            ValueKind::Integer(integer) => value::Value::Integer(integer),
            ValueKind::Flag(flag) => value::Value::Flag(flag),
            ValueKind::Text(it) => value::Value::Text(shown(it)),
            ValueKind::Data(data) => value::Value::Data(data.to_vec().into()),
        }),
        unit: it.unit.to_owned(),
        invalid: it.invalid,
    };
    values.iter().map(one).collect()
}

fn device_state(state: devices::DeviceState) -> v1::DeviceState {
    match state {
        devices::DeviceState::Unspecified => v1::DeviceState::Unspecified,
        devices::DeviceState::Online => v1::DeviceState::Online,
        devices::DeviceState::Offline => v1::DeviceState::Offline,
        devices::DeviceState::Silent => v1::DeviceState::Silent,
        devices::DeviceState::Fault => v1::DeviceState::Fault,
    }
}

fn correction(it: &devices::Correction<'_>, target: (&str, u32), replayed: bool) -> v1::Correction {
    let kind = match it.kind {
        devices::CorrectionKind::Unspecified => v1::CorrectionKind::Unspecified,
        devices::CorrectionKind::Cleared => v1::CorrectionKind::Cleared,
        devices::CorrectionKind::Edited => v1::CorrectionKind::Edited,
        devices::CorrectionKind::Manual => v1::CorrectionKind::Manual,
        devices::CorrectionKind::Renumbered => v1::CorrectionKind::Renumbered,
        devices::CorrectionKind::Disqualified => v1::CorrectionKind::Disqualified,
        devices::CorrectionKind::Penalty => v1::CorrectionKind::Penalty,
    };
    v1::Correction {
        kind: kind.into(),
        target_key: target.0.to_owned(),
        target_occurrence: target.1,
        channel: shown(it.channel),
        start_number: shown(it.start_number),
        previous_start_number: shown(it.previous_start_number),
        group: shown(it.group),
        course: it.course.to_owned(),
        flag: shown(it.flag),
        duration_ns: it.duration_ns,
        result_kind: result_kind(it.result_kind).into(),
        replayed,
        manual: it.manual,
    }
}

fn session(it: &devices::Session<'_>) -> v1::Session {
    let state = if it.opened { v1::SessionState::Opened } else { v1::SessionState::Closed };
    v1::Session { state: state.into(), name: shown(it.name), number: shown(it.number) }
}
