//! What a command and a webhook are told.

use serde::Serialize;

use super::{Change, State};

/// A notice, as JSON: docs/operations.md documents its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The alarm, `stade-1-a/source_not_heard/finish-timer-a`: the same when it is raised and when it is cleared, and no
    /// other alarm has it.
    pub id: String,
    /// What it is about, [`Condition::name`](super::Condition::name).
    pub condition: &'static str,
    /// `raised` or `cleared`.
    pub state: &'static str,
    /// For people: what is the case or over, and the first line of `status`.
    pub text: String,
    /// The gateway.
    pub gateway: String,
    /// Its venue.
    pub venue: String,
    /// When it began, RFC 3339; empty if no date was known.
    pub since: String,
}

impl Notice {
    /// Says that something changed on a gateway of a venue whose status begins with `headline`.
    pub fn new(change: &Change, gateway: &str, venue: &str, headline: &str) -> Self {
        let word = match change.state {
            State::Raised => "ALARM",
            State::Cleared => "OVER",
        };
        Self {
            id: format!("{gateway}/{}", change.alarm),
            condition: change.alarm.condition().name(),
            state: change.state.name(),
            text: format!("{word}: {}: {headline}", change.alarm.sentence()),
            gateway: gateway.to_owned(),
            venue: venue.to_owned(),
            since: change.since.clone(),
        }
    }

    /// As one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts are JSON")
    }
}
