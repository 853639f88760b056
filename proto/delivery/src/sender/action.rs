//! What a sender asks of its driver.

use venue_schema::Sequence;

use super::{reason::Reason, state::ConnectionId};
use crate::{Mark, frame::Frame};

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make a connection and open the stream; answer with
    /// [`Sender::handle_connected`](super::Sender::handle_connected) or [`Sender::handle_ended`](super::Sender::handle_ended). It may come while
    /// another connection is in use: the preferred endpoint is tried beside it.
    Connect {
        /// The name of the connection from now on.
        connection: ConnectionId,
        /// Index of the endpoint.
        endpoint: usize,
    },
    /// Drop a connection, with all that is queued for it.
    Disconnect {
        /// Which one.
        connection: ConnectionId,
        /// Why.
        reason: Reason,
    },
    /// Remember the receiver: it is the one that the cursor counts for.
    PinReceiver {
        /// The receiver's name.
        receiver_id: String,
    },
    /// Everything up to the mark is durable at the receiver: move the cursor.
    AdvanceCursor {
        /// Sequence and digest, which belong together.
        mark: Mark,
    },
    /// The receiver forgot what it had acknowledged: move the cursor back, so
    /// that retention keeps what must be sent again, and raise an alarm. Where the
    /// cursor cannot go back, later advances at or below it are to be ignored.
    RewindCursor {
        /// Where the cursor stood.
        from: Sequence,
        /// Where the receiver is.
        mark: Mark,
    },
    /// The receiver forgot records that have been deleted here: make a skip record
    /// for the range durable (`receiver_reset`), raise an alarm, and answer with
    /// [`Sender::handle_reset_declared`](super::Sender::handle_reset_declared). From then on the source returns it.
    DeclareReset {
        /// First sequence of the range.
        first: Sequence,
        /// Last sequence of the range.
        last: Sequence,
    },
    /// The receiver holds more than this journal: begin a new journal epoch, name
    /// this one as its predecessor, and make a new sender. This one has ended.
    NewEpoch {
        /// The receiver's mark.
        receiver_mark: Sequence,
    },
}

/// What [`Sender::poll_transmit`](super::Sender::poll_transmit) has for the transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transmit {
    /// Send this on the current connection.
    Frame(Frame),
    /// A piece of work was done; take actions and call again.
    Again,
    /// Nothing to send for now.
    Idle,
}
