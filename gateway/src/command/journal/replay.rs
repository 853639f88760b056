//! `journal replay`: a part of a lane to another receiver, beside the running uplinks.
//!
//! The part is delivered as a lane of its own: its elements are numbered from 1
//! under an epoch made from the journal's epoch, the lane and the range, so that a
//! replay that was interrupted goes on where it stopped when it is started again.
//! Each event keeps its origin; a receiver that has some of them already merges
//! those that have an identity of their own.

use std::{
    collections::VecDeque, io::IsTerminal as _, num::NonZeroUsize, ops::ControlFlow, path::Path, time::Duration,
};

use anyhow::bail;
use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use venue_delivery::{
    Mark, Sender, frame,
    sender::{Read, ReadFault, ReadLimits, RecordSource, SenderConfig, Status, Tuning},
};
use venue_journal::{Directory, ReadOnlyJournal, StoredElement};
use venue_schema::{GatewayId, JournalEpoch, Sequence};

use super::{
    super::{offline, output},
    range::Part,
};
use crate::{
    cli::{Exit, Range},
    clock::SystemClock,
    config::{Endpoint, TlsFiles},
    uplink::{self, LaneHost, LaneSignals, LaneUplink},
};

/// Elements read ahead in one go.
const READ_AHEAD: usize = 8_192;

/// Delivers a part and returns when the receiver has acknowledged all of it.
pub(super) fn run(
    range: &Range,
    receiver: &str,
    ca: Option<&Path>,
    cert: Option<&Path>,
    key: Option<&Path>,
) -> anyhow::Result<Exit> {
    let journal = offline::open(&range.dir)?;
    let part = Part::of(&journal, range)?;
    let endpoint: Endpoint = receiver.parse()?;
    let tls = match (ca, cert, key) {
        (Some(ca), Some(cert), Some(key)) => {
            Some(TlsFiles { ca: ca.to_owned(), cert: cert.to_owned(), key: key.to_owned() })
        }
        _ if endpoint.is_tls() => bail!("{receiver} needs TLS: give --ca, --cert and --key"),
        _ => None,
    };
    let total = count(&journal, part)?;
    if total == 0 {
        output::print("nothing to replay: the range holds no record")?;
        return Ok(Exit::Success);
    }
    let gateway_id = GatewayId::new(&journal.summary().gateway_id)?;
    let epoch = replay_epoch(journal.summary().epoch, part);
    let clock = SystemClock::new(true);
    let (stop, stopping) = watch::channel(false);
    let (_durable, durable) = watch::channel(Sequence(total));
    let config = SenderConfig {
        gateway_id,
        journal_epoch: epoch,
        lane: part.lane,
        predecessors: Vec::new(),
        software_version: env!("CARGO_PKG_VERSION").to_owned(),
        receiver_id: None,
        endpoints: NonZeroUsize::MIN,
        seed: 1,
        tuning: Tuning::default(),
    };
    let sender = Sender::new(config, Mark::initial(epoch, part.lane), Sequence(total), clock.monotonic());
    let host = Replay {
        elements: Elements::new(&journal, part),
        total,
        clock,
        stop,
        terminal: std::io::stderr().is_terminal(),
        told: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let target = LaneUplink { endpoints: vec![endpoint], tls };
    runtime.block_on(uplink::run(target, sender, host, LaneSignals { durable, results_backlog: None, stop: stopping }));
    output::tell("");
    let Part { lane, from, to } = part;
    output::print(&format!("{total} events of the {} lane, {from} to {to}, are at {receiver}", lane.name()))?;
    Ok(Exit::Success)
}

/// Counts what will be delivered; damage is told and left out.
fn count(journal: &ReadOnlyJournal<Directory>, part: Part) -> anyhow::Result<u64> {
    let mut total = 0;
    journal.visit(part.lane, part.from, part.to, |element| {
        match &element {
            StoredElement::Damaged { first, last } => {
                output::tell(&format!("{first} to {last} are damaged and left out"));
            }
            _ => total += 1,
        }
        ControlFlow::Continue(())
    })?;
    Ok(total)
}

/// An epoch that the same range of the same journal always has.
fn replay_epoch(epoch: JournalEpoch, part: Part) -> JournalEpoch {
    let mut hash = Sha256::new();
    hash.update(b"replay");
    hash.update(epoch.as_bytes());
    hash.update([part.lane as u8]);
    hash.update(part.from.0.to_le_bytes());
    hash.update(part.to.0.to_le_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    JournalEpoch::from_bytes(bytes)
}

/// The elements of a part, numbered from 1, read in order and ahead.
struct Elements<'a> {
    journal: &'a ReadOnlyJournal<Directory>,
    part: Part,
    /// Number of the first element held.
    number: u64,
    held: VecDeque<Bytes>,
    /// Where in the journal reading goes on.
    next: Sequence,
}

impl<'a> Elements<'a> {
    fn new(journal: &'a ReadOnlyJournal<Directory>, part: Part) -> Self {
        Self { journal, part, number: 1, held: VecDeque::new(), next: part.from }
    }

    /// The event of an element; none past the end.
    fn event(&mut self, number: u64) -> anyhow::Result<Option<Bytes>> {
        if number < self.number {
            *self = Self::new(self.journal, self.part);
        }
        loop {
            while self.number < number && self.held.pop_front().is_some() {
                self.number += 1;
            }
            if let Some(event) = self.held.front().filter(|_| self.number == number) {
                return Ok(Some(event.clone()));
            }
            if !self.read_ahead()? {
                return Ok(None);
            }
        }
    }

    /// An element a little further on than [`Elements::event`] was asked for.
    fn held(&self, number: u64) -> Option<&Bytes> {
        self.held.get(usize::try_from(number.checked_sub(self.number)?).ok()?)
    }

    fn read_ahead(&mut self) -> anyhow::Result<bool> {
        let before = self.held.len();
        let (held, next) = (&mut self.held, &mut self.next);
        self.journal.visit(self.part.lane, *next, self.part.to, |element| {
            *next = match &element {
                StoredElement::Record { sequence, .. } => sequence.next(),
                StoredElement::Skipped { last, .. } | StoredElement::Damaged { last, .. } => last.next(),
            };
            held.extend(offline::event_bytes(&element).map(Bytes::copy_from_slice));
            if held.len() - before >= READ_AHEAD { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(self.held.len() > before)
    }
}

/// What the conversation needs of a replay.
struct Replay<'a> {
    elements: Elements<'a>,
    total: u64,
    clock: SystemClock,
    stop: watch::Sender<bool>,
    terminal: bool,
    told: Option<String>,
}

impl RecordSource for Replay<'_> {
    fn first_retained(&self) -> Sequence {
        Sequence(1)
    }

    fn read(&mut self, from: Sequence, limits: ReadLimits) -> Result<Read, ReadFault> {
        let fault = |error: anyhow::Error| ReadFault { at: from, message: format!("{error:#}") };
        let Some(first) = self.elements.event(from.0).map_err(fault)? else { return Ok(Read::End) };
        let mut elements = BytesMut::with_capacity(limits.bytes.min(256 * 1024));
        frame::push_element(&first, &mut elements);
        let mut count = 1;
        while let Some(event) = self.elements.held(from.0 + count as u64) {
            if count >= limits.records || elements.len() + event.len() + 10 > limits.bytes {
                break;
            }
            frame::push_element(event, &mut elements);
            count += 1;
        }
        Ok(Read::Records { first_sequence: from, count, elements: elements.freeze() })
    }
}

impl LaneHost for Replay<'_> {
    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn advance(&mut self, mark: Mark) {
        if self.terminal {
            output::progress(&format!("{} of {}", mark.sequence, self.total));
        }
        if mark.sequence.0 >= self.total {
            self.stop.send_replace(true);
        }
    }

    fn rewind(&mut self, _from: Sequence, mark: Mark) {
        output::tell(&format!("\nthe receiver forgot what it had acknowledged; going on behind {}", mark.sequence));
    }

    fn pin(&mut self, _receiver_id: &str) {}

    fn declare_reset(&mut self, _first: Sequence, _last: Sequence) {
        unreachable!("a replay holds all of its elements");
    }

    fn new_epoch(&mut self, receiver_mark: Sequence) {
        let total = self.total;
        output::tell(&format!(
            "\nthe receiver holds {receiver_mark} elements of this replay, and the range has {total} now"
        ));
    }

    fn publish(&mut self, status: Status) {
        let error = status.last_error.map(|error| error.message);
        if error != self.told {
            if let Some(message) = &error {
                output::tell(&format!("\n{message}"));
            }
            self.told = error;
        }
    }
}
