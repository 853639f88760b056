//! What a host tells the device: ASCII and CR, read and written.

use core::fmt::Write as _;

use super::print::LineBuffer;
use crate::{Charset, Text};

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// `TIMYINIT` – default settings.
    Initialize,
    /// `NSF?` – which firmware.
    AskFirmware,
    /// `PROG?` – which program.
    AskProgram,
    /// `KL0`, `KL1` – keypad lock.
    KeypadLock(bool),
    /// `CHK0`, `CHK1` – checksum mode.
    Checksum(bool),
    /// `PRE1` to `PRE4` – decimals of results.
    Precision(u8),
    /// `RR0` to `RR2` – rounding of results, 0 = cut.
    Rounding(u8),
    /// `BE0`, `BE1` – beep.
    Beep(bool),
    /// `DTS02.00` – dead time of the start channel in 1/100 s.
    StartDeadTime(u16),
    /// `DTF02.00` – dead time of the finish channel in 1/100 s.
    FinishDeadTime(u16),
    /// `EMU0`, `EMU1` – running time on the line.
    RunningTime(bool),
    /// `PRINTER0`, `PRINTER1` – printer.
    Printer(bool),
    /// `PRIIGN0`, `PRIIGN1` – printing of impulses.
    PrintImpulses(bool),
    /// `SL0`, `SL1` – logo.
    Logo(bool),
    /// `PRILF` – line feed.
    LineFeed,
    /// `DTP…` – prints a text of up to 32 characters.
    Print(Text<'a>),
    /// `CLR` – erases the memory.
    Clear,
    /// `RSM` – repeats the memory.
    ResendMemory,
}

impl<'a> Command<'a> {
    /// Reads a line without its terminator; none if it is no command.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        if let Some(text) = line.strip_prefix(b"DTP") {
            return (text.len() <= 32).then_some(Self::Print(Text::new(text, Charset::Cp437)));
        }
        let line = line.trim_ascii();
        let plain =
            [Self::Initialize, Self::AskFirmware, Self::AskProgram, Self::LineFeed, Self::Clear, Self::ResendMemory];
        plain.into_iter().find(|command| command.head().as_bytes() == line).or_else(|| Self::parse_setting(line))
    }

    fn parse_setting(line: &[u8]) -> Option<Self> {
        if let [b'D', b'T', which, tens, ones, b'.', tenths, hundredths] = *line {
            let digits = [tens, ones, tenths, hundredths];
            let centiseconds = digits
                .iter()
                .all(u8::is_ascii_digit)
                .then(|| digits.iter().fold(0, |sum: u16, digit| sum * 10 + u16::from(digit - b'0')))?;
            return match which {
                b'S' => Some(Self::StartDeadTime(centiseconds)),
                b'F' => Some(Self::FinishDeadTime(centiseconds)),
                _ => None,
            };
        }
        let (&digit, head) = line.split_last()?;
        let number = digit.checked_sub(b'0').filter(|number| *number <= 9)?;
        let switched = (number <= 1).then_some(number == 1);
        match head {
            b"PRE" => (1..=4).contains(&number).then_some(Self::Precision(number)),
            b"RR" => (number <= 2).then_some(Self::Rounding(number)),
            b"KL" => switched.map(Self::KeypadLock),
            b"CHK" => switched.map(Self::Checksum),
            b"BE" => switched.map(Self::Beep),
            b"EMU" => switched.map(Self::RunningTime),
            b"PRINTER" => switched.map(Self::Printer),
            b"PRIIGN" => switched.map(Self::PrintImpulses),
            b"SL" => switched.map(Self::Logo),
            _ => None,
        }
    }

    /// Writes the command and its CR.
    pub fn emit(&self, out: &mut LineBuffer) {
        const ROOM: &str = "at most 36 of 64 characters";
        out.clear();
        out.write_str(self.head()).expect(ROOM);
        match *self {
            Self::Precision(number) | Self::Rounding(number) => write!(out, "{}", number.min(9)).expect(ROOM),
            Self::KeypadLock(on)
            | Self::Checksum(on)
            | Self::Beep(on)
            | Self::RunningTime(on)
            | Self::Printer(on)
            | Self::PrintImpulses(on)
            | Self::Logo(on) => write!(out, "{}", u8::from(on)).expect(ROOM),
            Self::StartDeadTime(centiseconds) | Self::FinishDeadTime(centiseconds) => {
                let centiseconds = centiseconds.min(9999);
                write!(out, "{:02}.{:02}", centiseconds / 100, centiseconds % 100).expect(ROOM);
            }
            Self::Print(text) => text.bytes().iter().take(32).for_each(|byte| out.push(*byte).expect(ROOM)),
            _ => (),
        }
        out.push(b'\r').expect(ROOM);
    }

    const fn head(&self) -> &'static str {
        match self {
            Self::Initialize => "TIMYINIT",
            Self::AskFirmware => "NSF?",
            Self::AskProgram => "PROG?",
            Self::KeypadLock(_) => "KL",
            Self::Checksum(_) => "CHK",
            Self::Precision(_) => "PRE",
            Self::Rounding(_) => "RR",
            Self::Beep(_) => "BE",
            Self::StartDeadTime(_) => "DTS",
            Self::FinishDeadTime(_) => "DTF",
            Self::RunningTime(_) => "EMU",
            Self::Printer(_) => "PRINTER",
            Self::PrintImpulses(_) => "PRIIGN",
            Self::Logo(_) => "SL",
            Self::LineFeed => "PRILF",
            Self::Print(_) => "DTP",
            Self::Clear => "CLR",
            Self::ResendMemory => "RSM",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each command as the manual writes it, in both directions.
    #[test]
    fn commands_are_read_and_written() {
        for (line, command) in [
            ("TIMYINIT\r", Command::Initialize),
            ("NSF?\r", Command::AskFirmware),
            ("PROG?\r", Command::AskProgram),
            ("KL1\r", Command::KeypadLock(true)),
            ("CHK1\r", Command::Checksum(true)),
            ("PRE4\r", Command::Precision(4)),
            ("RR0\r", Command::Rounding(0)),
            ("BE1\r", Command::Beep(true)),
            ("DTS02.00\r", Command::StartDeadTime(200)),
            ("DTF00.35\r", Command::FinishDeadTime(35)),
            ("EMU0\r", Command::RunningTime(false)),
            ("PRINTER0\r", Command::Printer(false)),
            ("PRIIGN1\r", Command::PrintImpulses(true)),
            ("SL0\r", Command::Logo(false)),
            ("PRILF\r", Command::LineFeed),
            ("DTP Heat 2\r", Command::Print(Text::new(b" Heat 2", Charset::Cp437))),
            ("CLR\r", Command::Clear),
            ("RSM\r", Command::ResendMemory),
        ] {
            assert_eq!(Command::parse(line.trim_end_matches('\r').as_bytes()), Some(command));
            let mut out = LineBuffer::new();
            command.emit(&mut out);
            assert_eq!(out, line.as_bytes());
        }
        for other in ["", "RSM1", "PRE5", "CHK2", "DTX02.00", "DTS2.00", "PRE", "0"] {
            assert_eq!(Command::parse(other.as_bytes()), None, "{other}");
        }
    }
}
