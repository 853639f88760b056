//! The contract is enough: a receiver in another language, made from the `.proto` files
//! alone, takes what the real gateway sends, and both ends come to the same digest.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../stage/mod.rs"]
mod stage;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};
use venue_delivery::Mark;
use venue_schema::{
    JournalEpoch, Message as _,
    v1::{self, Lane},
};
use venue_sim::{authority::Authority, gateway::number};

use stage::{
    ACKNOWLEDGED, GATEWAY, PATIENCE, SMALL, STAGED, Stage,
    certificates::{centre_files, secured_uplink},
    eventually,
    timer::Timer,
    uplink,
};

/// The receiver's process, and the file that it writes what happens to.
struct PythonReceiver {
    child: Child,
    port: u16,
    output: PathBuf,
}

/// The interpreter with grpcio; none on a machine that `scripts/prepare` did not see.
fn interpreter() -> Option<OsString> {
    let prepared = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv/bin/python"));
    let python = std::env::var_os("VENUE_TEST_PYTHON").unwrap_or_else(|| prepared().into());
    if Path::new(&python).exists() {
        return Some(python);
    }
    let told = format!("{} is not there; scripts/prepare makes it", python.display());
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{told}");
    println!("skipped: {told}");
    None
}

impl PythonReceiver {
    /// Starts it on a free port.
    async fn start(python: OsString, folder: &Path, tls: &[OsString]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../gateway/tests/python_receiver/receiver.py");
        let (store, output) = (folder.join("python.sqlite"), folder.join("python.jsonl"));
        let mut command = Command::new(python);
        command.arg(script).arg("--store").arg(store).arg("--output").arg(&output).args(tls);
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("the receiver went silent");
        let first: Value = serde_json::from_str(&first.unwrap().expect("the receiver ended")).unwrap();
        assert_eq!(first["type"], "listening");
        Self { child, port: serde_json::from_value(first["port"].clone()).unwrap(), output }
    }

    /// What it said so far. A line that is being written is left out.
    fn said(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.output).unwrap_or_default();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The digest that it acknowledged a sequence of a lane with.
    async fn acknowledged(&self, lane: &str, sequence: u64) -> String {
        let is = |line: &Value| line["type"] == "ack" && line["lane"] == lane && line["sequence"] == sequence;
        let digest = async || Some(self.said().into_iter().find(is)?["digest"].as_str()?.to_owned());
        eventually("the receiver's acknowledgement", digest).await
    }

    /// The events of a lane as it read them, in its JSON form.
    fn events(&self, lane: &str) -> Vec<Value> {
        let of = |line: &Value| line["type"] == "event" && line["lane"] == lane;
        self.said().into_iter().filter(of).map(|line| line["event"].clone()).collect()
    }

    /// Ends it as a service manager does.
    async fn stop(mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(self.child.wait().await.unwrap().code(), Some(0));
    }
}

/// Delivers in two runs of the gateway, with results before, between and after, and
/// compares what both ends hold.
async fn deliver(mut stage: Stage, receiver: PythonReceiver, uplink: &str) {
    let timer = Timer::start("timer-a");
    stage.configure_uplink(SMALL, &timer.source(), uplink);
    stage.start(&timer).await;
    timer.impulses(20);
    stage.until(everything_is_acknowledged).await;
    stage.gateway.stop().await.unwrap();
    stage.start(&timer).await;
    timer.impulses(7);
    let status = stage.until(|status| everything_is_acknowledged(status) && number(status, ACKNOWLEDGED) >= 27);
    assert_eq!(status.await["uplinks"][0]["receiver_id"], "python-receiver");
    stage.gateway.stop().await.unwrap();

    let inspected = stage.inspect().await;
    for (index, lane) in [(0, Lane::Results), (1, Lane::Telemetry)] {
        let cursor = &inspected["cursors"][index];
        assert_eq!(cursor["lane"], lane.name());
        let end = cursor["sequence"].as_u64().unwrap();
        assert_eq!(end, inspected["lanes"][index]["last_sequence"].as_u64().unwrap(), "all of it is acknowledged");
        let theirs = receiver.acknowledged(lane.name(), end).await;
        assert_eq!(cursor["digest"], theirs, "the gateway's digest, and the receiver's");

        let exported: Vec<Value> = stage.export(lane, 1).await;
        let epoch = epoch(inspected["journal_epoch"].as_str().unwrap());
        let events = exported.iter().map(|line| serde_json::from_value::<v1::Event>(line.clone()).unwrap());
        let ours = events.fold(Mark::initial(epoch, lane), |mark, event| mark.then(&event.encode_to_vec()));
        assert_eq!(ours.digest.to_string(), theirs, "recomputed from what `journal export` wrote");
        assert_eq!(exported, receiver.events(lane.name()), "the JSON form of both languages");
    }
    assert!(receiver.events("results").len() >= 27);
    assert!(receiver.said().iter().all(|line| line["type"] != "refused"), "{:?}", receiver.said());
    receiver.stop().await;
}

fn everything_is_acknowledged(status: &Value) -> bool {
    let lanes = status["uplinks"][0]["lanes"].as_array().unwrap();
    let is = |lane: &Value| lane["backlog"] == 0 && lane["in_flight"] == 0 && lane["delivering"] == true;
    lanes.iter().all(is) && number(status, STAGED) == 0 && number(status, ACKNOWLEDGED) >= 20
}

fn epoch(hex: &str) -> JournalEpoch {
    JournalEpoch::from_bytes(u128::from_str_radix(hex, 16).unwrap().to_be_bytes())
}

/// On the bench, without certificates.
#[tokio::test]
async fn a_stream_over_plain_http() {
    let Some(python) = interpreter() else { return };
    let stage = Stage::set().await;
    let receiver = PythonReceiver::start(python, &stage.path(""), &[]).await;
    let uplink = uplink(&[format!("http://127.0.0.1:{}", receiver.port)]);
    deliver(stage, receiver, &uplink).await;
}

/// At the venue: each end proves who it is.
#[tokio::test]
async fn a_stream_over_mutual_tls() {
    let Some(python) = interpreter() else { return };
    let stage = Stage::set().await;
    let folder = stage.path("");
    Authority::new("venue authority").unwrap().equip(&folder, GATEWAY).unwrap();
    let files = centre_files(&folder);
    let options = [("--cert", files.certificate), ("--key", files.key), ("--client-ca", files.client_ca)];
    let options: Vec<OsString> = options.into_iter().flat_map(|(name, file)| [name.into(), file.into()]).collect();
    let receiver = PythonReceiver::start(python, &folder, &options).await;
    let uplink = secured_uplink(receiver.port);
    deliver(stage, receiver, &uplink).await;
}
