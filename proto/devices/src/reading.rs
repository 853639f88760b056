//! What a device said, in plain values that borrow from its bytes: a variant of
//! [`Content`] a content kind of `venue.v1.Event`. The pipeline turns a reading
//! into event bytes, once.

use heapless::String;

use crate::Text;

/// Text of an identity key; 96 bytes hold the longest of any protocol here.
pub type KeyText = String<96>;

/// One thing that a device said.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading<'a> {
    /// The device within the device, as it names itself; empty if there is none.
    pub sub_device: Text<'a>,
    /// What makes it the same thing when it is said again.
    pub identity: Identity,
    /// When it happened, in the device's words.
    pub time: DeviceTime<'a>,
    /// What was said.
    pub content: Content<'a>,
    /// Its own slice of the stream.
    pub evidence: &'a [u8],
}

/// What makes a reading the same reading when it comes again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Identity {
    /// The device numbers its records and gives an epoch, or never restarts.
    Sequence {
        /// Boot, file or session number that the device gives, else 0.
        epoch: u64,
        /// The device's number.
        number: u64,
    },
    /// The content holds the device's own time.
    Content {
        /// Boot, file or session number that the device gives, else 0.
        epoch: u64,
        /// Canonical text of the content.
        key: KeyText,
        /// The day that the pipeline appends to the key as `|yyyy-mm-dd`.
        day: Day,
        /// Whether a replay that shows this reading also shows, by that, the
        /// `n`-th occurrence of another key (the impulse that a correction line
        /// stands for). Counted, not stored.
        stands_for: Option<KeyText>,
    },
    /// The sender names what it says: whatever comes again under this key is the same,
    /// also live.
    Key {
        /// Boot, file or session number that the device gives, else 0.
        epoch: u64,
        /// The name, once for all time in its device and epoch.
        key: KeyText,
    },
    /// Nothing does: each is a new one.
    #[default]
    None,
}

/// Which day makes a content key unique, where the device says no date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Day {
    /// The key holds a date already, or needs none.
    #[default]
    None,
    /// The date of this local time of day, in ns since midnight.
    OfTimeOfDay(u64),
    /// The local date on which it was received: nothing it said lies nearer.
    OfReceipt,
}

/// A time as the device says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceTime<'a> {
    /// The text, for example `09:17:08.0298`; empty if the device says no time.
    pub text: Text<'a>,
    /// What the text means.
    pub value: TimeValue,
    /// Smallest step of the text in ns (100 000 for four decimals); 0 if unknown.
    pub resolution_ns: u64,
}

/// The meaning of a device's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeValue {
    /// None said, or said to be invalid.
    #[default]
    None,
    /// Local time of day, ns since midnight.
    TimeOfDay(u64),
    /// UTC time of day, ns since midnight.
    UtcTimeOfDay(u64),
    /// Local date and time of day in ns since midnight.
    Local(CivilDate, u64),
    /// UTC as a satellite receiver tells it, ns since 1970.
    Utc(i64),
    /// UTC by the sender's own clock, ns since 1970.
    UtcByOwnClock(i64),
    /// Time since the device started or was set to zero, ns.
    Elapsed(u64),
}

/// A date of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CivilDate {
    /// Year, for example 2026.
    pub year: u16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day, 1 to 31.
    pub day: u8,
}

impl CivilDate {
    /// A date that exists; none otherwise.
    pub const fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let last = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return None,
        };
        if day >= 1 && day <= last && year >= 1 && year <= 9999 { Some(Self { year, month, day }) } else { None }
    }

    /// Days since 1970-01-01, negative before it.
    pub const fn unix_days(self) -> i64 {
        // Counts years from March, so that the leap day is the last of a year.
        let (month, day) = (self.month as i64, self.day as i64);
        let year = self.year as i64 - if month <= 2 { 1 } else { 0 };
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
    }
}

/// What was said.
#[derive(Debug, Clone, PartialEq)]
pub enum Content<'a> {
    /// An input was triggered.
    Impulse(Impulse<'a>),
    /// A transponder or tag was read.
    Passing(Passing<'a>),
    /// A result that the device computed or shows.
    LaneResult(LaneResult<'a>),
    /// A start signal.
    Start(Start<'a>),
    /// One sample of a wind gauge.
    Wind(Wind<'a>),
    /// Values of a sensor.
    Measurement(Measurement<'a>),
    /// State and health.
    DeviceStatus(DeviceStatus<'a>),
    /// A change of something said before.
    Correction(Correction<'a>),
    /// A session opened or closed.
    Session(Session<'a>),
}

/// Polarity of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Edge {
    #[default]
    Unspecified,
    Rising,
    Falling,
}

/// An input of a timing device was triggered. Fields as in `venue.v1.Impulse`.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "documented in venue/v1/event.proto")]
pub struct Impulse<'a> {
    pub channel: Text<'a>,
    pub start_number: Text<'a>,
    pub manual: bool,
    pub memory: bool,
    pub no_valid_start_number: bool,
    pub group: Text<'a>,
    pub course: &'static str,
    pub flag: Text<'a>,
    pub edge: Edge,
    pub suppressed: u32,
}

/// Which sight of a transponder a passing reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "documented in venue/v1/event.proto")]
pub enum PassingKind {
    #[default]
    Unspecified,
    FirstSeen,
    LastSeen,
    Peak,
    Marker,
}

/// A transponder or tag was read. Fields as in `venue.v1.Passing`.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "documented in venue/v1/event.proto")]
pub struct Passing<'a> {
    pub transponder: Text<'a>,
    pub transponder_label: Text<'a>,
    pub start_number: Text<'a>,
    pub location: Text<'a>,
    pub reader: Text<'a>,
    pub antenna: Text<'a>,
    pub hits: Option<u32>,
    pub strength: Option<i32>,
    pub rssi_dbm: Option<i32>,
    pub lap: Option<u32>,
    pub passing_number: Option<u64>,
    pub kind: PassingKind,
    pub battery_v: Option<f64>,
    pub temperature_c: Option<f64>,
    pub stored: bool,
    pub test: bool,
    pub details: heapless::Vec<(&'static str, Text<'a>), 16>,
}

/// Kinds of result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "documented in venue/v1/event.proto")]
pub enum ResultKind {
    #[default]
    Unspecified,
    RunTime,
    TotalTime,
    Split,
    Lap,
    MemoryTime,
    Difference,
    Speed,
    Classification,
    Reaction,
    TotalDifference,
}

/// A result that the device computed or shows. Fields as in `venue.v1.LaneResult`.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "documented in venue/v1/event.proto")]
pub struct LaneResult<'a> {
    pub kind: ResultKind,
    pub lane: Option<u32>,
    pub start_number: Text<'a>,
    pub rank: Option<u32>,
    pub duration_ns: Option<i64>,
    pub speed_m_per_s: Option<f64>,
    pub channel: Text<'a>,
    pub event: Text<'a>,
    pub heat: Text<'a>,
    pub round: Text<'a>,
    pub course: &'static str,
    pub manual: bool,
    pub memory: bool,
    pub official: bool,
    pub flag: Text<'a>,
    pub reaction_ns: Option<i64>,
    pub text: Text<'a>,
}

/// What gave a start signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub enum StartKind {
    #[default]
    Unspecified,
    Gun,
    Gate,
    Reaction,
    FalseStart,
    Marker,
}

/// A start signal. Fields as in `venue.v1.Start`.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "documented in venue/v1/event.proto")]
pub struct Start<'a> {
    pub kind: StartKind,
    pub channel: Text<'a>,
    pub start_number: Text<'a>,
    pub lane: Option<u32>,
    pub reaction_ns: Option<i64>,
    pub text: Text<'a>,
}

/// One sample of a wind gauge. Fields as in `venue.v1.Wind`.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "documented in venue/v1/event.proto")]
pub struct Wind<'a> {
    pub speed_m_per_s: Option<f64>,
    pub direction_deg: Option<f64>,
    pub relative: bool,
    pub valid: bool,
    /// Number and unit as the device wrote them, one after the other.
    pub speed_text: Text<'a>,
    pub unit_text: Text<'a>,
    pub status: Text<'a>,
}

/// A unit as a UCUM code; empty for a plain number.
pub type Unit = &'static str;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub struct Value<'a> {
    /// What is measured.
    pub name: Text<'a>,
    /// The value.
    pub value: ValueKind<'a>,
    /// Its unit.
    pub unit: Unit,
    /// The device says that it is not valid.
    pub invalid: bool,
}

/// The value of a [`Value`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ValueKind<'a> {
    Number(f64),
    Integer(i64),
    Flag(bool),
    Text(Text<'a>),
    Data(&'a [u8]),
}

/// Values of a sensor, taken together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measurement<'a> {
    /// At most 16; a decoder with more makes several readings.
    pub values: heapless::Vec<Value<'a>, 16>,
    /// Taken earlier and sent late.
    pub historical: bool,
}

/// Whether a device is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "documented in venue/v1/event.proto")]
pub enum DeviceState {
    #[default]
    Unspecified,
    Online,
    Offline,
    Silent,
    Fault,
}

/// State and health of a device.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeviceStatus<'a> {
    /// Whether it is there.
    pub state: DeviceState,
    /// What it says of itself.
    pub values: heapless::Vec<Value<'a>, 16>,
    /// For people.
    pub text: Text<'a>,
}

/// Kinds of correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "documented in venue/v1/event.proto")]
pub enum CorrectionKind {
    #[default]
    Unspecified,
    Cleared,
    Edited,
    Manual,
    Renumbered,
    Disqualified,
    Penalty,
}

/// A change of something said before. Fields as in `venue.v1.Correction`.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "documented in venue/v1/event.proto")]
pub struct Correction<'a> {
    pub kind: CorrectionKind,
    /// Key of what is corrected; the pipeline appends the date as to the identity.
    pub target_key: KeyText,
    pub channel: Text<'a>,
    pub start_number: Text<'a>,
    pub previous_start_number: Text<'a>,
    pub group: Text<'a>,
    pub course: &'static str,
    pub flag: Text<'a>,
    pub duration_ns: Option<i64>,
    pub result_kind: ResultKind,
    pub manual: bool,
}

/// A session of the device was opened or closed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Session<'a> {
    /// Opened, else closed.
    pub opened: bool,
    /// As the device names it.
    pub name: Text<'a>,
    /// Its number at the device.
    pub number: Text<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Days from coreutils: `date -u -d DATE +%s`, divided by 86400.
    #[test]
    fn dates_are_those_of_the_gregorian_calendar() {
        for (year, month, day, days) in
            [(1970, 1, 1, 0), (2000, 2, 29, 11_016), (2026, 11, 24, 20_781), (1969, 12, 31, -1), (2100, 3, 1, 47_541)]
        {
            let date = CivilDate::new(year, month, day).expect("a date that exists");
            assert_eq!(date.unix_days(), days, "{date:?}");
        }
        for (year, month, day) in
            [(2026, 2, 29), (2100, 2, 29), (2026, 4, 31), (2026, 13, 1), (2026, 0, 1), (2026, 1, 0)]
        {
            assert_eq!(CivilDate::new(year, month, day), None);
        }
    }
}
