//! An event as one readable line: when it was received, lane, sequence, device, kind,
//! what was said, and the device's own time where it says one.
//!
//! ```text
//! 10:45:37.031 R     1234 timer-a          impulse          C1 #12, at 09:17:08.0298
//! 10:45:37.402 T    99120 wind-gauge       wind             3.4 m/s from 221°
//! ```

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

/// The line of an event, with its receive time in the venue's time zone. What a device
/// said cannot break the line or steer the terminal.
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
    let device_time = time.map_or("", |time| time.device_time.trim());
    let mut said = summary(event, zone);
    if !device_time.is_empty() && !said.contains(device_time) {
        said = phrase([said, format!("at {device_time}")]);
    }
    let (face, device, kind) = (face(zone, received), &event.device_id, kind(event));
    let line = format!("{face} {lane} {sequence:>8} {device:<16} {kind:<16} {said}");
    line.trim_end().chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// How a line begins of an event that was neither received nor stored.
const NOT_RECEIVED: &str = "--:--:--.--- -        0 ";

/// The line of an event that was neither received nor stored, from the device on.
pub fn of_sample(event: &v1::Event) -> String {
    let line = line(event, &TimeZone::UTC);
    line.strip_prefix(NOT_RECEIVED).unwrap_or(&line).to_owned()
}

fn face(zone: &TimeZone, utc_ns: Option<i64>) -> String {
    let timestamp = utc_ns.and_then(|ns| jiff::Timestamp::from_nanosecond(i128::from(ns)).ok());
    timestamp.map_or_else(|| "--:--:--.---".to_owned(), |it| zone.to_datetime(it).strftime("%H:%M:%S%.3f").to_string())
}

fn summary(event: &v1::Event, zone: &TimeZone) -> String {
    match &event.content {
        Some(Content::Impulse(it)) => impulse(it),
        Some(Content::Passing(it)) => passing(it),
        Some(Content::LaneResult(it)) => lane_result(it),
        Some(Content::Start(it)) => start(it),
        Some(Content::Wind(it)) => wind(it),
        Some(Content::Measurement(it)) => phrase([values(&it.values), when(it.historical, "taken earlier")]),
        Some(Content::DeviceStatus(it)) => status(&word(it.state, v1::DeviceState::as_str_name), &it.text, &it.values),
        Some(Content::Correction(it)) => correction(it),
        Some(Content::Gap(it)) => gap(it, zone),
        Some(Content::Session(it)) => session(it),
        Some(Content::ClockState(it)) => clock_state(it),
        Some(Content::ClockCorrection(it)) => clock_correction(it, zone),
        Some(Content::GatewayStatus(it)) => gateway_status(it),
        Some(Content::Raw(it)) => raw(it, &event.evidence),
        None => "content of a later version".to_owned(),
    }
}

fn impulse(it: &v1::Impulse) -> String {
    phrase([
        words([it.channel.clone(), number(&it.start_number)]),
        when(it.no_valid_start_number, "no valid start number"),
        when(it.manual, "by hand"),
        when(it.memory, "from memory"),
        word(it.edge, v1::Edge::as_str_name),
        named("group", &it.group),
        named("course", &it.course),
        named("flag", &it.flag),
        when(it.suppressed > 0, &format!("{} suppressed", it.suppressed)),
    ])
}

fn passing(it: &v1::Passing) -> String {
    let label = if it.transponder_label == it.transponder { "" } else { &it.transponder_label };
    phrase([
        words([it.transponder.clone(), label.to_owned(), number(&it.start_number)]),
        named("at", &it.location),
        named("reader", &it.reader),
        named("antenna", &it.antenna),
        word(it.kind, v1::PassingKind::as_str_name),
        some(it.lap, |lap| format!("lap {lap}")),
        some(it.passing_number, |number| format!("passing {number}")),
        some(it.hits, |hits| format!("{hits} hits")),
        some(it.strength, |strength| format!("strength {strength}")),
        some(it.rssi_dbm, |dbm| format!("{dbm} dBm")),
        some(it.battery_v, |volts| format!("battery {volts} V")),
        some(it.temperature_c, |degrees| format!("{degrees} °C")),
        when(it.stored, "from the transponder's store"),
        when(it.test, "TEST"),
    ])
}

fn lane_result(it: &v1::LaneResult) -> String {
    let duration = some(it.duration_ns.filter(|_| it.text.is_empty()), seconds);
    phrase([
        words([word(it.kind, v1::ResultKind::as_str_name), number(&it.start_number)]),
        some(it.lane, |lane| format!("lane {lane}")),
        some(it.rank, |rank| format!("rank {rank}")),
        it.text.clone(),
        duration,
        some(it.speed_m_per_s, |speed| format!("{speed:.2} m/s")),
        some(it.reaction_ns, |ns| format!("reaction {}", seconds(ns))),
        named("channel", &it.channel),
        named("event", &it.event),
        named("heat", &it.heat),
        named("round", &it.round),
        named("course", &it.course),
        when(it.official, "official"),
        when(it.manual, "by hand"),
        when(it.memory, "from memory"),
        named("flag", &it.flag),
    ])
}

fn start(it: &v1::Start) -> String {
    phrase([
        words([word(it.kind, v1::StartKind::as_str_name), it.channel.clone(), number(&it.start_number)]),
        some(it.lane, |lane| format!("lane {lane}")),
        some(it.reaction_ns, |ns| format!("reaction {}", seconds(ns))),
        it.text.clone(),
    ])
}

fn wind(it: &v1::Wind) -> String {
    let speed = it.speed_m_per_s.map_or_else(|| "no speed".to_owned(), |speed| format!("{speed:.1} m/s"));
    let direction = some(it.direction_deg, |degrees| format!("from {degrees:.0}°"));
    let mounting = when(it.relative && it.direction_deg.is_some(), "of the mounting");
    phrase([words([speed, direction, mounting]), when(!it.valid, "INVALID"), named("status", &it.status)])
}

fn values(values: &[v1::Value]) -> String {
    phrase(values.iter().map(value))
}

fn value(it: &v1::Value) -> String {
    let value = match &it.value {
        Some(value::Value::Number(number)) => number.to_string(),
        Some(value::Value::Integer(integer)) => integer.to_string(),
        Some(value::Value::Flag(flag)) => if *flag { "yes" } else { "no" }.to_owned(),
        Some(value::Value::Text(text)) => text.trim().to_owned(),
        Some(value::Value::Data(data)) => format!("{} bytes", data.len()),
        None => "?".to_owned(),
    };
    let unit = match it.unit.as_str() {
        "Cel" => "°C",
        "deg" => "°",
        unit => unit,
    };
    words([it.name.replace('_', " "), value, unit.to_owned(), when(it.invalid, "INVALID")])
}

/// A state, a text and values, nothing of it twice: the text often holds the state's
/// word, and the name of what it speaks of.
fn status(state: &str, text: &str, told: &[v1::Value]) -> String {
    let is_plain = state == "online" || text.contains(state);
    let told = told.iter().filter(|it| !text.contains(&it.name.replace('_', " ")) || it.name.is_empty());
    let told = phrase(told.map(value));
    let state = if is_plain && !(text.is_empty() && told.is_empty()) { "" } else { state };
    phrase([state.to_owned(), text.to_owned(), told])
}

fn correction(it: &v1::Correction) -> String {
    phrase([
        words([word(it.kind, v1::CorrectionKind::as_str_name), it.channel.clone(), number(&it.start_number)]),
        word(it.result_kind, v1::ResultKind::as_str_name),
        named("before", &number(&it.previous_start_number)),
        some(it.duration_ns, seconds),
        named("group", &it.group),
        named("course", &it.course),
        named("flag", &it.flag),
        when(it.manual, "by hand"),
        when(it.replayed, "from memory"),
    ])
}

fn gap(it: &v1::Gap, zone: &TimeZone) -> String {
    let time = |utc_ns: Option<i64>| some(utc_ns, |utc_ns| face(zone, Some(utc_ns)));
    let (first, last) = (time(it.first_receive_utc_ns), time(it.last_receive_utc_ns));
    let told = phrase([
        word(it.cause, v1::GapCause::as_str_name),
        word(it.state, v1::GapState::as_str_name),
        words([named("from", &first), named("to", &last)]),
        some(it.count, |count| if count == 1 { "1 event".to_owned() } else { format!("{count} events") }),
        some(it.bytes, |bytes| format!("{bytes} bytes")),
    ]);
    if it.text.is_empty() { told } else { format!("{told}: {}", it.text) }
}

fn session(it: &v1::Session) -> String {
    let number = if it.number == it.name { "" } else { &it.number };
    phrase([words([word(it.state, v1::SessionState::as_str_name), it.name.clone()]), named("number", number)])
}

fn clock_state(it: &v1::ClockState) -> String {
    let change = word(it.change, v1::ClockChange::as_str_name);
    let state = word(it.sync_state, v1::SyncState::as_str_name);
    let step = some(it.step_ns, |ns| format!("by {}", seconds(ns)));
    phrase([
        words([change.clone(), step]),
        if state == change { String::new() } else { state },
        it.maximum_error_ns.map_or_else(|| "no bound".to_owned(), |ns| format!("within {}", seconds(ns.cast_signed()))),
        named("by", &it.discipline),
    ])
}

fn clock_correction(it: &v1::ClockCorrection, zone: &TimeZone) -> String {
    let utc = |monotonic_ns: u64| face(zone, it.utc_minus_monotonic_ns.checked_add_unsigned(monotonic_ns));
    let after_boot = |ns: u64| seconds(ns.cast_signed());
    let (first, last) = (it.first_monotonic_ns, it.last_monotonic_ns);
    phrase([
        format!(
            "events of {} to {} after the boot are of {} to {}",
            after_boot(first),
            after_boot(last),
            utc(first),
            utc(last)
        ),
        some(it.uncertainty_ns, |ns| format!("within {}", seconds(ns.cast_signed()))),
    ])
}

fn gateway_status(it: &v1::GatewayStatus) -> String {
    let told = status(&word(it.state, v1::GatewayState::as_str_name), &it.text, &it.values);
    phrase([told, named("version", &it.version)])
}

fn raw(it: &v1::Raw, evidence: &[u8]) -> String {
    /// So much of the bytes is shown.
    const SHOWN: usize = 48;
    let shown = evidence[..evidence.len().min(SHOWN)].escape_ascii();
    let more = if evidence.len() > SHOWN { "…" } else { "" };
    let error = when(!it.error.is_empty(), &format!("{} at byte {}", it.error.replace('_', " "), it.error_offset));
    let told = phrase([
        word(it.reason, v1::RawReason::as_str_name),
        error,
        format!("{} bytes", it.bytes),
        when(it.count > 1, &format!("{} times", it.count)),
    ]);
    if evidence.is_empty() { told } else { format!("{told}: {shown}{more}") }
}

/// `GAP_CAUSE_DEVICE_DARK` as `device dark`: the words after the enum's own. Nothing
/// for an unspecified value, the number for one of a later version.
fn word<E: TryFrom<i32>>(number: i32, name: fn(&E) -> &'static str) -> String {
    let unspecified = E::try_from(0).map_or("", |zero| name(&zero));
    let of_the_enum = unspecified.trim_end_matches("UNSPECIFIED");
    match E::try_from(number) {
        Ok(_) if number == 0 => String::new(),
        Ok(known) => name(&known).trim_start_matches(of_the_enum).to_lowercase().replace('_', " "),
        Err(_) => format!("({number}, of a later version)"),
    }
}

fn number(start_number: &str) -> String {
    when(!start_number.is_empty(), &format!("#{start_number}"))
}

/// `name text`; nothing without a text.
fn named(name: &str, text: &str) -> String {
    when(!text.is_empty(), &format!("{name} {text}"))
}

fn when(holds: bool, text: &str) -> String {
    if holds { text.to_owned() } else { String::new() }
}

fn some<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map(text).unwrap_or_default()
}

/// What is not empty, with commas.
fn phrase(parts: impl IntoIterator<Item = String>) -> String {
    join(parts, ", ")
}

/// What is not empty, with blanks.
fn words(parts: impl IntoIterator<Item = String>) -> String {
    join(parts, " ")
}

fn join(parts: impl IntoIterator<Item = String>, separator: &str) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(separator)
}

/// Nanoseconds as `0.142 s`, exact, without zeros at the end.
fn seconds(ns: i64) -> String {
    let (whole, rest) = (ns.unsigned_abs() / 1_000_000_000, ns.unsigned_abs() % 1_000_000_000);
    let sign = if ns < 0 { "-" } else { "" };
    let digits = format!("{rest:09}");
    let digits = digits.trim_end_matches('0');
    let point = if digits.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{digits} s")
}

#[cfg(test)]
mod tests;
