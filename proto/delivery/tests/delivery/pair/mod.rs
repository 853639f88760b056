//! Both ends of the conversation over a simulated network with a virtual clock.
//! Time leaps from deadline to deadline; nothing sleeps.

pub(crate) mod journal;
mod network;

use core::time::Duration;
use std::{collections::BTreeMap, num::NonZeroUsize};

use venue_delivery::{
    Code, Receiver, Sender,
    receiver::{LaneKey, MemoryStore},
    sender::{ConnectionId, LinkState, Reason, SenderConfig, Tuning},
};

use self::{journal::Journal, network::Connection};

pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// A gateway: its disk, and the sender while it runs.
pub(crate) struct Gateway {
    pub(crate) journal: Journal,
    pub(crate) sender: Sender,
    pub(crate) resets: Vec<(u64, u64)>,
    pub(crate) rewinds: u32,
    pub(crate) ended_epoch: Option<u64>,
    pub(crate) disconnects: Vec<Reason>,
    /// How connections were ended by the other side.
    pub(crate) ends: Vec<Code>,
    pub(crate) connects: Vec<usize>,
    /// Answers `DeclareReset` by itself.
    pub(crate) declares_resets: bool,
    pub(crate) tuning: Tuning,
    pub(crate) endpoints: usize,
    started: u64,
}

/// The world: gateways, endpoints, one receiver each, one store behind them all.
pub(crate) struct Pair {
    pub(crate) now: Duration,
    pub(crate) latency: Duration,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) receivers: Vec<Receiver>,
    pub(crate) store: MemoryStore,
    /// Endpoints that accept no connection.
    pub(crate) refusing: Vec<bool>,
    /// Endpoints to which packets vanish: no answer, no reset.
    pub(crate) silent: Vec<bool>,
    /// The store was made to forget; until the next drain a cursor may be beyond it.
    pub(crate) amnesia: bool,
    pub(crate) peak_in_flight_bytes: usize,
    orphans: u64,
    stuck: u32,
    pub(crate) frames: u64,
    connections: BTreeMap<(usize, ConnectionId), Connection>,
}

impl Pair {
    /// One gateway, `endpoints` receivers over one store, 20 ms one way.
    pub(crate) fn new(journal: Journal, endpoints: usize) -> Self {
        let mut pair = Self {
            now: HOUR,
            latency: 20 * MILLISECOND,
            gateways: Vec::new(),
            receivers: (0..endpoints).map(|_| Receiver::new("centre")).collect(),
            store: MemoryStore::with_rows(),
            refusing: vec![false; endpoints],
            silent: vec![false; endpoints],
            amnesia: false,
            peak_in_flight_bytes: 0,
            orphans: 0,
            stuck: 0,
            frames: 0,
            connections: BTreeMap::new(),
        };
        pair.add_gateway(journal);
        pair
    }

    pub(crate) fn add_gateway(&mut self, journal: Journal) -> usize {
        let (tuning, endpoints) = (Tuning::default(), self.receivers.len());
        let sender = start(&journal, tuning, endpoints, self.now, self.gateways.len() as u64);
        self.gateways.push(Gateway {
            journal,
            sender,
            resets: Vec::new(),
            rewinds: 0,
            ended_epoch: None,
            disconnects: Vec::new(),
            ends: Vec::new(),
            connects: Vec::new(),
            declares_resets: true,
            tuning,
            endpoints,
            started: 0,
        });
        self.gateways.len() - 1
    }

    /// The gateway's process dies and starts again with what its disk holds.
    pub(crate) fn restart(&mut self, gateway: usize) {
        self.cut_all(gateway);
        let it = &mut self.gateways[gateway];
        it.started += 1;
        let seed = gateway as u64 + 100 * it.started;
        it.sender = start(&it.journal, it.tuning, it.endpoints, self.now, seed);
    }

    pub(crate) fn lane(&self, gateway: usize) -> LaneKey {
        let journal = &self.gateways[gateway].journal;
        LaneKey::new(journal.gateway_id.clone(), journal.epoch, journal.lane)
    }

    pub(crate) fn append_impulses(&mut self, gateway: usize, count: u64) {
        let it = &mut self.gateways[gateway];
        for _ in 0..count {
            let number = it.journal.last_durable().0 + 1;
            it.journal.append_impulse("timer-a", number);
        }
        it.sender.handle_durable(it.journal.last_durable());
    }

    pub(crate) fn state(&self, gateway: usize) -> LinkState {
        self.gateways[gateway].sender.status().state
    }

    /// Lets time pass until a condition holds; panics if it does not within `limit`.
    pub(crate) fn run_until(&mut self, limit: Duration, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let end = self.now + limit;
        self.settle();
        while !done(self) {
            assert!(self.now < end, "not within {limit:?}: {what}; {:#?}", self.gateways[0].sender.status());
            self.step(end);
        }
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        while self.now < end {
            self.step(end);
        }
    }

    /// Runs until every gateway's lane is at the receiver, and checks that it is.
    pub(crate) fn drain(&mut self, limit: Duration) {
        self.run_until(limit, "everything acknowledged", |pair| {
            let done = |sender: &Sender| !sender.has_unacknowledged() && sender.status().state == LinkState::Delivering;
            pair.gateways.iter().all(|gateway| done(&gateway.sender))
        });
        self.amnesia = false;
        (0..self.gateways.len()).for_each(|gateway| self.check_delivered(gateway));
    }

    /// Marks and digests are equal at both ends, and nothing is held twice.
    pub(crate) fn check_delivered(&self, gateway: usize) {
        let (journal, lane) = (&self.gateways[gateway].journal, self.lane(gateway));
        assert_eq!(journal.cursor, self.store.mark(&lane), "mark and digest are one at both ends");
        assert_eq!(journal.cursor.sequence, journal.last_durable());
    }

    /// The store holds exactly the journal's elements, in order, each once.
    pub(crate) fn check_rows(&self, gateway: usize) {
        let journal = &self.gateways[gateway].journal;
        let rows = self.store.rows(&self.lane(gateway));
        let mut next = 1;
        for row in rows {
            let (last, bytes) = journal.element(next);
            assert_eq!((row.sequence.0, &row.bytes), (last, &bytes), "element {next}");
            next = last + 1;
        }
        assert_eq!(next, journal.last_durable().0 + 1, "the store holds all of it");
    }

    /// Every element of the journal is in the store once, in whatever order amnesia
    /// brought it. A range that was deleted here may have arrived as records before.
    pub(crate) fn check_nothing_is_missing(&self, gateway: usize) {
        let journal = &self.gateways[gateway].journal;
        let mut copies: BTreeMap<&[u8], usize> = BTreeMap::new();
        for row in self.store.rows(&self.lane(gateway)) {
            *copies.entry(&row.bytes).or_default() += 1;
        }
        assert!(copies.values().all(|count| *count == 1), "nothing is stored twice");
        let mut next = 1;
        while next <= journal.last_durable().0 {
            let (last, bytes) = journal.element(next);
            let mut records = (next..=last).map(|sequence| journal.record(sequence));
            let arrived = copies.contains_key(&bytes[..]) || records.all(|record| copies.contains_key(&record[..]));
            assert!(arrived, "{next} to {last} are missing");
            next = last + 1;
        }
    }

    /// One leap of the clock to whatever happens next, at most to `end`.
    fn step(&mut self, end: Duration) {
        let timers = self.gateways.iter().filter_map(|gateway| gateway.sender.poll_timeout());
        let receivers = self.receivers.iter().filter_map(Receiver::poll_timeout);
        let packets = self.connections.values().flat_map(|connection| {
            let moving = !self.silent[connection.endpoint];
            connection
                .up
                .front()
                .into_iter()
                .chain(connection.down.front())
                .map(|packet| packet.0)
                .filter(move |_| moving)
        });
        // A store that cannot work is asked again every 100 ms.
        let retry = self.receivers.iter().any(Receiver::has_pending).then_some(self.now + 100 * MILLISECOND);
        let next = timers.chain(receivers).chain(packets).chain(retry).min().unwrap_or(end);
        // A deadline that has passed and still stands would stop the clock.
        self.stuck = if next <= self.now { self.stuck + 1 } else { 0 };
        assert!(self.stuck < 1000, "a deadline stands: {:#?}", self.gateways[0].sender);
        self.now = next.clamp(self.now, end).max(self.now + Duration::from_micros(1));
        for gateway in &mut self.gateways {
            gateway.sender.handle_timeout(self.now);
        }
        for receiver in &mut self.receivers {
            receiver.handle_timeout(self.now);
        }
        self.settle();
    }

    /// Does all that can be done at this moment.
    fn settle(&mut self) {
        loop {
            let mut moved = self.deliver();
            for gateway in 0..self.gateways.len() {
                moved |= self.drive_sender(gateway);
            }
            moved |= self.drive_receivers();
            if !moved {
                break;
            }
        }
        self.check_cursors();
    }

    /// The cursor never says more than the store holds, unless the store forgot.
    fn check_cursors(&self) {
        for (index, gateway) in self.gateways.iter().enumerate() {
            let held = self.store.mark(&self.lane(index));
            let cursor = gateway.journal.cursor;
            assert!(self.amnesia || cursor.sequence <= held.sequence, "{cursor:?} is beyond {held:?}");
        }
    }
}

fn start(journal: &Journal, tuning: Tuning, endpoints: usize, now: Duration, seed: u64) -> Sender {
    let config = SenderConfig {
        gateway_id: journal.gateway_id.clone(),
        journal_epoch: journal.epoch,
        lane: journal.lane,
        predecessors: journal.predecessors.clone(),
        software_version: "0.1.0".into(),
        receiver_id: journal.receiver_id.clone(),
        endpoints: NonZeroUsize::new(endpoints).expect("at least one endpoint"),
        seed,
        tuning,
    };
    Sender::new(config, journal.cursor, journal.last_durable(), now)
}
