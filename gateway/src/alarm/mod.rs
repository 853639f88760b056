//! Alarms: what keeps results from the centre is told to people, once when it begins and once when it is over.
//!
//! ```text
//!  conditions, ──► Hold ──► what is raised ──► Teller ──► command, webhook
//!  once a second   (time)                      (what was told)
//! ```
//!
//! [`Hold`] decides by time alone: a condition is raised once it has lasted, and cleared once it has stayed away; what
//! flaps is raised once and stays so. A [`Teller`] compares what is raised with what it was told, and so needs no queue:
//! there is one place for each alarm, and the newer state of an alarm takes the place of the older. What came and went
//! before it could be told is not told. The number of alarms is bounded by the configuration.
//!
//! Neither does any I/O or reads a clock: `now` is a parameter.
//!
//! ```
//! use std::{collections::BTreeSet, time::Duration};
//! use venue_gateway::alarm::{Alarm, Condition, Hold, Limits, State, Teller};
//!
//! let (mut hold, mut teller) = (Hold::new(Duration::from_secs(60)), Teller::new(Limits::WEBHOOK));
//! let dark = Alarm::of(Condition::SourceNotHeard, "finish-timer-a");
//! for second in 0..=30 {
//!     hold.observe(Duration::from_secs(second), "2026-11-28T10:42:17Z", &BTreeSet::from([dark.clone()]));
//! }
//! let change = teller.poll(Duration::from_secs(30), hold.raised()).expect("it lasted for 30 s");
//! assert_eq!((change.state, change.alarm.to_string()), (State::Raised, "source_not_heard/finish-timer-a".to_owned()));
//! teller.told(&change);
//! assert_eq!(teller.poll(Duration::from_secs(30), hold.raised()), None, "once");
//! ```

mod command;
mod hold;
mod notice;
mod teller;
mod webhook;

use std::{fmt, time::Duration};

use thiserror::Error;

pub use command::{CommandFailure, TIME_LIMIT as COMMAND_TIME_LIMIT, run};
pub use hold::{AGAIN_WITHIN, CLEAR_AFTER_MAX, FORGET_AFTER, Hold};
pub use notice::Notice;
pub use teller::{Change, Limits, RETRY_MAX, RETRY_MIN, State, Teller};
pub use webhook::{TIME_LIMIT as WEBHOOK_TIME_LIMIT, WebhookFailure, post};

/// What an alarm can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// The disk failed, or does not answer.
    JournalHalted,
    /// Results wait for an uplink for longer than `alarm.results_wait`.
    ResultsWaiting,
    /// An uplink's receiver refuses this gateway.
    UplinkRefused,
    /// The room for results is used up: they go into the reserve, or are refused where the sender keeps them.
    ResultsRoom,
    /// Events of a source were lost for want of room.
    EventsLost,
    /// A source is disconnected, or silent for longer than its `silence_alarm`.
    SourceNotHeard,
    /// What a source's device said while it was not heard is not read.
    SourceUnread,
    /// A fault of the program stopped a source.
    SourceFault,
    /// The machine has no date.
    DateUnknown,
    /// A certificate ends soon, or has ended.
    CertificateExpires,
    /// The configuration file is not the one in force: it is refused.
    ConfigurationRefused,
}

impl Condition {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::JournalHalted,
        Self::ResultsWaiting,
        Self::UplinkRefused,
        Self::ResultsRoom,
        Self::EventsLost,
        Self::SourceNotHeard,
        Self::SourceUnread,
        Self::SourceFault,
        Self::DateUnknown,
        Self::CertificateExpires,
        Self::ConfigurationRefused,
    ];

    /// As it stands in a notice.
    pub const fn name(self) -> &'static str {
        match self {
            Self::JournalHalted => "journal_halted",
            Self::ResultsWaiting => "results_waiting",
            Self::UplinkRefused => "uplink_refused",
            Self::ResultsRoom => "results_room",
            Self::EventsLost => "events_lost",
            Self::SourceNotHeard => "source_not_heard",
            Self::SourceUnread => "source_unread",
            Self::SourceFault => "source_fault",
            Self::DateUnknown => "date_unknown",
            Self::CertificateExpires => "certificate_expires",
            Self::ConfigurationRefused => "configuration_refused",
        }
    }

    /// How long it lasts before it is raised. Nothing for what has a time of its own (results that wait, a certificate)
    /// and for what happens in a moment (a lost event).
    pub const fn raise_after(self) -> Duration {
        Duration::from_secs(match self {
            Self::JournalHalted | Self::ResultsWaiting | Self::EventsLost | Self::SourceFault => 0,
            Self::ResultsRoom | Self::CertificateExpires => 0,
            // A take-over by the newer of two streams is refused for a moment.
            Self::UplinkRefused => 10,
            Self::SourceNotHeard => 30,
            // A machine without a battery-backed clock sets it within a minute of its boot.
            Self::DateUnknown => 60,
            // Whoever edits it sees what is wrong, and mends it.
            Self::ConfigurationRefused => 60,
            // A device is asked for its memory and reads it out.
            Self::SourceUnread => 120,
        })
    }

    /// How long it stays away at least before it is cleared, whatever `alarm.clear_after` says. Something for what happens in
    /// a moment: that it does not happen just now says little.
    pub const fn lingers(self) -> Duration {
        Duration::from_secs(match self {
            Self::EventsLost => 3600,
            Self::SourceFault => 900,
            Self::JournalHalted => 600,
            _ => 0,
        })
    }

    /// What is the case, to be read before the headline.
    fn sentence(self, subject: &str) -> String {
        match self {
            Self::JournalHalted => "the journal cannot be written".to_owned(),
            Self::ResultsWaiting => format!("results wait for the uplink {subject}"),
            Self::UplinkRefused => format!("the uplink {subject} is refused"),
            Self::ResultsRoom => "the room for results on disk is used up".to_owned(),
            Self::EventsLost => format!("events of {subject} were lost"),
            Self::SourceNotHeard => format!("{subject} is not heard"),
            Self::SourceUnread => format!("what {subject} said before is not read"),
            Self::SourceFault => format!("{subject} was stopped by a fault of the program"),
            Self::DateUnknown => "the date is not known".to_owned(),
            Self::CertificateExpires => format!("the certificate {subject} expires"),
            Self::ConfigurationRefused => {
                "the configuration file is refused, and the one before it is in force".to_owned()
            }
        }
    }
}

/// One alarm: a condition, and what it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alarm {
    condition: Condition,
    /// Name of a source or an uplink; empty if it is about the gateway.
    subject: String,
}

impl Alarm {
    /// About the gateway as a whole.
    pub fn new(condition: Condition) -> Self {
        Self::of(condition, "")
    }

    /// About a source or an uplink.
    pub fn of(condition: Condition, subject: impl Into<String>) -> Self {
        Self { condition, subject: subject.into() }
    }

    /// What it is about.
    pub const fn condition(&self) -> Condition {
        self.condition
    }

    /// What is the case, in words.
    pub fn sentence(&self) -> String {
        self.condition.sentence(&self.subject)
    }
}

/// `source_not_heard/finish-timer-a`, or `journal_halted`.
impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.condition.name())?;
        if self.subject.is_empty() { Ok(()) } else { write!(f, "/{}", self.subject) }
    }
}

/// A text that names no alarm of this version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` names no alarm")]
pub struct UnknownAlarm(String);

impl std::str::FromStr for Alarm {
    type Err = UnknownAlarm;

    fn from_str(text: &str) -> Result<Self, UnknownAlarm> {
        let (name, subject) = text.split_once('/').unwrap_or((text, ""));
        let condition = Condition::ALL.into_iter().find(|condition| condition.name() == name);
        condition.map(|condition| Self::of(condition, subject)).ok_or_else(|| UnknownAlarm(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An alarm is read back from its name, whatever it is about, and each condition has a name of its own.
    #[test]
    fn names_are_read_back() {
        for condition in Condition::ALL {
            for subject in ["", "finish-timer-a", "centre/gateway"] {
                let alarm = Alarm::of(condition, subject);
                assert_eq!(alarm.to_string().parse(), Ok(alarm));
            }
        }
        assert_eq!("source_away/x".parse::<Alarm>(), Err(UnknownAlarm("source_away/x".to_owned())));
    }
}
