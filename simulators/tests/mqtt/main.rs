//! A gateway between a venue's broker and the centre, as processes: sensors publish to mosquitto, the gateway
//! subscribes, the centre stores.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../gateway/tests/mqtt/broker.rs"]
mod broker;
#[path = "../stage/mod.rs"]
mod stage;

use std::{collections::BTreeMap, time::Duration};

use broker::Broker;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::Value;
use stage::{SMALL, Stage};
use venue_schema::{
    Message as _,
    v1::{self, Lane, event::Content},
};
use venue_sim::gateway::{number, text};

/// Sensors of two lanes, and one whose messages have no key.
fn topics(broker: &Broker) -> String {
    let port = broker.port;
    format!(
        r#"
[mqtt]
broker = "mqtt://127.0.0.1:{port}"

[[mqtt.topic]]
name = "wind"
filter = "venue/+/wind"
lane = "results"
mapping = {{ device_id = "wind-{{1}}", key = ["/seq"], time = {{ pointer = "/at", format = "ms" }}, wind = {{ speed = {{ pointer = "/speed", unit = "m/s" }} }} }}

[[mqtt.topic]]
name = "snow"
filter = "venue/+/snow"
mapping = {{ device_id = "snow-{{1}}", measurement = [{{ pointer = "/t", name = "temperature", unit = "Cel" }}] }}
"#
    )
}

/// A sensor that publishes at QoS 1 and knows when the broker has it.
struct Sensor {
    client: AsyncClient,
    events: rumqttc::EventLoop,
}

impl Sensor {
    fn new(broker: &Broker, name: &str) -> Self {
        let mut options = MqttOptions::new(name, "127.0.0.1", broker.port);
        options.set_keep_alive(Duration::from_secs(30));
        let (client, events) = AsyncClient::new(options, 1_000);
        Self { client, events }
    }

    async fn publish(&mut self, topic: &str, payloads: &[String]) {
        for payload in payloads {
            self.client.publish(topic, QoS::AtLeastOnce, false, payload.as_bytes()).await.unwrap();
        }
        let mut acknowledged = 0;
        while acknowledged < payloads.len() {
            if let Event::Incoming(Packet::PubAck(_)) = self.events.poll().await.unwrap() {
                acknowledged += 1;
            }
        }
    }
}

fn wind(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|n| format!(r#"{{"seq":{n},"at":{},"speed":{}.5}}"#, 1_795_853_828_000 + n, n % 20)).collect()
}

fn is_subscribed(status: &Value) -> bool {
    (0..2).all(|index| text(status, &format!("/sources/{index}/state")) == "connected")
}

/// The numbers of the wind gauge that the centre has, and how often.
async fn stored_winds(stage: &Stage) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in stage.stored(Lane::Results).await {
        let event = v1::Event::decode(&event.bytes[..]).unwrap();
        if let (Some(Content::Wind(_)), Some(v1::event::Identity::ContentKey(key))) = (&event.content, &event.identity)
        {
            assert_eq!(event.device_id, "wind-gate");
            *counts.entry(key.key.clone()).or_default() += 1;
        }
    }
    counts
}

/// The gateway is killed again and again while a gauge publishes, and the broker is restarted with what it has on disk:
/// each sample is at the centre once, for nothing is acknowledged before it is on disk and repeats are told by their key.
#[tokio::test]
async fn every_sample_is_at_the_centre_once() {
    let mut broker = Broker::start("").await;
    let mut stage = Stage::set().await;
    stage.configure(SMALL, &topics(&broker));
    stage.gateway.start().unwrap();
    stage.until(is_subscribed).await;
    let mut sent = 0;
    for round in 0..6 {
        let mut sensor = Sensor::new(&broker, "gauge");
        sensor.publish("venue/gate/wind", &wind(sent..sent + 200)).await;
        sent += 200;
        match round {
            // Killed with what is on its way.
            0 | 2 | 4 => stage.gateway.kill().await.unwrap(),
            _ => {
                drop(sensor);
                broker.stop();
                broker.restart().await;
                continue;
            }
        }
        // The broker keeps what is said meanwhile.
        sensor.publish("venue/gate/wind", &wind(sent..sent + 50)).await;
        sent += 50;
        stage.gateway.start().unwrap();
        stage.until(is_subscribed).await;
    }
    stage.until(|status| number(status, "/sources/0/frames") > 0 && status["all_results_delivered"] == true).await;
    let wanted = usize::try_from(sent).unwrap();
    stage::eventually("every sample", async || (stored_winds(&stage).await.len() == wanted).then_some(())).await;
    let counts = stored_winds(&stage).await;
    assert!(counts.values().all(|count| *count == 1), "doubled: {counts:?}");
    stage.gateway.stop().await.unwrap();
}

/// After a kill the gateway goes on with its sessions and cannot tell which messages without a key it had stored: each that
/// may be a double is counted, and marked at the centre. Those with a key are known for good, and never in doubt.
#[tokio::test]
async fn possible_doubles_are_counted_and_marked() {
    let broker = Broker::start("").await;
    let mut stage = Stage::set().await;
    stage.configure(SMALL, &topics(&broker));
    stage.gateway.start().unwrap();
    stage.until(is_subscribed).await;
    let mut sensor = Sensor::new(&broker, "sensor");
    sensor.publish("venue/a/snow", &[r#"{"t": -3.5}"#.to_owned()]).await;
    stage.until(|status| number(status, "/sources/1/frames") == 1).await;
    stage.gateway.kill().await.unwrap();

    sensor.publish("venue/gate/wind", &wind(0..3)).await;
    sensor.publish("venue/a/snow", &[r#"{"t": -4.5}"#, "not JSON"].map(str::to_owned)).await;
    stage.gateway.start().unwrap();
    // The first snow may come again before it, for the kill may have taken its acknowledgement.
    let last = "/sources/1/bad/not_json";
    let status = stage.until(|status| number(status, "/sources/0/frames") == 3 && number(status, last) == 1).await;
    let doubtful = number(&status, "/sources/1/possible_duplicates");
    assert_eq!(number(&status, "/sources/0/possible_duplicates"), 0, "the wind has a key");
    assert_eq!(doubtful, number(&status, "/sources/1/frames"), "the snow has none, nor has what does not fit");
    stage::eventually("each of them at the centre, with its mark", async || {
        let stored = stage.stored(Lane::Telemetry).await;
        let events = stored.iter().map(|it| v1::Event::decode(&it.bytes[..]).unwrap());
        let marked = events.filter(|it| it.labels.get("mqtt_possible_duplicate").is_some_and(|it| it == "true"));
        (marked.count() as u64 == doubtful).then_some(())
    })
    .await;
    for event in stage.stored(Lane::Results).await {
        let labels = v1::Event::decode(&event.bytes[..]).unwrap().labels;
        assert!(!labels.contains_key("mqtt_possible_duplicate"), "{labels:?}");
    }
    stage.gateway.stop().await.unwrap();
}

/// A message that is no JSON, and one that lacks what its mapping names, are kept as they are, with the reason; those
/// before and after arrive.
#[tokio::test]
async fn what_does_not_fit_is_kept_with_its_reason() {
    let broker = Broker::start("").await;
    let mut stage = Stage::set().await;
    stage.configure(SMALL, &topics(&broker));
    stage.gateway.start().unwrap();
    stage.until(is_subscribed).await;
    let mut sensor = Sensor::new(&broker, "snow");
    let payloads = [r#"{"t": -3.5}"#, "not JSON", r#"{"rh": 40}"#, r#"{"t": -3.25}"#].map(str::to_owned);
    sensor.publish("venue/a/snow", &payloads).await;
    let status = stage.until(|status| number(status, "/sources/1/frames") == 4).await;
    assert_eq!((number(&status, "/sources/1/bad/not_json"), number(&status, "/sources/1/bad/missing_field")), (1, 1));
    stage::eventually("four messages at the centre", async || {
        let stored = stage.stored(Lane::Telemetry).await;
        let events: Vec<_> = stored.iter().map(|it| v1::Event::decode(&it.bytes[..]).unwrap()).collect();
        let of = |event: &v1::Event| match &event.content {
            Some(Content::Measurement(it)) => it.values.first().map(|value| format!("{:?}", value.value)),
            Some(Content::Raw(raw)) => Some(format!("{}: {}", String::from_utf8_lossy(&event.evidence), raw.error)),
            _ => None,
        };
        let told: Vec<String> = events.iter().filter_map(of).collect();
        (told.len() == 4).then(|| {
            assert_eq!(told[0], "Some(Number(-3.5))");
            assert!(told[1].starts_with("not JSON: the payload is not JSON"), "{}", told[1]);
            assert!(told[2].starts_with(r#"{"rh": 40}: "#) && told[2].contains("/t"), "{}", told[2]);
            assert_eq!(told[3], "Some(Number(-3.25))");
        })
    })
    .await;
    stage.gateway.stop().await.unwrap();
}

/// The sensors of a topic of results fall silent: status says so, and again when one speaks.
#[tokio::test]
async fn a_topic_that_falls_silent_is_told() {
    let broker = Broker::start("").await;
    let mut stage = Stage::set().await;
    stage
        .configure(SMALL, &topics(&broker).replace("lane = \"results\"", "lane = \"results\"\nsilence_alarm = \"1s\""));
    stage.gateway.start().unwrap();
    let silent = stage.until(|status| text(status, "/sources/0/state") == "silent").await;
    assert!(text(&silent, "/headline").contains("wind IS NOT HEARD"), "{silent:#}");
    assert_eq!(text(&silent, "/sources/1/state"), "connected", "it has no alarm");
    let mut sensor = Sensor::new(&broker, "gauge");
    sensor.publish("venue/gate/wind", &wind(0..1)).await;
    stage::eventually("both states at the centre", async || {
        let stored = stage.stored(Lane::Telemetry).await;
        let events = stored.iter().map(|it| v1::Event::decode(&it.bytes[..]).unwrap());
        let told: Vec<_> = events
            .filter_map(|event| match event.content {
                Some(Content::DeviceStatus(status)) if event.device_id == "wind" => Some(status.text),
                _ => None,
            })
            .collect();
        let has = |words: &str| told.iter().any(|text| text.contains(words));
        (has("silent for") && has("heard again")).then_some(())
    })
    .await;
    stage.gateway.stop().await.unwrap();
}

/// The centre is away and the room for results runs out: what the broker keeps is not acknowledged, and stays there. Once
/// the centre takes results again all of it comes, each sample once.
#[tokio::test]
async fn a_full_journal_leaves_messages_with_the_broker() {
    let broker = Broker::start("").await;
    let mut stage = Stage::set().await;
    let smallest = "results = { quota = \"2MiB\", reserve = \"256KiB\" }\ntelemetry = { quota = \"2MiB\" }";
    stage.configure(smallest, &topics(&broker));
    stage.gateway.start().unwrap();
    stage.until(is_subscribed).await;
    stage.link.cut();
    // With its evidence a sample of four kilobytes: 3 MB.
    let pad = "x".repeat(4_000);
    let samples: Vec<String> =
        (0..800).map(|n| format!(r#"{{"seq":{n},"at":1795853828000,"speed":1.5,"pad":"{pad}"}}"#)).collect();
    let mut sensor = Sensor::new(&broker, "gauge");
    sensor.publish("venue/gate/wind", &samples).await;
    stage.until(|status| number(status, "/sources/0/refused") > 0).await;
    stage.link.restore();
    stage::eventually("every sample", async || (stored_winds(&stage).await.len() == samples.len()).then_some(())).await;
    let counts = stored_winds(&stage).await;
    assert!(counts.values().all(|count| *count == 1), "doubled");
    let status = stage.until(is_subscribed).await;
    assert_eq!(number(&status, "/sources/0/lost"), 0);
    stage.gateway.stop().await.unwrap();
}
