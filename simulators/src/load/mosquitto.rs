//! A venue's broker with a backlog for two sessions: a bare subscriber's and the gateway's. Each takes it in its turn.

use std::{
    collections::VecDeque,
    io::Write as _,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rumqttc::v5::{
    AsyncClient, Event, EventLoop, Incoming, MqttOptions,
    mqttbytes::{QoS, v5::Packet},
};

use super::{
    Run,
    figure::{Figure, Goal},
    rig::{GATEWAY, Rig, Setting},
    usage::Usage,
};
use crate::clock::Clock;

const FILTER: &str = "load/#";
/// As the gateway asks for.
const RECEIVE_MAXIMUM: u16 = 1_024;
/// Requests that a client holds.
const QUEUE: usize = 4_096;
/// Nothing for so long is the end.
const PATIENCE: Duration = Duration::from_secs(30);
const CONFIGURATION: &str =
    "max_queued_messages 0\nmax_queued_bytes 0\nmax_inflight_messages 0\nallow_anonymous true\n";

/// A mosquitto of our own; killed when dropped.
struct Mosquitto {
    process: Child,
    port: u16,
}

impl Mosquitto {
    async fn start(folder: &Path) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let path = folder.join("mosquitto.conf");
        let mut config = std::fs::File::create(&path)?;
        write!(config, "listener {port} 127.0.0.1\n{CONFIGURATION}")?;
        let installed = "/usr/sbin/mosquitto";
        let program = if Path::new(installed).exists() { installed } else { "mosquitto" };
        let process = Command::new(program).arg("-c").arg(&path).stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = process.context("start mosquitto; is it installed?")?;
        let broker = Self { process, port };
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(broker);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("start mosquitto: it does not listen")
    }

    fn client(&self, name: &str) -> (AsyncClient, EventLoop) {
        let mut options = MqttOptions::new(name, "127.0.0.1", self.port);
        options.set_clean_start(false);
        options.set_session_expiry_interval(Some(3_600));
        options.set_receive_maximum(Some(RECEIVE_MAXIMUM));
        options.set_manual_acks(true);
        AsyncClient::new(options, QUEUE)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Measures a bare subscriber and the gateway on the same messages.
pub(super) async fn measure(folder: &Path, count: u64) -> anyhow::Result<Run> {
    let broker = Mosquitto::start(folder).await?;
    subscribe(&broker).await.context("subscribe")?;
    let more = format!(
        "[mqtt]\nbroker = \"mqtt://127.0.0.1:{}\"\n[[mqtt.topic]]\nname = \"sensors\"\nfilter = \"{FILTER}\"\n\
         [mqtt.topic.mapping]\ndevice_id = \"{{1}}\"\ntime = {{ pointer = \"/at\", format = \"ms\" }}\n\
         key = [\"/boot\", \"/seq\"]\nmeasurement = [{{ pointer = \"/temperature\", unit = \"Cel\" }}]\n",
        broker.port
    );
    let mut rig = Rig::set(folder, &Setting { more, ..Setting::default() }).await?;
    drop(rig.start().await?);
    rig.gateway.stop().await?;
    publish(&broker, count).await.context("publish")?;

    let bare = receive(&broker, count).await.context("receive")?;

    let before = rig.centre.snapshot();
    rig.gateway.start()?;
    let mine = |it: &crate::cloud::Snapshot| it.sequence(GATEWAY, "telemetry");
    let base = mine(&before);
    rig.centre.until(|it| mine(it) > base + 100).await?;
    let (begun, first) = (rig.clock.now(), mine(&rig.centre.snapshot()));
    let used: Usage = rig.usage()?;
    let mut reached = first;
    while reached < base + count {
        let more = rig.centre.until(|it| mine(it) > reached);
        let Ok(more) = tokio::time::timeout(PATIENCE, more).await else { bail!("only {} came", reached - base) };
        reached = mine(&more?);
    }
    let took = rig.clock.now() - begun;
    let cpu = rig.usage()?.cpu - used.cpu;
    rig.strike().await?;
    let gateway = (reached - first) as f64 / took.as_secs_f64();
    let figures = vec![
        Figure::new("of what the bare subscriber receives", "%", 100.0 * gateway / bare).with(Goal::AtLeast(85.0)),
        Figure::new("gateway", "per s", gateway),
        Figure::new("bare subscriber", "per s", bare),
        Figure::new(
            "gateway CPU per 100,000 messages",
            "s",
            cpu.as_secs_f64() / ((reached - first) as f64 / 100_000.0),
        ),
    ];
    Ok(Run { figures, ..Run::default() })
}

/// Makes the bare subscriber's session.
async fn subscribe(broker: &Mosquitto) -> anyhow::Result<()> {
    let (client, mut events) = broker.client("bare");
    client.subscribe(FILTER, QoS::AtLeastOnce).await?;
    while !matches!(events.poll().await?, Event::Incoming(Incoming::SubAck(_))) {}
    client.disconnect().await?;
    while events.poll().await.is_ok() {}
    Ok(())
}

async fn publish(broker: &Mosquitto, count: u64) -> anyhow::Result<()> {
    let (client, mut events) = broker.client("publisher");
    let publisher = tokio::spawn(async move {
        for number in 1..=count {
            let payload = format!(
                "{{\"boot\":1,\"seq\":{number},\"at\":{},\"temperature\":{}.5}}",
                1_795_862_537_000 + number,
                number % 40
            );
            client.publish(format!("load/{}", number % 100), QoS::AtLeastOnce, false, payload).await?;
        }
        anyhow::Ok(client)
    });
    let mut acknowledged = 0;
    while acknowledged < count {
        let event = tokio::time::timeout(PATIENCE, events.poll()).await??;
        acknowledged += u64::from(matches!(event, Event::Incoming(Packet::PubAck(_))));
    }
    let client = publisher.await??;
    client.disconnect().await?;
    while events.poll().await.is_ok() {}
    Ok(())
}

/// Takes all messages and acknowledges each at once; returns how many came a second.
async fn receive(broker: &Mosquitto, count: u64) -> anyhow::Result<f64> {
    let (client, mut events) = broker.client("bare");
    let (clock, mut received, mut begun) = (Clock::start(), 0, None);
    let mut owed = VecDeque::new();
    while received < count || !owed.is_empty() {
        if let Event::Incoming(Packet::Publish(publish)) = tokio::time::timeout(PATIENCE, events.poll()).await?? {
            begun.get_or_insert_with(|| clock.now());
            received += 1;
            owed.push_back(publish);
        }
        // The event loop that empties the queue of acknowledgements is this one: where it is full, they wait for the next round.
        while owed.front().is_some_and(|publish| client.try_ack(publish).is_ok()) {
            owed.pop_front();
        }
    }
    let rate = count as f64 / (clock.now() - begun.unwrap_or_default()).as_secs_f64();
    client.disconnect().await?;
    while events.poll().await.is_ok() {}
    Ok(rate)
}
