//! Measures both ends without a network: events of 200 bytes through sender,
//! receiver and memory store in one thread.
//!
//! `cargo run -p venue-delivery --release --example throughput`

use std::{
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use venue_delivery::{
    Mark, Receiver, Sender,
    frame::{MAX_BATCH_RECORDS, push_element},
    receiver::{MemoryStore, Output, Peer},
    sender::{Action, Read, ReadFault, ReadLimits, RecordSource, SenderConfig, Transmit, Tuning},
};
use venue_schema::{GatewayId, JournalEpoch, Message as _, Sequence, v1};

const EVENTS: u64 = 2_000_000;

/// Encodes one event again and again, each time under the next number.
struct Synthetic {
    event: v1::Event,
}

impl Synthetic {
    fn element(&mut self, sequence: u64) -> Vec<u8> {
        self.event.identity = Some(v1::event::Identity::DeviceSequence(sequence));
        self.event.encode_to_vec()
    }
}

/// Batches made ahead, so that only the conversation is measured.
struct Prepared(Vec<(usize, Bytes)>);

impl RecordSource for Prepared {
    fn first_retained(&self) -> Sequence {
        Sequence(1)
    }

    fn read(&mut self, from: Sequence, _: ReadLimits) -> Result<Read, ReadFault> {
        let (count, elements) = &self.0[(from.0 - 1) as usize / MAX_BATCH_RECORDS];
        Ok(Read::Records { first_sequence: from, count: *count, elements: elements.clone() })
    }
}

fn prepare() -> Prepared {
    let evidence = Bytes::from(vec![b'x'; 160]);
    let event = v1::Event { venue_id: "stade-1".into(), device_id: "timer-a".into(), evidence, ..Default::default() };
    let mut synthetic = Synthetic { event };
    let batches = (0..EVENTS).step_by(MAX_BATCH_RECORDS).map(|first| {
        let mut elements = BytesMut::new();
        let last = (first + MAX_BATCH_RECORDS as u64).min(EVENTS);
        (first + 1..=last).for_each(|sequence| push_element(&synthetic.element(sequence), &mut elements));
        ((last - first) as usize, elements.freeze())
    });
    Prepared(batches.collect())
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn timed<T>(total: &mut Duration, work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let done = work();
    *total += begin.elapsed();
    done
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut journal = prepare();
    let epoch = JournalEpoch::from_bytes([7; 16]);
    let config = SenderConfig {
        gateway_id: GatewayId::new("gw")?,
        journal_epoch: epoch,
        lane: v1::Lane::Results,
        predecessors: Vec::new(),
        software_version: String::new(),
        receiver_id: None,
        endpoints: NonZeroUsize::MIN,
        seed: 1,
        tuning: Tuning::default(),
    };
    let now = Duration::ZERO;
    let mut sender = Sender::new(config, Mark::initial(epoch, v1::Lane::Results), Sequence(EVENTS), now);
    let (mut receiver, mut store) = (Receiver::new("centre"), MemoryStore::new());
    let stream = receiver.handle_opened(now, Peer::Believed);
    let (mut sending, mut receiving) = (Duration::ZERO, Duration::ZERO);
    sender.handle_timeout(now);
    while sender.has_unacknowledged() {
        while let Some(action) = sender.poll_action() {
            if let Action::Connect { connection, .. } = action {
                sender.handle_connected(now, connection);
            }
        }
        let Some(connection) = sender.connection() else { break };
        if let Transmit::Frame(frame) = timed(&mut sending, || sender.poll_transmit(now, &mut journal)) {
            let request = frame.to_request()?;
            timed(&mut receiving, || receiver.handle_request(stream, request, &mut store));
            timed(&mut receiving, || receiver.commit(&mut store))?;
        }
        while let Some(Output::Respond { response, .. }) = receiver.poll_output() {
            timed(&mut sending, || sender.handle_response(now, connection, response));
        }
    }
    assert_eq!(store.totals().stored, EVENTS, "all of it arrives");
    let rate = |time: Duration| EVENTS as f64 / time.as_secs_f64() / 1e6;
    println!(
        "sender   {:.2} M events/s, {:.3} µs an event",
        rate(sending),
        sending.as_secs_f64() / EVENTS as f64 * 1e6
    );
    println!(
        "receiver {:.2} M events/s, {:.3} µs an event",
        rate(receiving),
        receiving.as_secs_f64() / EVENTS as f64 * 1e6
    );
    Ok(())
}
