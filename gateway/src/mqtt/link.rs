//! A connection to a broker, by MQTT 5 or 3.1.1, seen alike. The library's traps are kept in here.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use rumqttc::{
    AsyncClient, EventLoop, MqttOptions, Outgoing, QoS, SubscribeFilter, SubscribeReasonCode, TlsConfiguration,
    Transport, v5,
};

use crate::causes::causes;

/// The most messages at QoS 1 that the broker may have on their way, told to it by MQTT 5. By MQTT 3.1.1 the broker has
/// a bound of its own.
pub const RECEIVE_MAXIMUM: u16 = 1_024;
/// Acknowledgements and subscriptions handed to the library and not yet sent. Beyond it acknowledgements wait here.
const QUEUED_REQUESTS: usize = 4 * RECEIVE_MAXIMUM as usize;
/// Largest packet that is taken. By MQTT 5 the broker is told and drops what is larger, and says so in its log.
pub const LARGEST_PACKET_BYTES: u32 = 512 * 1024;
/// By MQTT 3.1.1 the broker cannot be told: what is larger than this would come again for ever.
const LARGEST_PACKET_BYTES_3_1_1: usize = 64 * 1024 * 1024;
/// The shortest keep-alive: below it the library panics.
pub const KEEP_ALIVE_SHORTEST: Duration = Duration::from_secs(5);
/// The longest keep-alive.
pub const KEEP_ALIVE_LONGEST: Duration = Duration::from_secs(600);
/// A broker that does not answer for so long is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a connection is made with.
#[derive(Debug, Clone)]
pub struct LinkOptions {
    /// Unique at the broker: its session is kept under this name.
    pub client_id: String,
    /// The broker's host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User name and password.
    pub credentials: Option<(String, String)>,
    /// TLS.
    pub tls: Option<std::sync::Arc<rustls::ClientConfig>>,
    /// How often a quiet connection is tried.
    pub keep_alive: Duration,
    /// How long the broker keeps the session and its messages without us (MQTT 5).
    pub session_expiry: Duration,
}

/// Versions of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// MQTT 5.
    V5,
    /// MQTT 3.1.1.
    V3_1_1,
}

impl Version {
    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V5 => "MQTT 5",
            Self::V3_1_1 => "MQTT 3.1.1",
        }
    }
}

/// What the broker said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A connection stands.
    Connected {
        /// The broker kept the session of the one before.
        session_present: bool,
    },
    /// Subscriptions are answered; filters that the broker refuses, by their number in the order of the request.
    Subscribed {
        /// Numbers of refused filters, from 0.
        refused: Vec<usize>,
    },
    /// A message came.
    Message(Message),
    /// The broker answered a ping: it has read what was sent before it.
    Answered {
        /// Acknowledgements among that, since the connection stands.
        acknowledgements: u64,
    },
    /// Nothing that concerns us.
    Other,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// 0 at QoS 0, which is not acknowledged.
    pub packet_id: u16,
    /// The broker had kept it as the topic's last one.
    pub retained: bool,
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Bytes,
}

/// Why a connection ended or was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The broker does not speak this version.
    #[error("the broker does not speak {}", .0.name())]
    Version(Version),
    /// The broker refused the connection.
    #[error("the broker refused the connection ({0}): {1}")]
    Refused(String, &'static str),
    /// A file that it needs cannot be read, or is of no use.
    #[error("no connection to the broker: {0}")]
    File(String),
    /// Anything else.
    #[error("{0}")]
    Broken(String),
}

/// The receiving side of one connection. To be polled by one task alone, which waits for nothing else for long.
pub struct Link {
    events: Events,
    /// What was read before the connection ended and not given yet: the library would make another connection first.
    left: VecDeque<Heard>,
    ended: Option<LinkError>,
    /// The broker accepted the connection.
    stands: bool,
    sent: Sent,
    keep_alive: Duration,
}

/// Acknowledgements that were sent since the connection stands.
#[derive(Default)]
struct Sent {
    acknowledgements: u64,
    /// Of them, before the last ping.
    before_ping: u64,
}

enum Events {
    V5(Box<v5::EventLoop>),
    V3_1_1(Box<EventLoop>),
}

/// The sending side.
#[derive(Clone)]
pub enum Replies {
    /// MQTT 5.
    V5(v5::AsyncClient),
    /// MQTT 3.1.1.
    V3_1_1(AsyncClient),
}

impl Link {
    /// A link that connects when it is first polled.
    pub fn new(version: Version, options: &LinkOptions) -> (Self, Replies) {
        match version {
            Version::V5 => {
                let (client, events) = v5::AsyncClient::new(options_5(options), QUEUED_REQUESTS);
                (Self::of(Events::V5(Box::new(events)), options), Replies::V5(client))
            }
            Version::V3_1_1 => {
                let (client, mut events) = AsyncClient::new(options_3_1_1(options), QUEUED_REQUESTS);
                events.network_options.set_connection_timeout(CONNECT_TIMEOUT.as_secs());
                events.network_options.set_tcp_nodelay(true);
                (Self::of(Events::V3_1_1(Box::new(events)), options), Replies::V3_1_1(client))
            }
        }
    }

    /// Waits for what the broker says next. An error is the last: the connection is gone, with all acknowledgements that
    /// were handed over and not sent. The library would make another under the old options, and send on it what was
    /// handed over since.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn poll(&mut self) -> Result<Heard, LinkError> {
        if let Some(heard) = self.left.pop_front() {
            return Ok(heard);
        }
        if let Some(error) = self.ended.take() {
            return Err(error);
        }
        let error = match &mut self.events {
            Events::V5(events) => match events.poll().await {
                Ok(event) => {
                    // A broker that asks for none has the library ping without a pause.
                    if events.options.keep_alive().is_zero() {
                        events.options.set_keep_alive(self.keep_alive);
                    }
                    let heard = heard_5(event, &mut self.sent);
                    return Ok(self.note(heard));
                }
                Err(error) => {
                    self.left.extend(events.state.events.drain(..).map(|event| heard_5(event, &mut self.sent)));
                    broken_5(&error, self.stands)
                }
            },
            Events::V3_1_1(events) => match events.poll().await {
                Ok(event) => {
                    let heard = heard_3_1_1(event, &mut self.sent);
                    return Ok(self.note(heard));
                }
                Err(error) => {
                    self.left.extend(events.state.events.drain(..).map(|event| heard_3_1_1(event, &mut self.sent)));
                    broken_3_1_1(&error)
                }
            },
        };
        self.stands = false;
        match self.left.pop_front() {
            Some(heard) => {
                self.ended = Some(error);
                Ok(heard)
            }
            None => Err(error),
        }
    }

    /// Whether more was read that [`poll`](Self::poll) gives without waiting.
    pub fn has_more(&self) -> bool {
        !self.left.is_empty()
            || match &self.events {
                Events::V5(events) => !events.state.events.is_empty(),
                Events::V3_1_1(events) => !events.state.events.is_empty(),
            }
    }

    /// The version that it speaks.
    pub fn version(&self) -> Version {
        match &self.events {
            Events::V5(_) => Version::V5,
            Events::V3_1_1(_) => Version::V3_1_1,
        }
    }

    fn note(&mut self, heard: Heard) -> Heard {
        self.stands |= matches!(heard, Heard::Connected { .. });
        heard
    }

    fn of(events: Events, options: &LinkOptions) -> Self {
        Self {
            events,
            left: VecDeque::new(),
            ended: None,
            stands: false,
            sent: Sent::default(),
            keep_alive: options.keep_alive,
        }
    }
}

impl Replies {
    /// Acknowledges a message; false if there is no room for it now.
    pub fn acknowledge(&self, packet_id: u16) -> bool {
        match self {
            Self::V5(client) => {
                let publish = v5::mqttbytes::v5::Publish {
                    pkid: packet_id,
                    qos: v5::mqttbytes::QoS::AtLeastOnce,
                    ..Default::default()
                };
                client.try_ack(&publish).is_ok()
            }
            Self::V3_1_1(client) => {
                let mut publish = rumqttc::Publish::new("", QoS::AtLeastOnce, Vec::new());
                publish.pkid = packet_id;
                client.try_ack(&publish).is_ok()
            }
        }
    }

    /// Subscribes at QoS 1; a broker resumes what it has and takes what is new. False if there is no room for it now.
    pub fn subscribe(&self, filters: &[String]) -> bool {
        match self {
            Self::V5(client) => {
                let filter = |path: &String| v5::mqttbytes::v5::Filter {
                    // A value that was retained is not told anew at each connection.
                    retain_forward_rule: v5::mqttbytes::v5::RetainForwardRule::OnNewSubscribe,
                    ..v5::mqttbytes::v5::Filter::new(path, v5::mqttbytes::QoS::AtLeastOnce)
                };
                client.try_subscribe_many(filters.iter().map(filter)).is_ok()
            }
            Self::V3_1_1(client) => {
                let filter = |path: &String| SubscribeFilter::new(path.clone(), QoS::AtLeastOnce);
                client.try_subscribe_many(filters.iter().map(filter)).is_ok()
            }
        }
    }

    /// Asks for the connection's end; the session stays at the broker. False if there is no room for it now.
    pub fn disconnect(&self) -> bool {
        match self {
            Self::V5(client) => client.try_disconnect().is_ok(),
            Self::V3_1_1(client) => client.try_disconnect().is_ok(),
        }
    }
}

fn options_5(options: &LinkOptions) -> v5::MqttOptions {
    let mut of_library = v5::MqttOptions::new(&options.client_id, &options.host, options.port);
    of_library
        .set_keep_alive(options.keep_alive)
        .set_clean_start(false)
        .set_manual_acks(true)
        .set_connection_timeout(CONNECT_TIMEOUT.as_secs())
        .set_session_expiry_interval(Some(u32::try_from(options.session_expiry.as_secs()).unwrap_or(u32::MAX)))
        .set_receive_maximum(Some(RECEIVE_MAXIMUM))
        .set_max_packet_size(Some(LARGEST_PACKET_BYTES));
    if let Some((name, password)) = &options.credentials {
        of_library.set_credentials(name, password);
    }
    if let Some(tls) = &options.tls {
        of_library.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(std::sync::Arc::clone(tls))));
    }
    let mut network = of_library.network_options();
    network.set_tcp_nodelay(true);
    of_library.set_network_options(network);
    of_library
}

fn options_3_1_1(options: &LinkOptions) -> MqttOptions {
    let mut of_library = MqttOptions::new(&options.client_id, &options.host, options.port);
    of_library
        .set_keep_alive(options.keep_alive)
        .set_clean_session(false)
        .set_manual_acks(true)
        .set_max_packet_size(LARGEST_PACKET_BYTES_3_1_1, LARGEST_PACKET_BYTES_3_1_1);
    if let Some((name, password)) = &options.credentials {
        of_library.set_credentials(name, password);
    }
    if let Some(tls) = &options.tls {
        of_library.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(std::sync::Arc::clone(tls))));
    }
    of_library
}

impl Sent {
    fn note(&mut self, outgoing: &Outgoing) {
        match outgoing {
            Outgoing::PubAck(_) => self.acknowledgements += 1,
            Outgoing::PingReq => self.before_ping = self.acknowledgements,
            _ => {}
        }
    }
}

fn heard_5(event: v5::Event, sent: &mut Sent) -> Heard {
    use v5::mqttbytes::v5::{Packet, SubscribeReasonCode};
    match event {
        v5::Event::Outgoing(outgoing) => {
            sent.note(&outgoing);
            Heard::Other
        }
        v5::Event::Incoming(Packet::PingResp(_)) => Heard::Answered { acknowledgements: sent.before_ping },
        v5::Event::Incoming(Packet::ConnAck(answer)) => Heard::Connected { session_present: answer.session_present },
        v5::Event::Incoming(Packet::SubAck(answer)) => Heard::Subscribed {
            refused: refused(&answer.return_codes, |code| matches!(code, SubscribeReasonCode::Success(_))),
        },
        v5::Event::Incoming(Packet::Publish(publish)) => Heard::Message(Message {
            packet_id: publish.pkid,
            retained: publish.retain,
            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
            payload: publish.payload,
        }),
        _ => Heard::Other,
    }
}

fn heard_3_1_1(event: rumqttc::Event, sent: &mut Sent) -> Heard {
    use rumqttc::Packet;
    match event {
        rumqttc::Event::Outgoing(outgoing) => {
            sent.note(&outgoing);
            Heard::Other
        }
        rumqttc::Event::Incoming(Packet::PingResp) => Heard::Answered { acknowledgements: sent.before_ping },
        rumqttc::Event::Incoming(Packet::ConnAck(answer)) => {
            Heard::Connected { session_present: answer.session_present }
        }
        rumqttc::Event::Incoming(Packet::SubAck(answer)) => Heard::Subscribed {
            refused: refused(&answer.return_codes, |code| matches!(code, SubscribeReasonCode::Success(_))),
        },
        rumqttc::Event::Incoming(Packet::Publish(publish)) => Heard::Message(Message {
            packet_id: publish.pkid,
            retained: publish.retain,
            topic: publish.topic,
            payload: publish.payload,
        }),
        _ => Heard::Other,
    }
}

fn refused<C>(codes: &[C], is_granted: impl Fn(&C) -> bool) -> Vec<usize> {
    codes.iter().enumerate().filter(|(_, code)| !is_granted(code)).map(|(number, _)| number).collect()
}

/// What a failure of the library's means. `stood`: the broker had accepted the connection.
pub(crate) fn broken_5(error: &v5::ConnectionError, stood: bool) -> LinkError {
    use v5::{
        ConnectionError, StateError,
        mqttbytes::{self, v5::ConnectReturnCode},
    };
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::UnsupportedProtocolVersion | ConnectReturnCode::RefusedProtocolVersion,
        ) => LinkError::Version(Version::V5),
        ConnectionError::ConnectionRefused(code) => LinkError::Refused(format!("{code:?}"), cure(&format!("{code:?}"))),
        // A broker of the old version answers in its own words, which are too short, and hangs up.
        ConnectionError::MqttState(StateError::Deserialization(mqttbytes::Error::Io(_))) => {
            LinkError::Broken(causes(error))
        }
        ConnectionError::MqttState(StateError::ConnectionAborted | StateError::Deserialization(_))
        | ConnectionError::NotConnAck(_)
            if !stood =>
        {
            LinkError::Version(Version::V5)
        }
        other => LinkError::Broken(causes(other)),
    }
}

/// The same by MQTT 3.1.1.
pub(crate) fn broken_3_1_1(error: &rumqttc::ConnectionError) -> LinkError {
    use rumqttc::{ConnectReturnCode, ConnectionError};
    match error {
        ConnectionError::ConnectionRefused(ConnectReturnCode::RefusedProtocolVersion) => {
            LinkError::Version(Version::V3_1_1)
        }
        ConnectionError::ConnectionRefused(code) => LinkError::Refused(format!("{code:?}"), cure(&format!("{code:?}"))),
        other => LinkError::Broken(causes(other)),
    }
}

/// What to do about a refusal, by its name.
fn cure(code: &str) -> &'static str {
    match code {
        "BadUserNamePassword" | "NotAuthorized" => "check `username`, `password_file` and what the broker allows them",
        "ClientIdentifierNotValid" | "BadClientId" => "check `client_id`, and that no other client has it",
        "ServerUnavailable" | "ServiceUnavailable" | "ServerBusy" => "it is tried again",
        "Banned" => "the broker bans this client",
        _ => "the broker's log says why",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shortest and the longest keep-alive that the configuration takes are taken by the library, which panics at others.
    #[test]
    fn the_librarys_bounds_of_a_keep_alive_are_kept() {
        for keep_alive in [KEEP_ALIVE_SHORTEST, KEEP_ALIVE_LONGEST] {
            let options = LinkOptions {
                client_id: "stade-1-a-results".to_owned(),
                host: "127.0.0.1".to_owned(),
                port: 1883,
                credentials: None,
                tls: None,
                keep_alive,
                session_expiry: Duration::from_secs(60),
            };
            assert_eq!(options_5(&options).keep_alive(), keep_alive);
            assert_eq!(options_3_1_1(&options).keep_alive(), keep_alive);
        }
    }
}
