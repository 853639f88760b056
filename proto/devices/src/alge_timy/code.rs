//! What a line's value is: the impulse of a channel, a result, or a speed.

use crate::ResultKind;

/// An input of the device, `C0` to `C9`. By convention 0 is the start, 1 the
/// finish, 2 to 8 are intermediates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Channel(u8);

impl Channel {
    /// Channel 0, the start.
    pub const START: Self = Self(0);
    /// Channel 1, the finish.
    pub const FINISH: Self = Self(1);

    /// The channel of a number; none above 9.
    pub const fn new(number: u8) -> Option<Self> {
        if number <= 9 { Some(Self(number)) } else { None }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        ["C0", "C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9"][self.0 as usize]
    }
}

/// A result that the device computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultCode {
    /// `RT` – time of one run.
    RunTime,
    /// `TT` – sum of the runs.
    TotalTime,
    /// `MT` – time called back from the memory.
    MemoryTime,
    /// `SQ` – from one impulse to the next.
    Sequential,
    /// `DTR` – difference of the courses of a parallel run.
    RunDifference,
    /// `DTT` – difference of the courses' totals.
    TotalDifference,
}

/// A unit of speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpeedUnit {
    /// `kmh`
    KilometresPerHour,
    /// `m/s`
    MetresPerSecond,
    /// `mph`
    MilesPerHour,
}

impl SpeedUnit {
    /// A speed of so many of the unit, in m/s.
    pub fn to_m_per_s(self, speed: f64) -> f64 {
        match self {
            Self::KilometresPerHour => speed / 3.6,
            Self::MetresPerSecond => speed,
            Self::MilesPerHour => speed * 0.447_04,
        }
    }
}

/// Characters 6 to 8 of a line, the manual mark apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// An impulse.
    Impulse(Channel),
    /// A result.
    Result(ResultCode),
    /// A speed.
    Speed(SpeedUnit),
}

impl Code {
    /// Every code.
    pub fn all() -> impl Iterator<Item = Self> {
        let impulses = (0..=9).map(|number| Self::Impulse(Channel(number)));
        impulses.chain(Self::RESULTS.map(Self::Result)).chain(Self::SPEEDS.map(Self::Speed))
    }

    const RESULTS: [ResultCode; 6] = [
        ResultCode::RunTime,
        ResultCode::TotalTime,
        ResultCode::MemoryTime,
        ResultCode::Sequential,
        ResultCode::RunDifference,
        ResultCode::TotalDifference,
    ];
    const SPEEDS: [SpeedUnit; 3] = [SpeedUnit::KilometresPerHour, SpeedUnit::MetresPerSecond, SpeedUnit::MilesPerHour];

    /// Its name, two or three characters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Impulse(channel) => channel.name(),
            Self::Result(ResultCode::RunTime) => "RT",
            Self::Result(ResultCode::TotalTime) => "TT",
            Self::Result(ResultCode::MemoryTime) => "MT",
            Self::Result(ResultCode::Sequential) => "SQ",
            Self::Result(ResultCode::RunDifference) => "DTR",
            Self::Result(ResultCode::TotalDifference) => "DTT",
            Self::Speed(SpeedUnit::KilometresPerHour) => "kmh",
            Self::Speed(SpeedUnit::MetresPerSecond) => "m/s",
            Self::Speed(SpeedUnit::MilesPerHour) => "mph",
        }
    }

    /// The kind of result; unspecified for an impulse.
    pub const fn result_kind(self) -> ResultKind {
        match self {
            Self::Impulse(_) => ResultKind::Unspecified,
            Self::Result(ResultCode::RunTime) => ResultKind::RunTime,
            Self::Result(ResultCode::TotalTime) => ResultKind::TotalTime,
            Self::Result(ResultCode::MemoryTime) => ResultKind::MemoryTime,
            Self::Result(ResultCode::Sequential) => ResultKind::Lap,
            Self::Result(ResultCode::RunDifference) => ResultKind::Difference,
            Self::Result(ResultCode::TotalDifference) => ResultKind::TotalDifference,
            Self::Speed(_) => ResultKind::Speed,
        }
    }

    /// Whether there is room for the manual mark beside the name.
    pub const fn can_be_manual(self) -> bool {
        self.name().len() == 2
    }

    /// The three characters, `M` in the last if the value is manual and there is room.
    pub fn emit(self, manual: bool) -> [u8; 3] {
        match *self.name().as_bytes() {
            [first, second] => [first, second, if manual { b'M' } else { b' ' }],
            [first, second, third] => [first, second, third],
            _ => unreachable!("a name has two or three characters"),
        }
    }

    /// The code of three characters, and whether its value is manual. Some
    /// firmware prints the `C` of a channel in lower case.
    pub const fn parse(field: [u8; 3]) -> Option<(Self, bool)> {
        let code = match field {
            [b'C' | b'c', digit @ b'0'..=b'9', b' ' | b'M'] => Self::Impulse(Channel(digit - b'0')),
            [b'R', b'T', b' ' | b'M'] => Self::Result(ResultCode::RunTime),
            [b'T', b'T', b' ' | b'M'] => Self::Result(ResultCode::TotalTime),
            [b'M', b'T', b' ' | b'M'] => Self::Result(ResultCode::MemoryTime),
            [b'S', b'Q', b' ' | b'M'] => Self::Result(ResultCode::Sequential),
            [b'D', b'T', b'R'] => Self::Result(ResultCode::RunDifference),
            [b'D', b'T', b'T'] => Self::Result(ResultCode::TotalDifference),
            [b'k', b'm', b'h'] => Self::Speed(SpeedUnit::KilometresPerHour),
            [b'm', b'/', b's'] => Self::Speed(SpeedUnit::MetresPerSecond),
            [b'm', b'p', b'h'] => Self::Speed(SpeedUnit::MilesPerHour),
            _ => return None,
        };
        Some((code, field[2] == b'M'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each code is read back, with and without the manual mark.
    #[test]
    fn codes_survive_a_round_trip() {
        for code in Code::all() {
            assert_eq!(Code::parse(code.emit(false)), Some((code, false)));
            if code.can_be_manual() {
                assert_eq!(Code::parse(code.emit(true)), Some((code, true)));
            }
        }
    }

    /// Old firmware writes `c0`; what is no code is none.
    #[test]
    fn only_a_channel_may_be_in_lower_case() {
        assert_eq!(Code::parse(*b"c0M"), Some((Code::Impulse(Channel::START), true)));
        for wrong in [b"rt ", b"CA ", b"C0m", b"C 0", b"DTX", b"kmH", b"   "] {
            assert_eq!(Code::parse(*wrong), None, "{}", wrong.escape_ascii());
        }
    }
}
