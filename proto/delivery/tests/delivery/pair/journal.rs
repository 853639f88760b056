//! A journal in memory that a sender reads: records, skipped ranges, a cursor.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use venue_delivery::{
    Mark,
    frame::push_element,
    sender::{Read, ReadFault, ReadLimits, RecordSource},
};
use venue_schema::{GatewayId, JournalEpoch, Message as _, Sequence, v1};

/// What a disk holds of one lane. Cloning it is a backup, or a cloned gateway.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    pub(crate) gateway_id: GatewayId,
    pub(crate) epoch: JournalEpoch,
    pub(crate) lane: v1::Lane,
    pub(crate) predecessors: Vec<JournalEpoch>,
    /// `records[i]` has sequence `i + 1`.
    records: Vec<Bytes>,
    /// Last sequence of a skipped range → its first sequence and gap event.
    skips: BTreeMap<u64, (u64, Bytes)>,
    first_retained: u64,
    pub(crate) cursor: Mark,
    pub(crate) receiver_id: Option<String>,
    /// Fails this many of the next reads.
    pub(crate) faults: u32,
}

impl Journal {
    pub(crate) fn new(gateway: &str, epoch: u8, lane: v1::Lane) -> Self {
        let epoch = JournalEpoch::from_bytes([epoch; 16]);
        Self {
            gateway_id: GatewayId::new(gateway).expect("a DNS name"),
            epoch,
            lane,
            predecessors: Vec::new(),
            records: Vec::new(),
            skips: BTreeMap::new(),
            first_retained: 1,
            cursor: Mark::initial(epoch, lane),
            receiver_id: None,
            faults: 0,
        }
    }

    /// Appends an impulse of a device: start number `number`, its own number too.
    pub(crate) fn append_impulse(&mut self, device: &str, number: u64) {
        let impulse = v1::Impulse { channel: "C0".into(), start_number: number.to_string(), ..Default::default() };
        self.append(v1::Event {
            venue_id: "stade-1".into(),
            device_id: device.into(),
            identity: Some(v1::event::Identity::DeviceSequence(number)),
            content: Some(v1::event::Content::Impulse(impulse)),
            ..Default::default()
        });
    }

    pub(crate) fn append(&mut self, mut event: v1::Event) {
        event.origin = Some(v1::Origin {
            gateway_id: self.gateway_id.to_string(),
            journal_epoch: Bytes::copy_from_slice(self.epoch.as_bytes()),
            lane: self.lane as i32,
            sequence: self.records.len() as u64 + 1,
            source: "finish".into(),
            source_ordinal: self.records.len() as u64 + 1,
        });
        self.records.push(event.encode_to_vec().into());
    }

    pub(crate) fn last_durable(&self) -> Sequence {
        Sequence(self.records.len() as u64)
    }

    pub(crate) fn record(&self, sequence: u64) -> &Bytes {
        &self.records[sequence as usize - 1]
    }

    /// Deletes a range of records for good and notes that in its place.
    pub(crate) fn skip(&mut self, first: u64, last: u64, cause: v1::GapCause) {
        let range =
            v1::LaneRange { lane: self.lane as i32, first_sequence: first, last_sequence: last, ..Default::default() };
        let gap = v1::Gap {
            cause: cause as i32,
            count: Some(last - first + 1),
            scope: Some(v1::gap::Scope::LaneRange(range)),
            ..Default::default()
        };
        let event = v1::Event { content: Some(v1::event::Content::Gap(gap)), ..Default::default() };
        // What lies within a wider range crosses as part of that.
        self.skips.retain(|end, (begin, _)| *end > last || *begin < first);
        self.skips.insert(last, (first, event.encode_to_vec().into()));
    }

    /// The end of the last skipped range, 0 if there is none.
    pub(crate) fn last_skipped(&self) -> u64 {
        self.skips.last_key_value().map_or(0, |(last, _)| *last)
    }

    /// Deletes delivered records without a trace, as retention does.
    pub(crate) fn retire(&mut self, first_retained: u64) {
        assert!(first_retained <= self.cursor.sequence.0 + 1, "retention asks the cursor");
        self.first_retained = self.first_retained.max(first_retained);
    }

    /// What stands at a place, as the receiver should hold it: last sequence and
    /// element bytes.
    pub(crate) fn element(&self, sequence: u64) -> (u64, Bytes) {
        match self.skips.range(sequence..).next() {
            Some((&last, (first, gap))) if *first <= sequence => (last, gap.clone()),
            _ => (sequence, self.record(sequence).clone()),
        }
    }

    /// The journal that goes on after this one: what lies past the cursor is
    /// appended again.
    pub(crate) fn successor(&self, epoch: u8) -> Self {
        let mut next = Self::new(self.gateway_id.as_str(), epoch, self.lane);
        next.predecessors = vec![self.epoch];
        next.receiver_id.clone_from(&self.receiver_id);
        for record in &self.records[(self.cursor.sequence.0 as usize).min(self.records.len())..] {
            next.append(v1::Event::decode(&record[..]).expect("it was encoded here"));
        }
        next
    }
}

impl RecordSource for Journal {
    fn first_retained(&self) -> Sequence {
        Sequence(self.first_retained)
    }

    fn read(&mut self, from: Sequence, limits: ReadLimits) -> Result<Read, ReadFault> {
        if self.faults > 0 {
            self.faults -= 1;
            return Err(ReadFault { at: from, message: "input/output error".into() });
        }
        let next_skip = self.skips.range(from.0..).next();
        if let Some((&last, (first, gap))) = next_skip.filter(|(_, (first, _))| *first <= from.0) {
            return Ok(Read::Skipped { first: Sequence(*first), last: Sequence(last), gap_event: gap.clone() });
        }
        if from.0 < self.first_retained {
            return Ok(Read::NotRetained { first_retained: Sequence(self.first_retained) });
        }
        let end = next_skip.map_or(self.records.len() as u64, |(_, (first, _))| first - 1);
        let (mut elements, mut count) = (BytesMut::new(), 0);
        for sequence in from.0..=end {
            let record = self.record(sequence);
            if count == limits.records || (count > 0 && elements.len() + record.len() + 6 > limits.bytes) {
                break;
            }
            push_element(record, &mut elements);
            count += 1;
        }
        if count == 0 {
            return Ok(Read::End);
        }
        Ok(Read::Records { first_sequence: from, count, elements: elements.freeze() })
    }
}
