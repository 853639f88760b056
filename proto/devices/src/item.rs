//! What a conversation hands out.

use core::fmt;

use crate::Reading;

/// One thing found in a stream, in the order of the stream.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "handed out one at a time, and there is no allocator")]
pub enum Item<'a> {
    /// A frame was found and verified. Its readings, if any, follow at once.
    Frame {
        /// Offset of its first byte in the stream since the line came up.
        offset: u64,
        /// The frame as received, without its terminator.
        bytes: &'a [u8],
    },
    /// Something that the device said, out of the frame before it.
    Reading(Reading<'a>),
    /// A sound frame of a kind that the decoder does not know, out of the frame
    /// before it: to be kept, so that it can be decoded later.
    Unknown {
        /// Offset of `bytes` in the stream since the line came up.
        offset: u64,
        /// The part that was not understood.
        bytes: &'a [u8],
    },
    /// A frame that was recognised and rejected.
    Bad {
        /// Offset of `bytes` in the stream since the line came up.
        offset: u64,
        /// The rejected frame, as far as it is held.
        bytes: &'a [u8],
        /// Why.
        error: DecodeError,
    },
    /// Bytes between frames. A long run comes in pieces of any size; joined they
    /// are the same however the stream was cut.
    Skipped {
        /// Offset of `bytes` in the stream since the line came up.
        offset: u64,
        /// The skipped bytes.
        bytes: &'a [u8],
    },
    /// The device begins to repeat its memory: occurrences count from 1.
    ReplayStarted,
    /// The device's memory was repeated; `complete` tells whether to its end.
    ReplayEnded {
        /// Whether the device marked the end.
        complete: bool,
    },
}

/// Why a frame was rejected, and where in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct DecodeError {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Offset of the first wrong byte from the first byte of the frame.
    pub offset: usize,
}

impl DecodeError {
    /// An error of a kind at an offset from the frame's first byte.
    pub const fn new(kind: ErrorKind, offset: usize) -> Self {
        Self { kind, offset }
    }
}

/// Kinds of error. The name is what summaries and metrics count by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// The check digits do not agree with the content.
    BadChecksum,
    /// The frame ends too early.
    Truncated,
    /// The frame is longer than the protocol allows.
    TooLong,
    /// A field holds what it cannot hold.
    BadField,
    /// A time or date that no clock shows.
    BadTime,
    /// A length field contradicts the frame.
    BadLength,
    /// An escape sequence that the protocol does not know.
    BadEscape,
}

impl ErrorKind {
    /// The name, in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadChecksum => "bad_checksum",
            Self::Truncated => "truncated",
            Self::TooLong => "too_long",
            Self::BadField => "bad_field",
            Self::BadTime => "bad_time",
            Self::BadLength => "bad_length",
            Self::BadEscape => "bad_escape",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
