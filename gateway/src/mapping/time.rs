//! When a message says that it happened.

use venue_devices::{DeviceTime, TimeValue};

use super::error::{ErrorKind, MappingError, quoted};
use super::json::Kind;
use super::pointer::{Pointer, Scope};
use super::reading::utf8;

/// 2000-01-01: what lies before it is a clock that nobody has set.
const EARLIEST_NS: i64 = 946_684_800_000_000_000;
/// 2100-01-01: what lies after it is a number of another unit.
const LATEST_NS: i64 = 4_102_444_800_000_000_000;
/// The longest text that is taken for a time, bytes.
pub(super) const TIME_TEXT_BYTES_MAX: usize = 64;

/// How a message writes a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeFormat {
    /// Seconds since 1970, with or without a fraction.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// Microseconds since 1970.
    Microseconds,
    /// `2026-11-28T09:17:08.029+01:00`.
    Rfc3339,
}

/// Where a message says its time.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeRule {
    /// Where it stands.
    pub pointer: Pointer,
    /// How it is written.
    pub format: TimeFormat,
    /// Whether it may be absent; the receive time then stands in.
    pub optional: bool,
}

/// A time as a message said it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MappedTime {
    /// As it was written; empty if the message says none: then it has the receive time.
    pub text: String,
    /// UTC by the sender's clock, ns since 1970.
    pub utc_ns: Option<i64>,
    /// Smallest step of the text, ns.
    pub resolution_ns: u64,
}

impl MappedTime {
    pub(super) fn as_device_time(&self) -> DeviceTime<'_> {
        DeviceTime {
            text: utf8(&self.text),
            value: self.utc_ns.map_or(TimeValue::None, TimeValue::UtcByOwnClock),
            resolution_ns: self.resolution_ns,
        }
    }
}

impl TimeRule {
    /// The time of an element.
    pub(super) fn read(&self, scope: &Scope<'_, '_>) -> Result<MappedTime, MappingError> {
        let node = match self.pointer.find(scope) {
            Some(node) => node,
            None if self.optional => return Ok(MappedTime::default()),
            None => self.pointer.require(scope)?,
        };
        let bad = |what: String| self.pointer.error(scope, ErrorKind::BadTime, what);
        let text = match node.kind() {
            Kind::Text(text) => text,
            Kind::Number(text) if self.format != TimeFormat::Rfc3339 => text.into(),
            other => {
                let what = format!("must be {}, and is {}", self.format.what(), other.name());
                return Err(self.pointer.error(scope, ErrorKind::WrongType, what));
            }
        };
        if text.len() > TIME_TEXT_BYTES_MAX {
            return Err(bad(format!("is no time: {}", quoted(&text))));
        }
        let read = match self.format {
            TimeFormat::Seconds => since_1970(&text, 9),
            TimeFormat::Milliseconds => since_1970(&text, 6),
            TimeFormat::Microseconds => since_1970(&text, 3),
            TimeFormat::Rfc3339 => rfc3339(&text),
        };
        let (utc_ns, resolution_ns) =
            read.ok_or_else(|| bad(format!("is not {}: {}", self.format.what(), quoted(&text))))?;
        if !(i128::from(EARLIEST_NS)..i128::from(LATEST_NS)).contains(&utc_ns) {
            let side = if utc_ns < i128::from(EARLIEST_NS) { "before 2000" } else { "after 2099" };
            return Err(bad(format!("is a time {side}, read as {}: {}", self.format.what(), quoted(&text))));
        }
        let utc_ns = i64::try_from(utc_ns).ok();
        Ok(MappedTime { text: text.into_owned(), utc_ns, resolution_ns })
    }
}

impl TimeFormat {
    const fn what(self) -> &'static str {
        match self {
            Self::Seconds => "seconds since 1970",
            Self::Milliseconds => "milliseconds since 1970",
            Self::Microseconds => "microseconds since 1970",
            Self::Rfc3339 => "an RFC 3339 time such as 2026-11-28T08:17:08Z",
        }
    }
}

/// ns since 1970 and the smallest step of the text, of a decimal number in units of
/// 10^`unit` ns. The digits are read as they stand: a double holds today's time in
/// steps of 238 ns only. Digits below the nanosecond are dropped.
fn since_1970(text: &str, unit: u32) -> Option<(i128, u64)> {
    if text.contains(['e', 'E']) {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite())?;
        // The cast saturates, beyond any time that is accepted.
        return Some(((number * 10_f64.powi(unit.cast_signed())) as i128, 1000));
    }
    let (is_negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) || digits.ends_with('.') {
        return None;
    }
    // Longer than any time; what does not fit is out of range, not malformed.
    let scale = 10_i128.pow(unit);
    let whole = whole.parse::<i128>().ok().and_then(|whole| whole.checked_mul(scale)).unwrap_or(i128::MAX / 2);
    let kept = &fraction[..fraction.len().min(unit as usize)];
    let step = 10_u64.pow(unit - kept.len() as u32);
    let part = if kept.is_empty() { 0 } else { kept.parse::<i128>().ok()? * i128::from(step) };
    let nanoseconds = whole + part;
    Some((if is_negative { -nanoseconds } else { nanoseconds }, step))
}

fn rfc3339(text: &str) -> Option<(i128, u64)> {
    let utc: jiff::Timestamp = text.parse().ok()?;
    let fraction = text.split_once('.').map_or("", |(_, rest)| rest);
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count().min(9) as u32;
    Some((utc.as_nanosecond(), 10_u64.pow(9 - digits)))
}

#[cfg(test)]
mod tests {
    use super::super::json::Node;
    use super::*;

    #[track_caller]
    fn check(format: TimeFormat, json: &str, expected: Result<(i64, u64), &str>) {
        let text = format!("{{\"t\": {json}}}");
        let root = Node::parse(&text).expect("JSON");
        let scope = Scope { root: &root, element: &root, member: "", path: "" };
        let rule = TimeRule { pointer: Pointer::parse("/t").expect("a pointer"), format, optional: false };
        let read = rule.read(&scope);
        let read = read.as_ref().map(|it| (it.utc_ns.expect("said"), it.resolution_ns)).map_err(ToString::to_string);
        assert_eq!(read, expected.map_err(str::to_owned), "{json}");
    }

    // 2026-11-28T08:17:08Z, from `date -u -d … +%s`.
    const AT: i64 = 1_795_853_828_000_000_000;

    /// Every format, as number and as text, with the step that its digits show.
    #[test]
    fn times_are_read_to_the_last_digit() {
        use TimeFormat::{Microseconds, Milliseconds, Rfc3339, Seconds};
        check(Seconds, "1795853828", Ok((AT, 1_000_000_000)));
        check(Seconds, "1795853828.03", Ok((AT + 30_000_000, 10_000_000)));
        check(Seconds, "\"1795853828.123456789\"", Ok((AT + 123_456_789, 1)));
        check(Seconds, "1795853828.1234567899", Ok((AT + 123_456_789, 1)));
        check(Seconds, "1.795853828e9", Ok((AT, 1000)));
        check(Milliseconds, "1795853828030", Ok((AT + 30_000_000, 1_000_000)));
        check(Milliseconds, "1795853828030.5", Ok((AT + 30_500_000, 100_000)));
        check(Microseconds, "1795853828000001", Ok((AT + 1000, 1000)));
        check(Rfc3339, "\"2026-11-28T08:17:08Z\"", Ok((AT, 1_000_000_000)));
        check(Rfc3339, "\"2026-11-28T09:17:08.029+01:00\"", Ok((AT + 29_000_000, 1_000_000)));
        check(Rfc3339, "\"2026-11-28T08:17:08.123456789Z\"", Ok((AT + 123_456_789, 1)));
    }

    /// A time in the wrong unit, of a clock that nobody set, or that is none at all is
    /// refused with what it was taken for.
    #[test]
    fn absurd_times_are_refused() {
        use TimeFormat::{Milliseconds, Rfc3339, Seconds};
        check(Seconds, "1795853828030", Err("`/t` is a time after 2099, read as seconds since 1970: `1795853828030`"));
        check(
            Milliseconds,
            "1795853828",
            Err("`/t` is a time before 2000, read as milliseconds since 1970: `1795853828`"),
        );
        check(Seconds, "0", Err("`/t` is a time before 2000, read as seconds since 1970: `0`"));
        check(Seconds, "-1795853828", Err("`/t` is a time before 2000, read as seconds since 1970: `-1795853828`"));
        check(Seconds, "1e400", Err("`/t` is not seconds since 1970: `1e400`"));
        check(Seconds, "1e300", Err("`/t` is a time after 2099, read as seconds since 1970: `1e300`"));
        let long = "9".repeat(45);
        let said = format!("`/t` is a time after 2099, read as seconds since 1970: `{}…`", "9".repeat(40));
        check(Seconds, &long, Err(&said));
        check(Seconds, "\"NaN\"", Err("`/t` is not seconds since 1970: `NaN`"));
        check(Seconds, "\"\"", Err("`/t` is not seconds since 1970: ``"));
        check(Seconds, "\"1795853828.\"", Err("`/t` is not seconds since 1970: `1795853828.`"));
        check(Seconds, "true", Err("`/t` must be seconds since 1970, and is true or false"));
        check(Seconds, "null", Err("`/t` is missing"));
        let rfc = "an RFC 3339 time such as 2026-11-28T08:17:08Z";
        check(Rfc3339, "\"2026-11-28T08:17:08\"", Err(&format!("`/t` is not {rfc}: `2026-11-28T08:17:08`")));
        check(Rfc3339, "\"2026-02-30T08:17:08Z\"", Err(&format!("`/t` is not {rfc}: `2026-02-30T08:17:08Z`")));
        check(Rfc3339, "1795853828", Err(&format!("`/t` must be {rfc}, and is a number")));
        check(
            Rfc3339,
            "\"1970-01-01T00:00:05Z\"",
            Err(&format!("`/t` is a time before 2000, read as {rfc}: `1970-01-01T00:00:05Z`")),
        );
    }
}
