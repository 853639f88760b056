//! What can go wrong at a cloud, on request.

use std::time::Duration;

use venue_delivery::Code;

use super::archive::Amnesia;
use crate::quantity;

/// One turn of a knob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Every acknowledgement is sent this much later; zero to end it.
    SlowAcks(Duration),
    /// Streams are ended and new ones refused with a status; none to end it.
    Refuse(Option<Code>),
    /// Connections are reset when this many more batches have come; the last of them
    /// is not stored.
    ResetAfter(u64),
    /// Connections are reset now.
    Reset,
    /// Events and marks are lost.
    Forget(Amnesia),
    /// Whether it answers keep-alives, takes what comes, and stores and acknowledges
    /// nothing: its store elects a leader.
    Stall(bool),
    /// The next events of the results lane are dropped, and counted in mark and digest:
    /// a lie that a verdict must find.
    DropSilently(u64),
    /// Whether an event whose identity is held is stored once; off is a fault that a
    /// verdict must find.
    MergeRepeats(bool),
    /// Streams are ended and new ones refused as UNAVAILABLE for this long.
    Maintenance(Duration),
    /// Ends slow acknowledgements, refusals, stalls and maintenance.
    Heal,
}

/// A line that is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no command; say slow-acks DURATION, refuse CODE|none, reset, reset-after BATCHES, forget all, forget COUNT, stall on|off, drop-silently COUNT, merge-repeats on|off, maintenance DURATION, heal or status"
)]
pub struct UnknownFault(String);

impl std::str::FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(line: &str) -> Result<Self, UnknownFault> {
        let line = line.trim();
        parse(line).ok_or_else(|| UnknownFault(line.into()))
    }
}

fn parse(line: &str) -> Option<Fault> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Some(match words[..] {
        ["slow-acks", delay] => Fault::SlowAcks(quantity::duration(delay).ok()?),
        ["refuse", "none"] => Fault::Refuse(None),
        ["refuse", code] => Fault::Refuse(Some(refusal(code)?)),
        ["reset"] => Fault::Reset,
        ["reset-after", batches] => Fault::ResetAfter(batches.parse().ok().filter(|count| *count > 0)?),
        ["forget", "all"] => Fault::Forget(Amnesia::Whole),
        ["forget", count] => Fault::Forget(Amnesia::Last(count.parse().ok()?)),
        ["stall", "on"] => Fault::Stall(true),
        ["stall", "off"] => Fault::Stall(false),
        ["merge-repeats", "on"] => Fault::MergeRepeats(true),
        ["merge-repeats", "off"] => Fault::MergeRepeats(false),
        ["drop-silently", count] => Fault::DropSilently(count.parse().ok()?),
        ["maintenance", duration] => Fault::Maintenance(quantity::duration(duration).ok()?),
        ["heal"] => Fault::Heal,
        _ => return None,
    })
}

/// A status by name, as the gRPC specification writes it, upper or lower case.
fn refusal(name: &str) -> Option<Code> {
    let name = name.to_ascii_uppercase().replace('-', "_");
    (1..=16).map(Code::from_grpc).find(|code| code.to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commands with and without arguments, and an error that says what there is.
    #[test]
    fn lines_are_faults() {
        for (line, fault) in [
            ("slow-acks 2s\n", Fault::SlowAcks(Duration::from_secs(2))),
            ("refuse unavailable", Fault::Refuse(Some(Code::Unavailable))),
            ("refuse FAILED_PRECONDITION", Fault::Refuse(Some(Code::FailedPrecondition))),
            ("refuse none", Fault::Refuse(None)),
            ("forget all", Fault::Forget(Amnesia::Whole)),
            ("forget 10", Fault::Forget(Amnesia::Last(10))),
        ] {
            assert_eq!(line.parse(), Ok(fault));
        }
        for line in ["", "refuse", "refuse maybe", "refuse ok", "reset-after 0", "stall", "forget"] {
            assert!(line.parse::<Fault>().expect_err(line).to_string().contains("drop-silently"));
        }
    }
}
