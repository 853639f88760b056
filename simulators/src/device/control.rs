//! Knobs of a device as words, a line each.

use super::{Refused, SimulatedDevice};

/// One turn of a knob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `impulse CHANNEL [START-NUMBER]`
    Impulse(u8, u16),
    /// `run-time START-NUMBER`
    RunTime(u16),
    /// `number START-NUMBER`
    Choose(u16),
    /// `clear INDEX`
    Clear(usize),
    /// `renumber INDEX START-NUMBER`
    Renumber(usize, u16),
    /// `line TEXT`, sent with CR LF
    Line(String),
    /// `unplug`
    Unplug,
    /// `unplug-after BYTES`
    UnplugAfter(u64),
    /// `replug`
    Replug,
    /// `restart`
    Restart,
    /// `noise PER-MILLION`
    Noise(u32),
    /// `status`
    Status,
}

/// How each command is said.
const USAGE: [&str; 12] = [
    "impulse CHANNEL [NUMBER]",
    "run-time NUMBER",
    "number NUMBER",
    "clear INDEX",
    "renumber INDEX NUMBER",
    "line TEXT",
    "unplug",
    "unplug-after BYTES",
    "replug",
    "restart",
    "noise PER-MILLION",
    "status",
];

/// A line that is no command, or has other arguments than the command takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{line}` is no command; say {}", usage_of(.line))]
pub struct UnknownCommand {
    line: String,
}

/// How the command of a line is said, or all of them where it is none.
fn usage_of(line: &str) -> String {
    let word = line.split_whitespace().next();
    let said = USAGE.into_iter().find(|usage| usage.split(' ').next() == word);
    match said {
        Some(usage) if word == Some("impulse") => format!("{usage}, for example `impulse C0 7`"),
        Some(usage) => usage.to_owned(),
        None => USAGE.join(", "),
    }
}

impl std::str::FromStr for Command {
    type Err = UnknownCommand;

    fn from_str(line: &str) -> Result<Self, UnknownCommand> {
        let line = line.trim();
        parse(line).ok_or_else(|| UnknownCommand { line: line.into() })
    }
}

fn parse(line: &str) -> Option<Command> {
    if let Some(text) = line.strip_prefix("line ") {
        return Some(Command::Line(text.into()));
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    Some(match words[..] {
        ["impulse", channel] => Command::Impulse(channel_number(channel)?, 0),
        ["impulse", channel, number] => Command::Impulse(channel_number(channel)?, number.parse().ok()?),
        ["run-time", number] => Command::RunTime(number.parse().ok()?),
        ["number", number] => Command::Choose(number.parse().ok()?),
        ["clear", index] => Command::Clear(index.parse().ok()?),
        ["renumber", index, number] => Command::Renumber(index.parse().ok()?, number.parse().ok()?),
        ["unplug"] => Command::Unplug,
        ["unplug-after", bytes] => Command::UnplugAfter(bytes.parse().ok()?),
        ["replug"] => Command::Replug,
        ["restart"] => Command::Restart,
        ["noise", per_million] => Command::Noise(per_million.parse().ok()?),
        ["status"] => Command::Status,
        _ => return None,
    })
}

/// A channel as the device prints it, `C0`, or its number alone.
fn channel_number(text: &str) -> Option<u8> {
    text.strip_prefix(['C', 'c']).unwrap_or(text).parse().ok()
}

impl Command {
    /// Turns the knob.
    ///
    /// # Errors
    /// That of the knob.
    pub fn apply(&self, device: &SimulatedDevice) -> Result<(), Refused> {
        match *self {
            Self::Impulse(channel, number) => device.impulse(channel, number, None),
            Self::RunTime(number) => device.run_time(number),
            Self::Choose(number) => device.choose(number),
            Self::Clear(index) => device.clear(index),
            Self::Renumber(index, number) => device.renumber(index, number),
            Self::Line(ref text) => device.line([text.as_bytes(), b"\r\n"].concat()),
            Self::Unplug => device.unplug(),
            Self::UnplugAfter(bytes) => device.unplug_after_bytes(bytes),
            Self::Replug => device.replug(),
            Self::Restart => device.restart(),
            Self::Noise(per_million) => device.set_noise(per_million),
            Self::Status => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commands with and without arguments; a channel is named as the device prints it, too.
    #[test]
    fn lines_are_commands() {
        for (line, command) in [
            ("impulse 1 0007\n", Command::Impulse(1, 7)),
            ("impulse C1 7", Command::Impulse(1, 7)),
            ("impulse 0", Command::Impulse(0, 0)),
            ("line  $ a b", Command::Line(" $ a b".into())),
            ("unplug-after 13", Command::UnplugAfter(13)),
        ] {
            assert_eq!(line.parse(), Ok(command));
        }
    }

    /// What is wrong is told with how that command is said, or with all there are.
    #[test]
    fn a_wrong_line_is_told_what_to_say() {
        for (line, said) in [
            ("impulse x", "`impulse x` is no command; say impulse CHANNEL [NUMBER], for example `impulse C0 7`"),
            ("noise -1", "`noise -1` is no command; say noise PER-MILLION"),
            ("unplug now", "`unplug now` is no command; say unplug"),
        ] {
            assert_eq!(line.parse::<Command>().expect_err(line).to_string(), said);
        }
        for line in ["", "pull"] {
            let error = line.parse::<Command>().expect_err(line).to_string();
            assert!(USAGE.iter().all(|usage| error.contains(usage)), "{error}");
        }
    }
}
