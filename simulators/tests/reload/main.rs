//! A configuration that is changed while the gateway runs: what changed is taken, the rest goes on as if nothing were.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../gateway/tests/mqtt/broker.rs"]
mod broker;
#[expect(dead_code, reason = "a part of it is needed here")]
#[path = "../operations/scrape.rs"]
mod scrape;
#[path = "../stage/mod.rs"]
mod stage;

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use broker::Broker;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::{Value, json};
use venue_schema::v1::{GapState, Lane, event};
use venue_sim::{
    device::Attachment,
    gateway::{self, number, text},
};

use scrape::Scrape;
use stage::{
    BACKLOG, LAST_DURABLE, SMALL, Stage, eventually, is_delivering,
    printer::{self, Pace, Printer},
    timer::Timer,
    uplink,
};

const PACE: Pace = Pace { burst: 10, every: Duration::from_millis(1) };

/// Names of the sources that status shows, in its order.
fn sources(status: &Value) -> Vec<&str> {
    status["sources"].as_array().unwrap().iter().map(|source| text(source, "/name")).collect()
}

/// Why the file is refused.
fn refused(status: &Value) -> Vec<&str> {
    status["configuration"]["refused"].as_array().unwrap().iter().map(|why| why.as_str().unwrap()).collect()
}

/// Numbers of the impulses of a source that the centre holds, in the order in which they came.
async fn impulses(stage: &Stage, source: &str) -> Vec<u64> {
    let events = stage.stored(Lane::Results).await.into_iter().map(|stored| stored.event().unwrap());
    let of_source = events.filter(|event| event.device_id == source);
    of_source.filter_map(|event| printer::number(&event.evidence)).collect()
}

/// States of the gap of a source that the centre holds.
async fn gap(stage: &Stage, source: &str) -> Vec<GapState> {
    let events = stage.stored(Lane::Results).await.into_iter().map(|stored| stored.event().unwrap());
    let gaps = events.filter_map(|event| match event.content {
        Some(event::Content::Gap(gap)) if gap.gap_id.starts_with(&format!("dark-{source}-")) => Some(gap),
        _ => None,
    });
    let gaps: Vec<_> = gaps.collect();
    assert!(gaps.iter().all(|gap| gap.gap_id == gaps[0].gap_id), "one gap: {gaps:?}");
    gaps.iter().map(|gap| gap.state()).collect()
}

/// The uplink is away and results wait. A third source comes by an edit and SIGHUP, one goes by an edit alone, and comes
/// back. The first prints all the while on the one connection that it ever had. When the uplink is back the centre has
/// every impulse of each once and in order; the time in which nobody heard the one that was gone is declared.
#[tokio::test]
async fn sources_come_and_go_without_touching_the_others() {
    let mut stage = Stage::set().await;
    let (start, split, finish) = (Printer::start(PACE), Printer::start(PACE), Printer::start(PACE));
    let source_of = |name: &str| match name {
        "start" => start.source("start", "results"),
        "split" => split.source("split", "results"),
        _ => finish.source("finish", "results"),
    };
    let configure = |stage: &Stage, names: &[&str]| {
        let sources: String = names.iter().map(|&name| source_of(name)).collect();
        stage.configure(SMALL, &sources);
    };
    configure(&stage, &["start", "finish"]);
    stage.gateway.start().unwrap();
    stage.until(is_delivering).await;
    stage.print(&[&start, &finish], 50).await;
    stage.until(gateway::results_delivered).await;
    stage.link.cut();
    stage.until(|status| !is_delivering(status)).await;
    let status = stage.print(&[&start, &finish], 200).await;
    let mut waiting = number(&status, BACKLOG);
    assert!(waiting >= 400, "{status:#}");

    start.allow_more(1_000);
    configure(&stage, &["start", "split", "finish"]);
    stage.gateway.reload().unwrap();
    split.until_connected(1).await;
    let status = stage.print(&[&start, &split, &finish], 100).await;
    assert_eq!(sources(&status), ["start", "split", "finish"]);

    start.allow_more(1_000);
    configure(&stage, &["start", "split"]);
    let status = stage.until(|status| sources(status) == ["start", "split"]).await;
    assert!(number(&status, BACKLOG) > waiting, "{status:#}");
    waiting = number(&status, BACKLOG);
    stage.print(&[&start, &split], 100).await;

    configure(&stage, &["finish", "split", "start"]);
    stage.gateway.reload().unwrap();
    finish.until_connected(2).await;
    let status = stage.print(&[&finish, &split, &start], 100).await;
    assert!(number(&status, BACKLOG) > waiting + 400, "{status:#}");
    assert_eq!(refused(&status), [""; 0]);

    stage.link.restore();
    for (name, printer, connections, count) in
        [("start", &start, 1, 2_550), ("split", &split, 1, 300), ("finish", &finish, 2, 450)]
    {
        eventually("every impulse", async || (impulses(&stage, name).await.len() >= count).then_some(())).await;
        let stored = impulses(&stage, name).await;
        assert!(stored.iter().copied().eq(0..count as u64), "{name}: {stored:?}");
        assert_eq!((printer.printed(), printer.connections().len()), (count as u64, connections), "{name}");
    }
    assert_eq!(gap(&stage, "finish").await, [GapState::Open, GapState::Closed]);
    assert_eq!(stage.cloud.snapshot().lanes.len(), 2, "one journal, two lanes");
    stage.gateway.stop().await.unwrap();
}

/// A file with a mistake, and then none at all: nothing of it is taken, `status`, the log and Prometheus say why, and
/// what was in force stays. Once it is mended it is taken; what cannot change while the gateway runs keeps its value, and
/// `status` says so.
#[tokio::test]
async fn a_bad_file_is_refused_as_a_whole() {
    const HTTP: &str = "[http]\nlisten = \"127.0.0.1:0\"\n";
    let mut stage = Stage::set().await;
    let (start, finish) = (Printer::start(PACE), Printer::start(PACE));
    let (one, other) = (start.source("start", "results") + HTTP, finish.source("finish", "results"));
    stage.configure(SMALL, &one);
    stage.gateway.start().unwrap();
    start.until_connected(1).await;
    let address = scrape::address(&stage).await;
    let successful = async || Scrape::of(address).await.value("venue_config_last_reload_successful");
    assert_eq!(successful().await, 1.0);

    stage.configure(SMALL, &(one.clone() + &other + "silence_alrm = \"30s\"\n"));
    stage.gateway.reload().unwrap();
    let status = stage.until(|status| !refused(status).is_empty()).await;
    let [why] = refused(&status)[..] else { panic!("{status:#}") };
    let site = fs::read_to_string(stage.gateway.config()).unwrap();
    let line = 1 + site.lines().position(|line| line.starts_with("silence_alrm")).unwrap();
    assert!(why.contains(&format!("gateway.toml:{line}:1: unknown key `silence_alrm`; did you mean `silence_alarm`?")));
    assert_eq!(sources(&status), ["start"]);
    assert_eq!(successful().await, 0.0);
    let config = stage.gateway.config();
    let (_, text, _) = stage.gateway.command(&["status", "--config", config.to_str().unwrap()]).await.unwrap();
    assert!(text.contains("gateway.toml IS REFUSED; what was taken 20") && text.contains(why), "{text}");
    assert!(stage.log().contains(why), "{}", stage.log());
    stage.print(&[&start], 20).await;

    let mended = one.clone() + &other;
    fs::rename(&config, stage.path("away")).unwrap();
    let cannot_read = "gateway.toml: cannot read the configuration: No such file or directory";
    eventually("the missing file in the log", async || stage.log().contains(cannot_read).then_some(())).await;
    assert_eq!(successful().await, 0.0);
    assert!(finish.connections().is_empty(), "nothing of it was taken");

    // As an editor does it: the new file whole beside the old one, then in its place. Nobody says so.
    let site = site.replace("silence_alrm = \"30s\"\n", "").replace("venue = \"stade-1\"", "venue = \"stade-2\"");
    fs::write(stage.path("new"), site.replace(HTTP, "[http]\nlisten = \"127.0.0.1:9\"\n")).unwrap();
    fs::rename(stage.path("new"), &config).unwrap();
    finish.until_connected(1).await;
    let status = stage.until(|status| refused(status).is_empty()).await;
    assert_eq!(status["configuration"]["needs_restart"], json!(["gateway.venue", "http.listen"]), "{status:#}");
    assert_eq!((sources(&status), status["venue_id"].as_str()), (vec!["start", "finish"], Some("stade-1")));
    let scrape = Scrape::of(address).await;
    assert_eq!(scrape.value("venue_config_last_reload_successful"), 1.0);
    assert_eq!(scrape.value("venue_config_restart_needed"), 1.0);
    let taken_at = scrape.value("venue_config_last_reload_success_timestamp_seconds");
    assert!(taken_at > scrape.value("process_start_time_seconds"), "{taken_at}");
    stage.print(&[&start, &finish], 20).await;

    stage.configure(SMALL, &mended);
    stage.until(|status| status["configuration"]["needs_restart"] == json!([])).await;
    assert_eq!((start.connections().len(), finish.connections().len()), (1, 1), "no line was left");
    stage.gateway.stop().await.unwrap();
}

/// A source whose port is not there yet is refused, as `check` does it. Once the port is plugged in it is taken, though
/// nobody touches the file. A port that was unplugged since holds up no other source; and once its source is taken out of the
/// file, the time in which it was not heard is over.
#[tokio::test]
async fn a_port_that_is_plugged_in_later_is_taken() {
    let mut stage = Stage::set().await;
    let port = stage.path("port");
    let plug = Attachment::Pty { link: Some(port.clone()) };
    let start = Printer::start(PACE);
    let serial = format!(
        "[[source]]\nname = \"timer-a\"\ndevice = \"alge-timy\"\nserial = {{ port = \"{}\" }}\n\n",
        port.display()
    );
    stage.configure(SMALL, &start.source("start", "results"));
    stage.gateway.start().unwrap();
    start.until_connected(1).await;
    stage.configure(SMALL, &(start.source("start", "results") + &serial));
    let told = format!("there is no port {}", port.display());
    stage.until(|status| refused(status).iter().any(|why| why.contains(&told))).await;

    let timer = Timer::start_at("timer-a", plug);
    stage.until(|status| refused(status).is_empty() && gateway::all_connected(status)).await;
    timer.impulses(3);
    stage.assert_exactly_once(&timer).await;

    // Of a plug that is pulled nobody knows how much it said before.
    let timer_gap = async |states: &[GapState]| {
        eventually("the gap", async || (gap(&stage, "timer-a").await == states).then_some(())).await;
    };
    drop(timer);
    timer_gap(&[GapState::Open]).await;
    stage.until(|status| text(status, "/sources/1/state") == "disconnected").await;
    let finish = Printer::start(PACE);
    stage.configure(SMALL, &(start.source("start", "results") + &serial + &finish.source("finish", "results")));
    stage.gateway.reload().unwrap();
    finish.until_connected(1).await;
    stage.configure(SMALL, &(start.source("start", "results") + &finish.source("finish", "results")));
    timer_gap(&[GapState::Open, GapState::Closed]).await;
    assert_eq!((start.connections().len(), finish.connections().len()), (1, 1));
    stage.gateway.stop().await.unwrap();
}

/// The centre has moved, and results wait for it. A command for alarms is added: it is told of them. The new address is
/// written into the file: what waited arrives, in order, and no device notices.
#[tokio::test]
async fn an_uplink_and_the_alarms_are_changed_while_results_wait() {
    let mut stage = Stage::set().await;
    let start = Printer::start(PACE);
    let source = start.source("start", "results");
    stage.configure(SMALL, &source);
    stage.gateway.start().unwrap();
    stage.until(is_delivering).await;
    stage.link.cut();
    stage.until(|status| !is_delivering(status)).await;
    stage.print(&[&start], 100).await;

    let command = stage.path("venue-alarm");
    fs::write(&command, "#!/bin/sh\nprintf '%s\\n' \"$1\" >> \"$(dirname \"$0\")/texts\"\n").unwrap();
    fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).unwrap();
    let alarm = "[alarm]\ncommand = \"venue-alarm\"\nresults_wait = \"1s\"\n";
    stage.configure(SMALL, &format!("{source}{alarm}"));
    stage.gateway.reload().unwrap();
    eventually("an alarm", async || {
        let told = fs::read_to_string(stage.path("texts")).unwrap_or_default();
        told.contains("ALARM: results wait for the uplink centre: ").then_some(())
    })
    .await;

    let before = number(&stage.print(&[&start], 100).await, LAST_DURABLE);
    let elsewhere = uplink(&[format!("http://{}", stage.cloud.address())]);
    stage.configure_uplink(SMALL, &source, &elsewhere);
    stage.gateway.reload().unwrap();
    let status = stage.until(gateway::results_delivered).await;
    assert!(number(&status, LAST_DURABLE) >= before, "{status:#}");
    stage.print(&[&start], 100).await;
    stage.until(gateway::results_delivered).await;
    assert!(impulses(&stage, "start").await.into_iter().eq(0..300));
    assert_eq!(start.connections().len(), 1);
    stage.gateway.stop().await.unwrap();
}

/// A topic is added to one lane at the broker. It is subscribed to, and the other lane's connection stays as it is. The
/// password is another in the same file: both connect anew once they are told.
#[tokio::test]
async fn a_topic_is_added_without_touching_the_other_lane() {
    let broker = Broker::start("").await;
    let mut stage = Stage::set().await;
    let wind = topic("wind", "\nlane = \"results\"");
    let password = stage.path("password");
    fs::write(&password, "old").unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let mqtt = format!(
        "[mqtt]\nbroker = \"mqtt://127.0.0.1:{}\"\nusername = \"venue\"\npassword_file = \"password\"\n{wind}{}",
        broker.port,
        topic("snow", "")
    );
    stage.configure(SMALL, &mqtt);
    stage.gateway.start().unwrap();
    stage.until(gateway::all_connected).await;
    publish(&broker, "wind", 10).await;
    stage.until(|status| number(status, "/sources/0/frames") == 10).await;

    stage.configure(SMALL, &(mqtt + &topic("hail", "")));
    stage.gateway.reload().unwrap();
    stage.until(|status| sources(status) == ["wind", "snow", "hail"] && gateway::all_connected(status)).await;
    publish(&broker, "wind", 5).await;
    publish(&broker, "snow", 6).await;
    publish(&broker, "hail", 7).await;
    let frames = |status: &Value| [0, 1, 2].map(|index| number(status, &format!("/sources/{index}/frames")));
    let status = stage.until(|status| frames(status) == [15, 6, 7]).await;
    assert_eq!(number(&status, "/sources/0/connects"), 1, "it never connected again: {status:#}");
    let connections = || stage.log().matches("connected by MQTT").count();
    assert_eq!(connections(), 3, "results once, telemetry twice");

    fs::write(&password, "new").unwrap();
    stage.gateway.reload().unwrap();
    eventually("connections with the new password", async || (connections() == 5).then_some(())).await;
    stage.gateway.stop().await.unwrap();
}

/// A topic whose messages are measurements.
fn topic(name: &str, lane: &str) -> String {
    format!(
        "\n[[mqtt.topic]]\nname = \"{name}\"\nfilter = \"venue/{name}\"{lane}\nmapping = {{ device_id = \"{name}-1\", \
         measurement = [{{ pointer = \"/t\", name = \"temperature\", unit = \"Cel\" }}] }}\n"
    )
}

/// Publishes so many messages, and waits until the broker has them.
async fn publish(broker: &Broker, name: &str, count: usize) {
    let (client, mut events) =
        AsyncClient::new(MqttOptions::new(format!("sensor-{name}"), "127.0.0.1", broker.port), 100);
    for number in 0..count {
        let payload = format!("{{\"t\":{number}.5}}");
        client.publish(format!("venue/{name}"), QoS::AtLeastOnce, false, payload).await.unwrap();
    }
    let mut acknowledged = 0;
    while acknowledged < count {
        if let Event::Incoming(Packet::PubAck(_)) = events.poll().await.unwrap() {
            acknowledged += 1;
        }
    }
}

/// An uplink gets another name while results wait for it. What it has not received is kept, and status, the log and a
/// stopped gateway's journal say for whom, until somebody lets it go; the uplink of the configuration cannot be let go.
#[tokio::test]
async fn what_an_uplink_that_is_gone_has_not_received_is_kept_until_it_is_let_go() {
    let mut stage = Stage::set().await;
    let printer = Printer::start(PACE);
    let named = |stage: &Stage, name: &str| {
        let uplink = uplink(&[format!("http://{}", stage.link.address())]).replace("\"centre\"", &format!("{name:?}"));
        stage.configure_uplink(SMALL, &printer.source("finish", "results"), &uplink);
    };
    let former = |status: &Value| -> Vec<String> {
        let former = status["former_uplinks"].as_array().unwrap().iter();
        former.map(|it| text(it, "/name").to_owned()).collect()
    };
    named(&stage, "centre");
    stage.gateway.start().unwrap();
    stage.until(is_delivering).await;
    stage.link.cut();
    let before = stage.print(&[&printer], 50).await;
    assert_eq!(former(&before), [""; 0]);

    named(&stage, "archive");
    stage.gateway.reload().unwrap();
    let status = stage.until(|status| former(status) == ["centre"]).await;
    assert!(number(&status, "/former_uplinks/0/lanes/0/backlog") >= 50, "{status:#}");
    let (data, config) = (stage.data_dir(), stage.gateway.config());
    let (data, config) = (data.to_str().unwrap(), config.to_str().unwrap());
    let help = format!("venue-gateway journal release {data} centre");
    assert!(text(&status, "/former_uplinks/0/help").contains(&help), "{status:#}");
    assert!(stage.log().contains(&help));
    stage.link.restore();
    stage.until(gateway::results_delivered).await;

    let refused = [
        ("archive", "the configuration has an uplink `archive`"),
        ("centr", "is called `centr`; there are archive, centre"),
    ];
    for (name, why) in refused {
        let (code, _, told) = stage.gateway.command(&["journal", "release", data, name]).await.unwrap();
        assert!(code == Some(1) && told.contains(why), "{code:?}, {told}");
    }
    let (code, told, errors) = stage.gateway.command(&["journal", "release", data, "centre"]).await.unwrap();
    assert_eq!(code, Some(0), "{errors}");
    assert!(told.starts_with("nothing is kept for `centre` any longer: it has not received "), "{told}");
    assert!(stage.log().contains("told to keep nothing any longer for a former uplink"));
    stage.until(|status| former(status).is_empty()).await;

    // The same of a gateway that does not run.
    stage.gateway.stop().await.unwrap();
    named(&stage, "third");
    let status = ["status", "--json", "--config", config];
    let (_, told, _) = stage.gateway.command(&status).await.unwrap();
    assert_eq!(former(&serde_json::from_str(&told).unwrap()), ["archive"]);
    let words = ["journal", "release", data, "archive", "--json", "--config", config];
    let (code, told, errors) = stage.gateway.command(&words).await.unwrap();
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap()["uplink"], "archive");
    let (_, told, _) = stage.gateway.command(&status).await.unwrap();
    assert_eq!(former(&serde_json::from_str(&told).unwrap()), [""; 0]);
}
