//! A venue's broker: a real mosquitto, and what speaks no MQTT.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, EventLoop, Incoming, MqttOptions};
use venue_gateway::cli::Exit;

use crate::broker::Broker;
use crate::program::{answer, ends, gateway, json, passes_check, probe, text};

/// A sensor whose last words the broker keeps.
async fn publish_retained(port: u16, messages: &[(&str, &str)]) {
    let (client, mut events) = connect(port, "sensor", None).await;
    for (topic, payload) in messages {
        client.publish(*topic, QoS::AtLeastOnce, true, payload.as_bytes().to_vec()).await.expect("room");
    }
    let mut acknowledged = 0;
    while acknowledged < messages.len() {
        if let Event::Incoming(Incoming::PubAck(_)) = events.poll().await.expect("a connection") {
            acknowledged += 1;
        }
    }
}

async fn connect(port: u16, id: &str, session_expiry: Option<u32>) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(id, "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(30)).set_clean_start(session_expiry.is_none());
    options.set_session_expiry_interval(session_expiry);
    let (client, mut events) = AsyncClient::new(options, 16);
    while !matches!(events.poll().await.expect("a broker"), Event::Incoming(Incoming::ConnAck(_))) {}
    (client, events)
}

/// A broker tells its version and bounds, its topics are listed with a message each, and the
/// block with mappings that fit these messages passes `check`.
#[tokio::test]
async fn a_broker_is_told_with_its_topics() {
    let broker = Broker::start("max_inflight_messages 50\nmax_packet_size 100000\nmax_qos 1").await;
    publish_retained(broker.port, &[("venue/3/wind", r#"{"seq": 17, "speed": 3.4}"#), ("hall/temperature", "21.5")])
        .await;
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let found = json(probe(&[&url, "--seconds", "2", "--json"]), Exit::Success);
    let told = &found["broker"];
    assert_eq!(
        (&found["protocol"], &told["version"], &told["tls"]),
        (&"mqtt".into(), &"5".into(), &false.into()),
        "{found}"
    );
    let bounds = (&told["receive_maximum"], &told["maximum_packet_bytes"], &told["maximum_qos"]);
    assert_eq!(bounds, (&50.into(), &100_000.into(), &1.into()), "{told}");
    assert_eq!(
        (&told["filter"], &told["granted"], &told["wants_credentials"]),
        (&"#".into(), &true.into(), &false.into())
    );
    let topics: Vec<_> = told["topics"].as_array().expect("topics").iter().map(|it| &it["topic"]).collect();
    assert_eq!(topics, ["hall/temperature", "venue/3/wind"]);
    assert_eq!(told["topics"][1]["payload"], r#"{"seq": 17, "speed": 3.4}"#);
    let folder = tempfile::tempdir().expect("a folder");
    passes_check(&found["config"], folder.path());
    let block = found["config"].as_str().expect("a block");
    assert!(block.contains("name = \"hall-temperature\"") && block.contains("name = \"venue-3-wind\""), "{block}");

    let shown = answer(probe(&[&url, "--seconds", "1", "--topic", "venue/#"]), Exit::Success);
    assert!(shown.starts_with(&format!("{url}: a broker, MQTT 5, not encrypted\n")), "{shown}");
    assert!(shown.contains("receive maximum 50; largest packet 100000 bytes; highest QoS 1"), "{shown}");
    assert!(shown.contains("venue/3/wind (retained)") && !shown.contains("hall/temperature"), "{shown}");
}

/// The gateway's session at the broker, and what waits there for it, are untouched by a probe.
#[tokio::test]
async fn the_venues_sessions_are_untouched() {
    let broker = Broker::start("").await;
    let (client, mut events) = connect(broker.port, "stade-1-a-results", Some(3600)).await;
    client.subscribe("venue/#", QoS::AtLeastOnce).await.expect("room");
    while !matches!(events.poll().await.expect("a connection"), Event::Incoming(Incoming::SubAck(_))) {}
    client.disconnect().await.expect("room");
    while events.poll().await.is_ok() {}
    publish_retained(broker.port, &[("venue/3/wind", "1")]).await;

    let found = json(probe(&[&format!("mqtt://127.0.0.1:{}", broker.port), "--seconds", "1", "--json"]), Exit::Success);
    assert_eq!(found["broker"]["topics"][0]["topic"], "venue/3/wind", "{found}");

    let (_client, mut events) = connect(broker.port, "stade-1-a-results", Some(3600)).await;
    let kept = async {
        loop {
            if let Event::Incoming(Incoming::Publish(message)) = events.poll().await.expect("a connection") {
                return message.payload;
            }
        }
    };
    let kept = tokio::time::timeout(crate::broker::PATIENCE, kept).await.expect("the message waited for the gateway");
    assert_eq!(&kept[..], b"1");
}

/// A broker that lets nobody in without a name says so, and is let in with one.
#[tokio::test]
async fn a_broker_that_wants_credentials_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    };
    let users = file("users", "gateway:secret\n");
    let hashed = std::process::Command::new("mosquitto_passwd").args(["-U", &users]).status();
    assert!(hashed.expect("mosquitto_passwd, which comes with mosquitto").success());
    let broker = Broker::start(&format!("password_file {users}\nallow_anonymous false")).await;
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let refused = json(probe(&[&url, "--seconds", "1", "--json"]), Exit::Success);
    assert_eq!((&refused["found"], &refused["broker"]["wants_credentials"]), (&true.into(), &true.into()), "{refused}");
    assert!(refused["broker"]["refusal"].as_str().is_some_and(|why| why.contains("NotAuthorized")), "{refused}");
    passes_check(&refused["config"], folder.path());

    let password = file("password", "secret\n");
    let words = [&url[..], "--username", "gateway", "--password-file", &password, "--seconds", "1", "--json"];
    let found = json(probe(&words), Exit::Success);
    assert_eq!((&found["broker"]["wants_credentials"], &found["broker"]["granted"]), (&false.into(), &true.into()));
    passes_check(&found["config"], folder.path());
}

/// `--ask` at an address that is silent ends with a CONNECT, and finds a broker there.
#[tokio::test]
async fn a_silent_address_may_be_a_broker() {
    let broker = Broker::start("").await;
    let address = format!("127.0.0.1:{}", broker.port);
    let nothing = answer(probe(&[&address, "--seconds", "1"]), Exit::Failure);
    assert!(nothing.contains("--ask"), "{nothing}");
    let found = json(probe(&[&address, "--seconds", "1", "--ask", "--json"]), Exit::Success);
    assert_eq!((&found["protocol"], &found["broker"]["url"]), (&"mqtt".into(), &format!("mqtt://{address}").into()));
}

/// A broker of the older version is spoken to in it.
#[tokio::test]
async fn an_older_broker_is_told() {
    let broker = Broker::start("").await;
    // A front that refuses MQTT 5, as brokers did before it: by a CONNACK of 3.1.1, code 1.
    let front = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (port, behind) = (front.local_addr().expect("bound").port(), broker.port);
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = front.accept() {
            let mut connect = vec![0; 256];
            let count = client.read(&mut connect).expect("a CONNECT");
            // Fixed header, length, then `00 04 M Q T T` and the level.
            if connect[8] == 5 {
                client.write_all(&[0x20, 2, 0, 1]).expect("it listens");
                continue;
            }
            let mut server = std::net::TcpStream::connect(("127.0.0.1", behind)).expect("mosquitto");
            server.write_all(&connect[..count]).expect("mosquitto");
            let (mut up, mut down) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
            std::thread::spawn(move || std::io::copy(&mut up, &mut server));
            std::thread::spawn(move || std::io::copy(&mut down, &mut client));
        }
    });
    let url = format!("mqtt://127.0.0.1:{port}");
    let found = json(probe(&[&url, "--seconds", "1", "--json"]), Exit::Success);
    assert_eq!((&found["broker"]["version"], &found["broker"]["granted"]), (&"3.1.1".into(), &true.into()), "{found}");
    assert_eq!(found["broker"]["receive_maximum"], serde_json::Value::Null);
}

/// What is no broker, and what is one behind TLS, is told apart.
#[tokio::test]
async fn no_broker_says_what_to_check() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("mqtt://127.0.0.1:{}", listener.local_addr().expect("bound").port());
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let _ = client.write_all(b"$GPZDA,100000.00,28,11,2026,00,00*6F\r\n");
        }
    });
    let output = gateway(&["probe", &url]).output().expect("it starts");
    ends(&output, Exit::Failure);
    let told = text(&output.stderr);
    assert!(told.contains(&format!("no session at {url}")) && told.contains("check that it runs"), "{told}");

    let folder = tempfile::tempdir().expect("a folder");
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let (cert, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, certificate.pem()).expect("written");
    std::fs::write(&key_file, key.serialize_pem()).expect("written");
    let broker = Broker::start(&format!("certfile {}\nkeyfile {}", cert.display(), key_file.display())).await;
    let url = format!("mqtts://localhost:{}", broker.port);
    let output = gateway(&["probe", &url]).output().expect("it starts");
    ends(&output, Exit::Failure);
    let told = text(&output.stderr);
    assert!(told.contains("it speaks TLS: give the certificates of its authority by `--ca FILE`"), "{told}");

    let found = json(probe(&[&url, "--ca", &cert.to_string_lossy(), "--seconds", "1", "--json"]), Exit::Success);
    assert_eq!((&found["broker"]["tls"], &found["broker"]["granted"]), (&true.into(), &true.into()), "{found}");
    passes_check(&found["config"], folder.path());
}
