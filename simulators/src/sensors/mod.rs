//! A fleet of MQTT sensors: wind, air, people at gates, batteries.
//!
//! ```text
//!  sensor ─► outbox ─► MQTT 5, QoS 1 ─► broker ─► gateway
//!               ▲                          │
//!  ledger ◄─────┴────── PUBACK ◄───────────┘  what is acknowledged is promised
//! ```
//!
//! Each has a connection of its own and publishes JSON to `PREFIX/NAME/wind` or `PREFIX/NAME/state`, whether or not
//! anybody listens. A payload says `boot` and `seq`, which never come twice, so that a message that comes again is
//! known for the same. While the broker is away a sensor keeps what it measures and publishes it later. What it never
//! does: wait for the gateway, or count on anything that the broker has not acknowledged.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use venue_sim::sensors::{FleetConfig, SensorFleet};
//!
//! let config = FleetConfig { messages: Some(10), ..FleetConfig::new("mqtt://127.0.0.1:1883".parse()?) };
//! let fleet = SensorFleet::start(&config);
//! let report = fleet.until(|report| report.running == 0).await;
//! assert_eq!(report.samples, 120);
//! let promised = fleet.ledger().samples.iter().filter(|it| it.acknowledged_utc_ns.is_some()).count();
//! # Ok(())
//! # }
//! ```

mod kind;
mod ledger;
mod sensor;

pub use kind::Kind;
pub use ledger::{Ledger, MOST_SAMPLES, Sample};

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet};

use crate::clock;
use sensor::Sensor;

/// Where a broker listens, as people write it: `mqtt://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Name or address; an IPv6 one in brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// A text that is no broker's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no broker: write mqtt://HOST:PORT, for example mqtt://127.0.0.1:1883")]
pub struct InvalidBroker(String);

impl std::str::FromStr for BrokerAddress {
    type Err = InvalidBroker;

    fn from_str(text: &str) -> Result<Self, InvalidBroker> {
        let wrong = || InvalidBroker(text.to_owned());
        let (host, port) = text.strip_prefix("mqtt://").and_then(|rest| rest.rsplit_once(':')).ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        let is_bare = !host.contains(['/', '@', ':']) || (host.starts_with('[') && host.ends_with(']'));
        if host.is_empty() || !is_bare {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl std::fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "mqtt://{}:{}", self.host, self.port)
    }
}

/// What a fleet is.
#[derive(Debug, Clone)]
pub struct FleetConfig {
    /// Where it publishes.
    pub broker: BrokerAddress,
    /// How many sensors, of each [`Kind`] in turn.
    pub count: u16,
    /// First levels of every topic.
    pub prefix: String,
    /// 0 or 1. At 0 nothing is promised.
    pub qos: u8,
    /// From sample to sample of one sensor, at least 1 ms.
    pub interval: Duration,
    /// Samples of each sensor; without end if none.
    pub messages: Option<u64>,
    /// Repeats what they measure.
    pub seed: u64,
}

impl FleetConfig {
    /// A dozen sensors that publish once a second under `venue`, at QoS 1, without end.
    pub fn new(broker: BrokerAddress) -> Self {
        Self {
            broker,
            count: 12,
            prefix: "venue".to_owned(),
            qos: 1,
            interval: Duration::from_secs(1),
            messages: None,
            seed: 0,
        }
    }
}

/// State and counters of a fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct FleetReport {
    /// Sensors that have not ended.
    pub running: usize,
    /// Those that have a connection.
    pub connected: usize,
    /// Measured, each a message.
    pub samples: u64,
    /// Those that the broker acknowledged: they are promised.
    pub acknowledged: u64,
    /// Those that it took and nobody was subscribed to, as it said: it kept nothing.
    pub unheard: u64,
    /// Those that it refused.
    pub refused: u64,
    /// Those that wait for its answer, or for a connection.
    pub waiting: u64,
    /// Not measured, for too many waited.
    pub skipped: u64,
    /// What went wrong last, with the sensor's name.
    pub last_error: Option<String>,
}

/// What all sensors share.
struct Shared {
    report: watch::Sender<FleetReport>,
    ledger: Mutex<Ledger>,
    stop: watch::Sender<bool>,
}

/// A running fleet. Dropping it ends it.
pub struct SensorFleet {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl SensorFleet {
    /// Switches the sensors on. They connect until they succeed.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(config: &FleetConfig) -> Self {
        let report = FleetReport { running: config.count.into(), ..FleetReport::default() };
        let shared = Arc::new(Shared {
            report: watch::Sender::new(report),
            ledger: Mutex::default(),
            stop: watch::Sender::new(false),
        });
        // Counts up from start to start, as a boot counter does.
        let boot = clock::utc_ns() / 1_000_000;
        let mut tasks = JoinSet::new();
        for index in 0..config.count {
            let (sensor, events) = Sensor::new(config, index, boot, Arc::clone(&shared));
            tasks.spawn(sensor.run(events));
        }
        Self { shared, _tasks: tasks }
    }

    /// Has every sensor measure nothing more, and end when the broker has taken what it measured.
    pub fn finish(&self) {
        self.shared.stop.send_replace(true);
    }

    /// State and counters.
    pub fn report(&self) -> FleetReport {
        self.shared.report.borrow().clone()
    }

    /// Waits until the report satisfies a condition, and returns it. Cancel safe.
    pub async fn until(&self, mut condition: impl FnMut(&FleetReport) -> bool) -> FleetReport {
        let mut reports = self.shared.report.subscribe();
        match reports.wait_for(|report| condition(report)).await {
            Ok(report) => report.clone(),
            // The sender is ours.
            Err(_) => self.report(),
        }
    }

    /// What was said and promised up to now.
    pub fn ledger(&self) -> Ledger {
        sensor::ledger(&self.shared)
    }
}

#[cfg(test)]
mod tests;
