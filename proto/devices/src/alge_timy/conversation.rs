//! The gateway's end of the line: lines become items, and the memory is asked for.

use super::{Checks, Message, Record, Trailer, key::Days, meaning, print::LONGEST_LINE, replay::Replay};
use crate::{Conversation, Item, Line, LineFramer, Monotonic, Role};

/// The command that makes the device repeat its memory.
const RESEND_MEMORY: &[u8] = b"RSM\r";

/// The conversation with a TdC 8000/8001, Timy, Timy2 or Timy3.
#[derive(Debug)]
pub struct Timy {
    framer: LineFramer<LONGEST_LINE>,
    reader: Reader,
}

impl Timy {
    /// A conversation that believes check digits where they stand.
    pub fn new(role: Role) -> Self {
        Self::with_checks(role, Checks::Detected)
    }

    /// A conversation that demands check digits, or not.
    pub fn with_checks(role: Role, checks: Checks) -> Self {
        let replay = Replay::new(role == Role::Active);
        let reader = Reader { checks, days: Days::default(), replay, in_list: false };
        Self { framer: LineFramer::new(), reader }
    }

    /// Whether a sound frame holds check digits: a long line in checksum mode does.
    pub fn is_checked(frame: &[u8]) -> bool {
        matches!(Message::parse(frame, Checks::Required), Ok(Some(Message::Record(_))))
    }

    /// Wants the memory repeated, as soon as the line is quiet. A listener never
    /// asks, and a repeat already asked for is not asked for twice.
    pub fn request_replay(&mut self, now: Monotonic) {
        self.reader.replay.request(now);
    }
}

impl Conversation for Timy {
    fn handle_connected(&mut self, now: Monotonic, sink: &mut dyn FnMut(Item<'_>)) {
        self.framer = LineFramer::new();
        self.reader.in_list = false;
        self.reader.replay.connected(now, sink);
    }

    fn handle_bytes(&mut self, now: Monotonic, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        let Self { framer, reader } = self;
        reader.replay.bytes(now);
        framer.push(bytes, &mut |line| reader.line(now, line, sink));
    }

    fn handle_disconnected(&mut self, now: Monotonic, sink: &mut dyn FnMut(Item<'_>)) {
        let Self { framer, reader } = self;
        framer.finish(&mut |line| reader.line(now, line, sink));
        reader.replay.disconnected(sink);
    }

    fn handle_timeout(&mut self, now: Monotonic, sink: &mut dyn FnMut(Item<'_>)) {
        self.reader.replay.timeout(now, sink);
    }

    fn handle_durable(&mut self, _now: Monotonic, _items: u64) {}

    fn poll_transmit(&mut self, now: Monotonic, buffer: &mut [u8]) -> usize {
        let Some(room) = buffer.first_chunk_mut::<{ RESEND_MEMORY.len() }>() else { return 0 };
        if !self.reader.replay.transmit(now) {
            return 0;
        }
        room.copy_from_slice(RESEND_MEMORY);
        room.len()
    }

    fn poll_timeout(&self) -> Option<Monotonic> {
        self.reader.replay.deadline()
    }
}

/// What is known between lines.
#[derive(Debug)]
struct Reader {
    checks: Checks,
    days: Days,
    replay: Replay,
    /// Within a printed list, whose trailer ends no repeat.
    in_list: bool,
}

impl Reader {
    fn line(&mut self, now: Monotonic, line: Line<'_>, sink: &mut dyn FnMut(Item<'_>)) {
        if let Some(item) = line.fault_item() {
            if line.fault.is_some() {
                self.replay.damaged(now);
            }
            return sink(item);
        }
        let Line { offset, bytes, .. } = line;
        match Message::parse(bytes, self.checks) {
            Err(error) => {
                self.replay.line(now);
                self.replay.damaged(now);
                sink(Item::Bad { offset, bytes, error });
            }
            Ok(None) => {
                self.replay.line(now);
                sink(Item::Frame { offset, bytes });
                sink(Item::Unknown { offset, bytes });
            }
            Ok(Some(Message::Record(record))) => self.record(now, offset, bytes, &record, sink),
            Ok(Some(message)) => self.message(now, offset, bytes, &message, sink),
        }
    }

    fn record(&mut self, now: Monotonic, offset: u64, bytes: &[u8], record: &Record, sink: &mut dyn FnMut(Item<'_>)) {
        self.replay.line(now);
        self.in_list = record.rank.is_some();
        if !self.in_list && self.replay.record(now, record, sink) {
            self.days.clear();
        }
        let day = self.days.day_of(record);
        sink(Item::Frame { offset, bytes });
        sink(match meaning::of_record(record, bytes, day, self.replay.running()) {
            Some(reading) => Item::Reading(reading),
            None => Item::Unknown { offset, bytes },
        });
    }

    fn message(
        &mut self,
        now: Monotonic,
        offset: u64,
        bytes: &[u8],
        message: &Message<'_>,
        sink: &mut dyn FnMut(Item<'_>),
    ) {
        if !matches!(message, Message::RunningTime(_)) {
            self.replay.line(now);
        }
        sink(Item::Frame { offset, bytes });
        if let Some(reading) = meaning::of_message(message, bytes) {
            sink(Item::Reading(reading));
        }
        match message {
            Message::Title(_) => self.in_list = true,
            Message::Trailer(trailer) if self.in_list => self.in_list = !matches!(trailer, Trailer::Clock(..)),
            Message::Trailer(_) => self.replay.trailer(now, sink),
            _ => (),
        }
    }
}
