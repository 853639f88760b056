//! Times and dates as sentences write them.

use super::{Field, Sentence};
use crate::{CivilDate, Day, DeviceTime, Identity, KeyText, Text, TimeValue};

/// A key while it is written.
type KeyBytes = heapless::Vec<u8, 96>;

const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_DAY: u64 = 86_400 * NS_PER_S;

/// A UTC time of day with the decimals that the device gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay {
    ns: u64,
    decimals: u8,
}

impl TimeOfDay {
    /// `ns` since midnight, in the last second of a day up to its leap second,
    /// shown with `decimals`. None if there is no such time, or if it does not
    /// show whole with those decimals, of which there are at most 9.
    pub const fn new(ns: u64, decimals: u8) -> Option<Self> {
        let shows = decimals <= 9 && ns.is_multiple_of(10_u64.pow(9 - decimals as u32));
        if shows && ns < NS_PER_DAY + NS_PER_S { Some(Self { ns, decimals }) } else { None }
    }

    /// Reads `hhmmss` with up to 9 decimals; second 60 only before midnight.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (clock, fraction) = text.split_first_chunk::<6>()?;
        let [hour, minute, second] = two_digit_numbers(clock)?.map(u64::from);
        let leap = (hour, minute, second) == (23, 59, 60);
        let decimals = match fraction {
            [] => fraction,
            [b'.', decimals @ ..] if decimals.len() <= 9 => decimals,
            _ => return None,
        };
        if hour > 23 || minute > 59 || second > 59 && !leap {
            return None;
        }
        let digits = decimals.iter().try_fold(0, |sum, byte| Some(sum * 10 + u64::from(digit(*byte)?)))?;
        let decimals = decimals.len() as u8;
        let seconds = (hour * 60 + minute) * 60 + second;
        Self::new(seconds * NS_PER_S + digits * 10_u64.pow(9 - u32::from(decimals)), decimals)
    }

    /// Nanoseconds since midnight.
    pub const fn ns(self) -> u64 {
        self.ns
    }

    /// Decimals of a second that the device gives.
    pub const fn decimals(self) -> u8 {
        self.decimals
    }

    /// Smallest step that those decimals show, in ns.
    pub const fn resolution_ns(self) -> u64 {
        10_u64.pow(9 - self.decimals as u32)
    }

    /// Hour, minute, second and the digits behind the second.
    pub(super) const fn parts(self) -> (u64, u64, u64, u64) {
        let leap = self.ns >= NS_PER_DAY;
        let minutes = if leap { 24 * 60 - 1 } else { self.ns / (60 * NS_PER_S) };
        let rest = self.ns - minutes * 60 * NS_PER_S;
        (minutes / 60, minutes % 60, rest / NS_PER_S, rest % NS_PER_S / self.resolution_ns())
    }
}

/// The offset from local time to UTC, which is added to local time to get UTC:
/// negative east of Greenwich, as the standard counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone {
    minutes: i16,
}

impl Zone {
    /// A zone of so many minutes; none beyond 14 hours.
    pub const fn new(minutes: i16) -> Option<Self> {
        if minutes.unsigned_abs() <= 14 * 60 { Some(Self { minutes }) } else { None }
    }

    /// Reads signed hours and the minutes, which have the sign of the hours.
    pub(super) fn parse(hours: &[u8], minutes: &[u8]) -> Option<Self> {
        let unsigned = |text: &[u8]| match text {
            [] => Some(0),
            [b'+' | b'-', digits @ ..] => Field::digits(digits),
            digits => Field::digits(digits),
        };
        let (hour, minute) = (unsigned(hours)?, unsigned(minutes).filter(|minute| *minute < 60)?);
        let negative = hours.first() == Some(&b'-') || minutes.first() == Some(&b'-');
        let total = i16::try_from(u32::from(hour) * 60 + u32::from(minute)).ok()?;
        Self::new(if negative { -total } else { total })
    }

    /// Minutes to add to local time.
    pub const fn minutes(self) -> i16 {
        self.minutes
    }
}

/// The date of `ddmmyy`: 80 to 99 are years of the last century, for the clocks of
/// satellite receivers begin in 1980.
pub(super) fn date_ddmmyy(text: &[u8]) -> Option<CivilDate> {
    let [day, month, year] = two_digit_numbers(text.try_into().ok()?)?;
    CivilDate::new(u16::from(year) + if year < 80 { 2000 } else { 1900 }, month, day)
}

/// UTC in ns since 1970; none where 64 bits end (2262).
pub(super) fn utc_ns(date: CivilDate, time: TimeOfDay) -> Option<i64> {
    date.unix_days().checked_mul(NS_PER_DAY as i64)?.checked_add(time.ns as i64)
}

/// The time of a sentence, in its own words and as far as it is complete.
pub(super) fn device_time<'a>(text: &'a [u8], date: Option<CivilDate>, time: Option<TimeOfDay>) -> DeviceTime<'a> {
    let value = match (date, time) {
        (Some(date), Some(time)) => utc_ns(date, time).map_or(TimeValue::None, TimeValue::Utc),
        (None, Some(time)) => TimeValue::UtcTimeOfDay(time.ns),
        (_, None) => TimeValue::None,
    };
    DeviceTime { text: Text::ascii(text), value, resolution_ns: time.map_or(0, TimeOfDay::resolution_ns) }
}

/// `GPRMC|22:32:51.00|2016-04-21`; no identity without both time and date.
pub(super) fn identity(sentence: &Sentence<'_>, date: Option<CivilDate>, time: Option<TimeOfDay>) -> Identity {
    let (Some(date), Some(time)) = (date, time) else { return Identity::None };
    match key(sentence.address(), date, time) {
        Some(key) => Identity::Content { epoch: 0, key, day: Day::None, stands_for: None },
        None => Identity::None,
    }
}

fn key(address: &[u8], date: CivilDate, time: TimeOfDay) -> Option<KeyText> {
    let mut key = KeyBytes::new();
    let (hour, minute, second, fraction) = time.parts();
    key.extend_from_slice(address).ok()?;
    push_number::<2>(&mut key, b'|', hour)?;
    push_number::<2>(&mut key, b':', minute)?;
    push_number::<2>(&mut key, b':', second)?;
    if time.decimals > 0 {
        push_number::<9>(&mut key, b'.', fraction * time.resolution_ns())?;
        key.truncate(key.len() - (9 - usize::from(time.decimals)));
    }
    push_number::<4>(&mut key, b'|', date.year.into())?;
    push_number::<2>(&mut key, b'-', date.month.into())?;
    push_number::<2>(&mut key, b'-', date.day.into())?;
    KeyText::from_utf8(key).ok()
}

/// Appends a mark and the last `WIDTH` digits of a number. Written out because
/// formatting would take half the time of a sentence.
fn push_number<const WIDTH: usize>(key: &mut KeyBytes, mark: u8, mut number: u64) -> Option<()> {
    let mut digits = [b'0'; WIDTH];
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    key.push(mark).ok()?;
    key.extend_from_slice(&digits).ok()
}

/// Three numbers of two digits each.
fn two_digit_numbers(text: &[u8; 6]) -> Option<[u8; 3]> {
    let two = |at: usize| Some(digit(text[at])? * 10 + digit(text[at + 1])?);
    Some([two(0)?, two(2)?, two(4)?])
}

fn digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use core::ops::RangeInclusive;
    use proptest::prelude::*;

    /// Times of day with any number of decimals, leap seconds with them.
    pub(in crate::nmea) fn times() -> impl Strategy<Value = TimeOfDay> {
        (0_u64..NS_PER_DAY + NS_PER_S, 0_u8..=9).prop_map(|(ns, decimals)| {
            let step = 10_u64.pow(9 - u32::from(decimals));
            TimeOfDay::new(ns / step * step, decimals).expect("whole with its decimals")
        })
    }

    /// Dates that exist, within years.
    pub(in crate::nmea) fn dates(years: RangeInclusive<u16>) -> impl Strategy<Value = CivilDate> {
        (years, 1_u8..=12, 1_u8..=31)
            .prop_filter_map("no such day", |(year, month, day)| CivilDate::new(year, month, day))
    }

    /// Times that clocks show, the leap second with them, and those that none does.
    #[test]
    fn times_of_day_are_those_of_a_clock() {
        let ns = |text: &str| TimeOfDay::parse(text.as_bytes()).map(TimeOfDay::ns);
        assert_eq!(ns("000000"), Some(0));
        assert_eq!(ns("223251.00"), Some(81_171_000_000_000));
        assert_eq!(ns("010203.000000004"), Some(3_723_000_000_004));
        assert_eq!(ns("235960.5"), Some(86_400_500_000_000));
        assert_eq!(TimeOfDay::parse(b"235960.5").map(TimeOfDay::parts), Some((23, 59, 60, 5)));
        for text in
            ["240000", "126000", "120060", "235961", "12000", "1200000", "120000.0000000000", "12.000", "-10000"]
        {
            assert_eq!(ns(text), None, "{text}");
        }
    }

    /// The century of two digits, and dates that no calendar has.
    #[test]
    fn two_digits_of_a_year_mean_1980_to_2079() {
        let date = |text: &str| date_ddmmyy(text.as_bytes()).map(|date| (date.year, date.month, date.day));
        assert_eq!(date("210416"), Some((2016, 4, 21)));
        assert_eq!(date("060180"), Some((1980, 1, 6)));
        assert_eq!(date("311279"), Some((2079, 12, 31)));
        assert_eq!([date("290223"), date("000123"), date("21041"), date("2104166")], [None; 4]);
    }

    /// Zones on both sides of Greenwich; the sign holds for the minutes too.
    #[test]
    fn the_sign_of_a_zone_holds_for_its_minutes() {
        let zone = |hours: &str, minutes: &str| Zone::parse(hours.as_bytes(), minutes.as_bytes()).map(Zone::minutes);
        assert_eq!(zone("-05", "30"), Some(-330));
        assert_eq!(zone("-00", "30"), Some(-30));
        assert_eq!(zone("+00", "00"), Some(0));
        assert_eq!(zone("03", ""), Some(180));
        assert_eq!([zone("15", "00"), zone("05", "60"), zone("x", "00"), zone("1092", "59")], [None; 4]);
    }
}
