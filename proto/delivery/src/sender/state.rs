//! The states of a sender; each holds only what is valid in it.

use core::time::Duration;

use venue_schema::Sequence;

use super::{
    status::LinkState,
    welcome::{Comparison, Greeting},
    window::Window,
};

/// Names one connection of a sender. What arrives under the name of an older
/// connection is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

#[derive(Debug, Clone)]
pub(super) enum State {
    Disconnected { until: Duration },
    Connecting { connection: ConnectionId, deadline: Duration },
    AwaitingWelcome { connection: ConnectionId, hello_sent: bool, deadline: Duration },
    Welcomed { connection: ConnectionId, greeting: Greeting },
    Comparing { connection: ConnectionId, comparison: Comparison, greeting: Greeting, retry: Option<Duration> },
    Streaming(Streaming),
    Refused { until: Duration },
    EpochEnded,
}

/// A stream on which records flow.
#[derive(Debug, Clone)]
pub(super) struct Streaming {
    pub(super) connection: ConnectionId,
    pub(super) window: Window,
    pub(super) hold: Hold,
    /// Where the last skip record that was asked for begins.
    pub(super) reset_asked: Option<Sequence>,
    /// When the last acknowledgement came, or when the window ceased to be empty.
    pub(super) heard: Duration,
    pub(super) since: Duration,
    pub(super) fail_back: FailBack,
}

/// Why nothing is read for the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    Nothing,
    /// Until a skip record for what was asked is durable.
    Reset,
    /// The last read failed.
    ReadFault {
        retry: Duration,
    },
}

/// The way back to the preferred endpoint: it is connected to beside the stream
/// in use, which is left only when the new connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailBack {
    NotNeeded,
    Due(Duration),
    Connecting { connection: ConnectionId, deadline: Duration },
}

impl State {
    /// The connection that carries the conversation.
    pub(super) fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::Connecting { connection, .. }
            | Self::AwaitingWelcome { connection, .. }
            | Self::Welcomed { connection, .. }
            | Self::Comparing { connection, .. }
            | Self::Streaming(Streaming { connection, .. }) => Some(*connection),
            Self::Disconnected { .. } | Self::Refused { .. } | Self::EpochEnded => None,
        }
    }

    /// The connection that is being made to the preferred endpoint beside it.
    pub(super) fn fail_back_connection(&self) -> Option<ConnectionId> {
        match self {
            Self::Streaming(Streaming { fail_back: FailBack::Connecting { connection, .. }, .. }) => Some(*connection),
            _ => None,
        }
    }

    pub(super) fn describe(&self) -> LinkState {
        match self {
            Self::Disconnected { until } => LinkState::Waiting { until: *until },
            Self::Connecting { .. } => LinkState::Connecting,
            Self::AwaitingWelcome { .. } | Self::Welcomed { .. } => LinkState::Greeting,
            Self::Comparing { retry: None, .. } => LinkState::Comparing,
            Self::Streaming(streaming) => match streaming.hold {
                Hold::Nothing => LinkState::Delivering,
                Hold::Reset => LinkState::AwaitingReset,
                Hold::ReadFault { .. } => LinkState::JournalUnreadable,
            },
            Self::Comparing { retry: Some(_), .. } => LinkState::JournalUnreadable,
            Self::Refused { until } => LinkState::Refused { until: *until },
            Self::EpochEnded => LinkState::EpochEnded,
        }
    }
}

impl Streaming {
    /// When the stream counts as stalled.
    pub(super) fn stalled_at(&self, stall_timeout: Duration) -> Option<Duration> {
        (!self.window.is_empty()).then(|| self.heard + stall_timeout)
    }
}
