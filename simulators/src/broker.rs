//! An MQTT broker within this process, where none is installed: `rumqttd`.
//!
//! By what it does, measured with 0.20: it keeps a persistent session, the session's subscriptions and a cursor in
//! memory, and messages in a log a filter of 16 segments of 1 MiB. While a subscriber is away it misses nothing until
//! a filter's log is full, and then the oldest, of which it says nothing. On the next connection it goes on from the
//! first message that was not acknowledged: without DUP, with packet ids from 1, a hundred on their way at most. It
//! acknowledges what nobody is subscribed to like everything else, and drops it.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rumqttd::{Config, ConnectionSettings, RouterConfig, ServerSettings};
use tokio::net::{TcpListener, TcpStream};

/// Bytes of a segment of a filter's log, and how many there are.
const SEGMENT_BYTES: usize = 1024 * 1024;
const SEGMENTS: usize = 16;
/// The most clients.
const MOST_CONNECTIONS: usize = 256;
/// The largest message.
const LARGEST_PAYLOAD_BYTES: usize = 256 * 1024;
/// Another program may take a port between the moment when it was found free and the broker's start.
const ATTEMPTS: usize = 8;
/// Between two looks whether it listens.
const GLANCE: Duration = Duration::from_millis(10);

/// Starts a broker on a free port of this machine, for MQTT 5, and returns its address once it accepts connections.
/// Its threads end with the process: the library has no way to end them.
///
/// # Errors
/// If no port is free, or a thread cannot be started.
pub async fn start() -> anyhow::Result<SocketAddr> {
    for _ in 0..ATTEMPTS {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("find a free port for the broker")?;
        let address = free.local_addr().context("find a free port for the broker")?;
        drop(free);
        let mut broker = rumqttd::Broker::new(config(address));
        // Where it cannot listen, it ends, and says why only in its log.
        let run = move || drop(broker.start());
        let thread =
            std::thread::Builder::new().name("broker".into()).spawn(run).context("start the broker's thread")?;
        while !thread.is_finished() {
            if TcpStream::connect(address).await.is_ok() {
                return Ok(address);
            }
            tokio::time::sleep(GLANCE).await;
        }
    }
    bail!("start the broker: it finds no port to listen on")
}

fn config(listen: SocketAddr) -> Config {
    let connections = ConnectionSettings {
        connection_timeout_ms: 5_000,
        max_payload_size: LARGEST_PAYLOAD_BYTES,
        max_inflight_count: 100,
        auth: None,
        external_auth: None,
        dynamic_filters: false,
    };
    let server =
        ServerSettings { name: "broker-v5".to_owned(), listen, tls: None, next_connection_delay_ms: 1, connections };
    Config {
        router: RouterConfig {
            max_connections: MOST_CONNECTIONS,
            max_outgoing_packet_count: 200,
            max_segment_size: SEGMENT_BYTES,
            max_segment_count: SEGMENTS,
            ..RouterConfig::default()
        },
        v5: Some(HashMap::from([("v5".to_owned(), server)])),
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use rumqttc::{
        Outgoing,
        v5::{
            AsyncClient, Event, EventLoop, MqttOptions,
            mqttbytes::{
                QoS,
                v5::{Packet, Publish},
            },
        },
    };

    use super::*;

    struct Client {
        client: AsyncClient,
        events: EventLoop,
    }

    impl Client {
        /// A connection, and whether it goes on with a session.
        async fn connect(address: SocketAddr, name: &str) -> (Self, bool) {
            let mut options = MqttOptions::new(name, "127.0.0.1", address.port());
            options.set_clean_start(false).set_session_expiry_interval(Some(3_600)).set_manual_acks(true);
            options.set_max_packet_size(Some(1024 * 1024));
            let (client, mut events) = AsyncClient::new(options, 200);
            match events.poll().await.expect("a connection") {
                Event::Incoming(Packet::ConnAck(answer)) => (Self { client, events }, answer.session_present),
                other => panic!("no answer: {other:?}"),
            }
        }

        async fn until<T>(&mut self, wanted: impl Fn(Packet) -> Option<T>) -> T {
            loop {
                if let Event::Incoming(packet) = self.events.poll().await.expect("a connection")
                    && let Some(found) = wanted(packet)
                {
                    return found;
                }
            }
        }

        async fn subscribe(&mut self) {
            self.client.subscribe("venue/#", QoS::AtLeastOnce).await.expect("room");
            self.until(|packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
        }

        /// Publishes, and waits until the broker has acknowledged all.
        async fn publish(&mut self, numbers: std::ops::Range<u32>, bytes: usize) {
            for number in numbers {
                let mut payload = vec![b' '; bytes];
                payload[..4].copy_from_slice(&number.to_be_bytes());
                self.client.publish("venue/a/state", QoS::AtLeastOnce, false, payload).await.expect("room");
                self.until(|packet| matches!(packet, Packet::PubAck(_)).then_some(())).await;
            }
        }

        /// Acknowledges a message, and waits until that has left.
        async fn acknowledge(&mut self, publish: &Publish) {
            self.client.ack(publish).await.expect("room");
            while !matches!(self.events.poll().await.expect("a connection"), Event::Outgoing(Outgoing::PubAck(_))) {}
        }

        async fn next(&mut self) -> Publish {
            self.until(|packet| if let Packet::Publish(publish) = packet { Some(publish) } else { None }).await
        }
    }

    fn number(publish: &Publish) -> u32 {
        u32::from_be_bytes(publish.payload[..4].try_into().expect("four bytes"))
    }

    /// A subscriber goes away with two of three messages not acknowledged, and three more come: on the next connection
    /// the session is there and it gets these five, without DUP, with ids from 1.
    #[tokio::test]
    async fn a_session_goes_on_from_the_first_message_not_acknowledged() {
        let address = start().await.expect("a broker");
        let (mut subscriber, session) = Client::connect(address, "subscriber").await;
        assert!(!session);
        subscriber.subscribe().await;
        let (mut sensor, _) = Client::connect(address, "sensor").await;
        sensor.publish(0..3, 4).await;
        let received = [subscriber.next().await, subscriber.next().await, subscriber.next().await];
        assert_eq!(received.each_ref().map(number), [0, 1, 2]);
        subscriber.acknowledge(&received[0]).await;
        drop(subscriber);
        sensor.publish(3..6, 4).await;
        let (mut subscriber, session) = Client::connect(address, "subscriber").await;
        assert!(session);
        for (id, expected) in (1..6).zip(1..6) {
            let publish = subscriber.next().await;
            assert_eq!((number(&publish), publish.pkid, publish.dup), (expected, id, false));
        }
    }

    /// While its subscriber is away a filter's log holds its last 16 MiB. What came before is gone, though it was
    /// acknowledged; the session says that it is the same.
    #[tokio::test]
    async fn a_full_log_forgets_the_oldest_and_says_nothing() {
        const BYTES: usize = 200 * 1024;
        let address = start().await.expect("a broker");
        let (mut subscriber, _) = Client::connect(address, "subscriber").await;
        subscriber.subscribe().await;
        drop(subscriber);
        let (mut sensor, _) = Client::connect(address, "sensor").await;
        let sent = 2 * (SEGMENTS * SEGMENT_BYTES / BYTES) as u32;
        sensor.publish(0..sent, BYTES).await;
        let (mut subscriber, session) = Client::connect(address, "subscriber").await;
        assert!(session);
        let first = number(&subscriber.next().await);
        let kept = (sent - first) as usize * BYTES;
        // A segment is full once it has reached its size.
        let expected = (SEGMENTS - 1) * SEGMENT_BYTES..=SEGMENTS * (SEGMENT_BYTES + BYTES);
        assert!(expected.contains(&kept), "it kept {kept} bytes");
    }
}
