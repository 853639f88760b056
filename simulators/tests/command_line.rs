//! The binary under a script: JSON lines out, control lines in, exit codes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;
use venue_sim::gateway::GatewayProcess;

/// Where the keys of the JSON lines are promised.
const PAGE: &str = include_str!("../../docs/venue-sim.md");

/// A running `venue-sim … --json`.
struct Bench {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// Of every line that was read, as the page writes them.
    keys: BTreeSet<String>,
}

impl Bench {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_venue-sim"));
        let command = command.args(arguments).arg("--json").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, stdin, stdout, keys: BTreeSet::new() }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    /// The next line that satisfies a condition.
    fn until(&mut self, condition: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "it ended before");
            let value: Value = serde_json::from_str(&line).unwrap();
            let mut facts = value.as_object().unwrap().clone();
            let kind = facts.remove("type").unwrap();
            collect(&facts.into(), kind.as_str().unwrap(), &mut self.keys);
            if condition(&value) {
                return value;
            }
        }
    }

    fn started(&mut self) -> Value {
        self.until(|line| line["type"] == "started")
    }

    /// Ends it, and returns the keys of all that it said.
    fn quit(mut self) -> BTreeSet<String> {
        self.say("quit");
        self.ended()
    }

    /// Waits until it has ended well, and returns the keys of all that it said.
    fn ended(mut self) -> BTreeSet<String> {
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        std::mem::take(&mut self.keys)
    }
}

impl Drop for Bench {
    /// A test that fails leaves no process behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Adds the paths of a value's keys: `a.b`, `list[].c`.
fn collect(value: &Value, path: &str, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let dot = if path.is_empty() { "" } else { "." };
            fields.iter().for_each(|(key, inner)| collect(inner, &format!("{path}{dot}{key}"), keys));
        }
        Value::Array(elements) if elements.first().is_some_and(Value::is_object) => {
            elements.iter().for_each(|element| collect(element, &format!("{path}[]"), keys));
        }
        // Lanes come with the first event.
        Value::Array(elements) if elements.is_empty() => {}
        _ => {
            keys.insert(path.to_owned());
        }
    }
}

/// The keys in the page's table with a head.
fn documented(head: &str) -> BTreeSet<String> {
    let (_, table) = PAGE.split_once(&format!("\n| `{head}` | type | is |\n|---|---|---|\n")).unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect()
}

/// A small load: every line arrives once, and the line of JSON is as the page promises.
#[test]
fn a_load_says_what_is_documented() {
    let mut load = Command::new(env!("CARGO_BIN_EXE_venue-sim"));
    let output = load.args(["load", "alge", "latency", "--events", "500", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.iter().map(|row| row["row"].as_str().unwrap()).collect::<Vec<_>>(), ["alge", "latency"]);
    for row in rows {
        assert_eq!((&row["lost"], &row["duplicated"], &row["out_of_order"]), (&0.into(), &0.into(), &0.into()));
        assert!(row["events_per_second"].as_f64().unwrap() > 0.0 && row["latency_ms"]["p50"].as_f64().unwrap() > 0.0);
        let mut keys = BTreeSet::new();
        collect(&row, "", &mut keys);
        let of_bound = |key: &String| key.starts_with("figures[].goal.");
        let of_run = |key: &String| key.strip_prefix("runs[].").is_some_and(|inner| keys.contains(inner));
        let mut shown: BTreeSet<String> = keys.iter().filter(|key| !of_bound(key) && !of_run(key)).cloned().collect();
        shown.extend(["figures[].goal".to_owned(), "runs[]".to_owned()]);
        assert_eq!(shown, documented("load --json"));
    }
}

/// A device behind a link: what its operator does comes through, is cut off, and stands
/// in its ledger. Both say exactly what the page promises.
#[test]
fn a_device_behind_a_link() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("ledger.json");
    let mut device =
        Bench::start(&["device", "alge-timy", "--listen", "127.0.0.1:0", "--ledger", ledger.to_str().unwrap()]);
    let place = device.started()["place"].as_str().unwrap().to_owned();
    let mut link = Bench::start(&["link", "--connect", &place]);
    let mut stream = TcpStream::connect(link.started()["listen"].as_str().unwrap()).unwrap();
    device.until(|line| line["listened_to"] == true);

    device.say("impulse 1 7");
    let mut line = [0; 27];
    stream.read_exact(&mut line).unwrap();
    assert!(line.starts_with(b" 0007 C1  "));
    link.say("cut");
    link.until(|line| line["passage"] == "cut" && line["open"] == 0);
    assert!(stream.read_exact(&mut line).is_err());
    device.say("impulse 12 7");
    let error = device.until(|line| line["type"] == "error");
    assert!(error["message"].as_str().unwrap().contains("channel"));
    assert_eq!(link.quit(), documented("link --json"));
    let mut of_device = documented("device --json");
    of_device.insert("error.message".to_owned());
    assert_eq!(device.quit(), of_device);
    let ledger: Value = serde_json::from_slice(&std::fs::read(ledger).unwrap()).unwrap();
    let mut of_ledger = BTreeSet::new();
    collect(&ledger, "", &mut of_ledger);
    assert_eq!(of_ledger, documented("device --ledger"));
    assert_eq!(ledger["records"][0]["start_number"], 7);
    assert_eq!(ledger["lines"][0]["heard"], true);
}

/// A fleet of sensors says what they have to say, ends by itself, and its ledger promises what the broker acknowledged.
#[tokio::test]
async fn sensors_end_when_the_broker_has_it_all() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("ledger.json");
    let broker = format!("mqtt://{}", venue_sim::broker::start().await.unwrap());
    let mut arguments = vec!["sensors", "--broker", &broker, "--messages", "3", "--interval", "5ms", "--count", "4"];
    arguments.extend(["--ledger", ledger.to_str().unwrap()]);
    let mut sensors = Bench::start(&arguments);
    assert_eq!(sensors.started()["broker"], broker);
    let end = sensors.until(|line| line["running"] == 0);
    assert_eq!((&end["samples"], &end["acknowledged"], &end["waiting"]), (&12.into(), &12.into(), &0.into()));
    assert_eq!(sensors.ended(), documented("sensors --json"));
    let ledger: Value = serde_json::from_slice(&std::fs::read(ledger).unwrap()).unwrap();
    let mut of_ledger = BTreeSet::new();
    collect(&ledger, "", &mut of_ledger);
    assert_eq!(of_ledger, documented("sensors --ledger"));
    assert!(ledger["samples"].as_array().unwrap().iter().all(|sample| sample["acknowledged_utc_ns"].is_i64()));

    // Without end, until it is asked; and for a time.
    let mut endless = Bench::start(&["sensors", "--broker", &broker, "--interval", "5ms"]);
    endless.until(|line| line["acknowledged"].as_u64() > Some(12));
    endless.say("finish");
    let end = endless.until(|line| line["running"] == 0);
    assert_eq!(end["samples"], end["acknowledged"]);
    endless.ended();
    Bench::start(&["sensors", "--broker", &broker, "--until", "100ms"]).ended();
}

/// A cloud that a gateway delivers to says exactly what the page promises.
#[tokio::test]
async fn a_cloud_says_what_is_documented() {
    let directory = tempfile::tempdir().unwrap();
    let mut cloud = Bench::start(&["cloud", "--store", "memory"]);
    let mut gateway = GatewayProcess::new(env!("CARGO_BIN_EXE_venue-sim"), directory.path());
    let site = format!(
        "[gateway]\nid = \"stade-1-a\"\nvenue = \"stade-1\"\ntimezone = \"UTC\"\ndata_dir = \"data\"\n\
         [journal]\nresults = {{ quota = \"2MiB\", reserve = \"256KiB\" }}\ntelemetry = {{ quota = \"2MiB\" }}\n\
         [[uplink]]\nname = \"centre\"\nendpoints = [\"{}\"]\n",
        cloud.started()["endpoint"].as_str().unwrap()
    );
    gateway.configure(&site).unwrap();
    gateway.start().unwrap();
    // The gateway's own word on its clock is its first event.
    cloud.until(|line| line["lanes"].as_array().is_some_and(|lanes| !lanes.is_empty()));
    gateway.stop().await.unwrap();
    assert_eq!(cloud.quit(), documented("cloud --json"));
}

/// A cloud obeys and shows; what cannot start says why and exits with 1, wrong
/// arguments with 2.
#[test]
fn exit_codes_are_as_documented() {
    let mut cloud = Bench::start(&["cloud", "--store", "memory", "--receiver-id", "centre"]);
    assert_eq!(cloud.started()["receiver_id"], "centre");
    cloud.say("stall on");
    assert_eq!(cloud.until(|line| line["type"] == "state")["stored"], 0);
    cloud.say("explode");
    cloud.until(|line| line["type"] == "error");
    cloud.quit();

    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_venue-sim")).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = run(&["cloud", "--store", "sqlite:/nonexistent/cloud.db"]);
    assert_eq!(code, Some(1));
    assert!(error.starts_with("venue-sim: failed to open the store /nonexistent/cloud.db"), "{error}");
    assert_eq!(run(&["cloud", "--store", "nowhere"]).0, Some(2));
    assert_eq!(run(&["device", "sundial"]).0, Some(2));
    let (code, error) = run(&["sensors", "--broker", "broker.venue"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("`broker.venue` is no broker: write mqtt://HOST:PORT"), "{error}");
}
