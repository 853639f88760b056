//! What a sender puts on the wire: its hello, then what it reads from the journal.

use core::time::Duration;

use bytes::Bytes;
use venue_schema::{Sequence, v1};

use super::{
    Action, FailBack, Hold, Read, ReadFault, ReadLimits, Reason, RecordSource, Sender, State, Streaming, Transmit,
    state::ConnectionId,
    status::LastError,
    welcome::{Greeting, Step, Verdict, hash, judge},
    window::Window,
};
use crate::{
    Mark, PROTOCOL_VERSION,
    frame::{Elements, Frame, MAX_BATCH_RECORDS},
};

impl Sender {
    /// The next frame for the transport, read from the journal as it is needed.
    /// To be called only while the transport has room for a frame: a full
    /// transport thus lets records gather into larger batches.
    ///
    /// # Panics
    /// If the source breaks its contract: returns another place than it was asked
    /// for, or more than it was asked for.
    pub fn poll_transmit(&mut self, now: Duration, source: &mut impl RecordSource) -> Transmit {
        match &self.state {
            State::AwaitingWelcome { hello_sent: false, .. } => self.say_hello(source),
            State::Welcomed { .. } => self.answer_welcome(now),
            State::Comparing { retry: None, .. } => self.compare(now, source),
            State::Streaming(Streaming { hold: Hold::Nothing, .. }) => self.stream(now, source),
            _ => Transmit::Idle,
        }
    }

    fn say_hello(&mut self, source: &impl RecordSource) -> Transmit {
        if let State::AwaitingWelcome { hello_sent, .. } = &mut self.state {
            *hello_sent = true;
        }
        let config = &self.config;
        let digest = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        Transmit::Frame(Frame::hello(v1::Hello {
            protocol_version: PROTOCOL_VERSION,
            capabilities: Vec::new(),
            gateway_id: config.gateway_id.to_string(),
            journal_epoch: digest(config.journal_epoch.as_bytes()),
            lane: config.lane as i32,
            last_acknowledged_sequence: self.cursor.sequence.0,
            last_acknowledged_digest: digest(self.cursor.digest.as_bytes()),
            first_retained_sequence: source.first_retained().0,
            last_durable_sequence: self.last_durable.0,
            predecessor_epochs: config.predecessors.iter().map(|epoch| digest(epoch.as_bytes())).collect(),
            software_version: config.software_version.clone(),
        }))
    }

    fn answer_welcome(&mut self, now: Duration) -> Transmit {
        let State::Welcomed { connection, greeting } = &self.state else { return Transmit::Idle };
        let (connection, greeting) = (*connection, greeting.clone());
        let initial = Mark::initial(self.config.journal_epoch, self.config.lane);
        match judge(&greeting, self.config.receiver_id.as_deref(), self.cursor, self.last_durable, initial) {
            Verdict::Continue => self.begin_streaming(now, connection, greeting),
            Verdict::Compare(comparison) => {
                self.enter(now, State::Comparing { connection, comparison, greeting, retry: None });
            }
            Verdict::NewEpoch => self.end_epoch(now, connection, greeting.mark.sequence),
            Verdict::Refuse(reason) => self.give_up(now, reason),
        }
        Transmit::Again
    }

    fn compare(&mut self, now: Duration, source: &mut impl RecordSource) -> Transmit {
        let State::Comparing { connection, comparison, greeting, retry } = &mut self.state else {
            return Transmit::Idle;
        };
        match comparison.step(source) {
            Step::More => {}
            Step::Same | Step::Inconclusive => {
                let (connection, greeting) = (*connection, greeting.clone());
                self.begin_streaming(now, connection, greeting);
            }
            Step::Differs(reason) => self.give_up(now, reason),
            Step::Fault(fault) => {
                *retry = Some(now + self.config.tuning.read_retry);
                self.note_fault(now, &fault);
            }
        }
        Transmit::Again
    }

    fn begin_streaming(&mut self, now: Duration, connection: ConnectionId, greeting: Greeting) {
        if self.config.receiver_id.is_none() {
            self.actions.push_back(Action::PinReceiver { receiver_id: greeting.receiver_id.clone() });
            self.config.receiver_id = Some(greeting.receiver_id);
        }
        self.move_cursor(greeting.mark);
        self.counters.streams += 1;
        let fail_back = match self.endpoints.is_preferred() {
            true => FailBack::NotNeeded,
            false => FailBack::Due(now + self.config.tuning.fail_back),
        };
        let window = Window::new(greeting.mark);
        let (hold, reset_asked) = (Hold::Nothing, None);
        let streaming = Streaming { connection, window, hold, reset_asked, heard: now, since: now, fail_back };
        self.enter(now, State::Streaming(streaming));
    }

    /// The receiver's mark wins.
    fn move_cursor(&mut self, mark: Mark) {
        let from = std::mem::replace(&mut self.cursor, mark).sequence;
        match mark.sequence.cmp(&from) {
            std::cmp::Ordering::Less => self.actions.push_back(Action::RewindCursor { from, mark }),
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => {
                self.counters.acknowledged += mark.sequence.0 - from.0;
                self.push_advance(mark);
            }
        }
    }

    fn end_epoch(&mut self, now: Duration, connection: ConnectionId, receiver_mark: Sequence) {
        let reason = Reason::ReceiverAhead { receiver: receiver_mark, durable: self.last_durable };
        self.last_error = Some(LastError { at: now, message: reason.to_string() });
        self.actions.push_back(Action::Disconnect { connection, reason });
        self.actions.push_back(Action::NewEpoch { receiver_mark });
        self.enter(now, State::EpochEnded);
    }

    fn stream(&mut self, now: Duration, source: &mut impl RecordSource) -> Transmit {
        let limit = self.window_limit();
        let State::Streaming(streaming) = &mut self.state else { return Transmit::Idle };
        let tip = streaming.window.tip();
        let unsent = self.last_durable.0.saturating_sub(tip.sequence.0);
        let Some(bytes) = streaming.window.room(limit).filter(|_| unsent > 0) else { return Transmit::Idle };

        let from = tip.sequence.next();
        let records = usize::try_from(unsent).unwrap_or(usize::MAX).min(MAX_BATCH_RECORDS);
        let fault = |message: &str| Err(ReadFault { at: from, message: message.to_owned() });
        let read = match source.read(from, ReadLimits { records, bytes }) {
            Ok(Read::End) => fault("it ends before its own last durable record"),
            Ok(Read::Skipped { last, .. }) if last < from => fault("a skipped range ends before the place asked for"),
            Ok(Read::NotRetained { first_retained }) if first_retained <= from => fault("it is there and is not"),
            other => other,
        };
        match read {
            Ok(Read::Records { first_sequence, count, elements }) => {
                assert!(first_sequence == from, "the journal returned sequence {first_sequence} instead of {from}");
                assert!((1..=records).contains(&count), "the journal returned {count} records of {records}");
                self.send_records(now, from, count, elements)
            }
            Ok(Read::Skipped { last, gap_event, .. }) => self.send_skipped(now, from, last, gap_event),
            Ok(Read::NotRetained { first_retained }) => self.ask_for_reset(now, from, first_retained.previous()),
            Ok(Read::End) => Transmit::Idle,
            Err(fault) => self.hold_reading(now, &fault),
        }
    }

    fn window_limit(&self) -> usize {
        let tuning = &self.config.tuning;
        match self.results_backlog && self.config.lane == v1::Lane::Telemetry {
            true => tuning.trickle_bytes.min(tuning.window_bytes),
            false => tuning.window_bytes,
        }
    }

    fn send_records(&mut self, now: Duration, from: Sequence, count: usize, elements: Bytes) -> Transmit {
        let State::Streaming(streaming) = &self.state else { return Transmit::Idle };
        let end = match Elements::new(&elements).try_fold(streaming.window.tip(), hash) {
            Ok(end) => end,
            Err(broken) => return self.hold_reading(now, &ReadFault { at: from, message: broken.to_string() }),
        };
        assert!(end.sequence == from.plus(count as u64 - 1), "{count} records from {from} end at {}", end.sequence);
        self.counters.records += count as u64;
        self.send(now, end, Frame::batch(from, elements))
    }

    fn send_skipped(&mut self, now: Duration, from: Sequence, last: Sequence, gap_event: Bytes) -> Transmit {
        let State::Streaming(streaming) = &self.state else { return Transmit::Idle };
        let end = streaming.window.tip().then_skipped(last, &gap_event);
        // What the journal returns is durable, even if its word of it is still on the way.
        self.last_durable = self.last_durable.max(last);
        self.send(now, end, Frame::skipped(from, last, gap_event))
    }

    fn send(&mut self, now: Duration, end: Mark, frame: Frame) -> Transmit {
        let State::Streaming(streaming) = &mut self.state else { return Transmit::Idle };
        if streaming.window.is_empty() {
            streaming.heard = now;
        }
        streaming.window.push(end, frame.encoded_len());
        self.counters.frames += 1;
        self.counters.bytes += frame.encoded_len() as u64;
        Transmit::Frame(frame)
    }

    /// Asks once; a journal that says it has done so and has not is asked again after
    /// a pause, like one that cannot be read.
    fn ask_for_reset(&mut self, now: Duration, first: Sequence, last: Sequence) -> Transmit {
        let State::Streaming(streaming) = &mut self.state else { return Transmit::Idle };
        if streaming.reset_asked.take() == Some(first) {
            let message = "no skip record stands for what was deleted, although one was asked for".to_owned();
            return self.hold_reading(now, &ReadFault { at: first, message });
        }
        streaming.reset_asked = Some(first);
        self.hold(now, Hold::Reset);
        self.actions.push_back(Action::DeclareReset { first, last });
        Transmit::Again
    }

    fn hold_reading(&mut self, now: Duration, fault: &ReadFault) -> Transmit {
        self.note_fault(now, fault);
        self.hold(now, Hold::ReadFault { retry: now + self.config.tuning.read_retry });
        Transmit::Idle
    }

    fn hold(&mut self, now: Duration, hold: Hold) {
        if let State::Streaming(streaming) = &mut self.state {
            streaming.hold = hold;
            self.since = now;
        }
    }

    fn note_fault(&mut self, now: Duration, fault: &ReadFault) {
        self.last_error = Some(LastError { at: now, message: fault.to_string() });
    }
}
