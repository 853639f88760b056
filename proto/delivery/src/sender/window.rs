//! What is in flight: sent and not yet acknowledged.

use std::collections::VecDeque;

use crate::{Mark, frame::MAX_BATCH_BYTES};

/// Most frames in flight. At the bound nothing more is read until an
/// acknowledgement comes; meanwhile records gather into larger batches.
pub const MAX_FRAMES_IN_FLIGHT: usize = 4096;

/// Why an acknowledgement cannot be true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AckFault {
    /// More is acknowledged than was sent; holds the last sequence sent.
    NeverSent(Mark),
    /// The digest differs from ours at that sequence; holds ours.
    DigestDiffers(Mark),
}

#[derive(Debug, Clone, Copy)]
struct InFlight {
    end: Mark,
    bytes: usize,
}

/// The frames in flight, oldest first, and the mark before them.
///
/// Only the end of each frame is remembered, not its bytes: after a reconnect the
/// receiver's mark wins and the journal is read again.
#[derive(Debug, Clone)]
pub(super) struct Window {
    acknowledged: Mark,
    frames: VecDeque<InFlight>,
    bytes: usize,
}

impl Window {
    pub(super) fn new(acknowledged: Mark) -> Self {
        Self { acknowledged, frames: VecDeque::new(), bytes: 0 }
    }

    /// The end of the last frame sent.
    pub(super) fn tip(&self) -> Mark {
        self.frames.back().map_or(self.acknowledged, |frame| frame.end)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Sequences in flight.
    pub(super) fn sequences(&self) -> u64 {
        self.tip().sequence.0 - self.acknowledged.sequence.0
    }

    /// How many bytes the next frame may have; none if the window is to be left
    /// alone. It opens again when a good part of it is free, lest every small
    /// acknowledgement draw a small batch (the silly window of TCP).
    pub(super) fn room(&self, limit: usize) -> Option<usize> {
        let free = limit.saturating_sub(self.bytes);
        let open = self.frames.len() < MAX_FRAMES_IN_FLIGHT && free >= (limit / 2).min(MAX_BATCH_BYTES);
        (self.frames.is_empty() || open).then(|| free.clamp(1, MAX_BATCH_BYTES))
    }

    /// Notes a frame that was sent.
    pub(super) fn push(&mut self, end: Mark, bytes: usize) {
        assert!(end.sequence > self.tip().sequence, "a frame that ends at {} goes back", end.sequence);
        self.frames.push_back(InFlight { end, bytes });
        self.bytes += bytes;
    }

    /// Takes an acknowledgement of everything up to a mark; returns the new mark
    /// if it moved. One that falls inside a frame counts as one of the frame before
    /// it, whose digest is known, so that mark and digest always belong together.
    pub(super) fn acknowledge(&mut self, ack: Mark) -> Result<Option<Mark>, AckFault> {
        if ack.sequence > self.tip().sequence {
            return Err(AckFault::NeverSent(self.tip()));
        }
        let before = self.acknowledged;
        let covered = self.frames.partition_point(|frame| frame.end.sequence <= ack.sequence);
        let end = covered.checked_sub(1).map_or(before, |last| self.frames[last].end);
        if end.sequence == ack.sequence && end.digest != ack.digest {
            return Err(AckFault::DigestDiffers(end));
        }
        self.acknowledged = end;
        self.bytes -= self.frames.drain(..covered).map(|frame| frame.bytes).sum::<usize>();
        Ok((self.acknowledged.sequence > before.sequence).then_some(self.acknowledged))
    }
}

#[cfg(test)]
mod tests {
    use venue_schema::{JournalEpoch, v1::Lane};

    use super::*;

    /// The marks after each of `count` one-byte events.
    fn marks(count: u8) -> Vec<Mark> {
        let start = Mark::initial(JournalEpoch::from_bytes([7; 16]), Lane::Results);
        let chain = (0..count).scan(start, |mark, byte| {
            *mark = mark.then(&[byte]);
            Some(*mark)
        });
        std::iter::once(start).chain(chain).collect()
    }

    /// Frames of 2 events each and of 100 bytes, up to 10.
    fn window(marks: &[Mark]) -> Window {
        let mut window = Window::new(marks[0]);
        (2..=10).step_by(2).for_each(|end| window.push(marks[end], 100));
        window
    }

    /// Acknowledgements are cumulative, may repeat, and inside a frame stand for
    /// the frame before.
    #[test]
    fn an_acknowledgement_moves_to_the_end_of_a_frame() {
        let marks = marks(10);
        let mut window = window(&marks);
        assert_eq!(window.acknowledge(marks[4]), Ok(Some(marks[4])));
        assert_eq!(window.acknowledge(marks[4]), Ok(None));
        assert_eq!(window.acknowledge(marks[1]), Ok(None), "an older one says nothing new");
        assert_eq!(window.acknowledge(marks[7]), Ok(Some(marks[6])));
        assert_eq!((window.bytes(), window.sequences()), (200, 4));
        assert_eq!(window.acknowledge(marks[10]), Ok(Some(marks[10])));
        assert!(window.is_empty());
    }

    /// A receiver that acknowledges the unsent, or something else than was sent,
    /// is not believed.
    #[test]
    fn an_acknowledgement_that_cannot_be_true_is_a_fault() {
        let marks = marks(11);
        let mut window = window(&marks);
        assert_eq!(window.acknowledge(marks[11]), Err(AckFault::NeverSent(marks[10])));
        let forged = Mark { digest: marks[3].digest, ..marks[4] };
        assert_eq!(window.acknowledge(forged), Err(AckFault::DigestDiffers(marks[4])));
    }

    /// A nearly full window stays shut until a good part is free; an empty one is
    /// always open.
    #[test]
    fn the_window_opens_in_large_steps() {
        let marks = marks(10);
        let mut window = window(&marks);
        assert_eq!(window.room(500), None);
        assert_eq!(window.room(1001), Some(501));
        assert_eq!(window.room(900), None);
        window.acknowledge(marks[2]).unwrap();
        assert_eq!(window.room(800), Some(400));
        window.acknowledge(marks[10]).unwrap();
        assert_eq!(window.room(0), Some(1));
        assert_eq!(window.room(usize::MAX), Some(MAX_BATCH_BYTES));
    }
}
