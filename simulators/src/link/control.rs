//! Knobs of a link as words, a line each.

use std::time::Duration;

use super::{LinkHandle, Stall};
use crate::quantity::{self, Rate};

/// One turn of a knob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `cut`
    Cut,
    /// `black-hole`
    BlackHole,
    /// `restore`
    Restore,
    /// `reset`
    Reset,
    /// `latency 50ms`
    Latency(Duration),
    /// `jitter 5ms`
    Jitter(Duration),
    /// `rate 1Mbit`, `rate none`
    Rate(Rate),
    /// `stall 2s/30s`, `stall none`
    Stall(Option<Stall>),
    /// `status`
    Status,
}

/// A line that is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{line}`: {why}; say cut, black-hole, restore, reset, latency DURATION, jitter DURATION, rate RATE|none, stall LASTING/EVERY|none or status"
)]
pub struct UnknownCommand {
    line: String,
    why: String,
}

impl std::str::FromStr for Command {
    type Err = UnknownCommand;

    fn from_str(line: &str) -> Result<Self, UnknownCommand> {
        let wrong = |why: String| UnknownCommand { line: line.trim().into(), why };
        let (word, argument) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        let duration = || quantity::duration(argument).map_err(|error| wrong(error.to_string()));
        match (word, argument) {
            ("cut", "") => Ok(Self::Cut),
            ("black-hole", "") => Ok(Self::BlackHole),
            ("restore", "") => Ok(Self::Restore),
            ("reset", "") => Ok(Self::Reset),
            ("status", "") => Ok(Self::Status),
            ("latency", _) => duration().map(Self::Latency),
            ("jitter", _) => duration().map(Self::Jitter),
            ("rate", rate) => rate.parse().map(Self::Rate).map_err(|error| wrong(error.to_string())),
            ("stall", "none") => Ok(Self::Stall(None)),
            ("stall", stall) => stall.parse().map(|it| Self::Stall(Some(it))).map_err(|error| wrong(error.to_string())),
            _ => Err(wrong("not a command".into())),
        }
    }
}

impl Command {
    /// Turns the knob.
    pub fn apply(&self, link: &LinkHandle) {
        match self {
            Self::Cut => link.cut(),
            Self::BlackHole => link.black_hole(true),
            Self::Restore => link.restore(),
            Self::Reset => link.reset_connections(),
            Self::Latency(latency) => link.set_latency(*latency),
            Self::Jitter(jitter) => link.set_jitter(*jitter),
            Self::Rate(rate) => link.set_rate(*rate),
            Self::Stall(stall) => link.set_stall(*stall),
            Self::Status => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commands with and without argument, and an error that says what there is.
    #[test]
    fn lines_are_commands() {
        let ms = Duration::from_millis;
        for (line, command) in [
            ("cut", Command::Cut),
            (" black-hole \r\n", Command::BlackHole),
            ("latency 100ms", Command::Latency(ms(100))),
            ("rate none", Command::Rate(Rate::UNLIMITED)),
            ("stall 2s/30s", Command::Stall(Stall::new(ms(2000), ms(30_000)))),
            ("stall none", Command::Stall(None)),
        ] {
            assert_eq!(line.parse(), Ok(command));
        }
        for line in ["", "cut now", "latency", "latency soon", "stall 3s/2s", "explode"] {
            let error = line.parse::<Command>().expect_err(line);
            assert!(error.to_string().contains("black-hole"), "{error}");
        }
    }
}
