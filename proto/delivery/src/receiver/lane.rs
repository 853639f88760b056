//! One lane that is being received: what came, in order, and is not stored yet.

use bytes::Bytes;
use venue_schema::{Sequence, v1};

use super::store::{Append, Element, ElementKind, LaneKey};
use crate::{
    Code, Mark, StreamEnd,
    frame::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS},
};

/// Bytes that wait for the store, at which a stream is not to be read any more.
/// One message may exceed it.
pub const MAX_PENDING_BYTES: usize = 8 * 1024 * 1024;

/// What an element that waits costs beside its bytes.
const ELEMENT_OVERHEAD: usize = 64;

#[derive(Debug)]
pub(super) struct OpenLane {
    pub(super) key: LaneKey,
    /// What the store holds.
    committed: Mark,
    /// The end of what came.
    tip: Mark,
    pending: Vec<Element>,
    pending_bytes: usize,
    /// Something came that was held already: the mark is told again.
    repeated: bool,
}

impl OpenLane {
    pub(super) fn new(key: LaneKey, held: Mark) -> Self {
        Self { key, committed: held, tip: held, pending: Vec::new(), pending_bytes: 0, repeated: false }
    }

    pub(super) fn is_full(&self) -> bool {
        self.pending_bytes >= MAX_PENDING_BYTES
    }

    /// Takes a batch. What lies at or below the end of what came is passed over.
    pub(super) fn take_batch(&mut self, batch: v1::Batch) -> Result<(), StreamEnd> {
        let bytes: usize =
            batch.events.iter().map(|event| event.len() + prost::length_delimiter_len(event.len()) + 1).sum();
        check_batch(&batch, bytes)?;
        self.check_follows(batch.first_sequence)?;
        self.check_room()?;
        let held = usize::try_from(self.tip.sequence.0 - (batch.first_sequence - 1)).unwrap_or(usize::MAX);
        self.repeated |= held > 0;
        for event in batch.events.into_iter().skip(held) {
            self.tip = self.tip.then(&event);
            self.push(self.tip.sequence, ElementKind::Event, event);
        }
        Ok(())
    }

    /// Takes a skipped range; of one that overlaps what came, the rest.
    pub(super) fn take_skipped(&mut self, skipped: v1::Skipped) -> Result<(), StreamEnd> {
        let (first, last) = (skipped.first_sequence, Sequence(skipped.last_sequence));
        if first == 0 || last.0 < first || last.0 == u64::MAX {
            return Err(broken(format!("no range reaches from {first} to {last}")));
        }
        self.check_follows(first)?;
        self.check_room()?;
        if last <= self.tip.sequence {
            self.repeated = true;
            return Ok(());
        }
        let first = self.tip.sequence.next();
        self.tip = self.tip.then_skipped(last, &skipped.gap_event);
        self.push(first, ElementKind::Gap, skipped.gap_event);
        Ok(())
    }

    fn push(&mut self, first: Sequence, kind: ElementKind, bytes: Bytes) {
        self.pending_bytes += bytes.len() + ELEMENT_OVERHEAD;
        self.pending.push(Element { first, last: self.tip.sequence, kind, bytes });
    }

    fn check_follows(&self, first: u64) -> Result<(), StreamEnd> {
        let next = self.tip.sequence.next();
        match first > next.0 {
            true => Err(broken(format!("the next sequence of {} is {next}, not {first}", self.key))),
            false => Ok(()),
        }
    }

    fn check_room(&self) -> Result<(), StreamEnd> {
        match self.is_full() {
            true => Err(StreamEnd::new(Code::ResourceExhausted, "too much waits for the store")),
            false => Ok(()),
        }
    }

    /// What the store is to be offered; none if nothing waits.
    pub(super) fn append(&self) -> Option<Append<'_>> {
        let append = Append { lane: &self.key, before: self.committed, after: self.tip, elements: &self.pending };
        (!self.pending.is_empty()).then_some(append)
    }

    /// The store has taken all that waited.
    pub(super) fn commit(&mut self) {
        assert!(self.tip.sequence >= self.committed.sequence, "the mark of {} goes back", self.key);
        self.repeated |= self.committed != self.tip;
        self.committed = self.tip;
        self.pending.clear();
        self.pending_bytes = 0;
    }

    /// What the sender is to be told now, once.
    pub(super) fn poll_ack(&mut self) -> Option<v1::Ack> {
        let told = std::mem::take(&mut self.repeated);
        told.then(|| v1::Ack {
            sequence: self.committed.sequence.0,
            digest: Bytes::copy_from_slice(self.committed.digest.as_bytes()),
        })
    }
}

fn check_batch(batch: &v1::Batch, bytes: usize) -> Result<(), StreamEnd> {
    let count = batch.events.len();
    let fits_below_the_end = batch.first_sequence.checked_add(count as u64).is_some();
    match count {
        0 => Err(broken("a batch holds at least one event")),
        _ if batch.first_sequence == 0 => Err(broken("sequences count from 1")),
        _ if !fits_below_the_end => Err(broken("a lane ends before 2^64 - 1")),
        _ if count > MAX_BATCH_RECORDS => {
            Err(broken(format!("a batch of {count} events; at most {MAX_BATCH_RECORDS} are allowed")))
        }
        // A single large event has no smaller batch to travel in.
        2.. if bytes > MAX_BATCH_BYTES => {
            Err(broken(format!("a batch of {bytes} bytes; at most {MAX_BATCH_BYTES} are allowed")))
        }
        _ => Ok(()),
    }
}

fn broken(what: impl Into<String>) -> StreamEnd {
    StreamEnd::new(Code::InvalidArgument, what)
}
