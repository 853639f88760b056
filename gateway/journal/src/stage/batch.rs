//! Records of one lane, in order, as they will be written.

use venue_schema::Sequence;

use crate::{
    config::BEHIND_STAGED_BYTES,
    identity::{Identity, Received},
};

/// What is to be remembered of a record once it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StagedRecord {
    /// Its size with header and padding.
    pub(crate) bytes: u32,
    /// What it was counted as in the stage.
    pub(crate) cost: u32,
    pub(crate) source: u32,
    pub(crate) ordinal: u64,
    pub(crate) identity: Option<Identity>,
    /// When its source was heard; none if the gateway itself says it.
    pub(crate) received: Option<Received>,
}

/// Consecutive records of a lane, each with a header whose checksum is still empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) first: Sequence,
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: Vec<StagedRecord>,
}

impl Batch {
    pub(crate) fn starting_at(first: Sequence) -> Self {
        Self { first, bytes: Vec::new(), records: Vec::new() }
    }

    /// The same without records, and with the room that they took, unless that is more than a busy lane fills.
    pub(crate) fn emptied(mut self) -> Self {
        if self.bytes.capacity() > 2 * BEHIND_STAGED_BYTES as usize {
            return Self::starting_at(self.first);
        }
        self.bytes.clear();
        self.records.clear();
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Sequence of the last record, or the one before the first if there is none.
    pub(crate) fn last(&self) -> Sequence {
        Sequence(self.first.0 + self.records.len() as u64 - 1)
    }

    /// How many records fit into `limit` bytes, and how many bytes they take.
    pub(crate) fn prefix(&self, limit: usize) -> (usize, usize) {
        if self.bytes.len() <= limit {
            return (self.records.len(), self.bytes.len());
        }
        let mut bytes = 0;
        for (index, record) in self.records.iter().enumerate() {
            let with = bytes + record.bytes as usize;
            if with > limit {
                return (index, bytes);
            }
            bytes = with;
        }
        (self.records.len(), bytes)
    }

    /// The first `count` records, and how many bytes they take.
    pub(crate) fn prefix_of(&self, count: usize) -> (usize, usize) {
        (count, self.records[..count].iter().map(|record| record.bytes as usize).sum())
    }

    /// Takes the first `count` records, of `bytes` bytes, out.
    pub(crate) fn split_front(&mut self, count: usize, bytes: usize) -> Self {
        let rest_bytes = self.bytes.split_off(bytes);
        let rest_records = self.records.split_off(count);
        let front = Self {
            first: self.first,
            bytes: std::mem::replace(&mut self.bytes, rest_bytes),
            records: std::mem::replace(&mut self.records, rest_records),
        };
        self.first = self.first.plus(count as u64);
        front
    }

    /// Takes records of at most `limit` bytes but at least one; `next` is the sequence after all of them.
    pub(crate) fn take(&mut self, limit: usize, next: Sequence) -> Self {
        let (count, bytes) = self.prefix(limit);
        if count == self.records.len() {
            return std::mem::replace(self, Self::starting_at(next));
        }
        match count {
            0 => self.split_front(1, self.records[0].bytes as usize),
            _ => self.split_front(count, bytes),
        }
    }
}
