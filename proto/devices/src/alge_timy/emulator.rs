//! The device's end of the line, for simulators and tests: a memory, a printer
//! and ears for commands.
//!
//! How a repeat behaves is an assumption: it shows the memory as it was when `RSM`
//! came, in its order, each record with its latest flag; what happens meanwhile,
//! corrections too, is printed after the trailer.

use heapless::{Deque, Vec};

use super::{
    Code, Command, Flag, LineBuffer, Message, PrintStyle, PrintedTime, PrintedValue, Record, Reply, RunningTime,
    StartNumber, Trailer, listing::clock_text,
};
use crate::{Charset, CivilDate, LineFramer, Text};

/// The most lines that wait to be printed; what is printed beyond is lost on the
/// line and kept in the memory.
const OUTBOX: usize = 256;
/// Longest command line that is heard.
const LONGEST_COMMAND: usize = 40;
/// Decimals of results as the device leaves the factory.
const DEFAULT_PRECISION: u8 = 2;

/// A line that waits to be printed.
#[derive(Debug, Clone, Copy)]
enum Waiting {
    Line(Message<'static>),
    /// The stored record at `index` is to change, and to be printed so.
    Correct {
        index: usize,
        flag: Flag,
        start_number: u16,
    },
    /// The memory, as far as it went when `RSM` came.
    Dump {
        end: usize,
    },
}

/// Where a memory dump is.
#[derive(Debug, Clone, Copy)]
enum Dump {
    Record { next: usize, end: usize },
    Trailer(u8),
}

/// A Timy with room for `N` records.
#[derive(Debug)]
pub struct Emulator<const N: usize> {
    memory: Vec<Record, N>,
    outbox: Deque<Waiting, OUTBOX>,
    dump: Option<Dump>,
    ears: LineFramer<LONGEST_COMMAND>,
    style: PrintStyle,
    precision: u8,
    running_time: bool,
    clock: (CivilDate, u16),
    lost_lines: u64,
}

impl<const N: usize> Emulator<N> {
    /// A device with an empty memory, whose clock shows a date and minutes since
    /// midnight.
    pub const fn new(style: PrintStyle, clock: (CivilDate, u16)) -> Self {
        Self {
            memory: Vec::new(),
            outbox: Deque::new(),
            dump: None,
            ears: LineFramer::new(),
            style,
            precision: DEFAULT_PRECISION,
            running_time: false,
            clock,
            lost_lines: 0,
        }
    }

    /// What the memory holds, oldest first.
    pub fn memory(&self) -> &[Record] {
        &self.memory
    }

    /// Lines that were lost because too many waited.
    pub const fn lost_lines(&self) -> u64 {
        self.lost_lines
    }

    /// Whether the host wants the running time on the line (`EMU1`).
    pub const fn wants_running_time(&self) -> bool {
        self.running_time
    }

    /// Sets the clock that trailers show: a date and minutes since midnight.
    pub const fn set_clock(&mut self, date: CivilDate, minutes: u16) {
        self.clock = (date, minutes);
    }

    /// Stores a time and prints it. A result is cut to the set precision. A full
    /// memory stores no more, and false is returned.
    pub fn record(&mut self, record: Record) -> bool {
        let record = match (record.code, record.value) {
            (Code::Result(_), PrintedValue::Time(time)) => {
                Record { value: PrintedValue::Time(time.cut_to(self.precision)), ..record }
            }
            _ => record,
        };
        self.print(Message::Record(record));
        self.memory.push(record).is_ok()
    }

    /// Changes flag and start number of the stored record at `index` and prints it
    /// so, when its turn comes; false if there is none.
    pub fn correct(&mut self, index: usize, flag: Flag, start_number: u16) -> bool {
        self.wait(Waiting::Correct { index, flag, start_number });
        index < self.memory.len()
    }

    /// Prints that a start number was chosen.
    pub fn choose(&mut self, number: StartNumber) {
        self.print(Message::StartNumber(number));
    }

    /// Prints the running time, a time of day in ns, if the host wants it.
    pub fn show_running_time(&mut self, time_ns: u64) {
        if let (true, Some(time)) = (self.running_time, PrintedTime::cut(time_ns, 1)) {
            self.print(Message::RunningTime(RunningTime(time)));
        }
    }

    /// Prints any line.
    pub fn print(&mut self, message: Message<'static>) {
        self.wait(Waiting::Line(message));
    }

    /// Takes what the host sends; what is no command is ignored.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        let mut ears = core::mem::take(&mut self.ears);
        ears.push(bytes, &mut |line| {
            let sound = line.fault_item().is_none();
            if let Some(command) = sound.then(|| Command::parse(line.bytes)).flatten() {
                self.obey(command);
            }
        });
        self.ears = ears;
    }

    /// Puts the next line that goes out into `out`, terminator included; false if
    /// there is none.
    pub fn poll_line(&mut self, out: &mut LineBuffer) -> bool {
        if let Some(dump) = self.dump {
            self.dump_line(dump, out);
            return true;
        }
        match self.outbox.pop_front() {
            None => false,
            Some(Waiting::Line(message)) => {
                message.emit(self.style, out);
                true
            }
            Some(Waiting::Correct { index, flag, start_number }) => {
                let Some(stored) = self.memory.get_mut(index) else { return self.poll_line(out) };
                (stored.flag, stored.start_number) = (flag, start_number);
                Message::Record(*stored).emit(self.style, out);
                true
            }
            Some(Waiting::Dump { end }) => {
                self.dump = Some(Dump::Record { next: 0, end });
                self.poll_line(out)
            }
        }
    }

    fn dump_line(&mut self, dump: Dump, out: &mut LineBuffer) {
        let record = |next: usize, end: usize| self.memory.get(next).filter(|_| next < end);
        match dump {
            Dump::Record { next, end } if record(next, end).is_some() => {
                let record = self.memory[next];
                Message::Record(record).emit(self.style, out);
                self.dump = Some(Dump::Record { next: next + 1, end });
            }
            Dump::Record { .. } => {
                self.dump = Some(Dump::Trailer(0));
                self.dump_line(Dump::Trailer(0), out);
            }
            Dump::Trailer(line) => {
                let clock = clock_text(self.clock.0, self.clock.1);
                let cp437 = |text| Text::new(text, Charset::Cp437);
                let trailer = match line {
                    0 => Trailer::Maker(cp437(b"ALGE-TIMING")),
                    1 => Trailer::Model(cp437(b"TIMY V 2210")),
                    _ => Trailer::Clock(cp437(&clock), self.clock.0, self.clock.1),
                };
                Message::Trailer(trailer).emit(self.style, out);
                self.dump = (line < 2).then_some(Dump::Trailer(line + 1));
            }
        }
    }

    fn obey(&mut self, command: Command<'_>) {
        match command {
            Command::Initialize => {
                (self.style.checksum, self.precision, self.running_time) = (false, DEFAULT_PRECISION, false);
            }
            Command::Checksum(on) => self.style.checksum = on,
            Command::Precision(decimals) => self.precision = decimals,
            Command::RunningTime(on) => self.running_time = on,
            Command::AskFirmware => {
                self.print(Message::Reply(Reply::Firmware(Text::ascii(b" 22A4"))));
                self.print(Message::Reply(Reply::SerialNumber(Text::ascii(b" 2210417"))));
            }
            Command::AskProgram => self.print(Message::Reply(Reply::Program(Text::ascii(b"Backup")))),
            Command::LineFeed => self.print(Message::Blank),
            Command::Clear => {
                self.memory.clear();
                self.print(Message::Reply(Reply::MemoryCleared));
            }
            Command::ResendMemory => self.wait(Waiting::Dump { end: self.memory.len() }),
            // They change what the line does not show.
            Command::KeypadLock(_)
            | Command::Rounding(_)
            | Command::Beep(_)
            | Command::StartDeadTime(_)
            | Command::FinishDeadTime(_)
            | Command::Printer(_)
            | Command::PrintImpulses(_)
            | Command::Logo(_)
            | Command::Print(_) => (),
        }
    }

    fn wait(&mut self, waiting: Waiting) {
        if self.outbox.push_back(waiting).is_err() {
            self.lost_lines += 1;
        }
    }
}
