//! A broker: which MQTT it speaks, what it allows, and which topics there are.
//!
//! The session is new, ends with the connection, and has a client id that nobody else has;
//! subscriptions are at QoS 0. So nothing of the venue's own sessions changes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::{AsyncClient, EventLoop, MqttOptions, QoS, SubscribeReasonCode, TlsConfiguration, Transport, v5};
use rustix::rand::{GetRandomFlags, getrandom};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{interval, timeout};

use super::{Broker, OnProgress, Progress};
use crate::mqtt::link::{LinkError, Version, broken_3_1_1, broken_5};
use crate::uplink;

/// The most topics that are remembered; a busy venue has more, and nobody reads them all.
const TOPICS_MAX: usize = 200;
/// So much of a message is kept.
const SAMPLE_BYTES_MAX: usize = 4096;
/// The broker is told not to send more, or the connection ends.
const LARGEST_PACKET_BYTES: u32 = 256 * 1024;
/// So long is waited for the broker's answer to the farewell.
const FAREWELL: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(200);
/// Requests handed to the library and not yet sent: one subscription, one farewell.
const QUEUED_REQUESTS: usize = 4;

/// What it is entered with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BrokerAccess {
    /// User name.
    pub username: Option<String>,
    /// File that holds the password, and perhaps a line end.
    pub password_file: Option<PathBuf>,
    /// Certificates that the broker's is verified with.
    pub ca: Option<PathBuf>,
}

/// A broker, as far as it told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerReport {
    /// Where it is.
    pub broker: Broker,
    /// The newest version that it speaks.
    pub version: Version,
    /// Why it does not let us in, and how to mend it.
    pub refusal: Option<String>,
    /// It does not let us in without user name and password, or with these.
    pub wants_credentials: bool,
    /// Messages at QoS 1 and 2 that it takes without having acknowledged them (MQTT 5).
    pub receive_maximum: Option<u16>,
    /// The largest packet that it takes, bytes; none if it has no bound, or says none.
    pub largest_packet_bytes: Option<u32>,
    /// The highest QoS that it grants (MQTT 5).
    pub maximum_qos: Option<u8>,
    /// How long it keeps this session, seconds, if not as long as was asked for: 0.
    pub session_expiry_s: Option<u32>,
    /// The subscription, and whether it is granted; none if it did not come to that.
    pub subscription: Option<(String, bool)>,
    /// Messages that came.
    pub messages: u64,
    /// A message of each topic, by topic; at most 200.
    pub topics: BTreeMap<String, TopicSample>,
}

/// The first message of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSample {
    /// Its payload, at most the first 4 KiB.
    pub payload: Bytes,
    /// The broker had kept it.
    pub retained: bool,
}

impl TopicSample {
    fn new(payload: &[u8], retained: bool) -> Self {
        Self { payload: Bytes::copy_from_slice(&payload[..payload.len().min(SAMPLE_BYTES_MAX)]), retained }
    }
}

/// What a connection says, by either version.
enum Heard {
    Accepted(Option<v5::mqttbytes::v5::ConnAckProperties>),
    Subscribed(bool),
    Message(String, TopicSample),
    Other,
}

/// A connection by either version.
enum Connection {
    V5(v5::AsyncClient, Box<v5::EventLoop>),
    V3_1_1(AsyncClient, Box<EventLoop>),
}

/// Connects by MQTT 5, then by 3.1.1 where the broker does not know it, and listens to
/// `filter` for `listen`. What the broker told is in `report` however this ends.
///
/// # Errors
/// Why there is no broker, or none that can be spoken to.
pub async fn probe(
    broker: &Broker,
    access: &BrokerAccess,
    filter: &str,
    listen: Duration,
    report: &mut Option<BrokerReport>,
    on_progress: OnProgress<'_>,
) -> Result<(), String> {
    let options = Options::new(broker, access)?;
    for version in [Version::V5, Version::V3_1_1] {
        let doing = format!("connects by {}", version.name());
        on_progress(Progress { doing: &doing, received: 0, damaged: 0, left: CONNECT_TIMEOUT });
        let mut connection = Connection::new(version, &options);
        match connection.accepted().await {
            Ok(properties) => {
                let told = report.insert(BrokerReport::new(broker, version));
                if let Some(properties) = properties {
                    told.note(&properties);
                }
                let ended = connection.listen(filter, listen, told, on_progress).await;
                connection.leave().await;
                return ended.map_err(|error| format!("the connection to {broker} ended: {error}"));
            }
            Err(LinkError::Version(_)) if version == Version::V5 => {}
            Err(refused @ LinkError::Refused(..)) => {
                let LinkError::Refused(code, _) = &refused else { unreachable!("matched above") };
                let told = report.insert(BrokerReport::new(broker, version));
                told.wants_credentials = code == "NotAuthorized" || code == "BadUserNamePassword";
                told.refusal = Some(refused.to_string());
                return Ok(());
            }
            Err(error) => return Err(no_broker(broker, access, &error)),
        }
    }
    Err(no_broker(broker, access, &LinkError::Version(Version::V3_1_1)))
}

fn no_broker(broker: &Broker, access: &BrokerAccess, error: &LinkError) -> String {
    let why = match error {
        LinkError::Version(_) => "what answers there does not speak MQTT".to_owned(),
        other => other.to_string(),
    };
    let is_of_certificate = why.contains("certificate");
    let help = if is_of_certificate && access.ca.is_none() {
        "it speaks TLS: give the certificates of its authority by `--ca FILE`"
    } else if is_of_certificate {
        "check that `--ca` is the broker's authority, and that the host's name is in its certificate"
    } else if broker.is_tls() {
        "check that it runs and speaks TLS at this port (mqtt:// is without), and its address"
    } else {
        "check that it runs, its address, and whether it wants TLS at this port (mqtts://)"
    };
    format!("no session at {broker}: {why}; {help}")
}

struct Options {
    client_id: String,
    host: String,
    port: u16,
    credentials: Option<(String, String)>,
    tls: Option<Arc<ClientConfig>>,
}

impl Options {
    fn new(broker: &Broker, access: &BrokerAccess) -> Result<Self, String> {
        let password = match &access.password_file {
            None => String::new(),
            Some(file) => std::fs::read_to_string(file)
                .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
                .map_err(|error| format!("failed to read {}: {error}", file.display()))?,
        };
        let tls = match (broker.is_tls(), &access.ca) {
            (false, _) => None,
            (true, Some(ca)) => Some(uplink::tls_config(ca, None, &[]).map_err(|error| error.to_string())?),
            // Nobody is trusted: all that can be learnt is that it speaks TLS.
            (true, None) => {
                let config = ClientConfig::builder().with_root_certificates(RootCertStore::empty());
                Some(Arc::new(config.with_no_client_auth()))
            }
        };
        let mut random = [0; 8];
        getrandom(&mut random, GetRandomFlags::empty()).map_err(|error| error.to_string())?;
        Ok(Self {
            client_id: format!("venue-probe-{:016x}", u64::from_ne_bytes(random)),
            host: broker.host().to_owned(),
            port: broker.port(),
            credentials: access.username.clone().map(|name| (name, password)),
            tls,
        })
    }

    fn transport(&self) -> Option<Transport> {
        self.tls.clone().map(|tls| Transport::tls_with_config(TlsConfiguration::Rustls(tls)))
    }
}

impl BrokerReport {
    fn new(broker: &Broker, version: Version) -> Self {
        let is_5 = version == Version::V5;
        Self {
            broker: broker.clone(),
            version,
            refusal: None,
            wants_credentials: false,
            // What MQTT 5 says of a broker that tells nothing else.
            receive_maximum: is_5.then_some(u16::MAX),
            largest_packet_bytes: None,
            maximum_qos: is_5.then_some(2),
            session_expiry_s: None,
            subscription: None,
            messages: 0,
            topics: BTreeMap::new(),
        }
    }

    fn note(&mut self, told: &v5::mqttbytes::v5::ConnAckProperties) {
        self.receive_maximum = told.receive_max.or(self.receive_maximum);
        self.maximum_qos = told.max_qos.or(self.maximum_qos);
        self.largest_packet_bytes = told.max_packet_size;
        self.session_expiry_s = told.session_expiry_interval;
    }
}

impl Connection {
    fn new(version: Version, options: &Options) -> Self {
        match version {
            Version::V5 => {
                let mut of_library = v5::MqttOptions::new(&options.client_id, &options.host, options.port);
                of_library
                    .set_keep_alive(KEEP_ALIVE)
                    .set_clean_start(true)
                    .set_connection_timeout(CONNECT_TIMEOUT.as_secs())
                    .set_max_packet_size(Some(LARGEST_PACKET_BYTES));
                if let Some((name, password)) = &options.credentials {
                    of_library.set_credentials(name, password);
                }
                if let Some(transport) = options.transport() {
                    of_library.set_transport(transport);
                }
                let (client, events) = v5::AsyncClient::new(of_library, QUEUED_REQUESTS);
                Self::V5(client, Box::new(events))
            }
            Version::V3_1_1 => {
                let mut of_library = MqttOptions::new(&options.client_id, &options.host, options.port);
                let most = LARGEST_PACKET_BYTES as usize;
                of_library.set_keep_alive(KEEP_ALIVE).set_clean_session(true).set_max_packet_size(most, most);
                if let Some((name, password)) = &options.credentials {
                    of_library.set_credentials(name, password);
                }
                if let Some(transport) = options.transport() {
                    of_library.set_transport(transport);
                }
                let (client, mut events) = AsyncClient::new(of_library, QUEUED_REQUESTS);
                events.network_options.set_connection_timeout(CONNECT_TIMEOUT.as_secs());
                Self::V3_1_1(client, Box::new(events))
            }
        }
    }

    /// Waits until the broker accepts the connection.
    async fn accepted(&mut self) -> Result<Option<v5::mqttbytes::v5::ConnAckProperties>, LinkError> {
        loop {
            if let Heard::Accepted(properties) = self.poll(false).await? {
                return Ok(properties);
            }
        }
    }

    async fn poll(&mut self, stands: bool) -> Result<Heard, LinkError> {
        match self {
            Self::V5(_, events) => events.poll().await.map(heard_5).map_err(|error| broken_5(&error, stands)),
            Self::V3_1_1(_, events) => events.poll().await.map(heard_3_1_1).map_err(|error| broken_3_1_1(&error)),
        }
    }

    async fn listen(
        &mut self,
        filter: &str,
        time: Duration,
        report: &mut BrokerReport,
        on_progress: OnProgress<'_>,
    ) -> Result<(), LinkError> {
        let asked = match self {
            Self::V5(client, _) => client.try_subscribe(filter, v5::mqttbytes::QoS::AtMostOnce).is_ok(),
            Self::V3_1_1(client, _) => client.try_subscribe(filter, QoS::AtMostOnce).is_ok(),
        };
        if !asked {
            return Err(LinkError::Broken(format!("`{filter}` cannot be subscribed")));
        }
        let doing = format!("listens to {filter}");
        let mut ticks = interval(TICK);
        let mut elapsed = Duration::ZERO;
        while elapsed <= time {
            tokio::select! {
                heard = self.poll(true) => match heard? {
                    Heard::Subscribed(granted) => report.subscription = Some((filter.to_owned(), granted)),
                    Heard::Message(topic, sample) => {
                        report.messages += 1;
                        if report.topics.len() < TOPICS_MAX {
                            report.topics.entry(topic).or_insert(sample);
                        }
                    }
                    Heard::Accepted(_) | Heard::Other => {}
                },
                _ = ticks.tick() => {
                    let received = usize::try_from(report.messages).unwrap_or(usize::MAX);
                    on_progress(Progress { doing: &doing, received, damaged: 0, left: time.saturating_sub(elapsed) });
                    elapsed += TICK;
                }
            }
            if report.subscription.as_ref().is_some_and(|(_, granted)| !granted) {
                break;
            }
        }
        Ok(())
    }

    /// Says farewell, so that the broker does not take it for a failure.
    async fn leave(&mut self) {
        let _ = match self {
            Self::V5(client, _) => client.try_disconnect().is_ok(),
            Self::V3_1_1(client, _) => client.try_disconnect().is_ok(),
        };
        let _ = timeout(FAREWELL, async { while self.poll(true).await.is_ok() {} }).await;
    }
}

fn heard_5(event: v5::Event) -> Heard {
    use v5::mqttbytes::v5::{Packet, SubscribeReasonCode};
    match event {
        v5::Event::Incoming(Packet::ConnAck(answer)) => Heard::Accepted(answer.properties),
        v5::Event::Incoming(Packet::SubAck(answer)) => {
            Heard::Subscribed(answer.return_codes.iter().all(|code| matches!(code, SubscribeReasonCode::Success(_))))
        }
        v5::Event::Incoming(Packet::Publish(publish)) => {
            let sample = TopicSample::new(&publish.payload, publish.retain);
            Heard::Message(String::from_utf8_lossy(&publish.topic).into_owned(), sample)
        }
        _ => Heard::Other,
    }
}

fn heard_3_1_1(event: rumqttc::Event) -> Heard {
    use rumqttc::Packet;
    match event {
        rumqttc::Event::Incoming(Packet::ConnAck(_)) => Heard::Accepted(None),
        rumqttc::Event::Incoming(Packet::SubAck(answer)) => {
            Heard::Subscribed(answer.return_codes.iter().all(|code| matches!(code, SubscribeReasonCode::Success(_))))
        }
        rumqttc::Event::Incoming(Packet::Publish(publish)) => {
            let sample = TopicSample::new(&publish.payload, publish.retain);
            Heard::Message(publish.topic, sample)
        }
        _ => Heard::Other,
    }
}
