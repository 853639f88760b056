//! The disk fails under the real gateway, and the order of its system calls.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../gateway/tests/mqtt/broker.rs"]
mod broker;
#[path = "../stage/mod.rs"]
mod stage;
mod strace;
mod trace;

use std::{collections::BTreeMap, path::Path, time::Duration};

use broker::Broker;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use stage::{
    GATEWAY, LAST_DURABLE, STAGED, Stage, printer,
    printer::{Pace, Printer, line},
};
use strace::Strace;
use trace::Call;
use venue_schema::v1::Lane;
use venue_sim::gateway::{self, number, text};

/// With segments of 1 MiB.
const JOURNAL: &str = "results = { quota = \"8MiB\", reserve = \"1MiB\" }";
/// Impulses in pieces that a segment holds many of.
const PORTION: u64 = 400;
/// Messages to a broker.
const MESSAGES: u64 = 30;
/// More impulses than a segment holds.
const SEGMENT: u64 = 2_500;

/// Ways in which the disk fails, each for a while, and how many impulses come in each part
/// of it: those that hit a rotation must fill a segment.
const FAILURES: [(&str, u64); 6] = [
    ("fdatasync:error=EIO", PORTION),
    ("pwrite64:error=EIO", PORTION),
    ("fdatasync:error=ENOSPC", PORTION),
    ("pwrite64:error=ENOSPC", PORTION),
    ("rename:error=EIO", SEGMENT),
    ("fsync:error=EIO", SEGMENT),
];

/// The disk fails in six ways while impulses come: at a commit, by an error or for want of
/// space, and at a rotation, whose file gets no name or whose name is not safe. The gateway
/// stays up and says that results cannot be made safe; nothing that no sync covered is
/// shown to the cloud or to `tail`, however much comes meanwhile; when the failure ends the
/// journal is reopened by itself, and the cloud has every impulse, once and in order.
#[tokio::test]
async fn a_failing_disk_halts_the_journal_and_no_result_is_lost_or_shown_early() {
    if let Some(what) = Strace::missing() {
        println!("skipped: needs {what}");
        return;
    }
    let mut stage = Stage::set().await;
    let printer = Printer::start(Pace { burst: 10, every: Duration::from_millis(1) });
    stage.configure(JOURNAL, &printer.source("timer", "results"));
    stage.gateway.start().unwrap();
    for (injection, count) in FAILURES {
        stage.print(&[&printer], PORTION).await;
        stage.until(gateway::results_delivered).await;
        fail_for_a_while(&stage, &printer, injection, count).await;
    }
    stage.print(&[&printer], PORTION).await;
    stage.until(gateway::results_delivered).await;
    stage.gateway.stop().await.unwrap();
    let stored = stage.stored(Lane::Results).await;
    let numbers: Vec<u64> = stored.iter().filter_map(|it| printer::number(&it.event().unwrap().evidence)).collect();
    assert_eq!(numbers, (0..printer.printed()).collect::<Vec<_>>(), "each impulse once and in order");
}

/// One failure, from its first call to the drained backlog.
async fn fail_for_a_while(stage: &Stage, printer: &Printer, injection: &str, count: u64) {
    let process = stage.gateway.id().expect("it runs");
    let name = injection.split(':').next().unwrap();
    let (trace, inject) = (format!("trace={name}"), format!("inject={injection}"));
    let log = stage.path("strace.log");
    // Only once the last commit is proven does the journal make no calls of its own.
    let before = stage.until(gateway::results_delivered).await;
    let strace = Strace::attach(process, &["-e", &trace, "-e", &inject], &log).await;
    printer.allow_more(count);
    stage.until_read(&[printer]).await;
    let halted = stage.until(|status| !text(status, "/journal/halted").is_empty()).await;
    assert!(text(&halted, "/headline").starts_with("RESULTS CANNOT BE MADE SAFE"), "{injection}: {halted:#}");
    let durable = number(&halted, LAST_DURABLE);
    if count == PORTION {
        assert_eq!(durable, number(&before, LAST_DURABLE), "{injection}: nothing became durable");
    }
    // More comes while nothing can be made safe: it is taken in, and shown to nobody.
    printer.allow_more(count);
    let halted = stage.until_read(&[printer]).await;
    assert!(!text(&halted, "/journal/halted").is_empty(), "{injection}: the failure goes on");
    assert_eq!(number(&halted, LAST_DURABLE), durable, "{injection}: nothing more became durable");
    let unsafe_count = number(&before, LAST_DURABLE) + 2 * count - durable;
    assert!(unsafe_count >= count && number(&halted, STAGED) >= unsafe_count, "{injection}: {halted:#}");
    let shown = stage.cloud.snapshot().sequence(GATEWAY, "results");
    assert!(shown <= durable, "{injection}: the cloud has {shown}, and {durable} is durable");
    let config = stage.gateway.config();
    let words = ["tail", "--json", "--no-follow", "--lane", "results", "--last", "5", "--config"];
    let (_, told, _) = stage.gateway.command(&[&words[..], &[config.to_str().unwrap()]].concat()).await.unwrap();
    let told: Vec<u64> = told.lines().map(|line| stage::sequence(&serde_json::from_str(line).unwrap())).collect();
    assert!(told.last().is_some_and(|last| *last <= durable), "{injection}: tail told {told:?} of {durable}");
    let calls = strace.detach().await;
    assert!(calls.contains("(INJECTED)"), "{injection}: no call failed");
    stage.until(|status| status.pointer("/journal/halted").is_none_or(|it| it.is_null())).await;
    stage.until(gateway::results_delivered).await;
    assert!(stage.gateway.log_tail().contains("the journal can be written again"), "{}", stage.gateway.log_tail());
    println!("{injection}: {} calls failed", calls.matches("(INJECTED)").count());
}

/// Every system call of the gateway on its journal and its uplink, in the order in which
/// the kernel saw them: no byte of an event is given to the uplink's socket before an
/// fdatasync that began after the event was written has returned.
#[tokio::test]
async fn no_byte_of_an_event_is_sent_before_the_fdatasync_that_covers_it_returned() {
    if let Some(what) = Strace::missing() {
        println!("skipped: needs {what}");
        return;
    }
    let mut stage = Stage::set().await;
    let printer = Printer::start(Pace { burst: 3, every: Duration::from_millis(2) });
    stage.configure(JOURNAL, &printer.source("timer", "results"));
    stage.gateway.start().unwrap();
    stage.until(gateway::all_connected).await;
    let process = stage.gateway.id().expect("it runs");
    let calls = "trace=pwrite64,fdatasync,write,writev,sendto,sendmsg";
    let log = stage.path("strace.log");
    let strace = Strace::attach(process, &["-yy", "-xx", "-s", "4194304", "-e", calls], &log).await;
    printer.allow_more(PORTION);
    stage.until_read(&[&printer]).await;
    stage.until(gateway::results_delivered).await;
    let calls = trace::calls(&strace.detach().await);

    let uplink = format!("->{}]", stage.link.address());
    let sent = sends(&calls, &uplink);
    for number in 0..PORTION {
        let text = line(number);
        let (safe_at, sent_at) = order(&calls, &sent, text.as_bytes());
        assert!(safe_at < sent_at, "{text:?} was sent at line {sent_at:?} of the trace, and synced at {safe_at:?}");
        assert_ne!(sent_at, NEVER, "{text:?} was not seen on the uplink");
    }
    let syncs = calls.iter().filter(|call| call.name == "fdatasync").count();
    println!(
        "{PORTION} impulses in {} sends behind {syncs} syncs",
        sent.iter().map(|it| it.sends.len()).sum::<usize>()
    );
}

/// The same towards a broker, while each fdatasync takes a while: no message is acknowledged before an fdatasync that
/// began after its event was written has returned.
#[tokio::test]
async fn no_message_is_acknowledged_before_the_fdatasync_that_covers_it_returned() {
    if let Some(what) = Strace::missing() {
        println!("skipped: needs {what}");
        return;
    }
    let broker = Broker::start("").await;
    let mut stage = Stage::set().await;
    let topic = format!(
        "[mqtt]\nbroker = \"mqtt://127.0.0.1:{}\"\n[[mqtt.topic]]\nname = \"wind\"\nfilter = \"venue/+/wind\"\n\
         lane = \"results\"\nmapping = {{ device_id = \"wind-{{1}}\", wind = {{ speed = {{ pointer = \"/speed\", unit = \"m/s\" }} }} }}\n",
        broker.port
    );
    stage.configure(JOURNAL, &topic);
    stage.gateway.start().unwrap();
    stage.until(gateway::all_connected).await;
    let process = stage.gateway.id().expect("it runs");
    let calls = "trace=pwrite64,fdatasync,write,writev,sendto,sendmsg";
    let inject = "inject=fdatasync:delay_enter=20ms";
    let log = stage.path("strace.log");
    let strace = Strace::attach(process, &["-yy", "-xx", "-s", "4194304", "-e", calls, "-e", inject], &log).await;
    let payloads: Vec<String> = (0..MESSAGES).map(|number| format!("{{\"speed\": {number}.25}}")).collect();
    publish(&broker, &payloads).await;
    // Stopped, it acknowledges all that it has taken in.
    stage.until(|status| number(status, "/sources/0/frames") == MESSAGES).await;
    stage.gateway.stop().await.unwrap();
    let calls = trace::calls(&strace.detach().await);

    let sent = sends(&calls, &format!("->127.0.0.1:{}]", broker.port));
    let [sent] = &sent[..] else { panic!("a connection for the one lane, not {}", sent.len()) };
    let acknowledged_at = sent.acknowledgements();
    assert_eq!(acknowledged_at.len(), payloads.len(), "each is acknowledged, in the order in which they came");
    for (payload, acknowledged_at) in payloads.iter().zip(acknowledged_at) {
        let safe_at = safe_at(&calls, payload.as_bytes()).unwrap_or(NEVER);
        assert!(safe_at < acknowledged_at, "{payload} was acknowledged at {acknowledged_at}, and synced at {safe_at}");
    }
}

/// Publishes, and waits until the broker has all of it.
async fn publish(broker: &Broker, payloads: &[String]) {
    let (client, mut events) = AsyncClient::new(MqttOptions::new("gauge", "127.0.0.1", broker.port), payloads.len());
    for payload in payloads {
        client.publish("venue/gate/wind", QoS::AtLeastOnce, false, payload.as_bytes()).await.unwrap();
    }
    let mut acknowledged = 0;
    while acknowledged < payloads.len() {
        acknowledged += usize::from(matches!(events.poll().await.unwrap(), Event::Incoming(Packet::PubAck(_))));
    }
}

/// The first start makes the directories of the journal. Their names are on disk before a byte of the journal is: a power cut
/// would else take all of it, with every event that was acknowledged.
#[tokio::test]
async fn the_names_of_new_directories_are_on_disk_before_the_first_event_is() {
    if let Some(what) = Strace::missing() {
        println!("skipped: needs {what}");
        return;
    }
    let mut stage = Stage::set().await;
    let printer = Printer::start(Pace { burst: 3, every: Duration::from_millis(2) });
    stage.configure(JOURNAL, &printer.source("timer", "results"));
    let log = stage.path("strace.log");
    let calls = ["-e", "trace=mkdir,mkdirat,fsync,pwrite64"];
    let traced = ["strace", "-D", "-f", "-y", calls[0], calls[1], "-o", log.to_str().unwrap()];
    stage.gateway.set_wrapper(traced);
    stage.gateway.start().unwrap();
    printer.allow_more(PORTION);
    stage.until(gateway::results_delivered).await;
    stage.gateway.stop().await.unwrap();
    let trace = std::fs::read_to_string(&log).unwrap();

    let first_write = trace.lines().position(|line| line.contains("pwrite64(")).expect("the journal was written");
    let made = trace.lines().enumerate().filter(|(_, line)| line.contains("mkdir") && line.ends_with(" = 0"));
    let made: Vec<(usize, &Path)> = made
        .map(|(number, line)| (number, Path::new(line.split('"').nth(1).expect("the path that is made"))))
        .collect();
    assert!(made.len() >= 2, "the data directory and the journal's own: {made:?}");
    for (number, path) in made {
        let parent = format!("<{}>) = 0", path.parent().unwrap().display());
        let is_its = |line: &str| line.contains("fsync(") && line.contains(&parent);
        let synced = trace.lines().skip(number).position(is_its).map(|behind| number + behind);
        let synced = synced.unwrap_or_else(|| panic!("{} was made, and its name never synced", path.display()));
        assert!(synced < first_write, "{} was synced at line {synced}, and written at {first_write}", parent);
    }
}

/// The judgement itself, on a trace made by hand: it passes what is synced first, and
/// fails what is sent while the sync that covers it is still under way, or was another
/// file's, or failed.
#[test]
fn a_send_before_the_sync_is_found() {
    let judge = |middle: &str| {
        let trace = format!("1 pwrite64(3<a>, \"\\x41\\x42\", 2, 0) = 2\n{middle}");
        let calls = trace::calls(&trace);
        let (safe_at, sent_at) = order(&calls, &sends(&calls, "->up]"), b"AB");
        safe_at < sent_at
    };
    let send =
        "2 writev(5<TCP:[down->up]>, [{iov_base=\"\\x00\\x41\", iov_len=2}, {iov_base=\"\\x42\", iov_len=1}], 2) = 3\n";
    let sync = "1 fdatasync(3<a>) = 0\n";
    assert!(judge(&format!("{sync}{send}")));
    assert!(!judge(&format!("{send}{sync}")));
    assert!(!judge(&format!("1 fdatasync(3<a> <unfinished ...>\n{send}1 <... fdatasync resumed>) = 0\n")));
    assert!(!judge(&format!("1 fdatasync(4<b>) = 0\n{send}{sync}")));
    assert!(!judge(&format!("1 fdatasync(3<a>) = -1 EIO (Input/output error)\n{send}{sync}")));
}

/// A place behind every trace.
const NEVER: usize = usize::MAX;

/// When a text was safe, and when the first send that holds a byte of it began.
fn order(calls: &[Call], sent: &[Sent], text: &[u8]) -> (usize, usize) {
    let sent_at = sent.iter().filter_map(|stream| stream.first_send_of(text)).min();
    (safe_at(calls, text).unwrap_or(NEVER), sent_at.unwrap_or(NEVER))
}

/// What went into one connection of the uplink.
#[derive(Debug, Default)]
struct Sent {
    bytes: Vec<u8>,
    /// Offset of each send, and the line of the trace at which it began.
    sends: BTreeMap<usize, usize>,
}

impl Sent {
    /// When the send that holds the first byte of a text began.
    fn first_send_of(&self, text: &[u8]) -> Option<usize> {
        let offset = self.bytes.windows(text.len()).position(|window| window == text)?;
        self.send_of(offset)
    }

    /// When the send that holds the byte at an offset began.
    fn send_of(&self, offset: usize) -> Option<usize> {
        self.sends.range(..=offset).next_back().map(|(_, began)| *began)
    }

    /// When the send of each PUBACK began, in their order. All that a gateway says to a broker after its subscriptions is
    /// shorter than 128 bytes, so its length is one byte.
    fn acknowledgements(&self) -> Vec<usize> {
        let (mut found, mut offset) = (Vec::new(), 0);
        while let Some([kind, length]) = self.bytes.get(offset..offset + 2) {
            if *kind == 0x40 {
                found.extend(self.send_of(offset));
            }
            offset += 2 + usize::from(*length);
        }
        found
    }
}

fn sends(calls: &[Call], peer: &str) -> Vec<Sent> {
    let mut streams: BTreeMap<&str, Sent> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.descriptor.contains(peer)) {
        let Ok(count) = usize::try_from(call.result) else { continue };
        let stream = streams.entry(&call.descriptor).or_default();
        stream.sends.insert(stream.bytes.len(), call.began);
        stream.bytes.extend_from_slice(&call.bytes[..count]);
    }
    streams.into_values().collect()
}

/// When the first fdatasync returned that began after a text was written into its file.
fn safe_at(calls: &[Call], text: &[u8]) -> Option<usize> {
    let holds = |call: &&Call| call.name == "pwrite64" && call.bytes.windows(text.len()).any(|window| window == text);
    let written = calls.iter().find(holds)?;
    let covers = |call: &&Call| {
        call.name == "fdatasync"
            && call.result == 0
            && call.descriptor == written.descriptor
            && call.began >= written.returned
    };
    calls.iter().filter(covers).map(|call| call.returned).min()
}
