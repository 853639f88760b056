//! An ALGE Timy: the gateway's own emulator, fed by an operator and by a race.

use std::collections::VecDeque;
use std::time::Duration;

use venue_devices::CivilDate;
use venue_devices::alge_timy::{
    Channel, Code, Course, Emulator, Flag, LineBuffer, Message, NumberSource, PrintStyle, PrintedTime, PrintedValue,
    Record, ResultCode, StartNumber,
};

use super::ledger::{self, Ledger, MemoryRecord};
use super::model::{Action, Model, Moment, Refused};
use super::race::{Incident, RaceConfig};

/// Records that the memory holds.
pub const MEMORY_RECORDS: usize = 8192;

/// The name in the table of devices.
const NAME: &str = venue_devices::alge_timy::DEVICE.name;

/// How a Timy is set, and what happens at it.
#[derive(Debug, Clone)]
pub struct TimyConfig {
    /// Check digits and line ends.
    pub style: PrintStyle,
    /// The zone whose time of day its clock shows.
    pub timezone: jiff::tz::TimeZone,
    /// A race that begins at once.
    pub race: Option<RaceConfig>,
}

impl Default for TimyConfig {
    fn default() -> Self {
        Self { style: PrintStyle::default(), timezone: jiff::tz::TimeZone::UTC, race: None }
    }
}

/// A Timy with its operator.
pub(super) struct Timy {
    emulator: Box<Emulator<MEMORY_RECORDS>>,
    /// The memory as its operator sees it; the emulator changes a record when the
    /// change is printed.
    records: Vec<Record>,
    timezone: jiff::tz::TimeZone,
    /// Times since `began`.
    race: VecDeque<(Duration, Incident)>,
    began: Duration,
}

impl Timy {
    pub(super) fn new(config: &TimyConfig, at: Moment) -> Result<Self, Refused> {
        let race = config.race.map(RaceConfig::actions).unwrap_or_default();
        if config.race.is_some_and(|race| race.runners > RaceConfig::MOST_RUNNERS) {
            let most = RaceConfig::MOST_RUNNERS;
            return Err(Refused::OutOfRange(format!(
                "a race has at most {most} runners, so that its memory holds them"
            )));
        }
        let timezone = config.timezone.clone();
        let (date, time_of_day_ns) = local(&timezone, at.utc_ns);
        let clock = (date, minutes(time_of_day_ns));
        let emulator = Box::new(Emulator::new(config.style, clock));
        Ok(Self { emulator, records: Vec::new(), timezone, race: race.into(), began: at.now })
    }

    fn happen(&mut self, at: Moment, incident: &Incident, ledger: &mut Ledger) {
        let done = match *incident {
            Incident::Plain(ref action) => self.act(at, action, ledger),
            Incident::ClearLast { channel, start_number } => self
                .latest(channel, start_number)
                .map_or(Ok(()), |index| self.act(at, &Action::Clear { index }, ledger)),
            Incident::Renumber { channel, from, to } => self
                .latest(channel, from)
                .map_or(Ok(()), |index| self.act(at, &Action::Renumber { index, start_number: to }, ledger)),
        };
        if let Err(refused) = done {
            tracing::warn!(%refused, "the race goes on without it");
        }
    }

    /// The place of the latest impulse of a channel under a start number.
    fn latest(&self, channel: u8, start_number: u16) -> Option<usize> {
        let code = Code::Impulse(Channel::new(channel)?);
        let is = |record: &Record| record.code == code && record.start_number == start_number && is_counted(record);
        self.records.iter().rposition(is)
    }

    fn impulse(
        &mut self,
        at: Moment,
        channel: u8,
        number: u16,
        time_of_day: Option<Duration>,
    ) -> Result<Record, Refused> {
        let channel = Channel::new(channel).ok_or_else(|| out_of_range("a channel is 0 to 9"))?;
        let number = start_number(number)?;
        let ns = match time_of_day {
            Some(time) => u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
            None => local(&self.timezone, at.utc_ns).1,
        };
        Record::impulse(number, Code::Impulse(channel), ns)
            .ok_or_else(|| out_of_range("a time of day is below 24 hours"))
    }

    /// The run time of a start number, from its latest start and finish.
    fn run_time(&self, number: u16) -> Result<Record, Refused> {
        let time = |channel| {
            let index = self.latest(channel, number)?;
            self.records[index].time_of_day_ns()
        };
        let (Some(start), Some(finish)) = (time(0), time(1)) else {
            return Err(out_of_range("a run time needs an impulse of channel 0 and one of channel 1"));
        };
        let midnight = Duration::from_secs(86_400).as_nanos() as u64;
        let ns = (finish + midnight - start) % midnight;
        Ok(Record {
            flag: Flag::Valid,
            start_number: number,
            course: Course::Single,
            code: Code::Result(ResultCode::RunTime),
            manual: false,
            value: PrintedValue::Time(PrintedTime::cut(ns, 4).expect("less than a day")),
            group: Some(0),
            rank: None,
        })
    }

    fn store(&mut self, at: Moment, record: Record, ledger: &mut Ledger) {
        let index = self.emulator.memory().len();
        let stored = self.emulator.record(record);
        // As stored: cut to the precision that is set.
        let record = self.emulator.memory().get(index).copied().unwrap_or(record);
        self.records.extend(stored.then_some(record));
        ledger.store(memory_record(at, index, &record, false, stored));
    }

    fn correct(
        &mut self,
        at: Moment,
        index: usize,
        flag: Flag,
        number: Option<u16>,
        ledger: &mut Ledger,
    ) -> Result<(), Refused> {
        let Some(record) = self.records.get_mut(index) else {
            return Err(out_of_range("the memory has no record at that place"));
        };
        let number = start_number(number.unwrap_or(record.start_number))?;
        (record.flag, record.start_number) = (flag, number);
        self.emulator.correct(index, flag, number);
        ledger.store(memory_record(at, index, record, true, true));
        Ok(())
    }
}

impl Model for Timy {
    fn handle_bytes(&mut self, at: Moment, bytes: &[u8]) {
        let (date, time_of_day_ns) = local(&self.timezone, at.utc_ns);
        self.emulator.set_clock(date, minutes(time_of_day_ns));
        self.emulator.handle_bytes(bytes);
        // The gateway may have had the memory erased.
        self.records.truncate(self.emulator.memory().len());
    }

    fn handle_timeout(&mut self, at: Moment, ledger: &mut Ledger) {
        while self.poll_timeout().is_some_and(|due| due <= at.now) {
            let Some((_, incident)) = self.race.pop_front() else { return };
            self.happen(at, &incident, ledger);
        }
    }

    fn poll_timeout(&self) -> Option<Duration> {
        self.race.front().map(|(after, _)| self.began + *after)
    }

    fn poll_line(&mut self, _at: Moment) -> Option<Vec<u8>> {
        let mut line = LineBuffer::new();
        self.emulator.poll_line(&mut line).then(|| line.to_vec())
    }

    fn act(&mut self, at: Moment, action: &Action, ledger: &mut Ledger) -> Result<(), Refused> {
        match *action {
            Action::Impulse { channel, start_number, time_of_day } => {
                let record = self.impulse(at, channel, start_number, time_of_day)?;
                self.store(at, record, ledger);
            }
            Action::RunTime { start_number } => {
                let record = self.run_time(start_number)?;
                self.store(at, record, ledger);
            }
            Action::Clear { index } => self.correct(at, index, Flag::Cleared, None, ledger)?,
            Action::Renumber { index, start_number } => {
                self.correct(at, index, Flag::Renumbered, Some(start_number), ledger)?;
            }
            Action::Choose { start_number: number } => {
                let number = start_number(number)?;
                self.emulator.choose(StartNumber { source: NumberSource::Keyboard, number, course: Course::Single });
            }
        }
        Ok(())
    }

    fn restart(&mut self) {
        // Memory and settings are on a battery; what was being printed is not.
        while self.emulator.poll_line(&mut LineBuffer::new()) {}
    }

    fn is_done(&self) -> bool {
        self.race.is_empty()
    }
}

/// Whether a record still counts: a cleared one is no run's start or finish.
fn is_counted(record: &Record) -> bool {
    !matches!(record.flag, Flag::Cleared | Flag::Blocked)
}

fn memory_record(at: Moment, index: usize, record: &Record, correction: bool, stored: bool) -> MemoryRecord {
    let mut line = LineBuffer::new();
    Message::Record(*record).emit(PrintStyle::default(), &mut line);
    let (key, stands_for) = ledger::key_of(NAME, &line).unwrap_or_default();
    MemoryRecord {
        index,
        correction,
        stored,
        code: record.code.name(),
        start_number: record.start_number,
        flag: char::from(record.flag.byte()),
        time_of_day_ns: record.time_of_day_ns(),
        key,
        stands_for,
        utc_ns: at.utc_ns,
    }
}

fn start_number(number: u16) -> Result<u16, Refused> {
    if number <= 9999 { Ok(number) } else { Err(out_of_range("a start number is 0 (none) to 9999")) }
}

fn out_of_range(what: &str) -> Refused {
    Refused::OutOfRange(what.into())
}

fn minutes(time_of_day_ns: u64) -> u16 {
    (time_of_day_ns / 60_000_000_000) as u16
}

/// Date and time of day in ns that a clock in a zone shows.
fn local(timezone: &jiff::tz::TimeZone, utc_ns: i64) -> (CivilDate, u64) {
    let shown = timezone.to_datetime(jiff::Timestamp::from_nanosecond(utc_ns.into()).unwrap_or_default());
    let date = shown.date();
    let (year, month, day) = (date.year().unsigned_abs(), date.month().unsigned_abs(), date.day().unsigned_abs());
    let date = CivilDate::new(year, month, day).expect("a calendar's date of these centuries");
    let time = shown.time();
    let seconds = (u64::from(time.hour().unsigned_abs()) * 60 + u64::from(time.minute().unsigned_abs())) * 60
        + u64::from(time.second().unsigned_abs());
    (date, seconds * 1_000_000_000 + u64::from(time.subsec_nanosecond().unsigned_abs()))
}
