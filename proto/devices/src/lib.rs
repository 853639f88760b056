//! Device protocols: bytes in, readings out, and back again.
//!
//! A folder a protocol. Each holds a decoder, the emitter beside it (so that both
//! keep each other honest and the simulator speaks through the code that the
//! gateway reads with), and the conversation that the device expects. `no_std`,
//! no allocation, no clock, no I/O: bytes and time go in, [`Item`]s and bytes to
//! send come out, and memory is bounded by the type.
//!
//! What this crate never does: open a port, know the date or the time zone, give
//! an event its number, decide a lane, hold anything back to sort it.
//!
//! # How a stream is driven
//!
//! A [`Conversation`] is driven by whoever owns the line. It is told of the line
//! coming up, of bytes, of the passing of time and of durability, and asked what
//! to send and when to be called next:
//!
//! ```
//! use core::time::Duration;
//! use venue_devices::{Conversation, Device, Item, Role};
//!
//! let mut timer = Device::new("alge-timy", Role::Active).expect("a known device");
//! let now = Duration::ZERO;                      // monotonic, from any origin
//! let mut impulses = 0;
//! let mut sink = |item: Item<'_>| {
//!     if matches!(item, Item::Reading(_)) { impulses += 1 }
//! };
//! timer.handle_connected(now, &mut sink);
//! timer.handle_bytes(now, b" 0007 C0  10:11:29.3074 00\r", &mut sink);
//! let mut send = [0; 256];
//! assert_eq!(timer.poll_transmit(now, &mut send), 0); // nothing yet …
//! let now = timer.poll_timeout().expect("it wants to be called");
//! timer.handle_timeout(now, &mut sink);
//! let count = timer.poll_transmit(now, &mut send);    // … the line is quiet: bytes to write
//! assert_eq!(&send[..count], b"RSM\r");               // repeat your memory
//! assert_eq!(impulses, 1);
//! ```
#![no_std]
#[cfg(test)]
extern crate std;

pub mod alge_timy;
mod conversation;
mod item;
mod line;
pub mod nmea;
mod reading;
mod registry;
mod text;

pub use conversation::{Conversation, Monotonic, Role};
pub use item::{DecodeError, ErrorKind, Item};
pub use line::{Line, LineFramer};
pub use reading::{
    CivilDate, Content, Correction, CorrectionKind, Day, DeviceState, DeviceStatus, DeviceTime, Edge, Identity,
    Impulse, KeyText, LaneResult, Measurement, Passing, PassingKind, Reading, ResultKind, Session, Start, StartKind,
    TimeValue, Unit, Value, ValueKind, Wind,
};
pub use registry::{DEVICES, Device, DeviceType, Evidence, LineSettings, Parity, Transport, UnknownDevice};
pub use text::{Charset, Text};
