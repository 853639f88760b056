//! How a stream ends: the gRPC status codes that this conversation gives a meaning to.

use std::fmt;

/// A gRPC status code. Those without a meaning of their own here are [`Code::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The stream was closed in good order.
    Ok,
    /// A broken message, or a batch that does not follow the last element.
    InvalidArgument,
    /// A deadline passed.
    DeadlineExceeded,
    /// The gateway's id is not a DNS name of its certificate.
    PermissionDenied,
    /// A bound was reached; the peer sent more than it may.
    ResourceExhausted,
    /// The journal epoch is closed, or the digests differ at a common mark.
    FailedPrecondition,
    /// A newer hello of the same gateway and lane took over.
    Aborted,
    /// The peer speaks another protocol or another version of it.
    Unimplemented,
    /// A fault of the peer's own.
    Internal,
    /// The peer is not there, or cannot work for now.
    Unavailable,
    /// No client certificate.
    Unauthenticated,
    /// Any other code, by its number.
    Other(i32),
}

/// Numbers and names as the gRPC specification gives them.
const TABLE: [(Code, i32, &str); 11] = [
    (Code::Ok, 0, "OK"),
    (Code::InvalidArgument, 3, "INVALID_ARGUMENT"),
    (Code::DeadlineExceeded, 4, "DEADLINE_EXCEEDED"),
    (Code::PermissionDenied, 7, "PERMISSION_DENIED"),
    (Code::ResourceExhausted, 8, "RESOURCE_EXHAUSTED"),
    (Code::FailedPrecondition, 9, "FAILED_PRECONDITION"),
    (Code::Aborted, 10, "ABORTED"),
    (Code::Unimplemented, 12, "UNIMPLEMENTED"),
    (Code::Internal, 13, "INTERNAL"),
    (Code::Unavailable, 14, "UNAVAILABLE"),
    (Code::Unauthenticated, 16, "UNAUTHENTICATED"),
];

impl Code {
    /// The code of a gRPC number.
    pub fn from_grpc(number: i32) -> Self {
        TABLE.iter().find(|row| row.1 == number).map_or(Self::Other(number), |row| row.0)
    }

    /// The gRPC number of the code.
    pub fn to_grpc(self) -> i32 {
        match self {
            Self::Other(number) => number,
            named => TABLE.iter().find(|row| row.0 == named).map_or(2, |row| row.1),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match TABLE.iter().find(|row| row.0 == *self) {
            Some(row) => f.write_str(row.2),
            None => write!(f, "gRPC code {}", self.to_grpc()),
        }
    }
}

/// The end of a stream: a code, and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEnd {
    /// What kind of end it was.
    pub code: Code,
    /// Why, for people.
    pub message: String,
}

impl StreamEnd {
    /// An end with a code and a reason.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for StreamEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever number a peer sends, the same number is passed on.
    #[test]
    fn codes_keep_their_numbers() {
        for number in -1..20 {
            assert_eq!(Code::from_grpc(number).to_grpc(), number);
        }
        assert_eq!(Code::from_grpc(9), Code::FailedPrecondition);
        assert_eq!(Code::from_grpc(2), Code::Other(2));
    }
}
