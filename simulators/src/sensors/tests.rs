//! Fleets against a real broker within this process.

use std::collections::BTreeMap;

use rumqttc::v5::{
    AsyncClient, Event, MqttOptions,
    mqttbytes::{QoS, v5::Packet},
};

use super::*;
use crate::{
    broker,
    link::{Link, LinkConfig},
};

async fn config(messages: u64) -> FleetConfig {
    let broker = format!("mqtt://{}", broker::start().await.expect("a broker")).parse().expect("its address");
    FleetConfig { messages: Some(messages), interval: Duration::from_millis(2), ..FleetConfig::new(broker) }
}

/// Subscribes to everything, and counts each sensor's messages by what they say of boot and number.
struct Subscriber {
    counts: Arc<Mutex<BTreeMap<(String, String), u64>>>,
    _tasks: JoinSet<()>,
}

impl Subscriber {
    async fn start(broker: &BrokerAddress) -> Self {
        let (client, mut events) = AsyncClient::new(MqttOptions::new("subscriber", &broker.host, broker.port), 10);
        client.subscribe("venue/#", QoS::AtLeastOnce).await.expect("room for it");
        while !matches!(events.poll().await.expect("a connection"), Event::Incoming(Packet::SubAck(_))) {}
        let counts: Arc<Mutex<BTreeMap<(String, String), u64>>> = Arc::default();
        let (mut tasks, counted) = (JoinSet::new(), Arc::clone(&counts));
        tasks.spawn(async move {
            let _client = client;
            while let Ok(event) = events.poll().await {
                if let Event::Incoming(Packet::Publish(publish)) = event {
                    let said: serde_json::Value = serde_json::from_slice(&publish.payload).expect("JSON");
                    let key = format!("{}|{}", said["boot"], said["seq"]);
                    let topic = String::from_utf8(publish.topic.to_vec()).expect("a topic");
                    *counted.lock().expect("no panic").entry((topic, key)).or_default() += 1;
                }
            }
        });
        Self { counts, _tasks: tasks }
    }

    /// Waits until all of these came, and returns how often each did.
    async fn until(&self, samples: &[Sample]) -> Vec<u64> {
        loop {
            let counts = self.counts.lock().expect("no panic").clone();
            let of = |sample: &Sample| counts.get(&(sample.topic.clone(), sample.key.clone())).copied();
            if let Some(counts) = samples.iter().map(of).collect::<Option<Vec<_>>>() {
                return counts;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A dozen sensors of four kinds say what they have to say and end; the ledger promises exactly that, and a subscriber
/// gets it.
#[tokio::test]
async fn what_is_acknowledged_is_delivered() {
    let config = config(25).await;
    let subscriber = Subscriber::start(&config.broker).await;
    let fleet = SensorFleet::start(&config);
    let report = fleet.until(|report| report.running == 0).await;
    assert_eq!((report.samples, report.acknowledged, report.waiting), (300, 300, 0));
    assert_eq!((report.unheard, report.refused, report.skipped, report.connected), (0, 0, 0, 0));
    let ledger = fleet.ledger();
    assert!(ledger.samples.iter().all(|sample| sample.acknowledged_utc_ns >= Some(sample.measured_utc_ns)));
    assert!(subscriber.until(&ledger.samples).await.iter().all(|count| *count == 1));
    let of_kind = |topic: &str| ledger.samples.iter().filter(|sample| sample.topic.ends_with(topic)).count();
    assert_eq!((of_kind("/wind"), of_kind("/state")), (75, 225));
    assert!(ledger.samples.iter().any(|sample| sample.topic == "venue/battery-12/state"));
}

/// The network goes and comes back: what was measured meanwhile is kept and published, what was on its way is
/// published again, and nothing counts as promised without its acknowledgement.
#[tokio::test]
async fn a_sensor_keeps_what_the_broker_did_not_take() {
    let config = config(200).await;
    let subscriber = Subscriber::start(&config.broker).await;
    let link = Link::start(LinkConfig::to(format!("{}:{}", config.broker.host, config.broker.port))).expect("a link");
    let broker = format!("mqtt://{}", link.address()).parse().expect("an address");
    let fleet = SensorFleet::start(&FleetConfig { broker, ..config });
    for wanted in [100, 400] {
        fleet.until(|report| report.acknowledged >= wanted).await;
        link.cut();
        let cut = fleet.until(|report| report.connected == 0 && report.waiting > 100).await;
        assert!(cut.last_error.is_some());
        let promised = fleet.ledger().samples.iter().filter(|it| it.acknowledged_utc_ns.is_some()).count();
        assert_eq!(promised as u64, cut.acknowledged);
        link.restore();
    }
    let report = fleet.until(|report| report.running == 0).await;
    assert_eq!((report.samples, report.acknowledged), (2_400, 2_400));
    subscriber.until(&fleet.ledger().samples).await;
}

/// At QoS 0 a sensor says it all and nothing is promised.
#[tokio::test]
async fn nothing_is_promised_at_qos_0() {
    let fleet = SensorFleet::start(&FleetConfig { qos: 0, ..config(5).await });
    let report = fleet.until(|report| report.running == 0).await;
    assert_eq!((report.samples, report.acknowledged, report.waiting), (60, 0, 0));
    assert!(fleet.ledger().samples.iter().all(|sample| sample.acknowledged_utc_ns.is_none()));
}

/// Asked to finish, a fleet without end measures nothing more and waits for the broker.
#[tokio::test]
async fn a_fleet_finishes_when_asked() {
    let fleet = SensorFleet::start(&FleetConfig { messages: None, ..config(0).await });
    fleet.until(|report| report.acknowledged >= 24).await;
    fleet.finish();
    let report = fleet.until(|report| report.running == 0).await;
    assert_eq!((report.waiting, report.acknowledged), (0, report.samples));
}

#[test]
fn a_broker_is_a_url_with_a_port() {
    let address = |text: &str| text.parse::<BrokerAddress>().map(|it| (it.host, it.port));
    assert_eq!(address("mqtt://broker.venue:1883"), Ok(("broker.venue".to_owned(), 1883)));
    assert_eq!(address("mqtt://[::1]:1883"), Ok(("[::1]".to_owned(), 1883)));
    for wrong in ["broker:1883", "mqtt://broker", "mqtts://broker:8883", "mqtt://:1883", "mqtt://b:0", "mqtt://a@b:1"] {
        assert_eq!(address(wrong), Err(InvalidBroker(wrong.to_owned())));
    }
}
