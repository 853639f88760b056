//! What somebody who types commands gets: an answer, or a mistake that says how to mend it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use venue_gateway::cli::Exit;
use venue_journal::{Append, Directory, IdentityRef, Journal, JournalConfig};
use venue_schema::{
    GatewayId, JournalEpoch, Message as _,
    v1::{self, Lane, event::Content},
};

/// A condition that does not come true within this fails the test.
const PATIENCE: Duration = Duration::from_secs(20);

fn gateway(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_venue-gateway"));
    // Variables of whoever runs the tests are no settings of theirs.
    command.args(words).env_clear().stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[track_caller]
fn ends(output: &Output, exit: Exit) {
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(i32::from(exit as u8)), "{told}");
    assert!(!told.contains("panicked"), "{told}");
}

/// A folder with a site's file and a data directory.
struct Site(TempDir);

impl Site {
    fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let quotas = "results = { quota = \"2MiB\", reserve = \"1MiB\" }\ntelemetry = { quota = \"2MiB\" }";
        let identity = "id = \"gw-1\"\nvenue = \"v\"\ntimezone = \"Europe/Paris\"\ndata_dir = \"data\"";
        let file = format!("[gateway]\n{identity}\n[journal]\n{quotas}\n{more}");
        fs::write(folder.path().join("site.toml"), file).expect("written");
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn data(&self) -> String {
        self.path("data").to_string_lossy().into_owned()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = gateway(words);
        command.arg("--config").arg(self.path("site.toml"));
        command
    }

    /// Stores results with these bytes, as a gateway that has stopped since.
    fn store(&self, events: &[&[u8]]) {
        let directory = self.path("data/journal");
        fs::create_dir_all(&directory).expect("a folder");
        let config =
            JournalConfig::new(GatewayId::new("gw-1").expect("a name"), "v", JournalEpoch::from_bytes([7; 16]));
        let directory = Directory::create(&directory).expect("a folder");
        let (journal, _) = Journal::open(directory, config, Duration::ZERO).expect("a journal");
        for event in events {
            let append = Append {
                lane: Lane::Results,
                source: journal.source("timer-a"),
                identity: IdentityRef::None,
                refusable: false,
                event,
                receive_utc_ns: Some(1_795_859_137_031_000_000),
                receive_monotonic_ns: 0,
            };
            journal.append(append).expect("room");
        }
        journal.commit(Duration::ZERO).expect("a sound disk");
        journal.close(Duration::ZERO).expect("a sound disk");
    }
}

fn gap(cause: i32) -> Vec<u8> {
    let gap = v1::Gap { cause, ..v1::Gap::default() };
    v1::Event { content: Some(Content::Gap(gap)), ..v1::Event::default() }.encode_to_vec()
}

const UPLINK: &str = "[[uplink]]\nname = \"centre\"\nendpoints = [\"http://127.0.0.1:9\"]\n";

/// A pipe that nobody reads any more, as of `… | head` that has ended.
fn unread() -> io::PipeWriter {
    io::pipe().expect("a pipe").1
}

/// `… | head -1` ends every command in peace, wherever it writes.
#[test]
fn a_closed_pipe_is_no_error_and_no_panic() {
    let site = Site::new("");
    let many = gap(1);
    site.store(&vec![&many[..]; 500]);
    let capture = site.path("capture");
    fs::write(&capture, "$GPZDA,100000.00,28,11,2026,00,00*6B\r\n".repeat(5_000)).expect("written");
    let (data, capture) = (site.data(), capture.to_string_lossy().into_owned());
    let commands = [
        (gateway(&["devices"]), Exit::Success),
        (gateway(&["decode", "--device", "nmea", &capture]), Exit::Success),
        (gateway(&["journal", "inspect", &data]), Exit::Success),
        (gateway(&["journal", "verify", &data]), Exit::Success),
        (gateway(&["journal", "export", &data]), Exit::Success),
        (site.command(&["check"]), Exit::Success),
        (site.command(&["status"]), Exit::NotRunning),
        (site.command(&["tail", "--last", "500"]), Exit::NotRunning),
        (site.command(&["journal", "new-epoch", &data]), Exit::Success),
    ];
    for (mut command, exit) in commands {
        ends(&command.stdout(unread()).output().expect("it starts"), exit);
    }
    let commands = [
        (gateway(&["run", "--config", "/nowhere/site.toml"]), Exit::Config),
        (gateway(&["journal", "inspect", "/nowhere"]), Exit::Failure),
        (gateway(&["decode", "--device", "nmea", &capture]), Exit::Success),
    ];
    for (mut command, exit) in commands {
        let status = command.stdout(Stdio::null()).stderr(unread()).status().expect("it starts");
        assert_eq!(status.code(), Some(i32::from(exit as u8)), "{command:?}");
    }
}

/// A gateway that answers; a test that fails leaves none behind.
struct Running(Child);

impl Running {
    fn start(site: &Site, command: &mut Command) -> Self {
        let mut gateway = Self(command.stdout(Stdio::null()).spawn().expect("it starts"));
        let clock = venue_gateway::clock::SystemClock::new(true);
        let give_up_at = clock.monotonic() + PATIENCE;
        while !site.path("data/control.sock").exists() {
            assert!(gateway.0.try_wait().expect("ours").is_none(), "it ended by itself");
            assert!(clock.monotonic() < give_up_at, "no control socket");
            std::thread::yield_now();
        }
        gateway
    }

    /// Asks it to stop; it must drain and end as one that was asked.
    fn stop(mut self) {
        let process = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).expect("it runs");
        assert_eq!(self.0.wait().expect("ours").code(), Some(0), "no signal ended it");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A log that nobody reads any more (`run 2>&1 | logger`, and the logger is gone)
/// stops nothing.
#[test]
fn a_gateway_whose_log_is_not_read_goes_on() {
    let site = Site::new("");
    Running::start(&site, site.command(&["run"]).stderr(unread())).stop();
}

/// A variable of somebody else's is told, in the log and by `check`, and stops nothing.
#[test]
fn a_variable_of_somebody_else_stops_nothing() {
    let site = Site::new("");
    let check = site.command(&["check"]).env("VENUE_HOME", "/x").output().expect("it starts");
    ends(&check, Exit::Success);
    let told = text(&check.stdout);
    assert!(told.contains("warning: no setting has the variable `VENUE_HOME`"), "{told}");

    let log = fs::File::create(site.path("log")).expect("a file");
    Running::start(&site, site.command(&["run"]).env("VENUE_HOME", "/x").stderr(log)).stop();
    let log = fs::read_to_string(site.path("log")).expect("text");
    let line = log.lines().find(|line| line.contains("VENUE_HOME")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("WARN") && line.contains("it is ignored"), "{line}");
    assert!(!log.contains('\x1b'), "colours in a file: {log}");

    // Lists are given in the file alone; a variable of their name must not hide that there are none.
    let list = site.command(&["check"]).env("VENUE_SOURCE", "timer").output().expect("it starts");
    let told = text(&list.stdout);
    assert!(told.contains("there is no source") && told.contains("the variable `VENUE_SOURCE`"), "{told}");

    let typing_error = site.command(&["run"]).env("VENUE_GATEWAY_DATADIR", "/x").output().expect("it starts");
    ends(&typing_error, Exit::Config);
}

/// A wrong word of the command line is told with those that there are.
#[test]
fn a_wrong_word_is_told_with_the_right_ones() {
    let mistakes: [(&[&str], &str); 8] = [
        (&["tail", "--lane", "result"], "[possible values: results, telemetry]"),
        (&["tail", "--kind", "impuls"], "a similar value exists: 'impulse'"),
        (&["journal", "export", ".", "--lane", "x"], "[possible values: results, telemetry]"),
        (&["journal", "export", ".", "--from", "noon"], "write 1234 or 2026-11-28T10:42:17Z"),
        (&["decode", "--device", "timy"], "[possible values: alge-timy, nmea]"),
        (&["decode", "--device", "nmea", "--received", "noon"], "write for example 2026-11-28T09:17:08Z"),
        (&["decode", "--device", "nmea", "--timezone", "Paris"], "write for example Europe/Paris"),
        (&["decode", "--device", "nmea", "--chunk", "0"], "--chunk <N>"),
    ];
    for (words, expected) in mistakes {
        let output = gateway(words).output().expect("it starts");
        ends(&output, Exit::Usage);
        let told = text(&output.stderr);
        assert!(told.contains(expected), "{words:?}: {told}");
    }
}

/// Where nothing was ever stored, that is what is said, once, with what to do.
#[test]
fn a_gateway_that_never_ran_is_told() {
    let site = Site::new("");
    for command in ["status", "tail"] {
        let output = site.command(&[command]).output().expect("it starts");
        ends(&output, Exit::Failure);
        let told = text(&output.stderr);
        assert!(told.contains("none ever stored anything there: start one with `venue-gateway run`"), "{told}");
        assert!(output.stdout.is_empty() && told.lines().count() == 1, "{told}");
    }
    let elsewhere = gateway(&["journal", "inspect", &site.0.path().to_string_lossy()]).output().expect("it starts");
    ends(&elsewhere, Exit::Failure);
    let expected = format!("{} holds no journal: name the gateway's data directory", site.0.path().display());
    assert_eq!(text(&elsewhere.stderr).trim(), format!("venue-gateway: {expected}"));
}

/// A stopped gateway's headline, its JSON and the exit code are one truth.
#[test]
fn a_stopped_gateway_tells_one_truth() {
    let stories = [
        (UPLINK, 0, "THE GATEWAY IS NOT RUNNING — NO RESULT WAS HEARD YET"),
        (UPLINK, 2, "THE GATEWAY IS NOT RUNNING — 2 RESULTS WAIT HERE SINCE 10:45:37"),
        ("", 1, "THE GATEWAY IS NOT RUNNING — 1 RESULT IS STORED HERE; NO UPLINK IS CONFIGURED"),
    ];
    for (uplink, count, expected) in stories {
        let site = Site::new(uplink);
        let event = gap(1);
        site.store(&vec![&event[..]; count]);
        let output = site.command(&["status", "--json"]).output().expect("it starts");
        ends(&output, Exit::NotRunning);
        let status: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(status["headline"], expected);
        assert_eq!((&status["all_results_delivered"], &status["running"]), (&Value::from(false), &Value::from(false)));
        let output = site.command(&["status"]).output().expect("it starts");
        ends(&output, Exit::NotRunning);
        assert_eq!(text(&output.stdout).lines().next(), Some(expected));
    }
}

/// An event of a later version, and one that nobody can read, have their line.
#[test]
fn no_event_is_left_out() {
    let site = Site::new("");
    let (known, later) = (gap(1), gap(99));
    site.store(&[&known, b"\xff\xff\xff", &later]);
    let export = gateway(&["journal", "export", &site.data()]).output().expect("it starts");
    ends(&export, Exit::Failure);
    let tail = site.command(&["tail", "--json"]).output().expect("it starts");
    ends(&tail, Exit::NotRunning);
    let gateway = Running::start(&site, site.command(&["run"]).stderr(Stdio::null()));
    let live = site.command(&["tail", "--json", "--no-follow", "--lane", "results"]).output().expect("it starts");
    ends(&live, Exit::Success);
    gateway.stop();
    for output in [&export, &tail, &live] {
        let lines = text(&output.stdout);
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let [first, unreadable, later] = &lines[..] else { panic!("{lines:#?}") };
        assert_eq!(first["gap"]["cause"], "GAP_CAUSE_SHED");
        let unreadable = &unreadable["unreadable"];
        assert_eq!((&unreadable["lane"], &unreadable["first_sequence"]), (&"results".into(), &2.into()));
        assert!(unreadable["event"].as_str().is_some_and(|base64| base64.starts_with("////")), "{unreadable}");
        assert_eq!(later["gap"]["cause"], 99);
    }
    let told = text(&export.stderr);
    assert!(told.contains("results 2 cannot be shown: "), "{told}");
    assert!(told.contains("1 of the lines stands for what cannot be shown"), "{told}");
    let tail = site.command(&["tail"]).output().expect("it starts");
    let readable = text(&tail.stdout);
    assert!(readable.lines().nth(1).is_some_and(|line| line.starts_with("results 2 cannot be shown")), "{readable}");
}

/// Commands on a folder that is not there say which.
#[test]
fn a_wrong_folder_is_named() {
    for words in [["journal", "verify", "/nowhere"], ["journal", "export", "/nowhere"]] {
        let output = gateway(&words).output().expect("it starts");
        ends(&output, Exit::Failure);
        let told = text(&output.stderr);
        assert!(told.contains("failed to open /nowhere: name the gateway's data directory: No such file"), "{told}");
    }
    let folder = Path::new("/").to_string_lossy();
    let output = gateway(&["decode", "--device", "nmea", &folder]).output().expect("it starts");
    ends(&output, Exit::Failure);
    assert!(text(&output.stderr).contains("/: failed to read the input: Is a directory"));
}
