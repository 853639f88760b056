//! The uplink: records of the journal to the centre, over gRPC.
//!
//! The conversation itself lives in `venue-delivery`, without I/O. This is its
//! thin body: one task a lane ([`lane::run`]) that makes connections, carries
//! frames and wakes the conversation's timers. TCP and TLS are set up here rather
//! than by the gRPC library, so that an expired certificate, a wrong host or a
//! refused client name is told as what it is. Certificate files are read again at
//! every connect, and while an uplink waits it looks at them every second: replacing
//! them is all that an operator has to do.
//!
//! What it never does: decode or encode an event, decide what was delivered,
//! delete anything, know a source.

mod codec;
mod connect;
mod files;
mod lane;
mod last_words;
mod stream;
mod tls;

pub use connect::ConnectFailure;
pub use lane::{LaneHost, LaneSignals, LaneUplink, run};
pub use tls::{TlsFailure, tls_config};
