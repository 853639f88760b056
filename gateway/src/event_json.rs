//! A stored event as a JSON line; where it has none, what stands in its place.
//!
//! ```text
//! {"venue_id":"stade-1","device_id":"timer-a",…}
//! {"unreadable":{"lane":"results","first_sequence":12,"last_sequence":12,"reason":"…","event":"base64…"}}
//! ```
//!
//! Whoever counts lines must not be told less than the journal holds: an event that
//! this version cannot read, and records that are damaged, have a line of their own.

use std::fmt;

use serde::{Deserialize, Serialize};
use venue_journal::StoredElement;
use venue_schema::{
    Message as _, Sequence,
    v1::{self, Lane},
};

/// What stands for events that cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Instead {
    /// A place or a range of a lane.
    Unreadable {
        /// `results` or `telemetry`.
        lane: String,
        /// First sequence.
        first_sequence: u64,
        /// Last sequence.
        last_sequence: u64,
        /// Why.
        reason: String,
        /// The bytes of the event in base64, where there are any.
        event: Option<String>,
    },
}

impl Instead {
    /// Stands for a range of a lane without bytes.
    pub fn range(lane: Lane, first: Sequence, last: Sequence, reason: &str) -> Self {
        let (lane, reason) = (lane.name().to_owned(), reason.to_owned());
        Self::Unreadable { lane, first_sequence: first.0, last_sequence: last.0, reason, event: None }
    }
}

/// `results 12 cannot be shown: …`, for people.
impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Unreadable { lane, first_sequence, last_sequence, reason, event } = self;
        match first_sequence == last_sequence {
            true => write!(f, "{lane} {first_sequence} cannot be shown: {reason}")?,
            false => write!(f, "{lane} {first_sequence} to {last_sequence} cannot be shown: {reason}")?,
        }
        event.as_ref().map_or(Ok(()), |event| write!(f, "; its bytes in base64: {event}"))
    }
}

/// Reads the bytes of the event at a place.
///
/// # Errors
/// What stands for it, if they are no event that this version can read.
pub fn read(lane: Lane, sequence: Sequence, bytes: &[u8]) -> Result<v1::Event, Instead> {
    v1::Event::decode(bytes).map_err(|error| Instead::Unreadable {
        lane: lane.name().to_owned(),
        first_sequence: sequence.0,
        last_sequence: sequence.0,
        reason: error.to_string(),
        event: Some(venue_schema::base64(bytes)),
    })
}

/// Reads an element of a lane; the event of a skipped range is the one that declares it.
///
/// # Errors
/// What stands for it, as in [`read`], and for damage.
pub fn read_element(lane: Lane, element: &StoredElement) -> Result<v1::Event, Instead> {
    match element {
        StoredElement::Record { sequence, event, .. } => read(lane, *sequence, event),
        StoredElement::Skipped { first, gap_event, .. } => read(lane, *first, gap_event),
        StoredElement::Damaged { first, last } => {
            Err(Instead::range(lane, *first, *last, "damaged on disk; a running gateway sets it aside and says so"))
        }
    }
}

/// The JSON line, without its end, of an event or of what stands for it.
pub fn line(shown: &Result<v1::Event, Instead>) -> String {
    let line = match shown {
        Ok(event) => serde_json::to_string(event),
        Err(instead) => serde_json::to_string(instead),
    };
    line.expect("every value of these types has a JSON form")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that are no event are shown as they are, and why.
    #[test]
    fn what_cannot_be_read_has_a_line_too() {
        let shown = read(Lane::Results, Sequence(12), b"\xff\xff");
        let instead = shown.clone().expect_err("no event");
        assert_eq!(serde_json::from_str::<Instead>(&line(&shown)).expect("its own form"), instead);
        let Instead::Unreadable { reason, .. } = &instead;
        let expected = format!(
            r#"{{"unreadable":{{"lane":"results","first_sequence":12,"last_sequence":12,"reason":"{reason}","event":"//8="}}}}"#
        );
        assert_eq!(line(&shown), expected);
        assert_eq!(instead.to_string(), format!("results 12 cannot be shown: {reason}; its bytes in base64: //8="));
        let damage = read_element(Lane::Telemetry, &StoredElement::Damaged { first: Sequence(3), last: Sequence(5) });
        assert!(damage.expect_err("damage").to_string().starts_with("telemetry 3 to 5 cannot be shown: damaged"));
    }
}
