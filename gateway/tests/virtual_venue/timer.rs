//! The chronometer and its line: the emulator that simulators use, on a cable that
//! takes time and can be pulled.

use std::{collections::VecDeque, time::Duration};

use venue_devices::{
    CivilDate,
    alge_timy::{Channel, Code, Emulator, LineBuffer, LineEnd, PrintStyle, Record},
};

/// A line of 27 characters at 9,600 baud.
const LINE_TIME: Duration = Duration::from_millis(28);

/// A Timy and its cable.
pub(crate) struct Timer {
    device: Box<Emulator<4096>>,
    cable: VecDeque<(Duration, Vec<u8>)>,
    free_at: Duration,
    plugged: bool,
}

impl Timer {
    /// A device with an empty memory on a plugged cable.
    pub(crate) fn new() -> Self {
        let style = PrintStyle { checksum: false, end: LineEnd::Cr };
        let clock = (CivilDate::new(2026, 11, 28).expect("a date"), 540);
        Self {
            device: Box::new(Emulator::new(style, clock)),
            cable: VecDeque::new(),
            free_at: Duration::ZERO,
            plugged: true,
        }
    }

    /// An input was triggered at a time of day.
    pub(crate) fn trigger(&mut self, channel: u8, number: u16, time_of_day_ns: u64) {
        let code = Code::Impulse(Channel::new(channel).expect("a channel"));
        let record = Record::impulse(number, code, time_of_day_ns).expect("within the day");
        assert!(self.device.record(record), "the memory is large enough for every plan");
    }

    /// What the memory holds: the truth that the centre is measured against.
    pub(crate) fn memory(&self) -> &[Record] {
        self.device.memory()
    }

    /// Pulls or plugs the cable; what was on it is lost.
    pub(crate) fn set_plugged(&mut self, plugged: bool) {
        self.plugged = plugged;
        self.cable.clear();
    }

    /// Whether the cable is plugged.
    pub(crate) fn is_plugged(&self) -> bool {
        self.plugged
    }

    /// The host sends.
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        if self.plugged {
            self.device.handle_bytes(bytes);
        }
    }

    /// Prints what waits, as fast as the line allows. Nobody tells a Timy that its
    /// cable is pulled: it prints all the same.
    pub(crate) fn print(&mut self, now: Duration) {
        let mut line = LineBuffer::new();
        while self.free_at <= now && self.device.poll_line(&mut line) {
            self.free_at = now.max(self.free_at) + LINE_TIME;
            if self.plugged {
                self.cable.push_back((self.free_at, line.to_vec()));
            }
        }
    }

    /// Bytes that have arrived.
    pub(crate) fn arrived(&mut self, now: Duration) -> Option<Vec<u8>> {
        let (at, _) = self.cable.front()?;
        if *at <= now { self.cable.pop_front().map(|(_, bytes)| bytes) } else { None }
    }

    /// When something happens next, if nothing else does.
    pub(crate) fn next(&self, now: Duration) -> Option<Duration> {
        let arrival = self.cable.front().map(|(at, _)| *at);
        let free = (self.free_at > now).then_some(self.free_at);
        [arrival, free].into_iter().flatten().min()
    }
}
