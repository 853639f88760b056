//! From what a device said to durable events, once.
//!
//! A [`SourcePipeline`] belongs to one source. It takes the items of its
//! conversation with their receive stamp, gives each its identity, time and lane,
//! encodes it and appends it to the journal. It is sans-io: time comes in as a
//! parameter, the journal stands on a storage trait, so a simulated world drives
//! the very pipeline that `run` builds.
//!
//! ```text
//! Item ─► identity (key + day + occurrence) ─► known? dropped, counted
//!    └──► time (date, UTC, bound)             └► lane ─► Event bytes ─► journal.append
//! noise ─► summarised, one record a second
//! line lost / gateway was down ─► gap (open) … back-fill or reconnect ─► healed / closed
//! ```
//!
//! What it never does: open a port, wait, know about the uplink, hold an event
//! back to sort it, encode an event twice.

mod builder;
mod content;
pub mod day;
mod gap;
mod identity;
mod noise;
mod own;
mod source;
pub mod time;

pub use builder::{EventBuilder, SourceSettings};
pub use identity::KnownKeys;
pub use own::{OWN_SOURCE, OwnPipeline};
pub use source::{Counters, LineEvent, SourcePipeline};
pub use time::Arrival;
