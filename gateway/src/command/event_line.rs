//! An event as one readable line.
//!
//! ```text
//! 10:45:37.031 R     1234 timer-a          impulse     C1 #12 09:17:08.0298
//! 10:45:37.402 T    99120 wind-gauge       wind        3.4 m/s from 221°
//! ```

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use venue_schema::v1::{self, event::Content, value};

/// The name of a content kind, as filters and labels use it.
pub fn kind(event: &v1::Event) -> &'static str {
    match &event.content {
        Some(Content::Impulse(_)) => "impulse",
        Some(Content::Passing(_)) => "passing",
        Some(Content::LaneResult(_)) => "lane_result",
        Some(Content::Start(_)) => "start",
        Some(Content::Wind(_)) => "wind",
        Some(Content::Measurement(_)) => "measurement",
        Some(Content::DeviceStatus(_)) => "device_status",
        Some(Content::Correction(_)) => "correction",
        Some(Content::Gap(_)) => "gap",
        Some(Content::Session(_)) => "session",
        Some(Content::ClockState(_)) => "clock_state",
        Some(Content::ClockCorrection(_)) => "clock_correction",
        Some(Content::GatewayStatus(_)) => "gateway_status",
        Some(Content::Raw(_)) => "raw",
        None => "unknown",
    }
}

/// All names that [`kind`] gives.
pub const KINDS: [&str; 14] = [
    "impulse",
    "passing",
    "lane_result",
    "start",
    "wind",
    "measurement",
    "device_status",
    "correction",
    "gap",
    "session",
    "clock_state",
    "clock_correction",
    "gateway_status",
    "raw",
];

/// The line of an event, with its receive time in the venue's time zone.
pub fn line(event: &v1::Event, zone: &TimeZone) -> String {
    let time = event.time.as_ref();
    let received = time.and_then(|time| time.receive_utc_ns);
    let origin = event.origin.as_ref();
    let lane = match origin.map(v1::Origin::lane) {
        Some(v1::Lane::Results) => 'R',
        Some(v1::Lane::Telemetry) => 'T',
        _ => '-',
    };
    let sequence = origin.map_or(0, |origin| origin.sequence);
    let said = time.map_or("", |time| time.device_time.as_str());
    let line = format!(
        "{} {lane} {sequence:>8} {:<16} {:<13} {} {said}",
        face(zone, received),
        event.device_id,
        kind(event),
        summary(event)
    );
    line.trim_end().to_owned()
}

fn face(zone: &TimeZone, utc_ns: Option<i64>) -> String {
    let timestamp = utc_ns.and_then(|ns| jiff::Timestamp::from_nanosecond(i128::from(ns)).ok());
    timestamp.map_or_else(|| "--:--:--.---".to_owned(), |it| zone.to_datetime(it).strftime("%H:%M:%S%.3f").to_string())
}

fn summary(event: &v1::Event) -> String {
    match &event.content {
        Some(Content::Impulse(it)) => {
            let manual = if it.manual { " manual" } else { "" };
            let memory = if it.memory { " from memory" } else { "" };
            format!("{}{}{manual}{memory}", it.channel, number(&it.start_number))
        }
        Some(Content::Passing(it)) => format!("{}{} at {}", it.transponder, number(&it.start_number), it.location),
        Some(Content::LaneResult(it)) => lane_result(it),
        Some(Content::Start(it)) => format!("{}{} {}", it.kind().as_str_name(), number(&it.start_number), it.channel),
        Some(Content::Wind(it)) => wind(it),
        Some(Content::Measurement(it)) => values(&it.values),
        Some(Content::DeviceStatus(it)) => format!("{} {}", it.text, values(&it.values)).trim().to_owned(),
        Some(Content::Correction(it)) => correction(it),
        Some(Content::Gap(it)) => gap(it),
        Some(Content::Session(it)) => format!("{} {} {}", short(it.state().as_str_name()), it.name, it.number),
        Some(Content::ClockState(it)) => clock_state(it),
        Some(Content::ClockCorrection(it)) => format!("events up to {} ns after the boot", it.last_monotonic_ns),
        Some(Content::GatewayStatus(it)) => format!("{} {}", short(it.state().as_str_name()), it.text),
        Some(Content::Raw(it)) => format!("{} {}, {} bytes", short(it.reason().as_str_name()), it.error, it.bytes),
        None => "content of a later version".to_owned(),
    }
}

fn number(start_number: &str) -> String {
    if start_number.is_empty() { String::new() } else { format!(" #{start_number}") }
}

/// `RAW_REASON_BAD_FRAME` as `bad frame`: the words after the enum's own.
fn short(name: &str) -> String {
    const PREFIXES: [&str; 7] = [
        "RAW_REASON_",
        "GATEWAY_STATE_",
        "SESSION_STATE_",
        "GAP_CAUSE_",
        "GAP_STATE_",
        "CLOCK_CHANGE_",
        "CORRECTION_KIND_",
    ];
    let stripped = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    stripped.to_lowercase().replace('_', " ")
}

fn lane_result(it: &v1::LaneResult) -> String {
    let kind = it.kind().as_str_name().trim_start_matches("RESULT_KIND_").to_lowercase().replace('_', " ");
    let rank = it.rank.map_or_else(String::new, |rank| format!(" rank {rank}"));
    format!("{kind}{} {}{rank}", number(&it.start_number), it.text)
}

fn wind(it: &v1::Wind) -> String {
    let speed = it.speed_m_per_s.map_or_else(|| "no speed".to_owned(), |speed| format!("{speed:.1} m/s"));
    let direction = it.direction_deg.map_or_else(String::new, |degrees| format!(" from {degrees:.0}°"));
    let valid = if it.valid { "" } else { " INVALID" };
    format!("{speed}{direction}{valid}")
}

fn values(values: &[v1::Value]) -> String {
    let mut text = String::new();
    for (index, it) in values.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let value = match &it.value {
            Some(value::Value::Number(number)) => number.to_string(),
            Some(value::Value::Integer(integer)) => integer.to_string(),
            Some(value::Value::Flag(flag)) => flag.to_string(),
            Some(value::Value::Text(text)) => text.clone(),
            Some(value::Value::Data(data)) => format!("{} bytes", data.len()),
            None => "?".to_owned(),
        };
        let space = if it.unit.is_empty() { "" } else { " " };
        let _ = write!(text, "{comma}{} {value}{space}{}", it.name, it.unit);
    }
    text.trim_end().to_owned()
}

fn correction(it: &v1::Correction) -> String {
    let replayed = if it.replayed { " (from memory)" } else { "" };
    format!("{} {}{}{replayed}", short(it.kind().as_str_name()), it.channel, number(&it.start_number))
}

fn gap(it: &v1::Gap) -> String {
    let count = it.count.map_or_else(String::new, |count| format!(", {count} events"));
    format!("{} {}{count}: {}", short(it.cause().as_str_name()), short(it.state().as_str_name()), it.text)
}

fn clock_state(it: &v1::ClockState) -> String {
    let bound = it.maximum_error_ns.map_or_else(|| "no bound".to_owned(), |ns| format!("within {} µs", ns / 1000));
    let step = it.step_ns.map_or_else(String::new, |ns| format!(" by {ns} ns"));
    format!("{}{step}, {bound} ({})", short(it.change().as_str_name()), it.discipline)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an operator sees of an impulse and of a loss.
    #[test]
    fn an_event_is_one_readable_line() {
        let mut event = v1::Event {
            device_id: "timer-a".to_owned(),
            time: Some(v1::EventTime {
                device_time: "09:17:08.0298".to_owned(),
                receive_utc_ns: Some(1_795_859_137_031_000_000),
                ..v1::EventTime::default()
            }),
            content: Some(Content::Impulse(v1::Impulse {
                channel: "C1".to_owned(),
                start_number: "12".to_owned(),
                ..v1::Impulse::default()
            })),
            origin: Some(v1::Origin { lane: v1::Lane::Results.into(), sequence: 1234, ..v1::Origin::default() }),
            ..v1::Event::default()
        };
        let zone = TimeZone::get("Europe/Paris").expect("bundled");
        assert_eq!(line(&event, &zone), "10:45:37.031 R     1234 timer-a          impulse       C1 #12 09:17:08.0298");
        event.content = Some(Content::Gap(v1::Gap {
            cause: v1::GapCause::DeviceDark.into(),
            state: v1::GapState::Closed.into(),
            text: "the line to the device was gone".to_owned(),
            ..v1::Gap::default()
        }));
        event.time = None;
        assert_eq!(
            line(&event, &zone),
            "--:--:--.--- R     1234 timer-a          gap           device dark closed: the line to the device was gone"
        );
    }
}
