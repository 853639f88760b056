//! What those who watch over a gateway see: metrics, health, alerts and the dashboard, of the real gateway.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scrape;
#[path = "../stage/mod.rs"]
mod stage;
#[path = "../syscalls/strace.rs"]
mod strace;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use venue_schema::v1::Lane;
use venue_sim::{
    authority::{Authority, Ends},
    cloud::CloudConfig,
    gateway::{self, number, text},
};

use scrape::{Scrape, address, get};
use stage::{
    GATEWAY, PATIENCE, SMALL, STAGED_TELEMETRY, Stage,
    certificates::{centre_files, secured_uplink},
    cloud_in, eventually, is_delivering,
    printer::{Pace, Printer},
    timer::Timer,
};
use strace::Strace;

const HTTP: &str = "[http]\nlisten = \"127.0.0.1:0\"\n";
/// Nobody listens at its port.
const ABSENT_BROKER: &str = r#"
[mqtt]
broker = "mqtts://localhost:1"
tls = { ca = "ca.pem", cert = "gateway.pem", key = "gateway.key" }
[[mqtt.topic]]
name = "snow"
filter = "venue/+/snow"
mapping = { device_id = "snow-{1}", measurement = [{ pointer = "/t", name = "temperature", unit = "Cel" }] }
"#;
const PAGE: &str = include_str!("../../../docs/operations.md");
const ALERTS: &str = include_str!("../../../docs/operations/alert-rules.yml");
const DASHBOARD: &str = include_str!("../../../docs/operations/grafana-dashboard.json");

/// Waits for a scrape as wanted.
async fn until(address: SocketAddr, what: &str, wanted: impl Fn(&Scrape) -> bool) -> Scrape {
    eventually(what, async || Some(Scrape::of(address).await).filter(&wanted)).await
}

/// A sample of the one source.
fn of_source(name: &str) -> String {
    format!("{name}{{source=\"timer-a\"}}")
}

/// A sample of the results lane of the one uplink.
fn of_results(name: &str) -> String {
    format!("{name}{{uplink=\"centre\",lane=\"results\"}}")
}

/// More than are served at a time follow the events of a venue where nothing happens, ask nothing at all, or ask for a lane that there is
/// not, and are gone: `status` is answered all the same.
#[tokio::test]
async fn clients_of_the_control_socket_that_are_gone_leave_their_places() {
    let mut stage = Stage::set().await;
    let timer = Timer::start("timer-a");
    stage.configure(SMALL, &timer.source());
    stage.gateway.start().unwrap();
    timer.until_asked_again(0).await;
    stage.until(is_delivering).await;
    let socket = stage.data_dir().join("control.sock");
    let requests = [
        "{\"command\":\"tail\",\"last\":0,\"follow\":true,\"lane\":\"results\"}\n",
        "",
        "{\"command\":\"tail\",\"last\":0,\"follow\":true,\"lane\":\"x\"}\n",
    ];
    for request in requests {
        for _ in 0..20 {
            let mut client = std::os::unix::net::UnixStream::connect(&socket).unwrap();
            client.write_all(request.as_bytes()).unwrap();
        }
    }
    stage.until(is_delivering).await;
}

/// Events flow, the link is cut and comes back, the device falls silent and goes away: the numbers follow, and each page
/// says what it is for.
#[tokio::test]
async fn the_numbers_follow_what_happens() {
    let mut stage = Stage::set().await;
    let timer = Timer::start("timer-a");
    stage.configure(SMALL, &(timer.source() + "silence_alarm = \"1s\"\n" + HTTP));
    stage.gateway.start().unwrap();
    timer.until_asked_again(0).await;
    stage.until(is_delivering).await;
    let address = address(&stage).await;
    let ok = (200, "ok\n".to_owned());
    assert_eq!(get(address, "/readyz").await, ok);
    assert_eq!(get(address, "/healthz").await, ok);

    let before = Scrape::of(address).await;
    timer.impulses(5);
    stage.assert_exactly_once(&timer).await;
    let after =
        until(address, "nothing that waits", |it| it.value(&of_results("venue_uplink_backlog_records")) == 0.0).await;
    let rise = |sample: &str| after.value(sample) - before.value(sample);
    // Silence, and its end, are events, too.
    assert!(rise(&of_source("venue_source_events_total")) >= 5.0);
    assert_eq!(rise(&of_source("venue_source_frames_total")), 5.0);
    assert!(rise(&of_source("venue_source_received_bytes_total")) >= 5.0 * 20.0);
    assert!(rise(&of_results("venue_uplink_acknowledged_sequence")) >= 5.0);
    assert!(rise("venue_journal_committed_records_total{lane=\"results\"}") >= 5.0);
    assert!(rise("venue_journal_commit_duration_seconds_count") >= 1.0);
    assert!(rise("venue_journal_commit_duration_seconds_sum") > 0.0);
    assert!(rise(&of_source("venue_source_last_heard_timestamp_seconds")) > 0.0);
    let now = after.value("process_start_time_seconds");
    assert!(after.value(&of_source("venue_source_last_heard_timestamp_seconds")) > now - 60.0, "UTC seconds");
    assert_eq!(after.value(&of_results("venue_uplink_backlog_age_seconds")), 0.0);
    assert_eq!(after.value(&of_results("venue_uplink_backlog_disk_bytes")), 0.0);
    assert_eq!(after.value(&of_source("venue_source_connected")), 1.0);

    stage.link.cut();
    stage.until(|status| !is_delivering(status)).await;
    timer.impulses(3);
    let waits = |it: &Scrape| it.value(&of_results("venue_uplink_backlog_records")) >= 3.0;
    let cut = until(address, "results that wait", waits).await;
    let age = |it: &Scrape| it.value(&of_results("venue_uplink_backlog_age_seconds"));
    let older = until(address, "results that wait for longer", |it| age(it) > age(&cut) + 0.1).await;
    assert!(age(&older) < PATIENCE.as_secs_f64(), "seconds since they came");
    assert_eq!(older.value(&of_results("venue_uplink_delivering")), 0.0);
    assert_eq!(older.value("venue_all_results_delivered"), 0.0);
    // One segment of a quota of 16 MiB, of which there are eight.
    assert_eq!(older.value(&of_results("venue_uplink_backlog_disk_bytes")), 2.0 * 1024.0 * 1024.0);
    let (code, reasons) = get(address, "/readyz").await;
    assert_eq!(code, 503, "{reasons}");
    assert!(reasons.starts_with("uplink centre, results: "), "{reasons}");
    assert_eq!(get(address, "/healthz").await, ok, "a link that is down is no reason to restart");

    stage.link.restore();
    stage.assert_exactly_once(&timer).await;
    eventually("a gateway that is ready", async || (get(address, "/readyz").await == ok).then_some(())).await;
    until(address, "an age of nothing", |it| age(it) == 0.0).await;

    until(address, "silence", |it| it.value(&of_source("venue_source_silent")) == 1.0).await;
    assert_eq!(get(address, "/readyz").await, ok, "what a device does is no matter of readiness");
    drop(timer);
    let gone = until(address, "a line that is down", |it| it.value(&of_source("venue_source_connected")) == 0.0).await;
    assert_eq!(gone.value(&of_source("venue_source_silent")), 0.0);
    until(address, "an open gap", |it| it.value(&of_source("venue_source_gap_open")) == 1.0).await;
    assert_eq!(gone.value("venue_all_results_delivered"), 0.0);
    stage.gateway.stop().await.unwrap();
}

/// The centre is away for longer than there is room for telemetry, which sheds its oldest. What is counted is what the
/// centre is told that it will not get.
#[tokio::test]
async fn what_telemetry_sheds_is_counted() {
    let mut stage = Stage::set().await;
    let chatter = Printer::start(Pace { burst: 20, every: Duration::from_millis(1) });
    let small = "results = { quota = \"2MiB\", reserve = \"256KiB\" }\ntelemetry = { quota = \"2MiB\" }";
    stage.configure(small, &(chatter.source("chatter", "telemetry") + HTTP));
    stage.link.cut();
    stage.gateway.start().unwrap();
    let address = address(&stage).await;
    let shed = |it: &Scrape| it.value("venue_journal_shed_records_total{lane=\"telemetry\"}");
    assert_eq!(shed(&Scrape::of(address).await), 0.0);
    // More than the quota holds.
    stage.print(&[&chatter], 12_000).await;
    stage.link.restore();
    let waits = |status: &Value| number(status, "/uplinks/0/lanes/1/backlog") + number(status, STAGED_TELEMETRY);
    stage.until(|status| is_delivering(status) && waits(status) == 0).await;
    let counted = Scrape::of(address).await;
    stage.gateway.stop().await.unwrap();

    let stored = stage.stored(Lane::Telemetry).await;
    let skipped = stored.iter().filter(|row| row.gap).map(|row| row.sequence - row.first_sequence + 1);
    let declared: u64 = skipped.sum();
    assert!(declared > 0);
    assert_eq!(shed(&counted), declared as f64);
    assert_eq!(counted.value("venue_journal_shed_records_total{lane=\"results\"}"), 0.0);
    assert_eq!(counted.value("venue_source_lost_events_total{source=\"chatter\"}"), 0.0, "the newest all got in");
}

/// The disk fails for a while, and hangs for a while: `/healthz` says so at once, though nobody gets an answer from the
/// disk. When it is over the gateway is well again by itself, and nothing is lost.
#[tokio::test]
async fn a_disk_that_fails_or_hangs_is_told() {
    if let Some(what) = Strace::missing() {
        println!("skipped: needs {what}");
        return;
    }
    let mut stage = Stage::set().await;
    let timer = Timer::start("timer-a");
    stage.configure(SMALL, &(timer.source() + HTTP));
    stage.start(&timer).await;
    let address = address(&stage).await;
    let ok = (200, "ok\n".to_owned());
    let healthy = async || (get(address, "/healthz").await == ok).then_some(());
    let trouble = async || Some(get(address, "/healthz").await).filter(|it| *it != ok);
    let process = stage.gateway.id().unwrap();
    let log = stage.path("strace.log");

    let inject = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO"];
    let strace = Strace::attach(process, &inject, &log).await;
    timer.impulses(1);
    let (code, reasons) = eventually("a failing disk that is told", trouble).await;
    assert!(code == 503 && reasons.starts_with("the journal cannot be written: "), "{code} {reasons}");
    assert_eq!(get(address, "/readyz").await.0, 503);
    let halted = Scrape::of(address).await;
    assert_eq!(halted.value("venue_journal_halted"), 1.0);
    assert_eq!(halted.value("venue_journal_halts_total"), 1.0);
    strace.detach().await;
    eventually("a disk that works again", healthy).await;
    stage.assert_exactly_once(&timer).await;
    assert_eq!(Scrape::of(address).await.value("venue_journal_halted"), 0.0);

    let inject = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=100s"];
    let strace = Strace::attach(process, &inject, &log).await;
    timer.impulses(1);
    // Whoever asks for the state of the journal is told that it is not to be had, and stands in nobody's way.
    eventually("a state that is not to be had", async || (get(address, "/metrics").await.0 == 503).then_some(())).await;
    let metrics = tokio::join!(get(address, "/metrics"), get(address, "/metrics"), get(address, "/metrics"));
    for (code, text) in [metrics.0, metrics.1, metrics.2] {
        assert!(code == 503 && text.contains("the disk has not answered"), "{code} {text}");
    }
    let (code, reasons) = eventually("a disk that hangs and is told", trouble).await;
    assert!(code == 503 && reasons.starts_with("the disk has not answered the journal for "), "{code} {reasons}");
    assert_eq!(get(address, "/readyz").await.0, 503);
    strace.detach().await;
    eventually("a disk that answers again", healthy).await;
    stage.assert_exactly_once(&timer).await;
    Scrape::of(address).await;
    stage.gateway.stop().await.unwrap();
}

/// What the documentation, the alerts and the dashboard name is what a gateway with a secured uplink says, and
/// Prometheus' own tool has nothing to say against it.
#[tokio::test]
async fn what_is_documented_is_what_is_served() {
    let (authority, timer) = (Authority::new("venue authority").unwrap(), Timer::start("timer-a"));
    let mut stage = Stage::set_with(|folder| {
        authority.equip(folder, GATEWAY).unwrap();
        CloudConfig { tls: Some(centre_files(folder)), ..cloud_in(folder) }
    })
    .await;
    stage.configure_uplink(
        SMALL,
        &(timer.source() + ABSENT_BROKER + HTTP),
        &secured_uplink(stage.cloud.address().port()),
    );
    stage.gateway.start().unwrap();
    timer.until_asked_again(0).await;
    timer.impulses(1);
    stage.assert_exactly_once(&timer).await;
    let address = address(&stage).await;
    let scrape = Scrape::of(address).await;

    let served = scrape.metrics();
    let mut documented = documented();
    // Nothing may bound the clock's error here, and then it has no sample.
    assert!(documented.contains_key("venue_clock_maximum_error_seconds"));
    for (name, it) in &mut documented {
        assert_eq!(Some(&*it), served.get(name), "{name}: what is documented, and what is served");
    }
    assert_eq!(documented.len(), served.len(), "{:?}", served.keys());

    let series = scrape.series();
    for (file, text) in [("the alerts", ALERTS), ("the dashboard", DASHBOARD)] {
        let named = named(text);
        assert!(named.len() > 10, "{named:?}");
        let unknown: Vec<_> =
            named.iter().filter(|name| !series.contains(*name) && !served.contains_key(**name)).collect();
        assert!(unknown.is_empty(), "{file} name {unknown:?}, which the gateway does not serve");
    }

    let expiry = "venue_uplink_certificate_expiry_timestamp_seconds{uplink=\"centre\",certificate=\"gateway\"}";
    let in_2090 = 3_786_912_000.0;
    assert_eq!(scrape.value(expiry), in_2090);
    authority.sign(&stage.path(""), "gateway", GATEWAY, Ends::Early).unwrap();
    let replaced = Scrape::of(address).await;
    assert!(replaced.value(expiry) < in_2090, "a file that is replaced is read again");
    let of_broker = "venue_mqtt_certificate_expiry_timestamp_seconds{certificate=\"gateway\"}";
    assert_eq!(replaced.value(of_broker), replaced.value(expiry), "it is one file");

    promtool(&["check", "metrics"], Path::new("."), &scrape.text);
    stage.gateway.stop().await.unwrap();
}

/// The alerts are sound, and each fires for what it is meant for and for nothing else.
#[test]
fn each_alert_fires_for_what_it_is_meant_for() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("alert-rules.yml"), ALERTS).unwrap();
    std::fs::write(folder.path().join("alerts.yml"), include_str!("alerts.yml")).unwrap();
    promtool(&["check", "rules", "alert-rules.yml"], folder.path(), "");
    promtool(&["test", "rules", "alerts.yml"], folder.path(), "");
    let names = |text: &'static str, before: &str| -> BTreeSet<&str> {
        text.split(before).skip(1).map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap()).collect()
    };
    let alerts = names(ALERTS, "- alert: ");
    assert_eq!(
        names(include_str!("alerts.yml"), "alertname=\""),
        alerts,
        "the alerts that are tested, and those there are"
    );
    assert_eq!(names(PAGE, "\n| `Venue").len(), alerts.len(), "the alerts that are documented");
    assert!(alerts.iter().all(|alert| PAGE.contains(&format!("\n| `{alert}` |"))), "{alerts:?}");
}

/// Two gateways with one port: the second says which, and ends with the documented code; nothing is read meanwhile.
#[tokio::test]
async fn a_port_in_use_is_told_at_the_start() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let mut stage = Stage::set().await;
    let timer = Timer::start("timer-a");
    stage.configure(SMALL, &format!("{}[http]\nlisten = \"{address}\"\n", timer.source()));
    stage.gateway.start().unwrap();
    assert_eq!(stage.gateway.ended(PATIENCE).await.unwrap(), Some(1));
    let log = stage.log();
    assert!(log.contains(&format!("failed to listen at {address} for /metrics: ")), "{log}");
    assert!(log.contains("free the port, or correct `http.listen`"), "{log}");
    assert_eq!(timer.asked(), 0, "no device was asked");

    drop(other);
    stage.gateway.start().unwrap();
    let status = stage.until(gateway::all_connected).await;
    assert_eq!(text(&status, "/gateway_id"), GATEWAY);
    stage.gateway.stop().await.unwrap();
}

/// The table of metrics: each with its type and its labels.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let (_, section) = PAGE.split_once("\n## Metrics\n").unwrap();
    let rows = section.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with("| `"));
    let plain = |cell: &str| cell.trim().trim_matches('`').to_owned();
    let row = |row: &str| {
        let cells: Vec<&str> = row.split('|').collect();
        let [_, name, kind, labels, ..] = cells[..] else { panic!("{row}") };
        let labels = labels.split(',').map(plain).filter(|label| !label.is_empty()).collect();
        (plain(name), (plain(kind), labels))
    };
    rows.map(row).collect()
}

/// Names of ours in a text of queries.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("venue_") || word.starts_with("process_")).collect()
}

/// Runs Prometheus' tool in a folder, and asserts that it finds nothing to say.
fn promtool(words: &[&str], folder: &Path, input: &str) {
    let mut command = Command::new("promtool");
    command.args(words).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool is of Debian's package `prometheus`");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "promtool {words:?}: {output:#?}");
}
