//! Why a connection ended, how to mend it, and when it is worth another try.

use core::time::Duration;

use venue_schema::{Digest, Sequence};

use crate::{Code, StreamEnd};

/// Why a connection is given up. The text is for the people who look after the
/// gateway: it says what happened and, where they can mend it, how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The connection did not stand in time.
    #[error("no connection within {0:?}: check the network, the endpoint's name and port, and firewalls")]
    ConnectTimedOut(Duration),
    /// The hello was not answered in time.
    #[error(
        "connected, but no welcome within {0:?}: the receiver or its store is overloaded, or something else listens there"
    )]
    WelcomeTimedOut(Duration),
    /// Something was in flight, and nothing was acknowledged.
    #[error("nothing was acknowledged for {0:?} although data is in flight: check the receiver's store")]
    Stalled(Duration),
    /// The peer or the transport ended the stream.
    #[error("{}", describe_end(.0))]
    Ended(StreamEnd),
    /// The receiver said something that has no place in the conversation.
    #[error("the receiver broke the conversation: {0}; check that it speaks venue.v1.EventIngestService, version 1")]
    Broken(String),
    /// Another receiver answered than the one that the cursor is pinned to.
    #[error(
        "receiver `{answered}` answered, but this uplink delivers to `{pinned}`: correct the endpoint, or name the new receiver in the configuration to deliver everything to it"
    )]
    ForeignReceiver {
        /// The receiver that the cursor is pinned to.
        pinned: String,
        /// The one that answered.
        answered: String,
    },
    /// The receiver's history is not ours.
    #[error(
        "two gateways with one identity, or a restored disk: at sequence {at} the receiver has digest {theirs} and this journal {ours}; nothing is lost, it is kept here; stop the other gateway, or run `journal new-epoch`"
    )]
    DigestDiffers {
        /// The common sequence.
        at: Sequence,
        /// Our digest there.
        ours: Digest,
        /// The receiver's digest there.
        theirs: Digest,
    },
    /// The preferred endpoint is back; the connection moves there.
    #[error("the preferred endpoint answers again")]
    MovedToPreferred,
    /// A connection to the preferred endpoint is no longer wanted.
    #[error("the attempt is no longer needed")]
    NotNeeded,
    /// The receiver holds more than this journal: it must begin a new epoch.
    #[error(
        "the receiver holds sequence {receiver}, beyond the last durable {durable} here: a new journal epoch is begun"
    )]
    ReceiverAhead {
        /// The receiver's mark.
        receiver: Sequence,
        /// The last durable sequence here.
        durable: Sequence,
    },
}

/// When another attempt is worth making.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// With back-off: the peer is away.
    Soon,
    /// Seldom: the peer refuses, and a person has to mend it.
    Seldom,
}

impl Reason {
    pub(super) fn retry(&self) -> Retry {
        match self {
            Self::ForeignReceiver { .. } | Self::DigestDiffers { .. } | Self::Broken(_) => Retry::Seldom,
            Self::Ended(end) if is_refusal(end.code) => Retry::Seldom,
            _ => Retry::Soon,
        }
    }
}

/// Two codes are not among them. INVALID_ARGUMENT may come from bytes that were
/// broken on the way. ABORTED comes when an older stream's last batches reach the
/// store through another endpoint after our welcome. Either way the next welcome
/// sets both ends right; a second gateway with our identity shows by its digests.
fn is_refusal(code: Code) -> bool {
    matches!(code, Code::FailedPrecondition | Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented)
}

fn describe_end(end: &StreamEnd) -> String {
    let mend = match end.code {
        Code::FailedPrecondition => "two gateways with one identity, or a restored disk; everything is kept here",
        Code::PermissionDenied => "the gateway's id must be a DNS name in its certificate",
        Code::Unauthenticated => "the receiver asks for a client certificate; set `tls` of the uplink",
        Code::Unimplemented => "the endpoint does not speak venue.v1.EventIngestService",
        Code::Aborted => "another connection with this gateway's identity took over; look for a second gateway",
        Code::InvalidArgument => "the receiver could not read what was sent",
        _ => return format!("the connection ended ({end})"),
    };
    format!("the receiver refused ({end}): {mend}")
}
