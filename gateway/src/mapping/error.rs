//! Why a message does not fit its mapping.

use std::fmt;

/// Why a message gave no readings; it is to be kept as `raw`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MappingError {
    /// What is wrong, as counters name it.
    pub kind: ErrorKind,
    /// Where in the message, as a JSON pointer from its root; empty for the whole. As the
    /// message names it, so at most its first 200 characters, none that steers a terminal.
    pub pointer: String,
    /// What is wrong, for people: a sentence without its full stop.
    pub message: String,
}

impl MappingError {
    pub(super) fn new(kind: ErrorKind, pointer: &str, message: impl Into<String>) -> Self {
        Self { kind, pointer: clipped(pointer, 200), message: message.into() }
    }
}

/// Kinds of error. The name is what metrics count by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// The topic is none of the mapping's filter.
    TopicMismatch,
    /// The payload, or a text or a number in it, is longer than is read.
    TooLarge,
    /// The payload is not JSON.
    NotJson,
    /// A field that must be there is absent or null.
    MissingField,
    /// A field holds another type than it must.
    WrongType,
    /// A number is out of range, or a text is no number.
    BadNumber,
    /// A time cannot be read, or no clock shows it.
    BadTime,
    /// A word that `enum` does not list.
    UnknownWord,
    /// What the device is named cannot be a device id.
    BadDeviceId,
    /// Two readings of the message have one identity.
    DuplicateKey,
    /// The message, or an element, holds nothing that the mapping names.
    NoValues,
    /// An element holds more values than are read.
    TooManyValues,
    /// The message holds more readings than are read.
    TooManyReadings,
}

impl ErrorKind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::TopicMismatch,
        Self::TooLarge,
        Self::NotJson,
        Self::MissingField,
        Self::WrongType,
        Self::BadNumber,
        Self::BadTime,
        Self::UnknownWord,
        Self::BadDeviceId,
        Self::DuplicateKey,
        Self::NoValues,
        Self::TooManyValues,
        Self::TooManyReadings,
    ];

    /// The name, in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TopicMismatch => "topic_mismatch",
            Self::TooLarge => "too_large",
            Self::NotJson => "not_json",
            Self::MissingField => "missing_field",
            Self::WrongType => "wrong_type",
            Self::BadNumber => "bad_number",
            Self::BadTime => "bad_time",
            Self::UnknownWord => "unknown_word",
            Self::BadDeviceId => "bad_device_id",
            Self::DuplicateKey => "duplicate_key",
            Self::NoValues => "no_values",
            Self::TooManyValues => "too_many_values",
            Self::TooManyReadings => "too_many_readings",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A piece of what somebody else wrote, as a sentence may quote it.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", clipped(text, 40))
}

/// The first characters of a text, nothing that steers a terminal.
fn clipped(text: &str, most: usize) -> String {
    let shown = text.chars().take(most).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    let rest = text.chars().nth(most).map(|_| '…');
    shown.chain(rest).collect()
}
