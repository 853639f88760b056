//! What is at the end of a cable: listens at a serial port, an address or a broker that
//! nobody knows yet, and says which device it is and how it is configured.
//!
//! ```text
//!  serial: a setting after the other ─┐
//!  tcp:    one connection ────────────┼─► Heard ─► score ─► Finding ─► block ─► [[source]]
//!  mqtt:   CONNECT, SUBSCRIBE at QoS 0 ──────────► BrokerReport ─────► block ─► [mqtt]
//! ```
//!
//! # What it never does
//!
//! It sends nothing to a device unless asked to: a command may alter a race. It takes no
//! port and no connection from a running gateway. At a broker it has a session of its own
//! that ends with it, acknowledges nothing, and joins no shared subscription.

mod block;
mod holder;
mod listen;
mod mqtt;
mod score;
mod serial;
mod settings;
mod tcp;
#[cfg(test)]
mod uart;

use std::{path::PathBuf, str::FromStr, time::Duration};

use crate::config;

pub use block::{broker_block, source_block};
pub use config::Broker;
pub use mqtt::{BrokerAccess, BrokerReport, TopicSample, probe as probe_broker};
pub use score::{Confidence, Finding, Heard, Score, judge};
pub use serial::probe as probe_port;
pub use settings::written;
pub use tcp::probe as probe_address;

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A serial port.
    Port(PathBuf),
    /// `HOST:PORT`.
    Address(String),
    /// A broker.
    Broker(Broker),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return text.parse().map(Self::Broker);
        }
        if text.contains('/') {
            return Ok(Self::Port(text.into()));
        }
        config::host_port(text).map(Self::Address).map_err(|error| {
            format!("{error}; or name a serial port, for example /dev/ttyUSB0 (`venue-gateway ports` lists them)")
        })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Port(port) => port.display().fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Broker(broker) => broker.fmt(f),
        }
    }
}

impl Target {
    /// The broker at an address whose port is MQTT's by IANA's list: nothing else is to be
    /// expected there, so that a CONNECT disturbs nobody.
    pub fn usual_broker(&self) -> Option<Broker> {
        let Self::Address(address) = self else { return None };
        let (_, port) = address.rsplit_once(':')?;
        let scheme = match port {
            "1883" => "mqtt",
            "8883" => "mqtts",
            _ => return None,
        };
        format!("{scheme}://{address}").parse().ok()
    }
}

/// How it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Listen so long at each setting; twice as long where something comes.
    pub listen: Duration,
    /// Where listening told nothing, send what makers have a host ask.
    pub ask: bool,
}

/// What is being done, for whoever waits.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// For example `listens at 9600 8N1`.
    pub doing: &'a str,
    /// Received meanwhile: bytes, or messages of a broker.
    pub received: usize,
    /// Damaged bytes meanwhile.
    pub damaged: u64,
    /// Time left of this step.
    pub left: Duration,
}

/// Told of progress, several times a second.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress<'_>);

#[cfg(test)]
mod tests {
    use super::*;

    /// Ports, addresses and brokers are told apart; what is none of them says what to write.
    #[test]
    fn targets_are_told_apart() {
        let target = |text: &str| text.parse::<Target>();
        assert_eq!(target("/dev/ttyUSB0"), Ok(Target::Port("/dev/ttyUSB0".into())));
        assert_eq!(target("./pty"), Ok(Target::Port("./pty".into())));
        assert_eq!(target("10.20.0.21:5403"), Ok(Target::Address("10.20.0.21:5403".to_owned())));
        assert!(matches!(target("mqtts://broker.venue"), Ok(Target::Broker(broker)) if broker.port() == 8883));
        for wrong in ["ttyUSB0", "10.20.0.21", "host:0", "http://host:80"] {
            let error = target(wrong).expect_err(wrong);
            assert!(error.contains(wrong) && error.contains("write "), "{error}");
        }
    }

    /// A CONNECT goes unasked to MQTT's own ports alone.
    #[test]
    fn only_mqtts_own_ports_are_taken_for_a_broker() {
        let broker = |text: &str| text.parse::<Target>().expect(text).usual_broker().map(|it| it.to_string());
        assert_eq!(broker("broker.venue:1883").as_deref(), Some("mqtt://broker.venue:1883"));
        assert_eq!(broker("[fd00::1]:8883").as_deref(), Some("mqtts://[fd00::1]:8883"));
        assert_eq!(broker("10.20.0.21:5403"), None);
        assert_eq!(broker("/dev/ttyUSB0"), None);
    }
}
