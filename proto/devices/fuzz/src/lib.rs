//! What every fuzz target of a device demands, whatever the bytes:
//!
//! * nothing panics, in either role;
//! * the same bytes say the same however they are cut;
//! * frames, rejected frames and skipped bytes are what stood in the stream, in its
//!   order and without overlap;
//! * a device that is only listened to is sent nothing, and an active one is sent
//!   no more at a time than it can be asked for.
//!
//! The first eight bytes of an input are the sizes of the pieces, in turn; the rest
//! is the stream.

use std::fmt::{self, Write as _};

use venue_devices::{Conversation, Device, Item, Monotonic, Role};

const SIZES: usize = 8;
const NOW: Monotonic = Monotonic::ZERO;
/// Commands that a device may ask to be sent one after the other.
const MOST_COMMANDS: usize = 64;

/// Drives the conversation of a device with an input of the fuzzer.
///
/// # Panics
/// If the device breaks one of the demands above.
pub fn drive(name: &str, data: &[u8]) {
    let (sizes, stream) = data.split_at(data.len().min(SIZES));
    let whole = listen(name, stream, std::iter::once(stream));
    let cut = listen(name, stream, pieces(stream, sizes));
    assert_eq!(whole, cut, "cut into pieces of {sizes:?}, the stream says something else");
    converse(name, pieces(stream, sizes));
}

/// The stream in pieces of these sizes, in turn.
fn pieces<'a>(stream: &'a [u8], sizes: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = stream;
    sizes.iter().cycle().map_while(move |size| {
        let (piece, behind) = rest.split_at_checked(usize::from(*size).max(1)).unwrap_or((rest, b""));
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Hears the stream out, and returns what was said.
fn listen<'a>(name: &str, stream: &[u8], pieces: impl Iterator<Item = &'a [u8]>) -> Heard {
    let mut device = Device::new(name, Role::ListenOnly).expect("a known device");
    let mut heard = Heard::default();
    let mut end = 0;
    let mut sink = |item: Item<'_>| {
        check_place(&item, stream, &mut end);
        heard.add(&item);
    };
    device.handle_connected(NOW, &mut sink);
    for piece in pieces {
        device.handle_bytes(NOW, piece, &mut sink);
        assert_eq!(device.poll_transmit(NOW, &mut [0; 256]), 0, "a listener spoke");
    }
    device.handle_disconnected(NOW, &mut sink);
    heard
}

/// Takes part in the conversation as an active source does, its timers with it.
fn converse<'a>(name: &str, pieces: impl Iterator<Item = &'a [u8]>) {
    let mut device = Device::new(name, Role::Active).expect("a known device");
    let mut items = 0;
    let mut now = NOW;
    device.handle_connected(now, &mut |_| items += 1);
    for piece in pieces {
        device.handle_bytes(now, piece, &mut |_| items += 1);
        device.handle_durable(now, items);
        let commands = (0..=MOST_COMMANDS).take_while(|_| device.poll_transmit(now, &mut [0; 256]) > 0).count();
        assert!(commands <= MOST_COMMANDS, "it never stops sending");
        if let Some(deadline) = device.poll_timeout() {
            now = now.max(deadline);
            device.handle_timeout(now, &mut |_| items += 1);
        }
    }
    device.handle_disconnected(now, &mut |_| items += 1);
}

/// Asserts that an item's bytes stand in the stream, behind those before it.
fn check_place(item: &Item<'_>, stream: &[u8], end: &mut usize) {
    let (Item::Frame { offset, bytes } | Item::Bad { offset, bytes, .. } | Item::Skipped { offset, bytes }) = item
    else {
        return;
    };
    let offset = usize::try_from(*offset).expect("within the stream");
    assert!(offset >= *end, "bytes from {offset} on are handed out twice");
    assert_eq!(stream.get(offset..offset + bytes.len()), Some(*bytes), "not what stands at {offset}");
    *end = offset + bytes.len();
}

/// What was said, one digest over it all; runs of skipped bytes joined.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    items: u64,
    digest: Fnv,
    skipped_to: Option<u64>,
}

impl Heard {
    fn add(&mut self, item: &Item<'_>) {
        if let Item::Skipped { offset, bytes } = item {
            if self.skipped_to != Some(*offset) {
                self.items += 1;
                self.digest.add(&offset.to_le_bytes());
            }
            self.digest.add(bytes);
            self.skipped_to = Some(offset + bytes.len() as u64);
        } else {
            self.items += 1;
            self.skipped_to = None;
            write!(self.digest, "{item:?}").expect("a digest takes everything");
        }
    }
}

/// FNV-1a of 64 bits: names a difference, keeps nothing.
#[derive(Debug, PartialEq)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    }
}

impl fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.add(text.as_bytes());
        Ok(())
    }
}
