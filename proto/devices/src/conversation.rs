//! What a line's owner and a device's conversation say to each other.

use crate::Item;

/// A moment on a clock that never steps, counted from any fixed origin.
pub type Monotonic = core::time::Duration;

/// Whether a source may send to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Asks, acknowledges and sets.
    #[default]
    Active,
    /// Never sends a byte: a twin beside the active gateway.
    ListenOnly,
}

/// One end of a device's conversation, without I/O.
///
/// Items are handed to `sink` in the order of the stream. Their number, counted
/// from the conversation's creation, is what [`handle_durable`] speaks of.
///
/// [`handle_durable`]: Conversation::handle_durable
pub trait Conversation {
    /// The line came up: the port was opened, the connection stands. What was
    /// left unfinished before is forgotten.
    fn handle_connected(&mut self, now: Monotonic, sink: &mut dyn FnMut(Item<'_>));

    /// Takes bytes as they were read, in pieces of any size. The same bytes give
    /// the same items however they are cut.
    fn handle_bytes(&mut self, now: Monotonic, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>));

    /// The line went away. An unfinished frame is reported as truncated.
    fn handle_disconnected(&mut self, now: Monotonic, sink: &mut dyn FnMut(Item<'_>));

    /// Time went by: to be called at [`poll_timeout`], or at any time.
    ///
    /// [`poll_timeout`]: Conversation::poll_timeout
    fn handle_timeout(&mut self, now: Monotonic, sink: &mut dyn FnMut(Item<'_>));

    /// The first `items` items ever handed out are on disk. Only now may their
    /// device be acknowledged, and only on the connection on which it said them:
    /// of an earlier one some may have found no room.
    fn handle_durable(&mut self, now: Monotonic, items: u64);

    /// Writes what is to be sent next into `buffer` (at least 256 bytes) and
    /// returns how many bytes; 0 if there is nothing. To be called until it
    /// returns 0, after each `handle_*`.
    fn poll_transmit(&mut self, now: Monotonic, buffer: &mut [u8]) -> usize;

    /// When [`handle_timeout`](Conversation::handle_timeout) wants to be called
    /// next; none if only bytes can change anything.
    fn poll_timeout(&self) -> Option<Monotonic>;
}
