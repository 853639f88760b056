//! A line's message as a [`Reading`].

use super::{
    Checks, Code, Flag, Message, NumberSource, PrintedValue, Record, Reply, StartNumber, Trailer, key,
    record::RecordLine,
};
use crate::{
    Content, Correction, CorrectionKind, Day, DeviceState, DeviceStatus, DeviceTime, Identity, Impulse, LaneResult,
    Reading, ResultKind, Text, TimeValue, Value, ValueKind,
};

/// The reading of a record; none for a start list line, whose meaning is not
/// documented. `memory` says that the device repeats its memory.
pub(super) fn of_record<'a>(record: &Record, line: &'a [u8], day: Day, memory: bool) -> Option<Reading<'a>> {
    let view = RecordLine::new(line, Checks::Detected).ok()?;
    let listed = record.rank.is_some();
    let target = key::of_record(record);
    let content = |key, stands_for| Identity::Content { epoch: 0, key, day, stands_for };
    let (identity, content) = match (record.flag, record.flag.correction()) {
        (Flag::StartList, _) => return None,
        // A list is printed anew at will: each print is a new statement.
        _ if listed => (Identity::None, Content::LaneResult(lane_result(record, view, true))),
        (_, Some(kind)) => (
            content(key::of_correction(record, &target), Some(target.clone())),
            Content::Correction(Correction { kind, target_key: target, ..correction(record, view) }),
        ),
        _ if record.time_of_day_ns().is_some() => {
            (content(target, None), Content::Impulse(impulse(record, view, memory)))
        }
        _ => (content(target, None), Content::LaneResult(lane_result(record, view, memory))),
    };
    Some(Reading { sub_device: Text::EMPTY, identity, time: device_time(record, view), content, evidence: line })
}

/// The reading of any other message; none if it says nothing of the device.
pub(super) fn of_message<'a>(message: &Message<'a>, line: &'a [u8]) -> Option<Reading<'a>> {
    let mut time = DeviceTime::default();
    let mut status = DeviceStatus::default();
    match *message {
        Message::Blank | Message::Record(_) => return None,
        Message::StartNumber(number) => report_start_number(number, line, &mut status),
        Message::RunningTime(_) => report(&mut status, "running_time", Text::ascii(line)),
        Message::Title(_) => report(&mut status, "list", Text::ascii(line.trim_ascii())),
        Message::Trailer(Trailer::Maker(text)) => report(&mut status, "maker", text),
        Message::Trailer(Trailer::Model(text)) => report(&mut status, "model", text),
        Message::Trailer(Trailer::Firmware(text)) | Message::Reply(Reply::Firmware(text)) => {
            report(&mut status, "firmware", text);
        }
        Message::Trailer(Trailer::Clock(text, date, minutes)) => {
            let value = TimeValue::Local(date, u64::from(minutes) * 60_000_000_000);
            time = DeviceTime { text, value, resolution_ns: 60_000_000_000 };
            report(&mut status, "clock", text);
        }
        Message::Reply(Reply::SerialNumber(text)) => report(&mut status, "serial_number", text),
        Message::Reply(Reply::Program(text)) => report(&mut status, "program", text),
        Message::Reply(Reply::PulseHold(text)) => report(&mut status, "pulse_hold", text),
        Message::Reply(Reply::MemoryCleared) => {
            push(&mut status, "memory_cleared", ValueKind::Flag(true));
            status.text = Text::ascii(b"memory cleared at the device");
        }
    }
    status.state = DeviceState::Online;
    let (identity, content) = (Identity::None, Content::DeviceStatus(status));
    Some(Reading { sub_device: Text::EMPTY, identity, time, content, evidence: line })
}

fn impulse<'a>(record: &Record, view: RecordLine<'a>, memory: bool) -> Impulse<'a> {
    Impulse {
        channel: Text::ascii(record.code.name().as_bytes()),
        start_number: view.start_number_text(),
        manual: record.manual,
        memory: memory || record.flag == Flag::Memory,
        no_valid_start_number: record.flag == Flag::NoStartNumber,
        group: view.group_text(),
        course: record.course.name(),
        flag: if record.flag == Flag::Radio { flag_text(record.flag) } else { Text::EMPTY },
        ..Impulse::default()
    }
}

fn lane_result<'a>(record: &Record, view: RecordLine<'a>, memory: bool) -> LaneResult<'a> {
    let listed = record.rank.is_some();
    let told = matches!(record.flag, Flag::Valid | Flag::Memory);
    LaneResult {
        kind: if listed { ResultKind::Classification } else { record.code.result_kind() },
        start_number: view.start_number_text(),
        rank: record.rank.map(u32::from),
        duration_ns: duration_ns(record),
        speed_m_per_s: match (record.code, record.value) {
            (Code::Speed(unit), PrintedValue::Speed(speed)) => Some(unit.to_m_per_s(speed.speed())),
            _ => None,
        },
        // In a list: what it is a list of.
        channel: if listed { Text::ascii(record.code.name().as_bytes()) } else { Text::EMPTY },
        heat: view.group_text(),
        course: record.course.name(),
        manual: record.manual,
        memory: memory || record.flag == Flag::Memory || record.code.result_kind() == ResultKind::MemoryTime,
        flag: if told { Text::EMPTY } else { flag_text(record.flag) },
        text: view.value_text(),
        ..LaneResult::default()
    }
}

fn correction<'a>(record: &Record, view: RecordLine<'a>) -> Correction<'a> {
    Correction {
        kind: CorrectionKind::Unspecified,
        channel: Text::ascii(record.code.name().as_bytes()),
        start_number: view.start_number_text(),
        group: view.group_text(),
        course: record.course.name(),
        flag: flag_text(record.flag),
        duration_ns: duration_ns(record),
        result_kind: record.code.result_kind(),
        manual: record.manual,
        ..Correction::default()
    }
}

/// A flag that is set, as text.
fn flag_text(flag: Flag) -> Text<'static> {
    Text::ascii(flag.text().as_bytes())
}

/// The value of a result in ns; none for an impulse or a speed.
fn duration_ns(record: &Record) -> Option<i64> {
    match (record.code, record.value) {
        (Code::Result(_), PrintedValue::Time(time)) => i64::try_from(time.ns()).ok(),
        _ => None,
    }
}

/// When it happened. A result says no time, only its resolution.
fn device_time<'a>(record: &Record, view: RecordLine<'a>) -> DeviceTime<'a> {
    let resolution_ns = match record.value {
        PrintedValue::Time(time) => time.resolution_ns(),
        PrintedValue::Speed(_) => 0,
    };
    match record.time_of_day_ns() {
        Some(ns) => DeviceTime { text: view.value_text(), value: TimeValue::TimeOfDay(ns), resolution_ns },
        None => DeviceTime { resolution_ns, ..DeviceTime::default() },
    }
}

fn report_start_number<'a>(number: StartNumber, line: &'a [u8], status: &mut DeviceStatus<'a>) {
    report(status, "start_number", StartNumber::text(line));
    let source: &[u8] = match number.source {
        NumberSource::Keyboard => b"keyboard",
        NumberSource::StartList => b"start list",
    };
    report(status, "start_number_source", Text::ascii(source));
    if !number.course.name().is_empty() {
        report(status, "course", Text::ascii(number.course.name().as_bytes()));
    }
}

fn report<'a>(status: &mut DeviceStatus<'a>, name: &'static str, text: Text<'a>) {
    push(status, name, ValueKind::Text(text));
}

fn push<'a>(status: &mut DeviceStatus<'a>, name: &'static str, value: ValueKind<'a>) {
    let value = Value { name: Text::ascii(name.as_bytes()), value, unit: "", invalid: false };
    status.values.push(value).expect("no line has more than three of 16 values");
}
