//! What makes a line the same line when it is printed again: its content key.
//!
//! | line | key |
//! |---|---|
//! | impulse | `C1\|09:17:08.02\|00`, in parallel events `C0\|19:52:15.16\|09\|red` |
//! | result, speed | `RT\|0007\|00:00:59.76\|00`, with the course likewise |
//! | corrected line | `c\|0007\|` and the key of what it corrects |
//!
//! Flag, manual mark and precision may differ between a live line and its repeat
//! from memory, so they are no part of it, and times are cut to 1/100 s, the
//! coarsest that the device prints. The start number of an impulse can change
//! afterwards (`n`), so it is no part of it either. The course is: one start gate
//! may start both courses at one instant. A key has no date; [`Days`] says which
//! day belongs to it.

use core::fmt::Write as _;

use heapless::Vec;

use super::{
    Code, Course, PrintedValue, Record,
    value::{ascii, digits},
};
use crate::{Day, KeyText};

/// The most start numbers whose latest impulse is remembered.
const REMEMBERED: usize = 64;
const ROOM: &str = "the longest key has 40 of 96 characters";

/// The key of the impulse or result that a line is about, whatever its flag.
pub(super) fn of_record(record: &Record) -> KeyText {
    let mut key = KeyText::new();
    push(&mut key, record.code.name());
    if !matches!(record.code, Code::Impulse(_)) {
        push(&mut key, "|");
        push(&mut key, ascii(&digits::<4>(record.start_number.into())));
    }
    match record.value {
        PrintedValue::Time(time) => write!(key, "|{}|", time.cut_to(2).with_point()).expect(ROOM),
        PrintedValue::Speed(speed) => write!(key, "|{}|", speed.with_point()).expect(ROOM),
    }
    if let Some(group) = record.group {
        push(&mut key, ascii(&digits::<2>(group.into())));
    }
    if record.course != Course::Single {
        push(&mut key, "|");
        push(&mut key, record.course.name());
    }
    key
}

fn push(key: &mut KeyText, text: &str) {
    key.push_str(text).expect(ROOM);
}

/// The key of a correction of what has the key `target`.
pub(super) fn of_correction(record: &Record, target: &KeyText) -> KeyText {
    let mut key = KeyText::new();
    for part in [record.flag.text(), "|", ascii(&digits::<4>(record.start_number.into())), "|", target] {
        push(&mut key, part);
    }
    key
}

/// Which day a line belongs to. Results hold no time of day: theirs is the day of
/// the latest impulse of the same start number and group, else of the latest
/// impulse, else that of receipt.
#[derive(Debug, Default)]
pub(super) struct Days {
    /// Start number, group, time of day in ns, the latest last; the oldest makes room.
    impulses: Vec<(u16, Option<u8>, u64), REMEMBERED>,
}

impl Days {
    /// Forgets all: a replay dates its results by its own impulses.
    pub(super) fn clear(&mut self) {
        self.impulses.clear();
    }

    /// The day of a line; impulses are remembered.
    pub(super) fn day_of(&mut self, record: &Record) -> Day {
        let Some(time_of_day_ns) = record.time_of_day_ns() else {
            return self.latest_of(record).map_or(Day::OfReceipt, Day::OfTimeOfDay);
        };
        let (number, group) = (record.start_number, record.group);
        let known = self.impulses.iter().rposition(|known| (known.0, known.1) == (number, group));
        if let Some(replaced) = known.or(self.impulses.is_full().then_some(0)) {
            self.impulses.remove(replaced);
        }
        self.impulses.push((number, group, time_of_day_ns)).expect("room was made");
        Day::OfTimeOfDay(time_of_day_ns)
    }

    fn latest_of(&self, record: &Record) -> Option<u64> {
        let own = self.impulses.iter().find(|known| (known.0, known.1) == (record.start_number, record.group));
        own.or(self.impulses.last()).map(|known| known.2)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Checks, *};

    fn record(line: &str) -> Record {
        Record::parse(line.as_bytes(), Checks::Detected).expect(line)
    }

    /// A repeat that differs in flag, precision, decimal sign, manual mark or start
    /// number has the key of the line that it repeats.
    #[test]
    fn a_repeat_has_the_key_of_the_line_it_repeats() {
        for (line, key) in [
            (" 0007 C1  09:17:08.0298 00", "C1|09:17:08.02|00"),
            ("m0012 c1M 09:17:08,02   00", "C1|09:17:08.02|00"),
            (" 0007 C1  09:17:08.0298   ", "C1|09:17:08.02|"),
            (" 0007rC0  09:17:08.0298 09", "C0|09:17:08.02|09|red"),
            (" 0007 RT  00:00:59.76   00", "RT|0007|00:00:59.76|00"),
            ("    7 RTM 00:00:59.7688 00", "RT|0007|00:00:59.76|00"),
            (" 0007bDTR 00:00:03      09", "DTR|0007|00:00:03|09|blue"),
            (" 0007 kmh 087,25        00", "kmh|0007|87.25|00"),
        ] {
            assert_eq!(of_record(&record(line)), key, "{line}");
        }
        let cleared = record("c0007 C1  09:17:08.0298 00");
        assert_eq!(of_correction(&cleared, &of_record(&cleared)), "c|0007|C1|09:17:08.02|00");
    }

    /// A result is of the day of its own start number's impulse, as far as that is
    /// remembered, else of the latest impulse.
    #[test]
    fn a_result_is_of_the_day_of_its_impulse() {
        let mut days = Days::default();
        let result = record(" 0007 RT  00:00:59.76   00");
        assert_eq!(days.day_of(&result), Day::OfReceipt);
        let second = |seconds: u64| Day::OfTimeOfDay(seconds * 1_000_000_000);
        days.day_of(&record(" 0007 C1  00:00:01.0000 00"));
        days.day_of(&record(" 0008 C0  00:00:02.0000 00"));
        assert_eq!(days.day_of(&result), second(1));
        assert_eq!(days.day_of(&record(" 0007 RT  00:00:59.76   01")), second(2), "another group");
        for number in 100..100 + REMEMBERED {
            days.day_of(&record(&std::format!(" {number:04} C0  00:00:03.0000 00")));
        }
        assert_eq!(days.day_of(&result), second(3), "its own is forgotten");
        days.clear();
        assert_eq!(days.day_of(&result), Day::OfReceipt);
    }
}
