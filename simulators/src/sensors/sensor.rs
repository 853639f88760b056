//! One sensor and its connection to the broker.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rumqttc::Outgoing;
use rumqttc::v5::{
    AsyncClient, Event, EventLoop, MqttOptions,
    mqttbytes::{
        QoS,
        v5::{Packet, PubAck, PubAckReason},
    },
};
use tokio::{sync::Notify, time::sleep};

use super::{FleetConfig, Kind, Ledger, Sample, Shared, kind::Measurand};
use crate::clock;

/// Messages that a sensor keeps while the broker does not take them. One without room measures nothing.
const MOST_WAITING: usize = 1_000;
/// Between two attempts to connect.
const RETRY: Duration = Duration::from_millis(250);
/// One message is on its way, and there may be a goodbye behind it.
const QUEUED_REQUESTS: usize = 2;

/// A sensor. It has one message on its way at a time, as small sensors do, and publishes it again after a reconnect
/// until the broker has acknowledged it.
pub(super) struct Sensor {
    name: String,
    topic: String,
    measurand: Measurand,
    boot: i64,
    qos: QoS,
    interval: Duration,
    /// Before the first sample.
    delay: Duration,
    /// Most samples; none without end.
    messages: Option<u64>,
    client: AsyncClient,
    outbox: Mutex<Outbox>,
    emptied: Notify,
    shared: Arc<Shared>,
}

/// What was not taken yet; the first is on its way while connected.
#[derive(Default)]
struct Outbox {
    connected: bool,
    /// With their places in the ledger.
    waiting: VecDeque<(Option<usize>, Sample)>,
}

impl Sensor {
    /// The sensor with this number in its fleet, and the event loop to run it with.
    pub(super) fn new(config: &FleetConfig, index: u16, boot: i64, shared: Arc<Shared>) -> (Self, EventLoop) {
        let kind = Kind::ALL[usize::from(index) % Kind::ALL.len()];
        let name = format!("{}-{}", kind.name(), index + 1);
        let id = format!("venue-sim-{boot}-{name}");
        let mut options = MqttOptions::new(id, &config.broker.host, config.broker.port);
        options.set_clean_start(true).set_keep_alive(Duration::from_secs(10)).set_outgoing_inflight_upper_limit(1);
        let mut network = options.network_options();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        let (client, events) = AsyncClient::new(options, QUEUED_REQUESTS);
        let sensor = Self {
            topic: format!("{}/{name}/{}", config.prefix, kind.topic()),
            measurand: Measurand::new(kind, config.seed.wrapping_add(u64::from(index))),
            name,
            boot,
            qos: if config.qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce },
            interval: config.interval.max(Duration::from_millis(1)),
            delay: config.interval * u32::from(index) / u32::from(config.count.max(1)),
            messages: config.messages,
            client,
            outbox: Mutex::default(),
            emptied: Notify::new(),
            shared,
        };
        (sensor, events)
    }

    /// Measures until it is stopped or has said all, and ends when the broker has taken it.
    pub(super) async fn run(mut self, events: EventLoop) {
        let measurand = std::mem::replace(&mut self.measurand, Measurand::new(Kind::Wind, 0));
        tokio::select! {
            () = self.measure(measurand) => {}
            () = self.converse(events) => {}
        }
        let connected = std::mem::take(&mut lock(&self.outbox).connected);
        self.shared.report.send_modify(|report| {
            report.connected -= usize::from(connected);
            report.running -= 1;
        });
    }

    async fn measure(&self, mut measurand: Measurand) {
        let mut stop = self.shared.stop.subscribe();
        let clock = clock::Clock::start();
        let mut due = self.delay;
        let mut sequence = 0;
        while self.messages.is_none_or(|most| sequence < most) {
            tokio::select! {
                () = tokio::time::sleep_until(clock.deadline(due)) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            due += self.interval;
            if lock(&self.outbox).waiting.len() == MOST_WAITING {
                self.shared.report.send_modify(|report| report.skipped += 1);
                continue;
            }
            sequence += 1;
            self.say(sequence, measurand.measure());
        }
        while !lock(&self.outbox).waiting.is_empty() {
            self.emptied.notified().await;
        }
    }

    fn say(&self, sequence: u64, mut values: serde_json::Value) {
        let measured_utc_ns = clock::utc_ns();
        values["boot"] = self.boot.into();
        values["seq"] = sequence.into();
        values["at"] = (measured_utc_ns / 1_000_000).into();
        let sample = Sample {
            sensor: self.name.clone(),
            topic: self.topic.clone(),
            key: format!("{}|{sequence}", self.boot),
            payload: values.to_string(),
            measured_utc_ns,
            acknowledged_utc_ns: None,
        };
        let place = lock(&self.shared.ledger).measured(&sample);
        self.shared.report.send_modify(|report| {
            report.samples += 1;
            report.waiting += 1;
        });
        let mut outbox = lock(&self.outbox);
        outbox.waiting.push_back((place, sample));
        if outbox.waiting.len() == 1 {
            self.publish_first(&outbox);
        }
    }

    fn publish_first(&self, outbox: &Outbox) {
        if let (true, Some((_, sample))) = (outbox.connected, outbox.waiting.front()) {
            // There is room: nothing else is on its way.
            let _ = self.client.try_publish(&sample.topic, self.qos, false, sample.payload.clone().into_bytes());
        }
    }

    async fn converse(&self, mut events: EventLoop) {
        loop {
            match events.poll().await {
                Ok(event) => self.heard(&event),
                Err(error) => {
                    let was_connected = std::mem::take(&mut lock(&self.outbox).connected);
                    // What was read before the end counts. Left in the library it would come after the next connection
                    // stands, as if it answered what is published there.
                    events.state.events.drain(..).for_each(|event| self.heard(&event));
                    self.shared.report.send_modify(|report| {
                        report.connected -= usize::from(was_connected);
                        report.last_error = Some(format!("{}: {error}", self.name));
                    });
                    sleep(RETRY).await;
                }
            }
        }
    }

    fn heard(&self, event: &Event) {
        match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                let mut outbox = lock(&self.outbox);
                outbox.connected = true;
                self.shared.report.send_modify(|report| report.connected += 1);
                self.publish_first(&outbox);
            }
            Event::Incoming(Packet::PubAck(answer)) => self.answered(answer),
            Event::Outgoing(Outgoing::Publish(_)) if self.qos == QoS::AtMostOnce => drop(self.taken()),
            _ => {}
        }
    }

    fn answered(&self, answer: &PubAck) {
        let Some((place, sample)) = self.taken() else { return };
        match answer.reason {
            PubAckReason::Success => {
                lock(&self.shared.ledger).acknowledged(place, clock::utc_ns());
                self.shared.report.send_modify(|report| report.acknowledged += 1);
            }
            PubAckReason::NoMatchingSubscribers => {
                self.shared.report.send_modify(|report| report.unheard += 1);
            }
            reason => self.shared.report.send_modify(|report| {
                report.refused += 1;
                report.last_error = Some(format!("{}: the broker refuses {}: {reason:?}", self.name, sample.topic));
            }),
        }
    }

    /// What was on its way is done with; the next one leaves.
    fn taken(&self) -> Option<(Option<usize>, Sample)> {
        let mut outbox = lock(&self.outbox);
        let first = outbox.waiting.pop_front()?;
        self.shared.report.send_modify(|report| report.waiting -= 1);
        self.publish_first(&outbox);
        self.emptied.notify_one();
        Some(first)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A copy of the ledger.
pub(super) fn ledger(shared: &Shared) -> Ledger {
    lock(&shared.ledger).clone()
}

#[cfg(test)]
mod tests {
    use rumqttc::v5::mqttbytes::v5::{ConnAck, ConnectReturnCode};
    use tokio::sync::watch;

    use super::*;

    fn connected() -> Event {
        let answer = ConnAck { session_present: false, code: ConnectReturnCode::Success, properties: None };
        Event::Incoming(Packet::ConnAck(answer))
    }

    fn answer(reason: PubAckReason) -> Event {
        Event::Incoming(Packet::PubAck(PubAck { pkid: 1, reason, properties: None }))
    }

    /// A broker that says that nobody is subscribed, and one that refuses: neither has promised anything, and the
    /// sensor goes on with the next sample.
    #[test]
    fn only_success_is_a_promise() {
        let config = FleetConfig::new("mqtt://127.0.0.1:1883".parse().expect("an address"));
        let (report, stop) = (watch::Sender::default(), watch::Sender::new(false));
        let shared = Arc::new(Shared { report, ledger: Mutex::default(), stop });
        let (sensor, _events) = Sensor::new(&config, 0, 5, Arc::clone(&shared));
        for sequence in 1..=3 {
            sensor.say(sequence, serde_json::json!({ "speed": 1.5 }));
        }
        sensor.heard(&connected());
        for reason in [PubAckReason::NoMatchingSubscribers, PubAckReason::NotAuthorized, PubAckReason::Success] {
            sensor.heard(&answer(reason));
        }
        let report = shared.report.borrow().clone();
        assert_eq!((report.unheard, report.refused, report.acknowledged, report.waiting), (1, 1, 1, 0));
        let error = report.last_error.expect("the refusal");
        assert_eq!(error, "wind-1: the broker refuses venue/wind-1/wind: NotAuthorized");
        let promised: Vec<_> =
            ledger(&shared).samples.into_iter().filter(|it| it.acknowledged_utc_ns.is_some()).collect();
        assert_eq!(promised.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), ["5|3"]);
    }
}
