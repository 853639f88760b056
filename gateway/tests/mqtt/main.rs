//! Sessions at a real mosquitto: what the library and brokers do to messages and acknowledgements, case by case.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod broker;
mod scripted;
mod subscriber;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use broker::{Broker, eventually};
use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, QoS};
use scripted::{DISCONNECT, PINGREQ, PUBACK, SUBSCRIBE, Scripted};
use subscriber::{Subscriber, link_options};
use venue_gateway::mqtt::link::{LinkError, LinkOptions, Version};

/// Publishes, and waits until the broker has all of it.
async fn publish(port: u16, qos: QoS, payloads: &[&str]) {
    publish_as(port, qos, false, payloads).await;
}

/// The same, perhaps to be retained by the broker.
async fn publish_as(port: u16, qos: QoS, retain: bool, payloads: &[&str]) {
    let mut options = MqttOptions::new("sensor", "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(5)).set_max_packet_size(1 << 22, 1 << 22);
    let (client, mut events) = AsyncClient::new(options, 100);
    for payload in payloads {
        client.publish("venue/a/wind", qos, retain, payload.as_bytes()).await.unwrap();
    }
    let mut gone = 0;
    while gone < payloads.len() {
        gone += match events.poll().await.unwrap() {
            Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) => 1,
            Event::Outgoing(Outgoing::Publish(_)) if qos == QoS::AtMostOnce => 1,
            _ => 0,
        };
    }
    client.disconnect().await.unwrap();
    while events.poll().await.is_ok() {}
}

/// Messages are acknowledged once they are on disk and not before: the broker sends what was not again, on a resumed
/// session and without being asked. Another process cannot tell whether the one before had stored it.
#[tokio::test]
async fn what_is_not_on_disk_comes_again_and_is_in_doubt() {
    let broker = Broker::start("").await;
    let mut first = Subscriber::subscribed(broker.port).await;
    publish(broker.port, QoS::AtLeastOnce, &["3.1", "3.2", "3.3"]).await;
    first.until("took 3.3", 1).await;
    first.sync(2);
    first.stop().await;

    let mut second = Subscriber::start(broker.port, None);
    second.until("connected by MQTT 5, resumed", 1).await;
    second.until("took 3.3, perhaps again", 1).await;
    assert_eq!(second.count("took"), 1, "the other two were acknowledged");
    second.sync(1);
    second.stop().await;

    let mut third = Subscriber::subscribed(broker.port).await;
    publish(broker.port, QoS::AtLeastOnce, &["3.4"]).await;
    third.until("took 3.4, perhaps again", 1).await;
    assert_eq!(third.count("took"), 1);
    third.stop().await;
}

/// The broker is restarted while a message waits for the disk. It comes again, under the id that it had, without DUP or
/// with; it is known, and acknowledged once its first copy is on disk.
#[tokio::test]
async fn a_broker_that_is_restarted() {
    let mut broker = Broker::start("").await;
    let mut gateway = Subscriber::subscribed(broker.port).await;
    publish(broker.port, QoS::AtLeastOnce, &["3.1", "3.2"]).await;
    gateway.until("took 3.2", 1).await;
    broker.stop();
    gateway.until("ended", 1).await;
    broker.restart().await;
    gateway.until("knew 3.2", 1).await;
    gateway.until("knew 3.1", 1).await;
    gateway.sync(2);
    gateway.stop().await;
    assert_eq!(gateway.count("took"), 2);

    let mut next = Subscriber::subscribed(broker.port).await;
    publish(broker.port, QoS::AtLeastOnce, &["3.3"]).await;
    next.until("took 3.3, perhaps again", 1).await;
    assert_eq!(next.count("took"), 1, "both were acknowledged: {:?}", next.seen.lock().unwrap());
    next.stop().await;
}

/// The broker loses its sessions and counts ids from 1 again while the old id 1 waits for its fdatasync. When that
/// returns it confirms nothing: the new id 1 is not on disk yet, and the broker must keep it.
#[tokio::test]
async fn an_id_that_is_used_again_is_not_confirmed_by_an_old_sync() {
    let mut broker = Broker::start("").await;
    let mut gateway = Subscriber::subscribed(broker.port).await;
    publish(broker.port, QoS::AtLeastOnce, &["3.1"]).await;
    gateway.until("took 3.1", 1).await;
    broker.stop();
    broker.forget();
    gateway.until("ended", 1).await;
    broker.restart().await;
    gateway.until("connected by MQTT 5, new session", 2).await;
    gateway.until("subscribed, 0 refused", 2).await;
    publish(broker.port, QoS::AtLeastOnce, &["9.9"]).await;
    gateway.until("took 9.9", 1).await;
    gateway.sync(1);
    gateway.stop().await;

    let mut next = Subscriber::start(broker.port, None);
    next.until("took 9.9, perhaps again", 1).await;
    next.stop().await;
}

/// Two equal values one after the other are two events, also right after a reconnect.
#[tokio::test]
async fn equal_values_are_events_of_their_own() {
    // One on its way at a time: whatever comes shows that what came before is acknowledged.
    let mut broker = Broker::start("max_inflight_messages 1").await;
    let mut gateway = Subscriber::subscribed(broker.port).await;
    publish(broker.port, QoS::AtLeastOnce, &["20.0", "20.0", "20.5"]).await;
    gateway.until("took 20.0", 1).await;
    gateway.sync(1);
    gateway.until("took 20.0", 2).await;
    gateway.sync(2);
    gateway.until("took 20.5", 1).await;
    broker.stop();
    gateway.until("ended", 1).await;
    broker.restart().await;
    gateway.until("knew 20.5", 1).await;
    gateway.sync(3);
    publish(broker.port, QoS::AtLeastOnce, &["20.0"]).await;
    gateway.until("took 20.0", 3).await;
    gateway.stop().await;
}

/// A message at QoS 0 is taken in as such, and never acknowledged.
#[tokio::test]
async fn quality_of_service_0_is_taken_and_marked() {
    let broker = Broker::start("").await;
    let mut gateway = Subscriber::subscribed(broker.port).await;
    publish(broker.port, QoS::AtMostOnce, &["3.1"]).await;
    gateway.until("took 3.1 at QoS 0", 1).await;
    gateway.stop().await;
}

/// What a sensor publishes at QoS 2 comes at QoS 1, which is what was subscribed; the library fails on the rest of an
/// exchange at QoS 2 that a reconnect cuts.
#[tokio::test]
async fn quality_of_service_2_comes_at_1() {
    let mut broker = Broker::start("").await;
    let mut gateway = Subscriber::subscribed(broker.port).await;
    publish(broker.port, QoS::ExactlyOnce, &["3.1"]).await;
    gateway.until("took 3.1", 1).await;
    broker.stop();
    broker.restart().await;
    gateway.until("knew 3.1", 1).await;
    gateway.sync(1);
    gateway.stop().await;
    assert_eq!(gateway.count("took"), 1);
}

/// The library's limit of 10 KiB would have a larger message come again for ever. One of 200 KiB is taken in; one beyond
/// what the broker was told is dropped by the broker, and what follows arrives.
#[tokio::test]
async fn large_messages() {
    let broker = Broker::start("").await;
    let mut gateway = Subscriber::subscribed(broker.port).await;
    let (large, too_large) = ("x".repeat(200 << 10), "x".repeat(1 << 20));
    publish(broker.port, QoS::AtLeastOnce, &[&large, &too_large, "3.1"]).await;
    gateway.until("took 204800 bytes", 1).await;
    gateway.until("took 3.1", 1).await;
    gateway.sync(2);
    gateway.stop().await;
    assert_eq!((gateway.count("took"), gateway.count("ended")), (2, 0));
}

/// With no room on disk nothing is acknowledged, and nothing after it either; with room again all of it comes, in order.
#[tokio::test]
async fn what_is_refused_comes_again_in_order() {
    let broker = Broker::start("").await;
    let mut gateway = Subscriber::subscribed(broker.port).await;
    gateway.set_room(0);
    publish(broker.port, QoS::AtLeastOnce, &["3.1", "3.2"]).await;
    gateway.until("refused 3.1", 2).await;
    gateway.set_room(u64::MAX);
    gateway.until("took 3.2", 1).await;
    gateway.sync(2);
    gateway.stop().await;
    let seen = gateway.seen.lock().unwrap();
    let taken: Vec<_> = seen.iter().filter(|it| it.starts_with("took")).collect();
    assert_eq!(taken, ["took 3.1", "took 3.2"]);
}

/// No room, for as long as it lasts: the waits between connections grow. An attempt that was let in and had to be given
/// up again is none that succeeded.
#[tokio::test]
async fn a_full_disk_is_tried_less_and_less_often() {
    let broker = Broker::start("").await;
    let mut gateway = Subscriber::subscribed(broker.port).await;
    gateway.set_room(0);
    publish(broker.port, QoS::AtLeastOnce, &["3.1"]).await;
    gateway.until("refused 3.1", 1).await;
    // 250 ms, 500 ms, 1 s and 2 s, each shortened by a quarter at most.
    let least = Duration::from_millis(3_750) * 3 / 4;
    let too_often = tokio::time::timeout(least, gateway.until("refused 3.1", 5)).await;
    assert!(too_often.is_err(), "{:?}", gateway.seen.lock().unwrap());
    gateway.until("refused 3.1", 5).await;
    gateway.stop().await;
}

/// More than the stage holds waits for a slow disk: the connection stands, and the broker sends nothing again.
#[tokio::test]
async fn a_slow_disk_is_waited_for() {
    let broker = Broker::start("").await;
    let mut gateway = Subscriber::subscribed(broker.port).await;
    gateway.set_room(1);
    publish(broker.port, QoS::AtLeastOnce, &["3.1", "3.2", "3.3"]).await;
    gateway.until("refused 3.2", 1).await;
    gateway.sync(1);
    gateway.until("refused 3.3", 1).await;
    gateway.sync(2);
    gateway.until("took 3.3", 1).await;
    gateway.sync(3);
    gateway.stop().await;
    assert_eq!((gateway.count("took"), gateway.count("ended")), (3, 0));
}

/// The broker hangs up right behind a message for which there is no room. The goodbye to it would be the first that the
/// next connection hears, and end that.
#[tokio::test]
async fn nothing_crosses_to_the_next_connection() {
    let (listener, port) = Scripted::new();
    let broker = std::thread::spawn(move || {
        let mut first = listener.serve();
        first.publish(1, "dry");
        drop(first);
        let mut second = listener.resume();
        second.publish(1, "dry");
        assert_eq!(second.next().unwrap().kind, PUBACK);
        second.expect(DISCONNECT);
    });
    let mut gateway = Subscriber::start(port, Some(Version::V3_1_1));
    gateway.set_room(0);
    gateway.until("ended", 1).await;
    gateway.set_room(u64::MAX);
    gateway.sync(1);
    gateway.until("took dry", 1).await;
    gateway.stop().await;
    broker.join().unwrap();
}

/// A password that cannot be read, one that is wrong and one that is right: each connection has what is there then.
#[tokio::test]
async fn what_a_connection_is_made_with_is_looked_up_for_each() {
    let (listener, port) = Scripted::new();
    let broker = std::thread::spawn(move || {
        let (mut refused, connect) = listener.accept();
        assert!(connect.body.ends_with(b"the old one"));
        refused.say(&[0x20, 2, 0, 5]);
        let (mut granted, connect) = listener.accept();
        assert!(connect.body.ends_with(b"the new one"));
        granted.say(&[0x20, 2, 0, 0]);
        granted.expect(DISCONNECT);
    });
    let passwords = Mutex::new([None, Some("the old one"), Some("the new one")].into_iter());
    let link = move || {
        let password = passwords.lock().unwrap().next().unwrap();
        let password = password.ok_or_else(|| LinkError::File("failed to read the password".to_owned()))?;
        let credentials = Some(("gateway".to_owned(), password.to_owned()));
        Ok(LinkOptions { credentials, ..link_options(port, None) })
    };
    let mut gateway = Subscriber::start_by(Box::new(link), Some(Version::V3_1_1));
    gateway.until("connected by MQTT 3.1.1, new session", 1).await;
    gateway.stop().await;
    broker.join().unwrap();
    let seen = gateway.seen.lock().unwrap();
    assert_eq!(seen[0], "no connection: no connection to the broker: failed to read the password");
    assert!(seen[1].contains("NotAuthorized"), "{seen:?}");
}

/// The older protocol, where the site asks for it.
#[tokio::test]
async fn the_older_protocol() {
    let broker = Broker::start("").await;
    let mut gateway = Subscriber::start(broker.port, Some(Version::V3_1_1));
    gateway.until("connected by MQTT 3.1.1, new session", 1).await;
    gateway.until("subscribed, 0 refused", 1).await;
    publish(broker.port, QoS::AtLeastOnce, &["3.1"]).await;
    gateway.until("took 3.1", 1).await;
    gateway.sync(1);
    gateway.stop().await;
}

/// A value that the broker had retained is told as such. One that comes while the gateway listens is a live one, also
/// where its publisher has all of them retained.
#[tokio::test]
async fn retained_is_what_the_broker_kept() {
    for version in [Version::V5, Version::V3_1_1] {
        let broker = Broker::start("").await;
        publish_as(broker.port, QoS::AtLeastOnce, true, &["3.1"]).await;
        let mut gateway = Subscriber::start(broker.port, Some(version));
        gateway.until("took 3.1, retained", 1).await;
        publish_as(broker.port, QoS::AtLeastOnce, true, &["3.1"]).await;
        gateway.until("took 3.1", 1).await;
        gateway.stop().await;
    }
}

/// A retained value is told once. With each connection the broker would tell it again, and a gauge that is dead would
/// count as heard.
#[tokio::test]
async fn a_retained_value_does_not_come_with_each_connection() {
    for version in [Version::V5, Version::V3_1_1] {
        let mut broker = Broker::start("").await;
        publish_as(broker.port, QoS::AtLeastOnce, true, &["3.1"]).await;
        let mut gateway = Subscriber::start(broker.port, Some(version));
        gateway.until("took 3.1, retained", 1).await;
        gateway.sync(1);
        for connection in 2..4 {
            broker.stop();
            broker.restart().await;
            gateway.until("subscribed, 0 refused", connection).await;
        }
        publish(broker.port, QoS::AtLeastOnce, &["3.2"]).await;
        gateway.until("took 3.2", 1).await;
        gateway.stop().await;
        assert_eq!(gateway.count("took"), 2, "{:?}", gateway.seen.lock().unwrap());
    }
}

/// Over TLS, with a client certificate that the broker asks for. A broker whose certificate comes from another authority
/// is not believed.
#[tokio::test]
async fn a_broker_over_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (authority, names) in [("ca", &["localhost", "stade-1-a"][..]), ("other", &[])] {
        let (mut parameters, key) = (rcgen::CertificateParams::default(), rcgen::KeyPair::generate().unwrap());
        parameters.distinguished_name.push(rcgen::DnType::CommonName, authority);
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        std::fs::write(at(&format!("{authority}.pem")), parameters.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = rcgen::Issuer::new(parameters, key);
        for name in names {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut of_name = rcgen::CertificateParams::new([(*name).to_owned()]).unwrap();
            of_name.distinguished_name.push(rcgen::DnType::CommonName, *name);
            let certificate = of_name.signed_by(&key, &issuer).unwrap();
            std::fs::write(at(&format!("{name}.pem")), certificate.pem()).unwrap();
            std::fs::write(at(&format!("{name}.key")), key.serialize_pem()).unwrap();
        }
    }
    let place = folder.path().display();
    let broker = Broker::start(&format!(
        "cafile {place}/ca.pem\ncertfile {place}/localhost.pem\nkeyfile {place}/localhost.key\nrequire_certificate true"
    ))
    .await;
    let identity = (at("stade-1-a.pem"), at("stade-1-a.key"));
    let tls = |authority: &str| venue_gateway::uplink::tls_config(&at(authority), Some(&identity), &[]).unwrap();

    let mut gateway = Subscriber::start_with(broker.port, None, Some(tls("ca.pem")));
    gateway.until("subscribed, 0 refused", 1).await;
    gateway.stop().await;

    let mut misled = Subscriber::start_with(broker.port, None, Some(tls("other.pem")));
    eventually("a refusal", || (misled.count("no connection: ") > 0).then_some(())).await;
    assert!(misled.seen.lock().unwrap()[0].contains("UnknownIssuer"), "{:?}", misled.seen.lock().unwrap());
    misled.stop().await;
}

/// A broker that knows MQTT 3.1.1 alone refuses MQTT 5 in its own words, and is spoken to in them.
#[tokio::test]
async fn an_older_broker_is_spoken_to_in_its_version() {
    let (listener, port) = Scripted::new();
    let broker = std::thread::spawn(move || {
        let (mut newer, connect) = listener.accept();
        // Behind the protocol's name in six bytes stands its version.
        assert_eq!(connect.body[6], 5);
        newer.say(&[0x20, 2, 0, 1]);
        drop(newer);
        listener.serve().expect(DISCONNECT);
    });
    let mut gateway = Subscriber::start(port, None);
    gateway.until("connected by MQTT 3.1.1, new session", 1).await;
    gateway.until("subscribed, 0 refused", 1).await;
    gateway.stop().await;
    broker.join().unwrap();
}

/// A broker that counts ids from 1 on each connection, and a rain gauge that says the same again and again. What the
/// broker has read the acknowledgement of, for it answered a ping since, does not come again: an equal message under an
/// equal id is a new one.
#[tokio::test]
async fn ids_that_begin_anew_hide_no_message() {
    let (listener, port) = Scripted::new();
    let broker = std::thread::spawn(move || {
        let mut first = listener.serve();
        first.publish(1, "dry");
        first.expect(PUBACK);
        // Before it answers this one, it may not have read the acknowledgement.
        first.expect(PINGREQ);
        first.say(&[0xd0, 0]);
        drop(first);
        let mut second = listener.resume();
        second.publish(1, "dry");
        second.expect(PUBACK);
        second.expect(DISCONNECT);
    });
    let mut gateway = Subscriber::start(port, Some(Version::V3_1_1));
    gateway.sync(2);
    gateway.until("connected by MQTT 3.1.1, resumed", 1).await;
    gateway.until("took dry", 2).await;
    gateway.stop().await;
    broker.join().unwrap();
}

/// A broker that asks by MQTT 5 for no keep-alive at all. The library would ping without a pause, and give the connection
/// up for want of an answer; the configured interval holds.
#[tokio::test]
async fn a_broker_that_wants_no_keep_alive() {
    let (listener, port) = Scripted::new();
    let seen = Arc::new(AtomicBool::new(false));
    let pinged = Arc::clone(&seen);
    let broker = std::thread::spawn(move || {
        let (mut conversation, _) = listener.accept();
        // Its one property: a server keep-alive of 0.
        conversation.say(&[0x20, 6, 0, 0, 3, 0x13, 0, 0]);
        let subscribe = conversation.expect(SUBSCRIBE);
        conversation.say(&[0x90, 4, subscribe.body[0], subscribe.body[1], 0, 1]);
        for _ in 0..2 {
            conversation.expect(PINGREQ);
            conversation.say(&[0xd0, 0]);
        }
        pinged.store(true, Ordering::Relaxed);
        conversation.expect(DISCONNECT);
    });
    let mut gateway = Subscriber::start(port, Some(Version::V5));
    eventually("two pings", || seen.load(Ordering::Relaxed).then_some(())).await;
    gateway.stop().await;
    broker.join().unwrap();
    assert_eq!(gateway.count("ended"), 0);
}

/// A broker that is not there, and then is: it is tried until then.
#[tokio::test]
async fn a_broker_that_comes_late() {
    let mut broker = Broker::start("").await;
    broker.stop();
    let mut gateway = Subscriber::start(broker.port, None);
    eventually("a failed attempt", || (gateway.count("no connection: ") > 0).then_some(())).await;
    broker.restart().await;
    gateway.until("subscribed, 0 refused", 1).await;
    gateway.stop().await;
}
